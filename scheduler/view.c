#include "scheduler/view.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "common/mem.h"
#include "common/scope.h"
#include "dag/diagnostic.h"
#include "dag/suggest.h"
#include "scheduler/owner.h"
#include "scheduler/view_rows.h"

/* --- runs ----------------------------------------------------------------------------------------------- */

static json_t *object_or_empty(const char *text)
{
	json_t *object = json_loads(text, 0, NULL);

	if (json_is_object(object))
		return object;
	json_decref(object);
	return json_object();
}

static bool is_open(const char *state)
{
	return strcmp(state, run_states[RUN_QUEUED].name) == 0 ||
	       strcmp(state, run_states[RUN_RUNNING].name) == 0;
}

bool view_is_orphaned(const struct store *store, const char *dag, uint64_t number, const char *state)
{
	return store->home != NULL && is_open(state) && !owner_is_alive(store->home, dag, number, NULL);
}

json_t *view_run_object(const struct store *store, sqlite3_stmt *stmt)
{
	json_t *run = json_object();
	const char *dag = view_text(stmt, 1);
	uint64_t number = (uint64_t)sqlite3_column_int64(stmt, 2);
	autofree char *name = mem_printf("%s/%" PRIu64, dag, number);

	view_set_text(run, "run", name);
	view_set_text(run, "dag", dag);
	view_set_number(run, "number", (int64_t)number);
	view_set_text(run, "state", view_text(stmt, 3));
	view_set_word(run, "reason", view_text(stmt, 4));
	view_set_text(run, "trigger", view_text(stmt, 5));
	view_set_text(run, "actor", view_text(stmt, 6));
	view_set_text(run, "origin", view_text(stmt, 7));
	json_object_set_new(run, "orphaned",
			    json_boolean(view_is_orphaned(store, dag, number, view_text(stmt, 3))));
	view_set_time(run, "created", sqlite3_column_int64(stmt, 9));
	view_set_time(run, "started", sqlite3_column_int64(stmt, 10));
	view_set_time(run, "ended", sqlite3_column_int64(stmt, 11));
	view_set_time(run, "scheduled_for", sqlite3_column_int64(stmt, 8));
	view_set_time(run, "cancel_requested", sqlite3_column_int64(stmt, 12));
	json_object_set_new(run, "params", object_or_empty(view_text(stmt, 13)));
	return run;
}

/* The statement for a page, bound. Of one DAG, pages are counted by number, else by id. */
static sqlite3_stmt *page_statement(struct store *store, const struct view_page *page, int limit)
{
	enum store_statement which = page->dag == NULL
					     ? page->state == NULL ? STMT_view_runs : STMT_view_runs_in_state
				     : page->state == NULL ? STMT_view_runs_of_dag
							   : STMT_view_runs_of_dag_in_state;
	sqlite3_stmt *stmt = store_statement(store, which);

	sqlite3_bind_int64(stmt, 1, page->before <= 0 ? INT64_MAX : page->before);
	sqlite3_bind_int(stmt, 2, limit);
	if (page->dag != NULL)
		sqlite3_bind_text(stmt, 3, page->dag, -1, SQLITE_STATIC);
	if (page->state != NULL)
		sqlite3_bind_text(stmt, page->dag == NULL ? 3 : 4, page->state, -1, SQLITE_STATIC);
	return stmt;
}

/* Appends the runs of a page to `list`; *next_out is where the page after it begins, 0: there is none. */
static int read_page(struct store *store, const struct view_page *page, json_t *list, int64_t *next_out,
		     struct err *err)
{
	int limit = view_clamp_limit(page->limit), count = 0, rc;
	sqlite3_stmt *stmt = page_statement(store, page, limit + 1);
	int64_t last = 0;

	*next_out = 0;
	while ((rc = view_next(store, stmt, err)) == 1) {
		if (count++ == limit) {
			*next_out = last;
			sqlite3_reset(stmt);
			return 0;
		}
		last = sqlite3_column_int64(stmt, page->dag == NULL ? 0 : 2);
		json_array_append_new(list, view_run_object(store, stmt));
	}
	return rc;
}

