#include "scheduler/view_dags.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "common/mem.h"
#include "common/scope.h"
#include "dag/diagnostic.h"
#include "scheduler/run.h"
#include "scheduler/store_due.h"
#include "scheduler/view.h"
#include "scheduler/view_due.h"
#include "scheduler/view_rows.h"

enum { RUNS_MAX = 1000 };

static json_t *text_or_null(const char *text)
{
	return text == NULL ? json_null() : view_string(text);
}

/* 0 stands for none. */
static json_t *number_or_null(int64_t number)
{
	return number == 0 ? json_null() : json_integer(number);
}

/* --- a DAG in lists --------------------------------------------------------------------------------------- */

/* Of when, and by which zones, it is told. */
struct moment_of_view {
	struct zones *zones;
	int64_t now_wall_ms;
};

static json_t *schedule_object(const struct dag_schedule *schedule, struct zones *zones)
{
	const struct zone *zone;
	bool found = zones_find(zones, schedule->timezone, &zone, NULL) == 0;

	/* A zone that cannot be read now is told as it was written. */
	return json_pack("{s:o, s:o, s:s, s:s}", "cron", view_string(schedule->cron), "timezone",
			 text_or_null(found ? zone_name(zone) : schedule->timezone), "catchup",
			 dag_catchup_words[schedule->catchup], "overlap", dag_overlap_words[schedule->overlap]);
}

static void set_schedules(json_t *object, const struct dag *dag, const struct moment_of_view *moment)
{
	json_t *list = json_array();
	struct due next = { 0 };

	if (dag != NULL)
		view_next_due(moment->zones, dag, moment->now_wall_ms, &next);
	for (size_t i = 0; dag != NULL && i < dag->schedules_count; i++)
		json_array_append_new(list, schedule_object(&dag->schedules[i], moment->zones));
	json_object_set_new_nocheck(object, "schedules", list);
	view_set_time(object, "next_due", next.at_ms);
	view_set_time(object, "next_start", next.start_ms);
}

static json_t *dag_object(const char *name, const struct view_dag_facts *facts, const struct moment_of_view *moment)
{
	static const struct view_dag_facts none;
	json_t *object = json_object();

	if (facts == NULL)
		facts = &none;
	view_set_text(object, "dag", name);
	json_object_set_new_nocheck(object, "description",
				    text_or_null(facts->dag == NULL ? NULL : facts->dag->description));
	json_object_set_new_nocheck(object, "file", text_or_null(facts->path));
	json_object_set_new_nocheck(object, "problem", text_or_null(facts->problem));
	json_object_set_new_nocheck(object, "in_force", json_boolean(facts->dag != NULL));
	json_object_set_new_nocheck(object, "paused", json_false());
	json_object_set_new_nocheck(object, "paused_by", json_null());
	json_object_set_new_nocheck(object, "paused_since", json_null());
	set_schedules(object, facts->dag, moment);
	view_set_time(object, "last_success", 0);
	view_set_time(object, "late_since", 0);
	view_set_number(object, "active", 0);
	json_object_set_new_nocheck(object, "latest", json_array());
	return object;
}

static json_t *latest_object(const struct store *store, const char *dag, sqlite3_stmt *stmt)
{
	json_t *run = json_object();

	view_set_number(run, "number", sqlite3_column_int64(stmt, 0));
	view_set_text(run, "state", view_text(stmt, 1));
	view_set_text(run, "trigger", view_text(stmt, 2));
	json_object_set_new_nocheck(run, "orphaned",
				    json_boolean(view_is_orphaned(store, dag, (uint64_t)sqlite3_column_int64(stmt, 0),
								  view_text(stmt, 1))));
	view_set_time(run, "created", sqlite3_column_int64(stmt, 3));
	view_set_time(run, "started", sqlite3_column_int64(stmt, 4));
	view_set_time(run, "ended", sqlite3_column_int64(stmt, 5));
	return run;
}

/* *success_wall_ms_out: when the newest of them that succeeded ended; 0: none did. */
static int add_latest(struct store *store, int64_t dag, int runs, json_t *object, int64_t *success_wall_ms_out,
		      struct err *err)
{
	sqlite3_stmt *stmt = store_statement(store, STMT_web_dag_latest);
	const char *name = json_string_value(json_object_get(object, "dag"));
	json_t *list = json_object_get(object, "latest");
	int rc;

	*success_wall_ms_out = 0;
	sqlite3_bind_int64(stmt, 1, dag);
	sqlite3_bind_int(stmt, 2, runs < 1 ? 1 : runs > RUNS_MAX ? RUNS_MAX : runs);
	while ((rc = view_next(store, stmt, err)) == 1) {
		json_array_append_new(list, latest_object(store, name, stmt));
		if (*success_wall_ms_out == 0 && strcmp(view_text(stmt, 1), run_states[RUN_SUCCEEDED].name) == 0)
			*success_wall_ms_out = sqlite3_column_int64(stmt, 5);
	}
	return rc;
}

