#include "executor/agent/install.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/parcel.h"
#include "common/scope.h"
#include "common/unpack.h"
#include "executor/agent/entry.h"
#include "executor/agent/files.h"
#include "executor/agent/held.h"
#include "executor/agent/root.h"
#include "executor/agent/rundir.h"

enum {
	PATH_BYTES = 256,
	PARCELS_KEPT = 64, /* and no more than so many bytes, the one in use aside */
};
#define PARCELS_KEPT_BYTES (INT64_C(4) << 30)

struct install install_of(const char *home, const struct spec *spec, size_t index)
{
	return (struct install){
		.home = home, .run = spec->id.run, .epoch = spec->epoch, .what = spec->provisions[index]
	};
}

const char *install_check(const struct spec_provision *what)
{
	char entry[ENTRY_NAME_BYTES];

	if (!parcel_digest_valid(what->digest))
		return "what it needs has no valid name";
	if (what->kind == PROVISION_SOURCE)
		return NULL;
	if (what->path[0] != '/' && strcmp(what->path, ".") != 0 && !parcel_path_valid(what->path) &&
	    !(what->kind == PROVISION_CHECKPOINT && what->path[0] == '\0'))
		return "what it needs lies in a folder that leads out of the run's";
	if (what->kind == PROVISION_CHECKPOINT && entry_of(what->name, entry) == ENTRY_NONE)
		return "what it needs is no name of a checkpoint";
	return NULL;
}

void install_copy(const struct install *install, struct arena *arena, struct install *out)
{
	*out = *install;
	out->what.digest = arena_strdup(arena, install->what.digest);
	out->what.path = arena_strdup(arena, install->what.path);
	out->what.name = arena_strdup(arena, install->what.name);
}

bool install_is_same(const struct install *a, const struct install *b)
{
	return a->what.kind == b->what.kind && a->run == b->run && a->what.task == b->what.task &&
	       strcmp(a->what.digest, b->what.digest) == 0 && strcmp(a->what.path, b->what.path) == 0 &&
	       strcmp(a->what.name, b->what.name) == 0;
}

const char *install_title(const struct install *install, char title[INSTALL_TITLE_BYTES])
{
	static const char *const titles[PROVISIONS] = {
		[PROVISION_SOURCE] = "the source",
		[PROVISION_ARTIFACTS] = "the artifacts of ",
		[PROVISION_CHECKPOINT] = "the checkpoint ",
	};

	snprintf(title, INSTALL_TITLE_BYTES, "%s%s", titles[install->what.kind], install->what.name);
	return title;
}

static void name_work(char path[PATH_BYTES], const struct install *install)
{
	char folder[RUNDIR_PATH_BYTES];

	snprintf(path, PATH_BYTES, "%s/work", rundir_path(folder, install->home, install->run));
}

static struct held held_of(const struct install *install)
{
	return (struct held){ install->home, install->run };
}

/* Where its files go. */
static char *find_folder(const struct install *install, struct arena *arena)
{
	const struct spec_provision *what = &install->what;

	return what->kind == PROVISION_CHECKPOINT
		       ? held_checkpoints(held_of(install), what->task, what->path, arena)
		       : held_folder(held_of(install), what->path, arena);
}

/*
 * That it was brought is not enough for a checkpoint: `keep` may have removed it since, or the program written
 * over it. So its mark tells how its files looked.
 */
static void name_checkpoint_mark(const struct install *install, int dir, char mark[HELD_MARK_BYTES])
{
	snprintf(mark, HELD_MARK_BYTES, "%s %016" PRIx64, install->what.digest,
		 entry_sign(dir, install->what.name).hash);
}

