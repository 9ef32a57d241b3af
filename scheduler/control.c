#include "scheduler/control.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "common/clock.h"
#include "common/mem.h"
#include "common/scope.h"
#include "scheduler/control_parts.h"
#include "scheduler/instant.h"
#include "scheduler/paths.h"
#include "scheduler/token.h"
#include "scheduler/view.h"

/* --- reads ------------------------------------------------------------------------------------------------ */

static int read_dags(struct control *control, const struct web_query *query, json_t **out, struct err *err)
{
	__attribute__((cleanup(arena_fini))) struct arena arena = { 0 };
	struct view_dag_facts *facts;
	size_t count = control_facts(control, &arena, &facts);

	return view_dags(control->reader, control->zones, facts, count, query->limit, query->now_wall_ms, out, err);
}

static int read_dag(struct control *control, const struct web_query *query, json_t **out, struct err *err)
{
	struct view_dag_facts facts;
	bool known = control_facts_of(control, query->dag, &facts);

	return view_dag(control->reader, control->zones, query->dag, known ? &facts : NULL, query->limit,
			query->now_wall_ms, out, err);
}

/* A date is one of the scheduler's zone. */
static int read_time(const struct control *control, const char *name, const char *text, int64_t *wall_ms_out,
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
		rc = zones_find(control->zones, NULL, &zone, err);
	if (rc < 0)
		return err_wrap(err, "'%s'", name);
	*wall_ms_out = instant_in(&instant, zone) * 1000;
	return 0;
}

/* A file that was never good has no DAG in the database, and yet it is there. */
static bool is_file(const struct control *control, const char *dag)
{
	struct view_dag_facts facts;

	return control_facts_of(control, dag, &facts);
}

static int read_occurrences(struct control *control, const struct web_query *query, json_t **out, struct err *err)
{
	struct view_occurrences page = { .dag = query->dag, .limit = query->limit, .before = query->before };
	int rc;

	if (read_time(control, "from", query->from, &page.from_wall_ms, err) < 0 ||
	    read_time(control, "to", query->to, &page.to_wall_ms, err) < 0)
		return err->code;
	rc = view_occurrences(control->reader, control->zones, &page, query->now_wall_ms, out, err);
	if (rc != ERR_NOT_FOUND || !is_file(control, query->dag))
		return rc;
	*out = json_pack("{s:s, s:n, s:n, s:[], s:[], s:n}", "dag", query->dag, "paused_by", "paused_since", "coming",
			 "past", "next");
	return 0;
}

static int read_backfills(struct control *control, const struct web_query *query, json_t **out, struct err *err)
{
	int rc = view_backfills(control->reader, query->dag, query->limit, out, err);

	if (rc != ERR_NOT_FOUND || !is_file(control, query->dag))
		return rc;
	*out = json_pack("{s:[]}", "backfills");
	return 0;
}

static int read_backfill_plan(struct control *control, const struct web_query *query, json_t **out, struct err *err)
{
	const struct store_new_backfill wanted = {
		.dag = query->dag,
		.from = query->from,
		.to = query->to,
		.again = query->again,
		.wall_ms = query->now_wall_ms,
	};

	if (!is_file(control, query->dag) && view_find_dag(control->reader, query->dag, err) < 0)
		return err->code;
	return view_backfill_plan(control->reader, control->zones, &wanted, query->limit, out, err);
}

static int read_runs(struct control *control, const struct web_query *query, json_t **out, struct err *err)
{
	const struct view_page page = {
		.dag = query->dag, .state = query->state, .limit = query->limit, .before = query->before
	};
	int rc = view_runs(control->reader, &page, out, err);

	if (rc != ERR_NOT_FOUND || !is_file(control, query->dag))
		return rc;
	*out = json_pack("{s:[], s:n}", "runs", "next"); /* it is there, and has not run yet */
	return 0;
}

static int read_events(struct control *control, const struct web_query *query, json_t **out, struct err *err)
{
	struct view_events wanted = { .after = query->after, .limit = query->limit };

	if (query->run != NULL && view_find_run(control->reader, query->run, &wanted.run, err) < 0)
		return err->code;
	return view_events(control->reader, &wanted, out, err);
}

