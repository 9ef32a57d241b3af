#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/mem.h"
#include "common/scope.h"
#include "scheduler/token.h"
#include "scheduler/view.h"
#include "scheduler/view_dags.h"
#include "scheduler/view_rows.h"
#include "scheduler/view_summary.h"
#include "tests/unit/run_fixture.h"
#include "web/auth.h"

static const char yaml[] = "name: night\n"
			   "schedule: \"30 2 * * *\"\n"
			   "steps:\n"
			   "  train: {run: x}\n";

static struct store *store;
static struct zones *zones;
static json_t *answer;
static struct err err;

static int set_up(void **state)
{
	(void)state;
	zones = zones_new("Asia/Kathmandu");
	return store_open_memory(&store, &err);
}

static int tear_down(void **state)
{
	(void)state;
	json_decref(answer);
	answer = NULL;
	store_close(store);
	store = NULL;
	zones_free(zones);
	return 0;
}

static void sql(const char *text)
{
	char *message = NULL;

	if (sqlite3_exec(store->db, text, NULL, NULL, &message) != SQLITE_OK)
		fail_msg("%s: %s", text, message);
}

static uint64_t new_run(void)
{
	autodag struct dag *dag = fixture_dag(yaml);
	const struct store_new_run wanted = { .dag = dag,
					      .params = "{}",
					      .trigger = "manual",
					      .actor = "ada",
					      .origin = "cli box",
					      .wall_ms = FIXTURE_NOW_MS };
	uint64_t run;

	if (store_create_run(store, &wanted, &run, &err) < 0)
		fail_msg("%s", err.text);
	return run;
}

static const char *text_of(const json_t *object, const char *key)
{
	const char *text = json_string_value(json_object_get(object, key));

	return text == NULL ? "(null)" : text;
}

/* --- DAGs ------------------------------------------------------------------------------------------------- */

static void dags_of_files_and_of_runs_are_one_list_by_name(void **state)
{
	autodag struct dag *dag = fixture_dag(yaml);
	const struct view_dag_facts facts[] = {
		{ .name = "a", .path = "/d/a.yaml", .problem = "a.yaml:1:1: error" },
		{ .name = "night", .path = "/d/night.yaml", .dag = dag },
		{ .name = "z", .path = "/d/z.yaml", .dag = dag }
	};
	static const char *const names[] = { "a", "b", "night", "z" };
	json_t *list;

	(void)state;
	for (int i = 0; i < 5; i++)
		new_run();
	sql("INSERT INTO dag (name, last_number) VALUES ('b', 0)");
	sql("UPDATE run SET state = 'succeeded', ended_ms = number * 1000 WHERE number < 4");
	sql("UPDATE dag SET paused_by = 'ada', paused_ms = 5000 WHERE name = 'night'");
	assert_int_equal(view_dags(store, zones, facts, 3, 3, FIXTURE_NOW_MS, &answer, &err), 0);
	list = json_object_get(answer, "dags");
	assert_int_equal(json_array_size(list), 4);
	for (size_t i = 0; i < 4; i++)
		assert_string_equal(text_of(json_array_get(list, i), "dag"), names[i]);
	assert_string_equal(text_of(json_array_get(list, 0), "problem"), "a.yaml:1:1: error");
	list = json_array_get(list, 2);
	assert_int_equal(json_integer_value(json_object_get(list, "active")), 2);
	assert_int_equal(json_array_size(json_object_get(list, "latest")), 3);
	assert_string_equal(text_of(list, "last_success"), "1970-01-01T00:00:03.000Z");
	assert_string_equal(text_of(list, "paused_by"), "ada");
}

/* The text is the list. */
static void expect_text(const struct view_listing *listing, struct view_dags_kept *kept)
{
	autofree char *text = NULL, *expected = NULL;

	json_decref(answer);
	answer = NULL;
	assert_int_equal(view_dags(store, listing->zones, listing->facts, listing->count, listing->runs,
				   listing->now_wall_ms, &answer, &err),
			 0);
	expected = json_dumps(answer, JSON_COMPACT | JSON_PRESERVE_ORDER);
	assert_int_equal(view_dags_text(store, listing, kept, &text, &err), 0);
	assert_string_equal(text, expected);
}

