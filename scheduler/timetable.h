/*
 * timetable.h - the schedules in force, and what is to be decided next
 *
 * A due time is decided once, when its run is to start (its due time and the jitter), or, if stoker was not there then,
 * as soon as it is. The timetable says what is up for decision; store_settle (store_due.h) writes the decision into
 * the ledger together with the run. Every due time gets its row there, in the order of each schedule.
 *
 *   timetable_put           a DAG's schedules, from the rows that store_put_dag gave
 *   timetable_due           what is to be decided now: oldest first, so many at a time; none is given twice ...
 *   timetable_settled       ... it is on disk
 *   timetable_failed        ... it is not: it is given again
 *   timetable_next_wall_ms  when to ask next
 *
 * How a loop uses it: ask for what is due, give all of the answer to store_settle as one job of the writer, and tell
 * the timetable what became of it before asking again (a later due time that is on disk while an earlier one failed
 * would hide it). Then sleep until timetable_next_wall_ms, yet never longer than TIMETABLE_LOOK_MS, and wake early when
 * the clock was set (a timerfd with TFD_TIMER_CANCEL_ON_SET). After timetable_failed wait a second before asking again.
 *
 * Clocks. It is the wall clock that is asked, and nothing else is believed: one that was set forward, or went on while
 * the machine slept, leaves missed due times behind, for `catchup`. One that went back shows the same times again:
 * they are given again, and the ledger, which has their rows, lets none run twice. What was only skipped by a clock
 * that was ahead is decided anew (store_settle). A clock that shows a time before TIMETABLE_EPOCH_MS was never set:
 * nothing is due until it is.
 *
 * Pure but for the zones that timetable_put opens, and timetable_renew reads again.
 *
 * Ownership: a DAG is lent from timetable_put until it is replaced or removed, and its decisions point into it until
 *            each was settled or failed: it must outlive these. The zones are lent.
 * Units:     milliseconds since 1970 UTC.
 * Errors:    timetable_put: ERR_NOT_FOUND, ERR_INVALID for what dag_load would have refused.
 */
#ifndef SCHEDULER_TIMETABLE_H
#define SCHEDULER_TIMETABLE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/err.h"
#include "dag/dag.h"
#include "scheduler/due.h"
#include "scheduler/zones.h"

enum { TIMETABLE_LOOK_MS = 60 * 1000 };

#define TIMETABLE_EPOCH_MS INT64_C(1735689600000) /* 2025-01-01 */

/* What the ledger knows of a schedule. */
struct timetable_row {
	int64_t schedule;   /* its id */
	int64_t settled_ms; /* each due time until then has its row */
};

struct timetable_decision {
	const struct dag *dag;
	const struct dag_schedule *definition;
	const char *zone; /* the name of its zone */
	int64_t schedule;
	struct due due;
	enum due_verdict verdict;
	int64_t late_ms; /* after its start; 0: in time */
	bool made_up;	 /* with `catchup: all`: waits for those before it, whatever `overlap` says */
};

struct timetable;

struct timetable *timetable_new(struct zones *zones);

/* After a new tz database: what is not given out yet goes by it. True when a zone tells other times than before. */
bool timetable_renew(struct timetable *timetable);
void timetable_free(struct timetable *timetable); /* NULL is harmless */

/* Puts the schedules of a DAG in force, in place of those it had; `rows`: one for each of dag->schedules. */
int timetable_put(struct timetable *timetable, const struct dag *dag, const struct timetable_row *rows,
		  struct err *err);
void timetable_remove(struct timetable *timetable, const char *dag);

/* What is to be decided, oldest first; how many. `room` of them: ask again. */
size_t timetable_due(struct timetable *timetable, int64_t now_wall_ms, struct timetable_decision *decisions,
		     size_t room);

void timetable_settled(struct timetable *timetable, int64_t schedule, int64_t due_ms);
void timetable_failed(struct timetable *timetable, int64_t schedule);

/* When the next decision is up, as the clock stood when timetable_due was asked last; INT64_MAX: never. */
int64_t timetable_next_wall_ms(const struct timetable *timetable);

#endif
