#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "common/clock.h"
#include "common/rng.h"
#include "scheduler/store_backfill.h"
#include "scheduler/view.h"
#include "scheduler/view_dags.h"
#include "scheduler/view_due.h"
#include "tests/unit/nights_fixture.h"

static const char nightly[] = "name: n\n"
			      "schedule: {cron: '0 2 * * *', timezone: UTC}\n"
			      "params: {lr: 0.1}\n"
			      "steps: {a: {run: 'true'}}\n";

static struct store_new_backfill wanted(struct nights *nights, const char *from, const char *to)
{
	return (struct store_new_backfill){ .dag = "n",
					    .from = from,
					    .to = to,
					    .max_active = 1,
					    .actor = "ada",
					    .origin = "cli box",
					    .wall_ms = nights->now_ms };
}

static int64_t start(struct nights *nights, const struct store_new_backfill *it)
{
	struct err err;
	int64_t id;

	if (store_start_backfill(nights->store, it, "UTC", &id, &err) < 0)
		fail_msg("%s", err.text);
	return id;
}

static struct store_backfill_step step(struct nights *nights, int64_t id)
{
	struct store_backfill_step done;
	struct err err;

	if (store_backfill_step(nights->store, id, "UTC", nights->now_ms, &done, &err) < 0)
		fail_msg("%s", err.text);
	return done;
}

/* "02 03 04": the days of the month of its runs, in the order in which they were made. */
static void assert_days(struct nights *nights, const char *expected)
{
	sqlite3_stmt *stmt = NULL;
	autobuf struct buf found = { 0 };

	assert_int_equal(sqlite3_prepare_v2(nights->store->db,
					    "SELECT strftime('%d', scheduled_for_ms / 1000, 'unixepoch') FROM run"
					    " WHERE trigger = 'backfill' ORDER BY id",
					    -1, &stmt, NULL),
			 SQLITE_OK);
	while (sqlite3_step(stmt) == SQLITE_ROW)
		buf_printf(&found, "%s%s", found.bytes == 0 ? "" : " ", (const char *)sqlite3_column_text(stmt, 0));
	sqlite3_finalize(stmt);
	assert_string_equal(buf_text(&found), expected);
}

static void oldest_first_and_no_more_at_a_time_than_asked_for(void **state)
{
	struct store_new_backfill it;
	struct nights nights;
	int64_t id;

	(void)state;
	nights_open(&nights, "2026-03-20T12:00:00Z");
	nights_load(&nights, nightly);
	it = wanted(&nights, "2026-03-01", "2026-03-05");
	it.max_active = 2;
	id = start(&nights, &it);
	assert_int_equal(step(&nights, id).made, 2);
	assert_int_equal(step(&nights, id).made, 0);
	assert_days(&nights, "01 02");
	nights_exec(&nights, "UPDATE run SET state = 'failed' WHERE number = 1");
	assert_int_equal(step(&nights, id).made, 1);
	nights_end_runs(&nights);
	assert_int_equal(step(&nights, id).made, 2);
	assert_days(&nights, "01 02 03 04 05");
	assert_false(step(&nights, id).ended); /* its last runs go on */
	nights_end_runs(&nights);
	assert_true(step(&nights, id).ended);
	assert_false(step(&nights, id).ended); /* once */
	assert_int_equal(nights_number(&nights, "SELECT count(*) FROM event WHERE kind LIKE 'backfill.%'"), 2);
	assert_int_equal(nights_number(&nights, "SELECT count(*) FROM event WHERE kind = 'backfill.ended' AND detail ="
						" '1: n from 2026-03-01 to 2026-03-05: 5 runs, 0 due times left out'"),
			 1);
	assert_int_equal(nights_number(&nights, "SELECT count(*) FROM run WHERE actor = 'ada' AND backfill = 1"
						" AND origin = 'backfill 1, cli box'"),
			 5);
	nights_close(&nights);
}

