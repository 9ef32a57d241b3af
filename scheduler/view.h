/*
 * view.h - what there is, as JSON: for --json, for the tables of the command line, and for the page
 *
 * Only reads, and each function sees one moment of the database. Lists are bounded and found by an index
 * (statements_view.def). Field names are a promise to scripts: they are added, never renamed. Times are RFC
 * 3339 in UTC, and null when there is none. Text that is no valid UTF-8 has U+FFFD in place of what is wrong.
 *
 * A run in lists:
 *   {"run":"digits/1", "dag":"digits", "number":1, "state":"running", "reason":null, "trigger":"manual",
 *    "actor":"root", "origin":"cli host", "orphaned":false, "created":..., "started":..., "ended":...,
 *    "scheduled_for":null, "cancel_requested":null, "params":{"epochs":"60"}}
 *
 * "orphaned" is a run that is to go on and that no living process drives (owner.h).
 *
 * Ownership: the caller's, by json_decref; outputs stay untouched on failure.
 */
#ifndef SCHEDULER_VIEW_H
#define SCHEDULER_VIEW_H

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>

#include "common/arena.h"
#include "common/err.h"
#include "executor/protocol.h"
#include "scheduler/settings.h"
#include "scheduler/store.h"

enum { VIEW_LIMIT_MAX = 10000 };

static inline void scope_json_decref(json_t **json)
{
	json_decref(*json);
}

#define autojson __attribute__((cleanup(scope_json_decref)))

/* --- lists ---------------------------------------------------------------------------------------------- */

struct view_page {
	const char *dag;   /* NULL: of all */
	const char *state; /* NULL: in any */
	int limit;
	int64_t before; /* "next" of the page before; 0: the newest */
};

/*
 * {"runs": [...newest first], "next": number or null}. ERR_NOT_FOUND for a DAG that never ran, ERR_INVALID.
 */
int view_runs(struct store *store, const struct view_page *page, json_t **out, struct err *err);

/*
 * {"active": [...], "latest": [...]}: what is queued or running, and the newest runs that are not. An active
 * run has "tasks" too: {"counts": {"running": 1, "waiting": 2}, "busy": ["train", ...at most limit]}.
 */
int view_status(struct store *store, int limit, json_t **out, struct err *err);

/* --- one run -------------------------------------------------------------------------------------------- */

/*
 * The run as in lists, and its "tasks" in the order of the file:
 *   {"task":"train", "state":"succeeded", "reason":null, "message":"", "needs":["prepare"], "started":...,
 *    "ended":..., "not_before":null, "attempts":[{"number":1, "state":"succeeded", "reason":"exit", "exit_code":0, "signal":null,
 *    "worker":"local", "fence":..., "started":..., "ended":..., "unreachable_since":null, "resumed_from":null,
 *    "cpu_ms":..., "rss_peak_bytes":..., "log_bytes":..., "log_dropped_bytes":..., "message":""}],
 *    "outputs":{"accuracy":"0.98"}, "metric":{...its last line} or null}
 */
int view_run(struct store *store, uint64_t run, json_t **out, struct err *err);

/* The same without its tasks: whether it goes on, and who drives it. */
int view_run_alone(struct store *store, uint64_t run, json_t **out, struct err *err);

/* One task as in view_run, and its "run". */
int view_task(struct store *store, uint64_t run, uint32_t step, json_t **out, struct err *err);

/* The newest line of metrics of a task, in `arena`; NULL: there is none. */
const char *view_last_metric(struct store *store, uint64_t run, uint32_t step, struct arena *arena);

/*
 * {"run":..., "task":..., "checkpoints":[{"seq":1, "name":"epoch-0001.npz", "step":1 or null, "bytes":...,
 *  "digest":..., "format":"file", "attempt":1, "state":"good", "deaths":0, "created":..., "message":"",
 *  "worker":"gpu1", "brought":"gpu2" or null, "copy":{"path":..., "bytes":...} or null}]}, in the order in which
 * they were recorded. `worker` is where it was written, `brought` where it was brought to.
 */
int view_checkpoints(struct store *store, uint64_t run, uint32_t step, int limit, json_t **out,
		     struct err *err);

struct view_attempt {
	uint32_t number; /* 0: there is none yet */
	enum attempt_state state;
	uint64_t log_bytes; /* of the whole log, once it has ended */
	uint64_t log_dropped_bytes;
	bool log_removed; /* by gc: all of it */
	enum task_state task_state;
};

