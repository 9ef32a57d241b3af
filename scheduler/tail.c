#include "scheduler/tail.h"

#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/scope.h"
#include "common/utf8.h"

enum { LOOK_BYTES = 4096 };

static bool is_blank(char c)
{
	return c == ' ' || c == '\t' || c == '\r' || c == '\n';
}

/* Reads the end of a file; how many bytes that are, or -1. */
static ssize_t read_end(const char *path, char bytes[LOOK_BYTES])
{
	autoclose int fd = open(path, O_RDONLY | O_CLOEXEC);
	struct stat st;

	if (fd < 0 || fstat(fd, &st) < 0)
		return -1;
	return pread(fd, bytes, LOOK_BYTES, st.st_size > LOOK_BYTES ? st.st_size - LOOK_BYTES : 0);
}

const char *tail_last_line(const char *path, struct arena *arena)
{
	char bytes[LOOK_BYTES];
	ssize_t end = read_end(path, bytes), start, cut;

	while (end > 0 && is_blank(bytes[end - 1]))
		end--;
	/* A progress bar rewrites its line with carriage returns; only what is seen in the end counts. */
	for (start = end; start > 0 && bytes[start - 1] != '\n' && bytes[start - 1] != '\r';)
		start--;
	while (start < end && is_blank(bytes[start]))
		start++;
	if (end <= start)
		return NULL;
	cut = end - start > TAIL_BYTES_MAX ? start + TAIL_BYTES_MAX : end;
	while (cut < end && cut > start && ((unsigned char)bytes[cut] & 0xc0) == 0x80)
		cut--; /* not in the middle of a character */
	return arena_printf(arena, "%.*s%s", (int)(cut - start), bytes + start, cut < end ? "..." : "");
}
