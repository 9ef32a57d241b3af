#include "scheduler/store_outbox.h"

#include <inttypes.h>
#include <string.h>

#include "common/scope.h"
#include "scheduler/paths.h"
#include "scheduler/resend.h"
#include "scheduler/store_parts.h"
#include "scheduler/tail.h"

#define autoarena __attribute__((cleanup(arena_fini)))

/* --- when something happens ----------------------------------------------------------------------------- */

static int add(struct store *store, const struct notice *notice, const char *about, const char *receiver,
	       struct arena *arena, struct err *err)
{
	sqlite3_stmt *stmt = store_statement(store, STMT_add_notice);

	store_bind_text(stmt, 1, about);
	store_bind_text(stmt, 2, receiver);
	store_bind_text(stmt, 3, notice_event_name(notice->event));
	store_bind_text(stmt, 4, notice->dag);
	sqlite3_bind_int64(stmt, 5, (int64_t)notice->run);
	store_bind_text(stmt, 6, notice_json(notice, arena));
	sqlite3_bind_int64(stmt, 7, notice->at_wall_ms);
	return store_step_done(store, stmt, "save a notice", err);
}

static int recovers(struct store *store, uint64_t run, bool *out, struct err *err)
{
	sqlite3_stmt *stmt = store_statement(store, STMT_notice_recovers);
	int rc;

	*out = false;
	sqlite3_bind_int64(stmt, 1, (int64_t)run);
	rc = store_step_row(store, stmt, "look for a recovery", err);
	if (rc <= 0)
		return rc;
	*out = sqlite3_column_int(stmt, 0) != 0;
	sqlite3_reset(stmt);
	return 0;
}

static const char *read_canceled_by(struct store *store, uint64_t run, struct arena *arena)
{
	sqlite3_stmt *stmt = store_statement(store, STMT_view_last_event);
	const char *who = NULL;

	sqlite3_bind_int64(stmt, 1, (int64_t)run);
	store_bind_text(stmt, 2, "run.cancel_requested");
	if (store_step_row(store, stmt, "read who canceled", NULL) == 1) {
		who = arena_printf(arena, "%s (%s)", (const char *)sqlite3_column_text(stmt, 1),
				   (const char *)sqlite3_column_text(stmt, 2));
		sqlite3_reset(stmt);
	}
	return who;
}

/* What only the database and the folder of the run tell. */
static void complete(struct store *store, struct notice *notice, struct arena *arena)
{
	if (notice->event == DAG_ON_CANCELED)
		notice->canceled_by = read_canceled_by(store, notice->run, arena);
	if (notice->event == DAG_ON_FAILED && notice->task != NULL && store->home != NULL)
		notice->last_line = tail_last_line(paths_log(arena, store->home, notice->dag, notice->number,
							     notice->task, notice->attempt),
						   arena);
}

int store_save_notice(struct store *store, const struct notice *notice, const char *receiver, unsigned on,
		      struct err *err)
{
	autoarena struct arena arena = { 0 };
	struct notice told = *notice;
	bool recovered = false;

	if (told.event == DAG_ON_SUCCEEDED && (on & DAG_ON_RECOVERED) != 0 &&
	    recovers(store, told.run, &recovered, err) < 0)
		return err->code;
	if (recovered)
		told.event = DAG_ON_RECOVERED;
	if ((on & told.event) == 0)
		return 0;
	complete(store, &told, &arena);
	return add(store, &told, arena_printf(&arena, "run %" PRIu64 " %" PRId64, told.run, told.at_wall_ms),
		   receiver, &arena, err);
}

static int add_to_all(struct store *store, const struct notice *notice, const char *about,
		      const struct notice_list *receivers, struct arena *arena, struct err *err)
{
	for (size_t i = 0; i < receivers->count; i++)
		if (add(store, notice, about, receivers->receivers[i], arena, err) < 0)
			return err->code;
	return 0;
}

