/*
 * core_copy.c - which checkpoints are fetched to the scheduler, and how long they are kept
 *
 * Wanted is the newest good one of a task with `copy: true`, and the one that a ready task is to go on from
 * elsewhere while nothing is started where it lies. One at a time of each task: those that come while it is
 * under way are passed over but for the newest of them. A task keeps one copy, the newest, until its run has
 * succeeded; an older one goes when the newer one is there and no attempt is just being brought the older.
 *
 * The order is not stored: a scheduler that is started anew finds what is missing and gives it again, and the
 * transfer goes on where it was cut.
 */
#include "scheduler/core_parts.h"

#include <string.h>

#include "scheduler/origin.h"

enum { COPY_AGAIN_MS = 10 * 1000 };

void core_want_copy(struct task *task)
{
	if (list_empty(&task->copy_link) && (task->ledger.count > 0 || task->copying_seq != 0))
		list_append(&task->run->copies, &task->copy_link);
}

static const struct checkpoint_row *find_for_safety(const struct core *core, const struct task *task)
{
	if (!task->step->checkpoint.copy || task->step->checkpoint.resume == DAG_RESUME_NEVER)
		return NULL;
	for (size_t i = task->ledger.count; i > 0; i--) {
		const struct checkpoint_row *row = &task->ledger.rows[i - 1];
		const struct worker *holder = core_find_worker(core, row->worker);

		if (checkpoint_has_copy(row))
			return NULL;
		/* What lies on this machine is as safe as its copy would be. */
		if (row->state == CHECKPOINT_GOOD && !row->copy_failed && row->copy == NULL &&
		    holder != NULL && holder->terms.remote)
			return row;
	}
	return NULL;
}

static const struct checkpoint_row *find_wanted(const struct core *core, const struct task *task)
{
	struct origin origin;

	if (machine_ended(task_states, task->row.state))
		return NULL;
	if (task->row.state == TASK_READY) {
		origin = origin_of(core, task);
		if (origin.way == ORIGIN_AFTER_COPY)
			return origin.row;
	}
	return find_for_safety(core, task);
}

static void give_order(struct actions *out, enum action_kind kind, const struct task *task, uint32_t seq,
		       const struct worker *worker)
{
	struct action *action = actions_add(out, kind);

	action->id = (struct attempt_id){ .run = task->run->row.id, .task = task->row.step };
	action->worker = worker == NULL ? NULL : worker->name;
	action->copy_seq = seq;
}

static void cancel_copy(struct task *task, struct actions *out)
{
	if (task->copying_seq != 0)
		give_order(out, ORDER_CANCEL_COPY, task, task->copying_seq, NULL);
	task->copying_seq = 0;
}

/* What is under way comes first, unless nothing can come of it. */
static bool is_worth_waiting(const struct core *core, const struct task *task)
{
	const struct checkpoint_row *row = ledger_at(&task->ledger, task->copying_seq);
	const struct worker *holder = row == NULL ? NULL : core_find_worker(core, row->worker);

	return holder != NULL && holder->up && !machine_ended(task_states, task->row.state);
}

static void look_at(struct core *core, struct task *task, struct actions *out)
{
	const struct checkpoint_row *wanted = find_wanted(core, task);
	const struct worker *holder;

	if (task->copying_seq != 0) {
		if ((wanted != NULL && wanted->seq == task->copying_seq) || is_worth_waiting(core, task))
			return;
		cancel_copy(task, out);
	}
	if (wanted == NULL) {
		list_remove(&task->copy_link);
		return;
	}
	holder = core_find_worker(core, wanted->worker);
	if (holder == NULL || !holder->up || core->now_ms < task->copy_again_ms)
		return;
	task->copying_seq = wanted->seq;
	give_order(out, ORDER_COPY, task, wanted->seq, holder);
}

void core_look_for_copies(struct core *core, struct run *run, struct actions *out)
{
	list_each (at, &run->copies)
		look_at(core, list_entry(at, struct task, copy_link), out);
}