static void what_has_a_run_is_left_out(void **state)
{
	struct store_new_backfill it;
	struct nights nights;
	int64_t id;

	(void)state;
	nights_open(&nights, "2026-03-01T12:00:00Z");
	nights_load(&nights, nightly);
	nights_pass(&nights, ms("2026-03-02T12:00:00Z"));
	nights_end_runs(&nights);
	nights_pass(&nights, ms("2026-03-03T12:00:00Z"));
	nights_exec(&nights, "UPDATE run SET state = 'failed' WHERE state = 'queued'");
	nights_pass(&nights, ms("2026-03-04T12:00:00Z")); /* goes on */
	it = wanted(&nights, "2026-03-01", "2026-03-04");
	it.max_active = 10;
	id = start(&nights, &it);
	assert_int_equal(step(&nights, id).made, 2);
	assert_days(&nights, "01 03");
	nights_end_runs(&nights);
	assert_true(step(&nights, id).ended);
	it.again = true;
	id = start(&nights, &it);
	assert_int_equal(step(&nights, id).made, 4);
	nights_close(&nights);
}

static void a_skipped_due_time_keeps_its_reason_and_gets_the_run(void **state)
{
	struct store_new_backfill it;
	struct nights nights;
	int64_t id;

	(void)state;
	nights_open(&nights, "2026-03-01T12:00:00Z");
	nights_load(&nights, nightly);
	store_pause(nights.store, "n", "ada", "", nights.now_ms, NULL, NULL);
	nights_pass(&nights, ms("2026-03-04T12:00:00Z"));
	store_unpause(nights.store, "n", "ada", "", nights.now_ms, NULL, NULL);
	nights_pass(&nights, ms("2026-03-05T12:00:00Z"));
	nights_end_runs(&nights);
	assert_ledger(&nights, "pppr");
	it = wanted(&nights, "2026-03-03", "2026-03-05");
	it.max_active = 10;
	id = start(&nights, &it);
	step(&nights, id);
	assert_days(&nights, "03 04");
	assert_ledger(&nights, "pPPr");
	/* And a clock that shows these times again leaves them alone. */
	nights_set_clock(&nights, ms("2026-03-02T12:00:00Z"));
	nights_pass(&nights, ms("2026-03-05T12:00:00Z"));
	assert_ledger(&nights, "pPPr");
	nights_close(&nights);
}

static void the_version_it_began_with_is_kept(void **state)
{
	struct store_new_backfill it;
	struct nights nights;
	int64_t id;

	(void)state;
	nights_open(&nights, "2026-03-20T12:00:00Z");
	nights_load(&nights, nightly);
	it = wanted(&nights, "2026-03-01", "2026-03-03");
	it.assignments = (const char *const[]){ "lr=0.5" };
	it.assignments_count = 1;
	id = start(&nights, &it);
	step(&nights, id);
	nights_load(&nights, "name: n\nschedule: {cron: '0 3,4,5 * * *', timezone: UTC}\nsteps: {b: {run: x}}\n");
	for (int i = 0; i < 5; i++) {
		nights_end_runs(&nights);
		step(&nights, id);
	}
	assert_days(&nights, "01 02 03");
	assert_int_equal(nights_number(&nights, "SELECT count(*) FROM run WHERE params = '{\"lr\":\"0.5\"}'"), 3);
	assert_int_equal(nights_number(&nights, "SELECT count(DISTINCT dag_version) FROM run"), 1);
	nights_close(&nights);
}

static void schedules_due_at_once_are_one_due_time(void **state)
{
	struct store_new_backfill it;
	struct nights nights;

	(void)state;
	nights_open(&nights, "2026-03-20T12:00:00Z");
	nights_load(&nights, "name: n\nschedule: {cron: ['0 2 * * *', '0 */2 1 * *'], timezone: UTC}\n"
			     "steps: {b: {run: x}}\n");
	it = wanted(&nights, "2026-03-01T02:00", "2026-03-02T02:00:00Z");
	it.max_active = 100;
	assert_int_equal(step(&nights, start(&nights, &it)).made, 12); /* 02:00 to 22:00, and the next day's */
	assert_int_equal(nights_number(&nights, "SELECT count(DISTINCT scheduled_for_ms) FROM run"), 12);
	nights_close(&nights);
}

static void days_are_those_of_the_schedules_zone(void **state)
{
	struct store_new_backfill it;
	struct nights nights;

	(void)state;
	if (access("/usr/share/zoneinfo/Pacific/Auckland", R_OK) < 0)
		skip();
	nights_open(&nights, "2026-03-20T12:00:00Z");
	nights_load(&nights, "name: n\nschedule: {cron: '30 0 * * *', timezone: Pacific/Auckland}\n"
			     "steps: {b: {run: x}}\n");
	it = wanted(&nights, "2026-03-05", "2026-03-05");
	assert_int_equal(step(&nights, start(&nights, &it)).made, 1);
	assert_int_equal(nights_number(&nights, "SELECT scheduled_for_ms FROM run"),
			 ms("2026-03-05T00:30:00+13:00"));
	nights_close(&nights);
}