int store_notice_missed(struct store *store, const struct store_missed *missed, struct err *err)
{
	autoarena struct arena arena = { 0 };
	const char *cause = strcmp(missed->reason, "too_late") == 0 ? "it was too late to start it"
								    : "stoker was not running";
	struct notice notice = { .event = DAG_ON_MISSED,
				 .dag = missed->dag,
				 .page = missed->page,
				 .at_wall_ms = missed->wall_ms,
				 .due_wall_ms = missed->last_due_wall_ms };

	if (missed->count == 0)
		return 0;
	notice.why = missed->count == 1
			     ? arena_printf(&arena, "%s did not run at %s: %s", missed->dag, missed->last_nominal, cause)
			     : arena_printf(&arena, "%s did not run at %zu due times, from %s to %s: %s", missed->dag,
					    missed->count, missed->first_nominal, missed->last_nominal, cause);
	return add_to_all(store, &notice,
			  arena_printf(&arena, "missed %s %s %" PRId64, missed->dag, missed->reason,
				       missed->first_due_wall_ms),
			  missed->receivers, &arena, err);
}

/* --- lateness ------------------------------------------------------------------------------------------- */

/* The first of them, and how many. */
struct lateness {
	int64_t dag;
	size_t count;
	int64_t due_wall_ms;
	uint64_t run, number;
	const char *nominal, *state, *reason, *run_state;
};

static int find_dag(struct store *store, const char *name, int64_t *id_out, struct err *err)
{
	sqlite3_stmt *stmt = store_statement(store, STMT_find_late_dag);
	int rc;

	*id_out = 0;
	store_bind_text(stmt, 1, name);
	rc = store_step_row(store, stmt, "look for lateness", err);
	if (rc <= 0)
		return rc;
	if (sqlite3_column_bytes(stmt, 1) == 0) /* paused: nobody expects anything */
		*id_out = sqlite3_column_int64(stmt, 0);
	sqlite3_reset(stmt);
	return 0;
}

/* 1: it was noticed before. */
static int was_noticed(struct store *store, int64_t dag, const char *day, struct err *err)
{
	sqlite3_stmt *stmt = store_statement(store, STMT_find_lateness);
	int rc;

	sqlite3_bind_int64(stmt, 1, dag);
	store_bind_text(stmt, 2, day);
	rc = store_step_row(store, stmt, "look for lateness", err);
	if (rc == 1)
		sqlite3_reset(stmt);
	return rc;
}

static int read_lateness(struct store *store, const struct late_window *window, struct arena *arena,
			 struct lateness *out, struct err *err)
{
	sqlite3_stmt *stmt = store_statement(store, STMT_late_occurrences);
	int rc;

	sqlite3_bind_int64(stmt, 1, out->dag);
	sqlite3_bind_int64(stmt, 2, window->from_ms);
	sqlite3_bind_int64(stmt, 3, window->until_ms);
	while ((rc = store_step_row(store, stmt, "look for lateness", err)) == 1) {
		if (out->count++ > 0)
			continue;
		out->due_wall_ms = sqlite3_column_int64(stmt, 0);
		out->nominal = store_column_text(stmt, 1, arena);
		out->state = store_column_text(stmt, 2, arena);
		out->reason = store_column_text(stmt, 3, arena);
		out->number = (uint64_t)sqlite3_column_int64(stmt, 4);
		out->run_state = store_column_text(stmt, 5, arena);
		out->run = (uint64_t)sqlite3_column_int64(stmt, 6);
	}
	return rc;
}

static const char *describe(const struct store_late *late, const struct lateness *lateness, struct arena *arena)
{
	const char *name = late->dag, *by = late->window.label;
	const char *more = lateness->count < 2
				   ? ""
				   : arena_printf(arena, " (and %zu more)", lateness->count - 1);

	if (lateness->run == 0)
		return arena_printf(arena, "%s is expected by %s, and there was no run for %s%s: it was skipped (%s)",
				    name, by, lateness->nominal, more, lateness->reason);
	if (strcmp(lateness->run_state, "running") == 0 || strcmp(lateness->run_state, "queued") == 0)
		return arena_printf(arena, "%s is expected by %s, and %s/%" PRIu64 ", due at %s, is still %s%s", name,
				    by, name, lateness->number, lateness->nominal, lateness->run_state, more);
	return arena_printf(arena, "%s is expected by %s, and %s/%" PRIu64 ", due at %s, %s%s", name, by, name,
			    lateness->number, lateness->nominal,
			    strcmp(lateness->run_state, "failed") == 0 ? "failed" : "was canceled", more);
}

