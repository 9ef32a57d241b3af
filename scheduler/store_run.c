#include "scheduler/store_parts.h"

#include <inttypes.h>
#include <jansson.h>
#include <stdlib.h>
#include <string.h>

#include "dag/diagnostic.h"
#include "scheduler/store_queue.h"

/* --- making a run --------------------------------------------------------------------------------------- */

static int next_number(struct store *store, const char *dag, int64_t *id_out, uint64_t *number_out,
		       struct err *err)
{
	sqlite3_stmt *stmt = store_statement(store, STMT_next_number);
	int rc;

	store_bind_text(stmt, 1, dag);
	rc = store_step_row(store, stmt, "make a run", err);
	if (rc < 0)
		return rc;
	*id_out = sqlite3_column_int64(stmt, 0);
	*number_out = (uint64_t)sqlite3_column_int64(stmt, 1);
	sqlite3_reset(stmt);
	return 0;
}

/* Where the snapshot is still to be taken from; "": nowhere. */
static const char *source_folder(const struct store_new_run *new_run, struct arena *arena)
{
	const struct dag *dag = new_run->dag;

	if (dag->source == NULL || (new_run->source != NULL && new_run->source[0] != '\0'))
		return "";
	return dag->source[0] == '/' ? dag->source : arena_printf(arena, "%s/%s", dag->dir, dag->source);
}

static int add_run(struct store *store, const struct store_new_run *new_run, int64_t dag, uint64_t number,
		   int64_t version, uint64_t *id_out, struct err *err)
{
	__attribute__((cleanup(arena_fini))) struct arena arena = { 0 };
	sqlite3_stmt *stmt = store_statement(store, STMT_add_run);
	int rc;

	sqlite3_bind_int64(stmt, 1, dag);
	sqlite3_bind_int64(stmt, 2, (int64_t)number);
	sqlite3_bind_int64(stmt, 3, version);
	store_bind_text(stmt, 4, new_run->trigger);
	store_bind_text(stmt, 5, new_run->actor);
	store_bind_text(stmt, 6, new_run->origin);
	sqlite3_bind_int64(stmt, 7, new_run->scheduled_for_wall_ms);
	sqlite3_bind_int64(stmt, 8, new_run->wall_ms);
	store_bind_text(stmt, 9, new_run->params);
	store_bind_text(stmt, 10, new_run->source);
	sqlite3_bind_int64(stmt, 11, (int64_t)new_run->source_bytes);
	sqlite3_bind_int64(stmt, 12, new_run->dag->priority);
	sqlite3_bind_int64(stmt, 13, new_run->dag->max_active_runs);
	store_bind_text(stmt, 14, source_folder(new_run, &arena));
	store_bind_text(stmt, 15, new_run->at_once ? "" : store_after_text(new_run->dag, &arena));
	rc = store_step_row(store, stmt, "make a run", err);
	if (rc < 0)
		return rc;
	*id_out = (uint64_t)sqlite3_column_int64(stmt, 0);
	sqlite3_reset(stmt);
	return 0;
}

/* What nothing is needed for is ready from the start; the core would only say the same in a second write. */
static int add_tasks(struct store *store, const struct dag *dag, uint64_t run, struct err *err)
{
	for (size_t i = 0; i < dag->steps_count; i++) {
		sqlite3_stmt *stmt = store_statement(store, STMT_add_task);
		const struct dag_step *step = &dag->steps[i];
		enum task_state state = step->needs_count == 0 ? TASK_READY : TASK_WAITING;
		int rc;

		sqlite3_bind_int64(stmt, 1, (int64_t)run);
		sqlite3_bind_int64(stmt, 2, (int64_t)i);
		store_bind_text(stmt, 3, step->name);
		store_bind_text(stmt, 4, task_states[state].name);
		store_bind_text(stmt, 5, step->pool);
		store_bind_text(stmt, 6, step->worker);
		sqlite3_bind_int64(stmt, 7, step->resources.cpus_milli);
		sqlite3_bind_int64(stmt, 8, step->resources.memory_bytes);
		sqlite3_bind_int64(stmt, 9, step->resources.gpus);
		rc = store_step_done(store, stmt, "make a run", err);
		if (rc < 0)
			return rc;
	}
	return 0;
}