static void nothing_that_is_to_come_is_made_up_for(void **state)
{
	struct store_new_backfill it;
	struct nights nights;

	(void)state;
	nights_open(&nights, "2026-03-03T01:00:00Z");
	nights_load(&nights, nightly);
	it = wanted(&nights, "2026-03-02", "2026-04-30");
	it.max_active = 100;
	assert_int_equal(step(&nights, start(&nights, &it)).made, 1);
	/* Nor what the ledger has not decided yet. */
	nights_exec(&nights, "UPDATE backfill SET state = 'done'");
	nights.now_ms = ms("2026-03-03T02:00:00Z");
	it = wanted(&nights, "2026-03-03", "2026-03-03");
	assert_int_equal(step(&nights, start(&nights, &it)).made, 0);
	nights_close(&nights);
}

static void assert_refused(struct nights *nights, const struct store_new_backfill *it, int code, const char *text)
{
	struct err err;
	int64_t id;

	assert_int_equal(store_start_backfill(nights->store, it, "UTC", &id, &err), code);
	if (strstr(err.text, text) == NULL)
		fail_msg("'%s' does not say '%s'", err.text, text);
	assert_int_equal(nights_number(nights, "SELECT count(*) FROM event WHERE kind = 'backfill.started'"), 0);
}

static void what_makes_no_sense_is_refused(void **state)
{
	struct store_new_backfill it;
	struct nights nights;
	struct err err;
	int64_t id;

	(void)state;
	nights_open(&nights, "2026-03-20T12:00:00Z");
	nights_load(&nights, nightly);
	nights_load(&nights, "name: hand\nsteps: {b: {run: x}}\n");
	it = wanted(&nights, "2026-03-05", "2026-03-01");
	assert_refused(&nights, &it, ERR_NOT_FOUND, "was not due from 2026-03-05 to 2026-03-01");
	it.from = "soon";
	assert_refused(&nights, &it, ERR_INVALID, "from: ");
	it.from = "2026-03-01";
	it.to = "2026-02-30";
	assert_refused(&nights, &it, ERR_INVALID, "to: ");
	it.to = "2026-03-05";
	it.max_active = 0;
	assert_refused(&nights, &it, ERR_INVALID, "max_active");
	it.max_active = 1;
	it.assignments = (const char *const[]){ "lr=x" };
	it.assignments_count = 1;
	assert_refused(&nights, &it, ERR_INVALID, "lr");
	it.assignments_count = 0;
	it.dag = "hand";
	assert_refused(&nights, &it, ERR_NOT_FOUND, "has no schedule");
	it.dag = "nobody";
	assert_refused(&nights, &it, ERR_NOT_FOUND, "there is no DAG nobody");
	it.dag = "n";
	start(&nights, &it);
	assert_int_equal(store_start_backfill(nights.store, &it, "UTC", &id, &err), ERR_BUSY);
	assert_non_null(strstr(err.text, "backfill 1 of n goes on already"));
	nights_close(&nights);
}

static void canceled_it_makes_no_more_and_cancels_its_runs(void **state)
{
	struct store_new_backfill it;
	struct nights nights;
	int64_t id;

	(void)state;
	nights_open(&nights, "2026-03-20T12:00:00Z");
	nights_load(&nights, nightly);
	it = wanted(&nights, "2026-03-01", "2026-03-05");
	it.max_active = 2;
	id = start(&nights, &it);
	step(&nights, id);
	for (int i = 0; i < 2; i++)
		assert_int_equal(store_cancel_backfill(nights.store, id, "bob", "cli x", nights.now_ms, NULL), 0);
	assert_int_equal(nights_number(&nights, "SELECT count(*) FROM request WHERE verb = 'cancel' AND actor = 'bob'"),
			 2);
	assert_int_equal(nights_number(&nights, "SELECT count(*) FROM event WHERE kind = 'backfill.canceled'"), 1);
	nights_end_runs(&nights);
	assert_int_equal(step(&nights, id).made, 0);
	assert_int_equal(store_cancel_backfill(nights.store, 77, "bob", "", 0, NULL), ERR_NOT_FOUND);
	nights_close(&nights);
}

