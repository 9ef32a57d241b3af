/*
 * placement.h - which worker gets which task
 *
 * Pure. What is free on a worker is derived from the attempts that are alive there each time it is asked for,
 * never counted beside them, so nothing can leak. Devices are given out exclusively, by UUID.
 *
 * A task that asks for much could wait for ever while small ones fill each gap. Once it has waited long enough
 * (urgency.h) a worker is kept for it: a task behind it is placed there only when what that one asks for, in kind,
 * is still free afterwards. A step that asks for no GPU goes on beside one that waits for eight.
 */
#ifndef SCHEDULER_PLACEMENT_H
#define SCHEDULER_PLACEMENT_H

#include "common/arena.h"
#include "scheduler/core.h"

/*
 * A worker that can take the task now, or NULL. A task with a good checkpoint goes where origin.h says; a step
 * that names no worker prefers this machine; else the one with the least to do.
 */
struct worker *placement_choose(const struct core *core, const struct task *task);

/* True when workers could start something, and all their slots are taken: then no task need be looked at. */
bool placement_all_full(const struct core *core);

/*
 * Keeps a worker for the rest of this pass for a task that has no room on any: the one that was kept for it
 * before, so that it empties, else the one with the least to do.
 */
void placement_keep(struct core *core, struct task *task);

/* True when some worker could take it if it were empty, or might (one whose facts are not known yet). */
bool placement_possible(const struct core *core, const struct run *run, const struct dag_step *step);

/* True when `step` of `run` may run on `worker`, whether there is room or not. */
bool placement_is_eligible(const struct worker *worker, const struct run *run, const struct dag_step *step);

/* True when anything is started there: it is not being emptied, set aside or gone from the settings. */
bool placement_starts_things(const struct core *core, const struct worker *worker);

/* True when some worker is called or labelled so. */
bool placement_is_named(const struct core *core, const char *name);

/* True when the step has a folder to work in on any machine: a source, or an absolute path. */
bool placement_has_folder(const struct dag *dag, const struct dag_step *step);

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
