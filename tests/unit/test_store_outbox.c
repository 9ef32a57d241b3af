/*
 * The table of notices: what is written when, who takes it, what becomes of it.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "scheduler/store_outbox.h"
#include "tests/unit/run_fixture.h"

static struct store *store;
static struct arena arena;
static struct err err;

static int set_up(void **state)
{
	(void)state;
	arena_init(&arena);
	return store_open_memory(&store, &err);
}

static int tear_down(void **state)
{
	(void)state;
	store_close(store);
	arena_fini(&arena);
	return 0;
}

static int64_t number(const char *sql)
{
	sqlite3_stmt *stmt = NULL;
	int64_t value = -1;

	if (sqlite3_prepare_v2(store->db, sql, -1, &stmt, NULL) != SQLITE_OK)
		fail_msg("%s: %s", sql, sqlite3_errmsg(store->db));
	if (sqlite3_step(stmt) == SQLITE_ROW)
		value = sqlite3_column_int64(stmt, 0);
	sqlite3_finalize(stmt);
	return value;
}

static const char *text(const char *sql)
{
	sqlite3_stmt *stmt = NULL;
	const char *value = "";

	if (sqlite3_prepare_v2(store->db, sql, -1, &stmt, NULL) != SQLITE_OK)
		fail_msg("%s: %s", sql, sqlite3_errmsg(store->db));
	if (sqlite3_step(stmt) == SQLITE_ROW)
		value = arena_strdup(&arena, (const char *)sqlite3_column_text(stmt, 0));
	sqlite3_finalize(stmt);
	return value;
}

static void exec(const char *format, ...) __attribute__((format(printf, 1, 2)));
static void exec(const char *format, ...)
{
	char sql[2000];
	va_list args;

	va_start(args, format);
	vsnprintf(sql, sizeof sql, format, args);
	va_end(args);
	if (sqlite3_exec(store->db, sql, NULL, NULL, NULL) != SQLITE_OK)
		fail_msg("%s: %s", sql, sqlite3_errmsg(store->db));
}

static uint64_t make_run(int64_t due_ms, int64_t created_ms)
{
	struct dag *dag = fixture_dag("name: night\nsteps: {a: {run: 'true'}}\n");
	struct store_new_run new_run = { .dag = dag,
					 .params = "{}",
					 .trigger = "manual",
					 .actor = "ada",
					 .origin = "test",
					 .scheduled_for_wall_ms = due_ms,
					 .wall_ms = created_ms };
	uint64_t run;

	assert_int_equal(store_create_run(store, &new_run, &run, &err), 0);
	dag_free(dag);
	return run;
}

/* Ends a run as the core does, and tells `on` of it. */
static void end_run(uint64_t run, enum run_state state, unsigned event, int64_t wall_ms, const char *receiver, unsigned on)
{
	struct notice notice = { .event = event, .dag = "night", .run = run, .number = run, .at_wall_ms = wall_ms };
	struct action actions[3] = { { .kind = SAVE_RUN }, { .kind = SAVE_NOTICE }, { .kind = SAVE_EVENT } };

	actions[0].run = (struct run_row){ .id = run, .state = state, .ended_wall_ms = wall_ms };
	actions[1].notice.notice = &notice;
	actions[1].notice.receiver = receiver;
	actions[1].notice.on = on;
	actions[2].id = (struct attempt_id){ .run = run, .task = UINT64_MAX };
	actions[2].event.wall_ms = wall_ms;
	actions[2].event.kind = state == RUN_SUCCEEDED ? "run.succeeded" : state == RUN_FAILED ? "run.failed" : "run.canceled";
	actions[2].event.actor = "stoker";
	assert_int_equal(store_apply(store, actions, 3, &err), 0);
}

static void fail_run(uint64_t run, int64_t wall_ms)
{
	end_run(run, RUN_FAILED, DAG_ON_FAILED, wall_ms, "r", DAG_ON_FAILED);
}

static void pass_run(uint64_t run, int64_t wall_ms, unsigned on)
{
	end_run(run, RUN_SUCCEEDED, DAG_ON_SUCCEEDED, wall_ms, "r", on);
}

static const char *last_event(void)
{
	return text("SELECT event FROM outbox ORDER BY id DESC LIMIT 1");
}

/* --- ends of runs --- */