static int mark_late(struct store *store, int64_t dag, const struct store_late *late, struct err *err)
{
	sqlite3_stmt *stmt = store_statement(store, STMT_add_lateness);

	sqlite3_bind_int64(stmt, 1, dag);
	store_bind_text(stmt, 2, late->window.day);
	sqlite3_bind_int64(stmt, 3, late->wall_ms);
	return store_step_done(store, stmt, "note lateness", err);
}

static int tell_late(struct store *store, const struct store_late *late, const struct lateness *lateness,
		     struct arena *arena, struct err *err)
{
	struct notice notice = {
		.event = DAG_ON_LATE,
		.dag = late->dag,
		.run = lateness->run,
		.number = lateness->number,
		.state = lateness->run == 0 ? NULL : lateness->run_state,
		.why = describe(late, lateness, arena),
		.page = late->page,
		.at_wall_ms = late->wall_ms,
		.due_wall_ms = lateness->due_wall_ms,
	};

	if (mark_late(store, lateness->dag, late, err) < 0 ||
	    store_put_event(store, lateness->run, "dag.late", "stoker", "", notice.why, late->wall_ms, err) < 0)
		return err->code;
	return add_to_all(store, &notice, arena_printf(arena, "late %s %s", late->dag, late->window.day),
			  late->receivers, arena, err);
}

static int look_for_lateness(struct store *store, const struct store_late *late, bool *told_out, struct err *err)
{
	autoarena struct arena arena = { 0 };
	struct lateness lateness = { 0 };
	int rc = find_dag(store, late->dag, &lateness.dag, err);

	if (rc < 0 || lateness.dag == 0)
		return rc;
	rc = was_noticed(store, lateness.dag, late->window.day, err);
	if (rc != 0)
		return rc < 0 ? rc : 0;
	rc = read_lateness(store, &late->window, &arena, &lateness, err);
	if (rc < 0 || lateness.count == 0)
		return rc;
	rc = tell_late(store, late, &lateness, &arena, err);
	if (rc == 0 && told_out != NULL)
		*told_out = true;
	return rc;
}

int store_notice_late(struct store *store, const struct store_late *late, bool *told_out, struct err *err)
{
	int rc = store_begin(store, err);

	if (told_out != NULL)
		*told_out = false;
	if (rc < 0)
		return rc;
	rc = look_for_lateness(store, late, told_out, err);
	return rc < 0 ? store_undo(store, rc) : store_commit(store, err);
}

/* --- delivering ----------------------------------------------------------------------------------------- */

static void bind_now(sqlite3_stmt *stmt, int64_t now_wall_ms)
{
	sqlite3_bind_int64(stmt, 1, now_wall_ms);
	sqlite3_bind_int64(stmt, 2, RESEND_MOST_MS);
	sqlite3_bind_int64(stmt, 3, OUTBOX_CLAIM_MS);
}

int store_next_notice(struct store *store, int64_t now_wall_ms, int64_t *next_out, struct err *err)
{
	sqlite3_stmt *stmt = store_statement(store, STMT_next_notice);
	int rc;

	bind_now(stmt, now_wall_ms);
	rc = store_step_row(store, stmt, "look for notices", err);
	if (rc < 0)
		return rc;
	*next_out = rc == 0 || sqlite3_column_type(stmt, 0) == SQLITE_NULL ? INT64_MAX
									   : sqlite3_column_int64(stmt, 0);
	sqlite3_reset(stmt);
	return 0;
}

int store_take_notices(struct store *store, int64_t now_wall_ms, size_t most, struct arena *arena,
		       struct outbox_row rows[OUTBOX_TAKEN_MAX], size_t *count_out, struct err *err)
{
	sqlite3_stmt *stmt = store_statement(store, STMT_take_notices);
	size_t count = 0;
	int rc;

