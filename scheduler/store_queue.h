/*
 * store_queue.h - the runs that wait, as the database knows them
 *
 * A run that is made is queued. It is taken up when its DAG's max_active_runs allows it, when what it waits for
 * (`after`) has happened, and when the snapshot of its source is taken. Who goes on is counted in the database
 * each time, never beside it.
 *
 * `after` is met by a run of the other DAG that ended as asked, and that was due (or made, by hand) since the due
 * time of this DAG's run before this one: that of the same night. For a run by hand, and for the first one, that is
 * within the last 24 hours.
 *
 * Ownership: texts live in the arena given. Errors: those of store.h.
 */
#ifndef SCHEDULER_STORE_QUEUE_H
#define SCHEDULER_STORE_QUEUE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/arena.h"
#include "common/err.h"
#include "scheduler/store.h"

struct queued_run {
	uint64_t id;
	int64_t dag_id;
	const char *dag;
	uint64_t number;
	bool by_hand;
	int64_t scheduled_for_wall_ms; /* 0: by hand */
	int64_t created_wall_ms;
	int max_active;
	const char *source_folder; /* its snapshot is still to be taken; "" */
	const char *after;	   /* as stored; "" */
	const char *waits_for;	   /* as stored; "" */
	int running;		   /* runs of its DAG that are, whoever drives them */
};

/* At most `limit` of them, who is next first. */
int store_queued_runs(struct store *store, struct arena *arena, int64_t wall_ms, size_t limit,
		      struct queued_run **runs_out, size_t *count_out, struct err *err);

struct running_run {
	uint64_t id;
	const char *dag;
	uint64_t number;
};

/* All that are running, whoever drives them. */
int store_running_runs(struct store *store, struct arena *arena, struct running_run **runs_out,
		       size_t *count_out, struct err *err);

enum after_verdict {
	AFTER_MET,
	AFTER_WAITS,   /* *text_out says for what */
	AFTER_EXPIRED, /* `within` is over; *text_out says of what */
};

/* *until_out: the wall time at which AFTER_WAITS becomes AFTER_EXPIRED; INT64_MAX: never. */
int store_look_after(struct store *store, const struct queued_run *run, int64_t wall_ms, struct arena *arena,
		     enum after_verdict *verdict_out, const char **text_out, int64_t *until_out,
		     struct err *err);

/* What a DAG's `after` is stored as; "" for none. */
const char *store_after_text(const struct dag *dag, struct arena *arena);

int store_set_waits_for(struct store *store, uint64_t run, const char *text, struct err *err);
int store_set_source(struct store *store, uint64_t run, const char *digest, uint64_t bytes, struct err *err);

/* How a queued run ends that never begins. */
struct queue_ending {
	enum run_state state;	/* RUN_CANCELED or RUN_FAILED */
	enum reason reason;
	const char *message;	/* for people; stands at each task */
	const char *actor;	/* who wanted it so; NULL: stoker */
	const char *origin;
	int64_t wall_ms;
};

/* ERR_EXISTS when it is not queued any more. Its open requests are done then. */
int store_end_queued(struct store *store, uint64_t run, const struct queue_ending *ending, struct err *err);

#endif
