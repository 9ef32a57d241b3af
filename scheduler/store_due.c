#include "scheduler/store_due.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "common/clock.h"
#include "common/mem.h"
#include "common/scope.h"
#include "scheduler/instant.h"
#include "scheduler/params.h"
#include "scheduler/store_parts.h"

/* A statement that gives one number. */
static int read_number(struct store *store, sqlite3_stmt *stmt, const char *doing, int64_t *number_out,
		       struct err *err)
{
	int rc = store_step_row(store, stmt, doing, err);

	if (rc < 0)
		return rc;
	*number_out = rc == 1 ? sqlite3_column_int64(stmt, 0) : 0;
	sqlite3_reset(stmt);
	return 0;
}

/* --- DAGs ----------------------------------------------------------------------------------------------- */

static int put_schedule(struct store *store, int64_t dag, int64_t version, const struct dag_schedule *it,
			const char *local_zone, int64_t wall_ms, struct timetable_row *row_out,
			struct err *err)
{
	sqlite3_stmt *stmt = store_statement(store, STMT_put_schedule);
	int rc;

	sqlite3_bind_int64(stmt, 1, dag);
	store_bind_text(stmt, 2, it->cron);
	store_bind_text(stmt, 3, it->timezone);
	sqlite3_bind_int64(stmt, 4, wall_ms);
	sqlite3_bind_int64(stmt, 5, version);
	store_bind_text(stmt, 6, it->timezone == NULL ? local_zone : it->timezone);
	store_bind_text(stmt, 7, it->from);
	store_bind_text(stmt, 8, it->until);
	store_bind_text(stmt, 9, dag_catchup_words[it->catchup]);
	store_bind_text(stmt, 10, dag_overlap_words[it->overlap]);
	sqlite3_bind_int64(stmt, 11, it->jitter_ms);
	sqlite3_bind_int64(stmt, 12, it->start_deadline_ms);
	rc = store_step_row(store, stmt, "put a schedule in force", err);
	if (rc < 0)
		return rc;
	row_out->schedule = sqlite3_column_int64(stmt, 0);
	row_out->settled_ms = sqlite3_column_int64(stmt, 1);
	sqlite3_reset(stmt);
	return 0;
}

static int end_schedules(struct store *store, int64_t dag, int64_t but_version, int64_t wall_ms,
			 struct err *err)
{
	sqlite3_stmt *stmt = store_statement(store, STMT_end_schedules);

	sqlite3_bind_int64(stmt, 1, dag);
	sqlite3_bind_int64(stmt, 2, but_version);
	sqlite3_bind_int64(stmt, 3, wall_ms);
	return store_step_done(store, stmt, "end a schedule", err);
}

static int put_version(struct store *store, const struct dag *dag, int64_t wall_ms, int64_t *id_out,
		       int64_t *version_out, struct err *err)
{
	sqlite3_stmt *stmt = store_statement(store, STMT_put_dag);
	int rc;

	store_bind_text(stmt, 1, dag->name);
	rc = read_number(store, stmt, "keep a DAG", id_out, err);
	if (rc == 0)
		rc = store_put_version(store, dag, *id_out, wall_ms, version_out, err);
	if (rc < 0)
		return rc;
	stmt = store_statement(store, STMT_set_dag_version);
	sqlite3_bind_int64(stmt, 1, *id_out);
	sqlite3_bind_int64(stmt, 2, *version_out);
	return store_step_done(store, stmt, "keep a DAG", err);
}

static int put_dag(struct store *store, const struct dag *dag, const char *local_zone, int64_t wall_ms,
		   struct timetable_row *rows_out, struct err *err)
{
	int64_t id, version;
	int rc = put_version(store, dag, wall_ms, &id, &version, err);

	for (size_t i = 0; i < dag->schedules_count && rc == 0; i++)
		rc = put_schedule(store, id, version, &dag->schedules[i], local_zone, wall_ms, &rows_out[i],
				  err);
	return rc < 0 ? rc : end_schedules(store, id, version, wall_ms, err);
}

struct dag_row {
	int64_t id;
	bool paused;
};

static int find_dag(struct store *store, const char *name, struct dag_row *row_out, struct err *err)
{
	sqlite3_stmt *stmt = store_statement(store, STMT_find_dag);
	int rc;

	store_bind_text(stmt, 1, name);
	rc = store_step_row(store, stmt, "find a DAG", err);
	if (rc < 0)
		return rc;
	if (rc == 0)
		return err_set(err, ERR_NOT_FOUND, "there is no DAG %s", name);
	row_out->id = sqlite3_column_int64(stmt, 0);
	row_out->paused = sqlite3_column_bytes(stmt, 1) > 0;
	sqlite3_reset(stmt);
	return 0;
}

