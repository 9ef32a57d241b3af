#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdlib.h>
#include <string.h>

#include "scheduler/store_queue.h"
#include "tests/unit/run_fixture.h"

#define HOUR_MS (INT64_C(3600) * 1000)

static struct store *store;
static struct arena arena;

static int set_up(void **state)
{
	struct err err;

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

/* A run of the DAG; `due_ms` 0: by hand, made at `made_ms`. */
static uint64_t make(const char *yaml, int64_t due_ms, int64_t made_ms)
{
	struct dag *dag = fixture_dag(yaml);
	struct err err;
	uint64_t run;

	if (store_create_run(store,
			     &(struct store_new_run){ .dag = dag,
						      .params = "{}",
						      .trigger = due_ms == 0 ? "manual" : "cron",
						      .actor = "ada",
						      .origin = "test",
						      .scheduled_for_wall_ms = due_ms,
						      .wall_ms = made_ms },
			     &run, &err) < 0)
		fail_msg("%s", err.text);
	dag_free(dag);
	return run;
}

static void set_state(uint64_t run, enum run_state to)
{
	struct action save = { .kind = SAVE_RUN, .run = { .id = run, .state = to } };
	struct err err;

	if (store_apply(store, &save, 1, &err) < 0)
		fail_msg("%s", err.text);
}

static struct queued_run *read_queue(size_t *count)
{
	struct queued_run *runs;
	struct err err;

	if (store_queued_runs(store, &arena, FIXTURE_NOW_MS, 100, &runs, count, &err) < 0)
		fail_msg("%s", err.text);
	return runs;
}

static const char plain[] = "name: plain\nsteps: {a: {run: 'true'}}\n";
static const char urgent[] = "name: urgent\npriority: 5\nmax_active_runs: 3\nsteps: {a: {run: 'true'}}\n";

static void the_urgent_go_first_then_the_oldest(void **state)
{
	uint64_t first = make(plain, 0, FIXTURE_NOW_MS - 2000);
	uint64_t second = make(plain, 0, FIXTURE_NOW_MS - 1000);
	uint64_t third = make(urgent, 0, FIXTURE_NOW_MS);
	size_t count;
	struct queued_run *runs = read_queue(&count);

	(void)state;
	assert_int_equal(count, 3);
	assert_int_equal(runs[0].id, third);
	assert_int_equal(runs[1].id, first);
	assert_int_equal(runs[2].id, second);
	assert_int_equal(runs[0].max_active, 3);
	assert_int_equal(runs[1].max_active, 1);
}

static void who_waits_long_rises(void **state)
{
	uint64_t old = make(plain, 0, FIXTURE_NOW_MS - HOUR_MS);
	size_t count;

	(void)state;
	make(urgent, 0, FIXTURE_NOW_MS);
	assert_int_equal(read_queue(&count)[0].id, old);
}

static void those_that_run_are_counted_for_their_dag(void **state)
{
	size_t count;
	uint64_t running = make(plain, 0, FIXTURE_NOW_MS);
	struct queued_run *runs;

	(void)state;
	set_state(running, RUN_RUNNING);
	make(plain, 0, FIXTURE_NOW_MS);
	make(urgent, 0, FIXTURE_NOW_MS);
	runs = read_queue(&count);
	assert_int_equal(count, 2);
	assert_int_equal(runs[0].running, 0);
	assert_int_equal(runs[1].running, 1);
}

/* --- after --- */

static const char features[] = "name: features\nsteps: {a: {run: 'true'}}\n";
static const char waiting[] = "name: waiting\nafter: {dag: features, within: 6h}\nsteps: {a: {run: 'true'}}\n";

static enum after_verdict look_after(int64_t wall_ms, const char **text, int64_t *until_ms)
{
	enum after_verdict verdict;
	size_t count;
	struct queued_run *runs = read_queue(&count);
	struct err err;

	for (size_t i = 0; i < count; i++)
		if (strcmp(runs[i].dag, "waiting") == 0) {
			if (store_look_after(store, &runs[i], wall_ms, &arena, &verdict, text, until_ms, &err) < 0)
				fail_msg("%s", err.text);
			return verdict;
		}
	fail();
	return AFTER_MET;
}

static void it_waits_for_the_run_of_its_night(void **state)
{
	int64_t due_ms = FIXTURE_NOW_MS, until_ms;
	const char *text;
	uint64_t run;

	(void)state;
	/* The nights before: both DAGs had a run, and that of `features` had succeeded. */
	set_state(make(features, due_ms - 25 * HOUR_MS, due_ms - 25 * HOUR_MS), RUN_SUCCEEDED);
	set_state(make(waiting, due_ms - 24 * HOUR_MS, due_ms - 24 * HOUR_MS), RUN_SUCCEEDED);
	make(waiting, due_ms, due_ms);
	assert_int_equal(look_after(due_ms, &text, &until_ms), AFTER_WAITS);
	assert_string_equal(text, "waits for features to succeed: its newest run, features/1, has succeeded");
	assert_int_equal(until_ms, due_ms + 6 * HOUR_MS);

	run = make(features, due_ms - HOUR_MS, due_ms - HOUR_MS);
	assert_int_equal(look_after(due_ms, &text, &until_ms), AFTER_WAITS);
	set_state(run, RUN_FAILED);
	assert_int_equal(look_after(due_ms, &text, &until_ms), AFTER_WAITS);
	assert_string_equal(text, "waits for features to succeed: its newest run, features/2, has failed");
	set_state(make(features, 0, due_ms + 1000), RUN_SUCCEEDED); /* somebody mended it, by hand */
	assert_int_equal(look_after(due_ms + 2000, &text, &until_ms), AFTER_MET);
}

static void it_does_not_wait_longer_than_it_may(void **state)
{
	int64_t due_ms = FIXTURE_NOW_MS, until_ms;
	const char *text;

	(void)state;
	make(waiting, due_ms, due_ms);
	assert_int_equal(look_after(due_ms + 6 * HOUR_MS - 1, &text, &until_ms), AFTER_WAITS);
	assert_string_equal(text, "waits for features to succeed: it has no run yet");
	assert_int_equal(look_after(due_ms + 6 * HOUR_MS, &text, &until_ms), AFTER_EXPIRED);
}

static void by_hand_a_run_of_the_last_day_counts(void **state)
{
	int64_t until_ms;
	const char *text;

	(void)state;
	set_state(make(features, FIXTURE_NOW_MS - 25 * HOUR_MS, FIXTURE_NOW_MS - 25 * HOUR_MS), RUN_SUCCEEDED);
	make(waiting, 0, FIXTURE_NOW_MS);
	assert_int_equal(look_after(FIXTURE_NOW_MS, &text, &until_ms), AFTER_WAITS);
	set_state(make(features, FIXTURE_NOW_MS - 23 * HOUR_MS, FIXTURE_NOW_MS - 23 * HOUR_MS), RUN_SUCCEEDED);
	assert_int_equal(look_after(FIXTURE_NOW_MS, &text, &until_ms), AFTER_MET);
}

/* --- the end of one that never began --- */

static void a_queued_run_ends_whole_and_once(void **state)
{
	const struct queue_ending ending = { .state = RUN_FAILED,
					     .reason = REASON_UPSTREAM,
					     .message = "waits for features to succeed: it has no run yet",
					     .wall_ms = FIXTURE_NOW_MS };
	uint64_t id = make(waiting, 0, FIXTURE_NOW_MS);
	struct run *run;
	struct err err;

	(void)state;
	assert_int_equal(store_end_queued(store, id, &ending, &err), 0);
	assert_int_equal(store_load_run(store, id, &run, &err), 0);
	assert_int_equal(run->row.state, RUN_FAILED);
	assert_int_equal(run->row.reason, REASON_UPSTREAM);
	assert_int_equal(run->tasks[0].row.state, TASK_UPSTREAM_FAILED);
	assert_string_equal(run->tasks[0].row.message, ending.message);
	run_free(run);
	assert_int_equal(store_end_queued(store, id, &ending, &err), ERR_EXISTS);
}

static void the_snapshot_is_taken_later_when_it_is_not_there(void **state)
{
	uint64_t id = make("name: s\nsource: work\nsteps: {a: {run: 'true'}}\n", 0, FIXTURE_NOW_MS);
	size_t count;
	struct err err;

	(void)state;
	assert_string_equal(read_queue(&count)[0].source_folder, "/dags/work");
	assert_int_equal(store_set_source(store, id, "digest", 12, &err), 0);
	assert_string_equal(read_queue(&count)[0].source_folder, "");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(the_urgent_go_first_then_the_oldest, set_up, tear_down),
		cmocka_unit_test_setup_teardown(who_waits_long_rises, set_up, tear_down),
		cmocka_unit_test_setup_teardown(those_that_run_are_counted_for_their_dag, set_up, tear_down),
		cmocka_unit_test_setup_teardown(it_waits_for_the_run_of_its_night, set_up, tear_down),
		cmocka_unit_test_setup_teardown(it_does_not_wait_longer_than_it_may, set_up, tear_down),
		cmocka_unit_test_setup_teardown(by_hand_a_run_of_the_last_day_counts, set_up, tear_down),
		cmocka_unit_test_setup_teardown(a_queued_run_ends_whole_and_once, set_up, tear_down),
		cmocka_unit_test_setup_teardown(the_snapshot_is_taken_later_when_it_is_not_there, set_up, tear_down),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
