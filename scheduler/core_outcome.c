#include "scheduler/core_parts.h"

#include <assert.h>
#include <inttypes.h>
#include <stdlib.h>

#include "common/mem.h"
#include "scheduler/explain.h"
#include "scheduler/retry.h"

void core_finish_run(struct core *core, struct run *run, struct actions *out)
{
	enum run_state to = RUN_SUCCEEDED;

	if (run->ended || run->unfinished > 0 || !list_empty(&run->open))
		return;
	for (size_t i = 0; i < core->workers_count; i++)
		if (core_awaits_inventory(core, run, core->workers[i]))
			return; /* What it still holds of this run is not known yet. */
	for (size_t i = 0; i < run->dag->steps_count; i++) {
		if (run->tasks[i].row.state == TASK_FAILED)
			to = RUN_FAILED;
		else if (run->tasks[i].row.state == TASK_CANCELED && to != RUN_FAILED)
			to = RUN_CANCELED;
	}
	if (run->row.cancel_wall_ms > 0 && to == RUN_FAILED)
		to = RUN_CANCELED;
	core_move_run(core, run, to, to == RUN_CANCELED ? REASON_CANCELED : REASON_NONE, out);
	core_notify(core, run, out); /* before the event below: a recovery is told by the one before it */
	core_cancel_copies(run, out);
	for (size_t i = 0; to == RUN_SUCCEEDED && i < run->dag->steps_count; i++)
		core_drop_copies(&run->tasks[i], out);
	core_tell_own(core, out,
		      to == RUN_SUCCEEDED ? "run.succeeded"
		      : to == RUN_FAILED  ? "run.failed"
					  : "run.canceled",
		      core_whole_run(run), "");
	for (size_t i = 0; i < core->workers_count; i++) {
		struct attempt_id id = core_whole_run(run);

		if (run->claims[i] == CLAIM_HELD) {
			struct action *release = core_order(out, ORDER_RELEASE, core->workers[i], &id);

			release->epoch = core->workers[i]->epoch;
			release->keep = to != RUN_SUCCEEDED;
		}
		run->claims[i] = CLAIM_NONE;
	}
	actions_add(out, ORDER_RUN_ENDED)->id = core_whole_run(run);
	run->ended = true;
}

/*
 * Everything behind a task that did not succeed ends unstarted; an explicit stack, since a chain may be long.
 */
static void fail_dependents(struct core *core, struct task *root, struct actions *out)
{
	struct run *run = root->run;
	size_t *stack = NULL, room = 0, count = 0;

	mem_grow(&stack, &room, count, sizeof *stack);
	stack[count++] = root->row.step;
	while (count > 0) {
		const struct dag_step *step = &run->dag->steps[stack[--count]];

		for (size_t i = 0; i < step->dependents_count; i++) {
			struct task *task = &run->tasks[step->dependents[i]];

			if (task->row.state != TASK_WAITING)
				continue;
			core_move_task(
				core, task, TASK_UPSTREAM_FAILED, REASON_UPSTREAM,
				arena_printf(&run->arena, "needs %s, which %s", root->step->name,
					     root->row.state == TASK_CANCELED ? "was canceled" : "failed"),
				out);
			mem_grow(&stack, &room, count, sizeof *stack);
			stack[count++] = task->row.step;
		}
	}
	free(stack);
}

void core_end_task(struct core *core, struct task *task, enum task_state to, enum reason reason,
		   const char *message, struct actions *out)
{
	struct run *run = task->run;

	core_move_task(core, task, to, reason, message, out);
	if (to != TASK_SUCCEEDED) {
		fail_dependents(core, task, out);
		return;
	}
	for (size_t i = 0; i < task->step->dependents_count; i++) {
		struct task *next = &run->tasks[task->step->dependents[i]];

		assert(next->unmet > 0);
		if (--next->unmet == 0 && next->row.state == TASK_WAITING)
			core_move_task(core, next, TASK_READY, REASON_NONE, "", out);
	}
}

static void retry_later(struct core *core, struct task *task, uint32_t failures, enum reason reason,
			const char *message, struct actions *out)
{
	int64_t delay_ms = retry_delay_ms(&task->step->retry, failures, &core->rng);

	task->not_before_ms = core->now_ms + delay_ms;
	task->row.not_before_wall_ms = core->wall_ms + delay_ms;
	core_move_task(core, task, TASK_RETRYING, reason, message, out);
}

/* A checkpoint that resumed attempts keep dying on is not offered again. */
static void blame_checkpoint(struct core *core, const struct attempt *attempt, struct actions *out)
{
	struct task *task = attempt->task;
	struct checkpoint_row *row;

	row = ledger_at(&task->ledger, attempt->row.began_seq);
	if (row == NULL || attempt->progressed)
		return;
	row->deaths++;
	if ((row->state == CHECKPOINT_GOOD || row->copy != NULL) && row->state != CHECKPOINT_QUARANTINED &&
	    row->deaths >= LEDGER_DEATHS_MAX) {
		row->state = CHECKPOINT_QUARANTINED;
		row->message = arena_printf(&task->run->arena,
					    "%" PRIu32 " attempts resumed from it and died without"
					    " progress",
					    row->deaths);
		core_tell_own(core, out, "checkpoint.quarantined", attempt->row.id,
			      arena_printf(&out->arena, "%s: %s", row->name, row->message));
	}
	core_save_checkpoint(row, out);
}

