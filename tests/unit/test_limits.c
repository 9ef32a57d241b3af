/*
 * Who goes first, and within which limits: through the core, over several runs.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <string.h>

#include "dag/diagnostic.h"
#include "scheduler/core.h"
#include "scheduler/urgency.h"

static struct core *core;
static struct actions out;
static int64_t now_ms;
static uint64_t epoch;

static int set_up(void **state)
{
	(void)state;
	core = core_new(1);
	core_add_worker(core, "local");
	core_set_terms(core, "local", &(struct worker_terms){ .slots = 0 });
	actions_init(&out);
	now_ms = 1000;
	epoch = 0;
	return 0;
}

static int tear_down(void **state)
{
	(void)state;
	actions_fini(&out);
	core_free(core);
	return 0;
}

static struct run *make_run(uint64_t id, const char *yaml)
{
	struct run_row row = { .id = id, .dag = "t", .number = id, .params = "{}" };
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

static void give(struct event event)
{
	event.now_ms = now_ms;
	event.wall_ms = 1000000 + now_ms;
	if (event.kind != EVENT_TICK)
		event.worker = "local";
	core_step(core, &event, &out);
}

static void tick_after(int64_t ms)
{
	now_ms += ms;
	give((struct event){ .kind = EVENT_TICK });
}

/* Claimed as soon as it is added. */
static void add(uint64_t id, const char *yaml)
{
	core_add_run(core, make_run(id, yaml));
	tick_after(1);
	give((struct event){ .kind = EVENT_INVENTORY, .id.run = id });
}

static void connect_local(int cpus, int gpus)
{
	static const struct device devices[] = { { "GPU-1", "x", 0 }, { "GPU-2", "x", 0 }, { "GPU-3", "x", 0 },
						 { "GPU-4", "x", 0 } };

	give((struct event){ .kind = EVENT_WORKER_UP,
			     .facts = { .name = "local", .boot_id = "boot", .host = "h", .machine = "m",
					.epoch = ++epoch, .cpus_milli = cpus * 1000, .memory_bytes = 1 << 30,
					.devices = devices, .devices_count = (size_t)gpus } });
}

static struct task *task_of(uint64_t run, const char *name)
{
	struct run *it = core_find_run(core, run);

	return &it->tasks[dag_find_step(it->dag, name)->index];
}

static bool is_alive(uint64_t run, const char *name)
{
	return task_of(run, name)->live != NULL;
}

static void ends_with(uint64_t run, const char *name, int code)
{
	const struct attempt_id id = task_of(run, name)->live->row.id;

	give((struct event){ .kind = EVENT_EXITED, .id = id, .exit = { .kind = EXIT_CODE, .code = code, .text = "" } });
	give((struct event){ .kind = EVENT_COLLECTED, .id = id });
}

static void a_pool_limits_over_all_runs(void **state)
{
	(void)state;
	core_set_pool(core, "db", 2);
	connect_local(8, 0);
	add(1, "pool: db\nsteps: {a: {run: x}, b: {run: x}, c: {run: x}}");
	add(2, "steps: {d: {run: x, pool: db}, e: {run: x}}");
	assert_true(is_alive(1, "a") && is_alive(1, "b") && !is_alive(1, "c"));
	assert_true(!is_alive(2, "d") && is_alive(2, "e"));
	ends_with(1, "a", 0);
	assert_true(is_alive(1, "c") && !is_alive(2, "d"));
	ends_with(2, "e", 0);
	assert_false(is_alive(2, "d"));
	ends_with(1, "b", 0);
	assert_true(is_alive(2, "d"));
}

static void a_pool_that_nobody_knows_lets_nothing_start(void **state)
{
	(void)state;
	connect_local(8, 0);
	add(1, "pool: db\nsteps: {a: {run: x}, b: {run: x}}");
	assert_false(is_alive(1, "a"));
	core_set_pool(core, "db", 1);
	tick_after(1);
	assert_true(is_alive(1, "a") && !is_alive(1, "b"));
	core_forget_pools(core);
	ends_with(1, "a", 0);
	assert_false(is_alive(1, "b"));
	core_set_pool(core, "db", 0);
	tick_after(1);
	assert_false(is_alive(1, "b"));
	core_set_pool(core, "db", 7);
	tick_after(1);
	assert_true(is_alive(1, "b"));
}

static void one_out_of_reach_holds_its_slot_and_a_retry_holds_none(void **state)
{
	(void)state;
	core_set_pool(core, "db", 1);
	connect_local(8, 0);
	add(1, "pool: db\nsteps: {a: {run: x, retry: {max: 3, backoff: 60s}}, b: {run: x}}");
	give((struct event){ .kind = EVENT_WORKER_DOWN, .text = "gone" });
	tick_after(100000);
	connect_local(8, 0);
	give((struct event){ .kind = EVENT_PRESENT, .id = { 1, 0, 1 }, .present = PRESENT_RUNNING });
	give((struct event){ .kind = EVENT_INVENTORY, .id.run = 1 });
	assert_true(is_alive(1, "a") && !is_alive(1, "b"));
	ends_with(1, "a", 1);
	assert_int_equal(task_of(1, "a")->row.state, TASK_RETRYING);
	assert_true(is_alive(1, "b"));
	tick_after(200000);
	assert_int_equal(task_of(1, "a")->row.state, TASK_READY);
	ends_with(1, "b", 0);
	assert_true(is_alive(1, "a"));
}