/* Killed after any transaction, or in it, it goes on where it was. */
static void no_kill_makes_a_twin_or_a_gap(void **state)
{
	struct rng dice = rng_seeded(4);
	struct store_new_backfill it;
	struct nights nights;
	int64_t id;
	bool ended = false;

	(void)state;
	nights_open(&nights, "2026-03-20T12:00:00Z");
	nights_load(&nights, nightly);
	it = wanted(&nights, "2025-03-20", "2026-03-19");
	it.max_active = 5;
	id = start(&nights, &it);
	while (!ended) {
		__attribute__((cleanup(arena_fini))) struct arena arena = { 0 };
		struct store_backfill_step done;
		int64_t *open;
		size_t count;

		assert_int_equal(store_open_backfills(nights.store, &arena, &open, &count, NULL), 0);
		assert_true(count == 1 && open[0] == id);
		assert_int_equal(store_begin(nights.store, NULL), 0);
		done = step(&nights, open[0]);
		if (rng_below(&dice, 3) == 0) {
			store_undo(nights.store, 0);
			continue;
		}
		assert_int_equal(store_commit(nights.store, NULL), 0);
		ended = done.ended;
		assert_in_range(nights_number(&nights, "SELECT count(*) FROM run WHERE state = 'queued'"), 0, 5);
		nights_exec(&nights, "UPDATE run SET state = 'succeeded' WHERE state = 'queued' AND number % 3 <> 0");
		if (rng_below(&dice, 2) == 0)
			nights_end_runs(&nights);
	}
	assert_int_equal(nights_number(&nights, "SELECT count(*) FROM run"), 365);
	assert_int_equal(nights_number(&nights, "SELECT count(DISTINCT scheduled_for_ms) FROM run"), 365);
	nights_close(&nights);
}

/* --- what is shown -------------------------------------------------------------------------------------- */

static void assert_json(json_t *got, const char *format, ...)
{
	va_list args;
	autojson json_t *want = NULL;
	autofree char *text = NULL;

	va_start(args, format);
	want = json_vpack_ex(NULL, 0, format, args);
	va_end(args);
	text = json_dumps(got, JSON_ENCODE_ANY | JSON_INDENT(1));
	assert_non_null(want);
	if (!json_equal(got, want))
		fail_msg("%s", text);
}

static void a_preview_tells_what_would_run(void **state)
{
	autojson json_t *answer = NULL;
	struct store_new_backfill it;
	struct nights nights;

	(void)state;
	nights_open(&nights, "2026-03-01T12:00:00Z");
	nights_load(&nights, nightly);
	nights_pass(&nights, ms("2026-03-02T12:00:00Z"));
	nights_end_runs(&nights);
	it = wanted(&nights, "2026-02-27", "2026-03-02");
	assert_int_equal(view_backfill_plan(nights.store, nights.zones, &it, 3, &answer, NULL), 0);
	assert_json(json_object_get(answer, "more"), "b", 1);
	json_decref(answer);
	assert_int_equal(view_backfill_plan(nights.store, nights.zones, &it, 100, &answer, NULL), 0);
	assert_json(json_object_get(answer, "runs"), "i", 3);
	assert_json(json_object_get(answer, "left_out"), "i", 1);
	assert_json(json_object_get(answer, "more"), "b", 0);
	assert_json(json_array_get(json_object_get(answer, "due"), 3), "{s:s, s:s, s:s, s:n, s:s, s:s, s:s}", "due",
		    "2026-03-02T02:00:00.000Z", "local", "2026-03-02T02:00:00+00:00", "nominal",
		    "2026-03-02 02:00", "mark", "cron", "0 2 * * *", "does", "leave out", "run", "n/1");
	assert_int_equal(nights_number(&nights, "SELECT count(*) FROM run"), 1);
	nights_close(&nights);
}

