/*
 * why.h - why a run or a task is in its state, in one sentence
 *
 * Pure: a run as the store has it and the time go in, words come out. Who holds what is derived from the
 * attempts that are alive, over all runs, as the placement does it; who goes before, by the same rule as in the core
 * (urgency.h).
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
	int slots; /* 0: no limit */
	const char *labels; /* separated by blanks; "" */
	const char *trouble; /* why there is no connection; "": none is known */
	int64_t trouble_wall_ms;
	const char *aside; /* why nothing is started there until then; "" */
	int64_t aside_wall_ms;
	const char *drained_by; /* who is emptying it; "" */
};

/* A pool in force. */
struct why_pool {
	const char *name;
	int slots;
};

/* What a task asks for, whether it holds it or waits for it. */
struct why_ask {
	uint64_t run;
	uint32_t step;
	const char *run_name; /* "digits/41" */
	const char *task;
	const char *pool;   /* "" */
	const char *worker; /* name or label; "" */
	struct dag_resources resources;
};

/* An attempt that is alive, of any run. */
struct why_holder {
	struct why_ask ask;
	const char *worker; /* where it is */
	uint32_t number;
	const char *state;
	int64_t since_wall_ms;
	int devices; /* that it was given */
};

/* The ready tasks of a run that ask for the same. */
struct why_waiting {
	struct why_ask ask; /* of the oldest */
	int64_t since_wall_ms;
	int priority;
	size_t count;
	int64_t waited_ms; /* by why_rank: since then, or since the last start of its kind */
	int64_t urgency;   /* by why_rank */
};

/* What there is to know. Facts that are missing are NULL or 0 and left out of the sentence. */
struct why {
	const struct run *run;
	int64_t wall_ms;
	bool orphaned;
	const struct why_worker *workers;
	size_t workers_count;
	const struct why_pool *pools;
	size_t pools_count;
	const struct why_holder *holders; /* the longest first */
	size_t holders_count;
	const struct why_waiting *waiting; /* in the order in which they go */
	size_t waiting_count;
	const char *waits_for;   /* of a run that is queued; "" */
	const char *going_on;    /* the run of its DAG that has been going on longest: "digits/3"; NULL: none */
	size_t going_on_count;   /* so many of its DAG go on */
	size_t queued_before;    /* so many of its DAG are queued and go before it */
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

/* Brings who waits into the order in which they go, as far as the holders in `why` tell. */
void why_rank(const struct why *why, struct why_waiting *waiting, size_t count);

/* How a person goes on with the run: a command, or NULL when there is nothing to do. */
const char *why_next(const struct run *run, bool orphaned, struct arena *arena);

#endif
