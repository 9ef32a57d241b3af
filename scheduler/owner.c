#include "scheduler/owner.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/scope.h"
#include "scheduler/paths.h"

enum { OWNER_BYTES_MAX = 300 };

/* Makes the folders of `path` from `keep` bytes on; the state folder before them is there already. */
static int make_folders(char *path, size_t keep, struct err *err)
{
	for (char *at = path + keep + 1;; at++) {
		char was = *at;

		if (was != '/' && was != '\0')
			continue;
		*at = '\0';
		if (mkdir(path, 0700) < 0 && errno != EEXIST)
			return err_errno(err, "make folder %s", path);
		*at = was;
		if (was == '\0')
			return 0;
	}
}

static int64_t read_pid(int fd)
{
	char text[OWNER_BYTES_MAX + 1];
	ssize_t n = pread(fd, text, OWNER_BYTES_MAX, 0);

	if (n <= 0)
		return 0;
	text[n] = '\0';
	return strtoll(text, NULL, 10);
}

static int write_owner(int fd, const char *path, struct err *err)
{
	char host[256] = "", text[OWNER_BYTES_MAX];
	int n;

	gethostname(host, sizeof host - 1);
	n = snprintf(text, sizeof text, "%d %s\n", (int)getpid(), host);
	if (ftruncate(fd, 0) < 0 || pwrite(fd, text, (size_t)n, 0) != n)
		return err_errno(err, "write %s", path);
	return 0;
}

static int refuse(int fd, const char *dag, uint64_t number, struct err *err)
{
	int64_t pid = read_pid(fd);

	if (pid > 0)
		return err_set(err, ERR_BUSY, "run %s/%" PRIu64 " is driven by pid %" PRId64, dag, number,
			       pid);
	return err_set(err, ERR_BUSY, "run %s/%" PRIu64 " is driven by another process", dag, number);
}

static struct flock whole_file(short type)
{
	return (struct flock){ .l_type = type, .l_whence = SEEK_SET };
}

int owner_take(const char *home, const char *dag, uint64_t number, int *fd_out, struct err *err)
{
	__attribute__((cleanup(arena_fini))) struct arena arena = { 0 };
	const char *path = paths_owner(&arena, home, dag, number);
	char *dir = arena_strdup(&arena, paths_run_dir(&arena, home, dag, number));
	struct flock lock = whole_file(F_WRLCK);
	autoclose int fd = -1;
	int rc = make_folders(dir, strlen(home), err);

	if (rc < 0)
		return rc;
	fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
	if (fd < 0)
		return err_errno(err, "open %s", path);
	if (fcntl(fd, F_OFD_SETLK, &lock) < 0)
		return errno == EAGAIN || errno == EACCES ? refuse(fd, dag, number, err)
							  : err_errno(err, "lock %s", path);
	rc = write_owner(fd, path, err);
	if (rc < 0)
		return rc;
	*fd_out = take_fd(fd);
	return 0;
}

bool owner_is_alive(const char *home, const char *dag, uint64_t number, int64_t *pid_out)
{
	__attribute__((cleanup(arena_fini))) struct arena arena = { 0 };
	struct flock lock = whole_file(F_RDLCK);
	autoclose int fd = open(paths_owner(&arena, home, dag, number), O_RDONLY | O_CLOEXEC);

	if (fd < 0 || fcntl(fd, F_OFD_GETLK, &lock) < 0 || lock.l_type == F_UNLCK)
		return false;
	if (pid_out != NULL)
		*pid_out = read_pid(fd);
	return true;
}
