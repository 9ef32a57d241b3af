#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/mem.h"
#include "common/scope.h"
#include "scheduler/gc.h"
#include "scheduler/owner.h"
#include "tests/unit/run_fixture.h"

#define DAY_MS (INT64_C(24) * 3600 * 1000)
#define HOUR_MS (INT64_C(3600) * 1000)

static const char yaml[] = "name: night\nsteps:\n  a: {run: x}\n  b: {needs: [a], run: x}\n";
static const char digest_used[] = "1111111111111111111111111111111111111111111111111111111111111111";
static const char digest_old[] = "2222222222222222222222222222222222222222222222222222222222222222";
static const char digest_young[] = "3333333333333333333333333333333333333333333333333333333333333333";

static char home[] = "/tmp/test_gc.XXXXXX";
static struct store *store;
static struct retention retention;
static struct err err;

static void sql(const char *text)
{
	if (sqlite3_exec(store->db, text, NULL, NULL, NULL) != SQLITE_OK)
		fail_msg("%s: %s", sqlite3_errmsg(store->db), text);
}

static int64_t ask(const char *text)
{
	sqlite3_stmt *stmt = NULL;
	int64_t number;

	assert_int_equal(sqlite3_prepare_v2(store->db, text, -1, &stmt, NULL), SQLITE_OK);
	assert_int_equal(sqlite3_step(stmt), SQLITE_ROW);
	number = sqlite3_column_int64(stmt, 0);
	sqlite3_finalize(stmt);
	return number;
}

static void put_file(const char *name, int64_t age_ms)
{
	autofree char *path = mem_printf("%s/%s", home, name);
	const struct timespec times[2] = { { .tv_sec = (FIXTURE_NOW_MS - age_ms) / 1000 },
					   { .tv_sec = (FIXTURE_NOW_MS - age_ms) / 1000 } };
	FILE *file;

	for (char *at = path + strlen(home) + 1; (at = strchr(at, '/')) != NULL; at++) {
		*at = '\0';
		mkdir(path, 0700);
		*at = '/';
	}
	file = fopen(path, "w");
	assert_non_null(file);
	fputs("something", file);
	fclose(file);
	assert_int_equal(utimensat(AT_FDCWD, path, times, 0), 0);
}

static bool is_file(const char *name)
{
	autofree char *path = mem_printf("%s/%s", home, name);

	return access(path, F_OK) == 0;
}

/* night/1 ended so many hours ago, the others an hour later each; all have a row in every table, and a log. */
static void make_runs(int count, int64_t first_age_ms)
{
	autodag struct dag *dag = fixture_dag(yaml);

	for (int i = 0; i < count; i++) {
		const struct store_new_run wanted = { .dag = dag, .params = "{}", .trigger = "manual", .actor = "ada",
						      .origin = "cli", .wall_ms = FIXTURE_NOW_MS - first_age_ms };
		autofree char *log = NULL;
		autofree char *rows = NULL;
		uint64_t run;

		if (store_create_run(store, &wanted, &run, &err) < 0)
			fail_msg("%s", err.text);
		rows = mem_printf(
			"UPDATE run SET state = 'succeeded', ended_ms = %lld, source = '%s' WHERE id = %lld;"
			"INSERT INTO attempt (run, step, number, state, worker, boot_id, fence, intended_ms)"
			" SELECT run, step, 1, 'succeeded', 'local', '', 1, 0 FROM task WHERE run = %lld;"
			"INSERT INTO checkpoint (run, step, seq, name, digest, bytes, at_step, format, attempt, state, created_ms)"
			" SELECT run, step, 1, 'n', 'd', 1, 1, 'file', 1, 'good', 0 FROM task WHERE run = %lld;"
			"INSERT INTO metric (run, step, attempt, journal_offset, at_ms, json)"
			" SELECT run, step, 1, o.value, 0, '{}' FROM task, json_each('[1,2,3]') AS o WHERE run = %lld;"
			"INSERT INTO output SELECT run, step, 'k', 'v' FROM task WHERE run = %lld;"
			"INSERT INTO artifact SELECT run, step, 1, 'd', 1, 1, 'local' FROM task WHERE run = %lld;"
			"INSERT INTO request (run, verb, actor, origin, created_ms) VALUES (%lld, 'cancel', '', '', 0);"
			"INSERT INTO outbox (about, receiver, event, dag, run, body, created_ms, next_try_ms)"
			" VALUES (%lld, '', 'failed', 'night', %lld, '{}', 0, 0);"
			"INSERT OR IGNORE INTO schedule (id, dag, cron, timezone, version, zone, catchup, overlap, since_ms, settled_ms) VALUES (1, 1, '', '', 1, '', '', '', 0, 0);"
			"INSERT INTO occurrence (schedule, due_ms, nominal, state, run, decided_ms)"
			" VALUES (1, %lld, '', 'ran', %lld, 0);",
			(long long)(FIXTURE_NOW_MS - first_age_ms + i * HOUR_MS), i == count - 1 ? digest_used : "",
			(long long)run, (long long)run, (long long)run, (long long)run, (long long)run, (long long)run,
			(long long)run, (long long)run, (long long)run, (long long)run, (long long)run);
		sql(rows);
		log = mem_printf("runs/night/%d/a.1.log", i + 1);
		put_file(log, first_age_ms);
	}
}

