#include "scheduler/origin.h"

#include "scheduler/core_parts.h"
#include "scheduler/placement.h"

static bool can_take(const struct core *core, const struct worker *worker, const struct task *task)
{
	return worker->configured && placement_starts_things(core, worker) &&
	       placement_is_eligible(worker, task->run, task->step);
}

/* Some worker that may take the task, now or later, is not the one that has its checkpoint. */
static bool has_other(const struct core *core, const struct task *task, const struct worker *holder)
{
	for (size_t i = 0; i < core->workers_count; i++)
		if (core->workers[i] != holder && can_take(core, core->workers[i], task))
			return true;
	return false;
}

static struct worker *holder_of(const struct core *core, const struct checkpoint_row *row)
{
	struct worker *worker =
		row->state == CHECKPOINT_GOOD ? core_find_worker(core, row->worker) : NULL;

	return worker != NULL && (worker->configured || worker->up) ? worker : NULL;
}

/* An older one than rows[before] that can be had at this moment. */
static bool has_fallback(const struct core *core, const struct task *task, size_t before)
{
	for (size_t i = before; i > 0; i--) {
		const struct checkpoint_row *row = &task->ledger.rows[i - 1];
		const struct worker *holder = holder_of(core, row);

		if (checkpoint_has_copy(row) || (holder != NULL && holder->up && can_take(core, holder, task)))
			return true;
	}
	return false;
}

static int64_t at_most(int64_t ms, int64_t limit_ms)
{
	return limit_ms > 0 && limit_ms < ms ? limit_ms : ms;
}

/* How long the holder of rows[at], which is away, is waited for. */
static int64_t patience_ms(const struct core *core, const struct task *task, size_t at,
			   const struct worker *holder)
{
	const struct dag_step *step = task->step;
	bool copied = checkpoint_has_copy(&task->ledger.rows[at]);
	bool usable = can_take(core, holder, task);

	if (copied && !usable)
		return 0;
	if (copied || has_fallback(core, task, at)) {
		/* Its lease had to run out before this was known: that was waiting enough. */
		if (task->row.reason == REASON_WORKER_LOST)
			return 0;
		return at_most(copied ? ORIGIN_BLIP_MS : ORIGIN_AWAY_MS, step->move_after_ms);
	}
	if (step->checkpoint.resume == DAG_RESUME_REQUIRED)
		return INT64_MAX;
	if (!usable)
		return at_most(ORIGIN_AWAY_MS, step->move_after_ms);
	return step->move_after_ms > 0 ? step->move_after_ms : INT64_MAX;
}

/* What rows[at] means, when it means something: else the one before it is looked at. */
static bool judge(const struct core *core, const struct task *task, size_t at, struct origin *out)
{
	const struct checkpoint_row *row = &task->ledger.rows[at];
	struct worker *holder = holder_of(core, row);
	int64_t away_ms, wait_ms;

	*out = (struct origin){ .row = row, .holder = holder, .until_ms = INT64_MAX };
	if (holder != NULL && holder->up && can_take(core, holder, task)) {
		out->way = ORIGIN_THERE;
		return true;
	}
	if (holder != NULL && !holder->up) {
		away_ms = holder->down_ms > core->began_ms ? holder->down_ms : core->began_ms;
		wait_ms = patience_ms(core, task, at, holder);
		out->way = ORIGIN_AWAIT;
		out->until_ms = wait_ms == INT64_MAX ? INT64_MAX : away_ms + wait_ms;
		if (core->now_ms < out->until_ms)
			return true;
	}
	out->until_ms = INT64_MAX;
	out->way = ORIGIN_ANYWHERE;
	if (checkpoint_has_copy(row))
		return true;
	out->way = ORIGIN_AFTER_COPY;
	return holder != NULL && holder->up && !row->copy_failed && !row->copy_unfit &&
	       has_other(core, task, holder);
}

struct origin origin_of(const struct core *core, const struct task *task)
{
	struct origin origin;

	if (task->step->checkpoint.resume != DAG_RESUME_NEVER)
		for (size_t i = task->ledger.count; i > 0; i--)
			if (judge(core, task, i - 1, &origin))
				return origin;
	return (struct origin){ .way = ORIGIN_ANYWHERE, .until_ms = INT64_MAX };
}

bool origin_allows(const struct origin *origin, const struct worker *worker)
{
	return origin->way == ORIGIN_ANYWHERE || (origin->way == ORIGIN_THERE && worker == origin->holder);
}
