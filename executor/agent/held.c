#include "executor/agent/held.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/scope.h"
#include "executor/agent/files.h"
#include "executor/agent/root.h"
#include "executor/agent/rundir.h"

enum { PATH_BYTES = RUNDIR_PATH_BYTES + 128 };

char *held_folder(struct held held, const char *path, struct arena *arena)
{
	char run[RUNDIR_PATH_BYTES];

	if (path[0] == '/')
		return arena_strdup(arena, path);
	rundir_path(run, held.home, held.run);
	return strcmp(path, ".") == 0 ? arena_printf(arena, "%s/work", run)
				      : arena_printf(arena, "%s/work/%s", run, path);
}

char *held_checkpoints(struct held held, uint64_t task, const char *path, struct arena *arena)
{
	struct attempt_id id = { .run = held.run, .task = task };
	char name[PLACE_NAME_BYTES];

	if (path[0] != '\0')
		return held_folder(held, path, arena);
	return arena_printf(arena, "tasks/%s/checkpoints", place_task(name, held.home, &id));
}

static void name_file(char path[PATH_BYTES], struct held held, const char *folder, const char *name)
{
	char run[RUNDIR_PATH_BYTES];

	snprintf(path, PATH_BYTES, "%s/%s/%s", rundir_path(run, held.home, held.run), folder, name);
}

static void name_mark(char path[PATH_BYTES], struct held held, enum provision_kind kind, uint64_t task)
{
	char name[32];

	snprintf(name, sizeof name, "%s%" PRIu64, kind == PROVISION_CHECKPOINT ? "c" : "", task);
	name_file(path, held, "placed", name);
}

static int make_parent(char path[PATH_BYTES])
{
	char *slash = strrchr(path, '/');
	int rc;

	*slash = '\0';
	rc = files_make_folders(path);
	*slash = '/';
	return rc;
}

static int replace(char path[PATH_BYTES], const void *bytes, size_t n, struct err *err)
{
	if (make_parent(path) < 0 || files_replace(AT_FDCWD, path, bytes, n, 0) < 0)
		return err_errno(err, "write %s", path);
	return 0;
}

int held_put_manifest(struct held held, const char *name, const struct parcel *parcel, struct err *err)
{
	char path[PATH_BYTES];

	name_file(path, held, "manifests", name);
	return replace(path, parcel->manifest, parcel->manifest_bytes, err);
}

int held_get_manifest(struct held held, const char *name, struct parcel *out, struct err *err)
{
	autobuf struct buf manifest = { 0 };
	char path[PATH_BYTES];

	name_file(path, held, "manifests", name);
	if (files_read(AT_FDCWD, path, PARCEL_MANIFEST_BYTES_MAX, &manifest) < 0)
		return err_errno(err, "read %s", path);
	return parcel_parse(manifest.data, manifest.bytes, out, err) < 0 ? err_wrap(err, "%s", path) : 0;
}

void held_name_checkpoint(uint64_t task, const char *name, const char *digest, char out[HELD_NAME_BYTES])
{
	struct digest sum;
	uint8_t bytes[DIGEST_BYTES];
	char hex[DIGEST_HEX_BYTES];

	digest_init(&sum);
	digest_add(&sum, name, strlen(name) + 1);
	digest_add(&sum, digest, strlen(digest));
	digest_end(&sum, bytes);
	digest_hex(bytes, hex);
	snprintf(out, HELD_NAME_BYTES, "c%" PRIu64 "-%.32s", task, hex);
}

char *held_links(struct held held, const char *name, struct arena *arena)
{
	char path[PATH_BYTES];

	name_file(path, held, "links", name);
	return arena_strdup(arena, path);
}

void held_drop_others(struct held held, uint64_t task, const char *name, struct arena *arena)
{
	static const char *const folders[] = { "manifests", "links" };
	char *prefix = arena_printf(arena, "c%" PRIu64 "-", task);

	for (size_t i = 0; i < COUNT_OF(folders); i++) {
		char path[PATH_BYTES], **names;
		size_t count;

		name_file(path, held, folders[i], "");
		count = root_list(arena, path, prefix, &names);
		for (size_t k = 0; k < count; k++) {
			if (strcmp(names[k], name) == 0)
				continue;
			name_file(path, held, folders[i], names[k]);
			files_remove(AT_FDCWD, path);
		}
	}
}

int held_lock(struct held held, enum provision_kind kind, uint64_t task, struct err *err)
{
	char path[PATH_BYTES];
	autoclose int fd = -1;

	name_mark(path, held, kind, task);
	snprintf(path + strlen(path), sizeof path - strlen(path), ".lock");
	if (make_parent(path) < 0)
		return err_errno(err, "make %s", path);
	fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
	if (fd < 0 || flock(fd, LOCK_EX) < 0)
		return err_errno(err, "lock %s", path);
	return take_fd(fd);
}

int held_mark(struct held held, enum provision_kind kind, uint64_t task, const char *mark, struct err *err)
{
	char path[PATH_BYTES];

	name_mark(path, held, kind, task);
	return replace(path, mark, strlen(mark), err);
}

void held_unmark(struct held held, enum provision_kind kind, uint64_t task)
{
	char path[PATH_BYTES];

	name_mark(path, held, kind, task);
	unlink(path);
}

bool held_is_marked(struct held held, enum provision_kind kind, uint64_t task, const char *mark)
{
	autobuf struct buf found = { 0 };
	char path[PATH_BYTES];

	name_mark(path, held, kind, task);
	return files_read(AT_FDCWD, path, HELD_MARK_BYTES, &found) == 0 &&
	       strcmp(buf_text(&found), mark) == 0;
}
