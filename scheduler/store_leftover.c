/*
 * store_leftover.c - what leftover.c reads of runs that are over
 */
#include <inttypes.h>

#include "scheduler/run.h"
#include "scheduler/store_parts.h"

int store_run_state(struct store *store, uint64_t id, enum run_state *state_out, struct err *err)
{
	sqlite3_stmt *stmt = store_statement(store, STMT_leftover_run_state);
	int rc, state;

	sqlite3_bind_int64(stmt, 1, (int64_t)id);
	rc = store_step_row(store, stmt, "read the state of a run", err);
	if (rc <= 0)
		return rc < 0 ? rc : err_set(err, ERR_NOT_FOUND, "there is no run with id %" PRIu64, id);
	state = machine_find(run_states, RUN_STATES, (const char *)sqlite3_column_text(stmt, 0));
	sqlite3_reset(stmt);
	if (state < 0)
		return err_set(err, ERR_CORRUPT, "run %" PRIu64 " is in a state that is not known", id);
	*state_out = (enum run_state)state;
	return 0;
}

int store_name_step(struct store *store, uint64_t run, uint64_t step, struct arena *arena,
		    const char **name_out, struct err *err)
{
	sqlite3_stmt *stmt = store_statement(store, STMT_leftover_step_name);
	int rc;

	sqlite3_bind_int64(stmt, 1, (int64_t)run);
	sqlite3_bind_int64(stmt, 2, (int64_t)step);
	rc = store_step_row(store, stmt, "name a step", err);
	if (rc <= 0)
		return rc < 0 ? rc : err_set(err, ERR_NOT_FOUND, "run %" PRIu64 " has no such step", run);
	*name_out = store_column_text(stmt, 0, arena);
	sqlite3_reset(stmt);
	return 0;
}