static int set_up(void **state)
{
	(void)state;
	strcpy(home + sizeof home - 7, "XXXXXX");
	assert_non_null(mkdtemp(home));
	retention_init(&retention);
	retention.runs.age_ms = 100 * DAY_MS;
	retention.runs.keep = 3;
	retention.logs.age_ms = 10 * DAY_MS;
	retention.logs.keep = 1;
	retention.metrics_age_ms = 0;
	return store_open(home, &store, &err);
}

static int tear_down(void **state)
{
	autofree char *command = mem_printf("rm -rf %s", home);

	(void)state;
	store_close(store);
	return system(command);
}

static struct gc *new_gc(bool dry)
{
	return gc_new(&(struct gc_plan){ .home = home, .retention = &retention, .now_wall_ms = FIXTURE_NOW_MS, .dry = dry });
}

/* False when it was done. */
static bool turn(struct gc *gc)
{
	enum gc_need need = gc_need(gc);

	if (need == GC_FILES)
		gc_files(gc);
	else if (need == GC_STORE && gc_store(gc, store, &err) < 0)
		fail_msg("%s", err.text);
	return need != GC_DONE;
}

static struct gc_report collect(bool dry)
{
	struct gc *gc = new_gc(dry);
	struct gc_report report;

	while (turn(gc))
		;
	report = *gc_report(gc);
	gc_free(gc);
	assert_int_equal(report.failures, 0);
	return report;
}

static void assert_sound(void)
{
	assert_int_equal(ask("SELECT count(*) FROM pragma_foreign_key_check"), 0);
	assert_int_equal(ask("SELECT count(*) FROM run WHERE swept >= 128"), 0);
}

/* Of make_runs(10, 200 days): seven go, and the logs of two of those that stay. */
static void assert_done(void)
{
	assert_sound();
	assert_int_equal(ask("SELECT count(*) FROM run"), 3);
	assert_int_equal(ask("SELECT min(number) FROM run"), 8);
	assert_int_equal(ask("SELECT count(*) FROM task"), 6);
	assert_int_equal(ask("SELECT count(*) FROM removed_run"), 7);
	assert_false(is_file("runs/night/7"));
	assert_true(is_file("runs/night/8"));
	assert_false(is_file("runs/night/9/a.1.log"));
	assert_true(is_file("runs/night/10/a.1.log"));
}

static void the_newest_of_a_dag_stay_whatever_their_age(void **state)
{
	struct gc_report report;

	(void)state;
	make_runs(10, 200 * DAY_MS);
	report = collect(false);
	assert_int_equal(report.runs.count, 7);
	assert_int_equal(report.logs.count, 2);
	assert_done();
	assert_int_equal(collect(false).runs.count, 0);
}

