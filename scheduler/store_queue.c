#include "scheduler/store_queue.h"

#include <inttypes.h>
#include <jansson.h>
#include <stdlib.h>
#include <string.h>

#include "common/clock.h"
#include "common/mem.h"
#include "common/scope.h"
#include "scheduler/store_parts.h"

#define DAY_MS (INT64_C(24) * 3600 * 1000)

static const char *const after_words[] = {
	[DAG_AFTER_SUCCEEDED] = "succeeded",
	[DAG_AFTER_FAILED] = "failed",
	[DAG_AFTER_ENDED] = "",
};

/* --- what there is -------------------------------------------------------------------------------------- */

static struct queued_run read_queued(sqlite3_stmt *stmt, struct arena *arena)
{
	return (struct queued_run){
		.id = (uint64_t)sqlite3_column_int64(stmt, 0),
		.dag_id = sqlite3_column_int64(stmt, 1),
		.dag = store_column_text(stmt, 2, arena),
		.number = (uint64_t)sqlite3_column_int64(stmt, 3),
		.by_hand = strcmp((const char *)sqlite3_column_text(stmt, 4), "manual") == 0,
		.scheduled_for_wall_ms = sqlite3_column_int64(stmt, 6),
		.created_wall_ms = sqlite3_column_int64(stmt, 7),
		.max_active = sqlite3_column_int(stmt, 8),
		.source_folder = store_column_text(stmt, 9, arena),
		.after = store_column_text(stmt, 10, arena),
		.waits_for = store_column_text(stmt, 11, arena),
		.running = sqlite3_column_int(stmt, 12),
	};
}

int store_queued_runs(struct store *store, struct arena *arena, int64_t wall_ms, size_t limit,
		      struct queued_run **runs_out, size_t *count_out, struct err *err)
{
	sqlite3_stmt *stmt = store_statement(store, STMT_queued_runs);
	struct queued_run *runs = NULL;
	size_t count = 0, room = 0;
	int rc;

	sqlite3_bind_int64(stmt, 1, wall_ms);
	sqlite3_bind_int64(stmt, 2, (int64_t)limit);
	while ((rc = store_step_row(store, stmt, "read the queue", err)) == 1) {
		mem_grow(&runs, &room, count, sizeof *runs);
		runs[count++] = read_queued(stmt, arena);
	}
	*runs_out = arena_memdup(arena, runs, count * sizeof *runs);
	*count_out = count;
	free(runs);
	return rc;
}

int store_running_runs(struct store *store, struct arena *arena, struct running_run **runs_out,
		       size_t *count_out, struct err *err)
{
	sqlite3_stmt *stmt = store_statement(store, STMT_running_runs);
	struct running_run *runs = NULL;
	size_t count = 0, room = 0;
	int rc;

	while ((rc = store_step_row(store, stmt, "read the runs", err)) == 1) {
		mem_grow(&runs, &room, count, sizeof *runs);
		runs[count++] = (struct running_run){
			.id = (uint64_t)sqlite3_column_int64(stmt, 0),
			.dag = store_column_text(stmt, 1, arena),
			.number = (uint64_t)sqlite3_column_int64(stmt, 2),
		};
	}
	*runs_out = arena_memdup(arena, runs, count * sizeof *runs);
	*count_out = count;
	free(runs);
	return rc;
}

/* --- after ---------------------------------------------------------------------------------------------- */

/* From when on a run of another DAG counts for this one. */
static int find_since(struct store *store, const struct queued_run *run, int64_t *since_out, struct err *err)
{
	sqlite3_stmt *stmt;
	int rc;

	*since_out = (run->by_hand ? run->created_wall_ms : run->scheduled_for_wall_ms) - DAY_MS;
	if (run->by_hand)
		return 0;
	stmt = store_statement(store, STMT_due_before);
	sqlite3_bind_int64(stmt, 1, run->dag_id);
	sqlite3_bind_int64(stmt, 2, run->scheduled_for_wall_ms);
	rc = store_step_row(store, stmt, "look at the runs before", err);
	if (rc == 1 && sqlite3_column_type(stmt, 0) != SQLITE_NULL)
		*since_out = sqlite3_column_int64(stmt, 0);
	sqlite3_reset(stmt);
	return rc < 0 ? rc : 0;
}