static void an_end_is_told_once_however_often_it_is_written(void **state)
{
	uint64_t run = make_run(0, 100);

	(void)state;
	fail_run(run, 1000);
	fail_run(run, 1000);
	assert_int_equal(number("SELECT count(*) FROM outbox"), 1);
	fail_run(run, 2000); /* it was tried again, and failed again */
	assert_int_equal(number("SELECT count(*) FROM outbox"), 2);
}

static void nothing_is_told_when_the_end_is_not_stored(void **state)
{
	uint64_t run = make_run(0, 100);

	(void)state;
	assert_int_equal(store_begin(store, &err), 0);
	fail_run(run, 1000);
	store_undo(store, 0);
	assert_int_equal(number("SELECT count(*) FROM outbox"), 0);
}

static void the_first_success_after_a_failure_is_a_recovery(void **state)
{
	unsigned both = DAG_ON_SUCCEEDED | DAG_ON_RECOVERED;

	(void)state;
	pass_run(make_run(0, 100), 1000, both);
	assert_string_equal(last_event(), "succeeded");
	fail_run(make_run(0, 100), 2000);
	end_run(make_run(0, 100), RUN_CANCELED, DAG_ON_CANCELED, 2500, "r", DAG_ON_FAILED);
	pass_run(make_run(0, 100), 3000, both);
	assert_string_equal(last_event(), "recovered");
	pass_run(make_run(0, 100), 4000, both);
	assert_string_equal(last_event(), "succeeded");
}

static void who_wants_recoveries_alone_hears_of_no_other_success(void **state)
{
	(void)state;
	pass_run(make_run(0, 100), 1000, DAG_ON_RECOVERED);
	assert_int_equal(number("SELECT count(*) FROM outbox"), 0);
	fail_run(make_run(0, 100), 2000);
	pass_run(make_run(0, 100), 3000, DAG_ON_RECOVERED);
	assert_int_equal(number("SELECT count(*) FROM outbox"), 2);
	pass_run(make_run(0, 100), 4000, DAG_ON_RECOVERED);
	assert_int_equal(number("SELECT count(*) FROM outbox"), 2);
}

static void a_run_that_failed_and_was_done_again_recovers_itself(void **state)
{
	uint64_t run = make_run(0, 100), later = make_run(0, 100);

	(void)state;
	fail_run(run, 1000);
	pass_run(run, 2000, DAG_ON_RECOVERED);
	assert_string_equal(last_event(), "recovered");
	fail_run(run, 3000);
	pass_run(later, 4000, DAG_ON_RECOVERED);
	assert_string_equal(last_event(), "recovered");
	pass_run(run, 5000, DAG_ON_RECOVERED); /* another one had recovered the DAG before */
	assert_int_equal(number("SELECT count(*) FROM outbox WHERE event = 'recovered'"), 2);
}

static void looking_for_a_recovery_takes_an_index(void **state)
{
	sqlite3_stmt *stmt = store_statement(store, STMT_notice_recovers);

	(void)state;
	make_run(0, 100);
	for (int i = 0; i < 200; i++)
		exec("INSERT INTO run (dag, number, dag_version, state, trigger, actor, origin, created_ms, ended_ms)"
		     " SELECT dag, %d, dag_version, 'succeeded', '', '', '', 1, %d FROM run LIMIT 1",
		     1000 + i, 1000 + i);
	sqlite3_bind_int64(stmt, 1, 1);
	assert_int_equal(sqlite3_step(stmt), SQLITE_ROW);
	assert_in_range(sqlite3_stmt_status(stmt, SQLITE_STMTSTATUS_FULLSCAN_STEP, 0), 0, 4);
	assert_in_range(sqlite3_stmt_status(stmt, SQLITE_STMTSTATUS_VM_STEP, 0), 0, 300);
	sqlite3_reset(stmt);
}

/* --- taking --- */

static struct outbox_row rows[OUTBOX_TAKEN_MAX];

static size_t take_at(int64_t now_ms)
{
	size_t count;

	assert_int_equal(store_take_notices(store, now_ms, OUTBOX_TAKEN_MAX, &arena, rows, &count, &err), 0);
	return count;
}

static void tell(const char *receiver, int64_t wall_ms)
{
	end_run(make_run(0, 100), RUN_FAILED, DAG_ON_FAILED, wall_ms, receiver, DAG_ON_FAILED);
}

