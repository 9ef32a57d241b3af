#include "scheduler/store_backfill.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "common/mem.h"
#include "common/scope.h"
#include "scheduler/instant.h"
#include "scheduler/params.h"
#include "scheduler/store_due.h"
#include "scheduler/store_parts.h"

enum { LOOKED_AT_MAX = 1000 }; /* due times in one transaction */

/* One as it is stored. */
struct row {
	int64_t id;
	bool running;
	const char *dag;
	int64_t dag_id, version;
	const char *from, *to;
	int64_t until_ms;
	int max_active;
	bool again;
	const char *params;
	int64_t cursor_ms;
	int64_t made, left_out;
	const char *actor, *origin;
};

/* 1: the statement has a row, whose first number is *number_out. */
static int find_number(struct store *store, sqlite3_stmt *stmt, int64_t *number_out, struct err *err)
{
	int rc = store_step_row(store, stmt, "look at a backfill", err);

	if (rc == 1) {
		*number_out = sqlite3_column_int64(stmt, 0);
		sqlite3_reset(stmt);
	}
	return rc;
}

static int load_row(struct store *store, int64_t id, struct arena *arena, struct row *row, struct err *err)
{
	sqlite3_stmt *stmt = store_statement(store, STMT_find_backfill);
	int rc;

	sqlite3_bind_int64(stmt, 1, id);
	rc = store_step_row(store, stmt, "look at a backfill", err);
	if (rc < 0)
		return rc;
	if (rc == 0)
		return err_set(err, ERR_NOT_FOUND, "there is no backfill %" PRId64, id);
	*row = (struct row){
		.id = id,
		.running = strcmp((const char *)sqlite3_column_text(stmt, 0), "running") == 0,
		.dag = store_column_text(stmt, 1, arena),
		.dag_id = sqlite3_column_int64(stmt, 2),
		.version = sqlite3_column_int64(stmt, 3),
		.from = store_column_text(stmt, 4, arena),
		.to = store_column_text(stmt, 5, arena),
		.until_ms = sqlite3_column_int64(stmt, 6),
		.max_active = sqlite3_column_int(stmt, 7),
		.again = sqlite3_column_int(stmt, 8) != 0,
		.params = store_column_text(stmt, 9, arena),
		.cursor_ms = sqlite3_column_int64(stmt, 10),
		.made = sqlite3_column_int64(stmt, 11),
		.left_out = sqlite3_column_int64(stmt, 12),
		.actor = store_column_text(stmt, 13, arena),
		.origin = store_column_text(stmt, 14, arena),
	};
	sqlite3_reset(stmt);
	return 0;
}

static int save_row(struct store *store, const struct row *row, const char *state, int64_t ended_ms,
		    struct err *err)
{
	sqlite3_stmt *stmt = store_statement(store, STMT_move_backfill);

	sqlite3_bind_int64(stmt, 1, row->id);
	store_bind_text(stmt, 2, state);
	sqlite3_bind_int64(stmt, 3, row->cursor_ms);
	sqlite3_bind_int64(stmt, 4, row->made);
	sqlite3_bind_int64(stmt, 5, row->left_out);
	sqlite3_bind_int64(stmt, 6, ended_ms);
	return store_step_done(store, stmt, "save a backfill", err);
}

/* --- starting ------------------------------------------------------------------------------------------- */

static int refuse_second(struct store *store, const char *dag, int64_t dag_id, struct err *err)
{
	sqlite3_stmt *stmt = store_statement(store, STMT_open_backfill_of);
	int64_t id = 0;
	int rc;

	sqlite3_bind_int64(stmt, 1, dag_id);
	rc = find_number(store, stmt, &id, err);
	return rc <= 0 ? rc
		       : err_set(err, ERR_BUSY,
				 "backfill %" PRId64 " of %s goes on already: wait for it, or cancel it", id,
				 dag);
}

static int check_range(const struct store_new_backfill *it, const struct dag *dag, const char *local_zone,
		       struct err *err)
{
	autobackfill struct backfill backfill = { 0 };
	autozones struct zones *zones = zones_new(local_zone);
	struct instant instant;
	struct due due;
	size_t schedule;

