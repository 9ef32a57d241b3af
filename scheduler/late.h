/*
 * late.h - until when a DAG is to have succeeded each day (`expect_by`)
 *
 * A day's window holds the due times from the deadline of the day before up to its own: a run that is due at 23:00
 * and expected by 07:00 belongs to the morning after. The deadline is the first instant at which the local clock has
 * come to that time: where it does not exist that day (clocks go forward) the end of the gap, where it exists twice
 * (they go back) the first of the two. A day that a zone leaves out has none.
 *
 * The zone is that of the DAG's first schedule, or the scheduler's where it names none.
 *
 *   timer at late_next_wall_ms(zone, dag->expect_by_minute, now)
 *   then, and at every start and reload: late_window(...), store_notice_late(...)
 *
 * Pure.
 */
#ifndef SCHEDULER_LATE_H
#define SCHEDULER_LATE_H

#include <stdbool.h>
#include <stdint.h>

#include "common/zone.h"

enum { LATE_DAY_BYTES = 32 };

struct late_window {
	int64_t from_ms;  /* the deadline of the day before */
	int64_t until_ms; /* the deadline */
	char day[LATE_DAY_BYTES];   /* "2026-11-26" */
	char label[LATE_DAY_BYTES]; /* "07:00" */
};

/* The window whose deadline was the last one until `now_ms`; false: there is none. */
bool late_window(const struct zone *zone, int expect_by_minute, int64_t now_ms, struct late_window *out);

/* The next deadline after `now_ms`. */
int64_t late_next_wall_ms(const struct zone *zone, int expect_by_minute, int64_t now_ms);

#endif