/* *wall_ms_out stays as it is where the statement has no row for the DAG. */
static int read_time(struct store *store, enum store_statement which, int64_t dag, int64_t *wall_ms_out,
		     struct err *err)
{
	sqlite3_stmt *stmt = store_statement(store, which);
	int rc;

	sqlite3_bind_int64(stmt, 1, dag);
	rc = view_next(store, stmt, err);
	if (rc == 1) {
		*wall_ms_out = sqlite3_column_int64(stmt, 0);
		sqlite3_reset(stmt);
	}
	return rc < 0 ? rc : 0;
}

/* Mostly one of the latest did succeed, and nothing else is asked. */
static int add_history(struct store *store, int64_t dag, int runs, json_t *object, struct err *err)
{
	int64_t success_wall_ms, late_wall_ms = 0;
	int rc = add_latest(store, dag, runs, object, &success_wall_ms, err);

	if (rc == 0 && success_wall_ms == 0)
		rc = read_time(store, STMT_web_dag_last_success, dag, &success_wall_ms, err);
	if (rc == 0)
		rc = read_time(store, STMT_web_dag_late, dag, &late_wall_ms, err);
	if (rc < 0)
		return rc;
	view_set_time(object, "last_success", success_wall_ms);
	view_set_time(object, "late_since", late_wall_ms > success_wall_ms ? late_wall_ms : 0);
	return 0;
}

static void set_paused(json_t *object, sqlite3_stmt *stmt)
{
	if (view_text(stmt, 2)[0] == '\0')
		return;
	json_object_set_new(object, "paused", json_true());
	view_set_text(object, "paused_by", view_text(stmt, 2));
	view_set_time(object, "paused_since", sqlite3_column_int64(stmt, 3));
}

/* --- the list --------------------------------------------------------------------------------------------- */

/* Of one that is known from its runs; the statement stays where it is while others are asked. */
struct row {
	int64_t id;
	json_t *object;
};

struct rows {
	struct row *items;
	size_t count, room;
};

static void rows_fini(struct rows *rows)
{
	free(rows->items);
}

/* What a list is made of. */
struct listing {
	const struct view_dag_facts *facts;
	size_t count;
	int runs;
	struct moment_of_view moment;
};

/* Two sorted lists become one: what the files say, and what the database has. */
static int read_rows(struct store *store, const struct listing *listing, json_t *list, struct rows *rows,
		     struct err *err)
{
	sqlite3_stmt *stmt = store_statement(store, STMT_web_dags);
	const struct view_dag_facts *facts = listing->facts;
	size_t at = 0;
	int rc;

	while ((rc = view_next(store, stmt, err)) == 1) {
		const char *name = view_text(stmt, 1);
		bool known;
		json_t *object;

		for (; at < listing->count && strcmp(facts[at].name, name) < 0; at++)
			json_array_append_new(list, dag_object(facts[at].name, &facts[at], &listing->moment));
		known = at < listing->count && strcmp(facts[at].name, name) == 0;
		object = dag_object(name, known ? &facts[at] : NULL, &listing->moment);
		set_paused(object, stmt);
		json_array_append_new(list, object);
		mem_grow(&rows->items, &rows->room, rows->count, sizeof *rows->items);
		rows->items[rows->count++] = (struct row){ sqlite3_column_int64(stmt, 0), object };
		at += known;
	}
	for (; at < listing->count; at++)
		json_array_append_new(list, dag_object(facts[at].name, &facts[at], &listing->moment));
	return rc;
}

static int by_id(const void *a, const void *b)
{
	int64_t left = ((const struct row *)a)->id, right = ((const struct row *)b)->id;

	return (left > right) - (left < right);
}

/* Few DAGs have any: one question for all of them. Sorts the rows. */
static int add_active(struct store *store, struct rows *rows, struct err *err)
{
	sqlite3_stmt *stmt = store_statement(store, STMT_web_dags_active);
	int rc;

	if (rows->count > 1)
		qsort(rows->items, rows->count, sizeof *rows->items, by_id);
	while ((rc = view_next(store, stmt, err)) == 1) {
		const struct row key = { .id = sqlite3_column_int64(stmt, 0) };
		struct row *row = rows->count == 0
					  ? NULL
					  : bsearch(&key, rows->items, rows->count, sizeof *rows->items, by_id);

		if (row != NULL)
			view_set_number(row->object, "active", sqlite3_column_int64(stmt, 1));
	}
	return rc;
}