static void the_higher_priority_goes_first(void **state)
{
	(void)state;
	core_set_terms(core, "local", &(struct worker_terms){ .slots = 1 });
	connect_local(8, 0);
	add(1, "steps: {a: {run: x}, b: {run: x}}");
	add(2, "priority: 5\nsteps: {c: {run: x}}");
	ends_with(1, "a", 0);
	assert_true(is_alive(2, "c") && !is_alive(1, "b"));
	ends_with(2, "c", 0);
	assert_true(is_alive(1, "b"));
}

static void of_the_same_priority_the_oldest_goes_first(void **state)
{
	(void)state;
	core_set_terms(core, "local", &(struct worker_terms){ .slots = 1 });
	connect_local(8, 0);
	add(1, "steps: {a: {run: x}, z: {run: x, needs: [a]}}");
	add(2, "steps: {b: {run: x}}");
	ends_with(1, "a", 0);
	assert_true(is_alive(2, "b") && !is_alive(1, "z")); /* z has only just become ready */
}

static void who_waits_long_rises(void **state)
{
	(void)state;
	core_set_terms(core, "local", &(struct worker_terms){ .slots = 1 });
	connect_local(8, 0);
	add(1, "steps: {a: {run: x}}");
	add(2, "priority: 2\nsteps: {b: {run: x}, c: {run: x}, d: {run: x}}");
	add(3, "steps: {low: {run: x}}");
	ends_with(1, "a", 0);
	assert_true(is_alive(2, "b"));
	tick_after(2 * URGENCY_STEP_MS);
	ends_with(2, "b", 0); /* c's kind was served ten minutes ago: 2 + 2 */
	assert_true(is_alive(2, "c"));
	tick_after(URGENCY_STEP_MS);
	ends_with(2, "c", 0); /* low: 0 + 3, the others: 2 + 1, and low is as old, but came later */
	assert_true(is_alive(2, "d"));
	ends_with(2, "d", 0);
	assert_true(is_alive(3, "low"));
}

/* However many of a kind wait for however long: what is served in turn does not starve. */
static void many_that_are_served_do_not_outweigh_a_higher_priority(void **state)
{
	(void)state;
	core_set_terms(core, "local", &(struct worker_terms){ .slots = 1 });
	connect_local(8, 0);
	add(1, "steps: {a: {run: x}, b: {run: x}, c: {run: x}, d: {run: x}}");
	tick_after(20 * URGENCY_STEP_MS);
	ends_with(1, "a", 0);
	tick_after(URGENCY_STEP_MS / 2);
	add(2, "priority: 1\nsteps: {important: {run: x}}");
	ends_with(1, "b", 0);
	assert_true(is_alive(2, "important"));
}

static void after_a_day_it_goes_before_everything(void **state)
{
	(void)state;
	core_set_terms(core, "local", &(struct worker_terms){ .slots = 1 });
	connect_local(8, 0);
	add(1, "priority: 1000000\nsteps: {a: {run: x}, b: {run: x}, c: {run: x}}");
	add(2, "priority: -1000000\nsteps: {low: {run: x}}");
	tick_after(URGENCY_FIRST_MS - 1000);
	ends_with(1, "a", 0);
	assert_true(is_alive(1, "b"));
	tick_after(1000);
	ends_with(1, "b", 0);
	assert_true(is_alive(2, "low"));
}

/* big asks for all four GPUs; small ones come and go, and two of them always overlap. */
static void room_is_kept_for_one_that_finds_none(void **state)
{
	(void)state;
	connect_local(8, 4);
	add(1, "steps: {s1: {run: x, resources: {gpus: 2}}, s2: {run: x, resources: {gpus: 2}}}");
	add(2, "steps: {big: {run: x, resources: {gpus: 4, cpus: 2}}}");
	add(3, "steps: {s3: {run: x, resources: {gpus: 1}}, s4: {run: x, resources: {gpus: 1}},"
	       " plain: {run: x, needs: [s3]}}");
	tick_after(URGENCY_RESERVE_MS / 2);
	ends_with(1, "s1", 0);
	assert_true(is_alive(3, "s3") && is_alive(3, "s4") && !is_alive(2, "big"));
	add(4, "steps: {s5: {run: x, resources: {gpus: 1}}, cpus: {run: x, resources: {cpus: 6}},"
	       " cpu: {run: x, resources: {cpus: 1}, needs: [cpus]}}");
	ends_with(4, "cpus", 0); /* eight are there, and big wants two of them: one more may go */
	tick_after(URGENCY_RESERVE_MS / 2);
	ends_with(3, "s3", 0);
	assert_true(!is_alive(4, "s5"));                    /* though a GPU is free */
	assert_true(is_alive(3, "plain") && is_alive(4, "cpu")); /* which take nothing that big waits for */
	ends_with(3, "s4", 0);
	ends_with(1, "s2", 0);
	assert_true(is_alive(2, "big") && !is_alive(4, "s5"));
	ends_with(2, "big", 0);
	assert_true(is_alive(4, "s5"));
}