static int64_t next_at(int64_t now_ms)
{
	int64_t next_ms;

	assert_int_equal(store_next_notice(store, now_ms, &next_ms, &err), 0);
	return next_ms;
}

static void a_receiver_gets_one_at_a_time_oldest_first(void **state)
{
	(void)state;
	assert_int_equal(next_at(5000), INT64_MAX);
	tell("a", 1000);
	tell("a", 2000);
	tell("b", 3000);
	assert_int_equal(next_at(5000), 1000);
	assert_int_equal(take_at(5000), 2);
	assert_int_equal(rows[0].attempts, 1);
	assert_int_equal(take_at(5000), 0);
	assert_int_equal(store_sent_notice(store, 1, 5100, &err), 0);
	assert_int_equal(take_at(5200), 1);
	assert_int_equal(rows[0].id, 2);
	assert_int_equal(store_sent_notice(store, 2, 5300, &err), 0);
	assert_int_equal(store_sent_notice(store, 3, 5300, &err), 0);
	assert_int_equal(next_at(5400), INT64_MAX);
}

static void a_claim_ends_when_its_holder_is_silent(void **state)
{
	(void)state;
	tell("a", 1000);
	assert_int_equal(take_at(5000), 1);
	assert_int_equal(next_at(5001), 5000 + OUTBOX_CLAIM_MS);
	assert_int_equal(store_hold_notice(store, 1, 9000, &err), 0);
	assert_int_equal(take_at(5000 + OUTBOX_CLAIM_MS), 0);
	assert_int_equal(take_at(9000 + OUTBOX_CLAIM_MS), 1);
	assert_int_equal(rows[0].attempts, 2);
}

static void what_is_postponed_waits_and_nobody_else_does(void **state)
{
	(void)state;
	tell("a", 1000);
	tell("a", 2000);
	assert_int_equal(take_at(5000), 1);
	assert_int_equal(store_postpone_notice(store, 1, 60000, "down", &err), 0);
	assert_int_equal(take_at(5001), 1);
	assert_int_equal(rows[0].id, 2);
	assert_int_equal(store_sent_notice(store, 2, 5300, &err), 0);
	assert_int_equal(take_at(59999), 0);
	assert_int_equal(next_at(59999), 60000);
	assert_int_equal(take_at(60000), 1);
}

static void a_clock_that_was_set_back_holds_nothing_up(void **state)
{
	(void)state;
	tell("a", 100 * 3600000LL);
	assert_int_equal(take_at(100 * 3600000LL), 1);
	assert_int_equal(store_postpone_notice(store, 1, 100 * 3600000LL + 2000, "down", &err), 0);
	assert_true(next_at(3600000) <= 3600000);
	assert_int_equal(take_at(3600000), 1);
}

static void what_is_given_up_is_an_event_and_stays_so(void **state)
{
	struct outbox_left left;

	(void)state;
	tell("a", 1000);
	assert_int_equal(take_at(5000), 1);
	assert_int_equal(store_notices_left(store, 1, 5001, &arena, &left, &err), 0);
	assert_int_equal(left.awaited, 1);
	assert_int_equal(store_failed_notice(store, &rows[0], "answered 410", 5100, &err), 0);
	assert_int_equal(store_failed_notice(store, &rows[0], "answered 410", 5100, &err), 0);
	assert_int_equal(store_sent_notice(store, 1, 5200, &err), 0);
	assert_string_equal(text("SELECT state FROM outbox"), "failed");
	assert_int_equal(number("SELECT count(*) FROM event WHERE kind = 'notice.failed'"), 1);
	assert_string_equal(text("SELECT detail FROM event WHERE kind = 'notice.failed'"),
			    "'failed' of night could not be told, given up in try 1: answered 410");
	assert_int_equal(store_notices_left(store, 1, 5300, &arena, &left, &err), 0);
	assert_int_equal(left.open, 0);
}

/* --- lateness --- */

#define DAY_MS (INT64_C(24) * 3600 * 1000)
#define DUE_MS (30 * DAY_MS + INT64_C(10) * 3600 * 1000)
#define BY_MS  (30 * DAY_MS + INT64_C(15) * 3600 * 1000)

static const char *late_receivers[] = { "r" };
static const struct notice_list late_list = { .receivers = late_receivers, .count = 1 };

