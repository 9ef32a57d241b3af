#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "scheduler/why.h"
#include "tests/unit/run_fixture.h"

static const char yaml[] = "name: night\n"
			   "concurrency: 2\n"
			   "steps:\n"
			   "  extract: {run: x}\n"
			   "  train: {needs: [extract], run: x, retry: {max: 3, backoff: 30s}, grace: 20s}\n"
			   "  test: {needs: [train], run: x}\n"
			   "  publish: {needs: [test, extract], run: x}\n"
			   "  big: {run: x, resources: {cpus: 4, memory: 2G, gpus: 1}}\n";

static struct run *run;
static struct arena arena;
static struct why why;
static const struct why_worker workers[] = { { .name = "local", .cpus_milli = 6000, .memory_bytes = INT64_C(8) << 30, .devices = 1 } };

static int set_up(void **state)
{
	(void)state;
	run = fixture_run(yaml);
	why = (struct why){ .run = run, .wall_ms = FIXTURE_NOW_MS, .workers = workers, .workers_count = 1 };
	return 0;
}

static int tear_down(void **state)
{
	(void)state;
	run_free(run);
	arena_fini(&arena);
	return 0;
}

static void assert_why(const char *name, const char *expected)
{
	assert_string_equal(why_task(&why, fixture_task(run, name), &arena), expected);
}

static void assert_why_run(const char *expected)
{
	assert_string_equal(why_run(&why, &arena), expected);
}

static void extract_succeeded(void)
{
	struct task *task = fixture_set(run, "extract", TASK_SUCCEEDED, REASON_NONE, "");

	task->row.attempts = 1;
	task->row.started_wall_ms = FIXTURE_NOW_MS - 60000;
	task->row.ended_wall_ms = FIXTURE_NOW_MS - 50000;
}

static void train_runs(void)
{
	extract_succeeded();
	fixture_set(run, "train", TASK_RUNNING, REASON_NONE, "");
	fixture_attempt(run, "train", 1, ATTEMPT_RUNNING);
}

static void train_failed(void)
{
	struct task *task;

	extract_succeeded();
	task = fixture_set(run, "train", TASK_FAILED, REASON_EXIT, "exit code 3; its 3 retries are used up");
	task->row.attempts = 4;
	task->row.ended_wall_ms = FIXTURE_NOW_MS - 1000;
	fixture_set(run, "test", TASK_UPSTREAM_FAILED, REASON_UPSTREAM, "needs train, which failed");
	fixture_set(run, "publish", TASK_UPSTREAM_FAILED, REASON_UPSTREAM, "needs train, which failed");
}

static void a_waiting_task_names_what_it_waits_for(void **state)
{
	(void)state;
	train_runs();
	assert_why("test", "test waits for train (running)");
	assert_why("publish", "publish waits for test (waiting); before it comes train (running)");
}

static void a_ready_task_names_who_holds_the_places(void **state)
{
	(void)state;
	train_runs();
	fixture_set(run, "test", TASK_RUNNING, REASON_NONE, "");
	fixture_attempt(run, "test", 1, ATTEMPT_RUNNING);
	fixture_set(run, "big", TASK_READY, REASON_NONE, "");
	assert_why("big",
		   "big is ready to start and waits for a place: concurrency is 2, held by train, test");
}

static void a_ready_task_names_who_holds_the_resources(void **state)
{
	struct dag_step *train = &run->dag->steps[fixture_task(run, "train")->row.step];

	(void)state;
	train_runs();
	train->resources.cpus_milli = 3000;
	fixture_set(run, "big", TASK_READY, REASON_NONE, "");
	assert_why(
		"big",
		"big is ready to start; it asks for 4 cpus, and of the 6 on worker local too many are held by"
		" train (3)");
	train->resources = (struct dag_resources){ .memory_bytes = INT64_C(7) << 30 };
	assert_why("big", "big is ready to start; it asks for 2048 MiB of memory, and of the 8192 on worker "
			  "local too many"
			  " are held by train (7168)");
	train->resources = (struct dag_resources){ .gpus = 1 };
	fixture_task(run, "train")->live->row.devices = "GPU-1";
	assert_why(
		"big",
		"big is ready to start; it asks for 1 gpus, and of the 1 on worker local too many are held by"
		" train (1)");
	fixture_task(run, "train")->live->row.devices = "";
	assert_why("big", "big is ready to start; it waits for a worker to be connected, or for its turn");
}