/* What happens to a run as a whole is in the audit trail. */
static void add_move(int run)
{
	autofree char *text = mem_printf("INSERT INTO event (at_ms, kind, actor, origin, run)"
					 " VALUES (1, 'run.moved', 'stoker', '', %d)",
					 run);

	sql(text);
}

static void what_is_kept_of_a_list_is_what_it_would_tell_now(void **state)
{
	static const char *const changes[] = {
		"INSERT INTO dag (name, last_number) VALUES ('b', 0)",
		"UPDATE run SET state = 'running' WHERE number = 1",
		"UPDATE run SET started_ms = 5 WHERE number = 1",
		"UPDATE run SET state = 'succeeded', ended_ms = 7000 WHERE number = 1",
		"UPDATE run SET state = 'failed' WHERE number = 2",
		"UPDATE run SET ended_ms = 8000 WHERE number = 2",
		"UPDATE run SET trigger = 'cron' WHERE number = 2",
		"UPDATE run SET created_ms = 9 WHERE number = 2",
		"UPDATE run SET number = 9 WHERE number = 2",
		"UPDATE dag SET paused_by = 'ada', paused_ms = 5000 WHERE name = 'night'",
		"UPDATE dag SET paused_ms = 6000 WHERE name = 'night'",
		"UPDATE dag SET paused_by = 'bob' WHERE name = 'night'",
		"UPDATE dag SET paused_by = '', paused_ms = 0 WHERE name = 'night'",
		"INSERT INTO lateness SELECT id, '2027-01-15', 9000 FROM dag WHERE name = 'night'",
		"DELETE FROM dag WHERE name = 'b'",
	};
	autodag struct dag
		*dag = fixture_dag(yaml),
		*other = fixture_dag(
			"name: night\ndescription: two\nschedule:\n"
			"  - {cron: '5 2 * * *', timezone: Europe/Berlin}\nsteps:\n  train: {run: x}\n");
	struct view_dag_facts facts[] = { { .name = "a", .path = "/d/a.yaml" },
					  { .name = "night", .path = "/d/night.yaml", .dag = dag },
					  { .name = "z", .path = "/d/z.yaml", .dag = dag } };
	struct view_listing listing = { zones, facts, 3, 3, FIXTURE_NOW_MS };
	struct zones *elsewhere = zones_new("America/New_York");
	struct view_dags_kept *kept = view_dags_kept_new();

	(void)state;
	expect_text(&listing, kept);
	for (int i = 0; i < 3; i++) {
		new_run();
		expect_text(&listing, kept);
	}
	for (size_t i = 0; i < COUNT_OF(changes); i++) {
		sql(changes[i]);
		add_move(1);
		add_move(2);
		expect_text(&listing, kept);
	}
	facts[0].problem = "a.yaml:1:1: error";
	expect_text(&listing, kept);
	facts[0].path = NULL;
	expect_text(&listing, kept);
	facts[1].dag = other;
	expect_text(&listing, kept);
	facts[2].dag = NULL;
	expect_text(&listing, kept);
	listing.now_wall_ms += 86400000;
	expect_text(&listing, kept);
	listing.zones = elsewhere;
	facts[1].dag = dag;
	expect_text(&listing, kept);
	for (int i = 0; i < 12; i++) {
		listing.runs = (int[]){ 1, 3, 2, 3, 4 }[i % 5]; /* one more than are kept */
		expect_text(&listing, kept);
		sql("UPDATE run SET created_ms = created_ms + 1");
		add_move(1);
	}
	listing.count = 1;
	expect_text(&listing, kept);
	view_dags_kept_free(kept);
	zones_free(elsewhere);
}

static int64_t number_of_latest(struct view_histories *kept, int64_t now_wall_ms, bool active)
{
	const struct view_history *history;
	int64_t number;

	assert_int_equal(view_begin(store, &err), 0);
	assert_int_equal(view_histories_settle(kept, store, 3, now_wall_ms, &err), 0);
	assert_int_equal(view_histories_find(kept, store, 1, "night", active, &history, &err), 0);
	number = history->latest[0].number;
	view_end(store);
	return number;
}