static int mark_paused(struct store *store, const char *dag, bool pause, const char *actor,
		       const char *origin, int64_t wall_ms, bool *changed_out, struct err *err)
{
	struct dag_row row;
	sqlite3_stmt *stmt;
	int rc = find_dag(store, dag, &row, err);

	if (rc < 0)
		return rc;
	if (changed_out != NULL)
		*changed_out = row.paused != pause;
	if (row.paused == pause)
		return 0;
	stmt = store_statement(store, pause ? STMT_pause_dag : STMT_unpause_dag);
	sqlite3_bind_int64(stmt, 1, row.id);
	if (pause)
		store_bind_text(stmt, 2, actor[0] == '\0' ? "somebody" : actor); /* '' is: not paused */
	sqlite3_bind_int64(stmt, pause ? 3 : 2, wall_ms);
	rc = store_step_done(store, stmt, pause ? "pause a DAG" : "unpause a DAG", err);
	return rc < 0 ? rc
		      : store_put_event(store, 0, pause ? "dag.paused" : "dag.unpaused", actor, origin, dag, wall_ms,
					err);
}

/* --- the ledger ----------------------------------------------------------------------------------------- */

/* What a decision is measured by. */
struct standing {
	const struct timetable_decision *decision;
	int64_t wall_ms;
	int64_t dag;
	bool gone;
	char paused_by[100];
	int64_t paused_ms, unpaused_ms; /* the last time it was */
	char origin[400];		/* of its run */
	char detail[400];
};

/* 1: it has a row that stays, 0: it has none, or one that was written by a clock that was ahead. */
static int read_row(struct store *store, const struct timetable_decision *decision, int64_t wall_ms,
		    struct store_settled *settled, struct err *err)
{
	sqlite3_stmt *stmt = store_statement(store, STMT_find_occurrence);
	bool ran, stays;
	int rc;

	sqlite3_bind_int64(stmt, 1, decision->schedule);
	sqlite3_bind_int64(stmt, 2, decision->due.at_ms);
	rc = store_step_row(store, stmt, "read the ledger", err);
	if (rc <= 0)
		return rc;
	ran = strcmp((const char *)sqlite3_column_text(stmt, 0), "ran") == 0;
	stays = ran || sqlite3_column_type(stmt, 2) != SQLITE_NULL ||
		sqlite3_column_int64(stmt, 3) <= wall_ms;
	if (stays) {
		settled->before = true;
		settled->ran = ran;
		settled->run = (uint64_t)sqlite3_column_int64(stmt, 2);
		snprintf(settled->reason, sizeof settled->reason, "%s",
			 (const char *)sqlite3_column_text(stmt, 1));
	}
	sqlite3_reset(stmt);
	return stays;
}

static int read_standing(struct store *store, struct standing *standing, struct err *err)
{
	sqlite3_stmt *stmt = store_statement(store, STMT_find_schedule);
	int rc;

	sqlite3_bind_int64(stmt, 1, standing->decision->schedule);
	rc = store_step_row(store, stmt, "read a schedule", err);
	if (rc < 0)
		return rc;
	standing->gone = rc == 0 || sqlite3_column_int64(stmt, 0) != 0;
	if (rc == 0)
		return 0;
	standing->dag = sqlite3_column_int64(stmt, 1);
	snprintf(standing->paused_by, sizeof standing->paused_by, "%s",
		 (const char *)sqlite3_column_text(stmt, 3));
	standing->paused_ms = sqlite3_column_int64(stmt, 4);
	standing->unpaused_ms = sqlite3_column_int64(stmt, 5);
	sqlite3_reset(stmt);
	snprintf(standing->origin, sizeof standing->origin, "schedule %s %s",
		 standing->decision->definition->cron, standing->decision->zone);
	return 0;
}

static const char *judge_pause(struct standing *standing)
{
	int64_t due_ms = standing->decision->due.at_ms;

	if (standing->paused_by[0] != '\0')
		snprintf(standing->detail, sizeof standing->detail, "paused by %s", standing->paused_by);
	else if (due_ms > standing->paused_ms && due_ms <= standing->unpaused_ms)
		snprintf(standing->detail, sizeof standing->detail, "it was paused at that time");
	else
		return NULL;
	return "paused";
}