static struct store_late late_on(const char *day, int64_t by_ms)
{
	struct store_late late = { .dag = "night",
				   .window = { .from_ms = by_ms - DAY_MS, .until_ms = by_ms, .label = "07:00" },
				   .receivers = &late_list,
				   .wall_ms = by_ms + 5 };

	strcpy(late.window.day, day);
	return late;
}

static bool is_late(const struct store_late *late)
{
	bool told;

	assert_int_equal(store_notice_late(store, late, &told, &err), 0);
	return told;
}

/* The row of the ledger; run 0: skipped for that reason. */
static void settle(int64_t due_ms, uint64_t run, const char *reason)
{
	exec("INSERT OR IGNORE INTO schedule (dag, cron, timezone, since_ms, settled_ms, version, zone, catchup, overlap)"
	     " SELECT id, 'c', '', 1, 1, 1, '', 'latest', 'skip' FROM dag");
	if (run != 0)
		exec("INSERT INTO occurrence (schedule, due_ms, nominal, state, run, decided_ms)"
		     " VALUES (1, %" PRId64 ", '2026-11-26 02:30', 'ran', %" PRIu64 ", 1)",
		     due_ms, run);
	else
		exec("INSERT INTO occurrence (schedule, due_ms, nominal, state, reason, decided_ms)"
		     " VALUES (1, %" PRId64 ", '2026-11-26 02:30', 'skipped', '%s', 1)",
		     due_ms, reason);
}

static void a_run_that_has_not_succeeded_in_time_is_late_once(void **state)
{
	struct store_late late = late_on("2026-11-26", BY_MS);

	(void)state;
	settle(DUE_MS, make_run(DUE_MS, DUE_MS), "");
	exec("UPDATE run SET state = 'running'");
	assert_true(is_late(&late));
	assert_false(is_late(&late));
	assert_int_equal(number("SELECT count(*) FROM outbox WHERE event = 'late' AND run = 1"), 1);
	assert_string_equal(text("SELECT detail FROM event WHERE kind = 'dag.late'"),
			    "night is expected by 07:00, and night/1, due at 2026-11-26 02:30, is still running");
}

static void a_run_that_succeeded_is_not_late(void **state)
{
	struct store_late late = late_on("2026-11-26", BY_MS);
	uint64_t run = make_run(DUE_MS, DUE_MS);

	(void)state;
	settle(DUE_MS, run, "");
	pass_run(run, DUE_MS + 1000, 0);
	assert_false(is_late(&late));
	assert_int_equal(number("SELECT count(*) FROM event WHERE kind = 'dag.late'"), 0);
}

static void a_run_that_succeeded_and_is_done_again_is_not_late(void **state)
{
	struct store_late late = late_on("2026-11-26", BY_MS);
	uint64_t run = make_run(DUE_MS, DUE_MS);

	(void)state;
	settle(DUE_MS, run, "");
	pass_run(run, DUE_MS + 1000, 0);
	exec("UPDATE run SET state = 'running', ended_ms = 0");
	assert_false(is_late(&late));
}

static void a_due_time_without_a_run_is_late(void **state)
{
	struct store_late late = late_on("2026-11-26", BY_MS);

	(void)state;
	make_run(0, 1);
	settle(DUE_MS, 0, "missed");
	assert_true(is_late(&late));
	assert_string_equal(text("SELECT detail FROM event WHERE kind = 'dag.late'"),
			    "night is expected by 07:00, and there was no run for 2026-11-26 02:30: it was skipped (missed)");
}

static void a_later_success_makes_up_for_a_failure(void **state)
{
	struct store_late late = late_on("2026-11-26", BY_MS);
	uint64_t run = make_run(DUE_MS, DUE_MS), by_hand;

	(void)state;
	settle(DUE_MS, run, "");
	fail_run(run, DUE_MS + 1000);
	by_hand = make_run(0, DUE_MS + 2000);
	pass_run(by_hand, DUE_MS + 3000, 0);
	assert_false(is_late(&late));
}

static void an_older_one_or_a_backfill_does_not(void **state)
{
	struct store_late late = late_on("2026-11-26", BY_MS);
	uint64_t run = make_run(DUE_MS, DUE_MS);

	(void)state;
	settle(DUE_MS, run, "");
	fail_run(run, DUE_MS + 1000);
	pass_run(make_run(0, DUE_MS - 1000), DUE_MS + 3000, 0);
	pass_run(make_run(DUE_MS - 7 * DAY_MS, DUE_MS + 2000), DUE_MS + 3000, 0);
	assert_true(is_late(&late));
}