int64_t core_next_copy_ms(const struct core *core)
{
	int64_t next_ms = INT64_MAX;

	for (size_t i = 0; i < core->runs_count; i++) {
		list_each (at, &core->runs[i]->copies) {
			const struct task *task = list_entry(at, struct task, copy_link);

			if (task->copy_again_ms > core->now_ms && task->copy_again_ms < next_ms)
				next_ms = task->copy_again_ms;
		}
	}
	return next_ms;
}

/* --- what became of it ---------------------------------------------------------------------------------- */

static void drop(struct task *task, struct checkpoint_row *row, struct actions *out)
{
	row->copy = NULL;
	row->copy_bytes = 0;
	core_save_checkpoint(row, out);
	give_order(out, ORDER_DROP_COPY, task, row->seq, NULL);
}

/* It was of no use: fetched anew, where that can be done, and else not used by this scheduler again. */
void core_refuse_copy(struct core *core, struct task *task, struct checkpoint_row *row, struct actions *out)
{
	const struct worker *holder = core_find_worker(core, row->worker);

	if (row->state != CHECKPOINT_GOOD || row->copy_again || row->copy == NULL || holder == NULL ||
	    !holder->up) {
		row->copy_unfit = true;
		return;
	}
	row->copy_again = true;
	drop(task, row, out);
	core_want_copy(task);
}

void core_drop_copies(struct task *task, struct actions *out)
{
	for (size_t i = 0; i < task->ledger.count; i++)
		if (task->ledger.rows[i].copy != NULL)
			drop(task, &task->ledger.rows[i], out);
}

void core_drop_older_copies(struct task *task, struct actions *out)
{
	const struct checkpoint_row *kept = NULL;

	if (task->live != NULL && task->live->row.state == ATTEMPT_INTENDED)
		return; /* it may be under way to there */
	for (size_t i = task->ledger.count; i > 0; i--) {
		struct checkpoint_row *row = &task->ledger.rows[i - 1];

		if (row->copy != NULL && kept == NULL && checkpoint_has_copy(row))
			kept = row;
		else if (row->copy != NULL && kept != NULL)
			drop(task, row, out);
	}
}

void core_cancel_copies(struct run *run, struct actions *out)
{
	list_each (at, &run->copies) {
		struct task *task = list_entry(at, struct task, copy_link);

		cancel_copy(task, out);
		list_remove(&task->copy_link);
	}
}

static void on_copy_failed(struct core *core, struct task *task, struct checkpoint_row *row,
			   const struct event *event, struct actions *out)
{
	struct attempt_id id = { task->run->row.id, task->row.step, row->attempt };

	if (event->copied.transient) {
		task->copy_again_ms = core->now_ms + COPY_AGAIN_MS;
		return;
	}
	row->copy_failed = true;
	if (row->state == CHECKPOINT_GOOD && row->seq == task->ledger.rows[task->ledger.count - 1].seq)
		core_tell_own(core, out, "checkpoint.not_copied", id,
			      arena_printf(&out->arena, "%s on worker %s: %s", row->name, row->worker,
					   event->copied.failure));
}

void core_on_copied(struct core *core, const struct event *event, struct actions *out)
{
	struct task *task = core_find_task(core, &event->id);
	struct checkpoint_row *row = task == NULL ? NULL : ledger_at(&task->ledger, event->copied.seq);

	if (row == NULL || row->seq != task->copying_seq)
		return; /* canceled meanwhile; whoever wants it again finds it there */
	task->copying_seq = 0;
	if (event->copied.failure != NULL) {
		on_copy_failed(core, task, row, event, out);
		return;
	}
	row->copy = arena_strdup(&task->run->arena, event->copied.digest);
	row->copy_bytes = event->copied.bytes;
	core_save_checkpoint(row, out);
	core_drop_older_copies(task, out);
}