/* Each time the number of its latest run is another one, and nobody says so but for the one way that is looked at. */
static void a_history_is_read_again_when_it_may_be_another_one(void **state)
{
	struct view_histories *kept = view_histories_new();
	int64_t now_wall_ms = FIXTURE_NOW_MS;

	(void)state;
	new_run();
	sql("UPDATE run SET state = 'failed', ended_ms = 1");
	assert_int_equal(number_of_latest(kept, now_wall_ms, false), 1);
	sql("UPDATE run SET number = 2");
	assert_int_equal(number_of_latest(kept, now_wall_ms, false), 1);
	assert_int_equal(number_of_latest(kept, now_wall_ms, true), 2);
	sql("UPDATE run SET number = 3");
	add_move(1);
	assert_int_equal(number_of_latest(kept, now_wall_ms, false), 3);
	sql("UPDATE run SET number = 4");
	sql("INSERT INTO event (at_ms, kind, actor, origin, run, step) VALUES (1, 'task.ended', 'stoker', '', 1, 0)");
	assert_int_equal(number_of_latest(kept, now_wall_ms, false), 3);
	add_move(0);
	assert_int_equal(number_of_latest(kept, now_wall_ms, false), 4);
	sql("UPDATE run SET number = 5");
	add_move(77); /* it is gone */
	assert_int_equal(number_of_latest(kept, now_wall_ms, false), 5);
	sql("UPDATE run SET number = 6");
	assert_int_equal(number_of_latest(kept, now_wall_ms + 59999, false), 5);
	assert_int_equal(number_of_latest(kept, now_wall_ms + 60000, false), 6);
	sql("UPDATE run SET number = 7");
	assert_int_equal(number_of_latest(kept, now_wall_ms, false), 7); /* the clock was set back */
	view_histories_free(kept);
}

static int late_of_three(struct view_histories *kept, int64_t now_wall_ms)
{
	const struct view_history *history;
	int late = 0;

	assert_int_equal(view_begin(store, &err), 0);
	assert_int_equal(view_histories_settle(kept, store, 3, now_wall_ms, &err), 0);
	for (int64_t dag = 1; dag <= 3; dag++) {
		assert_int_equal(view_histories_find(kept, store, dag, "any", false, &history, &err), 0);
		late += history->late_since_wall_ms > 0;
	}
	view_end(store);
	return late;
}

static void histories_are_read_again_one_after_the_other(void **state)
{
	struct view_histories *kept = view_histories_new();
	int64_t now_wall_ms = FIXTURE_NOW_MS;

	(void)state;
	new_run();
	sql("INSERT INTO dag (name, last_number) VALUES ('b', 0), ('c', 0)");
	assert_int_equal(late_of_three(kept, now_wall_ms), 0);
	sql("INSERT INTO lateness SELECT id, '2027-01-15', 9000 FROM dag");
	assert_int_equal(late_of_three(kept, now_wall_ms + 19999), 0);
	assert_int_equal(late_of_three(kept, now_wall_ms + 21000), 1);
	assert_int_equal(late_of_three(kept, now_wall_ms + 39999), 1);
	assert_int_equal(late_of_three(kept, now_wall_ms + 40000), 2);
	assert_int_equal(late_of_three(kept, now_wall_ms + 60000), 3);
	view_histories_free(kept);
}

static void another_edition_is_another_history(void **state)
{
	struct view_histories *kept = view_histories_new();
	const struct view_history *first, *again, *changed;
	uint64_t edition;

	(void)state;
	new_run();
	assert_int_equal(view_begin(store, &err), 0);
	assert_int_equal(view_histories_settle(kept, store, 3, FIXTURE_NOW_MS, &err), 0);
	assert_int_equal(view_histories_find(kept, store, 1, "night", true, &first, &err), 0);
	edition = first->edition;
	assert_int_equal(view_histories_find(kept, store, 1, "night", true, &again, &err), 0);
	assert_int_equal(again->edition, edition);
	view_end(store);
	sql("UPDATE run SET started_ms = 9");
	assert_int_equal(view_histories_find(kept, store, 1, "night", true, &changed, &err), 0);
	assert_int_not_equal(changed->edition, edition);
	view_histories_free(kept);
}

