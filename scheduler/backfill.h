/*
 * backfill.h - which due times of a DAG lie in a range, those of all its schedules together
 *
 * Dates are those of each schedule's own zone, and the last one is still meant. Two schedules that are due at the same
 * instant are one due time: a backfill makes one run for it.
 *
 * Pure but for the zones that backfill_init opens.
 *
 * Ownership: backfill_fini; the DAG and the zones are lent.
 * Errors:    ERR_INVALID: not a date or a time; ERR_NOT_FOUND: the DAG has no schedule, or no such zone.
 */
#ifndef SCHEDULER_BACKFILL_H
#define SCHEDULER_BACKFILL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "dag/dag.h"
#include "scheduler/due.h"
#include "scheduler/zones.h"

struct backfill {
	const struct dag *dag;
	struct due_schedule *schedules; /* one for each of dag->schedules */
	int64_t until_ms;
};

/* `from` and `to` as instant_parse reads them; and none after `until_ms`. */
int backfill_init(struct backfill *backfill, const struct dag *dag, struct zones *zones, const char *from,
		  const char *to, int64_t until_ms, struct err *err);
void backfill_fini(struct backfill *backfill); /* harmless on one that is all zero */

#define autobackfill __attribute__((cleanup(backfill_fini)))

/* The first one after `after_ms`, and which schedule it is of; false: there is none. */
bool backfill_next(const struct backfill *backfill, int64_t after_ms, struct due *due_out,
		   size_t *schedule_out);

#endif
