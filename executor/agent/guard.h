/*
 * guard.h - what is left of an attempt with a lease when its supervisor is killed and nobody is connected
 *
 * An agent ends the rest of an attempt whose supervisor died, but a lease must be kept while no agent is
 * there. So a supervisor with a lease has a small process beside it that waits for its death, and is to the
 * rest of the attempt what the agent would be (sweep.h).
 */
#ifndef EXECUTOR_AGENT_GUARD_H
#define EXECUTOR_AGENT_GUARD_H

#include <stdint.h>

#include "common/err.h"
#include "executor/agent/sweep.h"

/*
 * For the calling process, before it becomes a subreaper or has threads: the guard is nobody's child. What
 * `plan` points to must live as long as the caller.
 */
int guard_start(const struct sweep_plan *plan, uint64_t start_ticks, struct err *err);

#endif
