/*
 * queue.h - takes queued runs up when their turn has come, and runs that nobody drives any more
 *
 * A run is taken up when its DAG's max_active_runs and the daemon's own limit allow it, when what it waits for
 * (`after`) has happened, and when the snapshot of its source is taken (on a thread, one after the other). A run that
 * another process drives is left to it; once that one is gone, the run is taken over. Whatever waits is looked at
 * again every QUEUE_LOOK_MS, not only when something says so.
 *
 * What is waited for is kept in run.waits_for, except for a turn: that is derived (see `stoker why`).
 *
 * Ownership: the engine is the caller's and outlives the queue. A run that was taken up is owned (owner.h) until
 *            queue_ended.
 */
#ifndef SCHEDULER_QUEUE_H
#define SCHEDULER_QUEUE_H

#include <stdint.h>
#include <uv.h>

#include "scheduler/engine.h"

enum { QUEUE_LOOK_MS = 5000, QUEUE_ACTIVE_MAX = 64, QUEUE_ROWS_MAX = 20000 };

struct queue;

struct queue_handler {
	/* A queued run was taken up, so long after it was made. */
	void (*on_taken)(void *context, uint64_t run, int64_t waited_ms);
	/* A queued run was ended: canceled, or what it waited for did not happen. */
	void (*on_ended)(void *context, uint64_t run, enum run_state state);
};

/* `active_max`: runs that go on at a time, of all DAGs; 0: QUEUE_ACTIVE_MAX. */
struct queue *queue_new(uv_loop_t *loop, struct engine *engine, const char *home, int active_max,
			const struct queue_handler *handler, void *context);
void queue_set_active_max(struct queue *queue, int active_max);

/* Soon, and once for however many calls: something was made, has ended or has changed. */
void queue_look(struct queue *queue);

/* Takes up a run that has ended, to have it tried again (engine_retry). ERR_BUSY: its DAG is at its limit. */
int queue_reopen(struct queue *queue, uint64_t run, const struct run **run_out, struct err *err);

/* A run that was taken up is over, or has been handed back: lets go of it. */
void queue_ended(struct queue *queue, uint64_t run);

/* Cancels a run that is queued; `done` as for writer_job, ERR_EXISTS when it is queued no more. */
void queue_cancel(struct queue *queue, uint64_t run, const char *actor, const char *origin,
		  void (*done)(void *context, const struct err *err), void *context);

/* Takes up nothing more. What was taken up stays owned until queue_free, after the loop has run out. */
void queue_stop(struct queue *queue);
void queue_free(struct queue *queue);

#endif
