#include "scheduler/why.h"

#include <inttypes.h>
#include <string.h>

#include "common/buf.h"
#include "common/clock.h"
#include "common/mem.h"
#include "common/scope.h"
#include "scheduler/moment.h"
#include "scheduler/why_origin.h"
#include "scheduler/why_parts.h"

static const char *finish(struct buf *text, struct arena *arena)
{
	return arena_strdup(arena, buf_text(text));
}

static bool is_active(const struct task *task)
{
	return task->row.state >= TASK_STARTING && task->row.state <= TASK_RETRYING;
}

/* --- pieces of sentences -------------------------------------------------------------------------------- */

static void append_since(struct buf *out, const struct why *why, int64_t since_wall_ms)
{
	char at[MOMENT_BYTES], span[CLOCK_SPAN_BYTES];

	if (since_wall_ms == 0)
		return;
	buf_printf(out, " since %s (%s)", moment_local(since_wall_ms, why->wall_ms, at),
		   clock_span(why->wall_ms - since_wall_ms, span));
}

static void append_message(struct buf *out, const struct task *task)
{
	if (task->row.message != NULL && task->row.message[0] != '\0')
		buf_printf(out, ": %s", task->row.message);
}

static void append_last_line(struct buf *out, const struct why *why)
{
	if (why->last_line != NULL && why->last_line[0] != '\0')
		buf_printf(out, "; the last line of its log is \"%s\"", why->last_line);
}

/* --- waiting -------------------------------------------------------------------------------------------- */

static void append_unmet(const struct run *run, const struct task *task, struct buf *out)
{
	struct why_names names = { .out = out };

	for (size_t i = 0; i < task->step->needs_count; i++) {
		const struct task *need = &run->tasks[task->step->needs[i]];

		if (need->row.state != TASK_SUCCEEDED)
			why_names_add(&names, "%s (%s)", need->step->name, task_states[need->row.state].name);
	}
	why_names_end(&names);
}

/* What must end first: the tasks above `task` that do something, or could. Each is looked at once. */
static void append_frontier(const struct run *run, const struct task *task, struct buf *out)
{
	autofree bool *seen = mem_array(run->dag->steps_count, sizeof *seen);
	autofree size_t *stack = mem_array(run->dag->steps_count, sizeof *stack);
	struct why_names names = { .out = out };
	size_t count = 0;
	bool deeper = false;

	stack[count++] = task->row.step;
	while (count > 0) {
		const struct dag_step *step = &run->dag->steps[stack[--count]];

		for (size_t i = 0; i < step->needs_count; i++) {
			const struct task *need = &run->tasks[step->needs[i]];

			if (seen[step->needs[i]] || need->row.state == TASK_SUCCEEDED)
				continue;
			seen[step->needs[i]] = true;
			stack[count++] = step->needs[i];
			if (step->index == task->row.step ||
			    (!is_active(need) && need->row.state != TASK_READY))
				continue;
			if (!deeper)
				buf_append_text(out, "; before it comes ");
			deeper = true;
			why_names_add(&names, "%s (%s)", need->step->name, task_states[need->row.state].name);
		}
	}
	why_names_end(&names);
}

/* --- retrying and failed -------------------------------------------------------------------------------- */

static bool is_own_failure(enum reason reason)
{
	return reason == REASON_EXIT || reason == REASON_SIGNAL || reason == REASON_OOM ||
	       reason == REASON_TIMEOUT || reason == REASON_STALLED || reason == REASON_ARTIFACTS;
}

static void append_retrying(const struct why *why, const struct task *task, struct buf *out)
{
	int64_t left_ms = task->row.not_before_wall_ms - why->wall_ms;
	char at[MOMENT_BYTES], span[CLOCK_SPAN_BYTES];

	buf_printf(out, "attempt %" PRIu32 " of %s failed", task->row.attempts, task->step->name);
	append_message(out, task);
	buf_append_text(out, "; ");
	if (is_own_failure(task->row.reason) && task->row.failures > 0)
		buf_printf(out, "retry %" PRIu32 " of %d starts at %s", task->row.failures,
			   task->step->retry.max,
			   moment_local(task->row.not_before_wall_ms, why->wall_ms, at));
	else
		buf_printf(out, "the next starts at %s",
			   moment_local(task->row.not_before_wall_ms, why->wall_ms, at));
	if (left_ms > 0)
		buf_printf(out, " in %s", clock_span(left_ms / 1000 * 1000, span));
	if (!is_own_failure(task->row.reason))
		buf_append_text(out, " (what a machine did costs no retry)");
	else if (task->row.failures == 0)
		buf_append_text(out, " (it made progress, which costs no retry)");
}