static int check_state(const char *state, struct err *err)
{
	struct suggest suggest = suggest_for(state);
	const char *best;

	if (machine_find(run_states, RUN_STATES, state) >= 0)
		return 0;
	for (size_t i = 0; i < RUN_STATES; i++)
		suggest_offer(&suggest, run_states[i].name, NULL);
	best = suggest_best(&suggest);
	return err_set(err, ERR_INVALID,
		       "no run is ever '%s'; states are queued, running, succeeded, failed, canceled%s%s%s",
		       state, best == NULL ? "" : "; did you mean ", best == NULL ? "" : best,
		       best == NULL ? "" : "?");
}

int view_runs(struct store *store, const struct view_page *page, json_t **out, struct err *err)
{
	autojson json_t *answer = json_object();
	json_t *list = json_array();
	int64_t next = 0;
	int rc = page->state == NULL ? 0 : check_state(page->state, err);

	json_object_set_new(answer, "runs", list);
	if (rc == 0)
		rc = read_page(store, page, list, &next, err);
	if (rc == 0 && page->dag != NULL && json_array_size(list) == 0)
		rc = view_find_dag(store, page->dag, err);
	if (rc < 0)
		return rc;
	json_object_set_new(answer, "next", next == 0 ? json_null() : json_integer(next));
	*out = take(answer);
	return 0;
}

/* --- what goes on --------------------------------------------------------------------------------------- */

static bool is_busy(const char *state)
{
	int found = machine_find(task_states, TASK_STATES, state);

	return found >= TASK_STARTING && found <= TASK_RETRYING;
}

static int count_tasks(struct store *store, uint64_t run, int limit, json_t **out, struct err *err)
{
	sqlite3_stmt *stmt = store_statement(store, STMT_view_task_names);
	autojson json_t *tasks = json_object();
	json_t *busy = json_array(), *by_state = json_object();
	int64_t counts[TASK_STATES] = { 0 };
	int rc;

	json_object_set_new(tasks, "counts", by_state);
	json_object_set_new(tasks, "busy", busy);
	sqlite3_bind_int64(stmt, 1, (int64_t)run);
	while ((rc = view_next(store, stmt, err)) == 1) {
		int state = machine_find(task_states, TASK_STATES, view_text(stmt, 2));

		if (state >= 0)
			counts[state]++;
		if (is_busy(view_text(stmt, 2)) && json_array_size(busy) < (size_t)limit)
			json_array_append_new(busy, view_string(view_text(stmt, 1)));
	}
	if (rc < 0)
		return rc;
	for (size_t i = 0; i < TASK_STATES; i++)
		if (counts[i] > 0)
			view_set_number(by_state, task_states[i].name, counts[i]);
	*out = take(tasks);
	return 0;
}

static int add_counts(struct store *store, json_t *active, int limit, struct err *err)
{
	size_t i;
	json_t *run;

	json_array_foreach(active, i, run)
	{
		json_t *tasks = NULL;
		uint64_t id;
		int rc = store_find_run(store, json_string_value(json_object_get(run, "run")), &id, err);

		if (rc == 0)
			rc = count_tasks(store, id, limit, &tasks, err);
		if (rc < 0)
			return rc;
		json_object_set_new(run, "tasks", tasks);
	}
	return 0;
}

/* The newest runs of all, without the active ones. */
static int read_latest(struct store *store, int limit, json_t *latest, struct err *err)
{
	const struct view_page page = { .limit = limit };
	autojson json_t *runs = json_array();
	int64_t next;
	int rc = read_page(store, &page, runs, &next, err);
	size_t i;
	json_t *run;

	json_array_foreach(runs, i, run) if (!is_open(json_string_value(json_object_get(run, "state"))))
		json_array_append(latest, run);
	return rc;
}

