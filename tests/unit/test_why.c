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

/* What is alive in the run itself, as the store would tell it. */
static struct why_holder held_by(const char *name)
{
	const struct task *task = fixture_task(run, name);

	return (struct why_holder){
		.ask = { .run = run->row.id, .step = task->row.step, .run_name = "night/7", .task = name,
			 .pool = "", .worker = "", .resources = task->step->resources },
		.worker = "local",
		.since_wall_ms = task->live->row.intended_wall_ms,
	};
}

static struct why_holder held_elsewhere(const char *pool, int64_t for_ms)
{
	return (struct why_holder){
		.ask = { .run = 2, .run_name = "digits/41", .task = "fit", .pool = pool, .worker = "",
			 .resources = { .gpus = 1 } },
		.worker = "local",
		.since_wall_ms = FIXTURE_NOW_MS - for_ms,
		.devices = 1,
	};
}

static struct why_waiting waits_elsewhere(const char *pool, int priority, int64_t for_ms)
{
	return (struct why_waiting){
		.ask = { .run = 2, .run_name = "digits/41", .task = "fit", .pool = pool, .worker = "" },
		.priority = priority,
		.count = 1,
		.since_wall_ms = FIXTURE_NOW_MS - for_ms,
	};
}

static void set_waiting(struct why_waiting *waiting, size_t count)
{
	why.waiting = waiting;
	why.waiting_count = count;
	why_rank(&why, waiting, count);
}

static void big_is_ready(int64_t for_ms)
{
	extract_succeeded();
	fixture_set(run, "big", TASK_READY, REASON_NONE, "")->row.ready_wall_ms = FIXTURE_NOW_MS - for_ms;
}

static void a_ready_task_names_the_full_pool_and_who_holds_it(void **state)
{
	static const struct why_pool pools[] = { { "db", 2 }, { "shut", 0 } };
	struct why_holder holders[] = { held_elsewhere("db", 3 * 3600 * 1000), held_elsewhere("", 5000),
					held_elsewhere("db", 60000), held_elsewhere("db", 1000) };
	struct dag_step *big = &run->dag->steps[fixture_task(run, "big")->row.step];

	(void)state;
	why.pools = pools;
	why.pools_count = 2;
	why.holders = holders;
	why.holders_count = 3;
	big_is_ready(0);
	big->resources = (struct dag_resources){ 0 };
	big->pool = "db";
	assert_why("big", "big is ready to start and waits for pool db: 2 of 2 slots are held by digits/41 fit"
			  " (3h00m), digits/41 fit (1m00s)");
	why.holders_count = 4;
	assert_why("big", "big is ready to start and waits for pool db: 3 of 2 slots are held by digits/41 fit"
			  " (3h00m), digits/41 fit (1m00s), digits/41 fit (1.0s)");
	big->pool = "shut";
	assert_why("big", "big is ready to start; its pool shut is closed: it has no slots");
	big->pool = "gone";
	assert_why("big", "big is ready to start; its pool gone is not in the settings (any more), so nothing of"
			  " it is started");
}

static void a_ready_task_names_those_who_go_before(void **state)
{
	static const struct why_pool pools[] = { { "db", 1 } };
	struct why_holder holders[] = { held_elsewhere("db", 1000) };
	struct why_waiting waiting[] = { waits_elsewhere("db", 5, 1000), waits_elsewhere("other", 9, 1000) };

	(void)state;
	why.pools = pools;
	why.pools_count = 1;
	why.holders = holders;
	why.holders_count = 1;
	big_is_ready(2000);
	run->dag->steps[fixture_task(run, "big")->row.step].pool = "db";
	set_waiting(waiting, 2);
	assert_why("big", "big is ready to start and waits for pool db: 1 of 1 slots is held by digits/41 fit"
			  " (1.0s); before it comes digits/41 fit (priority 5)");
	waiting[0] = waits_elsewhere("db", 0, 3000); /* as urgent, and older */
	waiting[0].count = 4;
	set_waiting(waiting, 1);
	assert_why("big", "big is ready to start and waits for pool db: 1 of 1 slots is held by digits/41 fit"
			  " (1.0s); before it comes digits/41 fit (waits for 3.0s, with 3 like it)");
	waiting[0] = waits_elsewhere("db", 0, 1000);
	set_waiting(waiting, 1);
	assert_why("big", "big is ready to start and waits for pool db: 1 of 1 slots is held by digits/41 fit"
			  " (1.0s)");
}

static void waiting_raises_and_being_served_does_not(void **state)
{
	struct why_waiting waiting[] = { waits_elsewhere("db", 2, 1000), waits_elsewhere("db", 0, 3600 * 1000) };
	struct why_holder holders[] = { held_elsewhere("db", 60000) };

	(void)state;
	waiting[1].ask.run = 9;
	why_rank(&why, waiting, 2);
	assert_int_equal(waiting[0].ask.run, 9); /* twelve times five minutes outweigh two */
	holders[0].ask.run = 9;
	holders[0].ask.resources = waiting[0].ask.resources;
	why.holders = holders;
	why.holders_count = 1;
	why_rank(&why, waiting, 2);
	assert_int_equal(waiting[0].ask.run, 2); /* one of its kind was started a minute ago */
	assert_int_equal(waiting[1].waited_ms, 60000);
}

