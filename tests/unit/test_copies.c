/*
 * Which checkpoints are fetched to the scheduler, and where a task goes on with them: told by hand, through the
 * core.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <string.h>

#include "dag/diagnostic.h"
#include "scheduler/core.h"
#include "scheduler/origin.h"

#define COPY "source: .\nsteps: {a: {run: x, worker: gpu, checkpoint: {copy: true}, retry: {max: 9, backoff: 0s}}}"
#define NO_COPY "source: .\nsteps: {a: {run: x, worker: gpu, retry: {max: 9, backoff: 0s}}}"

static struct core *core;
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
	core_set_terms(core, "gpu1", &gpu);
	core_set_terms(core, "gpu2", &gpu);
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
	struct run_row row = { .id = 1, .dag = "t", .number = 1, .params = "{}" };
	struct diagnostics diagnostics;
	struct dag *dag;

	diagnostics_init(&diagnostics);
	if (dag_parse("/x/t.yaml", yaml, strlen(yaml), &dag, &diagnostics) < 0) {
		diagnostics_print(&diagnostics, stderr, false);
		fail();
	}
	diagnostics_fini(&diagnostics);
	core_add_run(core, run_new(dag, &row));
}

static void give(const char *worker, struct event event)
{
	event.now_ms = now_ms;
	event.wall_ms = 1000000 + now_ms;
	event.worker = worker;
	core_step(core, &event, &out);
}

static void tick(int64_t ms)
{
	now_ms += ms;
	give(NULL, (struct event){ .kind = EVENT_TICK });
}

/* Up, claimed, and with nothing of the run there. */
static void connect_worker(const char *worker)
{
	static uint64_t epoch;

	give(worker, (struct event){ .kind = EVENT_WORKER_UP,
				     .facts = { .name = worker, .boot_id = "boot", .host = "h", .machine = "m",
						.epoch = ++epoch, .cpus_milli = 2000, .memory_bytes = 1 << 30 } });
	give(worker, (struct event){ .kind = EVENT_INVENTORY, .id.run = 1 });
}

static void disconnect(const char *worker)
{
	give(worker, (struct event){ .kind = EVENT_WORKER_DOWN, .text = "gone" });
}

static void drain(const char *worker)
{
	give(worker, (struct event){ .kind = EVENT_DRAIN, .now = true });
}

static struct task *task(void)
{
	return &core_find_run(core, 1)->tasks[0];
}

static void journal(enum frame_type type, struct event event)
{
	event.kind = EVENT_JOURNAL;
	event.id = task()->live->row.id;
	event.record_type = type;
	event.journal_end = task()->live->row.journal_offset + 10;
	give(task()->live->row.worker, event);
}

static void checkpoint(const char *name)
{
	struct event event = { 0 };

	event.record.checkpoint = (struct record_checkpoint){
		.event = CHECKPOINT_COMPLETE, .name = name, .digest = name, .step = name[1] - '0', .format = "file"
	};
	journal(RECORD_CHECKPOINT, event);
}

static void gone(const char *name, enum checkpoint_event how)
{
	struct event event = { 0 };

	event.record.checkpoint =
		(struct record_checkpoint){ .event = how, .name = name, .digest = "", .text = "", .format = "" };
	journal(RECORD_CHECKPOINT, event);
}

static void started(const char *from)
{
	struct event event = { 0 };

	event.record.started = (struct record_started){ .pid = 1, .resumed_from = from, .resumed_digest = from };
	journal(RECORD_STARTED, event);
}

static void exits(struct record_exit exit)
{
	struct attempt_id id = task()->live->row.id;
	const char *worker = task()->live->row.worker;

	exit.text = exit.text == NULL ? "" : exit.text;
	give(worker, (struct event){ .kind = EVENT_EXITED, .id = id, .exit = exit });
	give(worker, (struct event){ .kind = EVENT_COLLECTED, .id = id });
}

static void fails(void)
{
	exits((struct record_exit){ .kind = EXIT_CODE, .code = 1 });
}

static void copied(uint32_t seq)
{
	struct event event = { .kind = EVENT_COPIED, .id = { 1, 0, 0 } };

	event.copied.seq = seq;
	event.copied.digest = "parcel";
	event.copied.bytes = 100;
	give(NULL, event);
}

