#include "scheduler/queue.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/clock.h"
#include "common/log.h"
#include "common/mem.h"
#include "common/scope.h"
#include "scheduler/crash.h"
#include "scheduler/owner.h"
#include "scheduler/source.h"
#include "scheduler/store_queue.h"

enum { COALESCE_MS = 2, TROUBLE_MS = 300000, MESSAGE_BYTES = 1024 };

/* A run that was taken up. */
struct taken {
	uint64_t run;
	int owner;
	struct list link;
};

/* A run that could not be taken up, and is left alone for a while. */
struct troubled {
	uint64_t run;
	int64_t until_ms;
	struct list link;
};

/* Writes that are on their way for a run: it is not looked at meanwhile. */
struct change {
	struct writer_job job;
	struct queue *queue;
	uint64_t run;
	struct queue_ending ending;
	const struct notice_terms *notices;
	char digest[DIGEST_HEX_BYTES];
	uint64_t bytes;
	char text[MESSAGE_BYTES];
	char *actor;
	char *origin;
	void (*done)(void *context, const struct err *err);
	void *context;
	struct list link;
};

/* The snapshot that is being taken. */
struct snapshot {
	uv_work_t work;
	struct queue *queue;
	uint64_t run; /* 0: none */
	char *folder;
	struct source source;
	struct err err;
	int rc;
};

struct queue {
	uv_loop_t *loop;
	struct engine *engine;
	const struct queue_handler *handler;
	void *context;
	char *home;
	size_t active_max;
	uv_timer_t timer;
	uv_timer_cb on_look_due; /* its callback, which sets it again */
	int64_t next_look_ms;    /* it is set for then */
	struct list taken;
	struct list troubled;
	struct list changes;
	struct snapshot snapshot;
	bool stopping;
};

/* --- what is known of a run ----------------------------------------------------------------------------- */

static struct taken *find_taken(const struct queue *queue, uint64_t run)
{
	list_each (at, &queue->taken)
		if (list_entry(at, struct taken, link)->run == run)
			return list_entry(at, struct taken, link);
	return NULL;
}

static bool is_changing(const struct queue *queue, uint64_t run)
{
	list_each (at, &queue->changes)
		if (list_entry(at, struct change, link)->run == run)
			return true;
	return false;
}

static bool is_troubled(const struct queue *queue, uint64_t run)
{
	list_each (at, &queue->troubled) {
		struct troubled *troubled = list_entry(at, struct troubled, link);

		if (troubled->until_ms <= clock_mono_ms()) {
			list_remove(at);
			free(troubled);
		} else if (troubled->run == run) {
			return true;
		}
	}
	return false;
}


static void look_by(struct queue *queue, int64_t mono_ms)
{
	int64_t wait_ms = mono_ms - clock_mono_ms();

	if (queue->stopping || mono_ms >= queue->next_look_ms)
		return;
	queue->next_look_ms = mono_ms;
	uv_timer_start(&queue->timer, queue->on_look_due, wait_ms > 0 ? (uint64_t)wait_ms : 0, 0);
}

/* --- what is written for a run -------------------------------------------------------------------------- */

static int write_waits(struct store *store, void *context, struct err *err)
{
	struct change *change = context;

	return store_set_waits_for(store, change->run, change->text, err);
}

static int write_source(struct store *store, void *context, struct err *err)
{
	struct change *change = context;

	return store_set_source(store, change->run, change->digest, change->bytes, err);
}

/* Whoever wants to know how runs end is told of this one, too. */
static int write_notices(struct store *store, const struct change *change, struct err *err)
{
	struct actions actions;
	struct run *run;
	int rc = store_load_run(store, change->run, &run, err);

	if (rc < 0)
		return rc;
	actions_init(&actions);
	core_notify_end(change->notices, run, change->ending.wall_ms, &actions);
	rc = store_apply(store, actions.items, actions.count, err);
	actions_fini(&actions);
	run_free(run);
	return rc;
}

static int write_ending(struct store *store, void *context, struct err *err)
{
	struct change *change = context;
	int rc = store_end_queued(store, change->run, &change->ending, err);

	return rc < 0 ? rc : write_notices(store, change, err);
}