static int add_submitted(struct store *store, const struct store_new_run *new_run, uint64_t run,
			 struct err *err)
{
	return store_put_event(store, run, "run.submitted", new_run->actor, new_run->origin, new_run->params,
			       new_run->wall_ms, err);
}

int store_put_version(struct store *store, const struct dag *dag, int64_t dag_id, int64_t wall_ms,
		      int64_t *id_out, struct err *err)
{
	sqlite3_stmt *stmt = store_statement(store, STMT_put_dag_version);
	int rc;

	sqlite3_bind_int64(stmt, 1, dag_id);
	store_bind_text(stmt, 2, dag->digest);
	store_bind_text(stmt, 3, dag->path);
	sqlite3_bind_text(stmt, 4, dag->text, (int)dag->text_bytes, SQLITE_STATIC);
	sqlite3_bind_int64(stmt, 5, wall_ms);
	rc = store_step_row(store, stmt, "keep a version of a DAG", err);
	if (rc < 0)
		return rc;
	*id_out = sqlite3_column_int64(stmt, 0);
	sqlite3_reset(stmt);
	return 0;
}

int store_create_run(struct store *store, const struct store_new_run *new_run, uint64_t *run_out,
		     struct err *err)
{
	int64_t dag, version;
	uint64_t number;
	int rc = store_begin(store, err);

	if (rc < 0)
		return rc;
	rc = next_number(store, new_run->dag->name, &dag, &number, err);
	if (rc == 0)
		rc = store_put_version(store, new_run->dag, dag, new_run->wall_ms, &version, err);
	if (rc == 0)
		rc = add_run(store, new_run, dag, number, version, run_out, err);
	if (rc == 0)
		rc = add_tasks(store, new_run->dag, *run_out, err);
	if (rc == 0)
		rc = add_submitted(store, new_run, *run_out, err);
	if (rc == 0 && new_run->before_commit != NULL)
		rc = new_run->before_commit(new_run->context, new_run->dag->name, number, err);
	return rc < 0 ? store_undo(store, rc) : store_commit(store, err);
}

/* It was valid when it was stored, so anything else is damage or a newer language. */
int store_parse_dag(const char *path, const char *text, size_t bytes, struct dag **out, struct err *err)
{
	struct diagnostics diagnostics;
	int rc;

	diagnostics_init(&diagnostics);
	rc = dag_parse(path, text, bytes, out, &diagnostics);
	if (rc < 0)
		rc = err_set(err, ERR_CORRUPT, "the stored version of %s does not validate: line %u: %s",
			     path, diagnostics.count > 0 ? diagnostics.items[0].at.line : 0,
			     diagnostics.count > 0 ? diagnostics.items[0].message : "?");
	diagnostics_fini(&diagnostics);
	return rc;
}

/* --- loading it for the core ---------------------------------------------------------------------------- */

static enum reason reason_of(const char *name)
{
	for (int i = 0; i < REASONS; i++)
		if (strcmp(reason_names[i], name) == 0)
			return (enum reason)i;
	return REASON_NONE;
}

static int state_of(const struct machine_state *table, unsigned count, sqlite3_stmt *stmt, int column)
{
	int state = machine_find(table, count, (const char *)sqlite3_column_text(stmt, column));

	return state < 0 ? 0 : state;
}

static int load_params(struct run *run, struct err *err)
{
	json_t *values = json_loads(run->row.params, 0, NULL);
	int rc = 0;

	run->values = arena_alloc(&run->arena, (run->dag->params_count + 1) * sizeof *run->values);
	for (size_t i = 0; i < run->dag->params_count; i++) {
		const char *value = json_string_value(json_object_get(values, run->dag->params[i].name));

		if (value == NULL)
			rc = err_set(err, ERR_CORRUPT, "the stored run has no value for parameter '%s'",
				     run->dag->params[i].name);
		else
			run->values[i] = arena_strdup(&run->arena, value);
	}
	json_decref(values);
	return rc;
}