static void a_running_task_tells_since_when_and_from_where(void **state)
{
	(void)state;
	train_runs();
	assert_why("train", "train is running since 11:59:50 (10.0s) on worker local");
	fixture_task(run, "train")->live->row.id.number = 2;
	fixture_task(run, "train")->live->row.resumed_from = "epoch-12.npz";
	assert_why("train", "train is running since 11:59:50 (10.0s) on worker local, attempt 2, resumed "
			    "from epoch-12.npz");
}

static void a_start_that_waits_for_files_tells_where_they_lie(void **state)
{
	static const struct why_worker two[] = { { .name = "local" },
						 { .name = "h1", .trouble = "it is off" } };
	static const bool fetched[] = { true, false, false, false, false };
	struct artifact_row row = { .digest = "d", .worker = "h1" };

	(void)state;
	why.workers = two;
	why.workers_count = 2;
	extract_succeeded();
	task_set_left(fixture_task(run, "extract"), &row);
	fixture_set(run, "train", TASK_SUCCEEDED, REASON_NONE, "");
	fixture_set(run, "test", TASK_STARTING, REASON_NONE, "");
	fixture_attempt(run, "test", 1, ATTEMPT_INTENDED);
	assert_why("test",
		   "test is being started since 11:59:50 (10.0s) on worker local; it waits for the artifacts"
		   " of extract, which lie on worker h1: it is off");
	why.fetched = fetched;
	assert_why("test",
		   "test is being started since 11:59:50 (10.0s) on worker local; it has given no sign of"
		   " life yet");
}

static void silence_is_told_as_silence(void **state)
{
	struct why_worker troubled = workers[0];
	struct attempt *attempt;

	(void)state;
	train_runs();
	attempt = fixture_task(run, "train")->live;
	attempt->row.state = ATTEMPT_UNREACHABLE;
	attempt->row.unreachable_wall_ms = FIXTURE_NOW_MS - 5000;
	assert_why("train",
		   "train cannot be reached since 11:59:55 (5.0s) on worker local; it runs on, and its end is"
		   " collected when its worker is back");
	troubled.trouble = "nobody listens there";
	why.workers = &troubled;
	assert_why("train",
		   "train cannot be reached since 11:59:55 (5.0s) on worker local: nobody listens there; it runs"
		   " on, and its end is collected when its worker is back");
	attempt->row.state = ATTEMPT_INTENDED;
	assert_why(
		"train",
		"train is being started since 11:59:50 (10.0s) on worker local; it has given no sign of life"
		" yet");
}

static void one_out_of_reach_tells_when_it_moves(void **state)
{
	struct attempt *attempt;

	(void)state;
	run->dag->steps[fixture_task(run, "train")->row.step].move_after_ms = 1800000;
	train_runs();
	attempt = fixture_task(run, "train")->live;
	attempt->row.worker = "gpu1";
	attempt->row.state = ATTEMPT_UNREACHABLE;
	attempt->row.unreachable_wall_ms = FIXTURE_NOW_MS - 5000;
	assert_why("train", "train cannot be reached since 11:59:55 (5.0s) on worker gpu1; its worker stops"
			    " it when its lease of 30m00s has run out, and it goes elsewhere at 12:30:56");
	why.wall_ms += 3600000;
	assert_why("train", "train cannot be reached since 11:59:55 (1h00m) on worker gpu1; its worker stops"
			    " it when its lease of 30m00s has run out, and it goes elsewhere when that is"
			    " certain, as counted since the scheduler was started");
	attempt->row.worker = "local";
	assert_why("train", "train cannot be reached since 11:59:55 (1h00m) on worker local; it runs on, and"
			    " its end is collected when its worker is back");
}

static void a_retry_tells_when_and_at_whose_expense(void **state)
{
	struct task *task = fixture_set(run, "train", TASK_RETRYING, REASON_EXIT, "exit code 3");

	(void)state;
	task->row.attempts = 2;
	task->row.failures = 2;
	task->row.not_before_wall_ms = FIXTURE_NOW_MS + 12000;
	assert_why("train",
		   "attempt 2 of train failed: exit code 3; retry 2 of 3 starts at 12:00:12 in 12.0s");
	task->row.failures = 0;
	assert_why("train", "attempt 2 of train failed: exit code 3; the next starts at 12:00:12 in 12.0s "
			    "(it made progress,"
			    " which costs no retry)");
	task->row.reason = REASON_WORKER_REBOOTED;
	task->row.message = "lost: the worker was rebooted";
	assert_why("train", "attempt 2 of train failed: lost: the worker was rebooted; the next starts at "
			    "12:00:12 in 12.0s"
			    " (what a machine did costs no retry)");
}