int view_status(struct store *store, int limit, json_t **out, struct err *err)
{
	struct view_page running = { .state = "running", .limit = limit },
			 queued = { .state = "queued", .limit = limit };
	autojson json_t *answer = json_object();
	json_t *active = json_array(), *latest = json_array();
	int64_t next;
	int rc = view_begin(store, err);

	json_object_set_new(answer, "active", active);
	json_object_set_new(answer, "latest", latest);
	if (rc < 0)
		return rc;
	rc = read_page(store, &running, active, &next, err);
	if (rc == 0)
		rc = read_page(store, &queued, active, &next, err);
	if (rc == 0)
		rc = add_counts(store, active, limit, err);
	if (rc == 0)
		rc = read_latest(store, limit, latest, err);
	view_end(store);
	if (rc == 0)
		*out = take(answer);
	return rc;
}

/* --- one run -------------------------------------------------------------------------------------------- */

static int read_run(struct store *store, uint64_t id, json_t **out, struct err *err)
{
	sqlite3_stmt *stmt = store_statement(store, STMT_view_run);
	int rc;

	sqlite3_bind_int64(stmt, 1, (int64_t)id);
	rc = view_next(store, stmt, err);
	if (rc < 0)
		return rc;
	if (rc == 0)
		return err_set(err, ERR_NOT_FOUND, "there is no run with the id %" PRIu64, id);
	*out = view_run_object(store, stmt);
	sqlite3_reset(stmt);
	return 0;
}

int view_run_alone(struct store *store, uint64_t run, json_t **out, struct err *err)
{
	return read_run(store, run, out, err);
}

/* The DAG as it was when the run was made; NULL when this stoker cannot read it any more. */
static int read_dag(struct store *store, uint64_t run, struct dag **out, struct err *err)
{
	autodiagnostics struct diagnostics diagnostics;
	sqlite3_stmt *stmt = store_statement(store, STMT_view_dag_text);
	int rc;

	*out = NULL;
	sqlite3_bind_int64(stmt, 1, (int64_t)run);
	diagnostics_init(&diagnostics);
	rc = view_next(store, stmt, err);
	if (rc <= 0)
		return rc;
	dag_parse(view_text(stmt, 0), view_text(stmt, 1), (size_t)sqlite3_column_bytes(stmt, 1), out,
		  &diagnostics);
	sqlite3_reset(stmt);
	return 0;
}

static json_t *needs_of(const struct dag *dag, size_t step)
{
	json_t *needs;

	if (dag == NULL || step >= dag->steps_count)
		return json_null();
	needs = json_array();
	for (size_t i = 0; i < dag->steps[step].needs_count; i++)
		json_array_append_new(needs, view_string(dag->steps[dag->steps[step].needs[i]].name));
	return needs;
}

static json_t *task_object(sqlite3_stmt *stmt, const struct dag *dag)
{
	json_t *task = json_object(), *metric = NULL;

	if (sqlite3_column_type(stmt, 8) != SQLITE_NULL)
		metric = json_loads(view_text(stmt, 8), 0, NULL);
	view_set_text(task, "task", view_text(stmt, 1));
	view_set_text(task, "state", view_text(stmt, 2));
	view_set_word(task, "reason", view_text(stmt, 3));
	view_set_text(task, "message", view_text(stmt, 4));
	json_object_set_new(task, "needs", needs_of(dag, (size_t)sqlite3_column_int64(stmt, 0)));
	view_set_time(task, "started", sqlite3_column_int64(stmt, 5));
	view_set_time(task, "ended", sqlite3_column_int64(stmt, 6));
	/* The row keeps the time of its last wait; it means something only while it waits. */
	view_set_time(task, "not_before",
		      strcmp(view_text(stmt, 2), task_states[TASK_RETRYING].name) == 0
			      ? sqlite3_column_int64(stmt, 7)
			      : 0);
	json_object_set_new(task, "attempts", json_array());
	json_object_set_new(task, "outputs", json_object());
	json_object_set_new(task, "metric", metric == NULL ? json_null() : metric);
	return task;
}