static void not_copied(uint32_t seq, bool transient)
{
	struct event event = { .kind = EVENT_COPIED, .id = { 1, 0, 0 } };

	event.copied.seq = seq;
	event.copied.failure = "why not";
	event.copied.transient = transient;
	give(NULL, event);
}

static size_t count(enum action_kind kind, uint32_t seq)
{
	size_t found = 0;

	for (size_t i = 0; i < out.count; i++)
		found += out.items[i].kind == kind && out.items[i].copy_seq == seq;
	return found;
}

static bool told(const char *kind)
{
	for (size_t i = 0; i < out.count; i++)
		if (out.items[i].kind == SAVE_EVENT && strcmp(out.items[i].event.kind, kind) == 0)
			return true;
	return false;
}

static void assert_on(const char *worker)
{
	assert_non_null(task()->live);
	assert_string_equal(task()->live->row.worker, worker);
}

/* What the newest order to start says. */
static void last_start(struct arena *arena, struct spec *spec)
{
	struct frame frame;

	for (size_t i = out.count; i > 0; i--) {
		const struct action *action = &out.items[i - 1];

		if (action->kind != ORDER_START)
			continue;
		assert_int_equal(protocol_next(action->start.frame, action->start.bytes, &frame, NULL), 1);
		assert_int_equal(protocol_get_spec(&frame, arena, spec), 0);
		return;
	}
	fail();
}

static void assert_brought(const char *name)
{
	struct arena arena = { 0 };
	struct spec spec;
	size_t at = 0;

	last_start(&arena, &spec);
	assert_int_equal(spec.provisions_count, name == NULL ? 0 : 1);
	if (name != NULL) {
		assert_int_equal(spec.provisions[0].kind, PROVISION_CHECKPOINT);
		assert_string_equal(spec.provisions[0].name, name);
		assert_string_equal(spec.provisions[0].digest, "parcel");
		while (at < spec.candidates_count && spec.candidates[at].quarantined)
			at++;
		assert_true(at < spec.candidates_count);
		assert_string_equal(spec.candidates[at].name, name);
	}
	arena_fini(&arena);
}

static void the_newest_is_fetched_and_those_between_are_passed_over(void **state)
{
	(void)state;
	add_run(COPY);
	connect_worker("gpu1");
	started("");
	checkpoint("e1");
	assert_int_equal(count(ORDER_COPY, 1), 1);
	checkpoint("e2");
	checkpoint("e3");
	assert_int_equal(count(ORDER_COPY, 2) + count(ORDER_COPY, 3), 0);
	copied(1);
	assert_string_equal(task()->ledger.rows[0].copy, "parcel");
	assert_int_equal(count(ORDER_COPY, 2), 0);
	assert_int_equal(count(ORDER_COPY, 3), 1);
	assert_int_equal(count(ORDER_DROP_COPY, 1), 0);
	copied(3);
	assert_int_equal(count(ORDER_DROP_COPY, 1), 1);
	assert_null(task()->ledger.rows[0].copy);
	exits((struct record_exit){ .kind = EXIT_CODE });
	assert_int_equal(core_find_run(core, 1)->row.state, RUN_SUCCEEDED);
	assert_int_equal(count(ORDER_DROP_COPY, 3), 1);
}

static void without_copy_nothing_is_fetched(void **state)
{
	(void)state;
	add_run(NO_COPY);
	connect_worker("gpu1");
	checkpoint("e1");
	tick(100000);
	assert_int_equal(count(ORDER_COPY, 1), 0);
}

static void what_failed_for_now_is_tried_again_what_failed_for_good_is_not(void **state)
{
	(void)state;
	add_run(COPY);
	connect_worker("gpu1");
	checkpoint("e1");
	not_copied(1, true);
	assert_int_equal(count(ORDER_COPY, 1), 1);
	now_ms = core_next_wake_ms(core);
	tick(0);
	assert_int_equal(count(ORDER_COPY, 1), 2);
	not_copied(1, false);
	assert_true(told("checkpoint.not_copied"));
	tick(100000);
	assert_int_equal(count(ORDER_COPY, 1), 2);
	checkpoint("e2");
	assert_int_equal(count(ORDER_COPY, 2), 1);
}