static void append_failed(const struct why *why, const struct task *task, struct buf *out)
{
	bool never_ran = task->row.reason == REASON_NOT_STARTED;

	buf_printf(out, "%s failed", task->step->name);
	if (task->row.attempts > 1)
		buf_printf(out, " in attempt %" PRIu32, task->row.attempts);
	append_message(out, task);
	if (!never_ran)
		append_last_line(out, why);
}

/* The failed or canceled task above one that was not started for it; the nearest in the order of `needs`. */
static const struct task *find_root(const struct run *run, const struct task *task)
{
	autofree bool *seen = mem_array(run->dag->steps_count, sizeof *seen);
	autofree size_t *stack = mem_array(run->dag->steps_count, sizeof *stack);
	const struct task *canceled = NULL;
	size_t count = 0;

	stack[count++] = task->row.step;
	while (count > 0) {
		const struct dag_step *step = &run->dag->steps[stack[--count]];

		for (size_t i = 0; i < step->needs_count; i++) {
			const struct task *need = &run->tasks[step->needs[i]];

			if (need->row.state == TASK_FAILED)
				return need;
			if (need->row.state == TASK_CANCELED)
				canceled = need;
			if (seen[step->needs[i]] || need->row.state != TASK_UPSTREAM_FAILED)
				continue;
			seen[step->needs[i]] = true;
			stack[count++] = step->needs[i];
		}
	}
	return canceled;
}

static void append_upstream(const struct why *why, const struct task *task, struct buf *out)
{
	const struct task *root = find_root(why->run, task);
	bool direct = false;

	buf_printf(out, "%s was not started", task->step->name);
	if (root == NULL) {
		append_message(out, task);
		return;
	}
	for (size_t i = 0; i < task->step->needs_count; i++)
		direct |= task->step->needs[i] == root->row.step;
	buf_printf(out, ": it needs %s%s, which %s", direct ? "" : "what follows from ", root->step->name,
		   root->row.state == TASK_CANCELED ? "was canceled" : "failed");
	append_message(out, root);
	if (root->row.state == TASK_FAILED)
		append_last_line(out, why);
}

/* --- running -------------------------------------------------------------------------------------------- */

static void append_attempt(const struct task *task, struct buf *out)
{
	const struct attempt_row *row = &task->live->row;

	buf_printf(out, " on worker %s", row->worker);
	if (row->id.number > 1)
		buf_printf(out, ", attempt %" PRIu32, row->id.number);
	if (row->resumed_from[0] != '\0')
		buf_printf(out, ", resumed from %s", row->resumed_from);
	else if (row->id.number > 1 && task->ledger.count > 0 && row->state != ATTEMPT_INTENDED)
		buf_append_text(out, ", from zero");
}

/*
 * Of one that cannot be reached. The moment when it goes elsewhere is the earliest one: a scheduler that was
 * started meanwhile counts from its start.
 */
static void append_prospect(const struct why *why, const struct task *task, struct buf *out)
{
	const struct attempt_row *row = &task->live->row;
	int64_t lease_ms = core_lease_ms(task->step, row->worker);
	int64_t end_wall_ms = row->unreachable_wall_ms;
	char at[MOMENT_BYTES], span[CLOCK_SPAN_BYTES];

	if (lease_ms == 0) {
		buf_append_text(out, "; it runs on, and its end is collected when its worker is back");
		return;
	}
	end_wall_ms += core_lease_span_ms(task->step, row->worker);
	buf_printf(out, "; its worker stops it when its lease of %s has run out, and it goes elsewhere ",
		   clock_span(lease_ms, span));
	if (end_wall_ms > why->wall_ms)
		buf_printf(out, "at %s", moment_local(end_wall_ms, why->wall_ms, at));
	else
		buf_append_text(out, "when that is certain, as counted since the scheduler was started");
}