static int load_run_row(struct store *store, uint64_t id, struct run **run_out, struct err *err)
{
	sqlite3_stmt *stmt = store_statement(store, STMT_load_run);
	struct run_row row = { .id = id };
	struct arena arena;
	struct dag *dag;
	int rc;

	sqlite3_bind_int64(stmt, 1, (int64_t)id);
	rc = store_step_row(store, stmt, "load a run", err);
	if (rc <= 0)
		return rc < 0 ? rc : err_set(err, ERR_NOT_FOUND, "there is no run with id %" PRIu64, id);
	arena_init(&arena);
	row.dag = store_column_text(stmt, 0, &arena);
	row.number = (uint64_t)sqlite3_column_int64(stmt, 1);
	row.dag_version = (uint64_t)sqlite3_column_int64(stmt, 2);
	row.state = (enum run_state)state_of(run_states, RUN_STATES, stmt, 3);
	row.reason = reason_of((const char *)sqlite3_column_text(stmt, 4));
	row.trigger = store_column_text(stmt, 5, &arena);
	row.actor = store_column_text(stmt, 6, &arena);
	row.origin = store_column_text(stmt, 7, &arena);
	row.scheduled_for_wall_ms = sqlite3_column_int64(stmt, 8);
	row.created_wall_ms = sqlite3_column_int64(stmt, 9);
	row.started_wall_ms = sqlite3_column_int64(stmt, 10);
	row.ended_wall_ms = sqlite3_column_int64(stmt, 11);
	row.cancel_wall_ms = sqlite3_column_int64(stmt, 12);
	row.params = store_column_text(stmt, 13, &arena);
	rc = store_parse_dag((const char *)sqlite3_column_text(stmt, 14),
			     (const char *)sqlite3_column_text(stmt, 15),
			     (size_t)sqlite3_column_bytes(stmt, 15), &dag, err);
	row.source = store_column_text(stmt, 16, &arena);
	row.source_bytes = (uint64_t)sqlite3_column_int64(stmt, 17);
	sqlite3_reset(stmt);
	if (rc < 0) {
		arena_fini(&arena);
		return rc;
	}
	*run_out = run_new(dag, &row);
	(*run_out)->arena = arena;
	return load_params(*run_out, err);
}

static int load_tasks(struct store *store, struct run *run, struct err *err)
{
	sqlite3_stmt *stmt = store_statement(store, STMT_load_tasks);
	size_t count = 0;
	int rc;

	sqlite3_bind_int64(stmt, 1, (int64_t)run->row.id);
	while ((rc = store_step_row(store, stmt, "load tasks", err)) == 1) {
		int64_t step = sqlite3_column_int64(stmt, 0);
		struct task_row *row;

		if (step < 0 || (size_t)step >= run->dag->steps_count)
			continue;
		count++;
		row = &run->tasks[step].row;
		row->state = (enum task_state)state_of(task_states, TASK_STATES, stmt, 1);
		row->reason = reason_of((const char *)sqlite3_column_text(stmt, 2));
		row->attempts = (uint32_t)sqlite3_column_int64(stmt, 3);
		row->first_attempt = (uint32_t)sqlite3_column_int64(stmt, 4);
		row->failures = (uint32_t)sqlite3_column_int64(stmt, 5);
		row->machine_failures = (uint32_t)sqlite3_column_int64(stmt, 6);
		row->refound = (uint32_t)sqlite3_column_int64(stmt, 7);
		row->best_step = sqlite3_column_int64(stmt, 8);
		row->not_before_wall_ms = sqlite3_column_int64(stmt, 9);
		row->started_wall_ms = sqlite3_column_int64(stmt, 10);
		row->ended_wall_ms = sqlite3_column_int64(stmt, 11);
		if (sqlite3_column_bytes(stmt, 12) > 0)
			row->message = store_column_text(stmt, 12, &run->arena);
		row->ready_wall_ms = sqlite3_column_int64(stmt, 13);
	}
	if (rc < 0)
		return rc;
	return count == run->dag->steps_count
		       ? 0
		       : err_set(err, ERR_CORRUPT,
				 "run %s/%" PRIu64 " has %zu tasks stored, its DAG has %zu steps",
				 run->row.dag, run->row.number, count, run->dag->steps_count);
}