static int has_ended(struct store *store, const char *dag, int64_t since_ms, const char *state, bool *met_out,
		     struct err *err)
{
	sqlite3_stmt *stmt = store_statement(store, STMT_ended_since);
	int rc;

	store_bind_text(stmt, 1, dag);
	sqlite3_bind_int64(stmt, 2, since_ms);
	store_bind_text(stmt, 3, state);
	rc = store_step_row(store, stmt, "look at the runs of another DAG", err);
	sqlite3_reset(stmt);
	*met_out = rc == 1;
	return rc < 0 ? rc : 0;
}

static const char *describe(struct store *store, const char *dag, const char *state, struct arena *arena)
{
	sqlite3_stmt *stmt = store_statement(store, STMT_newest_of);
	const char *wanted = state[0] == '\0' ? "to end" : strcmp(state, "failed") == 0 ? "to fail" : "to succeed";
	const char *text;

	store_bind_text(stmt, 1, dag);
	if (store_step_row(store, stmt, "look at the runs of another DAG", NULL) == 1)
		text = arena_printf(arena, "waits for %s %s: its newest run, %s/%lld, %s %s", dag, wanted, dag,
				    (long long)sqlite3_column_int64(stmt, 0),
				    strcmp((const char *)sqlite3_column_text(stmt, 1), "running") == 0 ||
						    strcmp((const char *)sqlite3_column_text(stmt, 1), "queued") == 0
					    ? "is"
					    : "has",
				    (const char *)sqlite3_column_text(stmt, 1));
	else
		text = arena_printf(arena, "waits for %s %s: it has no run yet", dag, wanted);
	sqlite3_reset(stmt);
	return text;
}

int store_look_after(struct store *store, const struct queued_run *run, int64_t wall_ms, struct arena *arena,
		     enum after_verdict *verdict_out, const char **text_out, int64_t *until_out,
		     struct err *err)
{
	json_t *list = run->after[0] == '\0' ? NULL : json_loads(run->after, 0, NULL);
	int64_t since_ms = 0, began_ms = run->scheduled_for_wall_ms;
	size_t i;
	json_t *item;
	int rc = find_since(store, run, &since_ms, err);

	if (began_ms < run->created_wall_ms)
		began_ms = run->created_wall_ms;
	*verdict_out = AFTER_MET;
	*text_out = "";
	*until_out = INT64_MAX;
	json_array_foreach (list, i, item) {
		const char *dag = json_string_value(json_object_get(item, "dag"));
		const char *state = json_string_value(json_object_get(item, "state"));
		int64_t within_ms = json_integer_value(json_object_get(item, "within_ms"));
		int64_t until_ms = within_ms > 0 ? began_ms + within_ms : INT64_MAX;
		bool met = false;

		if (dag == NULL || state == NULL)
			continue;
		if (rc == 0)
			rc = has_ended(store, dag, since_ms, state, &met, err);
		if (rc < 0)
			break;
		if (met || *verdict_out == AFTER_EXPIRED)
			continue;
		*verdict_out = until_ms <= wall_ms ? AFTER_EXPIRED : AFTER_WAITS;
		*text_out = describe(store, dag, state, arena);
		if (until_ms < *until_out)
			*until_out = until_ms;
	}
	json_decref(list);
	return rc;
}

const char *store_after_text(const struct dag *dag, struct arena *arena)
{
	json_t *list;
	autofree char *text = NULL;

	if (dag->after_count == 0)
		return "";
	list = json_array();
	for (size_t i = 0; i < dag->after_count; i++)
		json_array_append_new(list, json_pack("{s:s, s:s, s:I}", "dag", dag->after[i].dag, "state",
						      after_words[dag->after[i].state], "within_ms",
						      (json_int_t)dag->after[i].within_ms));
	text = json_dumps(list, JSON_COMPACT);
	json_decref(list);
	return arena_strdup(arena, text);
}