static void add_events(int count)
{
	for (int i = 0; i < count; i++)
		sql("INSERT INTO event (at_ms, kind, actor, origin, run, step, attempt, detail)"
		    " VALUES (abs(random() % 1000000), 'task.ended', 'stoker', '', abs(random() % 3), -1, 0, '\"é\"')");
}

static void expect_events(struct view_events_kept *kept, int limit)
{
	const struct view_events latest = { .after = -1, .limit = limit };
	autofree char *text = NULL, *expected = NULL;

	json_decref(answer);
	answer = NULL;
	assert_int_equal(view_events(store, &latest, &answer, &err), 0);
	expected = json_dumps(answer, JSON_COMPACT | JSON_PRESERVE_ORDER);
	assert_int_equal(view_events_text(store, limit, kept, &text, &err), 0);
	assert_string_equal(text, expected);
}

static void what_is_kept_of_the_latest_events_is_what_they_would_be_now(void **state)
{
	static const int counts[] = { 0, 1, 5, 43, 1, 149, 1, 1, 1, 30, 200, 201, 202, 500, 0, 1 };
	static const int limits[] = { 1, 50, 199, VIEW_EVENTS_KEPT };
	struct view_events_kept *kept = view_events_kept_new();

	(void)state;
	sql("DELETE FROM event");
	new_run();
	for (size_t i = 0; i < COUNT_OF(counts); i++) {
		add_events(counts[i]);
		expect_events(kept, limits[i % COUNT_OF(limits)]);
		expect_events(kept, limits[(i + 1) % COUNT_OF(limits)]);
	}
	sql("DELETE FROM event WHERE id < (SELECT max(id) FROM event) - 70"); /* as gc does */
	expect_events(kept, 50);
	expect_events(kept, 200);
	add_events(60);
	expect_events(kept, 200);
	sql("DELETE FROM event");
	expect_events(kept, 50);
	add_events(2);
	expect_events(kept, 50);
	view_events_kept_free(kept);
}

static void a_dag_is_due_by_the_clock_of_the_scheduler(void **state)
{
	autodag struct dag *dag = fixture_dag(yaml);
	const struct view_dag_facts facts = { .name = "night", .path = "/d/night.yaml", .dag = dag };
	const json_t *schedule;

	(void)state;
	assert_int_equal(view_dag(store, zones, "night", &facts, 3, FIXTURE_NOW_MS, &answer, &err), 0);
	assert_string_equal(text_of(answer, "next_due"), "2027-01-15T20:45:00.000Z");
	schedule = json_array_get(json_object_get(answer, "schedules"), 0);
	assert_string_equal(text_of(schedule, "timezone"), "Asia/Kathmandu");
}

static void the_last_success_is_found_however_many_failed_since(void **state)
{
	(void)state;
	for (int i = 0; i < 9; i++)
		new_run();
	sql("UPDATE run SET state = 'failed', ended_ms = number * 1000");
	sql("UPDATE run SET state = 'succeeded' WHERE number IN (2, 3)");
	assert_int_equal(view_dags(store, zones, NULL, 0, 3, FIXTURE_NOW_MS, &answer, &err), 0);
	assert_string_equal(text_of(json_array_get(json_object_get(answer, "dags"), 0), "last_success"),
			    "1970-01-01T00:00:03.000Z");
}

static void of_two_files_by_one_name_the_good_one_counts_with_what_is_wrong_with_the_other(void **state)
{
	autodag struct dag *dag = fixture_dag(yaml);

	(void)state;
	for (int turned = 0; turned < 2; turned++) {
		struct view_dag_facts good = { .name = "n", .path = turned ? "/d/1" : "/d/2", .dag = dag },
				      bad = { .name = "n",
					      .path = turned ? "/d/2" : "/d/1",
					      .problem = "bad" };
		struct view_dag_facts facts[] = { { .name = "o", .path = "/d/o" }, good, bad };

		assert_int_equal(view_dag_facts_sort(facts, 3), 2);
		assert_string_equal(facts[0].path, good.path);
		assert_string_equal(facts[0].problem, "bad");
		assert_ptr_equal(facts[0].dag, dag);
		assert_string_equal(facts[1].name, "o");
	}
}

