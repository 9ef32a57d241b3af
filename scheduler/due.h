/*
 * due.h - when a schedule is due: the next time, all in a range, and what to do about those that were missed
 *
 * A schedule at fixed hours is due once for each local time that its line names, at the first instant at
 * which the local clock has come to it: a time that does not exist (clocks go forward) at the end of the gap,
 * one that exists twice (they go back) at the first of the two. A schedule whose hour is a wildcard or a step
 * follows elapsed time: it is due whenever the clock shows a time that its line names, so twice where that
 * exists twice, and not where it does not.
 *
 * Due times strictly increase and are a matter of schedule and zone alone: whoever asks again, after a crash
 * or on another machine, gets the same ones. Each is found by its own (a search in the zone's changes, and a
 * step over the days in between), however long ago the one before was.
 *
 * Pure: no clock, no files.
 *
 * Ownership: struct due_schedule in the caller's memory, with nothing to release; it points to the zone.
 * Units:     milliseconds since 1970 UTC for instants; *_local_s: see zone.h.
 * Errors:    due_schedule_init: ERR_INVALID, for what dag_load would have refused.
 */
#ifndef SCHEDULER_DUE_H
#define SCHEDULER_DUE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/buf.h"
#include "common/err.h"
#include "common/zone.h"
#include "dag/cron.h"
#include "dag/dag.h"

/* A schedule, made ready. */
struct due_schedule {
	struct cron cron;
	const struct zone *zone;
	int64_t from_s, until_s;	     /* due at these instants at the earliest, and before; */
	int64_t from_local_s, until_local_s; /* fixed hours: for these local times, from, and before */
	uint64_t seed;			     /* of the jitter */
	int64_t jitter_ms;
	int64_t start_deadline_ms; /* 0: none */
	enum dag_catchup catchup;
};

enum due_mark {
	DUE_PLAIN,
	DUE_MOVED,  /* its local time does not exist: this is the end of the gap */
	DUE_FIRST,  /* its local time exists twice: this is the first of the two */
	DUE_SECOND, /* and this the second */
};

struct due {
	int64_t at_ms;		 /* the due time: what the ledger knows it by */
	int64_t start_ms;	 /* when the run is to start: at_ms and the jitter, before the next due time */
	int64_t nominal_local_s; /* what the line names; for a moved one not what the clock shows */
	int32_t offset_s;	 /* of the zone, at at_ms */
	enum due_mark mark;
	int skipped; /* so many more local times of the line lie in the gap that ends here */
};

/* `zone`: the one that schedule->timezone names, or the scheduler's. `dag_name` is for the jitter. */
int due_schedule_init(struct due_schedule *schedule, const char *dag_name,
		      const struct dag_schedule *definition, const struct zone *zone, struct err *err);

/* Leaves out what is before `from` and after `until` too, as they stand in a DAG; NULL: no bound. ERR_INVALID. */
int due_schedule_narrow(struct due_schedule *schedule, const char *from, const char *until, struct err *err);

/* The first one after `after_ms`; false when there is none, because the schedule has ended. */
bool due_next(const struct due_schedule *schedule, int64_t after_ms, struct due *due_out);

/* All in (after_ms, upto_ms], oldest first, at most `room`: how many. When full, go on from the last. */
size_t due_between(const struct due_schedule *schedule, int64_t after_ms, int64_t upto_ms, struct due *dues,
		   size_t room);

/* --- after downtime --------------------------------------------------------------------------------------*/

/* One that is no later than this is not missed: the daemon was just busy, or is starting. */
enum { DUE_PUNCTUAL_MS = 60 * 1000 };

enum due_verdict {
	DUE_RUN,	/* start a run, at start_ms */
	DUE_MISSED,	/* catchup: none */
	DUE_SUPERSEDED, /* catchup: latest, and there is a later one */
	DUE_TOO_LATE,	/* later than start_deadline */
};

/*
 * What becomes of the due times in (since, now], one after the other, oldest first:
 *
 *   due_plan_start(&plan, schedule, last_settled_ms, now_ms);
 *   while (due_plan_next(&plan, &due, &verdict))
 *
 * Those in time (by start_ms, see DUE_PUNCTUAL_MS; or not to be started yet) always run, unless
 * start_deadline is even shorter. Of those missed `catchup` decides: `latest` runs the newest, and only when
 * no later one is in time. Takes time by the number of them and no memory. A clock that went back (now <=
 * since) has none.
 */
struct due_plan {
	const struct due_schedule *schedule;
	int64_t last_ms; /* the due time that was answered last */
	int64_t now_ms;
	int64_t latest_ms; /* the one missed that `latest` runs; INT64_MIN: none */
};

void due_plan_start(struct due_plan *plan, const struct due_schedule *schedule, int64_t since_ms,
		    int64_t now_ms);
bool due_plan_next(struct due_plan *plan, struct due *due_out, enum due_verdict *verdict_out);

/* --- words ---------------------------------------------------------------------------------------------- */

/* For the ledger and scripts: "run", "missed", "superseded", "too_late". */
const char *due_verdict_name(enum due_verdict verdict);

/* NULL, "moved", "first_of_two", "second_of_two". */
const char *due_mark_name(enum due_mark mark);

/* What is odd about it, in words: "02:30 does not exist that day". False when nothing is. */
bool due_note(const struct due *due, struct buf *out);

#endif
