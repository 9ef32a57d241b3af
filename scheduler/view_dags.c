#include "scheduler/view_dags.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "common/mem.h"
#include "common/scope.h"
#include "dag/diagnostic.h"
#include "dag/suggest.h"
#include "scheduler/view.h"
#include "scheduler/view_rows.h"

enum { RUNS_MAX = 1000, OCCURRENCES_MAX = 1000 };

/* --- names of enums --------------------------------------------------------------------------------------- */

static const char *const catchup_names[] = {
	[DAG_CATCHUP_NONE] = "none", [DAG_CATCHUP_LATEST] = "latest", [DAG_CATCHUP_ALL] = "all"
};
static const char *const overlap_names[] = {
	[DAG_OVERLAP_SKIP] = "skip", [DAG_OVERLAP_QUEUE] = "queue", [DAG_OVERLAP_REPLACE] = "replace"
};
static const char *const type_names[] = {
	[DAG_PARAM_STRING] = "string", [DAG_PARAM_INT] = "int", [DAG_PARAM_FLOAT] = "float", [DAG_PARAM_BOOL] = "bool"
};
static const char *const after_names[] = {
	[DAG_AFTER_SUCCEEDED] = "succeeded", [DAG_AFTER_FAILED] = "failed", [DAG_AFTER_ENDED] = "ended"
};

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

static json_t *schedules_array(const struct dag *dag)
{
	json_t *list = json_array();

	for (size_t i = 0; dag != NULL && i < dag->schedules_count; i++) {
		const struct dag_schedule *schedule = &dag->schedules[i];

		json_array_append_new(list, json_pack("{s:o, s:o, s:s, s:s}", "cron", view_string(schedule->cron),
						      "timezone", text_or_null(schedule->timezone), "catchup",
						      catchup_names[schedule->catchup], "overlap",
						      overlap_names[schedule->overlap]));
	}
	return list;
}

static json_t *dag_object(const char *name, const struct view_dag_facts *facts)
{
	static const struct view_dag_facts none;
	json_t *object = json_object();

	if (facts == NULL)
		facts = &none;
	view_set_text(object, "dag", name);
	json_object_set_new(object, "description",
			    text_or_null(facts->dag == NULL ? NULL : facts->dag->description));
	json_object_set_new(object, "file", text_or_null(facts->path));
	json_object_set_new(object, "problem", text_or_null(facts->problem));
	json_object_set_new(object, "in_force", json_boolean(facts->dag != NULL));
	json_object_set_new(object, "paused", json_false());
	json_object_set_new(object, "paused_by", json_null());
	json_object_set_new(object, "paused_since", json_null());
	json_object_set_new(object, "schedules", schedules_array(facts->dag));
	view_set_time(object, "next_due", facts->next_due_wall_ms);
	json_object_set_new(object, "last_success", json_null());
	json_object_set_new(object, "late_since", json_null());
	view_set_number(object, "active", 0);
	json_object_set_new(object, "latest", json_array());
	return object;
}

static int add_latest(struct store *store, int64_t dag, int runs, json_t *object, struct err *err)
{
	sqlite3_stmt *stmt = store_statement(store, STMT_web_dag_latest);
	json_t *list = json_object_get(object, "latest");
	int rc;

	sqlite3_bind_int64(stmt, 1, dag);
	sqlite3_bind_int(stmt, 2, runs < 1 ? 1 : runs > RUNS_MAX ? RUNS_MAX : runs);
	while ((rc = view_next(store, stmt, err)) == 1) {
		json_t *run = json_object();

		view_set_number(run, "number", sqlite3_column_int64(stmt, 0));
		view_set_text(run, "state", view_text(stmt, 1));
		view_set_text(run, "trigger", view_text(stmt, 2));
		view_set_time(run, "created", sqlite3_column_int64(stmt, 3));
		view_set_time(run, "started", sqlite3_column_int64(stmt, 4));
		view_set_time(run, "ended", sqlite3_column_int64(stmt, 5));
		json_array_append_new(list, run);
	}
	return rc;
}

/* The only number of a statement's only row; 0 when there is none. */
static int read_number(struct store *store, enum store_statement which, int64_t dag, int64_t *out, struct err *err)
{
	sqlite3_stmt *stmt = store_statement(store, which);
	int rc;

	*out = 0;
	sqlite3_bind_int64(stmt, 1, dag);
	rc = view_next(store, stmt, err);
	if (rc == 1) {
		*out = sqlite3_column_int64(stmt, 0);
		sqlite3_reset(stmt);
	}
	return rc < 0 ? rc : 0;
}