static void backfills_are_listed_with_their_runs(void **state)
{
	autojson json_t *answer = NULL;
	struct store_new_backfill it;
	struct nights nights;
	const json_t *one;
	struct err err;

	(void)state;
	nights_open(&nights, "2026-03-20T12:00:00Z");
	nights_load(&nights, nightly);
	it = wanted(&nights, "2026-03-01", "2026-03-05");
	it.max_active = 2;
	step(&nights, start(&nights, &it));
	nights_exec(&nights, "UPDATE run SET state = 'failed' WHERE number = 1");
	assert_int_equal(view_backfills(nights.store, "n", 10, &answer, NULL), 0);
	one = json_array_get(json_object_get(answer, "backfills"), 0);
	assert_json(json_object_get(one, "runs"), "{s:i, s:i}", "failed", 1, "queued", 1);
	assert_json(json_object_get(one, "state"), "s", "running");
	assert_json(json_object_get(one, "at"), "s", "2026-03-02T02:00:00.000Z");
	assert_json(json_object_get(one, "params"), "{s:s}", "lr", "0.1");
	assert_int_equal(view_backfills(nights.store, "m", 10, &answer, &err), ERR_NOT_FOUND);
	nights_close(&nights);
}

static void the_ledger_is_read_page_by_page(void **state)
{
	struct view_occurrences page = { .dag = "n", .limit = 3 };
	struct nights nights;
	int seen = 0;

	(void)state;
	nights_open(&nights, "2026-03-01T12:00:00Z");
	nights_load(&nights, "name: n\nschedule: {cron: ['0 2 * * *', '0 */2 * * *'], timezone: UTC, overlap: queue}\n"
			     "steps: {b: {run: x}}\n");
	nights_pass(&nights, ms("2026-03-02T05:00:00Z"));
	do {
		autojson json_t *answer = NULL;
		const json_t *past, *coming;

		assert_int_equal(view_occurrences(nights.store, nights.zones, &page, nights.now_ms, &answer, NULL), 0);
		past = json_object_get(answer, "past");
		coming = json_object_get(answer, "coming");
		assert_int_equal(json_array_size(coming), page.before == 0 ? 3 : 0);
		if (page.before == 0)
			assert_json(json_object_get(json_array_get(coming, 0), "nominal"), "s", "2026-03-02 06:00");
		if (seen == 0)
			assert_json(json_array_get(past, 0),
				    "{s:s, s:s, s:n, s:s, s:s, s:s, s:n, s:n, s:s, s:s, s:s}", "due",
				    "2026-03-02T04:00:00.000Z", "nominal", "2026-03-02 04:00", "mark", "cron",
				    "0 */2 * * *", "timezone", "UTC", "state", "ran", "reason", "detail", "run",
				    "n/9", "run_state", "queued", "decided", "2026-03-02T04:00:00.000Z");
		seen += (int)json_array_size(past);
		page.before = json_integer_value(json_object_get(answer, "next"));
	} while (page.before != 0);
	assert_int_equal(seen, 9); /* 14 to 22, 0, 2 twice, 4 */
	nights_close(&nights);
}

/* Both the past and what comes lie within the bounds. */
static void the_ledger_is_read_between_two_instants(void **state)
{
	const struct view_occurrences page = { .dag = "n",
					       .limit = 100,
					       .from_wall_ms = ms("2026-03-02T02:00:00Z"),
					       .to_wall_ms = ms("2026-03-05T02:00:00Z") };
	autojson json_t *answer = NULL;
	struct nights nights;

	(void)state;
	nights_open(&nights, "2026-03-01T01:00:00Z");
	nights_load(&nights, nightly);
	nights_pass(&nights, ms("2026-03-03T12:00:00Z"));
	assert_int_equal(view_occurrences(nights.store, nights.zones, &page, nights.now_ms, &answer, NULL), 0);
	assert_int_equal(json_array_size(json_object_get(answer, "past")), 2);
	assert_int_equal(json_array_size(json_object_get(answer, "coming")), 1);
	assert_json(json_object_get(json_array_get(json_object_get(answer, "coming"), 0), "due"), "s",
		    "2026-03-04T02:00:00.000Z");
	nights_close(&nights);
}

static const json_t *listed(const json_t *answer, size_t i, const char *name)
{
	const json_t *dag = json_array_get(json_object_get(answer, "dags"), i);

	assert_json(json_object_get(dag, "dag"), "s", name);
	return dag;
}

static void put_file(struct nights *nights, const char *path, const char *name, const char *digest, const char *error)
{
	const struct store_dag_file file = { path, name, digest, error, nights->now_ms };

	assert_int_equal(store_put_dag_file(nights->store, &file, NULL), 0);
}

