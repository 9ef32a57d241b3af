/*
 * gc_files.c - the turns of the gc with the files
 */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/mem.h"
#include "common/parcel.h"
#include "common/scope.h"
#include "scheduler/gc_parts.h"
#include "scheduler/owner.h"
#include "scheduler/paths.h"

#define DAY_MS (INT64_C(24) * 3600 * 1000)

enum { NAME_BYTES = 300 };

static const char OWNER[] = "owner";
static const char GONE[] = ".gone-";

/* --- one file ------------------------------------------------------------------------------------------- */

static uint64_t disk_bytes(const struct stat *st)
{
	return (uint64_t)st->st_blocks * 512;
}

static bool is_older(const struct gc *gc, const struct stat *st, int64_t age_ms)
{
	return age_ms > 0 && (int64_t)st->st_mtim.tv_sec * 1000 < gc->plan.now_wall_ms - age_ms;
}

static bool ends_with(const char *name, const char *end)
{
	size_t n = strlen(name), m = strlen(end);

	return n > m && strcmp(name + n - m, end) == 0;
}

/* What somebody else removed meanwhile is no failure. */
static void note_failure(struct gc *gc, const char *folder, const char *name)
{
	if (errno == ENOENT)
		return;
	if (gc->report.failures++ == 0)
		err_errno(&gc->report.failure, "remove %s/%s", folder, name);
}

/* Counts it; in a dry run that is all. */
static void remove_file(struct gc *gc, const char *folder, int dir, const char *name, struct gc_tally *tally)
{
	struct stat st;

	if (fstatat(dir, name, &st, AT_SYMLINK_NOFOLLOW) < 0)
		return;
	if (!gc->plan.dry && unlinkat(dir, name, 0) < 0) {
		note_failure(gc, folder, name);
		return;
	}
	tally->count++;
	tally->bytes += disk_bytes(&st);
}

/* --- the folder of a run -------------------------------------------------------------------------------- */

static DIR *open_folder(const char *path)
{
	int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);
	DIR *dir = fd < 0 ? NULL : fdopendir(fd);

	if (dir == NULL && fd >= 0)
		close(fd);
	return dir;
}

static bool is_dots(const char *name)
{
	return strcmp(name, ".") == 0 || strcmp(name, "..") == 0;
}

/* All of it, or only its logs: files, no folders. */
static void empty_folder(struct gc *gc, const char *path, bool logs_only, struct gc_tally *tally)
{
	DIR *dir = open_folder(path);
	struct dirent *entry;

	if (dir == NULL) {
		note_failure(gc, path, "");
		return;
	}
	while ((entry = readdir(dir)) != NULL)
		if (!is_dots(entry->d_name) && strcmp(entry->d_name, OWNER) != 0 &&
		    (!logs_only || ends_with(entry->d_name, ".log")))
			remove_file(gc, path, dirfd(dir), entry->d_name, tally);
	closedir(dir);
}

/* The lock's file last: what is left of a folder after a crash is known by it. */
static void remove_folder(struct gc *gc, const struct gc_item *item, struct gc_tally *tally)
{
	const char *path = paths_run_dir(&gc->arena, gc->plan.home, item->dag, item->number);
	const char *copies = paths_copies(&gc->arena, gc->plan.home, item->dag, item->number);
	struct gc_tally files = { 0 };

	empty_folder(gc, path, false, &files);
	empty_folder(gc, copies, false, &files);
	tally->count++;
	tally->bytes += files.bytes;
	if (gc->plan.dry)
		return;
	rmdir(copies);
	unlink(paths_owner(&gc->arena, gc->plan.home, item->dag, item->number));
	if (rmdir(path) < 0)
		note_failure(gc, path, "");
}

void gc_remove_folders(struct gc *gc)
{
	for (size_t i = 0; i < gc->count; i++) {
		const struct gc_item *item = &gc->items[i];

		if (!item->goes)
			continue;
		remove_folder(gc, item, &gc->report.runs);
		if (gc->plan.tell != NULL)
			gc->plan.tell(gc->plan.context, item->dag, item->number, item->ended_ms);
	}
	gc_put_down(gc);
	gc->step = gc->then;
}

void gc_remove_logs(struct gc *gc)
{
	for (size_t i = 0; i < gc->count; i++) {
		const struct gc_item *item = &gc->items[i];

		if (item->goes)
			empty_folder(gc, paths_run_dir(&gc->arena, gc->plan.home, item->dag, item->number),
				     true, &gc->report.logs);
	}
	gc->step = GC_MARK_RUNS;
}

