/*
 * view_limits.h - who holds what and who waits for it, over all runs: read from the store for why.h and view_pools
 *
 * Ownership: everything read lies in the arena given.
 * Errors:    what cannot be read is reported, and `why` keeps what it had.
 */
#ifndef SCHEDULER_VIEW_LIMITS_H
#define SCHEDULER_VIEW_LIMITS_H

#include "common/arena.h"
#include "common/err.h"
#include "scheduler/store.h"
#include "scheduler/why.h"

/* The pools in force, the attempts that are alive, the tasks that are ready: of one moment. */
int view_limits_read(struct store *store, struct arena *arena, struct why *out, struct err *err);

/* Why a queued run is not taken up; "" when nothing is said. */
const char *view_limits_waits_for(struct store *store, uint64_t run, struct arena *arena);

#endif