	bind_now(stmt, now_wall_ms);
	sqlite3_bind_int64(stmt, 4, (int64_t)most);
	while ((rc = store_step_row(store, stmt, "take notices", err)) == 1)
		rows[count++] = (struct outbox_row){
			.id = (uint64_t)sqlite3_column_int64(stmt, 0),
			.receiver = store_column_text(stmt, 1, arena),
			.body = store_column_text(stmt, 2, arena),
			.run = (uint64_t)sqlite3_column_int64(stmt, 3),
			.dag = store_column_text(stmt, 4, arena),
			.event = store_column_text(stmt, 5, arena),
			.attempts = (uint32_t)sqlite3_column_int64(stmt, 6),
			.created_wall_ms = sqlite3_column_int64(stmt, 7),
		};
	*count_out = rc < 0 ? 0 : count;
	return rc;
}

int store_hold_notice(struct store *store, uint64_t id, int64_t now_wall_ms, struct err *err)
{
	sqlite3_stmt *stmt = store_statement(store, STMT_hold_notice);

	sqlite3_bind_int64(stmt, 1, (int64_t)id);
	sqlite3_bind_int64(stmt, 2, now_wall_ms + OUTBOX_CLAIM_MS);
	return store_step_done(store, stmt, "hold a notice", err);
}

static int end_notice(struct store *store, uint64_t id, const char *state, const char *error, int64_t now_wall_ms,
		      struct err *err)
{
	sqlite3_stmt *stmt = store_statement(store, STMT_end_notice);

	sqlite3_bind_int64(stmt, 1, (int64_t)id);
	store_bind_text(stmt, 2, state);
	sqlite3_bind_int64(stmt, 3, now_wall_ms);
	store_bind_text(stmt, 4, error);
	return store_step_done(store, stmt, "end a notice", err);
}

int store_sent_notice(struct store *store, uint64_t id, int64_t now_wall_ms, struct err *err)
{
	return end_notice(store, id, "sent", "", now_wall_ms, err);
}

int store_postpone_notice(struct store *store, uint64_t id, int64_t next_wall_ms, const char *error, struct err *err)
{
	sqlite3_stmt *stmt = store_statement(store, STMT_postpone_notice);

	sqlite3_bind_int64(stmt, 1, (int64_t)id);
	sqlite3_bind_int64(stmt, 2, next_wall_ms);
	store_bind_text(stmt, 3, error);
	return store_step_done(store, stmt, "postpone a notice", err);
}

int store_failed_notice(struct store *store, const struct outbox_row *row, const char *error, int64_t now_wall_ms,
			struct err *err)
{
	autoarena struct arena arena = { 0 };
	const char *detail = arena_printf(&arena, "'%s' of %s could not be told, given up in try %" PRIu32 ": %s",
					  row->event, row->dag, row->attempts, error);
	int rc = store_begin(store, err);

	if (rc < 0)
		return rc;
	rc = end_notice(store, row->id, "failed", error, now_wall_ms, err);
	/* Only by whoever ended it: it may have been given up by another stoker a moment before. */
	if (rc == 0 && sqlite3_changes(store->db) > 0)
		rc = store_put_event(store, row->run, "notice.failed", "stoker", "", detail, now_wall_ms, err);
	return rc < 0 ? store_undo(store, rc) : store_commit(store, err);
}

int store_notices_left(struct store *store, uint64_t run, int64_t now_wall_ms, struct arena *arena,
		       struct outbox_left *out, struct err *err)
{
	sqlite3_stmt *stmt = store_statement(store, STMT_notices_of_run);
	int rc;

	sqlite3_bind_int64(stmt, 1, (int64_t)run);
	sqlite3_bind_int64(stmt, 2, now_wall_ms);
	rc = store_step_row(store, stmt, "look for notices", err);
	if (rc < 0)
		return rc;
	out->awaited = (size_t)sqlite3_column_int64(stmt, 0);
	out->open = (size_t)sqlite3_column_int64(stmt, 1);
	out->error = store_column_text(stmt, 2, arena);
	sqlite3_reset(stmt);
	return 0;
}