static int load_live_attempts(struct store *store, struct run *run, struct err *err)
{
	sqlite3_stmt *stmt = store_statement(store, STMT_load_live_attempts);
	int rc;

	sqlite3_bind_int64(stmt, 1, (int64_t)run->row.id);
	while ((rc = store_step_row(store, stmt, "load attempts", err)) == 1) {
		struct attempt_row row = { .exit_code = -1, .message = "" };

		row.id.run = run->row.id;
		row.id.task = (uint64_t)sqlite3_column_int64(stmt, 0);
		row.id.number = (uint32_t)sqlite3_column_int64(stmt, 1);
		row.state = (enum attempt_state)state_of(attempt_states, ATTEMPT_STATES, stmt, 2);
		row.reason = reason_of((const char *)sqlite3_column_text(stmt, 3));
		row.worker = store_column_text(stmt, 4, &run->arena);
		row.boot_id = store_column_text(stmt, 5, &run->arena);
		row.fence = (uint64_t)sqlite3_column_int64(stmt, 6);
		row.intended_wall_ms = sqlite3_column_int64(stmt, 7);
		row.started_wall_ms = sqlite3_column_int64(stmt, 8);
		row.unreachable_wall_ms = sqlite3_column_int64(stmt, 9);
		row.cpu_ms = sqlite3_column_int64(stmt, 10);
		row.rss_peak_bytes = sqlite3_column_int64(stmt, 11);
		row.journal_offset = (uint64_t)sqlite3_column_int64(stmt, 12);
		row.resumed_from = store_column_text(stmt, 13, &run->arena);
		row.devices = store_column_text(stmt, 14, &run->arena);
		row.began_seq = (uint32_t)sqlite3_column_int64(stmt, 15);
		if (row.id.task >= run->dag->steps_count || run->tasks[row.id.task].live != NULL) {
			sqlite3_reset(stmt);
			return err_set(err, ERR_CORRUPT,
				       "run %s/%" PRIu64 ": attempt %u of step %" PRIu64
				       " is stored beside another live one",
				       run->row.dag, run->row.number, row.id.number, row.id.task);
		}
		run_add_live(run, &row);
	}
	return rc;
}

static enum checkpoint_state checkpoint_state_of(const char *name)
{
	for (int i = 0; i < CHECKPOINT_STATES; i++)
		if (strcmp(checkpoint_state_names[i], name) == 0)
			return (enum checkpoint_state)i;
	return CHECKPOINT_IS_BROKEN;
}

static int load_checkpoints(struct store *store, struct run *run, struct err *err)
{
	sqlite3_stmt *stmt = store_statement(store, STMT_load_checkpoints);
	int rc;

	sqlite3_bind_int64(stmt, 1, (int64_t)run->row.id);
	while ((rc = store_step_row(store, stmt, "load checkpoints", err)) == 1) {
		struct checkpoint_row row = {
			.run = run->row.id,
			.step = (uint32_t)sqlite3_column_int64(stmt, 0),
			.seq = (uint32_t)sqlite3_column_int64(stmt, 1),
			.name = store_column_text(stmt, 2, &run->arena),
			.digest = store_column_text(stmt, 3, &run->arena),
			.bytes = (uint64_t)sqlite3_column_int64(stmt, 4),
			.at_step = sqlite3_column_int64(stmt, 5),
			.format = store_column_text(stmt, 6, &run->arena),
			.attempt = (uint32_t)sqlite3_column_int64(stmt, 7),
			.state = checkpoint_state_of((const char *)sqlite3_column_text(stmt, 8)),
			.deaths = (uint32_t)sqlite3_column_int64(stmt, 9),
			.created_wall_ms = sqlite3_column_int64(stmt, 10),
			.message = store_column_text(stmt, 11, &run->arena),
			.worker = store_column_text(stmt, 12, &run->arena),
			.copy_bytes = (uint64_t)sqlite3_column_int64(stmt, 14),
		};

		if (sqlite3_column_bytes(stmt, 13) > 0)
			row.copy = store_column_text(stmt, 13, &run->arena);
		if (sqlite3_column_bytes(stmt, 15) > 0)
			row.brought = store_column_text(stmt, 15, &run->arena);
		if (row.step < run->dag->steps_count)
			ledger_add(&run->tasks[row.step].ledger, &row);
	}
	return rc;
}

