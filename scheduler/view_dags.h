/*
 * view_dags.h - DAGs, and the metrics of a task, as JSON
 *
 * As in view.h: only reads, bounded, found by an index; names of fields are a promise.
 *
 * A DAG in lists:
 *   {"dag":"digits", "description":... or null, "file":"/path" or null, "problem":"its diagnostics" or null,
 *    "in_force":true, "paused":false, "paused_by":null, "paused_since":null,
 *    "schedules":[{"cron":"30 2 * * *", "timezone":"Europe/Berlin", "catchup":"latest", "overlap":"skip"}],
 *    "next_due":... or null, "next_start": with its jitter, "last_success":... or null, "late_since":... or null, "active":0,
 *    "latest":[{"number":3, "state":"succeeded", "trigger":"cron", "orphaned":false, "created":..., "started":...,
 *      "ended":...}]}
 * "late_since" is when it was late by `expect_by`, and has not succeeded after. "latest" is newest first. One that ran once and has no file any more is in lists as long as its runs are.
 */
#ifndef SCHEDULER_VIEW_DAGS_H
#define SCHEDULER_VIEW_DAGS_H

#include <jansson.h>
#include <stdint.h>

#include "common/err.h"
#include "dag/dag.h"
#include "scheduler/store.h"
#include "scheduler/zones.h"

/* What the files of the DAG folder say of a DAG. */
struct view_dag_facts {
	const char *name;
	const char *path;      /* NULL: it has no file */
	const struct dag *dag; /* in force; NULL: none is */
	const char *problem;   /* what is wrong with a file; NULL: nothing */
};

/*
 * By name. Of two files by one name the one whose DAG is in force stands for it, with what is wrong with the other.
 * Returns how many are left.
 */
size_t view_dag_facts_sort(struct view_dag_facts *facts, size_t count);

/*
 * {"dags":[...by name]}. `zones`: with the scheduler's own; `facts` as view_dag_facts_sort leaves them; `runs`: of each
 * so many of the latest.
 */
int view_dags(struct store *store, struct zones *zones, const struct view_dag_facts *facts, size_t count, int runs,
	      int64_t now_wall_ms, json_t **out, struct err *err);

/*
 * The same as text, with what was told the last time: of a DAG of which nothing has changed, its text is kept, and its
 * history (view_history.h) is not read again; so for each of the three numbers of `runs` that were asked for last. What is
 * kept is used by one thread at a time.
 */
struct view_listing;
struct view_dags_kept;
struct view_dags_kept *view_dags_kept_new(void);
void view_dags_kept_free(struct view_dags_kept *kept); /* NULL is harmless */
int view_dags_text(struct store *store, const struct view_listing *listing, struct view_dags_kept *kept, char **out,
		   struct err *err);

/* The same without a daemon: of the files as the last daemon found them. */
int view_dags_known(struct store *store, struct zones *zones, int runs, int64_t now_wall_ms, json_t **out,
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
int view_dag(struct store *store, struct zones *zones, const char *name, const struct view_dag_facts *facts, int runs,
	     int64_t now_wall_ms, json_t **out, struct err *err);

/*
 * {"run":..., "task":..., "thinned":false, "metrics":[{"attempt":1, "at":..., "values":{"step":100, "loss":0.31}}]},
 * in the order in which they were reported. Of more than `limit`, so many that lie evenly apart: a curve of a million
 * lines is read by as many look-ups as it has points on the screen.
 */
int view_metrics(struct store *store, uint64_t run, uint32_t step, int limit, json_t **out, struct err *err);

#endif