/* --- what becomes of one -------------------------------------------------------------------------------- */

int store_set_waits_for(struct store *store, uint64_t run, const char *text, struct err *err)
{
	sqlite3_stmt *stmt = store_statement(store, STMT_set_waits_for);

	sqlite3_bind_int64(stmt, 1, (int64_t)run);
	store_bind_text(stmt, 2, text);
	return store_step_done(store, stmt, "say what a run waits for", err);
}

int store_set_source(struct store *store, uint64_t run, const char *digest, uint64_t bytes, struct err *err)
{
	sqlite3_stmt *stmt = store_statement(store, STMT_set_source);

	sqlite3_bind_int64(stmt, 1, (int64_t)run);
	store_bind_text(stmt, 2, digest);
	sqlite3_bind_int64(stmt, 3, (int64_t)bytes);
	return store_step_done(store, stmt, "note the source of a run", err);
}

static int end_run(struct store *store, uint64_t run, const struct queue_ending *ending, struct err *err)
{
	sqlite3_stmt *stmt = store_statement(store, STMT_end_queued_run);
	int rc;

	sqlite3_bind_int64(stmt, 1, (int64_t)run);
	store_bind_text(stmt, 2, run_states[ending->state].name);
	store_bind_text(stmt, 3, reason_names[ending->reason]);
	sqlite3_bind_int64(stmt, 4, ending->wall_ms);
	sqlite3_bind_int64(stmt, 5, ending->state == RUN_CANCELED ? ending->wall_ms : 0);
	rc = store_step_done(store, stmt, "end a queued run", err);
	if (rc == 0 && sqlite3_changes(store->db) == 0)
		return err_set(err, ERR_EXISTS, "the run is not queued any more");
	return rc;
}

static int end_tasks(struct store *store, uint64_t run, const struct queue_ending *ending, struct err *err)
{
	sqlite3_stmt *stmt = store_statement(store, STMT_end_queued_tasks);
	enum task_state state = ending->state == RUN_CANCELED ? TASK_CANCELED : TASK_UPSTREAM_FAILED;

	sqlite3_bind_int64(stmt, 1, (int64_t)run);
	store_bind_text(stmt, 2, task_states[state].name);
	store_bind_text(stmt, 3, reason_names[ending->reason]);
	sqlite3_bind_int64(stmt, 4, ending->wall_ms);
	store_bind_text(stmt, 5, ending->message);
	return store_step_done(store, stmt, "end a queued run", err);
}

static int end_requests(struct store *store, uint64_t run, int64_t wall_ms, struct err *err)
{
	sqlite3_stmt *stmt = store_statement(store, STMT_end_requests);

	sqlite3_bind_int64(stmt, 1, (int64_t)run);
	sqlite3_bind_int64(stmt, 2, wall_ms);
	return store_step_done(store, stmt, "end a queued run", err);
}

int store_end_queued(struct store *store, uint64_t run, const struct queue_ending *ending, struct err *err)
{
	int rc = store_begin(store, err);

	if (rc < 0)
		return rc;
	rc = end_run(store, run, ending, err);
	if (rc == 0)
		rc = end_tasks(store, run, ending, err);
	if (rc == 0)
		rc = end_requests(store, run, ending->wall_ms, err);
	if (rc == 0 && ending->actor != NULL)
		rc = store_put_event(store, run, "run.cancel_requested", ending->actor, ending->origin, "while queued",
				     ending->wall_ms, err);
	if (rc == 0)
		rc = store_put_event(store, run, ending->state == RUN_CANCELED ? "run.canceled" : "run.failed", "stoker",
				     "", ending->message, ending->wall_ms, err);
	return rc < 0 ? store_undo(store, rc) : store_commit(store, err);
}
