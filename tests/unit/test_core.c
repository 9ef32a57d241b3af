/*
 * Single decisions of the core, told by hand. The simulator holds the promises against whole histories.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <string.h>

#include "common/mem.h"
#include "dag/diagnostic.h"
#include "scheduler/core.h"

static struct core *core;
static struct actions out;
static int64_t now_ms;

static struct run *make_run(const char *yaml)
{
	struct run_row row = { .id = 1, .dag = "t", .number = 1, .params = "{}" };
	struct diagnostics diagnostics;
	struct dag *dag;

	diagnostics_init(&diagnostics);
	if (dag_parse("/x/t.yaml", yaml, strlen(yaml), &dag, &diagnostics) < 0) {
		diagnostics_print(&diagnostics, stderr, false);
		fail();
	}
	diagnostics_fini(&diagnostics);
	return run_new(dag, &row);
}

static int set_up(void **state)
{
	(void)state;
	core = core_new(1);
	core_add_worker(core, "local");
	actions_init(&out);
	now_ms = 1000;
	return 0;
}

static int tear_down(void **state)
{
	(void)state;
	actions_fini(&out);
	core_free(core);
	return 0;
}

static void give(struct event event)
{
	actions_clear(&out);
	event.now_ms = now_ms;
	event.wall_ms = 1000000 + now_ms;
	event.worker = "local";
	core_step(core, &event, &out);
}

static size_t count(enum action_kind kind)
{
	size_t n = 0;

	for (size_t i = 0; i < out.count; i++)
		n += out.items[i].kind == kind;
	return n;
}

static const struct action *first(enum action_kind kind)
{
	for (size_t i = 0; i < out.count; i++)
		if (out.items[i].kind == kind)
			return &out.items[i];
	fail_msg("no such action");
	return NULL;
}

static void connect_and_claim(const char *boot_id, uint64_t epoch)
{
	give((struct event){ .kind = EVENT_WORKER_UP,
			     .facts = { .name = "local", .boot_id = boot_id, .host = "h", .machine = "m",
					.epoch = epoch, .cpus_milli = 2000, .memory_bytes = 1 << 30 } });
	assert_int_equal(count(ORDER_CLAIM), 1);
	assert_int_equal(count(ORDER_START), 0);
	give((struct event){ .kind = EVENT_INVENTORY, .id.run = 1 });
}

static void exited(uint32_t task, uint32_t number, struct record_exit exit)
{
	struct attempt_id id = { 1, task, number };

	if (exit.text == NULL)
		exit.text = "";
	give((struct event){ .kind = EVENT_EXITED, .id = id, .exit = exit });
}

static const struct task *task_at(size_t index)
{
	return &core_find_run(core, 1)->tasks[index];
}

static void nothing_starts_before_the_claim_is_answered(void **state)
{
	(void)state;
	core_add_run(core, make_run("steps: {a: {run: 'true'}}"));
	give((struct event){ .kind = EVENT_TICK });
	assert_int_equal(count(ORDER_START), 0);
	connect_and_claim("boot", 1);
	assert_int_equal(count(ORDER_START), 1);
	assert_int_equal(first(SAVE_ATTEMPT)->attempt.state, ATTEMPT_INTENDED);
}

static void success_starts_what_waited_and_the_run_ends_when_all_is_collected(void **state)
{
	struct attempt_id a = { 1, 0, 1 }, b = { 1, 1, 1 };

	(void)state;
	core_add_run(core, make_run("steps: {a: {run: 'true'}, b: {needs: [a], run: 'true'}}"));
	connect_and_claim("boot", 1);
	exited(0, 1, (struct record_exit){ .kind = EXIT_CODE });
	assert_int_equal(first(ORDER_START)->id.task, 1);
	give((struct event){ .kind = EVENT_COLLECTED, .id = a });
	assert_int_equal(count(ORDER_FORGET), 1);
	exited(1, 1, (struct record_exit){ .kind = EXIT_CODE });
	assert_int_equal(count(ORDER_RUN_ENDED), 0);
	give((struct event){ .kind = EVENT_COLLECTED, .id = b });
	assert_int_equal(count(ORDER_RUN_ENDED), 1);
	assert_int_equal(first(SAVE_RUN)->run.state, RUN_SUCCEEDED);
}

static void a_late_exit_changes_nothing_and_is_counted(void **state)
{
	(void)state;
	core_add_run(core, make_run("steps: {a: {run: 'true'}}"));
	connect_and_claim("boot", 1);
	exited(0, 1, (struct record_exit){ .kind = EXIT_CODE });
	exited(0, 1, (struct record_exit){ .kind = EXIT_CODE, .code = 3 });
	assert_int_equal(out.count, 0);
	assert_int_equal(core->late_messages, 1);
	assert_int_equal(task_at(0)->row.state, TASK_SUCCEEDED);
}

static void silence_is_a_state_and_no_failure(void **state)
{
	struct attempt_id a = { 1, 0, 1 };
	struct event started = {
		.kind = EVENT_JOURNAL, .id = a, .record_type = RECORD_STARTED, .journal_end = 20
	};

	(void)state;
	core_add_run(core, make_run("steps: {a: {run: 'true', retry: 3}}"));
	connect_and_claim("boot", 1);
	started.record.started = (struct record_started){ .resumed_from = "", .resumed_digest = "" };
	give(started);
	give((struct event){ .kind = EVENT_WORKER_DOWN });
	assert_int_equal(first(SAVE_ATTEMPT)->attempt.state, ATTEMPT_UNREACHABLE);
	now_ms += 100 * 3600 * 1000;
	give((struct event){ .kind = EVENT_TICK });
	assert_int_equal(out.count, 0);
	give((struct event){ .kind = EVENT_WORKER_UP,
			     .facts = { .boot_id = "boot", .epoch = 2, .host = "h", .machine = "m" } });
	give((struct event){ .kind = EVENT_PRESENT, .id = a, .present = PRESENT_RUNNING });
	assert_int_equal(first(ORDER_ATTACH)->attach.journal_offset, 20);
	assert_int_equal(first(SAVE_ATTEMPT)->attempt.state, ATTEMPT_RUNNING);
	give((struct event){ .kind = EVENT_INVENTORY, .id.run = 1 });
	assert_int_equal(count(ORDER_START), 0);
}

static void an_attempt_that_never_arrived_is_started_again_under_its_own_number(void **state)
{
	(void)state;
	core_add_run(core, make_run("steps: {a: {run: 'true'}}"));
	connect_and_claim("boot", 1);
	give((struct event){ .kind = EVENT_WORKER_DOWN });
	connect_and_claim("boot", 2);
	assert_int_equal(first(ORDER_START)->id.number, 1);
	assert_int_equal(count(SAVE_ATTEMPT), 0);
}

static void after_a_reboot_what_is_not_there_is_lost_and_tried_again(void **state)
{
	(void)state;
	core_add_run(core, make_run("steps: {a: {run: 'true'}}"));
	connect_and_claim("boot-1", 1);
	give((struct event){ .kind = EVENT_WORKER_DOWN });
	connect_and_claim("boot-2", 2);
	assert_int_equal(first(SAVE_ATTEMPT)->attempt.state, ATTEMPT_LOST);
	assert_int_equal(first(SAVE_ATTEMPT)->attempt.reason, REASON_WORKER_REBOOTED);
	assert_int_equal(task_at(0)->row.state, TASK_RETRYING);
	assert_int_equal(task_at(0)->row.failures, 0);
}

static void retries_are_counted_and_used_up(void **state)
{
	(void)state;
	core_add_run(core, make_run("steps: {a: {run: 'true', retry: {max: 1, backoff: 10s}}}"));
	connect_and_claim("boot", 1);
	exited(0, 1, (struct record_exit){ .kind = EXIT_CODE, .code = 1 });
	assert_int_equal(task_at(0)->row.state, TASK_RETRYING);
	assert_in_range(core_next_wake_ms(core), now_ms + 9000, now_ms + 10000);
	now_ms += 10000;
	give((struct event){ .kind = EVENT_TICK });
	assert_int_equal(first(ORDER_START)->id.number, 2);
	exited(0, 2, (struct record_exit){ .kind = EXIT_CODE, .code = 1 });
	assert_int_equal(task_at(0)->row.state, TASK_FAILED);
}

static void progress_is_not_punished(void **state)
{
	(void)state;
	core_add_run(core, make_run("steps: {a: {run: 'true', retry: {max: 1, backoff: 0s}}}"));
	connect_and_claim("boot", 1);
	for (uint32_t n = 1; n <= 20; n++) {
		struct event event = { .kind = EVENT_JOURNAL,
				       .id = { 1, 0, n },
				       .record_type = RECORD_CHECKPOINT,
				       .journal_end = 10 };
		char name[16];

		snprintf(name, sizeof name, "epoch-%u", n);
		event.record.checkpoint = (struct record_checkpoint){ .event = CHECKPOINT_COMPLETE,
								      .name = name,
								      .digest = name,
								      .step = n,
								      .format = "file" };
		give(event);
		exited(0, n, (struct record_exit){ .kind = EXIT_CODE, .code = 1 });
		assert_int_equal(task_at(0)->live->row.id.number, n + 1);
		assert_int_equal(task_at(0)->row.failures, 0);
	}
}

static void a_checkpoint_that_attempts_die_on_is_quarantined(void **state)
{
	struct event checkpoint = {
		.kind = EVENT_JOURNAL, .id = { 1, 0, 1 }, .record_type = RECORD_CHECKPOINT, .journal_end = 10
	};

	(void)state;
	core_add_run(core, make_run("steps: {a: {run: 'true', retry: {max: 9, backoff: 0s}}}"));
	connect_and_claim("boot", 1);
	checkpoint.record.checkpoint = (struct record_checkpoint){
		.event = CHECKPOINT_COMPLETE, .name = "e1", .digest = "d", .step = 1, .format = "file"
	};
	give(checkpoint);
	exited(0, 1, (struct record_exit){ .kind = EXIT_CODE, .code = 1 });
	for (uint32_t n = 2; n <= 3; n++) {
		struct event started = { .kind = EVENT_JOURNAL,
					 .id = { 1, 0, n },
					 .record_type = RECORD_STARTED,
					 .journal_end = 10 };

		assert_int_equal(task_at(0)->ledger.rows[0].state, CHECKPOINT_GOOD);
		started.record.started = (struct record_started){ .resumed_from = "e1",
								  .resumed_digest = "d" };
		give(started);
		exited(0, n, (struct record_exit){ .kind = EXIT_SIGNAL, .signal = 11 });
	}
	assert_int_equal(task_at(0)->ledger.rows[0].state, CHECKPOINT_QUARANTINED);
}

static void failure_ends_what_depends_on_it_and_nothing_else(void **state)
{
	(void)state;
	core_add_run(core, make_run("steps: {a: {run: 'true'}, b: {needs: [a], run: 'true'},"
				    " c: {needs: [b], run: 'true'}, d: {run: 'true'}}"));
	connect_and_claim("boot", 1);
	assert_int_equal(count(ORDER_START), 2);
	exited(0, 1, (struct record_exit){ .kind = EXIT_CODE, .code = 127 });
	assert_int_equal(task_at(0)->row.state, TASK_FAILED);
	assert_int_equal(task_at(1)->row.state, TASK_UPSTREAM_FAILED);
	assert_int_equal(task_at(2)->row.state, TASK_UPSTREAM_FAILED);
	assert_string_equal(task_at(2)->row.message, "needs a, which failed");
	assert_int_equal(task_at(3)->row.state, TASK_STARTING);
}

static void what_can_never_fit_fails_at_once_and_what_does_not_fit_now_waits(void **state)
{
	(void)state;
	core_add_run(core, make_run("steps: {a: {run: 'true', resources: {cpus: 64}},"
				    " b: {run: 'true', resources: {cpus: 2}},"
				    " c: {run: 'true', resources: {cpus: 1}}, d: {run: 'true'}}"));
	connect_and_claim("boot", 1);
	assert_int_equal(task_at(0)->row.state, TASK_FAILED);
	assert_non_null(strstr(task_at(0)->row.message, "64 cpus"));
	assert_int_equal(task_at(1)->row.state, TASK_STARTING);
	assert_int_equal(task_at(2)->row.state, TASK_READY);
	assert_int_equal(task_at(3)->row.state, TASK_STARTING); /* asks for nothing, waits for nothing */
	exited(1, 1, (struct record_exit){ .kind = EXIT_CODE });
	assert_int_equal(task_at(2)->row.state, TASK_STARTING);
}