static void the_young_stay(void **state)
{
	(void)state;
	make_runs(10, 99 * DAY_MS);
	assert_int_equal(collect(false).runs.count, 0);
	assert_int_equal(ask("SELECT count(*) FROM run"), 10);
}

static void those_beyond_the_most_go_whatever_their_age(void **state)
{
	(void)state;
	retention.runs_most = 6;
	make_runs(10, HOUR_MS * 12);
	assert_int_equal(collect(true).runs.count, 4);
	assert_int_equal(collect(false).runs.count, 4);
	assert_int_equal(ask("SELECT min(number) FROM run"), 5);
	assert_sound();
}

static void a_dry_run_counts_the_same_and_changes_nothing(void **state)
{
	struct gc_report dry, real;

	(void)state;
	retention.runs_most = 5;
	make_runs(10, 200 * DAY_MS);
	dry = collect(true);
	assert_int_equal(ask("SELECT count(*) FROM run"), 10);
	assert_true(is_file("runs/night/1/a.1.log"));
	real = collect(false);
	assert_int_equal(dry.runs.count, real.runs.count);
	assert_int_equal(dry.logs.count, real.logs.count);
	assert_int_equal(dry.runs.bytes, real.runs.bytes);
}

static void what_has_not_ended_or_is_driven_stays(void **state)
{
	int owner;

	(void)state;
	make_runs(10, 200 * DAY_MS);
	sql("UPDATE run SET state = 'running', ended_ms = 0 WHERE number = 2; UPDATE run SET state = 'queued' WHERE number = 3");
	assert_int_equal(owner_take(home, "night", 4, &owner, &err), 0);
	assert_int_equal(collect(false).driven, 1);
	close(owner);
	assert_int_equal(ask("SELECT count(*) FROM run WHERE number IN (2, 3, 4)"), 3);
	assert_int_equal(ask("SELECT count(*) FROM run"), 6);
	assert_sound();
}

static void the_ledger_goes_on_telling_what_a_due_time_came_to(void **state)
{
	uint64_t run;

	(void)state;
	make_runs(10, 200 * DAY_MS);
	collect(false);
	assert_int_equal(ask("SELECT count(*) FROM occurrence"), 10);
	assert_int_equal(ask("SELECT count(*) FROM occurrence WHERE run IS NULL AND state = 'ran'"
			     " AND detail LIKE 'night/_, removed since, succeeded'"),
			 7);
	assert_int_equal(ask("SELECT count(*) FROM event"), 10);
	assert_int_equal(store_find_run(store, "night/1", &run, &err), ERR_NOT_FOUND);
}

/* A turn that is lost with the transaction that it was a part of is done again. */
static void a_turn_that_was_lost_is_done_again(void **state)
{
	struct gc *gc;

	(void)state;
	make_runs(10, 200 * DAY_MS);
	for (int lost = 0;; lost++) {
		bool more = true;

		gc = new_gc(false);
		for (int i = 0; more && i <= lost; i++) {
			if (i < lost || gc_need(gc) != GC_STORE) {
				more = turn(gc);
				continue;
			}
			assert_int_equal(store_begin(store, &err), 0);
			turn(gc);
			store_undo(store, 0);
		}
		while (lost % 2 == 0 && turn(gc))
			;
		gc_free(gc);
		assert_int_equal(ask("SELECT count(*) FROM pragma_foreign_key_check"), 0);
		if (!more)
			break;
	}
	collect(false);
	assert_done();
}

static void one_that_was_killed_at_any_point_is_gone_on_with(void **state)
{
	bool more = true;

	(void)state;
	for (int point = 1; more; point++) {
		struct gc *gc;

		make_runs(10, 200 * DAY_MS);
		gc = new_gc(false);
		for (int i = 0; more && i < point; i++)
			more = turn(gc);
		gc_free(gc);
		collect(false);
		assert_done();
		tear_down(NULL);
		assert_int_equal(set_up(NULL), 0);
	}
}