/* Why its worker cannot be reached, as far as the last try found out. */
static void append_worker_trouble(const struct why *why, const char *name, struct buf *out)
{
	for (size_t i = 0; i < why->workers_count; i++) {
		const struct why_worker *worker = &why->workers[i];

		if (strcmp(worker->name, name) == 0 && worker->trouble != NULL && worker->trouble[0] != '\0')
			buf_printf(out, ": %s", worker->trouble);
	}
}

static const struct why_worker *find_worker(const struct why *why, const char *name)
{
	for (size_t i = 0; i < why->workers_count; i++)
		if (strcmp(why->workers[i].name, name) == 0)
			return &why->workers[i];
	return NULL;
}

/* Why what that task left cannot be brought to `worker`; NULL: it can, or need not. */
static const char *find_hindrance(const struct why *why, const struct task *from, const char *worker)
{
	const struct why_worker *holder;

	if (from->left.digest == NULL || strcmp(from->left.worker, worker) == 0 ||
	    (why->fetched != NULL && why->fetched[from->row.step]))
		return NULL;
	holder = find_worker(why, from->left.worker);
	if (holder == NULL)
		return "it is not configured any more";
	return holder->trouble == NULL || holder->trouble[0] == '\0' ? NULL : holder->trouble;
}

/* Of one that is being started: what it needs and cannot be brought. */
static bool append_files(const struct why *why, const struct task *task, struct buf *out)
{
	const struct run *run = why->run;
	autofree bool *seen = mem_array(run->dag->steps_count, sizeof *seen);
	autofree size_t *stack = mem_array(run->dag->steps_count + 1, sizeof *stack);
	size_t count = 0;

	stack[count++] = task->row.step;
	while (run->leaves_artifacts && count > 0) {
		const struct dag_step *step = &run->dag->steps[stack[--count]];

		for (size_t i = 0; i < step->needs_count; i++) {
			const struct task *need = &run->tasks[step->needs[i]];
			const char *hindrance;

			if (seen[step->needs[i]])
				continue;
			seen[step->needs[i]] = true;
			stack[count++] = step->needs[i];
			hindrance = find_hindrance(why, need, task->live->row.worker);
			if (hindrance == NULL)
				continue;
			buf_printf(out, "; it waits for the artifacts of %s, which lie on worker %s: %s",
				   need->step->name, need->left.worker, hindrance);
			return true;
		}
	}
	return false;
}

static void append_running(const struct why *why, const struct task *task, struct buf *out)
{
	const struct attempt *live = task->live;

	if (live == NULL) {
		buf_printf(out, "%s is %s", task->step->name, task_states[task->row.state].name);
		return;
	}
	if (live->row.state == ATTEMPT_UNREACHABLE) {
		buf_printf(out, "%s cannot be reached", task->step->name);
		append_since(out, why, live->row.unreachable_wall_ms);
		append_attempt(task, out);
		append_worker_trouble(why, live->row.worker, out);
		append_prospect(why, task, out);
	} else if (live->row.state == ATTEMPT_INTENDED) {
		buf_printf(out, "%s is being started", task->step->name);
		append_since(out, why, live->row.intended_wall_ms);
		append_attempt(task, out);
		if (!append_files(why, task, out) && !why_origin_starting(task, out))
			buf_append_text(out, "; it has given no sign of life yet");
	} else {
		buf_printf(out, "%s is running", task->step->name);
		append_since(out, why, live->row.started_wall_ms);
		append_attempt(task, out);
	}
}

static void append_stopping(const struct why *why, const struct task *task, struct buf *out)
{
	char span[CLOCK_SPAN_BYTES];

	buf_printf(out, "%s was asked to stop", task->step->name);
	if (task->row.reason == REASON_CANCELED && why->canceled_by != NULL)
		buf_printf(out, " by %s", why->canceled_by);
	else if (task->row.reason != REASON_NONE)
		buf_printf(out, " (%s)", reason_names[task->row.reason]);
	buf_printf(out, " and is given %s to save its state", clock_span(task->step->grace_ms, span));
}

