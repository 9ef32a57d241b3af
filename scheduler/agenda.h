/*
 * agenda.h - the due times to come of several schedules, in one order
 *
 *   autoagenda struct agenda agenda = { 0 };
 *   agenda_add(&agenda, "digits", &dag->schedules[0], zone, now_wall_ms, &err);
 *   for (line = agenda_earliest(&agenda); line != NULL && --limit >= 0; line = agenda_earliest(&agenda)) {
 *       ... line->due, line->cron, line->zone ...
 *       agenda_step(line);
 *   }
 *
 * Of two that are due at the same instant the one that was added first comes first.
 *
 * Ownership: agenda_fini; texts are copied, zones are lent.
 * Errors:    as due_schedule_init.
 */
#ifndef SCHEDULER_AGENDA_H
#define SCHEDULER_AGENDA_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "scheduler/due.h"
#include "scheduler/zones.h"

/* A schedule, and its next due time that was not told yet. */
struct agenda_line {
	char *cron;
	const struct zone *zone;
	struct due_schedule schedule;
	struct due due;
	bool over;
};

struct agenda {
	struct agenda_line *lines;
	size_t count, room;
};

/* Its due times after `after_wall_ms`. */
int agenda_add(struct agenda *agenda, const char *dag, const struct dag_schedule *definition, const struct zone *zone,
	       int64_t after_wall_ms, struct err *err);
/* All schedules of a DAG, but those whose zone cannot be read now: they have no due times. */
void agenda_add_dag(struct agenda *agenda, const struct dag *dag, struct zones *zones, int64_t after_wall_ms);
void agenda_fini(struct agenda *agenda); /* harmless on one that is all zero */

/* NULL: all are over. */
struct agenda_line *agenda_earliest(const struct agenda *agenda);
void agenda_step(struct agenda_line *line);

#define autoagenda __attribute__((cleanup(agenda_fini)))

#endif
