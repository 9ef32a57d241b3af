/*
 * view_summary.h - a DAG as lists tell of it: read first, then told
 *
 * Lists are asked for again and again, and little of them has changed. So what a DAG's entry is made of can be
 * compared (view_summary_digest) before it is made into JSON, which takes most of the time.
 *
 * Ownership: all that a summary points to is in the arena it was read into, the caller's facts, or what is kept.
 */
#ifndef SCHEDULER_VIEW_SUMMARY_H
#define SCHEDULER_VIEW_SUMMARY_H

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>

#include "common/arena.h"
#include "common/digest.h"
#include "common/err.h"
#include "scheduler/store.h"
#include "scheduler/view_history.h"
#include "scheduler/zones.h"

struct view_dag_facts;

/* What is asked for. */
struct view_listing {
	struct zones *zones;		    /* with the scheduler's own */
	const struct view_dag_facts *facts; /* by name, each once */
	size_t count;
	int runs; /* of each DAG so many of the latest */
	int64_t now_wall_ms;
};

struct view_summary {
	const char *name;
	const struct view_dag_facts *facts; /* NULL: it has no file */
	int64_t id;			    /* in the database; 0: it is not there */
	const char *paused_by;		    /* "": it is not paused */
	int64_t paused_wall_ms;
	int64_t next_due_wall_ms, next_start_wall_ms; /* 0: none */
	int64_t active;
	const struct view_history *history; /* NULL: it is not in the database */
};

/*
 * All of them by name, as of one moment: those that have a file, and those that have run. `kept` may be NULL; else
 * histories come from there.
 */
int view_summaries(struct store *store, const struct view_listing *listing, struct view_histories *kept,
		   struct arena *arena, struct view_summary **out, size_t *count_out, struct err *err);

/* Of the one that `facts` (NULL: it has no file) tells of, within view_begin. */
int view_summary_read(struct store *store, const struct view_listing *listing, const char *name,
		      const struct view_dag_facts *facts, struct arena *arena, struct view_summary *out,
		      struct err *err);

json_t *view_summary_object(const struct view_summary *summary, struct zones *zones);

/* Of all that the object tells. The history of each is kept: of two that differ, so does the edition. */
void view_summary_digest(const struct view_summary *summary, struct zones *zones, uint8_t out[DIGEST_BYTES]);

#endif
