/*
 * trigger.h - starts runs when they are due
 *
 * Reads the zones again every TRIGGER_RENEW_MS. Asks the timetable at each due time, whenever the clock was set, and at
 * least every minute; has what is due written into the ledger together with the runs (store_settle, one job of the
 * writer at a time); and tells the queue.
 * What could not be written (a full disk) is tried again each second.
 *
 * Ownership: the engine and the zones are the caller's and outlive it. It holds the DAGs that it was given.
 */
#ifndef SCHEDULER_TRIGGER_H
#define SCHEDULER_TRIGGER_H

#include <uv.h>

#include "scheduler/engine.h"
#include "scheduler/registry.h"
#include "scheduler/timetable.h"

enum { TRIGGER_BATCH_MAX = 64, TRIGGER_RETRY_MS = 1000, TRIGGER_RENEW_MS = 10 * 60 * 1000 };

struct trigger_handler {
	/* The run of a due time was made. */
	void (*on_made)(void *context, uint64_t run, const struct timetable_decision *decision);
	/* A due time has no run, and why: a word of store_due.h. */
	void (*on_skipped)(void *context, const struct timetable_decision *decision, const char *reason);
	/* There is a new tz database, and a zone in use tells other times. */
	void (*on_renewed)(void *context);
};

struct trigger;

int trigger_new(uv_loop_t *loop, struct engine *engine, struct zones *zones, const struct trigger_handler *handler,
		void *context, struct trigger **trigger_out, struct err *err);

/* Puts a DAG's schedules in force; `rows` as store_put_dag gave them. */
int trigger_put(struct trigger *trigger, struct registry_dag *dag, const struct timetable_row *rows,
		struct err *err);
void trigger_remove(struct trigger *trigger, const char *dag);

/* Asks now. Nothing is asked before the first call. */
void trigger_look(struct trigger *trigger);

/* Reads the zones again now. */
void trigger_renew(struct trigger *trigger);

/* When something is due next; INT64_MAX: never. */
int64_t trigger_next_wall_ms(const struct trigger *trigger);

void trigger_stop(struct trigger *trigger);
void trigger_free(struct trigger *trigger); /* after the loop has run out; NULL is harmless */

#endif
