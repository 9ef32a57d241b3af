/*
 * herald.h - tells the live streams, and the counters of /metrics, what changed
 *
 * Only what is on disk is told, so nobody sees what a crash would take back. Events of streams:
 *
 *   run.changed         {"run":"digits/3", "dag":"digits", "state":"running", "reason":null}
 *   task.changed        {"run", "dag", "task":"train", "state", "reason", "attempts":2, "message"}
 *   attempt.changed     {"run", "dag", "task", "attempt":2, "state", "reason", "worker"}
 *   checkpoint.changed  {"run", "dag", "task", "attempt", "name", "step":12 or null, "state":"good"}
 *   metric.added        {"run", "dag", "task", "attempt", "metric":{...}}
 *   worker.changed      {"worker":"gpu1"}
 *   event.added         {"kind":"run.retried", "actor", "detail", "run", "dag", "task"}
 *   dag.changed         {"dag":"digits"}
 *
 * Ownership: engine, web and control are the caller's and outlive it.
 */
#ifndef SCHEDULER_HERALD_H
#define SCHEDULER_HERALD_H

#include "scheduler/control.h"
#include "scheduler/engine.h"
#include "web/web.h"

struct herald {
	struct engine *engine;
	struct web *web;
	struct control *control;
	struct attempt_id *started; /* run now, and their start was counted */
	size_t started_count, started_room;
};

void herald_fini(struct herald *herald);

/* A save of a batch that is on disk; its run is still the engine's. */
void herald_saved(struct herald *herald, const struct action *save);

/* A run that was made, or that ended while it was queued: `name` is "digits/3". */
void herald_run(struct herald *herald, const char *name, enum run_state state);

void herald_dag(struct herald *herald, const char *dag);

#endif
