/*
 * retry_plan.h - what trying a run again would do with each of its tasks
 *
 *   [{"task":"train", "state":"failed", "does":"keep|run|resume", "from_checkpoint":"epoch-12.npz" or null}]
 *
 * `keep`: it succeeded and is not done again; `resume`: it goes on from that checkpoint.
 */
#ifndef SCHEDULER_RETRY_PLAN_H
#define SCHEDULER_RETRY_PLAN_H

#include <jansson.h>

#include "scheduler/core.h"

/* Of a run that has ended; `from_step` as for EVENT_RETRY. */
json_t *retry_plan(const struct run *run, int from_step);

#endif
