#include "executor/agent/spare.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/scope.h"
#include "executor/agent/files.h"
#include "executor/agent/place.h"

static const char former_exit[] = "exit.spare";

static void name_spare(char path[SPARE_PATH_BYTES], const char *folder, unsigned number)
{
	snprintf(path, SPARE_PATH_BYTES, "%s/.spare-%d-%u", folder, (int)getpid(), number);
}

/* Every name in the folder is one of `usual` (NULL-terminated). */
static bool holds_only(int dir, const char *const *usual)
{
	int again = openat(dir, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	DIR *listing = again < 0 ? NULL : fdopendir(again);
	bool only = listing != NULL;

	while (only) {
		const struct dirent *entry = readdir(listing);
		bool known = false;

		if (entry == NULL)
			break;
		for (size_t i = 0; usual[i] != NULL && !known; i++)
			known = strcmp(entry->d_name, usual[i]) == 0;
		only = known;
	}
	if (listing != NULL)
		closedir(listing);
	else if (again >= 0)
		close(again);
	return only;
}

static bool empty_journal(int dir)
{
	autoclose int fd = openat(dir, "journal", O_WRONLY | O_CLOEXEC | O_NOFOLLOW);

	return fd < 0 ? errno == ENOENT : ftruncate(fd, 0) == 0;
}

static bool make_fit(const char *path)
{
	static const char *const usual[] = { ".", "..", "spec", "journal", "exit", former_exit, NULL };
	autoclose int dir = openat(AT_FDCWD, path, O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);

	return dir >= 0 && holds_only(dir, usual) && empty_journal(dir) &&
	       (renameat(dir, "exit", dir, former_exit) == 0 || errno == ENOENT) && spare_is_fit(dir);
}

bool spare_is_fit(int dir)
{
	struct stat st;

	if (fstatat(dir, "exit", &st, AT_SYMLINK_NOFOLLOW) == 0 || errno != ENOENT)
		return false;
	return fstatat(dir, "journal", &st, AT_SYMLINK_NOFOLLOW) == 0 ? st.st_size == 0 : errno == ENOENT;
}

void spare_reuse_exit(int dir, const char *temporary)
{
	renameat(dir, former_exit, dir, temporary); /* where there is none, a new file is made */
}

bool spare_keep_attempt(struct spares *spares, const char *name, bool closed, char path_out[SPARE_PATH_BYTES])
{
	char from[PLACE_NAME_BYTES + 16];
	unsigned number = ++spares->made;

	snprintf(from, sizeof from, "attempts/%s", name);
	name_spare(path_out, "attempts", number);
	/* Under its own name an attempt is there whole or not at all: first the rename, then the rest. */
	if (rename(from, path_out) < 0) {
		path_out[0] = '\0';
		return false;
	}
	if (!closed || spares->attempts_count == SPARES_MAX || !make_fit(path_out))
		return false;
	spares->attempts[spares->attempts_count++] = number;
	return true;
}

void spare_keep_task(struct spares *spares, const char *name)
{
	static const char *const bare[] = { ".", "..", "checkpoints", NULL };
	static const char *const nothing[] = { ".", "..", NULL };
	char from[PLACE_NAME_BYTES + 32], to[SPARE_PATH_BYTES];
	autoclose int dir = -1;
	autoclose int checkpoints = -1;

	if (spares->tasks_count == SPARES_MAX)
		return;
	snprintf(from, sizeof from, "tasks/%s", name);
	dir = openat(AT_FDCWD, from, O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);
	if (dir >= 0)
		checkpoints = openat(dir, "checkpoints", O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);
	if (checkpoints < 0 || !holds_only(dir, bare) || !holds_only(checkpoints, nothing))
		return;
	name_spare(to, "tasks", ++spares->made);
	if (rename(from, to) == 0)
		spares->tasks[spares->tasks_count++] = spares->made;
}

void spare_take_attempt(struct spares *spares, char path_out[SPARE_PATH_BYTES])
{
	path_out[0] = '\0';
	if (spares->attempts_count > 0)
		name_spare(path_out, "attempts", spares->attempts[--spares->attempts_count]);
}

void spare_take_task(struct spares *spares, char path_out[SPARE_PATH_BYTES])
{
	path_out[0] = '\0';
	if (spares->tasks_count > 0)
		name_spare(path_out, "tasks", spares->tasks[--spares->tasks_count]);
}

void spare_drop_all(struct spares *spares)
{
	char path[SPARE_PATH_BYTES];

	for (spare_take_attempt(spares, path); path[0] != '\0'; spare_take_attempt(spares, path))
		files_remove(AT_FDCWD, path);
	for (spare_take_task(spares, path); path[0] != '\0'; spare_take_task(spares, path))
		files_remove(AT_FDCWD, path);
}

bool spare_is_left_over(const char *name)
{
	static const char prefix[] = ".spare-";
	long pid;

	if (strncmp(name, prefix, sizeof prefix - 1) != 0)
		return false;
	pid = strtol(name + sizeof prefix - 1, NULL, 10);
	return pid <= 1 || (pid != getpid() && kill((pid_t)pid, 0) < 0 && errno == ESRCH);
}