static bool checkpoint_is_there(const struct install *install)
{
	__attribute__((cleanup(arena_fini))) struct arena arena = { 0 };
	const struct spec_provision *what = &install->what;
	autoclose int dir = open(find_folder(install, &arena), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	char mark[HELD_MARK_BYTES];

	if (dir < 0 || entry_sign(dir, what->name).hash == 0)
		return false;
	name_checkpoint_mark(install, dir, mark);
	return held_is_marked(held_of(install), what->kind, what->task, mark);
}

bool install_is_there(const struct install *install)
{
	const struct spec_provision *what = &install->what;
	char path[PATH_BYTES];

	if (what->kind == PROVISION_SOURCE) {
		name_work(path, install);
		return access(path, F_OK) == 0;
	}
	if (what->kind == PROVISION_CHECKPOINT)
		return checkpoint_is_there(install);
	return held_is_marked(held_of(install), what->kind, what->task, what->digest);
}

/* --- parcels that are kept ------------------------------------------------------------------------------ */

struct kept {
	const char *name;
	struct timespec used;
	int64_t bytes;
};

static int oldest_first(const void *a, const void *b)
{
	const struct timespec *left = &((const struct kept *)a)->used, *right = &((const struct kept *)b)->used;

	if (left->tv_sec != right->tv_sec)
		return left->tv_sec < right->tv_sec ? -1 : 1;
	return left->tv_nsec < right->tv_nsec ? -1 : left->tv_nsec > right->tv_nsec;
}

/* The oldest go when they are too many. Whoever is just reading one has it open and is not disturbed. */
static void tidy_parcels(struct arena *arena, const char *in_use)
{
	char **names;
	size_t count = root_list(arena, "parcels", "", &names);
	struct kept *kept = arena_alloc(arena, (count + 1) * sizeof *kept);
	size_t kept_count = 0;
	int64_t bytes = 0;

	for (size_t i = 0; i < count; i++) {
		struct stat st;

		if (!parcel_digest_valid(names[i]) || strcmp(names[i], in_use) == 0 ||
		    stat(arena_printf(arena, "parcels/%s", names[i]), &st) < 0)
			continue;
		kept[kept_count++] = (struct kept){ names[i], st.st_mtim, (int64_t)st.st_blocks * 512 };
		bytes += (int64_t)st.st_blocks * 512;
	}
	qsort(kept, kept_count, sizeof *kept, oldest_first);
	for (size_t i = 0; i < kept_count && (kept_count - i > PARCELS_KEPT || bytes > PARCELS_KEPT_BYTES); i++) {
		unlink(arena_printf(arena, "parcels/%s", kept[i].name));
		bytes -= kept[i].bytes;
	}
}

/* --- putting in place ----------------------------------------------------------------------------------- */

/* Unpacks into a new folder of that name. Nothing of it is left when that fails. */
static int unpack_to(const char *folder, const char *digest, bool *damaged_out, struct err *err)
{
	char path[PATH_BYTES];
	autoclose int fd = -1;
	autoclose int dir = -1;
	int rc;

	snprintf(path, sizeof path, "parcels/%s", digest);
	fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
	if (fd < 0)
		return err_errno(err, "open %s", path);
	futimens(fd, NULL); /* used just now */
	files_remove(AT_FDCWD, folder);
	if (mkdir(folder, 0755) < 0 || (dir = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC)) < 0)
		return err_errno(err, "make %s", folder);
	rc = unpack_file(fd, dir, digest, err);
	*damaged_out = rc == ERR_CORRUPT || rc == ERR_LIMIT;
	/* On the disk before it is in place: after a power cut what is there is whole. */
	if (rc == 0 && syncfs(dir) < 0)
		rc = err_errno(err, "sync %s", folder);
	if (rc < 0)
		files_remove(AT_FDCWD, folder);
	return rc;
}

static int install_source(const struct install *install, bool *damaged_out, struct err *err)
{
	char folder[RUNDIR_PATH_BYTES], making[PATH_BYTES], work[PATH_BYTES];

	rundir_path(folder, install->home, install->run);
	name_work(work, install);
	if (files_make_folders(folder) < 0)
		return err_errno(err, "make %s", folder);
	snprintf(making, sizeof making, "%s/.new-%d", folder, (int)getpid());
	if (unpack_to(making, install->what.digest, damaged_out, err) < 0)
		return err->code;
	if (rename(making, work) == 0)
		return 0;
	if (errno != EEXIST && errno != ENOTEMPTY)
		err_errno(err, "rename to %s", work);
	else
		err->code = ERR_OK; /* somebody else was faster */
	files_remove(AT_FDCWD, making);
	return err->code;
}

static int read_manifest(const char *digest, struct parcel *out, struct err *err)
{
	char path[PATH_BYTES];
	autoclose int fd = -1;

	snprintf(path, sizeof path, "parcels/%s", digest);
	fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
	return fd < 0 ? err_errno(err, "open %s", path) : unpack_manifest(fd, out, err);
}