/* It needs a GPU, a slot of its pool and a place in its run, and never finds all three free at once. */
static void after_a_day_it_keeps_each_thing_it_needs(void **state)
{
	(void)state;
	core_set_pool(core, "db", 1);
	connect_local(8, 1);
	add(1, "steps: {gpu1: {run: x, resources: {gpus: 1}}}");
	add(2, "steps: {db1: {run: x, pool: db}}");
	add(3, "concurrency: 1\nsteps: {first: {run: x}, it: {run: x, pool: db, resources: {gpus: 1}}}");
	tick_after(URGENCY_FIRST_MS);
	add(4, "priority: 9\nsteps: {gpu2: {run: x, resources: {gpus: 1}}, db2: {run: x, pool: db}}");
	ends_with(1, "gpu1", 0); /* the GPU is free now, and kept */
	assert_true(!is_alive(4, "gpu2") && !is_alive(3, "it"));
	ends_with(2, "db1", 0); /* and the slot, until its run has a place */
	assert_true(!is_alive(4, "db2") && !is_alive(3, "it"));
	ends_with(3, "first", 0);
	assert_true(is_alive(3, "it") && !is_alive(4, "db2") && !is_alive(4, "gpu2"));
}

static void a_restart_does_not_forget_who_waits(void **state)
{
	struct run *low = make_run(2, "steps: {low: {run: x}}"), *high = make_run(1, "priority: 3\nsteps: {a: {run: x}}");

	(void)state;
	now_ms = 5 * URGENCY_STEP_MS;
	low->row.state = high->row.state = RUN_RUNNING;
	low->tasks[0].row.state = high->tasks[0].row.state = TASK_READY;
	low->tasks[0].row.ready_wall_ms = 1000000 + URGENCY_STEP_MS; /* four steps ago */
	high->tasks[0].row.ready_wall_ms = 1000000 + now_ms;
	core_set_terms(core, "local", &(struct worker_terms){ .slots = 1 });
	core_add_run(core, low);
	core_add_run(core, high);
	connect_local(8, 0);
	give((struct event){ .kind = EVENT_INVENTORY, .id.run = 1 });
	assert_true(is_alive(1, "a")); /* it alone was claimed */
	ends_with(1, "a", 0);
	give((struct event){ .kind = EVENT_INVENTORY, .id.run = 2 });
	assert_true(is_alive(2, "low"));
	assert_int_equal(task_of(2, "low")->ready_ms, URGENCY_STEP_MS);
}

static void the_run_s_own_limit_holds_beside_the_others(void **state)
{
	(void)state;
	core_set_pool(core, "db", 5);
	core_set_terms(core, "local", &(struct worker_terms){ .slots = 3 });
	connect_local(8, 0);
	add(1, "concurrency: 2\npool: db\nsteps: {a: {run: x}, b: {run: x}, c: {run: x}}");
	add(2, "steps: {d: {run: x}, e: {run: x}}");
	assert_true(is_alive(1, "a") && is_alive(1, "b") && !is_alive(1, "c"));
	assert_true(is_alive(2, "d") && !is_alive(2, "e"));
}

static void urgency_rises_by_one_each_step(void **state)
{
	(void)state;
	assert_int_equal(urgency_of(3, 0), 3);
	assert_int_equal(urgency_of(3, -5), 3);
	assert_int_equal(urgency_of(3, URGENCY_STEP_MS - 1), 3);
	assert_int_equal(urgency_of(3, 7 * URGENCY_STEP_MS), 10);
	assert_true(urgency_of(-1000000, URGENCY_FIRST_MS) > urgency_of(1000000, URGENCY_FIRST_MS - 1));
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
	const struct CMUnitTest tests[] = {
		TEST(a_pool_limits_over_all_runs),
		TEST(a_pool_that_nobody_knows_lets_nothing_start),
		TEST(one_out_of_reach_holds_its_slot_and_a_retry_holds_none),
		TEST(the_higher_priority_goes_first),
		TEST(of_the_same_priority_the_oldest_goes_first),
		TEST(who_waits_long_rises),
		TEST(many_that_are_served_do_not_outweigh_a_higher_priority),
		TEST(after_a_day_it_goes_before_everything),
		TEST(room_is_kept_for_one_that_finds_none),
		TEST(after_a_day_it_keeps_each_thing_it_needs),
		TEST(a_restart_does_not_forget_who_waits),
		TEST(the_run_s_own_limit_holds_beside_the_others),
		TEST(urgency_rises_by_one_each_step),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