static void append_canceled(const struct why *why, const struct task *task, struct buf *out)
{
	buf_printf(out, "%s was canceled", task->step->name);
	if (why->canceled_by != NULL)
		buf_printf(out, " by %s", why->canceled_by);
	if (task->row.attempts == 0)
		buf_append_text(out, " before it was started");
}

static void append_succeeded(const struct why *why, const struct task *task, struct buf *out)
{
	char at[MOMENT_BYTES], span[CLOCK_SPAN_BYTES];

	buf_printf(out, "%s succeeded at %s after %s", task->step->name,
		   moment_local(task->row.ended_wall_ms, why->wall_ms, at),
		   clock_span(task->row.ended_wall_ms - task->row.started_wall_ms, span));
	if (task->row.attempts > 1)
		buf_printf(out, ", in attempt %" PRIu32, task->row.attempts);
}

static void append_orphaned(const struct why *why, struct buf *out)
{
	if (why->orphaned)
		buf_printf(out, "; nobody drives the run: go on with `stoker run --resume %s/%" PRIu64 "`",
			   why->run->row.dag, why->run->row.number);
}

static void append_task(const struct why *why, const struct task *task, struct buf *out)
{
	switch (task->row.state) {
	case TASK_WAITING:
		buf_printf(out, "%s waits for ", task->step->name);
		append_unmet(why->run, task, out);
		append_frontier(why->run, task, out);
		break;
	case TASK_READY:
		why_append_ready(why, task, out);
		break;
	case TASK_STARTING:
	case TASK_RUNNING:
		append_running(why, task, out);
		break;
	case TASK_STOPPING:
		append_stopping(why, task, out);
		break;
	case TASK_RETRYING:
		append_retrying(why, task, out);
		break;
	case TASK_SUCCEEDED:
		append_succeeded(why, task, out);
		break;
	case TASK_FAILED:
		append_failed(why, task, out);
		break;
	case TASK_CANCELED:
		append_canceled(why, task, out);
		break;
	case TASK_UPSTREAM_FAILED:
		append_upstream(why, task, out);
		break;
	case TASK_SKIPPED:
	case TASK_STATES:
		buf_printf(out, "%s was skipped", task->step->name);
		append_message(out, task);
		break;
	}
}

const char *why_task(const struct why *why, const struct task *task, struct arena *arena)
{
	autobuf struct buf out = { 0 };

	append_task(why, task, &out);
	if (!machine_ended(task_states, task->row.state))
		append_orphaned(why, &out);
	return finish(&out, arena);
}

/* --- the run -------------------------------------------------------------------------------------------- */

const struct task *why_first_failure(const struct run *run)
{
	const struct task *first = NULL;

	for (size_t i = 0; i < run->dag->steps_count; i++) {
		const struct task *task = &run->tasks[i];

		if (task->row.state != TASK_FAILED)
			continue;
		if (first == NULL || task->row.ended_wall_ms < first->row.ended_wall_ms)
			first = task;
	}
	return first;
}

const struct task *why_log_task(const struct run *run, const struct task *task)
{
	if (task == NULL)
		task = why_first_failure(run);
	else if (task->row.state == TASK_UPSTREAM_FAILED)
		task = find_root(run, task);
	return task != NULL && task->row.state == TASK_FAILED && task->row.attempts > 0 ? task : NULL;
}

/* An active task first: what it waits for is what the run waits for. */
static const struct task *find_telling(const struct run *run)
{
	static const enum task_state ranks[] = { TASK_STOPPING, TASK_RUNNING, TASK_STARTING, TASK_RETRYING,
						 TASK_READY };

	for (size_t r = 0; r < COUNT_OF(ranks); r++)
		for (size_t i = 0; i < run->dag->steps_count; i++)
			if (run->tasks[i].row.state == ranks[r])
				return &run->tasks[i];
	return NULL;
}