/* After a failure: again now, again later, or not at all. */
static void decide_retry(struct core *core, const struct attempt *attempt, const struct record_exit *exit,
			 struct actions *out)
{
	struct task *task = attempt->task;
	enum retry_class class = retry_class_of(exit, attempt->progressed);
	enum reason reason = attempt->row.reason;
	const char *message = attempt->row.message;

	if (attempt->progressed)
		task->row.failures = task->row.machine_failures = 0;
	switch (class) {
	case RETRY_NEVER:
		core_end_task(core, task, TASK_FAILED, reason, message, out);
		break;
	case RETRY_AT_ONCE:
		core_move_task(core, task, TASK_READY, reason, message, out);
		break;
	case RETRY_UNCOUNTED:
		retry_later(core, task, ++task->row.machine_failures, reason, message, out);
		break;
	case RETRY_COUNTED:
		blame_checkpoint(core, attempt, out);
		/*
		 * The one failure that ends an attempt with progress is the price of the progress, not a
		 * retry spent.
		 */
		if (!attempt->progressed)
			task->row.failures++;
		if (task->step->retry.max > 0 && task->row.failures <= (uint32_t)task->step->retry.max) {
			retry_later(core, task, task->row.failures + attempt->progressed, reason, message,
				    out);
		} else {
			if (task->step->retry.max == 1)
				message = arena_printf(&task->run->arena, "%s; its only retry is used up",
						       message);
			else if (task->step->retry.max > 1)
				message = arena_printf(&task->run->arena, "%s; its %d retries are used up",
						       message, task->step->retry.max);
			core_end_task(core, task, TASK_FAILED, reason, message, out);
		}
		break;
	}
}

static enum attempt_state state_for(const struct record_exit *exit)
{
	if (exit->kind == EXIT_LOST)
		return ATTEMPT_LOST;
	if (exit->stopped && exit->reason == REASON_CANCELED)
		return ATTEMPT_CANCELED;
	if (exit->kind == EXIT_CODE && exit->code == 0 && !exit->stopped && exit->reason != REASON_ARTIFACTS)
		return ATTEMPT_SUCCEEDED;
	return ATTEMPT_FAILED;
}

static void fill_in_exit(struct core *core, struct attempt *attempt, const struct record_exit *exit)
{
	struct attempt_row *row = &attempt->row;
	struct arena *arena = &attempt->task->run->arena;

	core_move_attempt(attempt, state_for(exit), exit->reason);
	if (exit->started_wall_ms > 0)
		row->started_wall_ms = exit->started_wall_ms;
	row->ended_wall_ms = exit->ended_wall_ms > 0 ? exit->ended_wall_ms : core->wall_ms;
	row->exit_code = exit->kind == EXIT_CODE ? exit->code : -1;
	row->signal = exit->kind == EXIT_SIGNAL ? exit->signal : 0;
	if (exit->cpu_ms > row->cpu_ms)
		row->cpu_ms = exit->cpu_ms;
	if (exit->rss_peak_bytes > row->rss_peak_bytes)
		row->rss_peak_bytes = exit->rss_peak_bytes;
	row->log_bytes = exit->log_bytes;
	row->log_dropped_bytes = exit->log_dropped_bytes;
	row->unreachable_wall_ms = 0;
	row->message =
		row->state == ATTEMPT_SUCCEEDED
			? (exit->text == NULL || exit->text[0] == '\0' ? "" : arena_strdup(arena, exit->text))
			: explain_exit(exit, attempt->task->step, arena);
}

/* The one place where an attempt ends. */
void core_end_attempt(struct core *core, struct attempt *attempt, const struct record_exit *exit,
		      struct actions *out)
{
	struct task *task = attempt->task;
	bool never_ran = exit->kind == EXIT_NOT_STARTED;

	fill_in_exit(core, attempt, exit);
	attempt->exited = true;
	list_remove(&attempt->live_link);
	task->live = NULL;
	core_save_attempt(attempt, out);
	if (attempt->row.state == ATTEMPT_LOST)
		core_tell_own(core, out, "attempt.lost", attempt->row.id, attempt->row.message);
	if (never_ran && exit->reason == REASON_NOT_STARTED)
		core_count_start(core, attempt->worker, false, attempt->row.message, out);
	if (never_ran && task->row.first_attempt == attempt->row.id.number)
		task->row.first_attempt++; /* Nothing was begun, so the next one may begin from zero too. */
	if (attempt->row.state == ATTEMPT_SUCCEEDED)
		core_end_task(core, task, TASK_SUCCEEDED, REASON_NONE, attempt->row.message, out);
	else if (task->run->row.cancel_wall_ms > 0 || attempt->row.state == ATTEMPT_CANCELED)
		core_end_task(core, task, TASK_CANCELED, REASON_CANCELED, attempt->row.message, out);
	else
		decide_retry(core, attempt, exit, out);
}

void core_free_attempt(struct attempt *attempt)
{
	list_remove(&attempt->live_link);
	list_remove(&attempt->open_link);
	free(attempt);
}

/* An end that no supervisor reported: the attempt never was, or is gone with its worker's state. */
void core_end_unseen(struct core *core, struct attempt *attempt, enum exit_kind kind, enum reason reason,
		     bool transient, const char *text, struct actions *out)
{
	struct record_exit exit = { .kind = kind, .reason = reason, .transient = transient, .text = text };

	exit.stopped = kind == EXIT_NOT_STARTED && reason == REASON_CANCELED;
	core_end_attempt(core, attempt, &exit, out);
	core_free_attempt(attempt); /* The worker has nothing of it to collect. */
}