static const char *judge_verdict(struct standing *standing)
{
	const struct timetable_decision *decision = standing->decision;
	char late[CLOCK_SPAN_BYTES], most[CLOCK_SPAN_BYTES];

	if (decision->late_ms > 0)
		snprintf(standing->detail, sizeof standing->detail, "%s late",
			 clock_span(decision->late_ms, late));
	switch (decision->verdict) {
	case DUE_RUN:
		return NULL;
	case DUE_MISSED:
		snprintf(standing->detail, sizeof standing->detail,
			 "noticed %s late, and catchup is none", clock_span(decision->late_ms, late));
		break;
	case DUE_SUPERSEDED:
		snprintf(standing->detail, sizeof standing->detail,
			 "noticed %s late, after a later one was due", clock_span(decision->late_ms, late));
		break;
	case DUE_TOO_LATE:
		snprintf(standing->detail, sizeof standing->detail,
			 "could start only past its start_deadline of %s",
			 clock_span(decision->definition->start_deadline_ms, most));
		break;
	}
	return due_verdict_name(decision->verdict);
}

/* 1: a run goes on; its number. */
static int find_open_run(struct store *store, int64_t dag, int64_t *number_out, struct err *err)
{
	sqlite3_stmt *stmt = store_statement(store, STMT_first_open_run);
	int rc;

	sqlite3_bind_int64(stmt, 1, dag);
	rc = store_step_row(store, stmt, "look for runs", err);
	if (rc == 1) {
		*number_out = sqlite3_column_int64(stmt, 0);
		sqlite3_reset(stmt);
	}
	return rc;
}

static int judge_queue(struct store *store, struct standing *standing, const char **reason_out,
		       struct err *err)
{
	sqlite3_stmt *stmt = store_statement(store, STMT_count_queued_runs);
	int64_t queued;
	int rc;

	sqlite3_bind_int64(stmt, 1, standing->dag);
	rc = read_number(store, stmt, "count runs", &queued, err);
	if (rc < 0 || queued < STORE_QUEUE_MAX)
		return rc;
	snprintf(standing->detail, sizeof standing->detail, "%" PRId64 " runs of it are waiting already",
		 queued);
	*reason_out = "overlap";
	return 0;
}

static int replace_runs(struct store *store, const struct standing *standing, struct err *err)
{
	sqlite3_stmt *stmt = store_statement(store, STMT_cancel_open_runs);

	sqlite3_bind_int64(stmt, 1, standing->dag);
	store_bind_text(stmt, 2, standing->origin);
	sqlite3_bind_int64(stmt, 3, standing->wall_ms);
	return store_step_done(store, stmt, "replace runs", err);
}

static int judge_overlap(struct store *store, struct standing *standing, const char **reason_out,
			 struct err *err)
{
	enum dag_overlap overlap = standing->decision->definition->overlap;
	int64_t number = 0;
	int rc = find_open_run(store, standing->dag, &number, err);

	if (rc <= 0)
		return rc;
	if (overlap == DAG_OVERLAP_QUEUE || standing->decision->made_up)
		return judge_queue(store, standing, reason_out, err);
	if (overlap == DAG_OVERLAP_REPLACE)
		return replace_runs(store, standing, err);
	snprintf(standing->detail, sizeof standing->detail, "%s/%" PRId64 " still went on",
		 standing->decision->dag->name, number);
	*reason_out = "overlap";
	return 0;
}

/* NULL: it runs. */
static int judge(struct store *store, struct standing *standing, const char **reason_out, struct err *err)
{
	*reason_out = judge_pause(standing);
	if (*reason_out == NULL)
		*reason_out = judge_verdict(standing);
	return *reason_out == NULL ? judge_overlap(store, standing, reason_out, err) : 0;
}

static int make_run(struct store *store, const struct standing *standing, uint64_t *run_out, struct err *err)
{
	struct store_new_run new_run = {
		.dag = standing->decision->dag,
		.trigger = "cron",
		.actor = "stoker",
		.origin = standing->origin,
		.scheduled_for_wall_ms = standing->decision->due.at_ms,
		.wall_ms = standing->wall_ms,
	};
	autofree char *params = NULL;
	int rc = params_json(new_run.dag, NULL, 0, &params, err);

	new_run.params = params;
	return rc < 0 ? rc : store_create_run(store, &new_run, run_out, err);
}