static void a_dag_without_a_file_is_as_it_ran_last(void **state)
{
	(void)state;
	new_run();
	assert_int_equal(view_dag(store, zones, "night", NULL, 5, FIXTURE_NOW_MS, &answer, &err), 0);
	assert_true(json_is_false(json_object_get(answer, "in_force")));
	assert_string_equal(text_of(answer, "text"), yaml);
	assert_int_equal(json_array_size(json_object_get(answer, "steps")), 1);
	assert_int_equal(view_dag(store, zones, "nigth", NULL, 5, FIXTURE_NOW_MS, &answer, &err),
			 ERR_NOT_FOUND);
	assert_string_equal(err.text, "no DAG called nigth is known here; did you mean night?");
}

/* --- metrics ---------------------------------------------------------------------------------------------- */

static void a_curve_of_many_lines_is_thinned_to_points_that_lie_evenly(void **state)
{
	uint64_t run = new_run();
	json_t *points;
	double last = 0;

	(void)state;
	sql("INSERT INTO attempt (run, step, number, state, worker, boot_id, fence, intended_ms)"
	    " VALUES (1, 0, 1, 'running', 'local', '', 1, 1)");
	sql("WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 50000)"
	    " INSERT INTO metric SELECT 1, 0, 1, i * 37, i, '{\"step\": ' || i || ', \"note\": \"x\"}' FROM "
	    "n");
	assert_int_equal(view_metrics(store, run, 0, 100, &answer, &err), 0);
	assert_true(json_is_true(json_object_get(answer, "thinned")));
	points = json_object_get(answer, "metrics");
	assert_in_range(json_array_size(points), 95, 100);
	for (size_t i = 0; i < json_array_size(points); i++) {
		json_t *values = json_object_get(json_array_get(points, i), "values");
		double at = json_number_value(json_object_get(values, "step"));

		assert_int_equal(json_object_size(values), 1);
		assert_true(at > last && (i == 0 || at - last < 1100));
		last = at;
	}
	assert_int_equal((int)last, 50000);
}

/* --- one task --------------------------------------------------------------------------------------------- */

static void a_task_is_told_with_its_run(void **state)
{
	uint64_t run = new_run();

	(void)state;
	assert_int_equal(view_task(store, run, 0, &answer, &err), 0);
	assert_string_equal(text_of(answer, "run"), "night/1");
	assert_string_equal(text_of(answer, "task"), "train");
	assert_int_equal(view_task(store, run, 7, &answer, &err), ERR_NOT_FOUND);
}

/* --- tokens ----------------------------------------------------------------------------------------------- */

static enum web_role role_of(const char *digest, int64_t wall_ms)
{
	struct web_token token;

	assert_int_equal(token_find(store, digest, wall_ms, &token, &err), 0);
	return token.role;
}

static void a_token_is_good_until_it_expires_or_is_revoked(void **state)
{
	const struct token_row ci = { .digest = "d1", .name = "ci", .role = WEB_OPERATOR },
			       brief = { .digest = "d2",
					 .name = "brief",
					 .role = WEB_VIEWER,
					 .expires_wall_ms = 5000 },
			       again = { .digest = "d3", .name = "ci", .role = WEB_VIEWER };
	struct web_token token;
	bool any;

	(void)state;
	assert_int_equal(token_exists(store, 1000, &any, &err), 0);
	assert_false(any);
	assert_int_equal(token_add(store, &ci, "ada", "cli box", 1000, &err), 0);
	assert_int_equal(token_add(store, &again, "ada", "cli box", 1000, &err), ERR_EXISTS);
	assert_int_equal(token_add(store, &brief, "ada", "cli box", 1000, &err), 0);
	assert_int_equal(role_of("d1", 9000), WEB_OPERATOR);
	assert_int_equal(role_of("d2", 4999), WEB_VIEWER);
	assert_int_equal(role_of("d2", 5000), WEB_NOBODY);
	assert_int_equal(token_revoke(store, "ci", "ada", "cli box", 6000, &err), 0);
	assert_int_equal(role_of("d1", 9000), WEB_NOBODY);
	assert_int_equal(token_revoke(store, "ci", "ada", "cli box", 6000, &err), ERR_NOT_FOUND);
	assert_int_equal(token_find(store, "d9", 0, &token, &err), ERR_NOT_FOUND);
	assert_int_equal(token_exists(store, 5000, &any, &err), 0);
	assert_false(any);
	assert_int_equal(token_add(store, &again, "ada", "cli box", 7000, &err), 0);
	assert_int_equal(role_of("d3", 9000), WEB_VIEWER);
	assert_int_equal(token_list(store, 9000, &answer, &err), 0);
	assert_int_equal(json_array_size(json_object_get(answer, "tokens")), 3);
}

