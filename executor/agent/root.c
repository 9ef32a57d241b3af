#include "executor/agent/root.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/clock.h"
#include "common/mem.h"
#include "common/scope.h"
#include "executor/agent/files.h"
#include "executor/agent/place.h"
#include "executor/agent/rundir.h"

enum {
	REMOVE_HERE_BYTES = 16 * 1024 * 1024,
	STALE_SECONDS = 600, /* a folder that is being made for so long is left over */
};

static int compare_names(const void *a, const void *b)
{
	return strcmp(*(char *const *)a, *(char *const *)b);
}

size_t root_list(struct arena *arena, const char *folder, const char *prefix, char ***names_out)
{
	DIR *dir = opendir(folder);
	char **names = NULL;
	size_t count = 0, room = 0;

	*names_out = NULL;
	if (dir == NULL)
		return 0;
	for (struct dirent *entry; (entry = readdir(dir)) != NULL;) {
		if (strncmp(entry->d_name, prefix, strlen(prefix)) != 0)
			continue;
		mem_grow(&names, &room, count, sizeof *names);
		names[count++] = arena_strdup(arena, entry->d_name);
	}
	closedir(dir);
	if (count > 0) {
		qsort(names, count, sizeof *names, compare_names);
		*names_out = arena_memdup(arena, names, count * sizeof *names);
	}
	free(names);
	return count;
}

static bool holds_attempts(struct arena *arena)
{
	char **names;

	return root_list(arena, "attempts", "", &names) > 2; /* more than . and .. */
}

static int probe(const char *root, struct arena *arena, const char **warning_out, struct err *err)
{
	char *path = arena_printf(arena, ".probe-%d", (int)getpid());
	autoclose int fd = openat(AT_FDCWD, path, O_WRONLY | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
	int rc = 0;

	if (fd < 0 || files_write(fd, path, strlen(path)) < 0) {
		rc = err_errno(err, "write below %s", root);
		if (rc == ERR_FULL && holds_attempts(arena)) {
			*warning_out = arena_strdup(arena, err->text);
			rc = 0;
		}
	}
	if (fd >= 0)
		unlink(path);
	return rc;
}

int root_open(const char *path, struct arena *arena, char **absolute_out, const char **warning_out,
	      struct err *err)
{
	static const char *const folders[] = { "attempts", "epochs", "parcels", "runs", "tasks" };
	autofree char *absolute = NULL;
	int rc;

	if (files_make_folders(path) < 0 || chdir(path) < 0 || (absolute = realpath(".", NULL)) == NULL)
		return err_errno(err, "%s", path);
	for (size_t i = 0; i < COUNT_OF(folders); i++)
		if (mkdir(folders[i], 0700) < 0 && errno != EEXIST)
			return err_errno(err, "mkdir %s/%s", absolute, folders[i]);
	*warning_out = NULL;
	rc = probe(absolute, arena, warning_out, err);
	if (rc == 0)
		*absolute_out = take(absolute);
	return rc;
}

void root_remove_attempt(const char *name, uint64_t log_bytes, bool closed, struct spares *spares)
{
	char path[SPARE_PATH_BYTES];
	pid_t pid;

	if (spare_keep_attempt(spares, name, closed, path) || path[0] == '\0')
		return;
	/* A big log takes the file system a while, and pings must be answered meanwhile: a child does it. */
	pid = log_bytes < REMOVE_HERE_BYTES ? -1 : fork();
	if (pid > 0)
		return;
	files_remove(AT_FDCWD, path);
	if (pid == 0)
		_exit(0);
}

static bool is_left_over(const char *name, const char *path)
{
	struct stat st;

	if (spare_is_left_over(name))
		return true;
	return strncmp(name, ".new-", strlen(".new-")) == 0 && stat(path, &st) == 0 &&
	       st.st_ctime < clock_wall_ms() / 1000 - STALE_SECONDS;
}

static void remove_leftovers(struct arena *arena, const char *folder, char **names, size_t count)
{
	for (size_t i = 0; i < count; i++) {
		char *path = arena_printf(arena, "%s/%s", folder, names[i]);

		if (is_left_over(names[i], path))
			files_remove(AT_FDCWD, path);
	}
}

void root_remove_leftovers(struct arena *arena)
{
	char **attempts, **tasks, **runs;
	size_t attempts_count = root_list(arena, "attempts", ".", &attempts);
	size_t tasks_count = root_list(arena, "tasks", ".", &tasks);
	size_t runs_count = root_list(arena, "runs", "", &runs);

	if (attempts_count + tasks_count + runs_count <= 6 || fork() != 0)
		return; /* nothing but . and .., or a child is at it */
	remove_leftovers(arena, "attempts", attempts, attempts_count);
	remove_leftovers(arena, "tasks", tasks, tasks_count);
	rundir_remove_stale(arena);
	_exit(0);
}

void root_remove_empty_tasks(struct arena *arena, const char *prefix)
{
	char **names;
	size_t count = root_list(arena, "tasks", prefix, &names);

	for (size_t i = 0; i < count; i++) {
		char *task = arena_printf(arena, "tasks/%s", names[i]);

		if (rmdir(arena_printf(arena, "%s/checkpoints", task)) < 0 && errno != ENOENT)
			continue;
		unlink(arena_printf(arena, "%s/baseline", task)); /* of no use to anybody alone */
		rmdir(task);
	}
}