static int add_history(struct store *store, int64_t dag, int runs, json_t *object, struct err *err)
{
	int64_t success_wall_ms, late_wall_ms, active;
	int rc = read_number(store, STMT_web_dag_last_success, dag, &success_wall_ms, err);

	if (rc == 0)
		rc = read_number(store, STMT_web_dag_late, dag, &late_wall_ms, err);
	if (rc == 0)
		rc = read_number(store, STMT_web_dag_active, dag, &active, err);
	if (rc < 0)
		return rc;
	view_set_time(object, "last_success", success_wall_ms);
	view_set_time(object, "late_since", late_wall_ms > success_wall_ms ? late_wall_ms : 0);
	view_set_number(object, "active", active);
	return add_latest(store, dag, runs, object, err);
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

/* Two sorted lists become one: what the daemon has, and what the database has. */
static int read_rows(struct store *store, const struct view_dag_facts *facts, size_t count, json_t *list,
		     struct row **rows_out, size_t *rows_count_out, struct err *err)
{
	sqlite3_stmt *stmt = store_statement(store, STMT_web_dags);
	struct row *rows = NULL;
	size_t room = 0, rows_count = 0, at = 0;
	int rc;

	while ((rc = view_next(store, stmt, err)) == 1) {
		const char *name = view_text(stmt, 1);
		bool known;

		for (; at < count && strcmp(facts[at].name, name) < 0; at++)
			json_array_append_new(list, dag_object(facts[at].name, &facts[at]));
		known = at < count && strcmp(facts[at].name, name) == 0;
		mem_grow(&rows, &room, rows_count, sizeof *rows);
		rows[rows_count] = (struct row){ sqlite3_column_int64(stmt, 0),
						 dag_object(name, known ? &facts[at] : NULL) };
		set_paused(rows[rows_count].object, stmt);
		json_array_append_new(list, rows[rows_count++].object);
		at += known;
	}
	for (; at < count; at++)
		json_array_append_new(list, dag_object(facts[at].name, &facts[at]));
	*rows_out = rows;
	*rows_count_out = rows_count;
	return rc;
}

int view_dags(struct store *store, const struct view_dag_facts *facts, size_t count, int runs, json_t **out,
	      struct err *err)
{
	autojson json_t *answer = json_object();
	autofree struct row *rows = NULL;
	json_t *list = json_array();
	size_t rows_count = 0;
	int rc = view_begin(store, err);

	json_object_set_new(answer, "dags", list);
	if (rc < 0)
		return rc;
	rc = read_rows(store, facts, count, list, &rows, &rows_count, err);
	for (size_t i = 0; rc == 0 && i < rows_count; i++)
		rc = add_history(store, rows[i].id, runs, rows[i].object, err);
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
						      view_string(param->name), "type", type_names[param->type], "default",
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
						      after_names[dag->after[i].state], "within_ms",
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

static int no_such_dag(struct store *store, const char *name, struct err *err)
{
	__attribute__((cleanup(arena_fini))) struct arena arena = { 0 };
	struct suggest near = suggest_for(name);
	sqlite3_stmt *stmt = store_statement(store, STMT_view_dag_names);

	while (view_next(store, stmt, err) == 1)
		suggest_offer(&near, arena_strdup(&arena, view_text(stmt, 0)), NULL);
	if (suggest_best(&near) != NULL)
		return err_set(err, ERR_NOT_FOUND, "there is no DAG called %s; did you mean %s?", name,
			       suggest_best(&near));
	return err_set(err, ERR_NOT_FOUND, "there is no DAG called %s", name);
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
		if (object != NULL)
			set_paused(object, stmt);
		sqlite3_reset(stmt);
	}
	return rc < 0 ? rc : 0;
}

int view_dag(struct store *store, const char *name, const struct view_dag_facts *facts, int runs, json_t **out,
	     struct err *err)
{
	autojson json_t *object = dag_object(name, facts);
	autodag struct dag *last = NULL;
	int64_t id;
	int rc = view_begin(store, err);

	if (rc == 0)
		rc = read_dag_row(store, name, object, &id, err);
	if (rc == 0 && id == 0 && facts == NULL)
		rc = no_such_dag(store, name, err);
	if (rc == 0 && id != 0)
		rc = add_history(store, id, runs, object, err);
	if (rc == 0 && id != 0 && (facts == NULL || facts->dag == NULL))
		rc = read_last_version(store, id, &last, err);
	view_end(store);
	if (rc < 0)
		return rc;
	add_definition(object, facts != NULL && facts->dag != NULL ? facts->dag : last);
	*out = take(object);
	return 0;
}

/* --- the ledger ------------------------------------------------------------------------------------------- */

/* Of several schedules, by their due times. */
struct occurrence {
	int64_t due_wall_ms;
	json_t *object;
};

struct occurrences {
	struct occurrence *items;
	size_t count, room;
};

static json_t *occurrence_object(sqlite3_stmt *stmt, const char *dag, const char *cron, const char *zone)
{
	json_t *object = json_object();

	view_set_text(object, "cron", cron);
	view_set_text(object, "timezone", zone);
	view_set_time(object, "due", sqlite3_column_int64(stmt, 0));
	view_set_text(object, "nominal", view_text(stmt, 1));
	view_set_word(object, "mark", view_text(stmt, 2));
	view_set_text(object, "state", view_text(stmt, 3));
	view_set_word(object, "reason", view_text(stmt, 4));
	json_object_set_new(object, "run",
			    sqlite3_column_type(stmt, 7) == SQLITE_NULL
				    ? json_null()
				    : json_sprintf("%s/%" JSON_INTEGER_FORMAT, dag,
						   (json_int_t)sqlite3_column_int64(stmt, 7)));
	view_set_time(object, "decided", sqlite3_column_int64(stmt, 5));
	view_set_text(object, "detail", view_text(stmt, 6));
	return object;
}

static int read_occurrences(struct store *store, const struct view_ledger *wanted, int64_t schedule,
			    const char *cron, const char *zone, struct occurrences *out, struct err *err)
{
	sqlite3_stmt *stmt = store_statement(store, STMT_web_occurrences);
	int rc;

	sqlite3_bind_int64(stmt, 1, schedule);
	sqlite3_bind_int64(stmt, 2, wanted->before_wall_ms == 0 ? INT64_MAX : wanted->before_wall_ms);
	sqlite3_bind_int64(stmt, 3, wanted->from_wall_ms);
	sqlite3_bind_int(stmt, 4, wanted->limit + 1);
	while ((rc = view_next(store, stmt, err)) == 1) {
		mem_grow(&out->items, &out->room, out->count, sizeof *out->items);
		out->items[out->count++] =
			(struct occurrence){ sqlite3_column_int64(stmt, 0),
					     occurrence_object(stmt, wanted->dag, cron, zone) };
	}
	return rc;
}

static int newest_first(const void *a, const void *b)
{
	int64_t left = ((const struct occurrence *)a)->due_wall_ms, right = ((const struct occurrence *)b)->due_wall_ms;

	return left < right ? 1 : left > right ? -1 : 0;
}

static int read_schedules(struct store *store, const struct view_ledger *wanted, int64_t dag,
			  struct occurrences *out, struct err *err)
{
	sqlite3_stmt *stmt = store_statement(store, STMT_web_schedules);
	int rc;

	sqlite3_bind_int64(stmt, 1, dag);
	while ((rc = view_next(store, stmt, err)) == 1)
		if (read_occurrences(store, wanted, sqlite3_column_int64(stmt, 0), view_text(stmt, 1),
				     view_text(stmt, 2), out, err) < 0) {
			sqlite3_reset(stmt);
			return err->code;
		}
	return rc;
}

/* Two schedules of a DAG may be due at the same moment: a page never ends between them. */
static json_t *cut_page(struct occurrences *all, size_t limit, json_t **next_out)
{
	json_t *list = json_array();
	size_t n = 0;

	if (all->count > 1)
		qsort(all->items, all->count, sizeof *all->items, newest_first);
	while (n < all->count && (n < limit || all->items[n].due_wall_ms == all->items[n - 1].due_wall_ms))
		json_array_append(list, all->items[n++].object);
	*next_out = n < all->count ? json_integer(all->items[n - 1].due_wall_ms) : json_null();
	for (size_t i = 0; i < all->count; i++)
		json_decref(all->items[i].object);
	free(all->items);
	return list;
}

int view_ledger(struct store *store, const struct view_ledger *wanted, json_t **out, struct err *err)
{
	struct view_ledger bounded = *wanted;
	struct occurrences all = { 0 };
	json_t *list, *next;
	int64_t dag;
	int rc = view_begin(store, err);

	bounded.limit = wanted->limit < 1 ? 1 : wanted->limit > OCCURRENCES_MAX ? OCCURRENCES_MAX : wanted->limit;
	if (rc == 0)
		rc = read_dag_row(store, wanted->dag, NULL, &dag, err);
	if (rc == 0 && dag != 0)
		rc = read_schedules(store, &bounded, dag, &all, err);
	view_end(store);
	list = cut_page(&all, (size_t)bounded.limit, &next);
	if (rc < 0) {
		json_decref(list);
		json_decref(next);
		return rc;
	}
	*out = json_pack("{s:o, s:o, s:o}", "dag", view_string(wanted->dag), "occurrences", list, "next", next);
	return 0;
}
