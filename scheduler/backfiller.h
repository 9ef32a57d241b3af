/*
 * backfiller.h - goes on with the backfills that were asked for
 *
 * Each gets its next runs as its earlier ones end (store_backfill_step, one job of the writer at a time).
 *
 * Ownership: the engine is the caller's and outlives it. `local_zone`: the scheduler's; NULL: this machine's.
 */
#ifndef SCHEDULER_BACKFILLER_H
#define SCHEDULER_BACKFILLER_H

#include "scheduler/engine.h"

struct backfiller;

/* `on_made`: runs were made. */
struct backfiller *backfiller_new(struct engine *engine, const char *local_zone, void (*on_made)(void *context),
				  void *context);

/*
 * A run has ended, or a backfill was begun: harmless when there is nothing to do. To be called every few seconds, too:
 * there may be more to do than fits into one job.
 */
void backfiller_look(struct backfiller *backfiller);

void backfiller_free(struct backfiller *backfiller); /* after the engine has stopped; NULL is harmless */

#endif