static void a_transfer_from_a_worker_that_is_away_makes_place_for_another(void **state)
{
	(void)state;
	add_run("source: .\nsteps: {a: {run: x, worker: gpu, checkpoint: {copy: true}, move_after: 5s,"
		" grace: 0s, retry: {max: 9, backoff: 0s}}}");
	connect_worker("gpu1");
	checkpoint("e1");
	disconnect("gpu1");
	assert_int_equal(count(ORDER_CANCEL_COPY, 1), 0); /* nothing else is wanted, and it may come back */
	connect_worker("gpu2");
	tick(60000);
	assert_on("gpu2");
	assert_brought(NULL);
	checkpoint("e2");
	assert_int_equal(count(ORDER_CANCEL_COPY, 1), 1);
	assert_int_equal(count(ORDER_COPY, 2), 1);
}

static void a_holder_that_is_away_is_let_go_of_where_there_is_a_copy(void **state)
{
	(void)state;
	add_run("source: .\nsteps: {a: {run: x, worker: gpu, checkpoint: {copy: true}, retry: {max: 9, backoff: 5s}}}");
	connect_worker("gpu1");
	started("");
	checkpoint("e1");
	copied(1);
	connect_worker("gpu2");
	fails();
	tick(6000);
	assert_on("gpu1"); /* as long as it is there */
	assert_brought(NULL);
	started("e1");
	disconnect("gpu1");
	tick(1000000);
	assert_on("gpu1"); /* silence decides nothing */
	give("gpu1", (struct event){ .kind = EVENT_EXITED, .id = task()->live->row.id,
				     .exit = { .kind = EXIT_CODE, .code = 1, .text = "" } });
	connect_worker("gpu1");
	disconnect("gpu1");
	tick(6000);
	assert_null(task()->live); /* it may be a blip */
	assert_int_equal(core_next_wake_ms(core), now_ms - 6000 + ORIGIN_BLIP_MS);
	now_ms = core_next_wake_ms(core);
	tick(0);
	assert_on("gpu2");
	assert_brought("e1");
	assert_true(told("checkpoint.brought"));
}

static void an_older_copy_is_used_when_patience_ends(void **state)
{
	(void)state;
	add_run(COPY);
	connect_worker("gpu1");
	started("");
	checkpoint("e1");
	copied(1);
	checkpoint("e2");
	fails();
	assert_on("gpu1");
	disconnect("gpu1");
	connect_worker("gpu2");
	give("gpu1", (struct event){ .kind = EVENT_EXITED, .id = task()->live->row.id,
				     .exit = { .kind = EXIT_CODE, .code = 1, .text = "" } });
	tick(ORIGIN_AWAY_MS - 1000);
	assert_null(task()->live);
	tick(2000);
	assert_on("gpu2");
	assert_brought("e1");
}

static void a_copy_outlives_the_one_on_the_worker(void **state)
{
	(void)state;
	add_run(COPY);
	connect_worker("gpu1");
	started("");
	checkpoint("e1");
	copied(1);
	checkpoint("e2");
	gone("e1", CHECKPOINT_REMOVED);
	gone("e2", CHECKPOINT_BROKEN);
	connect_worker("gpu2");
	drain("gpu1");
	fails();
	assert_on("gpu2");
	assert_brought("e1");
}

static void from_a_worker_that_is_emptied_it_is_fetched_first(void **state)
{
	(void)state;
	add_run(NO_COPY);
	connect_worker("gpu1");
	started("");
	checkpoint("e1");
	connect_worker("gpu2");
	drain("gpu1");
	assert_int_equal(count(ORDER_COPY, 1), 0);
	fails();
	assert_null(task()->live);
	assert_int_equal(count(ORDER_COPY, 1), 1);
	copied(1);
	assert_on("gpu2");
	assert_brought("e1");
	started("e1");
	assert_string_equal(task()->ledger.rows[0].brought, "gpu2");
	assert_int_equal(task()->live->row.began_seq, 1);
}

static void what_cannot_be_fetched_is_done_without(void **state)
{
	(void)state;
	add_run(NO_COPY);
	connect_worker("gpu1");
	started("");
	checkpoint("e1");
	checkpoint("e2");
	connect_worker("gpu2");
	drain("gpu1");
	fails();
	assert_int_equal(count(ORDER_COPY, 2), 1);
	not_copied(2, false);
	assert_null(task()->live);
	assert_int_equal(count(ORDER_COPY, 1), 1);
	copied(1);
	assert_on("gpu2");
	assert_brought("e1");
}