static int read_task(struct control *control, enum web_read what, const struct web_query *query, json_t **out,
		     struct err *err)
{
	uint64_t run;
	uint32_t step;

	if (view_find_run(control->reader, query->run, &run, err) < 0 ||
	    view_find_task(control->reader, run, query->task, &step, err) < 0)
		return err->code;
	switch (what) {
	case WEB_TASK:
		return view_task(control->reader, run, step, out, err);
	case WEB_TASK_WHY:
		return view_why(control->reader, run, (int)step, out, err);
	case WEB_CHECKPOINTS:
		return view_checkpoints(control->reader, run, step, query->limit, out, err);
	default:
		return view_metrics(control->reader, run, step, query->limit, out, err);
	}
}

static int read_run(struct control *control, enum web_read what, const struct web_query *query, json_t **out,
		    struct err *err)
{
	uint64_t run;

	if (view_find_run(control->reader, query->run, &run, err) < 0)
		return err->code;
	return what == WEB_RUN ? view_run(control->reader, run, out, err)
			       : view_why(control->reader, run, -1, out, err);
}

static int on_read(void *context, enum web_read what, const struct web_query *query, json_t **out, struct err *err)
{
	struct control *control = context;

	switch (what) {
	case WEB_DAGS:
		return read_dags(control, query, out, err);
	case WEB_DAG:
		return read_dag(control, query, out, err);
	case WEB_OCCURRENCES:
		return read_occurrences(control, query, out, err);
	case WEB_BACKFILLS:
		return read_backfills(control, query, out, err);
	case WEB_BACKFILL_PLAN:
		return read_backfill_plan(control, query, out, err);
	case WEB_RUNS:
		return read_runs(control, query, out, err);
	case WEB_RUN:
	case WEB_RUN_WHY:
		return read_run(control, what, query, out, err);
	case WEB_TASK:
	case WEB_TASK_WHY:
	case WEB_CHECKPOINTS:
	case WEB_METRICS:
		return read_task(control, what, query, out, err);
	case WEB_EVENTS:
		return read_events(control, query, out, err);
	case WEB_WORKERS:
		return view_workers(control->reader, control->settings, query->now_wall_ms, out, err);
	case WEB_STATUS:
		return view_status(control->reader, query->limit, out, err);
	case WEB_POOLS:
	case WEB_HEALTH:
	case WEB_READS:
		break;
	}
	return control->desk->read(control->desk->context, what, query, out, err);
}

/* --- logs ------------------------------------------------------------------------------------------------- */

/* The last bytes of an attempt that has ended may be on their way here, as long as its run goes on. */
static bool is_growing(const struct control *control, uint64_t run, const struct view_attempt *attempt,
		       const char *path)
{
	autojson json_t *row = NULL;
	struct stat st;

	if (attempt->number == 0)
		return !machine_ended(task_states, attempt->task_state);
	if (!machine_ended(attempt_states, attempt->state))
		return true;
	if (attempt->log_bytes == 0 || (stat(path, &st) == 0 && (uint64_t)st.st_size >= attempt->log_bytes))
		return false;
	return view_run_alone(control->reader, run, &row, NULL) == 0 && json_is_null(json_object_get(row, "ended"));
}

static int on_log(void *context, const struct web_query *query, struct web_log *out, struct err *err)
{
	__attribute__((cleanup(arena_fini))) struct arena arena = { 0 };
	struct control *control = context;
	const char *slash = strrchr(query->run, '/');
	struct view_attempt attempt;
	uint64_t run;
	uint32_t step;

	if (view_find_run(control->reader, query->run, &run, err) < 0 ||
	    view_find_task(control->reader, run, query->task, &step, err) < 0 ||
	    view_attempt(control->reader, run, step, query->attempt, &attempt, err) < 0)
		return err->code;
	out->attempt = attempt.number;
	if (attempt.number != 0)
		snprintf(out->path, sizeof out->path, "%s",
			 paths_log(&arena, control->reader->home,
				   arena_strndup(&arena, query->run, (size_t)(slash - query->run)),
				   strtoull(slash + 1, NULL, 10), query->task, attempt.number));
	out->growing = is_growing(control, run, &attempt, out->path);
	return 0;
}