/* --- folders that may have no run ----------------------------------------------------------------------- */

static bool read_number(const char *name, uint64_t *number_out)
{
	char *end;

	errno = 0;
	*number_out = strtoull(name, &end, 10);
	return name[0] >= '1' && name[0] <= '9' && *end == '\0' && errno == 0;
}

/* The next folder of a DAG; false when there is none. */
static bool next_dag_folder(struct gc *gc)
{
	struct dirent *entry;

	if (gc->dags == NULL) {
		autofree char *path = mem_printf("%s/runs", gc->plan.home);

		gc->dags = open_folder(path);
	}
	while (gc->dags != NULL && (entry = readdir(gc->dags)) != NULL) {
		autofree char *path = mem_printf("%s/runs/%s", gc->plan.home, entry->d_name);

		if (is_dots(entry->d_name) || (gc->numbers = open_folder(path)) == NULL)
			continue;
		free(gc->walked);
		gc->walked = mem_strdup(entry->d_name);
		return true;
	}
	return false;
}

static void list_number(struct gc *gc, const char *name)
{
	struct gc_item *item = &gc->items[gc->count];
	struct stat st;
	uint64_t number;

	if (!read_number(name, &number) || fstatat(dirfd(gc->numbers), name, &st, AT_SYMLINK_NOFOLLOW) < 0)
		return;
	*item = (struct gc_item){ .dag = arena_strdup(&gc->arena, gc->walked), .number = number, .owner = -1,
				  .goes = is_older(gc, &st, gc->retention.logs.age_ms) };
	gc->count++;
}

void gc_list_folders(struct gc *gc)
{
	struct dirent *entry;

	gc_put_down(gc);
	while (gc->count < GC_FILES_MAX && (gc->numbers != NULL || next_dag_folder(gc))) {
		entry = readdir(gc->numbers);
		if (entry != NULL) {
			list_number(gc, entry->d_name);
			continue;
		}
		closedir(gc->numbers);
		gc->numbers = NULL;
	}
	gc->step = gc->count == 0 ? GC_LIST_SOURCES : GC_JUDGE_FOLDERS;
}

/* One that is being made, for a run that nobody sees yet, is young and has an owner. */
void gc_remove_strays(struct gc *gc)
{
	for (size_t i = 0; i < gc->count; i++) {
		const struct gc_item *item = &gc->items[i];

		if (item->goes && !owner_has_own(gc->plan.home, item->dag, item->number, NULL))
			remove_folder(gc, item, &gc->report.folders);
	}
	gc->step = GC_LIST_FOLDERS;
}

/* --- snapshots of sources ------------------------------------------------------------------------------- */

/* What a gc was killed over is put back, and judged anew by the next one. */
static void put_back(int dir, const char *gone)
{
	if (linkat(dir, gone, dir, gone + strlen(GONE), 0) == 0 || errno == EEXIST)
		unlinkat(dir, gone, 0);
}

static void list_parcel(struct gc *gc, const char *folder, const char *name)
{
	int dir = dirfd(gc->parcels);
	struct stat st;

	if (fstatat(dir, name, &st, AT_SYMLINK_NOFOLLOW) < 0 || !S_ISREG(st.st_mode) || !is_older(gc, &st, DAY_MS))
		return;
	if (parcel_digest_valid(name))
		gc->items[gc->count++] = (struct gc_item){ .dag = arena_strdup(&gc->arena, name), .owner = -1 };
	else if (strncmp(name, GONE, strlen(GONE)) == 0 && !gc->plan.dry)
		put_back(dir, name);
	else if (name[0] == '.')
		remove_file(gc, folder, dir, name, &gc->report.left_over);
}

void gc_list_sources(struct gc *gc)
{
	const char *folder;
	struct dirent *entry;

	gc_put_down(gc);
	folder = paths_parcels(&gc->arena, gc->plan.home);
	if (gc->parcels == NULL)
		gc->parcels = open_folder(folder);
	while (gc->parcels != NULL && gc->count < GC_FILES_MAX && (entry = readdir(gc->parcels)) != NULL)
		list_parcel(gc, folder, entry->d_name);
	gc->step = gc->count == 0 ? GC_READ_ARTIFACTS : GC_JUDGE_SOURCES;
}