static void a_ready_task_names_who_has_room_kept(void **state)
{
	struct why_holder holders[] = { held_elsewhere("", 1000) };
	struct why_waiting waiting[] = { waits_elsewhere("", 0, 7800 * 1000) };
	struct why_worker two_gpus = workers[0];

	(void)state;
	two_gpus.devices = 2;
	why.workers = &two_gpus;
	why.holders = holders;
	why.holders_count = 1;
	waiting[0].ask.resources.gpus = 2;
	big_is_ready(2000);
	set_waiting(waiting, 1);
	assert_why("big", "big is ready to start; it has to leave room on worker local for digits/41 fit, which"
			  " found none for 2h10m; before it comes digits/41 fit (waits for 2h10m)");
}

static void a_worker_without_a_slot_names_who_holds_them(void **state)
{
	struct why_holder holders[] = { held_elsewhere("", 1000) };
	struct why_worker one = workers[0];

	(void)state;
	one.slots = 1;
	why.workers = &one;
	why.holders = holders;
	why.holders_count = 1;
	big_is_ready(0);
	assert_why("big", "big is ready to start; it waits for a slot: the 1 on worker local is held by"
			  " digits/41 fit (1.0s)");
}

static void a_queued_run_tells_what_it_waits_for(void **state)
{
	(void)state;
	run->row.state = RUN_QUEUED;
	fixture_set(run, "extract", TASK_READY, REASON_NONE, "");
	assert_why_run("night/7 is queued and waits for its turn");
	assert_why("extract", "extract is ready to start; its run is queued and waits for its turn");
	why.waits_for = "waits for features to succeed";
	assert_why_run("night/7 is queued: waits for features to succeed");
	assert_why("extract", "extract is ready to start; its run is queued: waits for features to succeed");
}

static void a_ready_task_names_who_holds_the_resources(void **state)
{
	struct why_holder holder;

	(void)state;
	train_runs();
	holder = held_by("train");
	why.holders = &holder;
	why.holders_count = 1;
	holder.ask.resources.cpus_milli = 3000;
	fixture_set(run, "big", TASK_READY, REASON_NONE, "");
	assert_why(
		"big",
		"big is ready to start; it asks for 4 cpus, and of the 6 on worker local too many are held by"
		" train (3)");
	holder.ask.resources = (struct dag_resources){ .memory_bytes = INT64_C(7) << 30 };
	assert_why("big", "big is ready to start; it asks for 2048 MiB of memory, and of the 8192 on worker "
			  "local too many"
			  " are held by train (7168)");
	holder.ask.resources = (struct dag_resources){ .gpus = 1 };
	holder.devices = 1;
	assert_why(
		"big",
		"big is ready to start; it asks for 1 gpus, and of the 1 on worker local too many are held by"
		" train (1)");
	holder.devices = 0;
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

static void add_checkpoint(const char *name, uint32_t seq, const char *worker, const char *copy)
{
	ledger_add(&fixture_task(run, "train")->ledger, &(struct checkpoint_row){ .name = name,
										   .seq = seq,
										   .digest = name,
										   .worker = worker,
										   .copy = copy,
										   .state = CHECKPOINT_GOOD,
										   .message = "" });
}

static void a_ready_task_tells_what_keeps_its_checkpoint(void **state)
{
	struct why_worker two[] = { { .name = "local", .labels = "" }, { .name = "h1", .labels = "" } };

	(void)state;
	why.workers = two;
	why.workers_count = 2;
	extract_succeeded();
	fixture_set(run, "train", TASK_READY, REASON_NONE, "");
	add_checkpoint("e1", 1, "h1", "parcel");
	add_checkpoint("e2", 2, "h1", NULL);
	two[1].drained_by = "ada";
	assert_why("train", "train is ready to start; it waits for its newest checkpoint, e2, which is fetched from"
			    " worker h1, which is being emptied (by ada)");
	two[1].drained_by = "";
	two[1].aside = "three starts failed";
	two[1].aside_wall_ms = FIXTURE_NOW_MS + 1000;
	assert_why("train", "train is ready to start; it waits for its newest checkpoint, e2, which is fetched from"
			    " worker h1, which is set aside: three starts failed");
	two[1].trouble = "it is off";
	assert_why("train", "train is ready to start; it waits for worker h1, which has its newest checkpoint, e2, and"
			    " cannot be used: it is off; if that lasts it goes on elsewhere, from the copy of e1");
}

static void a_start_that_waits_for_its_checkpoint_tells_which(void **state)
{
	(void)state;
	extract_succeeded();
	add_checkpoint("e1", 1, "h1", "parcel");
	fixture_set(run, "train", TASK_STARTING, REASON_NONE, "");
	fixture_attempt(run, "train", 1, ATTEMPT_INTENDED);
	assert_why("train", "train is being started since 11:59:50 (10.0s) on worker local; it waits for its checkpoint e1,"
			    " copied from worker h1, which is brought there");
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
		TEST(a_ready_task_names_the_full_pool_and_who_holds_it),
		TEST(a_ready_task_names_those_who_go_before),
		TEST(waiting_raises_and_being_served_does_not),
		TEST(a_ready_task_names_who_has_room_kept),
		TEST(a_worker_without_a_slot_names_who_holds_them),
		TEST(a_queued_run_tells_what_it_waits_for),
		TEST(a_ready_task_names_who_holds_the_resources),
		TEST(a_running_task_tells_since_when_and_from_where),
		TEST(a_start_that_waits_for_files_tells_where_they_lie),
		TEST(a_ready_task_tells_what_keeps_its_checkpoint),
		TEST(a_start_that_waits_for_its_checkpoint_tells_which),
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
