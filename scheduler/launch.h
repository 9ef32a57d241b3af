/*
 * launch.h - what a worker is told to run: an attempt's command, environment and resume candidates
 *
 * Pure. References are expanded here, with the outputs of the tasks before it.
 */
#ifndef SCHEDULER_LAUNCH_H
#define SCHEDULER_LAUNCH_H

#include "common/arena.h"
#include "common/err.h"
#include "scheduler/core.h"

/*
 * The folder that a step works in: absolute, or in the run's copy of its source (".": that). ERR_INVALID as
 * above.
 */
int launch_workdir(const struct run *run, const struct dag_step *step, struct arena *arena, const char **out,
		   struct err *err);

/*
 * The checkpoint folder of a step, as agents are told: empty for the task's own, absolute, or in the run's copy
 * of its source. ERR_INVALID as above.
 */
int launch_checkpoints(const struct run *run, const struct dag_step *step, struct arena *arena,
		       const char **out, struct err *err);

/* Fills `out`, whose texts live in `arena` or in the run. ERR_INVALID when a reference cannot be expanded. */
int launch_spec(const struct attempt *attempt, struct arena *arena, struct spec *out, struct err *err);

#endif
