#include "scheduler/copies.h"

#include <dirent.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/list.h"
#include "common/log.h"
#include "common/mem.h"
#include "common/scope.h"
#include "scheduler/launch.h"
#include "scheduler/paths.h"

/* A fetch that was ordered; its path is what the intake knows it by. */
struct copying {
	struct list link;
	char *path;
	struct attempt_id id;
	uint32_t seq;
};

struct copies {
	uv_loop_t *loop;
	const char *home;
	copies_on_end *on_end;
	void *context;
	struct intake *intake;
	struct list under_way;
};

static const char *name_file(const struct copies *copies, const struct run *run, uint64_t task, uint32_t seq,
			     struct arena *arena)
{
	return paths_copy(arena, copies->home, run->row.dag, run->row.number, run->dag->steps[task].name, seq);
}

static const char *name_folder(const struct copies *copies, const struct run *run, struct arena *arena)
{
	return paths_copies(arena, copies->home, run->row.dag, run->row.number);
}

/* What cannot be made is told when it is used. */
static void make_folders(const struct copies *copies, const struct run *run, struct arena *arena)
{
	char *path = arena_strdup(arena, name_folder(copies, run, arena));

	for (char *at = path + strlen(copies->home) + 1; (at = strchr(at, '/')) != NULL; *at++ = '/') {
		*at = '\0';
		mkdir(path, 0700);
	}
	mkdir(path, 0700);
}

static void on_unlinked(uv_fs_t *request)
{
	uv_fs_req_cleanup(request);
	free(request);
}

/*
 * A big file takes the file system a while: a thread does it. Its name is free at once, for another that is
 * fetched to there.
 */
static void remove_file(struct copies *copies, const char *path)
{
	autofree char *old = mem_printf("%s.old", path);
	uv_fs_t *request;

	if (rename(path, old) < 0)
		return;
	request = mem_zalloc(sizeof *request);
	uv_fs_unlink(copies->loop, request, old, on_unlinked);
}

static void remove_part(struct copies *copies, const char *path)
{
	autofree char *part = mem_printf("%s.part", path);

	remove_file(copies, part);
}

/* --- under way ------------------------------------------------------------------------------------------ */

static struct copying *find_copying(const struct copies *copies, const char *path)
{
	list_each (at, &copies->under_way) {
		struct copying *copying = list_entry(at, struct copying, link);

		if (strcmp(copying->path, path) == 0)
			return copying;
	}
	return NULL;
}

static void free_copying(struct copying *copying)
{
	list_remove(&copying->link);
	free(copying->path);
	free(copying);
}

static void on_fetched(void *context, const struct intake_end *end)
{
	struct copies *copies = context;
	struct copying *copying = find_copying(copies, end->path);
	struct event event = { .kind = EVENT_COPIED };

	if (copying == NULL)
		return;
	event.id = copying->id;
	event.copied.seq = copying->seq;
	event.copied.digest = end->digest;
	event.copied.bytes = end->bytes;
	event.copied.failure = end->failure;
	event.copied.transient = end->transient;
	if (end->failure != NULL && !end->transient)
		remove_part(copies, end->path);
	free_copying(copying);
	log_info("checkpoint.copied", NUMBER("run", event.id.run), NUMBER("step", event.id.task),
		 NUMBER("seq", event.copied.seq), NUMBER("bytes", end->bytes),
		 TEXT("err", end->failure == NULL ? "" : end->failure));
	copies->on_end(copies->context, &event);
}

static void fail(struct copies *copies, const struct attempt_id *id, uint32_t seq, const char *text)
{
	struct event event = { .kind = EVENT_COPIED, .id = *id };

	event.copied.seq = seq;
	event.copied.failure = text;
	copies->on_end(copies->context, &event);
}

void copies_begin(struct copies *copies, const struct run *run, const struct attempt_id *id, uint32_t seq,
		  struct link *from)
{
	__attribute__((cleanup(arena_fini))) struct arena arena = { 0 };
	const struct task *task = &run->tasks[id->task];
	const struct checkpoint_row *row = ledger_at(&task->ledger, seq);
	struct intake_order order = { .from = from };
	struct copying *copying;
	struct err err;

	if (row == NULL)
		return;
	order.path = name_file(copies, run, id->task, seq, &arena);
	if (find_copying(copies, order.path) != NULL)
		return;
	order.get = (struct frame_get){ .digest = row->digest,
					.run = id->run,
					.task = id->task,
					.kind = PROVISION_CHECKPOINT,
					.name = row->name };
	if (launch_checkpoints(run, task->step, &arena, &order.get.path, &err) < 0) {
		fail(copies, id, seq, err.text);
		return;
	}
	make_folders(copies, run, &arena);
	copying = mem_zalloc(sizeof *copying);
	copying->path = mem_strdup(order.path);
	copying->id = *id;
	copying->seq = seq;
	list_append(&copies->under_way, &copying->link);
	intake_begin(copies->intake, &order);
}

static void cancel(struct copies *copies, struct copying *copying)
{
	intake_cancel(copies->intake, copying->path);
	free_copying(copying);
}

/* What has come of it is of no use: another checkpoint will be wanted. */
void copies_cancel(struct copies *copies, const struct run *run, const struct attempt_id *id, uint32_t seq)
{
	__attribute__((cleanup(arena_fini))) struct arena arena = { 0 };
	const char *path = name_file(copies, run, id->task, seq, &arena);
	struct copying *copying = find_copying(copies, path);

	if (copying == NULL)
		return;
	cancel(copies, copying);
	if (!machine_ended(run_states, run->row.state))
		remove_part(copies, path);
}

/* --- at rest -------------------------------------------------------------------------------------------- */