/* --- changes ---------------------------------------------------------------------------------------------- */

static void on_change(void *context, enum web_verb verb, const json_t *arguments, const struct web_caller *caller,
		      web_done *done, void *done_context)
{
	struct control *control = context;

	control->desk->change(control->desk->context, verb, arguments, caller, done, done_context);
}

static int on_token(void *context, const char *digest, struct web_token *out, struct err *err)
{
	struct control *control = context;

	return token_find(control->reader, digest, clock_wall_ms(), out, err);
}

/* Another number after each commit of somebody else; this connection makes none. */
static int64_t on_version(void *context)
{
	struct control *control = context;
	sqlite3_stmt *stmt = store_statement(control->reader, STMT_web_data_version);
	int64_t version = -1;

	if (stmt != NULL && sqlite3_step(stmt) == SQLITE_ROW)
		version = sqlite3_column_int64(stmt, 0);
	if (stmt != NULL)
		sqlite3_reset(stmt);
	return version;
}

/* --- the whole -------------------------------------------------------------------------------------------- */

static int64_t last_event(struct store *reader)
{
	sqlite3_stmt *stmt = store_statement(reader, STMT_web_last_event);
	int64_t id = 0;

	if (stmt != NULL && sqlite3_step(stmt) == SQLITE_ROW)
		id = sqlite3_column_int64(stmt, 0);
	if (stmt != NULL)
		sqlite3_reset(stmt);
	return id;
}

struct control *control_new(struct store *reader, const struct settings *settings, const struct registry *registry,
			    const struct control_desk *desk)
{
	struct control *control = mem_zalloc(sizeof *control);

	control->reader = reader;
	control->settings = settings;
	control->registry = registry;
	control->zones = zones_new(settings->timezone);
	control->desk = desk;
	control->last_event = last_event(reader);
	control->source = (struct web_source){
		.read = on_read,
		.change = on_change,
		.log = on_log,
		.token = on_token,
		.metrics = control_metrics,
		.version = on_version,
		.context = control,
	};
	return control;
}

void control_free(struct control *control)
{
	if (control == NULL)
		return;
	for (size_t i = 0; i < control->ended_count; i++)
		free(control->ended[i].dag);
	free(control->ended);
	zones_free(control->zones);
	free(control);
}

void control_set_settings(struct control *control, const struct settings *settings)
{
	control->settings = settings;
	zones_free(control->zones);
	control->zones = zones_new(settings->timezone);
}

const struct web_source *control_source(const struct control *control)
{
	return &control->source;
}

void control_count_attempt(struct control *control, enum attempt_state state, enum reason reason)
{
	if ((unsigned)state < ATTEMPT_STATES && (unsigned)reason < CONTROL_REASONS)
		control->attempts[state][reason]++;
}

void control_count_queued(struct control *control, int64_t waited_ms)
{
	histogram_add(&control->queued, waited_ms);
}

void control_count_due(struct control *control, int64_t late_ms)
{
	histogram_add(&control->due, late_ms);
}

void control_count_start(struct control *control, int64_t took_ms)
{
	histogram_add(&control->start, took_ms);
}

struct web_settings control_web_settings(const struct settings *settings, const char *control_path, bool have_tokens)
{
	const struct settings_web *web = &settings->web;

	return (struct web_settings){
		.control_path = control_path,
		.shared_path = web->shared_path,
		.shared_group = web->shared_group,
		.listen = web->listen,
		.listen_count = web->off ? 0 : web->listen_count,
		.listen_optional = !web->listen_given,
		.hosts = web->hosts,
		.hosts_count = web->hosts_count,
		.certificate_path = web->certificate_path,
		.key_path = web->key_path,
		.behind_proxy = web->behind_proxy,
		.have_tokens = have_tokens,
	};
}