static void append_turn(const struct why *why, struct buf *out)
{
	const struct dag *dag = why->run->dag;

	buf_append_text(out, " and waits for its turn");
	if (why->going_on != NULL && why->going_on_count >= (size_t)dag->max_active_runs) {
		buf_printf(out, ": %s is going on", why->going_on);
		if (why->going_on_count > 1)
			buf_printf(out, " (and %zu more)", why->going_on_count - 1);
		buf_printf(out, ", and %s has no more than %d at a time (max_active_runs)", dag->name,
			   dag->max_active_runs);
	}
	if (why->queued_before > 0)
		buf_printf(out, "; %zu of its own go%s before it", why->queued_before,
			   why->queued_before == 1 ? "es" : "");
}

/* It is not taken up yet, so what its tasks wait for is that. */
static void append_queued_run(const struct why *why, struct buf *out)
{
	buf_printf(out, "%s/%" PRIu64 " is queued", why->run->row.dag, why->run->row.number);
	if (why->waits_for != NULL && why->waits_for[0] != '\0')
		buf_printf(out, ": %s", why->waits_for);
	else
		append_turn(why, out);
	append_orphaned(why, out);
}

static void append_open_run(const struct why *why, struct buf *out)
{
	const struct run *run = why->run;
	const struct task *failed = why_first_failure(run), *telling = find_telling(run);
	size_t others = 0;

	for (size_t i = 0; i < run->dag->steps_count; i++)
		others += telling != NULL && &run->tasks[i] != telling && is_active(&run->tasks[i]);
	buf_printf(out, "%s/%" PRIu64 " ", run->row.dag, run->row.number);
	if (why->orphaned)
		buf_append_text(out, "is orphaned, its steps go on: ");
	else if (run->row.cancel_wall_ms > 0)
		buf_append_text(out, "is being canceled: ");
	else if (failed != NULL)
		buf_printf(out, "will fail because of %s, and goes on with the rest: ", failed->step->name);
	else
		buf_append_text(out, "goes on: ");
	if (telling == NULL)
		buf_append_text(out, "its last steps are being collected");
	else
		append_task(why, telling, out);
	if (others > 0)
		buf_printf(out, "; %zu other %s active too", others, others == 1 ? "task is" : "tasks are");
	append_orphaned(why, out);
}

static void append_ended_run(const struct why *why, struct buf *out)
{
	const struct run *run = why->run;
	const struct task *failed = why_first_failure(run);
	char at[MOMENT_BYTES], span[CLOCK_SPAN_BYTES];

	buf_printf(out, "%s/%" PRIu64 " ", run->row.dag, run->row.number);
	if (run->row.state == RUN_CANCELED) {
		buf_append_text(out, "was canceled");
		if (why->canceled_by != NULL)
			buf_printf(out, " by %s", why->canceled_by);
		buf_printf(out, " at %s", moment_local(run->row.ended_wall_ms, why->wall_ms, at));
	} else if (run->row.state == RUN_SUCCEEDED) {
		buf_printf(out, "succeeded at %s after %s",
			   moment_local(run->row.ended_wall_ms, why->wall_ms, at),
			   clock_span(run->row.ended_wall_ms - run->row.started_wall_ms, span));
	} else {
		buf_append_text(out, "failed");
	}
	if (run->row.state == RUN_FAILED && failed != NULL) {
		buf_append_text(out, " because ");
		append_failed(why, failed, out);
	}
}

const char *why_run(const struct why *why, struct arena *arena)
{
	autobuf struct buf out = { 0 };

	if (machine_ended(run_states, why->run->row.state))
		append_ended_run(why, &out);
	else if (why->run->row.state == RUN_QUEUED)
		append_queued_run(why, &out);
	else
		append_open_run(why, &out);
	return finish(&out, arena);
}

const char *why_next(const struct run *run, bool orphaned, struct arena *arena)
{
	bool ended = machine_ended(run_states, run->row.state);

	if (run->row.state == RUN_SUCCEEDED || (!ended && !orphaned))
		return NULL;
	return arena_printf(arena, "stoker run --resume %s/%" PRIu64, run->row.dag, run->row.number);
}