	if (instant_parse(it->from, &instant, err) < 0)
		return err_wrap(err, "from");
	if (instant_parse(it->to, &instant, err) < 0)
		return err_wrap(err, "to");
	if (backfill_init(&backfill, dag, zones, it->from, it->to, it->wall_ms, err) < 0)
		return err->code;
	if (!backfill_next(&backfill, INT64_MIN, &due, &schedule))
		return err_set(err, ERR_NOT_FOUND, "%s was not due from %s to %s", dag->name, it->from,
			       it->to);
	return 0;
}

static int add_row(struct store *store, const struct store_new_backfill *it, int64_t dag_id, int64_t version,
		   const char *params, int64_t *id_out, struct err *err)
{
	sqlite3_stmt *stmt = store_statement(store, STMT_add_backfill);

	sqlite3_bind_int64(stmt, 1, dag_id);
	sqlite3_bind_int64(stmt, 2, version);
	store_bind_text(stmt, 3, it->from);
	store_bind_text(stmt, 4, it->to);
	sqlite3_bind_int64(stmt, 5, it->wall_ms);
	sqlite3_bind_int64(stmt, 6, it->max_active);
	sqlite3_bind_int64(stmt, 7, it->again);
	store_bind_text(stmt, 8, params);
	sqlite3_bind_int64(stmt, 9, INT64_MIN);
	store_bind_text(stmt, 10, it->actor);
	store_bind_text(stmt, 11, it->origin);
	sqlite3_bind_int64(stmt, 12, it->wall_ms);
	return find_number(store, stmt, id_out, err) < 0 ? err->code : 0;
}

static int start(struct store *store, const struct store_new_backfill *it, const char *local_zone,
		 int64_t *id_out, struct err *err)
{
	autofree char *params = NULL, *detail = NULL;
	autodag struct dag *dag = NULL;
	int64_t dag_id, version;
	int rc = store_load_dag_ids(store, it->dag, &dag, &dag_id, &version, err);

	if (rc == 0 && (it->max_active < 1 || it->max_active > STORE_BACKFILL_ACTIVE_MAX))
		rc = err_set(err, ERR_INVALID, "max_active is a number from 1 to %d, not %d",
			     STORE_BACKFILL_ACTIVE_MAX, it->max_active);
	if (rc == 0)
		rc = check_range(it, dag, local_zone, err);
	if (rc == 0)
		rc = params_json(dag, it->assignments, it->assignments_count, &params, err);
	if (rc == 0)
		rc = refuse_second(store, it->dag, dag_id, err);
	if (rc == 0)
		rc = add_row(store, it, dag_id, version, params, id_out, err);
	if (rc < 0)
		return rc;
	detail = mem_printf("%" PRId64 ": %s from %s to %s, at most %d at a time%s", *id_out, it->dag,
			    it->from, it->to, it->max_active, it->again ? ", again" : "");
	return store_put_event(store, 0, "backfill.started", it->actor, it->origin, detail, it->wall_ms, err);
}

/* --- going on ------------------------------------------------------------------------------------------- */

static int count_active(struct store *store, int64_t id, int64_t *active_out, struct err *err)
{
	sqlite3_stmt *stmt = store_statement(store, STMT_count_backfill_runs);

	sqlite3_bind_int64(stmt, 1, id);
	return find_number(store, stmt, active_out, err) < 0 ? err->code : 0;
}

static int mark_run(struct store *store, const struct row *row, int64_t due_ms, uint64_t run, struct err *err)
{
	sqlite3_stmt *stmt = store_statement(store, STMT_set_run_backfill);
	int rc;

	sqlite3_bind_int64(stmt, 1, (int64_t)run);
	sqlite3_bind_int64(stmt, 2, row->id);
	rc = store_step_done(store, stmt, "make a run", err);
	if (rc < 0)
		return rc;
	stmt = store_statement(store, STMT_make_up_occurrence);
	sqlite3_bind_int64(stmt, 1, row->dag_id);
	sqlite3_bind_int64(stmt, 2, due_ms);
	sqlite3_bind_int64(stmt, 3, (int64_t)run);
	return store_step_done(store, stmt, "write the ledger", err);
}