static void required_is_never_from_zero_elsewhere(void **state)
{
	(void)state;
	add_run("source: .\nsteps: {a: {run: x, worker: gpu, checkpoint: {resume: required}, move_after: 5s,"
		" grace: 0s, retry: {max: 9, backoff: 0s}}}");
	connect_worker("gpu1");
	started("");
	checkpoint("e1");
	connect_worker("gpu2");
	disconnect("gpu1");
	tick(1000000);
	assert_null(task()->live);
	connect_worker("gpu1");
	assert_on("gpu1");
}

static void deaths_count_on_every_worker(void **state)
{
	(void)state;
	add_run(COPY);
	connect_worker("gpu1");
	started("");
	checkpoint("e1");
	checkpoint("e2");
	copied(1);
	copied(2);
	fails(); /* with progress */
	assert_on("gpu1");
	started("e2");
	connect_worker("gpu2");
	drain("gpu1");
	fails();
	assert_on("gpu2");
	assert_brought("e2");
	started("e2");
	fails();
	assert_int_equal(task()->ledger.rows[1].state, CHECKPOINT_QUARANTINED);
	assert_null(task()->live); /* the one before it is fetched: its copy made place for this one's */
	assert_int_equal(count(ORDER_COPY, 1), 2);
	copied(1);
	assert_brought("e1");
}

static void a_copy_that_cannot_be_put_in_place_is_fetched_anew_and_then_done_without(void **state)
{
	const struct record_exit damaged = {
		.kind = EXIT_NOT_STARTED, .reason = REASON_NOT_STARTED, .text = "the checkpoint e1: damaged"
	};

	(void)state;
	add_run(COPY);
	connect_worker("gpu1");
	started("");
	checkpoint("e1");
	copied(1);
	connect_worker("gpu2");
	drain("gpu1");
	fails();
	assert_brought("e1");
	exits(damaged);
	assert_true(told("checkpoint.copy_refused"));
	assert_null(task()->live);
	assert_int_equal(count(ORDER_DROP_COPY, 1), 1);
	assert_int_equal(count(ORDER_COPY, 1), 2);
	copied(1);
	assert_brought("e1");
	exits(damaged);
	assert_on("gpu2");
	assert_brought(NULL);
	exits(damaged);
	assert_int_equal(task()->row.state, TASK_FAILED);
}

static void an_older_copy_stays_while_it_is_brought(void **state)
{
	(void)state;
	add_run(COPY);
	connect_worker("gpu1");
	started("");
	checkpoint("e1");
	copied(1);
	checkpoint("e2");
	connect_worker("gpu2");
	fails();
	disconnect("gpu1");
	give("gpu1", (struct event){ .kind = EVENT_EXITED, .id = task()->live->row.id,
				     .exit = { .kind = EXIT_CODE, .code = 1, .text = "" } });
	tick(2 * ORIGIN_AWAY_MS);
	assert_brought("e1");
	connect_worker("gpu1");
	copied(2);
	assert_int_equal(count(ORDER_DROP_COPY, 1), 0);
	started("e1");
	assert_int_equal(count(ORDER_DROP_COPY, 1), 1);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(the_newest_is_fetched_and_those_between_are_passed_over),
		TEST(without_copy_nothing_is_fetched),
		TEST(what_failed_for_now_is_tried_again_what_failed_for_good_is_not),
		TEST(a_transfer_from_a_worker_that_is_away_makes_place_for_another),
		TEST(a_holder_that_is_away_is_let_go_of_where_there_is_a_copy),
		TEST(an_older_copy_is_used_when_patience_ends),
		TEST(a_copy_outlives_the_one_on_the_worker),
		TEST(from_a_worker_that_is_emptied_it_is_fetched_first),
		TEST(what_cannot_be_fetched_is_done_without),
		TEST(required_is_never_from_zero_elsewhere),
		TEST(deaths_count_on_every_worker),
		TEST(a_copy_that_cannot_be_put_in_place_is_fetched_anew_and_then_done_without),
		TEST(an_older_copy_stays_while_it_is_brought),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
