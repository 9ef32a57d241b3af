/*
 * origin.h - where a task's newest checkpoint is, and what that means for where it may start
 *
 * Pure. Looked for from the newest one on: the first that can be had, or is worth waiting for, decides.
 *
 * A worker that has just gone away is waited for: ORIGIN_BLIP_MS where the scheduler has a copy of that
 * checkpoint, ORIGIN_AWAY_MS where there is an older one to be had elsewhere, and not at all when that was
 * waited for already, by a lease that had to run out. Where there is nothing else, as long as the step's
 * `move_after` says, which also shortens the others, or for ever. One that is being emptied, set aside, or not
 * meant for the step any more is waited for ORIGIN_AWAY_MS at most. With `resume: required` nothing but a
 * checkpoint will do.
 */
#ifndef SCHEDULER_ORIGIN_H
#define SCHEDULER_ORIGIN_H

#include "scheduler/core.h"

enum { ORIGIN_BLIP_MS = 10 * 1000, ORIGIN_AWAY_MS = 60 * 1000 };

enum origin_way {
	ORIGIN_ANYWHERE,   /* the scheduler has it, or there is none to be had */
	ORIGIN_THERE,      /* where it lies */
	ORIGIN_AWAIT,      /* the worker that has it is away, and is waited for */
	ORIGIN_AFTER_COPY, /* nothing is started on the worker that has it: it is fetched first */
};

struct origin {
	enum origin_way way;
	const struct checkpoint_row *row; /* NULL: from zero */
	struct worker *holder;		  /* THERE AWAIT AFTER_COPY */
	int64_t until_ms;		  /* AWAIT: no longer than that; INT64_MAX: for ever, as the others say */
};

struct origin origin_of(const struct core *core, const struct task *task);

/* True when the task may start there, as far as its checkpoint is concerned. */
bool origin_allows(const struct origin *origin, const struct worker *worker);

#endif