static void an_exit_0_after_a_stop_is_no_success(void **state)
{
	(void)state;
	core_add_run(core, make_run("steps: {a: {run: 'true'}, b: {needs: [a], run: 'true'}}"));
	connect_and_claim("boot", 1);
	give((struct event){ .kind = EVENT_CANCEL, .id.run = 1, .actor = "ada", .origin = "test" });
	assert_int_equal(count(ORDER_STOP), 1);
	assert_int_equal(first(SAVE_EVENT)->event.wall_ms, 1000000 + now_ms);
	exited(0, 1, (struct record_exit){ .kind = EXIT_CODE, .stopped = true, .reason = REASON_CANCELED });
	assert_int_equal(task_at(0)->row.state, TASK_CANCELED);
	assert_int_equal(task_at(1)->row.state, TASK_CANCELED);
}

static void a_stop_for_a_time_limit_is_a_failure_that_is_retried(void **state)
{
	(void)state;
	core_add_run(core, make_run("steps: {a: {run: 'true', timeout: 1h, retry: 1}}"));
	connect_and_claim("boot", 1);
	exited(0, 1, (struct record_exit){ .kind = EXIT_CODE, .stopped = true, .reason = REASON_TIMEOUT });
	assert_int_equal(task_at(0)->row.state, TASK_RETRYING);
	assert_string_equal(task_at(0)->row.message, "stopped after its timeout of 1h00m");
}