static json_t *attempt_object(sqlite3_stmt *stmt)
{
	json_t *attempt = json_object();
	int64_t signal = sqlite3_column_int64(stmt, 5);

	view_set_number(attempt, "number", sqlite3_column_int64(stmt, 1));
	view_set_text(attempt, "state", view_text(stmt, 2));
	view_set_word(attempt, "reason", view_text(stmt, 3));
	json_object_set_new(attempt, "exit_code",
			    sqlite3_column_type(stmt, 4) == SQLITE_NULL
				    ? json_null()
				    : json_integer(sqlite3_column_int64(stmt, 4)));
	json_object_set_new(attempt, "signal", signal == 0 ? json_null() : json_integer(signal));
	view_set_text(attempt, "worker", view_text(stmt, 6));
	view_set_number(attempt, "fence", sqlite3_column_int64(stmt, 7));
	view_set_time(attempt, "started", sqlite3_column_int64(stmt, 8));
	view_set_time(attempt, "ended", sqlite3_column_int64(stmt, 9));
	view_set_time(attempt, "unreachable_since", sqlite3_column_int64(stmt, 10));
	view_set_word(attempt, "resumed_from", view_text(stmt, 11));
	view_set_number(attempt, "cpu_ms", sqlite3_column_int64(stmt, 12));
	view_set_number(attempt, "rss_peak_bytes", sqlite3_column_int64(stmt, 13));
	view_set_number(attempt, "log_bytes", sqlite3_column_int64(stmt, 14));
	view_set_number(attempt, "log_dropped_bytes", sqlite3_column_int64(stmt, 15));
	view_set_text(attempt, "message", view_text(stmt, 16));
	return attempt;
}

static int read_tasks(struct store *store, uint64_t run, const struct dag *dag, json_t *tasks,
		      struct err *err)
{
	sqlite3_stmt *stmt = store_statement(store, STMT_view_tasks);
	int rc;

	sqlite3_bind_int64(stmt, 1, (int64_t)run);
	while ((rc = view_next(store, stmt, err)) == 1)
		json_array_append_new(tasks, task_object(stmt, dag));
	return rc;
}

static void add_attempt(json_t *task, sqlite3_stmt *stmt)
{
	json_array_append_new(json_object_get(task, "attempts"), attempt_object(stmt));
}

static void add_output(json_t *task, sqlite3_stmt *stmt)
{
	json_object_set_new(json_object_get(task, "outputs"), view_text(stmt, 1),
			    view_string(view_text(stmt, 2)));
}

/* Rows that belong to tasks. Steps are numbered without gaps, so a step's number is its place in the list. */
static int read_of_tasks(struct store *store, enum store_statement which, uint64_t run, json_t *tasks,
			 void (*add)(json_t *task, sqlite3_stmt *stmt), struct err *err)
{
	sqlite3_stmt *stmt = store_statement(store, which);
	int rc;

	sqlite3_bind_int64(stmt, 1, (int64_t)run);
	while ((rc = view_next(store, stmt, err)) == 1)
		add(json_array_get(tasks, (size_t)sqlite3_column_int64(stmt, 0)), stmt);
	return rc;
}

int view_run(struct store *store, uint64_t id, json_t **out, struct err *err)
{
	autojson json_t *run = NULL;
	autodag struct dag *dag = NULL;
	json_t *tasks = json_array();
	int rc = view_begin(store, err);

	if (rc == 0)
		rc = read_run(store, id, &run, err);
	if (rc == 0)
		rc = read_dag(store, id, &dag, err);
	if (rc == 0)
		rc = read_tasks(store, id, dag, tasks, err);
	if (rc == 0)
		rc = read_of_tasks(store, STMT_view_attempts, id, tasks, add_attempt, err);
	if (rc == 0)
		rc = read_of_tasks(store, STMT_load_outputs, id, tasks, add_output, err);
	view_end(store);
	if (rc < 0) {
		json_decref(tasks);
		return rc;
	}
	json_object_set_new(run, "tasks", tasks);
	*out = take(run);
	return 0;
}

/* --- one task ------------------------------------------------------------------------------------------- */

/* The names of a run and of one of its steps, for the head of an answer. */
static int set_names(struct store *store, uint64_t run, uint32_t step, json_t *answer, struct err *err)
{
	autojson json_t *row = NULL;
	sqlite3_stmt *stmt = store_statement(store, STMT_view_task_state);
	int rc = read_run(store, run, &row, err);

	if (rc < 0)
		return rc;
	sqlite3_bind_int64(stmt, 1, (int64_t)run);
	sqlite3_bind_int64(stmt, 2, step);
	rc = view_next(store, stmt, err);
	if (rc == 0)
		return err_set(err, ERR_NOT_FOUND, "the run has no task %" PRIu32, step);
	if (rc < 0)
		return rc;
	json_object_set(answer, "run", json_object_get(row, "run"));
	view_set_text(answer, "task", view_text(stmt, 0));
	sqlite3_reset(stmt);
	return 0;
}

