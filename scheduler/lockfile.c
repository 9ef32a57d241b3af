#include "scheduler/lockfile.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "common/scope.h"

enum { TEXT_BYTES_MAX = 300, HEIRS_LOOK_MS = 5, HEIRS_LOOKS = 200 };

static int64_t read_pid(int fd)
{
	char text[TEXT_BYTES_MAX + 1];
	ssize_t n = pread(fd, text, TEXT_BYTES_MAX, 0);

	if (n <= 0)
		return 0;
	text[n] = '\0';
	return strtoll(text, NULL, 10);
}

static int write_holder(int fd, const char *path, struct err *err)
{
	char host[256] = "", text[TEXT_BYTES_MAX];
	int n;

	gethostname(host, sizeof host - 1);
	n = snprintf(text, sizeof text, "%d %s\n", (int)getpid(), host);
	if (ftruncate(fd, 0) < 0 || pwrite(fd, text, (size_t)n, 0) != n)
		return err_errno(err, "write %s", path);
	return 0;
}

static struct flock whole_file(short type)
{
	return (struct flock){ .l_type = type, .l_whence = SEEK_SET };
}

int lockfile_take(const char *path, int *fd_out, int64_t *holder_out, struct err *err)
{
	struct flock lock = whole_file(F_WRLCK);
	autoclose int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
	int rc;

	*holder_out = 0;
	if (fd < 0)
		return err_errno(err, "open %s", path);
	if (fcntl(fd, F_OFD_SETLK, &lock) < 0) {
		if (errno != EAGAIN && errno != EACCES)
			return err_errno(err, "lock %s", path);
		*holder_out = read_pid(fd);
		return err_set(err, ERR_BUSY, "%s is held by another process", path);
	}
	rc = write_holder(fd, path, err);
	if (rc < 0)
		return rc;
	*fd_out = take_fd(fd);
	return 0;
}

void lockfile_await_heirs(const char *path)
{
	int64_t holder;

	for (int i = 0; i < HEIRS_LOOKS; i++) {
		if (!lockfile_is_held(path, &holder) || holder <= 0 || kill((pid_t)holder, 0) == 0 || errno != ESRCH)
			return;
		poll(NULL, 0, HEIRS_LOOK_MS);
	}
}

bool lockfile_is_held(const char *path, int64_t *holder_out)
{
	struct flock lock = whole_file(F_RDLCK);
	autoclose int fd = open(path, O_RDONLY | O_CLOEXEC);

	if (fd < 0 || fcntl(fd, F_OFD_GETLK, &lock) < 0 || lock.l_type == F_UNLCK)
		return false;
	if (holder_out != NULL)
		*holder_out = read_pid(fd);
	return true;
}