static int read_list(struct store *store, const struct listing *listing, json_t **out, struct err *err)
{
	__attribute__((cleanup(rows_fini))) struct rows rows = { 0 };
	autojson json_t *answer = json_object();
	json_t *list = json_array();
	int rc = view_begin(store, err);

	json_object_set_new(answer, "dags", list);
	if (rc < 0)
		return rc;
	rc = read_rows(store, listing, list, &rows, err);
	for (size_t i = 0; rc == 0 && i < rows.count; i++)
		rc = add_history(store, rows.items[i].id, listing->runs, rows.items[i].object, err);
	if (rc == 0)
		rc = add_active(store, &rows, err);
	view_end(store);
	if (rc == 0)
		*out = take(answer);
	return rc;
}

/* --- one DAG ---------------------------------------------------------------------------------------------- */

static json_t *params_array(const struct dag *dag)
{
	json_t *list = json_array();

	for (size_t i = 0; i < dag->params_count; i++) {
		const struct dag_param *param = &dag->params[i];
		json_t *choices = param->choices_count == 0 ? json_null() : json_array();

		for (size_t k = 0; k < param->choices_count; k++)
			json_array_append_new(choices, view_string(param->choices[k]));
		json_array_append_new(list, json_pack("{s:o, s:s, s:o, s:o, s:o, s:o, s:o}", "name",
						      view_string(param->name), "type", dag_param_type_words[param->type], "default",
						      text_or_null(param->fallback), "min",
						      param->has_min ? json_real(param->min) : json_null(), "max",
						      param->has_max ? json_real(param->max) : json_null(), "choices",
						      choices, "description", text_or_null(param->description)));
	}
	return list;
}

static json_t *step_object(const struct dag *dag, const struct dag_step *step)
{
	json_t *needs = json_array(), *run = json_array();

	for (size_t i = 0; i < step->needs_count; i++)
		json_array_append_new(needs, view_string(dag->steps[step->needs[i]].name));
	for (size_t i = 0; i < step->argc; i++)
		json_array_append_new(run, view_string(step->argv[i]));
	return json_pack("{s:o, s:o, s:o, s:o, s:b, s:o, s:o, s:o, s:o, s:i, s:o, s:o, s:o}", "step",
			 view_string(step->name), "description", text_or_null(step->description), "needs", needs, "run",
			 run, "shell", step->shell, "worker", text_or_null(step->worker), "pool",
			 text_or_null(step->pool), "timeout_ms", number_or_null(step->timeout_ms), "stall_ms",
			 number_or_null(step->stall_ms), "retries", step->retry.max, "cpus",
			 step->resources.cpus_milli == 0 ? json_null()
							 : json_real((double)step->resources.cpus_milli / 1000),
			 "memory_bytes", number_or_null(step->resources.memory_bytes), "gpus",
			 number_or_null(step->resources.gpus));
}

static json_t *after_array(const struct dag *dag)
{
	json_t *list = json_array();

	for (size_t i = 0; i < dag->after_count; i++)
		json_array_append_new(list, json_pack("{s:o, s:s, s:o}", "dag", view_string(dag->after[i].dag), "state",
						      dag_after_words[dag->after[i].state], "within_ms",
						      number_or_null(dag->after[i].within_ms)));
	return list;
}

static void add_definition(json_t *object, const struct dag *dag)
{
	json_t *steps = json_array();

	for (size_t i = 0; dag != NULL && i < dag->steps_count; i++)
		json_array_append_new(steps, step_object(dag, &dag->steps[i]));
	json_object_set_new(object, "params", dag == NULL ? json_array() : params_array(dag));
	json_object_set_new(object, "steps", steps);
	json_object_set_new(object, "after", dag == NULL ? json_array() : after_array(dag));
	json_object_set_new(object, "text", dag == NULL ? json_null() : view_string(dag->text));
}

/* The version that ran last; NULL when there is none, or this stoker cannot read it any more. */
static int read_last_version(struct store *store, int64_t dag, struct dag **out, struct err *err)
{
	autodiagnostics struct diagnostics diagnostics;
	sqlite3_stmt *stmt = store_statement(store, STMT_web_dag_text);
	int rc;

	*out = NULL;
	diagnostics_init(&diagnostics);
	sqlite3_bind_int64(stmt, 1, dag);
	rc = view_next(store, stmt, err);
	if (rc != 1)
		return rc;
	dag_parse(view_text(stmt, 0), view_text(stmt, 1), (size_t)sqlite3_column_bytes(stmt, 1), out, &diagnostics);
	sqlite3_reset(stmt);
	return 0;
}

/* Its row: the id, 0 when it never ran. */
static int read_dag_row(struct store *store, const char *name, json_t *object, int64_t *id_out, struct err *err)
{
	sqlite3_stmt *stmt = store_statement(store, STMT_web_dag);
	int rc;

	*id_out = 0;
	sqlite3_bind_text(stmt, 1, name, -1, SQLITE_STATIC);
	rc = view_next(store, stmt, err);
	if (rc == 1) {
		*id_out = sqlite3_column_int64(stmt, 0);
		set_paused(object, stmt);
		sqlite3_reset(stmt);
	}
	return rc < 0 ? rc : 0;
}

