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

static void give_from(const char *worker, struct event event)
{
	actions_clear(&out);
	event.now_ms = now_ms;
	event.wall_ms = 1000000 + now_ms;
	event.worker = worker;
	core_step(core, &event, &out);
}

static void give(struct event event)
{
	give_from("local", event);
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

/* Up, asked by its clock, answered, and claimed. */
static void connect_named(const char *worker, const char *boot_id, uint64_t epoch, int64_t asked_ms)
{
	give_from(worker, (struct event){ .kind = EVENT_WORKER_UP,
					  .facts = { .name = worker, .boot_id = boot_id, .host = "h",
						     .machine = "m", .epoch = epoch, .cpus_milli = 2000 } });
	give_from(worker, (struct event){ .kind = EVENT_LEASE, .asked_ms = asked_ms });
	give_from(worker, (struct event){ .kind = EVENT_INVENTORY, .id.run = 1 });
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

/* What the start at hand is to find in place, but for the source. */
static const struct spec_provision *provisions_of(struct arena *arena, size_t *count_out)
{
	const struct action *start = first(ORDER_START);
	struct frame frame;
	struct spec spec;

	assert_int_equal(protocol_next(start->start.frame, start->start.bytes, &frame, NULL), 1);
	assert_int_equal(protocol_get_spec(&frame, arena, &spec), 0);
	*count_out = spec.provisions_count;
	return spec.provisions;
}

static void left(uint32_t task, uint32_t number, const char *digest)
{
	struct event event = { .kind = EVENT_JOURNAL,
			       .id = { 1, task, number },
			       .record_type = RECORD_ARTIFACTS,
			       .journal_end = 10 };

	event.record.artifacts = (struct record_artifacts){ .digest = digest, .bytes = 7, .files = 1 };
	give(event);
	assert_int_equal(count(SAVE_ARTIFACT), 1);
	assert_string_equal(first(SAVE_ARTIFACT)->artifact.worker, "local");
	exited(task, number, (struct record_exit){ .kind = EXIT_CODE });
}

static void what_steps_left_is_brought_to_all_that_follow_in_order(void **state)
{
	const struct spec_provision *provisions;
	struct arena arena = { 0 };
	size_t found;

	(void)state;
	core_add_run(core, make_run("steps:\n"
				    "  d: {needs: [c, a], run: x}\n"
				    "  c: {needs: [b], workdir: sub, artifacts: c, run: x}\n"
				    "  b: {needs: [a], run: x}\n"
				    "  a: {workdir: /data, artifacts: [./a/], run: x}\n"
				    "  other: {artifacts: o, run: x}\n"));
	connect_and_claim("boot", 1);
	left(4, 1, "other");
	left(3, 1, "of-a");
	provisions = provisions_of(&arena, &found);
	assert_int_equal(found, 1);
	assert_string_equal(provisions[0].digest, "of-a");
	exited(2, 1, (struct record_exit){ .kind = EXIT_CODE });
	left(1, 1, "of-c");
	assert_int_equal(first(ORDER_START)->id.task, 0);
	provisions = provisions_of(&arena, &found);
	assert_int_equal(found, 2);
	assert_int_equal(provisions[0].kind, PROVISION_ARTIFACTS);
	assert_int_equal(provisions[0].task, 3);
	assert_string_equal(provisions[0].path, "/data");
	assert_string_equal(provisions[0].name, "a");
	assert_string_equal(provisions[1].digest, "of-c");
	/* Its folder is one of this machine: the files go to where they are needed. */
	assert_string_equal(provisions[1].path, "/x");
	arena_fini(&arena);
}

static void what_a_later_step_left_anew_stands_for_both(void **state)
{
	const struct spec_provision *provisions;
	struct arena arena = { 0 };
	size_t found;

	(void)state;
	core_add_run(core, make_run("steps:\n"
				    "  a: {artifacts: [model], run: x}\n"
				    "  b: {needs: [a], artifacts: [model, more], run: x}\n"
				    "  c: {needs: [b], run: x}\n"));
	connect_and_claim("boot", 1);
	left(0, 1, "first");
	provisions = provisions_of(&arena, &found);
	assert_int_equal(found, 1);
	left(1, 1, "second");
	provisions = provisions_of(&arena, &found);
	assert_int_equal(found, 1);
	assert_string_equal(provisions[0].digest, "second");
	arena_fini(&arena);
}

static void an_exit_0_without_its_artifacts_is_a_failure_that_is_retried(void **state)
{
	struct record_exit exit = { .kind = EXIT_CODE,
				    .reason = REASON_ARTIFACTS,
				    .text = "artifact m: gone" };

	(void)state;
	core_add_run(core, make_run("steps: {a: {artifacts: m, retry: {max: 1, backoff: 1s}, run: x}}"));
	connect_and_claim("boot", 1);
	exited(0, 1, exit);
	assert_int_equal(task_at(0)->row.state, TASK_RETRYING);
	assert_string_equal(task_at(0)->row.message,
			    "it ended well, but did not leave what it was to leave: artifact m: gone");
	now_ms += 2000;
	give((struct event){ .kind = EVENT_TICK });
	exited(0, 2, exit);
	assert_int_equal(task_at(0)->row.state, TASK_FAILED);
	assert_int_equal(task_at(0)->row.reason, REASON_ARTIFACTS);
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

/* --- leases --------------------------------------------------------------------------------------------- */

/* Lease and grace, what two clocks may differ by in that time, and killing. */
enum { LEASE_MS = 60000, SPAN_MS = 70000 + 1400 + 5000 };

static const char leased_yaml[] =
	"steps: {a: {run: 'true', move_after: 60s, grace: 10s, retry: {backoff: 0s}}}";

/* Attempt 1 runs on gpu1; gpu2 is there too. */
static void start_on_gpu1(void)
{
	core_add_worker(core, "gpu1");
	core_add_worker(core, "gpu2");
	core_add_run(core, make_run(leased_yaml));
	give((struct event){ .kind = EVENT_TICK });
	connect_named("gpu1", "boot-1", 7, 500);
	assert_string_equal(first(ORDER_START)->worker, "gpu1");
	connect_named("gpu2", "boot-2", 8, 900);
}

static void an_attempt_is_told_its_lease_and_the_newest_ask(void **state)
{
	struct frame frame;
	struct arena arena;
	struct spec spec;

	(void)state;
	core_add_worker(core, "gpu1");
	core_add_run(core, make_run(leased_yaml));
	give_from("gpu1", (struct event){ .kind = EVENT_WORKER_UP,
					  .facts = { .boot_id = "b", .epoch = 7, .host = "",
						     .machine = "" } });
	assert_int_equal(first(ORDER_CLAIM)->epoch, 7);
	assert_int_equal(first(ORDER_CLAIM)->lease_ms, LEASE_MS);
	give_from("gpu1", (struct event){ .kind = EVENT_LEASE, .asked_ms = 300 });
	give_from("gpu1", (struct event){ .kind = EVENT_LEASE, .asked_ms = 500 });
	give_from("gpu1", (struct event){ .kind = EVENT_INVENTORY, .id.run = 1 });
	arena_init(&arena);
	assert_int_equal(protocol_next(first(ORDER_START)->start.frame, first(ORDER_START)->start.bytes,
				       &frame, NULL), 1);
	assert_int_equal(protocol_get_spec(&frame, &arena, &spec), 0);
	assert_int_equal(spec.lease_ms, LEASE_MS);
	assert_int_equal(spec.lease_from_ms, 500);
	arena_fini(&arena);
}

static void a_lease_is_waited_out_and_then_the_task_goes_elsewhere(void **state)
{
	(void)state;
	start_on_gpu1();
	now_ms += 30000;
	give_from("gpu1", (struct event){ .kind = EVENT_LEASE, .asked_ms = 30500 });
	now_ms += 1000;
	give_from("gpu1", (struct event){ .kind = EVENT_WORKER_DOWN });
	assert_int_equal(core_next_wake_ms(core), now_ms - 1000 + SPAN_MS);
	now_ms += SPAN_MS - 1001;
	give((struct event){ .kind = EVENT_TICK });
	assert_int_equal(out.count, 0);
	now_ms += 1;
	give((struct event){ .kind = EVENT_TICK });
	assert_int_equal(first(SAVE_ATTEMPT)->attempt.state, ATTEMPT_LOST);
	assert_int_equal(first(SAVE_ATTEMPT)->attempt.reason, REASON_WORKER_LOST);
	assert_string_equal(first(ORDER_START)->worker, "gpu2");
	assert_int_equal(first(ORDER_START)->id.number, 2);
	assert_int_equal(task_at(0)->row.failures, 0);
	assert_int_equal(core_next_wake_ms(core), INT64_MAX);
}

static void a_worker_that_can_be_reached_is_never_judged(void **state)
{
	(void)state;
	start_on_gpu1();
	now_ms += 100 * SPAN_MS;
	give((struct event){ .kind = EVENT_TICK });
	assert_int_equal(out.count, 0);
	assert_int_equal(core_next_wake_ms(core), INT64_MAX);
}

static void a_start_that_never_arrived_is_given_up_too(void **state)
{
	(void)state;
	start_on_gpu1();
	assert_int_equal(task_at(0)->live->row.state, ATTEMPT_INTENDED);
	give_from("gpu1", (struct event){ .kind = EVENT_WORKER_DOWN });
	now_ms += SPAN_MS;
	give((struct event){ .kind = EVENT_TICK });
	assert_int_equal(first(ORDER_START)->id.number, 2);
}

static void what_comes_back_after_that_is_stopped_and_collected_and_not_heeded(void **state)
{
	struct attempt_id a = { 1, 0, 1 };

	(void)state;
	start_on_gpu1();
	give_from("gpu1", (struct event){ .kind = EVENT_WORKER_DOWN });
	now_ms += SPAN_MS;
	give((struct event){ .kind = EVENT_TICK });
	connect_named("gpu1", "boot-1", 9, 200000);
	give_from("gpu1", (struct event){ .kind = EVENT_PRESENT, .id = a, .present = PRESENT_RUNNING });
	assert_int_equal(count(ORDER_ATTACH), 1);
	assert_false(first(ORDER_ATTACH)->attach.renew);
	assert_int_equal(first(ORDER_STOP)->stop.grace_ms, 0);
	exited(0, 1, (struct record_exit){ .kind = EXIT_CODE });
	assert_int_equal(core->late_messages, 1);
	assert_int_equal(task_at(0)->live->row.id.number, 2);
	exited(0, 2, (struct record_exit){ .kind = EXIT_CODE });
	give_from("gpu2", (struct event){ .kind = EVENT_COLLECTED, .id = { 1, 0, 2 } });
	assert_int_equal(count(ORDER_RUN_ENDED), 0); /* gpu1 is there again: its log is waited for */
	give_from("gpu1", (struct event){ .kind = EVENT_COLLECTED, .id = a });
	assert_int_equal(count(ORDER_FORGET), 1);
	assert_int_equal(count(ORDER_RUN_ENDED), 1);
	assert_int_equal(core_find_run(core, 1)->row.state, RUN_SUCCEEDED);
}

static void one_that_is_back_in_time_is_renewed(void **state)
{
	struct attempt_id a = { 1, 0, 1 };

	(void)state;
	start_on_gpu1();
	give_from("gpu1", (struct event){ .kind = EVENT_WORKER_DOWN });
	now_ms += SPAN_MS - 1;
	give_from("gpu1", (struct event){ .kind = EVENT_WORKER_UP,
					  .facts = { .boot_id = "boot-1", .epoch = 9, .host = "",
						     .machine = "" } });
	give_from("gpu1", (struct event){ .kind = EVENT_PRESENT, .id = a, .present = PRESENT_RUNNING });
	assert_true(first(ORDER_ATTACH)->attach.renew);
	now_ms += SPAN_MS;
	give((struct event){ .kind = EVENT_TICK });
	assert_int_equal(count(SAVE_ATTEMPT), 0);
}

static void a_run_ends_without_a_worker_whose_leases_have_run_out(void **state)
{
	(void)state;
	start_on_gpu1();
	exited(0, 1, (struct record_exit){ .kind = EXIT_CODE });
	give_from("gpu1", (struct event){ .kind = EVENT_WORKER_DOWN }); /* with the rest of the log */
	now_ms += SPAN_MS - 1;
	give((struct event){ .kind = EVENT_TICK });
	assert_int_equal(count(ORDER_RUN_ENDED), 0);
	assert_int_equal(core_next_wake_ms(core), now_ms + 1);
	now_ms += 1;
	give((struct event){ .kind = EVENT_TICK });
	assert_int_equal(count(ORDER_RUN_ENDED), 1);
	assert_int_equal(core_find_run(core, 1)->row.state, RUN_SUCCEEDED);
}

static void a_canceled_task_out_of_reach_ends_with_its_lease(void **state)
{
	(void)state;
	start_on_gpu1();
	give_from("gpu1", (struct event){ .kind = EVENT_WORKER_DOWN });
	give((struct event){ .kind = EVENT_CANCEL, .id.run = 1, .actor = "ada", .origin = "test" });
	assert_int_equal(task_at(0)->row.state, TASK_STOPPING);
	now_ms += SPAN_MS;
	give((struct event){ .kind = EVENT_TICK });
	assert_int_equal(task_at(0)->row.state, TASK_CANCELED);
	assert_int_equal(core_find_run(core, 1)->row.state, RUN_CANCELED);
}

static void after_a_restart_the_lease_is_counted_anew(void **state)
{
	struct attempt_row row = { .id = { 1, 0, 1 }, .state = ATTEMPT_RUNNING, .worker = "gpu1",
				   .boot_id = "boot-1", .resumed_from = "", .devices = "", .message = "" };
	struct run *run = make_run(leased_yaml);

	(void)state;
	run->row.state = RUN_RUNNING;
	run->tasks[0].row.state = TASK_RUNNING;
	run->tasks[0].row.attempts = 1;
	run_add_past_worker(run, "gpu1", 0);
	run_add_live(run, &row);
	core_add_worker(core, "gpu1");
	core_add_worker(core, "gpu2");
	core_add_run(core, run);
	now_ms = 5000000;
	give((struct event){ .kind = EVENT_TICK });
	connect_named("gpu2", "boot-2", 8, 900);
	assert_int_equal(core_next_wake_ms(core), 5000000 + SPAN_MS);
	now_ms += SPAN_MS;
	give((struct event){ .kind = EVENT_TICK });
	assert_string_equal(first(ORDER_START)->worker, "gpu2");
}

static void this_machine_has_no_leases(void **state)
{
	(void)state;
	core_add_run(core, make_run(leased_yaml));
	connect_and_claim("boot", 1);
	give((struct event){ .kind = EVENT_WORKER_DOWN });
	assert_int_equal(core_next_wake_ms(core), INT64_MAX);
	now_ms += 100 * SPAN_MS;
	give((struct event){ .kind = EVENT_TICK });
	assert_int_equal(out.count, 0);
	assert_int_equal(core_lease_ms(task_at(0)->step, "local"), 0);
}

static void a_step_stopped_for_its_lease_is_tried_again_for_nothing(void **state)
{
	(void)state;
	start_on_gpu1();
	exited(0, 1, (struct record_exit){ .kind = EXIT_SIGNAL, .signal = 15, .stopped = true,
					   .reason = REASON_LEASE_EXPIRED });
	assert_int_equal(first(SAVE_ATTEMPT)->attempt.state, ATTEMPT_FAILED);
	assert_string_equal(first(SAVE_ATTEMPT)->attempt.message,
			    "stopped by its worker, which had not heard from here for 1m00s");
	assert_int_equal(first(ORDER_START)->id.number, 2);
	assert_int_equal(task_at(0)->row.failures, 0);
	exited(0, 2, (struct record_exit){ .kind = EXIT_NOT_STARTED, .stopped = true, .text = "x",
					   .reason = REASON_LEASE_EXPIRED });
	assert_int_not_equal(task_at(0)->row.state, TASK_FAILED);
	assert_int_equal(task_at(0)->row.failures, 0);
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
		TEST(what_steps_left_is_brought_to_all_that_follow_in_order),
		TEST(what_a_later_step_left_anew_stands_for_both),
		TEST(an_exit_0_without_its_artifacts_is_a_failure_that_is_retried),
		TEST(an_exit_0_after_a_stop_is_no_success),
		TEST(a_stop_for_a_time_limit_is_a_failure_that_is_retried),
		TEST(retry_from_a_step_runs_it_and_what_follows),
		TEST(an_output_that_is_no_safe_word_is_refused_with_its_variable),
		TEST(an_attempt_is_told_its_lease_and_the_newest_ask),
		TEST(a_lease_is_waited_out_and_then_the_task_goes_elsewhere),
		TEST(a_worker_that_can_be_reached_is_never_judged),
		TEST(a_start_that_never_arrived_is_given_up_too),
		TEST(what_comes_back_after_that_is_stopped_and_collected_and_not_heeded),
		TEST(one_that_is_back_in_time_is_renewed),
		TEST(a_run_ends_without_a_worker_whose_leases_have_run_out),
		TEST(a_canceled_task_out_of_reach_ends_with_its_lease),
		TEST(after_a_restart_the_lease_is_counted_anew),
		TEST(this_machine_has_no_leases),
		TEST(a_step_stopped_for_its_lease_is_tried_again_for_nothing),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