/* --- speed ------------------------------------------------------------------------------------------------ */

/* However many runs there are. (Tables of a few rows are walked: DAGs, workers, tokens, what is alive.) */
static void nothing_walks_through_what_grows(void **state)
{
	static const enum store_statement statements[] = {
		STMT_web_dag,
		STMT_web_dag_latest,
		STMT_web_dag_last_success,
		STMT_web_dag_active,
		STMT_web_dag_text,
		STMT_web_dags_active,
		STMT_web_task,
		STMT_web_task_attempts,
		STMT_web_task_outputs,
		STMT_web_metric_attempts,
		STMT_web_metric_count,
		STMT_web_metric_last,
		STMT_web_metrics,
		STMT_web_queue_oldest,
		STMT_web_running_count,
		STMT_web_running_tasks,
		STMT_web_live_attempts,
		STMT_web_checkpoint_ages,
		STMT_web_successes,
		STMT_web_events_since,
		STMT_web_last_event,
		STMT_find_token,
		STMT_web_open_runs,
		STMT_web_last_move,
		STMT_web_moved_dags,
		STMT_web_last_run,
		STMT_web_last_version,
	};
	static const char *const walks[] = { "SCAN run",	"SCAN task",	   "SCAN checkpoint",
					     "SCAN metric",	"SCAN output",	   "SCAN event",
					     "SCAN occurrence", "SCAN dag_version" };

	(void)state;
	for (size_t i = 0; i < COUNT_OF(statements); i++) {
		const char *text = sqlite3_sql(store_statement(store, statements[i]));
		autofree char *explain = mem_printf("EXPLAIN QUERY PLAN %s", text);
		autobuf struct buf plan = { 0 };
		sqlite3_stmt *stmt = NULL;

		assert_int_equal(sqlite3_prepare_v2(store->db, explain, -1, &stmt, NULL), SQLITE_OK);
		while (sqlite3_step(stmt) == SQLITE_ROW)
			buf_printf(&plan, "%s\n", (const char *)sqlite3_column_text(stmt, 3));
		sqlite3_finalize(stmt);
		for (size_t k = 0; k < COUNT_OF(walks); k++)
			if (strstr(buf_text(&plan), walks[k]) != NULL)
				fail_msg("%s\n%s", text, buf_text(&plan));
		if (strstr(buf_text(&plan), "SCAN attempt") != NULL &&
		    strstr(buf_text(&plan), "SCAN attempt USING INDEX attempt_live") == NULL)
			fail_msg("%s\n%s", text, buf_text(&plan));
	}
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
	const struct CMUnitTest tests[] = {
		TEST(dags_of_files_and_of_runs_are_one_list_by_name),
		TEST(what_is_kept_of_a_list_is_what_it_would_tell_now),
		TEST(a_history_is_read_again_when_it_may_be_another_one),
		TEST(histories_are_read_again_one_after_the_other),
		TEST(another_edition_is_another_history),
		TEST(what_is_kept_of_the_latest_events_is_what_they_would_be_now),
		TEST(a_dag_is_due_by_the_clock_of_the_scheduler),
		TEST(the_last_success_is_found_however_many_failed_since),
		TEST(of_two_files_by_one_name_the_good_one_counts_with_what_is_wrong_with_the_other),
		TEST(a_dag_without_a_file_is_as_it_ran_last),
		TEST(a_curve_of_many_lines_is_thinned_to_points_that_lie_evenly),
		TEST(a_task_is_told_with_its_run),
		TEST(a_token_is_good_until_it_expires_or_is_revoked),
		TEST(nothing_walks_through_what_grows),
	};

	return cmocka_run_group_tests_name("view_dags", tests, NULL, NULL);
}
