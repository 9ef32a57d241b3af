/*
 * nights_fixture.h - what the daemon does with schedules, on a clock that the test sets: timetable, store, and being
 * killed in between
 */
#ifndef TESTS_UNIT_NIGHTS_FIXTURE_H
#define TESTS_UNIT_NIGHTS_FIXTURE_H

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "common/buf.h"
#include "common/mem.h"
#include "common/scope.h"
#include "dag/diagnostic.h"
#include "scheduler/instant.h"
#include "scheduler/store_due.h"
#include "scheduler/timetable.h"
#include "scheduler/zones.h"

#define MINUTE_MS (INT64_C(60) * 1000)
#define HOUR_MS	  (60 * MINUTE_MS)
#define DAY_MS	  (24 * HOUR_MS)

enum { NIGHTS_DAGS_MAX = 20, NIGHTS_ROOM = 64 };

struct nights {
	struct store *store;
	struct zones *zones;
	struct timetable *timetable; /* NULL: the daemon is down */
	struct dag *dags[NIGHTS_DAGS_MAX];
	size_t dags_count;
	int64_t now_ms;
};

/* "2026-03-29T02:30:00Z" */
static inline int64_t ms(const char *text)
{
	struct instant instant = { 0 };

	if (instant_parse(text, &instant, NULL) < 0)
		fail_msg("'%s' is no time", text);
	return instant.seconds * 1000;
}

static inline struct dag *nights_parse(const char *yaml)
{
	struct diagnostics diagnostics;
	struct dag *dag = NULL;

	diagnostics_init(&diagnostics);
	if (dag_parse("/dags/night.yaml", yaml, strlen(yaml), &dag, &diagnostics) < 0) {
		diagnostics_print(&diagnostics, stderr, false);
		fail_msg("the DAG is not valid");
	}
	diagnostics_fini(&diagnostics);
	return dag;
}

static inline void nights_put(struct nights *nights, const struct dag *dag)
{
	struct timetable_row *rows = mem_array(dag->schedules_count + 1, sizeof *rows);
	struct err err;

	if (store_put_dag(nights->store, dag, "UTC", nights->now_ms, rows, &err) < 0 ||
	    timetable_put(nights->timetable, dag, rows, &err) < 0)
		fail_msg("%s", err.text);
	free(rows);
}

static inline void nights_stop(struct nights *nights)
{
	timetable_free(nights->timetable);
	nights->timetable = NULL;
}

/* As after a kill: all that is known is on disk. */
static inline void nights_start(struct nights *nights)
{
	nights->timetable = timetable_new(nights->zones);
	for (size_t i = 0; i < nights->dags_count; i++)
		nights_put(nights, nights->dags[i]);
}

/* `home` NULL: in memory. */
static inline void nights_open_at(struct nights *nights, const char *home, const char *now)
{
	struct err err;

	*nights = (struct nights){ .now_ms = ms(now), .zones = zones_new("UTC") };
	if ((home == NULL ? store_open_memory(&nights->store, &err) : store_open(home, &nights->store, &err)) < 0)
		fail_msg("%s", err.text);
	nights_start(nights);
}

static inline void nights_open(struct nights *nights, const char *now)
{
	nights_open_at(nights, NULL, now);
}

static inline void nights_close(struct nights *nights)
{
	nights_stop(nights);
	store_close(nights->store);
	zones_free(nights->zones);
	for (size_t i = 0; i < nights->dags_count; i++)
		dag_free(nights->dags[i]);
}

/* The file of a DAG appears, or changes. */
static inline struct dag *nights_load(struct nights *nights, const char *yaml)
{
	struct dag *dag = nights_parse(yaml);

	nights_put(nights, dag);
	for (size_t i = 0; i < nights->dags_count; i++)
		if (strcmp(nights->dags[i]->name, dag->name) == 0) {
			dag_free(nights->dags[i]);
			return nights->dags[i] = dag;
		}
	assert_true(nights->dags_count < NIGHTS_DAGS_MAX);
	return nights->dags[nights->dags_count++] = dag;
}

/* One look at the clock, with all that is due by it. */
static inline void nights_look(struct nights *nights)
{
	struct timetable_decision decisions[NIGHTS_ROOM];
	struct err err;
	size_t count;

	while ((count = timetable_due(nights->timetable, nights->now_ms, decisions, NIGHTS_ROOM)) > 0) {
		if (store_settle(nights->store, decisions, count, nights->now_ms, NULL, &err) < 0)
			fail_msg("%s", err.text);
		for (size_t i = 0; i < count; i++)
			timetable_settled(nights->timetable, decisions[i].schedule, decisions[i].due.at_ms);
	}
}

/* The clock goes on to `until_ms`, the daemon waking when it has asked to. */
static inline void nights_pass(struct nights *nights, int64_t until_ms)
{
	for (;;) {
		int64_t next_ms;

		nights_look(nights);
		next_ms = timetable_next_wall_ms(nights->timetable);
		if (next_ms > until_ms)
			break;
		nights->now_ms = next_ms;
	}
	nights->now_ms = until_ms;
	nights_look(nights);
}

/* Somebody sets it, or the machine slept. */
static inline void nights_set_clock(struct nights *nights, int64_t now_ms)
{
	nights->now_ms = now_ms;
	nights_look(nights);
}

static inline int64_t nights_number(struct nights *nights, const char *sql)
{
	sqlite3_stmt *stmt = NULL;
	int64_t number;

	if (sqlite3_prepare_v2(nights->store->db, sql, -1, &stmt, NULL) != SQLITE_OK)
		fail_msg("%s", sqlite3_errmsg(nights->store->db));
	number = sqlite3_step(stmt) == SQLITE_ROW ? sqlite3_column_int64(stmt, 0) : 0;
	sqlite3_finalize(stmt);
	return number;
}

static inline void nights_exec(struct nights *nights, const char *sql)
{
	if (sqlite3_exec(nights->store->db, sql, NULL, NULL, NULL) != SQLITE_OK)
		fail_msg("%s", sqlite3_errmsg(nights->store->db));
}

/* Each run ends well. */
static inline void nights_end_runs(struct nights *nights)
{
	nights_exec(nights, "UPDATE run SET state = 'succeeded' WHERE state IN ('queued', 'running')");
}

/*
 * The ledger in order, a letter each: r ran, m missed, s superseded, l too late, o overlap, p paused; a capital one:
 * skipped, and made up for by a run.
 */
static inline void assert_ledger(struct nights *nights, const char *expected)
{
	sqlite3_stmt *stmt = NULL;
	autobuf struct buf found = { 0 };

	if (sqlite3_prepare_v2(nights->store->db,
			       "SELECT CASE WHEN state = 'ran' THEN 'r' WHEN reason = 'too_late' THEN 'l'"
			       " WHEN run IS NOT NULL THEN upper(substr(reason, 1, 1))"
			       " ELSE substr(reason, 1, 1) END FROM occurrence ORDER BY due_ms, schedule",
			       -1, &stmt, NULL) != SQLITE_OK)
		fail_msg("%s", sqlite3_errmsg(nights->store->db));
	while (sqlite3_step(stmt) == SQLITE_ROW)
		buf_append_text(&found, (const char *)sqlite3_column_text(stmt, 0));
	sqlite3_finalize(stmt);
	assert_string_equal(buf_text(&found), expected);
}

#endif