static void dags_are_listed_with_what_is_wrong(void **state)
{
	autojson json_t *answer = NULL;
	struct nights nights;
	const json_t *dag;

	(void)state;
	nights_open(&nights, "2026-03-01T12:00:00Z");
	nights_load(&nights, nightly);
	nights_load(&nights, "name: hand\nsteps: {b: {run: x}}\n");
	nights_pass(&nights, ms("2026-03-02T05:00:00Z"));
	put_file(&nights, "/d/n.yaml", "n", "00", "");
	put_file(&nights, "/d/n-copy.yaml", "n-copy", "", "n is /d/n.yaml already");
	put_file(&nights, "/d/broken.yaml", "broken", "", "line 3");
	put_file(&nights, "/d/gone.yaml", "gone", "00", "");
	assert_int_equal(store_drop_dag_file(nights.store, "/d/gone.yaml", NULL), 0);
	store_pause(nights.store, "hand", "ada", "", nights.now_ms, NULL, NULL);
	assert_int_equal(view_dags_known(nights.store, nights.zones, 10, nights.now_ms, &answer, NULL), 0);
	assert_int_equal(json_array_size(json_object_get(answer, "dags")), 4);
	dag = listed(answer, 0, "broken");
	assert_json(json_object_get(dag, "problem"), "s", "line 3");
	assert_json(json_object_get(dag, "file"), "s", "/d/broken.yaml");
	assert_json(json_object_get(dag, "in_force"), "b", 0);
	dag = listed(answer, 1, "hand");
	assert_json(json_object_get(dag, "paused_by"), "s", "ada");
	assert_json(json_object_get(dag, "next_due"), "n");
	dag = listed(answer, 2, "n");
	assert_json(json_object_get(dag, "file"), "s", "/d/n.yaml");
	assert_json(json_object_get(dag, "in_force"), "b", 1);
	assert_json(json_object_get(dag, "active"), "i", 1);
	assert_json(json_array_get(json_object_get(dag, "latest"), 0), "{s:i, s:s, s:s, s:b, s:s, s:n, s:n}", "number", 1,
		    "state", "queued", "trigger", "cron", "orphaned", 0, "created", "2026-03-02T02:00:00.000Z",
		    "started", "ended");
	assert_json(json_object_get(dag, "next_due"), "s", "2026-03-03T02:00:00.000Z");
	assert_json(json_object_get(dag, "schedules"), "[{s:s, s:s, s:s, s:s}]", "cron", "0 2 * * *", "timezone",
		    "UTC", "catchup", "latest", "overlap", "skip");
	dag = listed(answer, 3, "n-copy");
	assert_json(json_object_get(dag, "problem"), "s", "n is /d/n.yaml already");
	nights_close(&nights);
}

static void the_files_of_the_folder_are_remembered(void **state)
{
	__attribute__((cleanup(arena_fini))) struct arena arena = { 0 };
	struct store_dag_file *files;
	struct nights nights;
	size_t count;

	(void)state;
	nights_open(&nights, "2026-03-01T12:00:00Z");
	put_file(&nights, "/d/b.yaml", "b", "00", "");
	put_file(&nights, "/d/a.yaml", "a", "00", "bad");
	nights.now_ms += 1000;
	put_file(&nights, "/d/a.yaml", "a", "00", "bad"); /* as it was */
	put_file(&nights, "/d/b.yaml", "b", "00", "bad, too");
	assert_int_equal(store_load_dag_files(nights.store, &arena, &files, &count, NULL), 0);
	assert_int_equal(count, 2);
	assert_string_equal(files[0].path, "/d/a.yaml");
	assert_true(files[0].seen_ms == nights.now_ms - 1000 && files[1].seen_ms == nights.now_ms);
	assert_string_equal(files[1].error, "bad, too");
	nights_close(&nights);
}