static void one_skipped_for_a_run_that_went_on_is_made_up_for_by_that_one(void **state)
{
	struct store_late late = late_on("2026-11-26", BY_MS);

	(void)state;
	pass_run(make_run(DUE_MS - DAY_MS, DUE_MS - DAY_MS), DUE_MS + 3000, 0);
	settle(DUE_MS, 0, "overlap");
	assert_false(is_late(&late));
}

static void only_the_due_times_of_its_window_count(void **state)
{
	struct store_late late = late_on("2026-11-26", BY_MS);

	(void)state;
	make_run(0, 1);
	settle(BY_MS, 0, "missed");
	settle(BY_MS - DAY_MS - 1, 0, "missed");
	assert_false(is_late(&late));
	settle(BY_MS - DAY_MS, 0, "missed");
	assert_true(is_late(&late));
}

static void nobody_expects_what_is_paused(void **state)
{
	struct store_late late = late_on("2026-11-26", BY_MS);

	(void)state;
	make_run(0, 1);
	settle(DUE_MS, 0, "paused");
	assert_false(is_late(&late));
	settle(DUE_MS + 1, 0, "missed");
	exec("UPDATE dag SET paused_by = 'ada'");
	assert_false(is_late(&late));
	exec("UPDATE dag SET paused_by = ''");
	assert_true(is_late(&late));
}

static void a_dag_that_never_ran_is_not_late(void **state)
{
	struct store_late late = late_on("2026-11-26", BY_MS);

	(void)state;
	assert_false(is_late(&late));
}

/* --- missed --- */

static void missed_due_times_are_one_notice(void **state)
{
	struct store_missed missed = { .dag = "night",
				       .reason = "missed",
				       .first_nominal = "2026-11-24 02:30",
				       .last_nominal = "2026-11-26 02:30",
				       .first_due_wall_ms = 1000,
				       .last_due_wall_ms = 3000,
				       .count = 3,
				       .receivers = &late_list,
				       .wall_ms = 5000 };

	(void)state;
	assert_int_equal(store_notice_missed(store, &missed, &err), 0);
	assert_int_equal(store_notice_missed(store, &missed, &err), 0);
	assert_int_equal(number("SELECT count(*) FROM outbox"), 1);
	assert_non_null(strstr(text("SELECT body FROM outbox"),
			       "night did not run at 3 due times, from 2026-11-24 02:30 to 2026-11-26 02:30: stoker was"
			       " not running"));
	missed.count = 0;
	missed.first_due_wall_ms = 9;
	assert_int_equal(store_notice_missed(store, &missed, &err), 0);
	assert_int_equal(number("SELECT count(*) FROM outbox"), 1);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(an_end_is_told_once_however_often_it_is_written),
		TEST(nothing_is_told_when_the_end_is_not_stored),
		TEST(the_first_success_after_a_failure_is_a_recovery),
		TEST(who_wants_recoveries_alone_hears_of_no_other_success),
		TEST(a_run_that_failed_and_was_done_again_recovers_itself),
		TEST(looking_for_a_recovery_takes_an_index),
		TEST(a_receiver_gets_one_at_a_time_oldest_first),
		TEST(a_claim_ends_when_its_holder_is_silent),
		TEST(what_is_postponed_waits_and_nobody_else_does),
		TEST(a_clock_that_was_set_back_holds_nothing_up),
		TEST(what_is_given_up_is_an_event_and_stays_so),
		TEST(a_run_that_has_not_succeeded_in_time_is_late_once),
		TEST(a_run_that_succeeded_is_not_late),
		TEST(a_run_that_succeeded_and_is_done_again_is_not_late),
		TEST(a_due_time_without_a_run_is_late),
		TEST(a_later_success_makes_up_for_a_failure),
		TEST(an_older_one_or_a_backfill_does_not),
		TEST(one_skipped_for_a_run_that_went_on_is_made_up_for_by_that_one),
		TEST(only_the_due_times_of_its_window_count),
		TEST(nobody_expects_what_is_paused),
		TEST(a_dag_that_never_ran_is_not_late),
		TEST(missed_due_times_are_one_notice),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