static void every_table_that_names_a_run_is_thought_of(void **state)
{
	(void)state;
	make_runs(10, 200 * DAY_MS);
	collect(false);
	/* One that is new here needs a statement in gc_rows.c, and a row in make_runs. */
	assert_int_equal(ask("SELECT count(*) FROM sqlite_schema AS t JOIN pragma_table_info(t.name) AS c"
			     " WHERE t.type = 'table' AND c.name = 'run' AND t.name NOT IN ('task', 'attempt', 'checkpoint',"
			     " 'metric', 'output', 'artifact', 'request', 'occurrence', 'event', 'outbox', 'run')"),
			 0);
	assert_int_equal(ask("SELECT count(*) FROM (SELECT run FROM task UNION ALL SELECT run FROM attempt UNION ALL"
			     " SELECT run FROM checkpoint UNION ALL SELECT run FROM metric UNION ALL SELECT run FROM output"
			     " UNION ALL SELECT run FROM artifact UNION ALL SELECT run FROM request"
			     " UNION ALL SELECT run FROM outbox)"
			     " WHERE run NOT IN (SELECT id FROM run)"),
			 0);
}

static void of_metrics_the_last_of_each_task_stays(void **state)
{
	(void)state;
	retention.metrics_age_ms = 10 * DAY_MS;
	make_runs(3, 50 * DAY_MS);
	assert_int_equal(collect(true).metrics.count, 12);
	assert_int_equal(collect(false).metrics.count, 12);
	assert_int_equal(ask("SELECT count(*) FROM metric"), 6);
	assert_int_equal(ask("SELECT min(journal_offset) FROM metric"), 3);
	assert_int_equal(collect(false).metrics.count, 0);
}

static void a_run_that_is_taken_up_again_begins_unswept(void **state)
{
	struct actions saves;

	(void)state;
	make_runs(3, 50 * DAY_MS);
	collect(false);
	assert_int_equal(ask("SELECT swept FROM run WHERE number = 1"), 1);
	actions_init(&saves);
	actions_add(&saves, SAVE_RUN)->run = (struct run_row){ .id = 1, .state = RUN_RUNNING };
	assert_int_equal(store_apply(store, saves.items, saves.count, &err), 0);
	actions_fini(&saves);
	assert_int_equal(ask("SELECT swept FROM run WHERE number = 1"), 0);
}

static void old_events_go_with_the_names_that_they_needed(void **state)
{
	(void)state;
	make_runs(10, 200 * DAY_MS);
	collect(false);
	retention.events_age_ms = 150 * DAY_MS;
	sql("UPDATE removed_run SET removed_ms = 1");
	assert_int_equal(collect(false).events.count, 10);
	assert_int_equal(ask("SELECT count(*) FROM removed_run"), 0);
}

static void a_source_goes_when_no_run_names_it_and_it_is_old(void **state)
{
	autofree char *used = mem_printf("parcels/%s", digest_used), *old = mem_printf("parcels/%s", digest_old),
		      *young = mem_printf("parcels/%s", digest_young), *gone = mem_printf("parcels/.gone-%s", digest_young);

	(void)state;
	make_runs(1, DAY_MS);
	put_file(used, 50 * DAY_MS);
	put_file(old, 50 * DAY_MS);
	put_file(young, HOUR_MS);
	put_file("parcels/.new-1234", 50 * DAY_MS);
	put_file("parcels/.new-1235", HOUR_MS);
	assert_int_equal(collect(true).sources.count, 1);
	assert_int_equal(collect(false).sources.count, 1);
	assert_true(is_file(used));
	assert_false(is_file(old));
	assert_true(is_file(young));
	assert_false(is_file("parcels/.new-1234"));
	assert_true(is_file("parcels/.new-1235"));
	/* A gc was killed over it: the next one puts it back. */
	put_file(gone, 50 * DAY_MS);
	collect(false);
	assert_false(is_file(gone));
	assert_true(is_file(young));
}

