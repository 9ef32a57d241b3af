#include "scheduler/core.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "common/mem.h"
#include "scheduler/core_parts.h"
#include "scheduler/urgency.h"

/* --- recovery is the ordinary start
 * ------------------------------------------------------------------------------- */

/*
 * Since when its ready tasks wait is known by the wall clock of then: not before the run began, and no longer
 * than what makes them first anyway, wherever that clock has gone since.
 */
static void settle_waits(struct core *core, struct run *run)
{
	for (size_t i = 0; i < run->dag->steps_count; i++) {
		struct task *task = &run->tasks[i];
		int64_t since_ms = task->row.ready_wall_ms, waited_ms;

		if (task->row.state != TASK_READY || task->ready_ms >= 0)
			continue;
		if (since_ms < run->row.started_wall_ms)
			since_ms = run->row.started_wall_ms;
		waited_ms = core->wall_ms - since_ms;
		if (waited_ms > URGENCY_FIRST_MS)
			waited_ms = URGENCY_FIRST_MS;
		task->ready_ms = core->now_ms - (waited_ms > 0 ? waited_ms : 0);
	}
}

/* When one of each kind was started last is known of those that are still alive. */
static void settle_starts(struct core *core, struct run *run)
{
	list_each (at, &run->open) {
		const struct attempt *attempt = list_entry(at, struct attempt, open_link);
		struct ready_class *class = &run->classes[run->class_of[attempt->row.id.task]];
		int64_t ago_ms = core->wall_ms - attempt->row.intended_wall_ms;
		int64_t started_ms = core->now_ms - (ago_ms > 0 ? ago_ms : 0);

		if (started_ms > class->started_ms)
			class->started_ms = started_ms;
	}
}

/* A run that was just handed over: takes up what was decided when its rows were stored. */
static void settle_run(struct core *core, struct run *run, struct actions *out)
{
	run->settled = true;
	core->unclaimed = true;
	if (machine_ended(run_states, run->row.state)) {
		run->ended = true; /* only to be retried */
		return;
	}
	if (run->row.state == RUN_QUEUED)
		core_move_run(core, run, RUN_RUNNING, REASON_NONE, out);
	settle_waits(core, run);
	settle_starts(core, run);
	core_make_ready(core, run, out);
	if (run->row.cancel_wall_ms > 0)
		for (size_t i = 0; i < run->dag->steps_count; i++)
			core_cancel_task(core, &run->tasks[i], false, out);
}

static void decide(struct core *core, struct actions *out)
{
	for (size_t i = 0; i < core->runs_count; i++)
		if (!core->runs[i]->settled)
			settle_run(core, core->runs[i], out);
	if (core->unclaimed)
		core_ask_for_claims(core, out);
	core_end_leases(core, out);
	core->look_ms = INT64_MAX;
	for (size_t i = 0; i < core->runs_count; i++)
		if (!core->runs[i]->ended)
			core_wake_retrying(core, core->runs[i], out);
	core_start_ready(core, out);
	for (size_t i = 0; i < core->runs_count; i++) {
		if (!core->runs[i]->ended)
			core_look_for_copies(core, core->runs[i], out);
		core_finish_run(core, core->runs[i], out);
	}
}

/* What an earlier scheduler granted is not known; it granted it before this one began. */
static void count_from_now(struct core *core)
{
	for (size_t i = 0; i < core->workers_count; i++)
		if (core->workers[i]->granted_ms < 0)
			core->workers[i]->granted_ms = core->now_ms;
}

void core_step(struct core *core, const struct event *event, struct actions *out)
{
	struct worker *worker = event->worker == NULL ? NULL : core_find_worker(core, event->worker);

	if (core->began_ms == 0)
		core->began_ms = event->now_ms;
	core->now_ms = event->now_ms;
	core->wall_ms = event->wall_ms;
	count_from_now(core);
	switch (event->kind) {
	case EVENT_TICK:
		break;
	case EVENT_WORKER_UP:
		assert(worker != NULL);
		core_on_worker_up(core, event, worker, out);
		break;
	case EVENT_WORKER_DOWN:
		assert(worker != NULL);
		core_on_worker_down(core, event, worker, out);
		break;
	case EVENT_WORKER_FAILED:
		assert(worker != NULL);
		core_on_worker_failed(core, event, worker, out);
		break;
	case EVENT_PRESENT:
		assert(worker != NULL);
		core_on_present(core, event, worker, out);
		break;
	case EVENT_INVENTORY:
		assert(worker != NULL);
		core_on_inventory(core, event, worker, out);
		break;
	case EVENT_JOURNAL:
		core_on_journal(core, event, out);
		break;
	case EVENT_EXITED:
		core_on_exited(core, event, out);
		break;
	case EVENT_COLLECTED:
		assert(worker != NULL);
		core_on_collected(core, event, worker, out);
		break;
	case EVENT_LEASE:
		assert(worker != NULL);
		core_on_lease(core, event, worker);
		break;
	case EVENT_CANCEL:
		core_on_cancel(core, event, out);
		break;
	case EVENT_RETRY:
		core_on_retry(core, event, out);
		break;
	case EVENT_COPIED:
		core_on_copied(core, event, out);
		break;
	case EVENT_DRAIN:
		if (worker != NULL)
			worker->draining = event->now;
		break;
	}
	decide(core, out);
}

