#include "common/file.h"

#include <errno.h>
#include <unistd.h>

int file_write_at(int fd, uint64_t offset, const uint8_t *bytes, size_t n)
{
	while (n > 0) {
		ssize_t done = pwrite(fd, bytes, n, (off_t)offset);

		if (done < 0 && errno == EINTR)
			continue;
		if (done < 0)
			return -1;
		offset += (uint64_t)done;
		bytes += done;
		n -= (size_t)done;
	}
	return 0;
}