static void fetched_artifacts_go_oldest_first_but_not_those_that_are_needed(void **state)
{
	autofree char *oldest = mem_printf("parcels/fetched/%s", digest_used),
		      *older = mem_printf("parcels/fetched/%s", digest_old),
		      *newest = mem_printf("parcels/fetched/%s", digest_young);

	(void)state;
	make_runs(1, DAY_MS);
	sql("UPDATE run SET state = 'running', ended_ms = 0;"
	    "UPDATE artifact SET digest = '1111111111111111111111111111111111111111111111111111111111111111'");
	put_file(oldest, 3 * DAY_MS);
	put_file(older, 2 * DAY_MS);
	put_file(newest, DAY_MS);
	retention.fetched_bytes = 2 * 4096;
	assert_int_equal(collect(false).fetched.count, 1);
	assert_true(is_file(oldest));
	assert_false(is_file(older));
	assert_true(is_file(newest));
}

static void a_folder_without_a_run_goes_when_it_is_ours_or_old(void **state)
{
	(void)state;
	retention.logs.age_ms = 10000 * DAY_MS; /* the folders themselves are made now */
	make_runs(3, DAY_MS);
	put_file("runs/night/77/a.1.log", DAY_MS);
	put_file("runs/other/5/a.1.log", DAY_MS);
	assert_int_equal(collect(false).folders.count, 0);
	sql("INSERT INTO removed_run VALUES (99, 1, 77, 'failed', 1, 1800000000000)");
	assert_int_equal(collect(false).folders.count, 1);
	assert_false(is_file("runs/night/77"));
	assert_true(is_file("runs/other/5/a.1.log"));
	retention.logs.age_ms = HOUR_MS;
	assert_int_equal(collect(false).folders.count, 1);
	assert_false(is_file("runs/other/5"));
}

static void each_statement_ends_at_an_index(void **state)
{
	static const enum store_statement which[] = {
		STMT_gc_old, STMT_gc_excess, STMT_gc_rank, STMT_gc_marked, STMT_gc_drop_metrics, STMT_gc_drop_requests,
		STMT_gc_drop_occurrences, STMT_gc_source_in_use, STMT_gc_find_run, STMT_gc_artifacts_in_use,
	};

	(void)state;
	for (size_t i = 0; i < COUNT_OF(which); i++) {
		autofree char *explain = mem_printf("EXPLAIN QUERY PLAN %s", store_sql(which[i]));
		sqlite3_stmt *stmt = NULL;

		assert_int_equal(sqlite3_prepare_v2(store->db, explain, -1, &stmt, NULL), SQLITE_OK);
		while (sqlite3_step(stmt) == SQLITE_ROW) {
			const char *step = (const char *)sqlite3_column_text(stmt, 3);

			if (strncmp(step, "SCAN", 4) == 0 && strstr(step, "CONSTANT") == NULL &&
			    strstr(step, "run_swept") == NULL)
				fail_msg("%s\n%s", store_sql(which[i]), step);
			if (strstr(step, "TEMP B-TREE") != NULL)
				fail_msg("%s\n%s", store_sql(which[i]), step);
		}
		sqlite3_finalize(stmt);
	}
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(the_newest_of_a_dag_stay_whatever_their_age),
		TEST(the_young_stay),
		TEST(those_beyond_the_most_go_whatever_their_age),
		TEST(a_dry_run_counts_the_same_and_changes_nothing),
		TEST(what_has_not_ended_or_is_driven_stays),
		TEST(the_ledger_goes_on_telling_what_a_due_time_came_to),
		TEST(a_turn_that_was_lost_is_done_again),
		TEST(one_that_was_killed_at_any_point_is_gone_on_with),
		TEST(every_table_that_names_a_run_is_thought_of),
		TEST(of_metrics_the_last_of_each_task_stays),
		TEST(a_run_that_is_taken_up_again_begins_unswept),
		TEST(old_events_go_with_the_names_that_they_needed),
		TEST(a_source_goes_when_no_run_names_it_and_it_is_old),
		TEST(fetched_artifacts_go_oldest_first_but_not_those_that_are_needed),
		TEST(a_folder_without_a_run_goes_when_it_is_ours_or_old),
		TEST(each_statement_ends_at_an_index),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