static void on_changed(void *context, const struct err *err)
{
	struct change *change = context;
	struct queue *queue = change->queue;

	list_remove(&change->link);
	if (err->code != ERR_OK && err->code != ERR_EXISTS)
		log_error("queue.failed", NUMBER("run", change->run), TEXT("err", err->text));
	if (err->code == ERR_OK && change->job.write == write_ending)
		queue->handler->on_ended(queue->context, change->run, change->ending.state);
	if (change->done != NULL)
		change->done(change->context, err);
	free(change->actor);
	free(change->origin);
	free(change);
	look_by(queue, clock_mono_ms() + COALESCE_MS);
}

static struct change *new_change(struct queue *queue, uint64_t run)
{
	struct change *change = mem_zalloc(sizeof *change);

	change->queue = queue;
	change->run = run;
	change->notices = &engine_settings(queue->engine)->notices;
	change->job.done = on_changed;
	change->job.context = change;
	list_append(&queue->changes, &change->link);
	return change;
}

static void set_waits_for(struct queue *queue, const struct queued_run *run, const char *text)
{
	struct change *change;

	if (strcmp(run->waits_for, text) == 0)
		return;
	change = new_change(queue, run->id);
	snprintf(change->text, sizeof change->text, "%s", text);
	change->job.write = write_waits;
	engine_write(queue->engine, &change->job);
}

static void fail_queued(struct queue *queue, uint64_t run, enum reason reason, const char *message)
{
	struct change *change = new_change(queue, run);

	snprintf(change->text, sizeof change->text, "%s", message);
	change->ending = (struct queue_ending){
		.state = RUN_FAILED,
		.reason = reason,
		.message = change->text,
		.wall_ms = clock_wall_ms(),
	};
	change->job.write = write_ending;
	engine_write(queue->engine, &change->job);
	log_error("run.failed", NUMBER("run", run), TEXT("err", message));
}

/* --- snapshots of sources ------------------------------------------------------------------------------- */

static void take_snapshot(uv_work_t *work)
{
	struct snapshot *snapshot = work->data;
	struct arena arena;

	arena_init(&arena);
	snapshot->rc = source_take(snapshot->folder, snapshot->queue->home, &arena, &snapshot->source,
				   &snapshot->err);
	arena_fini(&arena);
}

static void on_snapshot(uv_work_t *work, int status)
{
	struct snapshot *snapshot = work->data;
	struct queue *queue = snapshot->queue;
	uint64_t run = snapshot->run;
	struct change *change;

	(void)status;
	snapshot->run = 0;
	free(take(snapshot->folder));
	if (queue->stopping)
		return;
	if (snapshot->rc < 0) {
		err_wrap(&snapshot->err, "take its source");
		fail_queued(queue, run, REASON_NOT_STARTED, snapshot->err.text);
		return;
	}
	change = new_change(queue, run);
	memcpy(change->digest, snapshot->source.digest, sizeof change->digest);
	change->bytes = snapshot->source.bytes;
	change->job.write = write_source;
	engine_write(queue->engine, &change->job);
}

static void want_snapshot(struct queue *queue, const struct queued_run *run)
{
	struct snapshot *snapshot = &queue->snapshot;

	if (snapshot->run != 0)
		return; /* looked at again when that one is done */
	snapshot->run = run->id;
	snapshot->queue = queue;
	snapshot->folder = mem_strdup(run->source_folder);
	snapshot->work.data = snapshot;
	uv_queue_work(queue->loop, &snapshot->work, take_snapshot, on_snapshot);
}

/* --- taking up ------------------------------------------------------------------------------------------ */

static void note_taken(struct queue *queue, uint64_t run, int owner)
{
	struct taken *taken = mem_zalloc(sizeof *taken);

	taken->run = run;
	taken->owner = owner;
	list_append(&queue->taken, &taken->link);
}

static void leave_alone(struct queue *queue, uint64_t run, const struct err *err)
{
	struct troubled *troubled = mem_zalloc(sizeof *troubled);

	troubled->run = run;
	troubled->until_ms = clock_mono_ms() + TROUBLE_MS;
	list_append(&queue->troubled, &troubled->link);
	log_error("run.unusable", NUMBER("run", run), TEXT("err", err->text));
}

/* 0, ERR_BUSY when another process has it, or an error. */
static int take_up(struct queue *queue, uint64_t id, const char *dag, uint64_t number,
		   const struct run **run_out, struct err *err)
{
	autoclose int owner = -1;
	int rc = owner_take(queue->home, dag, number, &owner, err);

	if (rc == 0) {
		crash_at(CRASH_run_owned);
		rc = engine_add_run(queue->engine, id, run_out, err);
	}
	if (rc < 0)
		return rc;
	note_taken(queue, id, take_fd(owner));
	crash_at(CRASH_run_taken_up);
	log_info("run.taken_up", TEXT("run", dag), NUMBER("number", number));
	return 0;
}