/* Rows that belong to this task, bound by run and step. */
static int read_of_task(struct store *store, enum store_statement which, uint64_t run, uint32_t step, json_t *task,
			void (*add)(json_t *task, sqlite3_stmt *stmt), struct err *err)
{
	sqlite3_stmt *stmt = store_statement(store, which);
	int rc;

	sqlite3_bind_int64(stmt, 1, (int64_t)run);
	sqlite3_bind_int64(stmt, 2, step);
	while ((rc = view_next(store, stmt, err)) == 1)
		add(task, stmt);
	return rc;
}

static int read_task(struct store *store, uint64_t run, uint32_t step, const struct dag *dag, json_t *answer,
		     struct err *err)
{
	sqlite3_stmt *stmt = store_statement(store, STMT_web_task);
	autojson json_t *task = NULL;
	int rc;

	sqlite3_bind_int64(stmt, 1, (int64_t)run);
	sqlite3_bind_int64(stmt, 2, step);
	rc = view_next(store, stmt, err);
	if (rc != 1)
		return rc < 0 ? rc : err_set(err, ERR_NOT_FOUND, "the run has no task %" PRIu32, step);
	task = task_object(stmt, dag);
	sqlite3_reset(stmt);
	json_object_update(answer, task);
	rc = read_of_task(store, STMT_web_task_attempts, run, step, answer, add_attempt, err);
	return rc < 0 ? rc : read_of_task(store, STMT_web_task_outputs, run, step, answer, add_output, err);
}

int view_task(struct store *store, uint64_t run, uint32_t step, json_t **out, struct err *err)
{
	autojson json_t *answer = json_object();
	autodag struct dag *dag = NULL;
	int rc = view_begin(store, err);

	if (rc == 0)
		rc = set_names(store, run, step, answer, err);
	if (rc == 0)
		rc = read_dag(store, run, &dag, err);
	if (rc == 0)
		rc = read_task(store, run, step, dag, answer, err);
	view_end(store);
	if (rc == 0)
		*out = take(answer);
	return rc;
}

/* The file's name is of paths.h: `of` has the names of run and task. */
static json_t *copy_object(const struct store *store, sqlite3_stmt *stmt, const json_t *of)
{
	json_t *copy;

	if (view_text(stmt, 13)[0] == '\0')
		return json_null();
	copy = json_object();
	json_object_set_new(copy, "path",
			    json_sprintf("%s/checkpoints/%s/%s.%d", store->home == NULL ? "" : store->home,
					 json_string_value(json_object_get(of, "run")),
					 json_string_value(json_object_get(of, "task")),
					 sqlite3_column_int(stmt, 0)));
	view_set_number(copy, "bytes", sqlite3_column_int64(stmt, 14));
	return copy;
}

static json_t *checkpoint_object(const struct store *store, sqlite3_stmt *stmt, const json_t *of)
{
	json_t *checkpoint = json_object();
	int64_t at_step = sqlite3_column_int64(stmt, 2);

	view_set_number(checkpoint, "seq", sqlite3_column_int64(stmt, 0));
	view_set_text(checkpoint, "name", view_text(stmt, 1));
	json_object_set_new(checkpoint, "step", at_step < 0 ? json_null() : json_integer(at_step));
	view_set_number(checkpoint, "bytes", sqlite3_column_int64(stmt, 3));
	view_set_text(checkpoint, "digest", view_text(stmt, 4));
	view_set_text(checkpoint, "format", view_text(stmt, 5));
	view_set_number(checkpoint, "attempt", sqlite3_column_int64(stmt, 6));
	view_set_text(checkpoint, "state", view_text(stmt, 7));
	view_set_number(checkpoint, "deaths", sqlite3_column_int64(stmt, 8));
	view_set_time(checkpoint, "created", sqlite3_column_int64(stmt, 9));
	view_set_text(checkpoint, "message", view_text(stmt, 10));
	view_set_text(checkpoint, "worker", view_text(stmt, 11));
	json_object_set_new(checkpoint, "brought",
			    view_text(stmt, 12)[0] == '\0' ? json_null() : view_string(view_text(stmt, 12)));
	json_object_set_new(checkpoint, "copy", copy_object(store, stmt, of));
	return checkpoint;
}

