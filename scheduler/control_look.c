/*
 * control_look.c - what is told from the database and the files: by the loop, or by a thread with a reader of its own
 */
#include <stdlib.h>
#include <string.h>

#include "scheduler/control_parts.h"
#include "scheduler/instant.h"
#include "scheduler/view.h"

static int compare_name(const void *name, const void *facts)
{
	return strcmp(name, ((const struct view_dag_facts *)facts)->name);
}

/* NULL: it has no file. */
static const struct view_dag_facts *facts_of(const struct look *look, const char *dag)
{
	return look->count == 0 ? NULL : bsearch(dag, look->facts, look->count, sizeof *look->facts, compare_name);
}

static int read_dags(const struct look *look, const struct web_query *query, json_t **out, struct err *err)
{
	return view_dags(look->store, look->zones, look->facts, look->count, query->limit, query->now_wall_ms, out, err);
}

static int read_dag(const struct look *look, const struct web_query *query, json_t **out, struct err *err)
{
	return view_dag(look->store, look->zones, query->dag, facts_of(look, query->dag), query->limit,
			query->now_wall_ms, out, err);
}

/* A date is one of the scheduler's zone. */
static int read_time(const struct look *look, const char *name, const char *text, int64_t *wall_ms_out,
		     struct err *err)
{
	const struct zone *zone;
	struct instant instant;
	int rc;

	*wall_ms_out = 0;
	if (text == NULL)
		return 0;
	rc = instant_parse(text, &instant, err);
	if (rc == 0)
		rc = zones_find(look->zones, NULL, &zone, err);
	if (rc < 0)
		return err_wrap(err, "'%s'", name);
	*wall_ms_out = instant_in(&instant, zone) * 1000;
	return 0;
}

/* A file that was never good has no DAG in the database, and yet it is there. */
static bool is_file(const struct look *look, const char *dag)
{
	return facts_of(look, dag) != NULL;
}

static int read_occurrences(const struct look *look, const struct web_query *query, json_t **out, struct err *err)
{
	struct view_occurrences page = { .dag = query->dag, .limit = query->limit, .before = query->before };
	int rc;

	if (read_time(look, "from", query->from, &page.from_wall_ms, err) < 0 ||
	    read_time(look, "to", query->to, &page.to_wall_ms, err) < 0)
		return err->code;
	rc = view_occurrences(look->store, look->zones, &page, query->now_wall_ms, out, err);
	if (rc != ERR_NOT_FOUND || !is_file(look, query->dag))
		return rc;
	*out = json_pack("{s:s, s:n, s:n, s:[], s:[], s:n}", "dag", query->dag, "paused_by", "paused_since", "coming",
			 "past", "next");
	return 0;
}

static int read_backfills(const struct look *look, const struct web_query *query, json_t **out, struct err *err)
{
	int rc = view_backfills(look->store, query->dag, query->limit, out, err);

	if (rc != ERR_NOT_FOUND || !is_file(look, query->dag))
		return rc;
	*out = json_pack("{s:[]}", "backfills");
	return 0;
}

static int read_backfill_plan(const struct look *look, const struct web_query *query, json_t **out, struct err *err)
{
	const struct store_new_backfill wanted = {
		.dag = query->dag,
		.from = query->from,
		.to = query->to,
		.again = query->again,
		.wall_ms = query->now_wall_ms,
	};

	if (!is_file(look, query->dag) && view_find_dag(look->store, query->dag, err) < 0)
		return err->code;
	return view_backfill_plan(look->store, look->zones, &wanted, query->limit, out, err);
}

static int read_runs(const struct look *look, const struct web_query *query, json_t **out, struct err *err)
{
	const struct view_page page = {
		.dag = query->dag, .state = query->state, .limit = query->limit, .before = query->before
	};
	int rc = view_runs(look->store, &page, out, err);

	if (rc != ERR_NOT_FOUND || !is_file(look, query->dag))
		return rc;
	*out = json_pack("{s:[], s:n}", "runs", "next"); /* it is there, and has not run yet */
	return 0;
}

static int read_events(const struct look *look, const struct web_query *query, json_t **out, struct err *err)
{
	struct view_events wanted = { .after = query->after, .before = query->before, .limit = query->limit };

	if (query->run != NULL && view_find_run(look->store, query->run, &wanted.run, err) < 0)
		return err->code;
	return view_events(look->store, &wanted, out, err);
}

static int read_task(const struct look *look, enum web_read what, const struct web_query *query, json_t **out,
		     struct err *err)
{
	uint64_t run;
	uint32_t step;

	if (view_find_run(look->store, query->run, &run, err) < 0 ||
	    view_find_task(look->store, run, query->task, &step, err) < 0)
		return err->code;
	switch (what) {
	case WEB_TASK:
		return view_task(look->store, run, step, out, err);
	case WEB_TASK_WHY:
		return view_why(look->store, run, (int)step, out, err);
	case WEB_CHECKPOINTS:
		return view_checkpoints(look->store, run, step, query->limit, out, err);
	default:
		return view_metrics(look->store, run, step, query->limit, out, err);
	}
}

static int read_run(const struct look *look, enum web_read what, const struct web_query *query, json_t **out,
		    struct err *err)
{
	uint64_t run;

	if (view_find_run(look->store, query->run, &run, err) < 0)
		return err->code;
	return what == WEB_RUN ? view_run(look->store, run, out, err)
			       : view_why(look->store, run, -1, out, err);
}

bool look_wants_files(enum web_read what, const struct web_query *query)
{
	switch (what) {
	case WEB_DAGS:
		return true;
	case WEB_DAG:
	case WEB_OCCURRENCES:
	case WEB_BACKFILLS:
	case WEB_BACKFILL_PLAN:
	case WEB_RUNS:
		return query->dag != NULL;
	default:
		return false;
	}
}

int look_read(const struct look *look, enum web_read what, const struct web_query *query, json_t **out, struct err *err)
{
	switch (what) {
	case WEB_DAGS:
		return read_dags(look, query, out, err);
	case WEB_DAG:
		return read_dag(look, query, out, err);
	case WEB_OCCURRENCES:
		return read_occurrences(look, query, out, err);
	case WEB_BACKFILLS:
		return read_backfills(look, query, out, err);
	case WEB_BACKFILL_PLAN:
		return read_backfill_plan(look, query, out, err);
	case WEB_RUNS:
		return read_runs(look, query, out, err);
	case WEB_RUN:
	case WEB_RUN_WHY:
		return read_run(look, what, query, out, err);
	case WEB_TASK:
	case WEB_TASK_WHY:
	case WEB_CHECKPOINTS:
	case WEB_METRICS:
		return read_task(look, what, query, out, err);
	case WEB_EVENTS:
		return read_events(look, query, out, err);
	case WEB_STATUS:
		return view_status(look->store, query->limit, out, err);
	case WEB_WORKERS:
	case WEB_POOLS:
	case WEB_HEALTH:
	case WEB_READS:
		break;
	}
	return err_set(err, ERR_INVALID, "this is not told from the database");
}