static int add_active_of(struct store *store, int64_t dag, json_t *object, struct err *err)
{
	sqlite3_stmt *stmt = store_statement(store, STMT_web_dag_active);
	int rc;

	sqlite3_bind_int64(stmt, 1, dag);
	rc = view_next(store, stmt, err);
	if (rc == 1) {
		view_set_number(object, "active", sqlite3_column_int64(stmt, 0));
		sqlite3_reset(stmt);
	}
	return rc < 0 ? rc : 0;
}

/* --- without a daemon ------------------------------------------------------------------------------------- */

/* What the database remembers of the files; `dags` are to be freed. */
static int read_facts(struct store *store, struct arena *arena, struct view_dag_facts **facts_out, struct dag ***dags_out,
		      size_t *count_out, struct err *err)
{
	struct store_dag_file *files;
	int rc = store_load_dag_files(store, arena, &files, count_out, err);

	if (rc < 0)
		return rc;
	*facts_out = arena_alloc(arena, (*count_out + 1) * sizeof **facts_out);
	*dags_out = mem_array(*count_out + 1, sizeof **dags_out);
	for (size_t i = 0; i < *count_out; i++) {
		(*dags_out)[i] = NULL;
		if (files[i].digest[0] != '\0')
			store_load_dag(store, files[i].name, &(*dags_out)[i], NULL);
		(*facts_out)[i] = (struct view_dag_facts){
			.name = files[i].name,
			.path = files[i].path,
			.dag = (*dags_out)[i],
			.problem = files[i].error[0] == '\0' ? NULL : files[i].error,
		};
	}
	return 0;
}

static int by_name(const void *a, const void *b)
{
	const struct view_dag_facts *left = a, *right = b;
	int order = strcmp(left->name, right->name);

	return order != 0 ? order : strcmp(left->path, right->path);
}

/* ---------------------------------------------------------------------------------------------------------- */

size_t view_dag_facts_sort(struct view_dag_facts *facts, size_t count)
{
	size_t kept = 0;

	if (count > 1)
		qsort(facts, count, sizeof *facts, by_name);
	for (size_t i = 0; i < count; i++) {
		struct view_dag_facts *last = kept == 0 ? NULL : &facts[kept - 1];
		const char *problem = facts[i].problem;

		if (last == NULL || strcmp(last->name, facts[i].name) != 0) {
			facts[kept++] = facts[i];
			continue;
		}
		if (last->problem != NULL)
			problem = last->problem;
		if (last->dag == NULL)
			*last = facts[i];
		last->problem = problem;
	}
	return kept;
}

int view_dags(struct store *store, struct zones *zones, const struct view_dag_facts *facts, size_t count, int runs,
	      int64_t now_wall_ms, json_t **out, struct err *err)
{
	const struct listing listing = { facts, count, runs, { zones, now_wall_ms } };

	return read_list(store, &listing, out, err);
}

int view_dags_known(struct store *store, struct zones *zones, int runs, int64_t now_wall_ms, json_t **out,
		    struct err *err)
{
	__attribute__((cleanup(arena_fini))) struct arena arena = { 0 };
	struct view_dag_facts *facts;
	struct dag **dags;
	size_t count;
	int rc = read_facts(store, &arena, &facts, &dags, &count, err);

	if (rc < 0)
		return rc;
	rc = view_dags(store, zones, facts, view_dag_facts_sort(facts, count), runs, now_wall_ms, out, err);
	for (size_t i = 0; i < count; i++)
		dag_free(dags[i]);
	free(dags);
	return rc;
}

int view_dag(struct store *store, struct zones *zones, const char *name, const struct view_dag_facts *facts, int runs,
	     int64_t now_wall_ms, json_t **out, struct err *err)
{
	const struct moment_of_view moment = { zones, now_wall_ms };
	autojson json_t *object = dag_object(name, facts, &moment);
	autodag struct dag *last = NULL;
	int64_t id;
	int rc = view_begin(store, err);

	if (rc == 0)
		rc = read_dag_row(store, name, object, &id, err);
	if (rc == 0 && id == 0 && facts == NULL)
		rc = view_find_dag(store, name, err);
	if (rc == 0 && id != 0)
		rc = add_history(store, id, runs, object, err);
	if (rc == 0 && id != 0)
		rc = add_active_of(store, id, object, err);
	if (rc == 0 && id != 0 && (facts == NULL || facts->dag == NULL))
		rc = read_last_version(store, id, &last, err);
	view_end(store);
	if (rc < 0)
		return rc;
	add_definition(object, facts != NULL && facts->dag != NULL ? facts->dag : last);
	*out = take(object);
	return 0;
}