static bool try_to_take_up(struct queue *queue, uint64_t id, const char *dag, uint64_t number)
{
	const struct run *run;
	struct err err;
	int rc;

	if (is_troubled(queue, id))
		return false;
	rc = take_up(queue, id, dag, number, &run, &err);
	if (rc < 0 && rc != ERR_BUSY)
		leave_alone(queue, id, &err);
	return rc == 0;
}

/* --- looking -------------------------------------------------------------------------------------------- */

/* Runs of a DAG that were taken up and that the database still calls queued. */
struct dag_taken {
	int64_t dag;
	int runs;
};

struct look {
	struct queue *queue;
	struct arena arena;
	struct dag_taken *taken;
	size_t taken_count;
	size_t taken_room;
	size_t room; /* so many more runs may go on */
	bool took_up;
};

static int *taken_of(struct look *look, int64_t dag)
{
	for (size_t i = 0; i < look->taken_count; i++)
		if (look->taken[i].dag == dag)
			return &look->taken[i].runs;
	mem_grow(&look->taken, &look->taken_room, look->taken_count, sizeof *look->taken);
	look->taken[look->taken_count] = (struct dag_taken){ .dag = dag };
	return &look->taken[look->taken_count++].runs;
}

/* True when nothing that it waits for is missing. */
static bool is_due(struct look *look, const struct queued_run *run)
{
	struct queue *queue = look->queue;
	enum after_verdict verdict;
	const char *text;
	int64_t until_ms, now_ms = clock_wall_ms();
	struct err err;

	if (run->after[0] == '\0')
		return true;
	if (store_look_after(engine_reader(queue->engine), run, now_ms, &look->arena, &verdict, &text, &until_ms,
			     &err) < 0)
		return false;
	if (verdict == AFTER_EXPIRED) {
		fail_queued(queue, run->id, REASON_UPSTREAM, text);
		return false;
	}
	set_waits_for(queue, run, text);
	if (until_ms != INT64_MAX)
		look_by(queue, clock_mono_ms() + (until_ms - now_ms));
	return verdict == AFTER_MET;
}

static void look_at_queued(struct look *look, const struct queued_run *run)
{
	struct queue *queue = look->queue;
	int *taken = taken_of(look, run->dag_id);

	if (is_changing(queue, run->id) || run->running + *taken >= run->max_active)
		return;
	if (run->source_folder[0] != '\0') {
		want_snapshot(queue, run);
		++*taken; /* its turn: nobody overtakes it */
		return;
	}
	if (look->room == 0 || !is_due(look, run) || !try_to_take_up(queue, run->id, run->dag, run->number))
		return;
	++*taken;
	look->room--;
	look->took_up = true;
	queue->handler->on_taken(queue->context, run->id, clock_wall_ms() - run->created_wall_ms);
}

static void look_at_queue(struct look *look)
{
	struct queue *queue = look->queue;
	struct queued_run *runs;
	size_t count;
	struct err err;

	if (store_queued_runs(engine_reader(queue->engine), &look->arena, clock_wall_ms(), QUEUE_ROWS_MAX, &runs,
			      &count, &err) < 0) {
		log_error("queue.failed", TEXT("err", err.text));
		return;
	}
	for (size_t i = 0; i < count; i++)
		if (find_taken(queue, runs[i].id) != NULL)
			++*taken_of(look, runs[i].dag_id);
	for (size_t i = 0; i < count; i++)
		if (find_taken(queue, runs[i].id) == NULL)
			look_at_queued(look, &runs[i]);
}

/* Those that go on, and whose driver is gone. */
static void look_at_running(struct look *look)
{
	struct queue *queue = look->queue;
	struct running_run *runs;
	size_t count;

	if (store_running_runs(engine_reader(queue->engine), &look->arena, &runs, &count, NULL) < 0)
		return;
	for (size_t i = 0; i < count; i++)
		if (find_taken(queue, runs[i].id) == NULL &&
		    try_to_take_up(queue, runs[i].id, runs[i].dag, runs[i].number))
			look->took_up = true;
}

