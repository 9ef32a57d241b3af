/*
 * placement.h - which worker gets which task
 *
 * Pure. What is free on a worker is derived from the attempts that are alive there each time it is asked for,
 * never counted beside them, so nothing can leak. Devices are given out exclusively, by UUID.
 */
#ifndef SCHEDULER_PLACEMENT_H
#define SCHEDULER_PLACEMENT_H

#include "common/arena.h"
#include "scheduler/core.h"

/* A worker that can take a task like `step` of `run` now, or NULL. */
struct worker *placement_choose(const struct core *core, const struct run *run, const struct dag_step *step);

/* True when some worker could take it if it were empty, or might (one whose facts are not known yet). */
bool placement_possible(const struct core *core, const struct dag_step *step);

/*
 * The devices for a task like `step` on `worker`, which has them free: UUIDs, comma-separated ("" for none).
 */
const char *placement_devices(const struct worker *worker, const struct dag_step *step, struct arena *arena);

/*
 * True when the run may have one more attempt alive (its `concurrency`; and logs must not pile up
 * uncollected).
 */
bool placement_run_has_slot(const struct run *run);

#endif