void copies_drop(struct copies *copies, const struct run *run, const struct attempt_id *id, uint32_t seq)
{
	__attribute__((cleanup(arena_fini))) struct arena arena = { 0 };

	remove_file(copies, name_file(copies, run, id->task, seq, &arena));
}

static void remove_tree(const char *folder, struct arena *arena)
{
	DIR *dir = opendir(folder);

	if (dir == NULL)
		return;
	for (struct dirent *entry; (entry = readdir(dir)) != NULL;)
		if (entry->d_name[0] != '.')
			unlink(arena_printf(arena, "%s/%s", folder, entry->d_name));
	closedir(dir);
	rmdir(folder);
}

void copies_end_run(struct copies *copies, const struct run *run)
{
	__attribute__((cleanup(arena_fini))) struct arena arena = { 0 };

	list_each (at, &copies->under_way) {
		struct copying *copying = list_entry(at, struct copying, link);

		if (copying->id.run == run->row.id)
			cancel(copies, copying);
	}
	if (run->row.state == RUN_SUCCEEDED)
		remove_tree(name_folder(copies, run, &arena), &arena);
}

const char *copies_find(const struct copies *copies, const struct run *run, uint64_t task, const char *digest,
			struct arena *arena)
{
	const struct ledger *ledger = &run->tasks[task].ledger;

	for (size_t i = ledger->count; i > 0; i--) {
		const struct checkpoint_row *row = &ledger->rows[i - 1];

		if (row->copy != NULL && strcmp(row->copy, digest) == 0)
			return name_file(copies, run, task, row->seq, arena);
	}
	return NULL;
}

/* "<task>.<seq>" or "<task>.<seq>.part" */
static const struct checkpoint_row *find_named(const struct run *run, const char *name, bool *part_out)
{
	for (size_t i = 0; i < run->dag->steps_count; i++) {
		const char *step = run->dag->steps[i].name;
		size_t bytes = strlen(step);
		char *end;
		unsigned long seq;

		if (strncmp(name, step, bytes) != 0 || name[bytes] != '.')
			continue;
		seq = strtoul(name + bytes + 1, &end, 10);
		*part_out = strcmp(end, ".part") == 0;
		if (end != name + bytes + 1 && (*end == '\0' || *part_out) && seq <= UINT32_MAX)
			return ledger_at(&run->tasks[i].ledger, (uint32_t)seq);
	}
	return NULL;
}

static void remove_strangers(struct copies *copies, const struct run *run, struct arena *arena)
{
	const char *folder = name_folder(copies, run, arena);
	DIR *dir = opendir(folder);

	if (dir == NULL)
		return;
	for (struct dirent *entry; (entry = readdir(dir)) != NULL;) {
		const struct checkpoint_row *row;
		bool part = false;

		if (entry->d_name[0] == '.')
			continue;
		row = find_named(run, entry->d_name, &part);
		/* One that is whole and was not stored yet is found there when it is fetched again. */
		if (row == NULL || (row->copy == NULL && row->state != CHECKPOINT_GOOD) ||
		    (part && row->copy != NULL))
			remove_file(copies, arena_printf(arena, "%s/%s", folder, entry->d_name));
	}
	closedir(dir);
}

static void forget_missing(const struct copies *copies, const struct run *run, uint64_t task,
			   struct arena *arena)
{
	struct ledger *ledger = &run->tasks[task].ledger;

	for (size_t i = 0; i < ledger->count; i++) {
		struct checkpoint_row *row = &ledger->rows[i];
		struct stat st;

		if (row->copy == NULL)
			continue;
		if (stat(name_file(copies, run, task, row->seq, arena), &st) == 0 &&
		    (uint64_t)st.st_size == row->copy_bytes)
			continue;
		log_warn("checkpoint.copy_gone", NUMBER("run", run->row.id), NUMBER("step", task),
			 NUMBER("seq", row->seq));
		row->copy = NULL;
		row->copy_bytes = 0;
	}
}

void copies_check(struct copies *copies, struct run *run)
{
	__attribute__((cleanup(arena_fini))) struct arena arena = { 0 };

	for (size_t i = 0; i < run->dag->steps_count; i++)
		forget_missing(copies, run, i, &arena);
	remove_strangers(copies, run, &arena);
}

/* --- what the links hear -------------------------------------------------------------------------------- */

bool copies_on_parcel(struct copies *copies, const struct link *link, const struct frame_parcel *parcel)
{
	return intake_on_parcel(copies->intake, link, parcel);
}

void copies_on_up(struct copies *copies, const struct link *link)
{
	intake_on_up(copies->intake, link);
}

void copies_on_down(struct copies *copies, const struct link *link)
{
	intake_on_down(copies->intake, link);
}

void copies_on_gone(struct copies *copies, const struct link *link)
{
	intake_on_gone(copies->intake, link);
}

/* --- life ----------------------------------------------------------------------------------------------- */

struct copies *copies_new(uv_loop_t *loop, const char *home, copies_on_end *on_end, void *context)
{
	struct copies *copies = mem_zalloc(sizeof *copies);

	copies->loop = loop;
	copies->home = home;
	copies->on_end = on_end;
	copies->context = context;
	copies->intake = intake_new(loop, on_fetched, copies);
	list_init(&copies->under_way);
	return copies;
}

void copies_stop(struct copies *copies)
{
	if (copies != NULL)
		intake_stop(copies->intake);
}

void copies_free(struct copies *copies)
{
	if (copies == NULL)
		return;
	list_each (at, &copies->under_way)
		free_copying(list_entry(at, struct copying, link));
	intake_free(copies->intake);
	free(copies);
}