static void retry_from_a_step_runs_it_and_what_follows(void **state)
{
	(void)state;
	core_add_run(core,
		     make_run("steps: {a: {run: 'true'}, b: {needs: [a], run: 'true'}, c: {run: 'true'}}"));
	connect_and_claim("boot", 1);
	for (uint32_t i = 0; i < 3; i++) {
		uint32_t order[] = { 0, 2, 1 };

		exited(order[i], 1, (struct record_exit){ .kind = EXIT_CODE });
		give((struct event){ .kind = EVENT_COLLECTED, .id = { 1, order[i], 1 } });
	}
	assert_int_equal(core_find_run(core, 1)->row.state, RUN_SUCCEEDED);
	give((struct event){
		.kind = EVENT_RETRY, .id.run = 1, .from_step = 1, .actor = "ada", .origin = "test" });
	assert_int_equal(task_at(0)->row.state, TASK_SUCCEEDED);
	assert_int_equal(task_at(1)->row.state, TASK_READY);
	assert_int_equal(task_at(2)->row.state, TASK_SUCCEEDED);
	assert_int_equal(count(ORDER_CLAIM), 1); /* its claim was given back when it ended */
}

static void an_output_that_is_no_safe_word_is_refused_with_its_variable(void **state)
{
	struct event output = { .kind = EVENT_JOURNAL, .id = { 1, 0, 1 }, .record_type = RECORD_OUTPUT,
				.journal_end = 10 };

	(void)state;
	core_add_run(core, make_run("steps: {a: {run: 'true'}, b: {needs: [a],"
				    " run: 'echo ${{ steps.a.outputs.key }}'}}"));
	connect_and_claim("boot", 1);
	output.record.output = (struct record_output){ .key = "key", .value = "x; rm -rf /" };
	give(output);
	exited(0, 1, (struct record_exit){ .kind = EXIT_CODE });
	assert_int_equal(task_at(1)->row.state, TASK_FAILED);
	assert_int_equal(task_at(1)->row.reason, REASON_NOT_STARTED);
	assert_non_null(strstr(task_at(1)->row.message, "STOKER_OUTPUT_A_KEY"));
	assert_int_equal(count(ORDER_START), 0);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
	const struct CMUnitTest tests[] = {
		TEST(nothing_starts_before_the_claim_is_answered),
		TEST(success_starts_what_waited_and_the_run_ends_when_all_is_collected),
		TEST(a_late_exit_changes_nothing_and_is_counted),
		TEST(silence_is_a_state_and_no_failure),
		TEST(an_attempt_that_never_arrived_is_started_again_under_its_own_number),
		TEST(after_a_reboot_what_is_not_there_is_lost_and_tried_again),
		TEST(retries_are_counted_and_used_up),
		TEST(progress_is_not_punished),
		TEST(a_checkpoint_that_attempts_die_on_is_quarantined),
		TEST(failure_ends_what_depends_on_it_and_nothing_else),
		TEST(what_can_never_fit_fails_at_once_and_what_does_not_fit_now_waits),
		TEST(an_exit_0_after_a_stop_is_no_success),
		TEST(a_stop_for_a_time_limit_is_a_failure_that_is_retried),
		TEST(retry_from_a_step_runs_it_and_what_follows),
		TEST(an_output_that_is_no_safe_word_is_refused_with_its_variable),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