/* An attempt of a task; `number` 0: the latest. ERR_NOT_FOUND when there is none of that number. */
int view_attempt(struct store *store, uint64_t run, uint32_t step, uint32_t number, struct view_attempt *out,
		 struct err *err);

/* --- what happened -------------------------------------------------------------------------------------- */

struct view_events {
	uint64_t run;  /* 0: of all */
	int64_t after; /* events with a greater id; negative: the latest ones */
	int64_t before; /* and a smaller one: "next" of the page before; 0: any */
	int limit;
};

/*
 * {"events":[{"id":7, "at":..., "kind":"attempt.resumed", "actor":"stoker", "origin":"", "run":"digits/1" or
 * null,
 *  "task":"train" or null, "attempt":2 or null, "detail":"..."}], "next":7 or null}, oldest first. "next": of the latest,
 * when there are older ones.
 */
int view_events(struct store *store, const struct view_events *events, json_t **out, struct err *err);

/*
 * The latest events of all as text, of which what was told the last time is kept; `limit` is VIEW_EVENTS_KEPT at most.
 * A task that gc has removed since still has its name there.
 */
enum { VIEW_EVENTS_KEPT = 200 };
struct view_events_kept;
struct view_events_kept *view_events_kept_new(void);
void view_events_kept_free(struct view_events_kept *kept); /* NULL is harmless */
int view_events_text(struct store *store, int limit, struct view_events_kept *kept, char **out, struct err *err);

/* {"run":..., "task":... or null, "state":..., "reason":..., "why":"one sentence"}; step -1: of the run. */
int view_why(struct store *store, uint64_t run, int step, json_t **out, struct err *err);

/* --- the workers ---------------------------------------------------------------------------------------- */

/*
 * {"workers":[{"worker":"gpu1", "address":"alice@gpu1.lan" or null, "labels":["gpu"], "slots":8 or null,
 *  "state":"ok|never connected|failing|set aside|draining|not configured", "host":..., "machine":"x86_64",
 *  "cpus":16.0, "memory_bytes":..., "gpus":2, "seen":..., "trouble":"why there is no connection" or null,
 *  "fault":"refused" or null, "trouble_since":..., "aside":"why" or null, "aside_until":..., "drained_by":"root" or
 *  null, "load":null, "running":[{"run":"digits/3", "task":"train", "attempt":1, "state":"running",
 *  "devices":["GPU-..."]}]}]}
 *
 * The database knows nothing of "load": a daemon, which has the connections, puts it in (view_load).
 */
int view_workers(struct store *store, const struct settings *settings, int64_t now_wall_ms, json_t **out,
		 struct err *err);

/* The same while there is no state yet. */
json_t *view_workers_unseen(const struct settings *settings);

/*
 * {"at":..., "load1":1.25, "memory_bytes":..., "memory_available_bytes":..., "disk_bytes":..., "disk_free_bytes":...}:
 * as it was told then; null is what is not known.
 */
json_t *view_load(const struct load *load, int64_t told_wall_ms);

/* --- the pools ------------------------------------------------------------------------------------------ */

/*
 * {"pools":[{"pool":"gpu-jobs", "slots":2 or null (the settings do not name it), "description":... or null,
 *  "used":2, "holders":[{"run":"digits/3", "task":"train", "attempt":1, "state":"running", "worker":"gpu1",
 *  "since":...}, the longest first], "waiting":3, "next":[{"run":"digits/4", "task":"train", "count":3,
 *  "priority":0, "since":...}, in the order in which they go]}]}, at most 100 of each list. `count`: ready tasks
 *  of the run that ask for the same.
 */
int view_pools(struct store *store, const struct settings *settings, json_t **out, struct err *err);

/* The same while there is no state yet. */
json_t *view_pools_unused(const struct settings *settings);

/* --- names ---------------------------------------------------------------------------------------------- */

/* Whether there is such a DAG. ERR_NOT_FOUND offers a near name. */
int view_find_dag(struct store *store, const char *dag, struct err *err);

/* The run called "dag/number". ERR_NOT_FOUND and ERR_INVALID offer what was probably meant. */
int view_find_run(struct store *store, const char *name, uint64_t *run_out, struct err *err);

/* A task of it, by the name of its step. ERR_NOT_FOUND offers a near name. */
int view_find_task(struct store *store, uint64_t run, const char *name, uint32_t *step_out, struct err *err);

#endif
