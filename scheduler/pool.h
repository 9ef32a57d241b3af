/*
 * pool.h - how many attempts of a kind may be alive at a time, over all runs of this core
 *
 * A step belongs to at most one pool. What is taken is derived from the attempts that are alive each time it is
 * asked for: one that cannot be reached holds its slot, since it may be running; a task that waits for its
 * retry holds none. A pool that the settings do not name (any more) lets nothing start: a limit that
 * was lost by mistake is not taken for none.
 *
 * Ownership: pools live as long as their core.
 */
#ifndef SCHEDULER_POOL_H
#define SCHEDULER_POOL_H

#include <stdbool.h>

struct core;

struct pool {
	const char *name;
	int slots;
	bool known; /* the settings name it */
	int held;   /* for this pass: slots kept free for those that go before all others */
	bool full;  /* for this pass: it was found full, and only starts happen in a pass */
};

/* The pool of that name; one that is not known yet when there is none. */
struct pool *pool_use(struct core *core, const char *name);

/* Attempts alive that belong to it. */
int pool_used(const struct core *core, const struct pool *pool);

/* True when one more may start; NULL is no pool and no limit. */
bool pool_has_slot(const struct core *core, struct pool *pool);

#endif