static void on_look_due(uv_timer_t *timer)
{
	struct queue *queue = timer->data;
	size_t going_on = engine_runs_count(queue->engine);
	struct look look = {
		.queue = queue,
		.room = going_on < queue->active_max ? queue->active_max - going_on : 0,
	};

	queue->next_look_ms = INT64_MAX;
	look_by(queue, clock_mono_ms() + QUEUE_LOOK_MS);
	arena_init(&look.arena);
	look_at_running(&look);
	look_at_queue(&look);
	arena_fini(&look.arena);
	free(look.taken);
	if (look.took_up)
		engine_kick(queue->engine);
}

/* --- life ----------------------------------------------------------------------------------------------- */

struct queue *queue_new(uv_loop_t *loop, struct engine *engine, const char *home, int active_max,
			const struct queue_handler *handler, void *context)
{
	struct queue *queue = mem_zalloc(sizeof *queue);

	queue->loop = loop;
	queue->engine = engine;
	queue->handler = handler;
	queue->context = context;
	queue->home = mem_strdup(home);
	queue->next_look_ms = INT64_MAX;
	list_init(&queue->taken);
	list_init(&queue->troubled);
	list_init(&queue->changes);
	uv_timer_init(loop, &queue->timer);
	queue->timer.data = queue;
	queue->on_look_due = on_look_due;
	queue_set_active_max(queue, active_max);
	return queue;
}

void queue_set_active_max(struct queue *queue, int active_max)
{
	queue->active_max = active_max > 0 ? (size_t)active_max : QUEUE_ACTIVE_MAX;
}

void queue_look(struct queue *queue)
{
	look_by(queue, clock_mono_ms() + COALESCE_MS);
}

int queue_reopen(struct queue *queue, uint64_t run, const struct run **run_out, struct err *err)
{
	__attribute__((cleanup(arena_fini))) struct arena arena = { 0 };
	struct store *store = engine_reader(queue->engine);
	struct running_run *runs;
	const char *dag;
	uint64_t number;
	size_t count, of_dag = 0;
	int rc = store_name_run(store, run, &arena, &dag, &number, err);

	if (rc == 0)
		rc = store_running_runs(store, &arena, &runs, &count, err);
	for (size_t i = 0; rc == 0 && i < count; i++)
		of_dag += strcmp(runs[i].dag, dag) == 0;
	if (rc == 0)
		rc = take_up(queue, run, dag, number, run_out, err);
	if (rc < 0)
		return rc;
	if (of_dag < (size_t)(*run_out)->dag->max_active_runs)
		return 0;
	engine_drop_run(queue->engine, run);
	queue_ended(queue, run);
	for (size_t i = 0; i < count; i++)
		if (strcmp(runs[i].dag, dag) == 0)
			return err_set(err, ERR_BUSY,
				       "%s/%" PRIu64 " is going on, and %s has no more than %zu at a time"
				       " (max_active_runs): wait for it, or cancel it",
				       dag, runs[i].number, dag, of_dag);
	return 0;
}

void queue_ended(struct queue *queue, uint64_t run)
{
	struct taken *taken = find_taken(queue, run);

	if (taken == NULL)
		return;
	close(taken->owner);
	list_remove(&taken->link);
	free(taken);
	queue_look(queue);
}

void queue_cancel(struct queue *queue, uint64_t run, const char *actor, const char *origin,
		  void (*done)(void *context, const struct err *err), void *context)
{
	struct change *change = new_change(queue, run);

	change->actor = mem_strdup(actor);
	change->origin = mem_strdup(origin);
	change->done = done;
	change->context = context;
	change->ending = (struct queue_ending){
		.state = RUN_CANCELED,
		.reason = REASON_CANCELED,
		.message = "",
		.actor = change->actor,
		.origin = change->origin,
		.wall_ms = clock_wall_ms(),
	};
	change->job.write = write_ending;
	engine_write(queue->engine, &change->job);
}

void queue_stop(struct queue *queue)
{
	queue->stopping = true;
	uv_close((uv_handle_t *)&queue->timer, NULL);
}

void queue_free(struct queue *queue)
{
	if (queue == NULL)
		return;
	list_each (at, &queue->taken) {
		struct taken *taken = list_entry(at, struct taken, link);

		close(taken->owner);
		free(taken);
	}
	list_each (at, &queue->troubled)
		free(list_entry(at, struct troubled, link));
	free(queue->home);
	free(queue);
}