static int load_outputs(struct store *store, struct run *run, struct err *err)
{
	sqlite3_stmt *stmt = store_statement(store, STMT_load_outputs);
	int rc;

	sqlite3_bind_int64(stmt, 1, (int64_t)run->row.id);
	while ((rc = store_step_row(store, stmt, "load outputs", err)) == 1) {
		int64_t step = sqlite3_column_int64(stmt, 0);

		if (step >= 0 && (size_t)step < run->dag->steps_count)
			task_add_output(&run->tasks[step], (const char *)sqlite3_column_text(stmt, 1),
					(const char *)sqlite3_column_text(stmt, 2));
	}
	return rc;
}

static int load_artifacts(struct store *store, struct run *run, struct err *err)
{
	sqlite3_stmt *stmt = store_statement(store, STMT_load_artifacts);
	int rc;

	sqlite3_bind_int64(stmt, 1, (int64_t)run->row.id);
	while ((rc = store_step_row(store, stmt, "load artifacts", err)) == 1) {
		struct artifact_row row = {
			.run = run->row.id,
			.step = (uint32_t)sqlite3_column_int64(stmt, 0),
			.attempt = (uint32_t)sqlite3_column_int64(stmt, 1),
			.digest = (const char *)sqlite3_column_text(stmt, 2),
			.bytes = (uint64_t)sqlite3_column_int64(stmt, 3),
			.files = (uint64_t)sqlite3_column_int64(stmt, 4),
			.worker = (const char *)sqlite3_column_text(stmt, 5),
		};

		if (row.step < run->dag->steps_count)
			task_set_left(&run->tasks[row.step], &row);
	}
	return rc;
}

/* Where attempts of it were: what these workers still have of it is asked for before it can end. */
static int load_past_workers(struct store *store, struct run *run, struct err *err)
{
	sqlite3_stmt *stmt = store_statement(store, STMT_load_past_workers);
	int rc;

	sqlite3_bind_int64(stmt, 1, (int64_t)run->row.id);
	while ((rc = store_step_row(store, stmt, "load workers", err)) == 1) {
		int64_t step = sqlite3_column_int64(stmt, 1);

		if (step >= 0 && (size_t)step < run->dag->steps_count)
			run_add_past_worker(run, (const char *)sqlite3_column_text(stmt, 0), (uint32_t)step);
	}
	return rc;
}

int store_load_run(struct store *store, uint64_t id, struct run **run_out, struct err *err)
{
	struct run *run = NULL;
	int rc = load_run_row(store, id, &run, err);

	if (rc == 0)
		rc = load_tasks(store, run, err);
	if (rc == 0)
		rc = load_live_attempts(store, run, err);
	if (rc == 0)
		rc = load_checkpoints(store, run, err);
	if (rc == 0)
		rc = load_outputs(store, run, err);
	if (rc == 0)
		rc = load_artifacts(store, run, err);
	if (rc == 0)
		rc = load_past_workers(store, run, err);
	if (rc < 0) {
		run_free(run);
		return rc;
	}
	*run_out = run;
	return 0;
}