const char *view_last_metric(struct store *store, uint64_t run, uint32_t step, struct arena *arena)
{
	sqlite3_stmt *stmt = store_statement(store, STMT_view_last_metric);
	const char *json = NULL;

	sqlite3_bind_int64(stmt, 1, (int64_t)run);
	sqlite3_bind_int64(stmt, 2, step);
	if (view_next(store, stmt, NULL) == 1)
		json = arena_strdup(arena, view_text(stmt, 0));
	sqlite3_reset(stmt);
	return json;
}

int view_checkpoints(struct store *store, uint64_t run, uint32_t step, int limit, json_t **out,
		     struct err *err)
{
	sqlite3_stmt *stmt = store_statement(store, STMT_view_checkpoints);
	autojson json_t *answer = json_object();
	json_t *list = json_array();
	int rc = set_names(store, run, step, answer, err);

	json_object_set_new(answer, "checkpoints", list);
	if (rc < 0)
		return rc;
	sqlite3_bind_int64(stmt, 1, (int64_t)run);
	sqlite3_bind_int64(stmt, 2, step);
	sqlite3_bind_int(stmt, 3, view_clamp_limit(limit));
	while ((rc = view_next(store, stmt, err)) == 1)
		json_array_append_new(list, checkpoint_object(store, stmt, answer));
	if (rc == 0)
		*out = take(answer);
	return rc;
}

static int read_task_state(struct store *store, uint64_t run, uint32_t step, enum task_state *out,
			   struct err *err)
{
	sqlite3_stmt *stmt = store_statement(store, STMT_view_task_state);
	int rc, state;

	sqlite3_bind_int64(stmt, 1, (int64_t)run);
	sqlite3_bind_int64(stmt, 2, step);
	rc = view_next(store, stmt, err);
	if (rc == 0)
		return err_set(err, ERR_NOT_FOUND, "the run has no task %" PRIu32, step);
	if (rc < 0)
		return rc;
	state = machine_find(task_states, TASK_STATES, view_text(stmt, 1));
	sqlite3_reset(stmt);
	if (state < 0)
		return err_set(err, ERR_VERSION, "the database holds a state that this stoker does not know");
	*out = (enum task_state)state;
	return 0;
}

int view_attempt(struct store *store, uint64_t run, uint32_t step, uint32_t number, struct view_attempt *out,
		 struct err *err)
{
	sqlite3_stmt *stmt = store_statement(store, STMT_view_attempt);
	struct view_attempt attempt = { 0 };
	int rc, state;

	sqlite3_bind_int64(stmt, 1, (int64_t)run);
	sqlite3_bind_int64(stmt, 2, step);
	sqlite3_bind_int64(stmt, 3, number);
	rc = view_next(store, stmt, err);
	if (rc == 1) {
		attempt.number = (uint32_t)sqlite3_column_int64(stmt, 0);
		state = machine_find(attempt_states, ATTEMPT_STATES, view_text(stmt, 1));
		attempt.state = state < 0 ? ATTEMPT_INTENDED : (enum attempt_state)state;
		attempt.log_bytes = (uint64_t)sqlite3_column_int64(stmt, 2);
		attempt.log_dropped_bytes = (uint64_t)sqlite3_column_int64(stmt, 3);
		attempt.log_removed = sqlite3_column_int(stmt, 5) != 0;
		sqlite3_reset(stmt);
	}
	if (rc >= 0)
		rc = read_task_state(store, run, step, &attempt.task_state, err);
	if (rc < 0)
		return rc;
	if (attempt.number == 0 && number != 0)
		return err_set(err, ERR_NOT_FOUND, "there is no attempt %" PRIu32, number);
	*out = attempt;
	return 0;
}