static int put_row(struct store *store, const struct standing *standing, const struct store_settled *settled,
		   struct err *err)
{
	const struct due *due = &standing->decision->due;
	sqlite3_stmt *stmt = store_statement(store, STMT_put_occurrence);
	char nominal[INSTANT_LABEL_BYTES];

	sqlite3_bind_int64(stmt, 1, standing->decision->schedule);
	sqlite3_bind_int64(stmt, 2, due->at_ms);
	store_bind_text(stmt, 3, instant_label(due->nominal_local_s, nominal));
	store_bind_text(stmt, 4, due_mark_name(due->mark));
	store_bind_text(stmt, 5, settled->ran ? "ran" : "skipped");
	store_bind_text(stmt, 6, settled->reason);
	if (settled->ran)
		sqlite3_bind_int64(stmt, 7, (int64_t)settled->run);
	else
		sqlite3_bind_null(stmt, 7);
	sqlite3_bind_int64(stmt, 8, standing->wall_ms);
	store_bind_text(stmt, 9, standing->detail);
	return store_step_done(store, stmt, "write the ledger", err);
}

static int decide(struct store *store, struct standing *standing, struct store_settled *settled,
		  struct err *err)
{
	const char *reason;
	int rc = judge(store, standing, &reason, err);

	if (rc == 0 && reason == NULL) {
		rc = make_run(store, standing, &settled->run, err);
		settled->ran = true;
	}
	snprintf(settled->reason, sizeof settled->reason, "%s", reason == NULL ? "" : reason);
	return rc < 0 ? rc : put_row(store, standing, settled, err);
}

static int settle(struct store *store, const struct timetable_decision *decision, int64_t wall_ms,
		  struct store_settled *settled, struct err *err)
{
	struct standing standing = { .decision = decision, .wall_ms = wall_ms };
	sqlite3_stmt *stmt;
	int rc = read_standing(store, &standing, err);

	*settled = (struct store_settled){ 0 };
	if (rc < 0)
		return rc;
	if (standing.gone) {
		strcpy(settled->reason, "gone");
		return 0;
	}
	rc = read_row(store, decision, wall_ms, settled, err);
	if (rc == 0)
		rc = decide(store, &standing, settled, err);
	if (rc < 0)
		return rc;
	stmt = store_statement(store, STMT_settle_schedule);
	sqlite3_bind_int64(stmt, 1, decision->schedule);
	sqlite3_bind_int64(stmt, 2, decision->due.at_ms);
	return store_step_done(store, stmt, "write the ledger", err);
}

/* ------------------------------------------------------------------------------------------------------- */

int store_put_dag(struct store *store, const struct dag *dag, const char *local_zone, int64_t wall_ms,
		  struct timetable_row *rows_out, struct err *err)
{
	int rc = store_begin(store, err);

	if (rc < 0)
		return rc;
	rc = put_dag(store, dag, local_zone, wall_ms, rows_out, err);
	return rc < 0 ? store_undo(store, rc) : store_commit(store, err);
}

int store_drop_dag(struct store *store, const char *dag, int64_t wall_ms, struct err *err)
{
	struct dag_row row;
	int rc = store_begin(store, err);

	if (rc < 0)
		return rc;
	rc = find_dag(store, dag, &row, err);
	if (rc == ERR_NOT_FOUND)
		rc = 0;
	else if (rc == 0)
		rc = end_schedules(store, row.id, 0, wall_ms, err);
	return rc < 0 ? store_undo(store, rc) : store_commit(store, err);
}

int store_load_dag(struct store *store, const char *name, struct dag **dag_out, struct err *err)
{
	int64_t id, version;

	return store_load_dag_ids(store, name, dag_out, &id, &version, err);
}

int store_load_dag_ids(struct store *store, const char *name, struct dag **dag_out, int64_t *dag_id_out,
		       int64_t *version_out, struct err *err)
{
	sqlite3_stmt *stmt = store_statement(store, STMT_load_dag);
	int rc;

	store_bind_text(stmt, 1, name);
	rc = store_step_row(store, stmt, "load a DAG", err);
	if (rc < 0)
		return rc;
	if (rc == 0)
		return err_set(err, ERR_NOT_FOUND, "there is no DAG %s", name);
	*version_out = sqlite3_column_int64(stmt, 2);
	*dag_id_out = sqlite3_column_int64(stmt, 3);
	rc = store_parse_dag((const char *)sqlite3_column_text(stmt, 0),
			     (const char *)sqlite3_column_text(stmt, 1),
			     (size_t)sqlite3_column_bytes(stmt, 1), dag_out, err);
	sqlite3_reset(stmt);
	return rc;
}