/* 200 DAGs with a long past: the list reads little of it. */
static void a_long_past_costs_the_list_nothing(void **state)
{
	autojson json_t *answer = NULL;
	struct nights nights;
	int64_t took_ms = INT64_MAX;

	(void)state;
	nights_open(&nights, "2026-03-01T12:00:00Z");
	nights_load(&nights, nightly);
	nights_exec(&nights, "WITH RECURSIVE i (n) AS (SELECT 2 UNION ALL SELECT n + 1 FROM i WHERE n < 200)"
			     " INSERT INTO dag (name, version) SELECT 'd' || n, 1 FROM i");
	nights_exec(&nights, "INSERT INTO schedule (dag, cron, timezone, since_ms, settled_ms, version, zone, catchup,"
			     " overlap) SELECT id, '30 2 * * *', '', 0, 0, 1, 'UTC', 'latest', 'skip' FROM dag");
	nights_exec(&nights, "WITH RECURSIVE i (n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM i WHERE n < 500)"
			     " INSERT INTO run (dag, number, dag_version, state, trigger, actor, origin, created_ms)"
			     " SELECT dag.id, n, 1, 'succeeded', 'cron', 'stoker', '', n FROM i JOIN dag");
	for (int i = 0; i < 3; i++) {
		int64_t before_ms = clock_mono_ms();

		json_decref(answer);
		assert_int_equal(view_dags_known(nights.store, nights.zones, 10, nights.now_ms, &answer, NULL), 0);
		if (clock_mono_ms() - before_ms < took_ms)
			took_ms = clock_mono_ms() - before_ms;
	}
	assert_true(took_ms < 2000); /* some 5 ms; a scan of it all is far from that */
	assert_int_equal(json_array_size(json_object_get(answer, "dags")), 200);
	nights_close(&nights);
}

/* None of these may read more with every night that passes. */
static void what_is_asked_often_is_found_by_an_index(void **state)
{
	static const enum store_statement often[] = {
		STMT_find_occurrence,	 STMT_first_open_run,	   STMT_count_queued_runs,  STMT_cancel_open_runs,
		STMT_count_backfill_runs, STMT_cancel_backfill_runs, STMT_find_due_run,	    STMT_make_up_occurrence,
		STMT_view_schedules,	 STMT_view_all_schedules,  STMT_view_occurrences,   STMT_view_backfill_runs,
		STMT_load_dag,
	};
	static const char *const walks[] = { "SCAN run", "SCAN occurrence", "SCAN request", "SCAN dag_version" };
	struct nights nights;

	(void)state;
	nights_open(&nights, "2026-03-01T12:00:00Z");
	for (size_t i = 0; i < COUNT_OF(often); i++) {
		const char *sql = sqlite3_sql(store_statement(nights.store, often[i]));
		autofree char *explain = mem_printf("EXPLAIN QUERY PLAN %s", sql);
		sqlite3_stmt *stmt = NULL;

		assert_int_equal(sqlite3_prepare_v2(nights.store->db, explain, -1, &stmt, NULL), SQLITE_OK);
		while (sqlite3_step(stmt) == SQLITE_ROW)
			for (size_t k = 0; k < COUNT_OF(walks); k++)
				if (strstr((const char *)sqlite3_column_text(stmt, 3), walks[k]) != NULL)
					fail_msg("%s: %s", sql, (const char *)sqlite3_column_text(stmt, 3));
		sqlite3_finalize(stmt);
	}
	nights_close(&nights);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(oldest_first_and_no_more_at_a_time_than_asked_for),
		cmocka_unit_test(what_has_a_run_is_left_out),
		cmocka_unit_test(a_skipped_due_time_keeps_its_reason_and_gets_the_run),
		cmocka_unit_test(the_version_it_began_with_is_kept),
		cmocka_unit_test(schedules_due_at_once_are_one_due_time),
		cmocka_unit_test(days_are_those_of_the_schedules_zone),
		cmocka_unit_test(nothing_that_is_to_come_is_made_up_for),
		cmocka_unit_test(what_makes_no_sense_is_refused),
		cmocka_unit_test(canceled_it_makes_no_more_and_cancels_its_runs),
		cmocka_unit_test(no_kill_makes_a_twin_or_a_gap),
		cmocka_unit_test(a_preview_tells_what_would_run),
		cmocka_unit_test(backfills_are_listed_with_their_runs),
		cmocka_unit_test(the_ledger_is_read_page_by_page),
		cmocka_unit_test(the_ledger_is_read_between_two_instants),
		cmocka_unit_test(dags_are_listed_with_what_is_wrong),
		cmocka_unit_test(the_files_of_the_folder_are_remembered),
		cmocka_unit_test(a_long_past_costs_the_list_nothing),
		cmocka_unit_test(what_is_asked_often_is_found_by_an_index),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
