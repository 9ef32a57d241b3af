/*
 * janitor.h - takes away what is old, a turn at a time, beside everything else the daemon does
 *
 * JANITOR_FIRST_MS after the start, then every JANITOR_EVERY_MS, what the retention in force says (gc.h): its transactions
 * are jobs of the writer, its files go on a thread. A turn that fails ends it for this time.
 *
 * Ownership: the engine is the caller's and outlives it.
 */
#ifndef SCHEDULER_JANITOR_H
#define SCHEDULER_JANITOR_H

#include <uv.h>

#include "scheduler/engine.h"

enum { JANITOR_FIRST_MS = 10 * 60 * 1000, JANITOR_EVERY_MS = 6 * 3600 * 1000 };

struct janitor;

/* `first_ms`: JANITOR_FIRST_MS, but for tests. */
struct janitor *janitor_new(uv_loop_t *loop, struct engine *engine, const char *home, uint64_t first_ms);

void janitor_stop(struct janitor *janitor);
void janitor_free(struct janitor *janitor); /* after the loop has run out; NULL is harmless */

#endif
