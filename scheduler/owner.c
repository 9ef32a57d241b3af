#include "scheduler/owner.h"

#include <errno.h>
#include <inttypes.h>
#include <string.h>
#include <sys/stat.h>

#include "common/scope.h"
#include "scheduler/lockfile.h"
#include "scheduler/paths.h"

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

int owner_take(const char *home, const char *dag, uint64_t number, int *fd_out, struct err *err)
{
	__attribute__((cleanup(arena_fini))) struct arena arena = { 0 };
	char *dir = arena_strdup(&arena, paths_run_dir(&arena, home, dag, number));
	int64_t pid;
	int rc = make_folders(dir, strlen(home), err);

	if (rc == 0)
		rc = lockfile_take(paths_owner(&arena, home, dag, number), fd_out, &pid, err);
	if (rc != ERR_BUSY)
		return rc;
	if (pid > 0)
		return err_set(err, ERR_BUSY, "run %s/%" PRIu64 " is driven by pid %" PRId64, dag, number, pid);
	return err_set(err, ERR_BUSY, "run %s/%" PRIu64 " is driven by another process", dag, number);
}

int owner_take_over(const char *home, const char *dag, uint64_t number, int *fd_out, struct err *err)
{
	__attribute__((cleanup(arena_fini))) struct arena arena = { 0 };

	lockfile_await_heirs(paths_owner(&arena, home, dag, number));
	return owner_take(home, dag, number, fd_out, err);
}

bool owner_has_own(const char *home, const char *dag, uint64_t number, int64_t *pid_out)
{
	__attribute__((cleanup(arena_fini))) struct arena arena = { 0 };

	return lockfile_is_held(paths_owner(&arena, home, dag, number), pid_out);
}

bool owner_is_alive(const char *home, const char *dag, uint64_t number, int64_t *pid_out)
{
	return owner_daemon_is_alive(home, pid_out) || owner_has_own(home, dag, number, pid_out);
}

int owner_take_home(const char *home, int *fd_out, struct err *err)
{
	__attribute__((cleanup(arena_fini))) struct arena arena = { 0 };
	const char *path = paths_daemon_lock(&arena, home);
	int64_t pid;
	int rc;

	lockfile_await_heirs(path);
	rc = lockfile_take(path, fd_out, &pid, err);
	return rc != ERR_BUSY ? rc
			      : err_set(err, ERR_BUSY,
					"a daemon is at work already on %s: pid %" PRId64
					" (another one takes another STOKER_HOME)",
					home, pid);
}

bool owner_daemon_is_alive(const char *home, int64_t *pid_out)
{
	__attribute__((cleanup(arena_fini))) struct arena arena = { 0 };

	return lockfile_is_held(paths_daemon_lock(&arena, home), pid_out);
}
