/*
 * why.h - why a run or a task is in its state, in one sentence
 *
 * Pure: a run as the store has it and the time go in, words come out. Who holds what is derived from the
 * attempts that are alive, as the placement does it.
 *
 * Ownership: sentences live in the arena given.
 */
#ifndef SCHEDULER_WHY_H
#define SCHEDULER_WHY_H

#include <stdbool.h>
#include <stdint.h>

#include "common/arena.h"
#include "scheduler/core.h"

struct why_worker {
	const char *name;
	int64_t cpus_milli;
	int64_t memory_bytes;
	int devices;
	const char *labels; /* separated by blanks; "" */
	const char *trouble; /* why there is no connection; "": none is known */
	int64_t trouble_wall_ms;
	const char *aside; /* why nothing is started there until then; "" */
	int64_t aside_wall_ms;
	const char *drained_by; /* who is emptying it; "" */
};

/* What there is to know. Facts that are missing are NULL or 0 and left out of the sentence. */
struct why {
	const struct run *run;
	int64_t wall_ms;
	bool orphaned;
	const struct why_worker *workers;
	size_t workers_count;
	const char *canceled_by; /* "root (cli laptop)" */
	const bool *fetched; /* per step: what it left is here, for whoever needs it; NULL: nothing is */
	const char *last_line;	 /* of the log of the task that why_log_task names */
};

/*
 * The task whose failure a sentence about `task` (NULL: the run) would explain, so that its log is worth a
 * look.
 */
const struct task *why_log_task(const struct run *run, const struct task *task);

/* The failed task that ended first, or NULL. */
const struct task *why_first_failure(const struct run *run);

const char *why_run(const struct why *why, struct arena *arena);
const char *why_task(const struct why *why, const struct task *task, struct arena *arena);

/* How a person goes on with the run: a command, or NULL when there is nothing to do. */
const char *why_next(const struct run *run, bool orphaned, struct arena *arena);

#endif
