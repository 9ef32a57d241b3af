/*
 * view_dags.h - DAGs, their due times, and the metrics of a task, as JSON: for the page and the API
 *
 * As in view.h: only reads, bounded, found by an index; names of fields are a promise.
 *
 * A DAG in lists:
 *   {"dag":"digits", "description":... or null, "file":"/path" or null, "problem":"its diagnostics" or null,
 *    "in_force":true, "paused":false, "paused_by":null, "paused_since":null,
 *    "schedules":[{"cron":"30 2 * * *", "timezone":"Europe/Berlin" or null, "catchup":"latest", "overlap":"skip"}],
 *    "next_due":... or null, "last_success":... or null, "late_since":... or null, "active":0,
 *    "latest":[{"number":3, "state":"succeeded", "trigger":"schedule", "created":..., "started":..., "ended":...}]}
 * "late_since" is when it was late by `expect_by`, and has not succeeded after. "latest" is newest first. One that ran once and has no file any more is in lists as long as its runs are.
 */
#ifndef SCHEDULER_VIEW_DAGS_H
#define SCHEDULER_VIEW_DAGS_H

#include <jansson.h>
#include <stdint.h>

#include "common/err.h"
#include "dag/dag.h"
#include "scheduler/store.h"

/* What only the daemon knows of a DAG: its file, and when it is due. */
struct view_dag_facts {
	const char *name;
	const char *path;	/* NULL: it has no file */
	const struct dag *dag;	/* in force; NULL: none is */
	const char *problem;	/* what is wrong with the file; NULL: nothing */
	int64_t next_due_wall_ms; /* 0: never */
};

/* {"dags":[...by name]}. `facts` are sorted by name; `runs`: of each so many of the latest. */
int view_dags(struct store *store, const struct view_dag_facts *facts, size_t count, int runs, json_t **out,
	      struct err *err);

/*
 * One DAG as in lists, and
 *   "params":[{"name":"lr", "type":"float", "default":"0.1" or null, "min":null, "max":null, "choices":null,
 *     "description":null}],
 *   "steps":[{"step":"train", "description":null, "needs":["extract"], "run":["python3 train.py"], "shell":true,
 *     "worker":null, "pool":null, "timeout_ms":null, "stall_ms":null, "retries":2, "cpus":null, "memory_bytes":null,
 *     "gpus":null}],
 *   "after":[{"dag":"features", "state":"succeeded", "within_ms":null}], "text":"the YAML"
 * of the version in force, else of the one that ran last. `facts` may be NULL. ERR_NOT_FOUND offers a near name.
 */
int view_dag(struct store *store, const char *name, const struct view_dag_facts *facts, int runs, json_t **out,
	     struct err *err);

struct view_ledger {
	const char *dag;
	int64_t before_wall_ms; /* 0: the newest */
	int64_t from_wall_ms;	/* not before it; INT64_MIN: any */
	int limit;
};

/*
 * {"dag":..., "occurrences":[{"cron":..., "timezone":..., "due":..., "nominal":"2026-10-25 02:30", "mark":null,
 *  "state":"ran|skipped", "reason":null, "run":"digits/3" or null, "decided":..., "detail":""}...newest first],
 *  "next": number or null}
 */
int view_ledger(struct store *store, const struct view_ledger *wanted, json_t **out, struct err *err);

/*
 * {"run":..., "task":..., "thinned":false, "metrics":[{"attempt":1, "at":..., "values":{"step":100, "loss":0.31}}]},
 * in the order in which they were reported. Of more than `limit`, so many that lie evenly apart: a curve of a million
 * lines is read by as many look-ups as it has points on the screen.
 */
int view_metrics(struct store *store, uint64_t run, uint32_t step, int limit, json_t **out, struct err *err);

#endif