int store_pause(struct store *store, const char *dag, const char *actor, const char *origin, int64_t wall_ms,
		bool *changed_out, struct err *err)
{
	int rc = store_begin(store, err);

	if (rc < 0)
		return rc;
	rc = mark_paused(store, dag, true, actor, origin, wall_ms, changed_out, err);
	return rc < 0 ? store_undo(store, rc) : store_commit(store, err);
}

int store_unpause(struct store *store, const char *dag, const char *actor, const char *origin,
		  int64_t wall_ms, bool *changed_out, struct err *err)
{
	int rc = store_begin(store, err);

	if (rc < 0)
		return rc;
	rc = mark_paused(store, dag, false, actor, origin, wall_ms, changed_out, err);
	return rc < 0 ? store_undo(store, rc) : store_commit(store, err);
}

int store_put_dag_file(struct store *store, const struct store_dag_file *file, struct err *err)
{
	sqlite3_stmt *stmt = store_statement(store, STMT_put_dag_file);

	store_bind_text(stmt, 1, file->path);
	store_bind_text(stmt, 2, file->name);
	store_bind_text(stmt, 3, file->digest);
	store_bind_text(stmt, 4, file->error);
	sqlite3_bind_int64(stmt, 5, file->seen_ms);
	return store_step_done(store, stmt, "keep what a DAG's file says", err);
}

int store_drop_dag_file(struct store *store, const char *path, struct err *err)
{
	sqlite3_stmt *stmt = store_statement(store, STMT_drop_dag_file);

	store_bind_text(stmt, 1, path);
	return store_step_done(store, stmt, "forget a DAG's file", err);
}

int store_load_dag_files(struct store *store, struct arena *arena, struct store_dag_file **files_out,
			 size_t *count_out, struct err *err)
{
	sqlite3_stmt *stmt = store_statement(store, STMT_load_dag_files);
	struct store_dag_file *list = NULL;
	size_t count = 0, room = 0;
	int rc;

	while ((rc = store_step_row(store, stmt, "read the DAG folder's files", err)) == 1) {
		mem_grow(&list, &room, count, sizeof *list);
		list[count++] = (struct store_dag_file){
			.path = store_column_text(stmt, 0, arena),
			.name = store_column_text(stmt, 1, arena),
			.digest = store_column_text(stmt, 2, arena),
			.error = store_column_text(stmt, 3, arena),
			.seen_ms = sqlite3_column_int64(stmt, 4),
		};
	}
	*files_out = arena_memdup(arena, list, count * sizeof *list);
	*count_out = count;
	free(list);
	return rc;
}

int store_load_schedules(struct store *store, struct arena *arena, struct store_schedule **schedules_out,
			 size_t *count_out, struct err *err)
{
	sqlite3_stmt *stmt = store_statement(store, STMT_load_schedules);
	struct store_schedule *list = NULL;
	size_t count = 0, room = 0;
	int rc;

	while ((rc = store_step_row(store, stmt, "read schedules", err)) == 1) {
		mem_grow(&list, &room, count, sizeof *list);
		list[count++] = (struct store_schedule){
			.id = sqlite3_column_int64(stmt, 0),
			.dag = store_column_text(stmt, 1, arena),
			.cron = store_column_text(stmt, 2, arena),
			.timezone = store_column_text(stmt, 3, arena),
			.since_ms = sqlite3_column_int64(stmt, 4),
			.settled_ms = sqlite3_column_int64(stmt, 5),
		};
	}
	*schedules_out = arena_memdup(arena, list, count * sizeof *list);
	*count_out = count;
	free(list);
	return rc;
}

int store_settle(struct store *store, const struct timetable_decision *decisions, size_t count,
		 int64_t wall_ms, struct store_settled *settled_out, struct err *err)
{
	struct store_settled settled;
	int rc = store_begin(store, err);

	if (rc < 0)
		return rc;
	for (size_t i = 0; i < count && rc == 0; i++) {
		rc = settle(store, &decisions[i], wall_ms, &settled, err);
		if (settled_out != NULL)
			settled_out[i] = settled;
	}
	return rc < 0 ? store_undo(store, rc) : store_commit(store, err);
}
