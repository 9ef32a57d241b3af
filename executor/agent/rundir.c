#include "executor/agent/rundir.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/clock.h"
#include "executor/agent/files.h"
#include "executor/agent/root.h"

static const char gone[] = ".gone-";

const char *rundir_path(char path[RUNDIR_PATH_BYTES], const char *home, uint64_t run)
{
	snprintf(path, RUNDIR_PATH_BYTES, "runs/%s-%" PRIu64, home, run);
	return path;
}

void rundir_resolve(struct spec *spec, const char *root, const char *home, struct arena *arena)
{
	char path[RUNDIR_PATH_BYTES];
	bool has_source = false;

	for (size_t i = 0; i < spec->provisions_count; i++)
		has_source |= spec->provisions[i].kind == PROVISION_SOURCE;
	if (!has_source || spec->workdir[0] == '/')
		return;
	rundir_path(path, home, spec->id.run);
	if (strcmp(spec->workdir, ".") == 0)
		spec->workdir = arena_printf(arena, "%s/%s/work", root, path);
	else
		spec->workdir = arena_printf(arena, "%s/%s/work/%s", root, path, spec->workdir);
}

void rundir_claim(const char *home, uint64_t run)
{
	char path[RUNDIR_PATH_BYTES], released[RUNDIR_PATH_BYTES + 16];

	snprintf(released, sizeof released, "%s/released", rundir_path(path, home, run));
	unlink(released);
}

static void remove_in_child(const char *path)
{
	pid_t pid = fork();

	if (pid > 0)
		return;
	if (pid == 0)
		files_close_from(STDERR_FILENO + 1); /* locks among them */
	files_remove(AT_FDCWD, path);
	if (pid == 0)
		_exit(0);
}

void rundir_release(const char *home, uint64_t run, bool keep, struct arena *arena)
{
	char path[RUNDIR_PATH_BYTES], to[RUNDIR_PATH_BYTES + 32];
	char **names;
	int fd;

	if (access(rundir_path(path, home, run), F_OK) < 0)
		return;
	if (keep || root_list(arena, "attempts", arena_printf(arena, "%s-%" PRIu64 "-", home, run), &names) > 0) {
		snprintf(to, sizeof to, "%s/released", path);
		fd = openat(AT_FDCWD, to, O_WRONLY | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
		if (fd >= 0)
			close(fd);
		return;
	}
	snprintf(to, sizeof to, "runs/%s%s-%" PRIu64 "-%d", gone, home, run, (int)getpid());
	if (rename(path, to) == 0)
		remove_in_child(to);
}

static bool is_stale(struct arena *arena, const char *name)
{
	struct stat st;

	return stat(arena_printf(arena, "runs/%s/released", name), &st) == 0 &&
	       st.st_mtime < clock_wall_ms() / 1000 - RUNDIR_KEPT_DAYS * 24 * 3600;
}

void rundir_remove_stale(struct arena *arena)
{
	char **names;
	size_t count = root_list(arena, "runs", "", &names);

	for (size_t i = 0; i < count; i++) {
		if (strncmp(names[i], gone, strlen(gone)) == 0 ||
		    (names[i][0] != '.' && is_stale(arena, names[i])))
			files_remove(AT_FDCWD, arena_printf(arena, "runs/%s", names[i]));
	}
}