static int make_run(struct store *store, const struct row *row, const struct dag *dag, int64_t due_ms,
		    int64_t wall_ms, struct err *err)
{
	autofree char *origin = mem_printf("backfill %" PRId64 ", %s", row->id, row->origin);
	const struct store_new_run new_run = {
		.dag = dag,
		.params = row->params,
		.trigger = "backfill",
		.actor = row->actor,
		.origin = origin,
		.scheduled_for_wall_ms = due_ms,
		.wall_ms = wall_ms,
	};
	uint64_t run;
	int rc = store_create_run(store, &new_run, &run, err);

	return rc < 0 ? rc : mark_run(store, row, due_ms, run, err);
}

/* Goes through due times until as many runs go on as may. *over_out: there are no more. */
static int make_runs(struct store *store, struct row *row, const struct backfill *backfill, int64_t active,
		     int64_t wall_ms, struct store_backfill_step *step, bool *over_out, struct err *err)
{
	enum store_backfill_fate fate;
	uint64_t number;
	struct due due;
	size_t schedule;
	int looked_at = 0, rc = 0;

	*over_out = false;
	for (; rc == 0 && active + step->made < row->max_active; looked_at++) {
		if (looked_at == LOOKED_AT_MAX) {
			step->more = true;
			break;
		}
		*over_out = !backfill_next(backfill, row->cursor_ms, &due, &schedule);
		if (*over_out)
			break;
		row->cursor_ms = due.at_ms;
		rc = store_backfill_fate(store, backfill, row->dag_id, &due, schedule, row->again, &fate,
					 &number, err);
		if (rc == 0 && fate == BACKFILL_RUN) {
			rc = make_run(store, row, backfill->dag, due.at_ms, wall_ms, err);
			step->made++;
		} else if (rc == 0) {
			row->left_out++;
		}
	}
	row->made += step->made;
	return rc;
}

static int load_version(struct store *store, int64_t version, struct dag **dag_out, struct err *err)
{
	sqlite3_stmt *stmt = store_statement(store, STMT_load_dag_version);
	int rc;

	sqlite3_bind_int64(stmt, 1, version);
	rc = store_step_row(store, stmt, "load a DAG", err);
	if (rc <= 0)
		return rc < 0 ? rc : err_set(err, ERR_CORRUPT, "version %" PRId64 " of a DAG is missing", version);
	rc = store_parse_dag((const char *)sqlite3_column_text(stmt, 0),
			     (const char *)sqlite3_column_text(stmt, 1),
			     (size_t)sqlite3_column_bytes(stmt, 1), dag_out, err);
	sqlite3_reset(stmt);
	return rc;
}

static int end_backfill(struct store *store, const struct row *row, int64_t wall_ms, struct err *err)
{
	autofree char *detail = mem_printf("%" PRId64 ": %s from %s to %s: %" PRId64 " runs, %" PRId64
					   " due times left out",
					   row->id, row->dag, row->from, row->to, row->made, row->left_out);
	int rc = save_row(store, row, "done", wall_ms, err);

	return rc < 0 ? rc : store_put_event(store, 0, "backfill.ended", "stoker", "", detail, wall_ms, err);
}

static int go_on(struct store *store, struct row *row, const char *local_zone, int64_t wall_ms,
		 struct store_backfill_step *step, struct err *err)
{
	autobackfill struct backfill backfill = { 0 };
	autozones struct zones *zones = zones_new(local_zone);
	autodag struct dag *dag = NULL;
	int64_t active = 0;
	bool over = false;
	int rc = count_active(store, row->id, &active, err);

	if (rc < 0 || active >= row->max_active)
		return rc;
	rc = load_version(store, row->version, &dag, err);
	if (rc == 0)
		rc = backfill_init(&backfill, dag, zones, row->from, row->to, row->until_ms, err);
	if (rc == 0)
		rc = make_runs(store, row, &backfill, active, wall_ms, step, &over, err);
	if (rc < 0)
		return rc;
	step->ended = over && active + step->made == 0;
	return step->ended ? end_backfill(store, row, wall_ms, err) : save_row(store, row, "running", 0, err);
}

static int cancel(struct store *store, int64_t id, const char *actor, const char *origin, int64_t wall_ms,
		  struct arena *arena, struct err *err)
{
	sqlite3_stmt *stmt;
	struct row row;
	int rc = load_row(store, id, arena, &row, err);

