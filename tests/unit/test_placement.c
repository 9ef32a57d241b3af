/*
 * Which worker gets which task, told by hand: through the core, since only what it does in the end counts.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "tests/unit/run_fixture.h"

static struct core *core;
static struct run *run; /* the core's */
static struct actions out;
static int64_t now_ms;
static const char *const gpu_labels[] = { "gpu" };

static int set_up(void **state)
{
	static const struct worker_terms gpu = { .labels = gpu_labels, .labels_count = 1, .remote = true };

	(void)state;
	core = core_new(1);
	core_add_worker(core, "gpu1");
	core_add_worker(core, "gpu2");
	core_add_worker(core, "local");
	core_set_terms(core, "gpu1", &gpu);
	core_set_terms(core, "gpu2", &gpu);
	core_set_terms(core, "local", &(struct worker_terms){ .slots = 0 });
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

static void add_run(const char *yaml)
{
	run = fixture_run(yaml);
	core_add_run(core, run);
}

static void give(const char *worker, struct event event)
{
	event.now_ms = now_ms;
	event.wall_ms = 1000000 + now_ms;
	event.worker = worker;
	core_step(core, &event, &out);
}

static void tick(void)
{
	give(NULL, (struct event){ .kind = EVENT_TICK });
}

/* Up, claimed, and with nothing of the run there. */
static void connect_worker(const char *worker, uint64_t epoch)
{
	give(worker, (struct event){ .kind = EVENT_WORKER_UP,
				     .facts = { .name = worker, .boot_id = "boot", .host = "h", .machine = "m",
						.epoch = epoch, .cpus_milli = 2000, .memory_bytes = 1 << 30 } });
	give(worker, (struct event){ .kind = EVENT_INVENTORY, .id.run = run->row.id });
}

static struct task *task_at(size_t index)
{
	return &run->tasks[index];
}

static void assert_on(size_t task, const char *worker)
{
	assert_non_null(task_at(task)->live);
	assert_string_equal(task_at(task)->live->row.worker, worker);
}

static void exited(const char *worker, uint32_t task, struct record_exit exit)
{
	struct attempt_id id = { run->row.id, task, task_at(task)->live->row.id.number };

	exit.text = exit.text == NULL ? "" : exit.text;
	give(worker, (struct event){ .kind = EVENT_EXITED, .id = id, .exit = exit });
	give(worker, (struct event){ .kind = EVENT_COLLECTED, .id = id });
}

static void checkpoint(const char *worker, uint32_t task, const char *name)
{
	struct event event = { .kind = EVENT_JOURNAL,
			       .id = { run->row.id, task, task_at(task)->live->row.id.number },
			       .record_type = RECORD_CHECKPOINT,
			       .journal_end = task_at(task)->live->row.journal_offset + 10 };

	event.record.checkpoint = (struct record_checkpoint){
		.event = CHECKPOINT_COMPLETE, .name = name, .digest = name, .step = 1, .format = "file"
	};
	give(worker, event);
}

static void a_step_that_names_no_worker_prefers_this_machine(void **state)
{
	(void)state;
	add_run("source: .\nsteps: {a: {run: x}}");
	connect_worker("gpu1", 1);
	assert_on(0, "gpu1"); /* the only one there is by now */
	run_free(core_take_run(core, run->row.id));
	add_run("source: .\nsteps: {a: {run: x}, b: {run: x}}");
	tick();
	connect_worker("local", 2);
	assert_on(0, "local");
	assert_on(1, "local");
}

static void tasks_spread_over_the_workers_of_a_label(void **state)
{
	(void)state;
	add_run("source: .\nsteps: {z: {run: x, worker: local}, a: {needs: [z], run: x, worker: gpu},"
		" b: {needs: [z], run: x, worker: gpu}, c: {needs: [z], run: x, worker: gpu}}");
	connect_worker("gpu1", 1);
	connect_worker("gpu2", 2);
	connect_worker("local", 3);
	exited("local", 0, (struct record_exit){ .kind = EXIT_CODE });
	assert_on(1, "gpu1");
	assert_on(2, "gpu2");
	assert_on(3, "gpu1");
}

static void slots_are_a_limit(void **state)
{
	static const struct worker_terms one = { .labels = gpu_labels, .labels_count = 1, .remote = true,
						 .slots = 1 };

	(void)state;
	core_set_terms(core, "gpu1", &one);
	add_run("source: .\nsteps: {a: {run: x, worker: gpu1}, b: {run: x, worker: gpu1}}");
	connect_worker("gpu1", 1);
	assert_on(0, "gpu1");
	assert_null(task_at(1)->live);
	exited("gpu1", 0, (struct record_exit){ .kind = EXIT_CODE });
	assert_on(1, "gpu1");
}

static void without_a_folder_elsewhere_a_step_stays_here(void **state)
{
	(void)state;
	add_run("steps: {a: {run: x}, b: {run: x, workdir: /srv}}");
	connect_worker("gpu1", 1);
	assert_null(task_at(0)->live);
	assert_on(1, "gpu1");
	connect_worker("local", 2);
	assert_on(0, "local");
}

static void a_retry_goes_to_the_worker_that_has_the_checkpoint(void **state)
{
	(void)state;
	add_run("source: .\nsteps: {a: {run: x, worker: gpu, retry: {max: 3, backoff: 0s}}}");
	connect_worker("gpu2", 1);
	checkpoint("gpu2", 0, "e1");
	connect_worker("gpu1", 2);
	give("gpu2", (struct event){ .kind = EVENT_EXITED, .id = { run->row.id, 0, 1 },
				     .exit = { .kind = EXIT_CODE, .code = 1, .text = "" } });
	assert_on(0, "gpu2"); /* gpu1 comes first and has less to do */
}

static void it_waits_for_that_worker_as_long_as_the_step_says(void **state)
{
	(void)state;
	add_run("source: .\nsteps: {a: {run: x, worker: gpu, move_after: 60s, retry: {max: 3, backoff: 10s}}}");
	connect_worker("gpu2", 1);
	checkpoint("gpu2", 0, "e1");
	exited("gpu2", 0, (struct record_exit){ .kind = EXIT_CODE, .code = 1 });
	give("gpu2", (struct event){ .kind = EVENT_WORKER_DOWN, .text = "gone" });
	connect_worker("gpu1", 2);
	now_ms += 30000;
	tick();
	assert_null(task_at(0)->live);
	now_ms += 31000;
	tick();
	assert_on(0, "gpu1");
}

static void a_worker_that_is_emptied_gets_nothing_new(void **state)
{
	(void)state;
	add_run("source: .\nsteps: {a: {run: x, worker: gpu, retry: {max: 3, backoff: 0s}}}");
	give("gpu1", (struct event){ .kind = EVENT_DRAIN, .now = true });
	connect_worker("gpu1", 1);
	assert_null(task_at(0)->live);
	connect_worker("gpu2", 2);
	assert_on(0, "gpu2");
	checkpoint("gpu2", 0, "e1");
	give("gpu2", (struct event){ .kind = EVENT_DRAIN, .now = true });
	give("gpu1", (struct event){ .kind = EVENT_DRAIN, .now = false });
	exited("gpu2", 0, (struct record_exit){ .kind = EXIT_CODE, .code = 1 });
	assert_null(task_at(0)->live); /* its checkpoint is fetched first: test_copies.c */
	assert_int_equal(task_at(0)->copying_seq, 1);
}

static void three_failed_starts_set_a_worker_aside_for_a_while(void **state)
{
	const struct record_exit not_started = {
		.kind = EXIT_NOT_STARTED, .reason = REASON_NOT_STARTED, .transient = true, .text = "no space"
	};
	size_t asides = 0;

	(void)state;
	add_run("source: .\nsteps: {a: {run: x, worker: gpu1, retry: {backoff: 1s, max_backoff: 1s}}}");
	connect_worker("gpu1", 1);
	for (int i = 0; i < 3; i++) {
		exited("gpu1", 0, not_started);
		now_ms += 2000;
		tick();
	}
	assert_null(task_at(0)->live);
	for (size_t i = 0; i < out.count; i++)
		asides += out.items[i].kind == SAVE_WORKER_ASIDE;
	assert_int_equal(asides, 1);
	now_ms = core_next_wake_ms(core);
	tick();
	assert_on(0, "gpu1");
	exited("gpu1", 0, not_started); /* one more failure is enough, and lasts longer */
	now_ms += 60 * 1000;
	tick();
	assert_null(task_at(0)->live);
	now_ms += 61 * 1000;
	tick();
	assert_on(0, "gpu1");
}

static void a_run_asks_only_workers_that_concern_it(void **state)
{
	(void)state;
	add_run("steps: {a: {run: x}}");
	tick();
	assert_true(core_concerns(core, "local"));
	assert_false(core_concerns(core, "gpu1"));
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
	const struct CMUnitTest tests[] = {
		TEST(a_step_that_names_no_worker_prefers_this_machine),
		TEST(tasks_spread_over_the_workers_of_a_label),
		TEST(slots_are_a_limit),
		TEST(without_a_folder_elsewhere_a_step_stays_here),
		TEST(a_retry_goes_to_the_worker_that_has_the_checkpoint),
		TEST(it_waits_for_that_worker_as_long_as_the_step_says),
		TEST(a_worker_that_is_emptied_gets_nothing_new),
		TEST(three_failed_starts_set_a_worker_aside_for_a_while),
		TEST(a_run_asks_only_workers_that_concern_it),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
