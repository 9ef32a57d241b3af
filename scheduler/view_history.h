/*
 * view_history.h - how the runs of a DAG went, as lists of DAGs tell of it
 *
 * To read it takes more time than all the rest of a list, and from one list to the next it is the same for nearly all
 * DAGs. So it can be kept: it is read again of a DAG that has a run which goes on, and of one of which the audit trail
 * has told since that a run was submitted, ended, retried or late. After an event that is of no run (gc, say) all of
 * them are read again. And each is about once a minute, one after the other, whatever the trail says.
 *
 * Ownership: what was read for an arena lives as long as that; what is kept, until the next view_histories_settle.
 * Times:     of the wall clock; 0: never, or not yet.
 */
#ifndef SCHEDULER_VIEW_HISTORY_H
#define SCHEDULER_VIEW_HISTORY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/arena.h"
#include "common/err.h"
#include "scheduler/store.h"

struct view_latest {
	int64_t number;
	char state[16], trigger[16];
	int64_t created_wall_ms, started_wall_ms, ended_wall_ms;
	int64_t orphaned; /* 0 or 1: no byte of this is undefined, so that two can be compared */
};

struct view_history {
	int64_t last_success_wall_ms, late_since_wall_ms;
	struct view_latest *latest; /* newest first */
	size_t latest_count;
	uint64_t edition; /* of those that are kept: with another number it tells something else */
};

enum { VIEW_HISTORY_RUNS_MAX = 1000 }; /* of one DAG; who asks for more is told of so many */

/* These are called within view_begin. */
int view_history_read(struct store *store, int64_t dag, const char *name, int runs, struct arena *arena,
		      struct view_history *out, struct err *err);

struct view_histories;
struct view_histories *view_histories_new(void);
void view_histories_free(struct view_histories *kept); /* NULL is harmless */

/* From now on those that may have changed are read again. `runs`: so many of each are told. */
int view_histories_settle(struct view_histories *kept, struct store *store, int runs, int64_t now_wall_ms,
			  struct err *err);

/* Read, if it is not kept. `active`: a run of it goes on. */
int view_histories_find(struct view_histories *kept, struct store *store, int64_t dag, const char *name,
			bool active, const struct view_history **out, struct err *err);

#endif