static void a_failure_comes_with_the_last_words(void **state)
{
	(void)state;
	train_failed();
	why.last_line = "ValueError: bad";
	assert_why("train", "train failed in attempt 4: exit code 3; its 3 retries are used up; the last "
			    "line of its log is"
			    " \"ValueError: bad\"");
	run->row.state = RUN_FAILED;
	assert_why_run("night/7 failed because train failed in attempt 4: exit code 3; its 3 retries are "
		       "used up; the last"
		       " line of its log is \"ValueError: bad\"");
}

static void what_was_not_started_names_the_root_cause(void **state)
{
	(void)state;
	train_failed();
	assert_why(
		"test",
		"test was not started: it needs train, which failed: exit code 3; its 3 retries are used up");
	assert_why(
		"publish",
		"publish was not started: it needs what follows from train, which failed: exit code 3; its 3"
		" retries are used up");
	assert_ptr_equal(why_log_task(run, fixture_task(run, "publish")), fixture_task(run, "train"));
}

static void a_step_that_never_ran_has_no_last_words(void **state)
{
	struct task *task = fixture_set(run, "extract", TASK_FAILED, REASON_NOT_STARTED,
					"not started: chdir /data: gone");

	(void)state;
	task->row.attempts = 1;
	why.last_line = "of somebody else";
	assert_why("extract", "extract failed: not started: chdir /data: gone");
}

static void a_canceled_run_tells_by_whom(void **state)
{
	(void)state;
	train_runs();
	run->row.cancel_wall_ms = FIXTURE_NOW_MS - 3000;
	why.canceled_by = "ada (cli box)";
	fixture_set(run, "train", TASK_STOPPING, REASON_CANCELED, "");
	fixture_set(run, "test", TASK_CANCELED, REASON_CANCELED, "");
	assert_why("train", "train was asked to stop by ada (cli box) and is given 20.0s to save its state");
	assert_why("test", "test was canceled by ada (cli box) before it was started");
	assert_why_run("night/7 is being canceled: train was asked to stop by ada (cli box) and is given "
		       "20.0s to save its"
		       " state");
	run->row.state = RUN_CANCELED;
	run->row.ended_wall_ms = FIXTURE_NOW_MS;
	assert_why_run("night/7 was canceled by ada (cli box) at 12:00:00");
}

static void an_orphan_tells_how_to_go_on(void **state)
{
	(void)state;
	train_runs();
	why.orphaned = true;
	assert_why(
		"train",
		"train is running since 11:59:50 (10.0s) on worker local; nobody drives the run: go on with"
		" `stoker run --resume night/7`");
	assert_why_run("night/7 is orphaned, its steps go on: train is running since 11:59:50 (10.0s) on "
		       "worker local;"
		       " nobody drives the run: go on with `stoker run --resume night/7`");
	assert_why("extract", "extract succeeded at 11:59:10 after 10.0s");
}

static void a_run_that_will_fail_says_so_while_it_goes_on(void **state)
{
	(void)state;
	train_failed();
	fixture_set(run, "big", TASK_RUNNING, REASON_NONE, "");
	fixture_attempt(run, "big", 1, ATTEMPT_RUNNING);
	assert_why_run("night/7 will fail because of train, and goes on with the rest: big is running since "
		       "11:59:50 (10.0s)"
		       " on worker local");
}

static void there_is_a_way_on_unless_all_is_well(void **state)
{
	(void)state;
	assert_null(why_next(run, false, &arena));
	assert_string_equal(why_next(run, true, &arena), "stoker run --resume night/7");
	run->row.state = RUN_FAILED;
	assert_string_equal(why_next(run, false, &arena), "stoker run --resume night/7");
	run->row.state = RUN_SUCCEEDED;
	assert_null(why_next(run, false, &arena));
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(a_waiting_task_names_what_it_waits_for),
		TEST(a_ready_task_names_who_holds_the_places),
		TEST(a_ready_task_names_who_holds_the_resources),
		TEST(a_running_task_tells_since_when_and_from_where),
		TEST(a_start_that_waits_for_files_tells_where_they_lie),
		TEST(silence_is_told_as_silence),
		TEST(one_out_of_reach_tells_when_it_moves),
		TEST(a_retry_tells_when_and_at_whose_expense),
		TEST(a_failure_comes_with_the_last_words),
		TEST(what_was_not_started_names_the_root_cause),
		TEST(a_step_that_never_ran_has_no_last_words),
		TEST(a_canceled_run_tells_by_whom),
		TEST(an_orphan_tells_how_to_go_on),
		TEST(a_run_that_will_fail_says_so_while_it_goes_on),
		TEST(there_is_a_way_on_unless_all_is_well),
	};

	setenv("TZ", "UTC", 1);
	tzset();
	return cmocka_run_group_tests(tests, NULL, NULL);
}