	if (rc < 0 || !row.running)
		return rc;
	rc = save_row(store, &row, "canceled", wall_ms, err);
	if (rc < 0)
		return rc;
	stmt = store_statement(store, STMT_cancel_backfill_runs);
	sqlite3_bind_int64(stmt, 1, id);
	store_bind_text(stmt, 2, actor);
	store_bind_text(stmt, 3, origin);
	sqlite3_bind_int64(stmt, 4, wall_ms);
	rc = store_step_done(store, stmt, "cancel a backfill", err);
	return rc < 0 ? rc
		      : store_put_event(store, 0, "backfill.canceled", actor, origin,
					arena_printf(arena, "%" PRId64 ": %s from %s to %s", id, row.dag, row.from,
						     row.to),
					wall_ms, err);
}

/* ------------------------------------------------------------------------------------------------------- */

int store_start_backfill(struct store *store, const struct store_new_backfill *new_backfill,
			 const char *local_zone, int64_t *id_out, struct err *err)
{
	int rc = store_begin(store, err);

	if (rc < 0)
		return rc;
	rc = start(store, new_backfill, local_zone, id_out, err);
	return rc < 0 ? store_undo(store, rc) : store_commit(store, err);
}

int store_cancel_backfill(struct store *store, int64_t id, const char *actor, const char *origin,
			  int64_t wall_ms, struct err *err)
{
	__attribute__((cleanup(arena_fini))) struct arena arena = { 0 };
	int rc = store_begin(store, err);

	if (rc < 0)
		return rc;
	rc = cancel(store, id, actor, origin, wall_ms, &arena, err);
	return rc < 0 ? store_undo(store, rc) : store_commit(store, err);
}

int store_backfill_step(struct store *store, int64_t id, const char *local_zone, int64_t wall_ms,
			struct store_backfill_step *step_out, struct err *err)
{
	__attribute__((cleanup(arena_fini))) struct arena arena = { 0 };
	struct store_backfill_step step = { 0 };
	struct row row;
	int rc = store_begin(store, err);

	if (rc < 0)
		return rc;
	rc = load_row(store, id, &arena, &row, err);
	if (rc == 0 && row.running)
		rc = go_on(store, &row, local_zone, wall_ms, &step, err);
	*step_out = step;
	return rc < 0 ? store_undo(store, rc) : store_commit(store, err);
}

int store_open_backfills(struct store *store, struct arena *arena, int64_t **ids_out, size_t *count_out,
			 struct err *err)
{
	sqlite3_stmt *stmt = store_statement(store, STMT_open_backfills);
	int64_t *list = NULL;
	size_t count = 0, room = 0;
	int rc;

	while ((rc = store_step_row(store, stmt, "look for backfills", err)) == 1) {
		mem_grow(&list, &room, count, sizeof *list);
		list[count++] = sqlite3_column_int64(stmt, 0);
	}
	*ids_out = arena_memdup(arena, list, count * sizeof *list);
	*count_out = count;
	free(list);
	return rc;
}

int store_backfill_fate(struct store *store, const struct backfill *backfill, int64_t dag_id,
			const struct due *due, size_t schedule, bool again, enum store_backfill_fate *fate_out,
			uint64_t *number_out, struct err *err)
{
	sqlite3_stmt *stmt = store_statement(store, STMT_find_due_run);
	int64_t number = 0;
	int rc;

	sqlite3_bind_int64(stmt, 1, dag_id);
	sqlite3_bind_int64(stmt, 2, due->at_ms);
	sqlite3_bind_int(stmt, 3, !again);
	rc = find_number(store, stmt, &number, err);
	*number_out = (uint64_t)number;
	*fate_out = BACKFILL_HAS_RUN;
	if (rc != 0)
		return rc < 0 ? rc : 0;
	stmt = store_statement(store, STMT_is_undecided);
	sqlite3_bind_int64(stmt, 1, dag_id);
	store_bind_text(stmt, 2, backfill->dag->schedules[schedule].cron);
	store_bind_text(stmt, 3, backfill->dag->schedules[schedule].timezone);
	sqlite3_bind_int64(stmt, 4, due->at_ms);
	rc = find_number(store, stmt, &number, err);
	*fate_out = rc == 1 ? BACKFILL_UNDECIDED : BACKFILL_RUN;
	return rc < 0 ? rc : 0;
}