int64_t core_next_wake_ms(const struct core *core)
{
	int64_t next_ms = core_next_lease_end_ms(core);

	if (core->look_ms < next_ms)
		next_ms = core->look_ms;
	if (core_next_copy_ms(core) < next_ms)
		next_ms = core_next_copy_ms(core);
	for (size_t i = 0; i < core->workers_count; i++) {
		int64_t until_ms = core->workers[i]->aside_until_ms;

		if (until_ms > core->now_ms && until_ms < next_ms)
			next_ms = until_ms;
	}
	for (size_t i = 0; i < core->runs_count; i++) {
		list_each (at, &core->runs[i]->retrying) {
			const struct task *task = list_entry(at, struct task, link);

			if (task->not_before_ms < next_ms)
				next_ms = task->not_before_ms;
		}
	}
	return next_ms;
}

/* --- life
 * ---------------------------------------------------------------------------------------------------------
 */

struct core *core_new(uint64_t seed)
{
	struct core *core = mem_zalloc(sizeof *core);

	core->rng = rng_seeded(seed);
	core->look_ms = INT64_MAX;
	return core;
}

void core_free(struct core *core)
{
	if (core == NULL)
		return;
	for (size_t i = 0; i < core->runs_count; i++)
		run_free(core->runs[i]);
	for (size_t i = 0; i < core->workers_count; i++)
		free(core->workers[i]);
	free(core->runs);
	free(core->queue);
	free(core->pools);
	buf_fini(&core->scratch);
	arena_fini(&core->arena);
	free(core);
}

void core_add_worker(struct core *core, const char *name)
{
	struct worker *worker;

	if (core_find_worker(core, name) != NULL)
		return;
	assert(core->workers_count < CORE_WORKERS_MAX);
	worker = mem_zalloc(sizeof *worker);
	worker->name = arena_strdup(&core->arena, name);
	worker->index = core->workers_count;
	worker->boot_id = worker->trouble = "";
	worker->granted_ms = -1;
	list_init(&worker->live);
	core->workers[core->workers_count++] = worker;
}

/* What an attempt began from and whether it got further is not stored with it: the ledger tells. */
static void restore_progress(struct attempt *attempt)
{
	struct task *task = attempt->task;
	const struct checkpoint_row *from = ledger_at(&task->ledger, attempt->row.began_seq);

	if (from == NULL && attempt->row.resumed_from[0] != '\0') /* stored by an older stoker */
		from = ledger_find_begin(&task->ledger, attempt->row.worker, attempt->row.resumed_from, "");
	if (from != NULL) {
		attempt->began_step = from->at_step;
		attempt->row.began_seq = from->seq;
	}
	for (size_t i = 0; i < task->ledger.count; i++) {
		const struct checkpoint_row *row = &task->ledger.rows[i];

		if (row->attempt == attempt->row.id.number && row->state != CHECKPOINT_QUARANTINED &&
		    (row->at_step < 0 || row->at_step > attempt->began_step))
			attempt->progressed = true;
	}
}

static void restore_attempt(struct core *core, struct attempt *attempt)
{
	attempt->worker = core_find_worker(core, attempt->row.worker);
	assert(attempt->worker != NULL);
	list_append(&attempt->worker->live, &attempt->live_link);
	restore_progress(attempt);
}

static void restore_task(struct core *core, struct run *run, struct task *task)
{
	if (!machine_ended(task_states, task->row.state))
		core_want_copy(task);
	if (machine_ended(task_states, task->row.state)) {
		run->unfinished--;
	} else if (task->row.state == TASK_READY) {
		core_queue_ready(core, task);
	} else if (task->row.state == TASK_RETRYING) {
		list_append(&run->retrying, &task->link);
	}
}

/* One that the configuration does not name any more stays down; its attempts are waited for. */
static struct worker *use_worker(struct core *core, const char *name)
{
	core_add_worker(core, name);
	return core_find_worker(core, name);
}

void core_set_terms(struct core *core, const char *name, const struct worker_terms *terms)
{
	struct worker *worker = core_find_worker(core, name);

	assert(worker != NULL);
	worker->terms = *terms;
	worker->configured = true;
	worker->retired = false;
}

void core_unset_worker(struct core *core, const char *name)
{
	struct worker *worker = core_find_worker(core, name);

	assert(worker != NULL);
	worker->configured = false;
	worker->retired = true;
}

void core_set_pool(struct core *core, const char *name, int slots)
{
	struct pool *pool = pool_use(core, name);

	pool->slots = slots;
	pool->known = true;
}

void core_forget_pools(struct core *core)
{
	for (size_t i = 0; i < core->pools_count; i++)
		core->pools[i]->known = false;
}

void core_set_notices(struct core *core, const struct notice_terms *notices)
{
	core->notices = notices;
}

void core_add_run(struct core *core, struct run *run)
{
	size_t at = core_run_position(core, run->row.id);

	mem_grow(&core->runs, &core->runs_room, core->runs_count, sizeof(struct run *));
	memmove(core->runs + at + 1, core->runs + at, (core->runs_count - at) * sizeof(struct run *));
	core->runs[at] = run;
	core->runs_count++;
	for (size_t i = 0; i < run->classes_count; i++)
		if (run->classes[i].like->pool != NULL)
			run->classes[i].pool = pool_use(core, run->classes[i].like->pool);
	for (const struct past_worker *past = run->past_workers; past != NULL; past = past->next)
		core_note_use(run, use_worker(core, past->name), &run->dag->steps[past->step]);
	list_each (link, &run->open)
		restore_attempt(core, list_entry(link, struct attempt, open_link));
	run->unfinished = run->dag->steps_count;
	for (size_t i = 0; i < run->dag->steps_count; i++)
		restore_task(core, run, &run->tasks[i]);
}

struct run *core_take_run(struct core *core, uint64_t id)
{
	size_t at = core_run_position(core, id);
	struct run *run;

	assert(at < core->runs_count && core->runs[at]->row.id == id);
	run = core->runs[at];
	core->runs_count--;
	memmove(core->runs + at, core->runs + at + 1, (core->runs_count - at) * sizeof(struct run *));
	return run;
}
