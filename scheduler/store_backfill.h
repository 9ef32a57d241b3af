/*
 * store_backfill.h - due times that are made up for on somebody's request
 *
 * A backfill goes through the due times of a DAG's schedules in a range, oldest first, and makes a run for each (trigger
 * `backfill`), no more than max_active of which go on at a time. It keeps to the version of the DAG that was in force
 * when it was asked for. A due time that has a run already is left out: one that goes on, or, unless `again`, one that
 * succeeded, whoever started it; and one that the ledger has not decided yet (store_settle). A row of the ledger that
 * was skipped keeps its reason and gets the run.
 *
 * All of it is in the database, so one that was cut by a crash goes on where it was: store_backfill_step is to be called
 * for each of store_open_backfills at a start, when a run ended, and now and then.
 *
 * One function is one transaction, or a part of the one that is open. `local_zone`: the scheduler's; NULL: this machine's.
 */
#ifndef SCHEDULER_STORE_BACKFILL_H
#define SCHEDULER_STORE_BACKFILL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/arena.h"
#include "common/err.h"
#include "scheduler/backfill.h"
#include "scheduler/store.h"

enum { STORE_BACKFILL_ACTIVE_MAX = 100 };

struct store_new_backfill {
	const char *dag;
	const char *from, *to; /* as in backfill.h */
	int max_active;	       /* at least 1 */
	bool again;
	const char *const *assignments; /* NAME=VALUE */
	size_t assignments_count;
	const char *actor;
	const char *origin;
	int64_t wall_ms; /* none that is due after this */
};

/*
 * ERR_NOT_FOUND: no such DAG, or no schedule, or nothing is due in the range; ERR_BUSY: one of this DAG goes on;
 * ERR_INVALID: dates, values of parameters.
 */
int store_start_backfill(struct store *store, const struct store_new_backfill *new_backfill,
			 const char *local_zone, int64_t *id_out, struct err *err);

/* No more runs are made, and those that go on are asked to be canceled. ERR_NOT_FOUND; one that ended stays. */
int store_cancel_backfill(struct store *store, int64_t id, const char *actor, const char *origin,
			  int64_t wall_ms, struct err *err);

struct store_backfill_step {
	int made;    /* runs */
	bool more;   /* there is more to look at: call again */
	bool ended;  /* all its due times have their run, and the last one has ended */
};

/* Makes as many runs as may go on now. Harmless on one that ended. */
int store_backfill_step(struct store *store, int64_t id, const char *local_zone, int64_t wall_ms,
			struct store_backfill_step *step_out, struct err *err);

/* The ids of those that go on. */
int store_open_backfills(struct store *store, struct arena *arena, int64_t **ids_out, size_t *count_out,
			 struct err *err);

/* --- for a preview (also of a reader) ------------------------------------------------------------------- */

/* What the backfill would do with a due time. */
enum store_backfill_fate { BACKFILL_RUN, BACKFILL_HAS_RUN, BACKFILL_UNDECIDED };

/* *number_out: of the run that it has; 0: none. */
int store_backfill_fate(struct store *store, const struct backfill *backfill, int64_t dag_id,
			const struct due *due, size_t schedule, bool again, enum store_backfill_fate *fate_out,
			uint64_t *number_out, struct err *err);

#endif
