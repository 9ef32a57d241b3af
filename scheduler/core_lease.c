/*
 * core_lease.c - what may be given up, and when: attempts whose worker is out of reach for longer than they
 * may live without us
 *
 * A supervisor stops its step when nothing it asked since `lease` was granted, by its own clock; we count the
 * same length from the last answer, which came after the asking, and add the grace of the stop and a margin.
 * Only a worker that is down is judged: one that is up tells the end itself. After a restart the count begins
 * anew, for nobody knows what was granted a moment before the crash; that costs time and no more.
 *
 * Source: Gray and Cheriton, "Leases", SOSP 1989.
 */
#include "scheduler/core_parts.h"

#include <string.h>

#include "common/clock.h"

enum {
	DRIFT_PARTS = 50,  /* one in so many: two clocks, each of them 1 % wrong, as no real one is */
	KILLING_MS = 5000, /* from the end of the grace until nothing is left, on a machine that swaps */
};

int64_t core_lease_ms(const struct dag_step *step, const char *worker)
{
	return strcmp(worker, CORE_LOCAL) == 0 ? 0 : step->move_after_ms;
}

int64_t core_lease_span_ms(const struct dag_step *step, const char *worker)
{
	int64_t lease_ms = core_lease_ms(step, worker);
	int64_t alive_ms = lease_ms + step->grace_ms;

	return lease_ms == 0 ? INT64_MAX : alive_ms + alive_ms / DRIFT_PARTS + KILLING_MS;
}

/* When what was granted to the worker for `span_ms` has run out on both sides. */
static int64_t span_end_ms(const struct worker *worker, int64_t span_ms)
{
	return span_ms == INT64_MAX ? INT64_MAX : worker->granted_ms + span_ms;
}

static int64_t end_ms(const struct attempt *attempt)
{
	return span_end_ms(attempt->worker, core_lease_span_ms(attempt->task->step, attempt->worker->name));
}

void core_note_use(struct run *run, const struct worker *worker, const struct dag_step *step)
{
	int64_t span_ms = core_lease_span_ms(step, worker->name);

	if (!run->used[worker->index] || run->awaited_ms[worker->index] < span_ms)
		run->awaited_ms[worker->index] = span_ms;
	run->used[worker->index] = true;
}

/* It is answered whatever we think of the worker, so it counts whatever we think of it. */
void core_on_lease(struct core *core, const struct event *event, struct worker *worker)
{
	worker->granted_ms = core->now_ms;
	worker->asked_ms = event->asked_ms;
}

bool core_awaits_inventory(const struct core *core, const struct run *run, const struct worker *worker)
{
	if (!run->used[worker->index] || run->claims[worker->index] == CLAIM_HELD)
		return false;
	return worker->up || core->now_ms < span_end_ms(worker, run->awaited_ms[worker->index]);
}

static void give_up(struct core *core, struct attempt *attempt, struct actions *out)
{
	struct arena *arena = &attempt->task->run->arena;
	char span[CLOCK_SPAN_BYTES];

	if (attempt->exited) {
		core_tell_own(core, out, "attempt.uncollected", attempt->row.id,
			      arena_printf(&out->arena, "the rest of its log is on worker %s, out of reach",
					   attempt->worker->name));
		core_free_attempt(attempt);
		return;
	}
	clock_span(core_lease_ms(attempt->task->step, attempt->worker->name), span);
	core_end_unseen(core, attempt, EXIT_LOST, REASON_WORKER_LOST, false,
			arena_printf(arena,
				     "worker %s is out of reach, and its lease of %s has run out on both"
				     " sides",
				     attempt->worker->name, span),
			out);
}

void core_end_leases(struct core *core, struct actions *out)
{
	for (size_t i = 0; i < core->runs_count; i++) {
		struct run *run = core->runs[i];

		if (run->ended || run->lease_ms == 0)
			continue;
		list_each (at, &run->open) {
			struct attempt *attempt = list_entry(at, struct attempt, open_link);

			if (!attempt->worker->up && core->now_ms >= end_ms(attempt))
				give_up(core, attempt, out);
		}
	}
}

static int64_t sooner(int64_t a, int64_t b)
{
	return a < b ? a : b;
}

int64_t core_next_lease_end_ms(const struct core *core)
{
	int64_t next_ms = INT64_MAX;

	for (size_t i = 0; i < core->runs_count; i++) {
		const struct run *run = core->runs[i];

		if (run->ended || run->lease_ms == 0)
			continue;
		list_each (at, &run->open) {
			const struct attempt *attempt = list_entry(at, struct attempt, open_link);

			if (!attempt->worker->up)
				next_ms = sooner(next_ms, end_ms(attempt));
		}
		for (size_t k = 0; run->unfinished == 0 && k < core->workers_count; k++)
			if (!core->workers[k]->up && core_awaits_inventory(core, run, core->workers[k]))
				next_ms = sooner(next_ms, span_end_ms(core->workers[k], run->awaited_ms[k]));
	}
	return next_ms;
}
