/*
 * view_due.h - schedules as JSON: what is due, what became of what was, and backfills
 *
 * As in view.h: only reads, one moment, bounded, field names are a promise. `zones`: with the scheduler's own.
 *
 * A due time that is to come:
 *   {"due":..., "local":"2026-03-29T03:00:00+02:00", "utc_offset":"+02:00", "timezone":"Europe/Berlin",
 *    "nominal":"2026-03-29 02:30", "cron":"30 2 * * *", "in_ms":..., "start":..., "jitter_ms":0,
 *    "mark":null|"moved"|"first_of_two"|"second_of_two", "skipped":0, "note":null|"02:30 does not exist that day"}
 */
#ifndef SCHEDULER_VIEW_DUE_H
#define SCHEDULER_VIEW_DUE_H

#include <jansson.h>
#include <stdint.h>

#include "common/err.h"
#include "scheduler/due.h"
#include "scheduler/store.h"
#include "scheduler/store_backfill.h"
#include "scheduler/zones.h"

/* When a DAG is due next; false: never, or its zones cannot be read now. */
bool view_next_due(struct zones *zones, const struct dag *dag, int64_t now_wall_ms, struct due *out);

json_t *view_due_object(const struct due *due, const char *cron, const struct zone *zone, int64_t now_wall_ms);

struct view_occurrences {
	const char *dag;
	int limit;	      /* of each list */
	int64_t before;	      /* "next" of the page before; 0: the newest */
	int64_t from_wall_ms; /* only those due in [from, to); 0: any */
	int64_t to_wall_ms;
};

/*
 * {"dag":..., "paused_by":null, "paused_since":null, "coming":[as above, soonest first],
 *  "past":[{"due":..., "nominal":..., "mark":null, "cron":..., "timezone":..., "state":"ran"|"skipped",
 *   "reason":null|"missed"..., "detail":null, "run":"digits/3" or null, "run_state":..., "decided":...}, newest first],
 *  "next": number or null}. Pages that follow tell of the past alone. ERR_NOT_FOUND.
 */
int view_occurrences(struct store *store, struct zones *zones, const struct view_occurrences *page,
		     int64_t now_wall_ms, json_t **out, struct err *err);

/*
 * {"backfills":[{"backfill":3, "dag":..., "state":"running|done|canceled", "from":..., "to":..., "max_active":1,
 *  "again":false, "params":{}, "made":4, "left_out":1, "runs":{"succeeded":3, "running":1}, "at":... the due time that
 *  was looked at last, "actor":..., "origin":..., "created":..., "ended":...}, newest first]}; `dag` NULL: of all.
 */
int view_backfills(struct store *store, const char *dag, int limit, json_t **out, struct err *err);

/*
 * What a backfill would do now: {"dag":..., "from":..., "to":..., "due":[{"due":..., "local":..., "nominal":...,
 * "mark":null, "cron":..., "does":"run"|"leave out", "run":"digits/3" or null}], "runs":12, "left_out":3, "more":false}.
 * At most `limit` are listed and counted; "more": there are others. Errors as store_start_backfill.
 */
int view_backfill_plan(struct store *store, struct zones *zones, const struct store_new_backfill *wanted,
		       int limit, json_t **out, struct err *err);

#endif
