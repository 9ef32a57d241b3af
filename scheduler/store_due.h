/*
 * store_due.h - schedules on disk: which are in force, and the ledger of their due times
 *
 * As in store.h: one function is one transaction, or a part of the one that is open.
 *
 * The ledger has one row for each due time of a schedule since it was put in force: `ran`, with the run that was made
 * in the same transaction, or `skipped`, with a reason:
 *
 *   missed      stoker was not there, and `catchup` makes up for none
 *   superseded  or only for the latest
 *   too_late    past start_deadline
 *   overlap     the last run still went on; or as many wait already as may (STORE_QUEUE_MAX)
 *   paused      somebody had paused the DAG
 *
 * With jitter a row is written when the run is to start; until then its due time is a coming one.
 */
#ifndef SCHEDULER_STORE_DUE_H
#define SCHEDULER_STORE_DUE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/arena.h"
#include "common/err.h"
#include "dag/dag.h"
#include "scheduler/store.h"
#include "scheduler/timetable.h"

/* Of one DAG: so many runs may wait behind each other with `overlap: queue` or `catchup: all`. */
enum { STORE_QUEUE_MAX = 1000, STORE_REASON_BYTES = 16 };

/* --- DAGs ----------------------------------------------------------------------------------------------- */

/*
 * Puts a version of a DAG in force, with its schedules; rows_out (one for each of dag->schedules) is for timetable_put.
 * A schedule that is new begins now: it has no due times before. So does one that was gone, or whose zone, from or
 * until is another one; else it goes on where it is settled. Those that this version does not have are gone.
 * `local_zone`: the name of the scheduler's zone.
 */
int store_put_dag(struct store *store, const struct dag *dag, const char *local_zone, int64_t wall_ms,
		  struct timetable_row *rows_out, struct err *err);

/* Its file is no more: its schedules are gone. Unknown ones are passed over. */
int store_drop_dag(struct store *store, const char *dag, int64_t wall_ms, struct err *err);

/* The version in force, else the one that was seen last. ERR_NOT_FOUND. */
int store_load_dag(struct store *store, const char *name, struct dag **dag_out, struct err *err);

/* The same, with the ids of its rows. */
int store_load_dag_ids(struct store *store, const char *name, struct dag **dag_out, int64_t *dag_id_out,
		       int64_t *version_out, struct err *err);

/* No due time of it is run from now on. *changed_out (may be NULL): it was not so already. ERR_NOT_FOUND. */
int store_pause(struct store *store, const char *dag, const char *actor, const char *origin, int64_t wall_ms,
		bool *changed_out, struct err *err);

/* From now on they are again; nothing is made up for what was due meanwhile. */
int store_unpause(struct store *store, const char *dag, const char *actor, const char *origin,
		  int64_t wall_ms, bool *changed_out, struct err *err);

/* --- the DAG folder ------------------------------------------------------------------------------------- */

struct store_dag_file {
	const char *path;   /* absolute */
	const char *name;   /* of its DAG; of one that cannot be read, by the file's name */
	const char *digest; /* of its text; "": it cannot be read */
	const char *error;  /* its diagnostics as text; "": it is valid, and in force */
	int64_t seen_ms;
};

/* By path. What is so already stays, with its seen_ms. */
int store_put_dag_file(struct store *store, const struct store_dag_file *file, struct err *err);
int store_drop_dag_file(struct store *store, const char *path, struct err *err);
int store_load_dag_files(struct store *store, struct arena *arena, struct store_dag_file **files_out,
			 size_t *count_out, struct err *err);

/* --- schedules ------------------------------------------------------------------------------------------ */

struct store_schedule {
	int64_t id;
	const char *dag;
	const char *cron;
	const char *timezone; /* "": the scheduler's */
	int64_t since_ms;
	int64_t settled_ms;
};

/* All in force, by DAG: at a start, to find those whose file has gone. */
int store_load_schedules(struct store *store, struct arena *arena, struct store_schedule **schedules_out,
			 size_t *count_out, struct err *err);

/* --- the ledger ----------------------------------------------------------------------------------------- */

/* What became of a due time. */
struct store_settled {
	bool before;			 /* it had its row already */
	bool ran;			 /* `run` was made for it */
	char reason[STORE_REASON_BYTES]; /* else why not; "gone": its schedule is no more, it has no row */
	uint64_t run;			 /* 0: none */
};

/*
 * Writes the rows of these due times and makes the runs, in order, all or none. One that has its row is left alone, but
 * for one that was skipped later than `wall_ms`, by a clock that was ahead.
 * `overlap: replace` asks for the runs that go on to be canceled (store_requests; a run still queued, too).
 * Runs of backfills neither hold up a due time nor are they replaced.
 * `settled_out`: one for each, or NULL.
 */
int store_settle(struct store *store, const struct timetable_decision *decisions, size_t count,
		 int64_t wall_ms, struct store_settled *settled_out, struct err *err);

#endif