static int make_folder(int dir, const char *path, struct err *err)
{
	struct stat st;

	if (mkdirat(dir, path, 0755) == 0)
		return 0;
	if (errno != EEXIST)
		return err_errno(err, "make the folder %s", path);
	if (fstatat(dir, path, &st, 0) == 0 && S_ISDIR(st.st_mode))
		return 0;
	return err_set(err, ERR_EXISTS, "%s is no folder here", path);
}

/* Each file by a rename over what may be there: whoever looks sees the old one or the new one. */
static int place_files(int from, int to, const struct parcel *parcel, struct err *err)
{
	for (size_t i = 0; i < parcel->count; i++) {
		const struct parcel_entry *entry = &parcel->entries[i];

		if (entry->type == PARCEL_FOLDER) {
			if (make_folder(to, entry->path, err) < 0)
				return err->code;
		} else if (renameat(from, entry->path, to, entry->path) < 0) {
			return err_errno(err, "put %s in place", entry->path);
		}
	}
	return 0;
}

/* What stands at the top: a file or a folder, whole, in the place of what has its name. */
static int place_tops(int from, int to, const struct parcel *parcel, struct err *err)
{
	for (size_t i = 0; i < parcel->count; i++) {
		const char *path = parcel->entries[i].path;

		if (strchr(path, '/') != NULL)
			continue;
		if (renameat(from, path, to, path) == 0)
			continue;
		files_remove(to, path);
		if (renameat(from, path, to, path) < 0)
			return err_errno(err, "put %s in place", path);
	}
	return 0;
}

static int mark_placed(const struct install *install, int dir, struct err *err)
{
	const struct spec_provision *what = &install->what;
	char mark[HELD_MARK_BYTES];

	snprintf(mark, sizeof mark, "%s", what->digest);
	if (what->kind == PROVISION_CHECKPOINT)
		name_checkpoint_mark(install, dir, mark);
	return held_mark(held_of(install), what->kind, what->task, mark, err);
}

/* Artifacts and checkpoints: unpacked beside where they go, and marked when all of them are there. */
static int install_files(const struct install *install, bool *damaged_out, struct err *err)
{
	__attribute__((cleanup(arena_fini))) struct arena arena = { 0 };
	const struct spec_provision *what = &install->what;
	const char *folder = find_folder(install, &arena);
	const char *making = arena_printf(&arena, "%s/.stoker-%d", folder, (int)getpid());
	autoclose int lock = held_lock(held_of(install), what->kind, what->task, err);
	autoclose int from = -1;
	autoclose int to = -1;
	struct parcel parcel;
	int rc;

	if (lock < 0)
		return lock;
	if (install_is_there(install))
		return 0; /* by another agent, meanwhile; a step may be working with it already */
	held_unmark(held_of(install), what->kind, what->task);
	if (files_make_folders(folder) < 0)
		return err_errno(err, "make %s", folder);
	if (unpack_to(making, what->digest, damaged_out, err) < 0 ||
	    read_manifest(what->digest, &parcel, err) < 0)
		return err->code;
	from = open(making, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	to = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (from < 0 || to < 0)
		rc = err_errno(err, "open %s", folder);
	else if (what->kind == PROVISION_CHECKPOINT)
		rc = place_tops(from, to, &parcel, err);
	else
		rc = place_files(from, to, &parcel, err);
	files_remove(AT_FDCWD, making);
	if (rc == 0)
		rc = mark_placed(install, to, err);
	parcel_fini(&parcel);
	return rc;
}

/* It must be seen to end when the agent does. */
static void let_go_of_connection(void)
{
	int fd = open("/dev/null", O_RDWR | O_CLOEXEC);

	for (int end = 0; end < 3; end++)
		dup2(fd, end);
}

void install_work(void *context, int out)
{
	const struct install *install = context;
	struct install_answer answer = { 0 };
	struct err err = { 0 };
	struct arena arena;

	let_go_of_connection();
	answer.code = install->what.kind == PROVISION_SOURCE ? install_source(install, &answer.damaged, &err)
							     : install_files(install, &answer.damaged, &err);
	answer.sys_errno = err.sys_errno;
	snprintf(answer.text, sizeof answer.text, "%.390s", err.text);
	files_write(out, &answer, sizeof answer);
	arena_init(&arena);
	tidy_parcels(&arena, install->what.digest);
	arena_fini(&arena);
}
