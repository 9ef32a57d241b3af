/*
 * store_limits.c - the limits in force, for those who only read the state
 */
#include <string.h>

#include "scheduler/settings.h"
#include "scheduler/store_parts.h"

static bool is_same(sqlite3_stmt *stmt, const struct settings_pool *pool)
{
	return pool != NULL && sqlite3_column_int(stmt, 1) == pool->slots &&
	       strcmp((const char *)sqlite3_column_text(stmt, 2),
		      pool->description == NULL ? "" : pool->description) == 0;
}

/* 1: they are stored as the settings say; 0: not. */
static int pools_are_stored(struct store *store, const struct settings *settings, struct err *err)
{
	sqlite3_stmt *stmt = store_statement(store, STMT_limits_pools);
	size_t same = 0, rows = 0;
	int rc;

	while ((rc = store_step_row(store, stmt, "read the pools", err)) == 1) {
		const char *name = (const char *)sqlite3_column_text(stmt, 0);

		rows++;
		same += is_same(stmt, settings_find_pool(settings, name));
	}
	return rc < 0 ? rc : rows == settings->pools_count && same == rows;
}

static int slots_are_stored(struct store *store, const struct settings *settings, struct err *err)
{
	for (size_t i = 0; i < settings->workers_count; i++) {
		sqlite3_stmt *stmt = store_statement(store, STMT_limits_slots);
		int stored = 0, rc;

		store_bind_text(stmt, 1, settings->workers[i].name);
		rc = store_step_row(store, stmt, "read a worker's slots", err);
		if (rc == 1)
			stored = sqlite3_column_int(stmt, 0);
		sqlite3_reset(stmt);
		if (rc < 0 || stored != settings->workers[i].terms.slots)
			return rc < 0 ? rc : 0;
	}
	return 1;
}

static int put_pools(struct store *store, const struct settings *settings, struct err *err)
{
	int rc = store_step_done(store, store_statement(store, STMT_limits_drop_pools), "save the pools", err);

	for (size_t i = 0; i < settings->pools_count && rc == 0; i++) {
		sqlite3_stmt *stmt = store_statement(store, STMT_limits_add_pool);

		store_bind_text(stmt, 1, settings->pools[i].name);
		sqlite3_bind_int(stmt, 2, settings->pools[i].slots);
		store_bind_text(stmt, 3, settings->pools[i].description);
		rc = store_step_done(store, stmt, "save the pools", err);
	}
	return rc;
}

static int put_slots(struct store *store, const struct settings *settings, struct err *err)
{
	int rc = 0;

	for (size_t i = 0; i < settings->workers_count && rc == 0; i++) {
		sqlite3_stmt *stmt = store_statement(store, STMT_limits_put_slots);

		store_bind_text(stmt, 1, settings->workers[i].name);
		sqlite3_bind_int(stmt, 2, settings->workers[i].terms.slots);
		rc = store_step_done(store, stmt, "save a worker's slots", err);
	}
	return rc;
}

/* Usually nothing has changed, and nothing is written. */
int store_put_limits(struct store *store, const struct settings *settings, struct err *err)
{
	int rc = pools_are_stored(store, settings, err);

	if (rc == 1)
		rc = slots_are_stored(store, settings, err);
	if (rc != 0)
		return rc < 0 ? rc : 0;
	rc = store_begin(store, err);
	if (rc < 0)
		return rc;
	rc = put_pools(store, settings, err);
	if (rc == 0)
		rc = put_slots(store, settings, err);
	return rc < 0 ? store_undo(store, rc) : store_commit(store, err);
}
