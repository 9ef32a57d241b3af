/*
 * view_find.c - from names to rows, and what was probably meant when there is none
 */
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "common/clock.h"
#include "common/mem.h"
#include "common/scope.h"
#include "dag/suggest.h"
#include "scheduler/view.h"
#include "scheduler/view_rows.h"

/* The DAG that is called so, or nearly so: its name and the number of its latest run; false when none is. */
static bool find_dag(struct store *store, const char *name, char near_out[SUGGEST_BYTES_MAX + 1],
		     int64_t *latest_out, struct err *err)
{
	__attribute__((cleanup(arena_fini))) struct arena arena = { 0 };
	struct suggest suggest = suggest_for(name);
	sqlite3_stmt *stmt = store_statement(store, STMT_view_dag_names);
	const char *best;

	while (view_next(store, stmt, err) == 1) {
		const char *offered = arena_strdup(&arena, view_text(stmt, 0));
		bool exact = strcmp(offered, name) == 0;

		suggest_offer(&suggest, offered, NULL);
		best = suggest_best(&suggest);
		if (exact || best == offered) {
			snprintf(near_out, SUGGEST_BYTES_MAX + 1, "%s", offered);
			*latest_out = sqlite3_column_int64(stmt, 1);
		}
		if (exact) {
			sqlite3_reset(stmt);
			return true;
		}
	}
	return suggest_best(&suggest) != NULL;
}

static void offer_run(struct store *store, const char *dag, struct err *err)
{
	char near[SUGGEST_BYTES_MAX + 1];
	int64_t latest = 0;
	size_t used = strlen(err->text);

	if (!find_dag(store, dag, near, &latest, NULL) || latest == 0)
		return;
	if (strcmp(near, dag) == 0)
		snprintf(err->text + used, sizeof err->text - used, "; the latest of %s is %s/%" PRId64, dag,
			 near, latest);
	else
		snprintf(err->text + used, sizeof err->text - used, "; did you mean %s/%" PRId64 "?", near,
			 latest);
}

int view_find_dag(struct store *store, const char *dag, struct err *err)
{
	__attribute__((cleanup(arena_fini))) struct arena arena = { 0 };
	struct suggest suggest = suggest_for(dag);
	sqlite3_stmt *stmt = store_statement(store, STMT_view_dag_names);
	const char *best;
	int rc;

	while ((rc = view_next(store, stmt, err)) == 1) {
		if (strcmp(view_text(stmt, 0), dag) == 0) {
			sqlite3_reset(stmt);
			return 0;
		}
		suggest_offer(&suggest, arena_strdup(&arena, view_text(stmt, 0)), NULL);
	}
	best = suggest_best(&suggest);
	return rc < 0 ? rc
		      : err_set(err, ERR_NOT_FOUND, "no DAG called %s is known here%s%s%s", dag,
				best == NULL ? "" : "; did you mean ", best == NULL ? "" : best,
				best == NULL ? "" : "?");
}

/* Whoever asks for a run that is gone is told since when; false when it never was. */
static bool tell_removed(struct store *store, const char *dag, const char *number, struct err *err)
{
	sqlite3_stmt *stmt = store_statement(store, STMT_view_removed_run);
	char at[CLOCK_RFC3339_BYTES];

	sqlite3_bind_text(stmt, 1, dag, -1, SQLITE_STATIC);
	sqlite3_bind_int64(stmt, 2, strtoll(number, NULL, 10));
	if (view_next(store, stmt, NULL) != 1)
		return false;
	err_set(err, ERR_NOT_FOUND, "%s/%s is not kept any more: it %s, and was removed at %s (retention)", dag,
		number, view_text(stmt, 0)[0] == 'c' ? "was canceled" : view_text(stmt, 0),
		clock_rfc3339(sqlite3_column_int64(stmt, 1), at));
	sqlite3_reset(stmt);
	return true;
}

int view_find_run(struct store *store, const char *name, uint64_t *run_out, struct err *err)
{
	int rc = store_find_run(store, name, run_out, err);

	if (rc == ERR_INVALID || rc == ERR_NOT_FOUND) {
		autofree char *dag = mem_strndup(name, strcspn(name, "/"));

		if (rc == ERR_INVALID || !tell_removed(store, dag, name + strlen(dag) + 1, err))
			offer_run(store, dag, err);
	}
	return rc;
}

int view_find_task(struct store *store, uint64_t run, const char *name, uint32_t *step_out, struct err *err)
{
	__attribute__((cleanup(arena_fini))) struct arena arena = { 0 };
	struct suggest suggest = suggest_for(name);
	sqlite3_stmt *stmt = store_statement(store, STMT_view_task_names);
	const char *first = NULL;
	int rc;

	sqlite3_bind_int64(stmt, 1, (int64_t)run);
	while ((rc = view_next(store, stmt, err)) == 1) {
		const char *offered = view_text(stmt, 1);

		if (strcmp(offered, name) == 0) {
			*step_out = (uint32_t)sqlite3_column_int64(stmt, 0);
			sqlite3_reset(stmt);
			return 0;
		}
		if (suggest.offers < SUGGEST_OFFERS_MAX)
			suggest_offer(&suggest, arena_strdup(&arena, offered), NULL);
		if (first == NULL)
			first = arena_strdup(&arena, offered);
	}
	if (rc < 0)
		return rc;
	if (suggest_best(&suggest) != NULL)
		return err_set(err, ERR_NOT_FOUND, "the run has no task %s; did you mean %s?", name,
			       suggest_best(&suggest));
	return err_set(err, ERR_NOT_FOUND, "the run has no task %s%s%s", name,
		       first == NULL ? "" : "; its first is ", first == NULL ? "" : first);
}