/* Out of the way first, and then looked at again: source_take makes what it is about to use young. */
static void remove_source(struct gc *gc, const char *folder, const char *name)
{
	int dir = dirfd(gc->parcels);
	char gone[NAME_BYTES];
	struct stat st;

	snprintf(gone, sizeof gone, "%s%s", GONE, name);
	if (gc->plan.dry) {
		remove_file(gc, folder, dir, name, &gc->report.sources);
		return;
	}
	if (renameat(dir, name, dir, gone) < 0) {
		note_failure(gc, folder, name);
		return;
	}
	if (fstatat(dir, gone, &st, AT_SYMLINK_NOFOLLOW) == 0 && is_older(gc, &st, DAY_MS))
		remove_file(gc, folder, dir, gone, &gc->report.sources);
	else
		put_back(dir, gone);
}

void gc_remove_sources(struct gc *gc)
{
	const char *folder = paths_parcels(&gc->arena, gc->plan.home);

	for (size_t i = 0; i < gc->count; i++)
		if (gc->items[i].goes)
			remove_source(gc, folder, gc->items[i].dag);
	gc->step = GC_LIST_SOURCES;
}

/* --- artifacts on their way, and what else lies about --------------------------------------------------- */

struct fetched {
	const char *name;
	int64_t used_ms;
	uint64_t bytes;
};

static int oldest_first(const void *a, const void *b)
{
	int64_t left = ((const struct fetched *)a)->used_ms, right = ((const struct fetched *)b)->used_ms;

	return left < right ? -1 : left > right;
}

static int by_text(const void *name, const void *entry)
{
	return strcmp(name, *(const char *const *)entry);
}

static bool is_needed(const struct gc *gc, const char *name)
{
	return bsearch(name, gc->needed, gc->needed_count, sizeof *gc->needed, by_text) != NULL;
}

/* The oldest go until the rest is small enough; what a live run needs stays whatever its size. */
static void tidy_fetched(struct gc *gc)
{
	const char *folder = paths_fetched(&gc->arena, gc->plan.home, "");
	DIR *dir = open_folder(folder);
	struct fetched *list = NULL;
	size_t count = 0, room = 0;
	uint64_t bytes = 0;
	struct dirent *entry;
	struct stat st;

	while (dir != NULL && (entry = readdir(dir)) != NULL) {
		if (fstatat(dirfd(dir), entry->d_name, &st, AT_SYMLINK_NOFOLLOW) < 0 || !S_ISREG(st.st_mode))
			continue;
		if (!parcel_digest_valid(entry->d_name)) {
			if (is_older(gc, &st, DAY_MS))
				remove_file(gc, folder, dirfd(dir), entry->d_name, &gc->report.left_over);
			continue;
		}
		mem_grow(&list, &room, count, sizeof *list);
		list[count++] = (struct fetched){ arena_strdup(&gc->arena, entry->d_name),
						  (int64_t)st.st_mtim.tv_sec * 1000 + st.st_mtim.tv_nsec / 1000000,
						  disk_bytes(&st) };
		bytes += disk_bytes(&st);
	}
	if (count > 0)
		qsort(list, count, sizeof *list, oldest_first);
	for (size_t i = 0; i < count && bytes > (uint64_t)gc->retention.fetched_bytes; i++) {
		if (is_needed(gc, list[i].name))
			continue;
		remove_file(gc, folder, dirfd(dir), list[i].name, &gc->report.fetched);
		bytes -= list[i].bytes;
	}
	free(list);
	if (dir != NULL)
		closedir(dir);
}

/* Those that migrate.c and backup_restore left. What somebody made with `stoker backup` is theirs, wherever it lies. */
static bool is_backup(const char *name)
{
	static const char upgraded[] = "stoker.db.v", replaced[] = "stoker.db.before-";

	return (strncmp(name, upgraded, strlen(upgraded)) == 0 && ends_with(name, ".backup")) ||
	       strncmp(name, replaced, strlen(replaced)) == 0;
}

static void remove_backups(struct gc *gc)
{
	DIR *dir = open_folder(gc->plan.home);
	struct dirent *entry;
	struct stat st;

	while (dir != NULL && (entry = readdir(dir)) != NULL)
		if (is_backup(entry->d_name) &&
		    fstatat(dirfd(dir), entry->d_name, &st, AT_SYMLINK_NOFOLLOW) == 0 &&
		    is_older(gc, &st, gc->retention.backups_age_ms))
			remove_file(gc, gc->plan.home, dirfd(dir), entry->d_name, &gc->report.backups);
	if (dir != NULL)
		closedir(dir);
}

void gc_remove_fetched(struct gc *gc)
{
	tidy_fetched(gc);
	remove_backups(gc);
	gc_put_down(gc);
	gc->step = gc->plan.dry ? GC_END : GC_GIVE_BACK;
}
