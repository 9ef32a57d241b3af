#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/mem.h"
#include "common/scope.h"
#include "scheduler/owner.h"
#include "scheduler/paths.h"
#include "scheduler/view.h"
#include "tests/unit/run_fixture.h"

static const char yaml[] = "name: night\n"
			   "steps:\n"
			   "  extract: {run: x}\n"
			   "  train: {needs: [extract], run: x, retry: {max: 3}}\n"
			   "  publish: {needs: [train, extract], run: x}\n";

static struct store *store;
static struct actions saves;
static struct err err;

static int set_up(void **state)
{
	(void)state;
	actions_init(&saves);
	return store_open_memory(&store, &err);
}

static int tear_down(void **state)
{
	(void)state;
	actions_fini(&saves);
	store_close(store);
	store = NULL;
	return 0;
}

static uint64_t new_run(const char *text)
{
	autodag struct dag *dag = fixture_dag(text);
	const struct store_new_run wanted = {
		.dag = dag,
		.params = "{\"lr\":\"0.1\"}",
		.trigger = "manual",
		.actor = "ada",
		.origin = "cli box",
		.wall_ms = FIXTURE_NOW_MS,
	};
	uint64_t run;

	if (store_create_run(store, &wanted, &run, &err) < 0)
		fail_msg("%s", err.text);
	return run;
}

static void apply(void)
{
	if (store_apply(store, saves.items, saves.count, &err) < 0)
		fail_msg("%s", err.text);
	actions_clear(&saves);
}

static void save_run_state(uint64_t run, enum run_state state)
{
	actions_add(&saves, SAVE_RUN)->run = (struct run_row){
		.id = run,
		.state = state,
		.started_wall_ms = FIXTURE_NOW_MS,
		.ended_wall_ms = machine_ended(run_states, state) ? FIXTURE_NOW_MS + 60000 : 0,
	};
	apply();
}

static struct task_row task_row(uint64_t run, uint32_t step, enum task_state state)
{
	return (struct task_row){
		.run = run,
		.step = step,
		.state = state,
		.attempts = 1,
		.first_attempt = 1,
		.best_step = -1,
		.started_wall_ms = FIXTURE_NOW_MS,
		.message = "",
	};
}

static void save_task(struct task_row row)
{
	actions_add(&saves, SAVE_TASK)->task = row;
}

static struct attempt_row attempt_row(uint64_t run, uint32_t step, uint32_t number, enum attempt_state state)
{
	return (struct attempt_row){
		.id = { run, step, number },
		.state = state,
		.worker = "local",
		.boot_id = "boot",
		.fence = number,
		.intended_wall_ms = FIXTURE_NOW_MS,
		.started_wall_ms = FIXTURE_NOW_MS,
		.exit_code = -1,
		.resumed_from = "",
		.devices = "",
		.message = "",
	};
}

static void save_attempt(struct attempt_row row)
{
	actions_add(&saves, SAVE_ATTEMPT)->attempt = row;
}

static void save_metric(uint64_t run, uint32_t attempt, uint64_t offset, const char *json)
{
	struct action *action = actions_add(&saves, SAVE_METRIC);

	action->id = (struct attempt_id){ run, 1, attempt };
	action->metric.wall_ms = FIXTURE_NOW_MS;
	action->metric.journal_offset = offset;
	action->metric.json = json;
}

static void save_output(uint64_t run, uint32_t step, const char *key, const char *value)
{
	struct action *action = actions_add(&saves, SAVE_OUTPUT);

	action->id = (struct attempt_id){ run, step, 1 };
	action->output.key = key;
	action->output.value = value;
}

static void save_event(uint64_t run, uint64_t step, const char *kind, const char *detail)
{
	struct action *action = actions_add(&saves, SAVE_EVENT);

	action->id = (struct attempt_id){ run, step, step == UINT64_MAX ? 0 : 2 };
	action->event.wall_ms = FIXTURE_NOW_MS;
	action->event.kind = kind;
	action->event.actor = "ada";
	action->event.origin = "cli box";
	action->event.detail = detail;
	apply();
}

static json_t *get(json_t *object, const char *key)
{
	json_t *value = json_object_get(object, key);

	if (value == NULL)
		fail_msg("no member '%s'", key);
	return value;
}

static void assert_json(json_t *value, const char *expected)
{
	autofree char *text = json_dumps(value, JSON_COMPACT | JSON_ENCODE_ANY);

	assert_string_equal(text, expected);
}

/* --- lists ---------------------------------------------------------------------------------------------- */

static void assert_runs(const struct view_page *page, const char *expected, int64_t *next_out)
{
	autojson json_t *answer = NULL;
	autobuf struct buf names = { 0 };
	size_t i;
	json_t *run;

	if (view_runs(store, page, &answer, &err) < 0)
		fail_msg("%s", err.text);
	json_array_foreach(get(answer, "runs"), i, run)
		buf_printf(&names, "%s ", json_string_value(get(run, "run")));
	assert_string_equal(buf_text(&names), expected);
	if (next_out != NULL)
		*next_out = json_integer_value(get(answer, "next"));
}

static void runs_come_newest_first_and_page_by_page(void **state)
{
	struct view_page page = { .limit = 2 };

	(void)state;
	for (int i = 0; i < 5; i++)
		new_run(yaml);
	assert_runs(&page, "night/5 night/4 ", &page.before);
	assert_runs(&page, "night/3 night/2 ", &page.before);
	assert_runs(&page, "night/1 ", &page.before);
	assert_int_equal(page.before, 0);
}

static void runs_are_found_by_dag_and_state(void **state)
{
	struct view_page page = { .limit = 10 };
	uint64_t failed;

	(void)state;
	new_run(yaml);
	new_run("name: other\nsteps: {a: {run: x}}\n");
	failed = new_run(yaml);
	save_run_state(failed, RUN_FAILED);
	new_run(yaml);
	assert_runs(&page, "night/3 night/2 other/1 night/1 ", NULL);
	page.dag = "night";
	assert_runs(&page, "night/3 night/2 night/1 ", NULL);
	page.state = "failed";
	assert_runs(&page, "night/2 ", NULL);
	page.dag = NULL;
	assert_runs(&page, "night/2 ", NULL);
	page = (struct view_page){ .limit = 1, .dag = "night" };
	assert_runs(&page, "night/3 ", &page.before);
	assert_runs(&page, "night/2 ", &page.before);
	assert_runs(&page, "night/1 ", &page.before);
	assert_int_equal(page.before, 0);
}

static void what_is_not_there_is_refused_with_a_suggestion(void **state)
{
	struct view_page page = { .limit = 1, .dag = "nigt" };
	json_t *answer = NULL;

	(void)state;
	new_run(yaml);
	assert_int_equal(view_runs(store, &page, &answer, &err), ERR_NOT_FOUND);
	assert_string_equal(err.text, "no DAG called nigt is known here; did you mean night?");
	page = (struct view_page){ .limit = 1, .state = "faild" };
	assert_int_equal(view_runs(store, &page, &answer, &err), ERR_INVALID);
	assert_non_null(strstr(err.text, "did you mean failed?"));
	assert_null(answer);
}

static void names_lead_to_rows(void **state)
{
	uint64_t run = 0, expected;
	uint32_t step = 9;

	(void)state;
	new_run(yaml);
	expected = new_run(yaml);
	assert_int_equal(view_find_run(store, "night/2", &run, &err), 0);
	assert_int_equal(run, expected);
	assert_int_equal(view_find_run(store, "night/9", &run, &err), ERR_NOT_FOUND);
	assert_string_equal(err.text, "there is no run night/9; the latest of night is night/2");
	assert_int_equal(view_find_run(store, "nihgt/1", &run, &err), ERR_NOT_FOUND);
	assert_non_null(strstr(err.text, "did you mean night/2?"));
	assert_int_equal(view_find_run(store, "night", &run, &err), ERR_INVALID);
	assert_non_null(strstr(err.text, "the latest of night is night/2"));
	assert_int_equal(view_find_task(store, run, "train", &step, &err), 0);
	assert_int_equal(step, 1);
	assert_int_equal(view_find_task(store, run, "trian", &step, &err), ERR_NOT_FOUND);
	assert_string_equal(err.text, "the run has no task trian; did you mean train?");
	assert_int_equal(view_find_task(store, run, "x", &step, &err), ERR_NOT_FOUND);
	assert_string_equal(err.text, "the run has no task x; its first is extract");
	assert_int_equal(step, 1);
}

static void status_tells_what_is_active_and_what_was(void **state)
{
	autojson json_t *answer = NULL;
	uint64_t ended, running;
	json_t *active;

	(void)state;
	ended = new_run(yaml);
	running = new_run(yaml);
	new_run(yaml);
	save_run_state(ended, RUN_SUCCEEDED);
	save_run_state(running, RUN_RUNNING);
	save_task(task_row(running, 0, TASK_SUCCEEDED));
	save_task(task_row(running, 1, TASK_RUNNING));
	apply();
	assert_int_equal(view_status(store, 10, &answer, &err), 0);
	active = get(answer, "active");
	assert_int_equal(json_array_size(active), 2);
	assert_json(get(json_array_get(active, 0), "run"), "\"night/2\"");
	assert_json(get(json_array_get(active, 0), "tasks"),
		    "{\"counts\":{\"waiting\":1,\"running\":1,\"succeeded\":1},\"busy\":[\"train\"]}");
	assert_json(get(json_array_get(active, 1), "run"), "\"night/3\"");
	assert_int_equal(json_array_size(get(answer, "latest")), 1);
	assert_json(get(json_array_get(get(answer, "latest"), 0), "run"), "\"night/1\"");
}

/* --- one run -------------------------------------------------------------------------------------------- */

static uint64_t told_run(void)
{
	uint64_t run = new_run(yaml);
	struct task_row task = task_row(run, 1, TASK_RETRYING);
	struct attempt_row attempt = attempt_row(run, 1, 1, ATTEMPT_FAILED);

	save_task(task_row(run, 0, TASK_SUCCEEDED));
	task.attempts = 2;
	task.reason = REASON_SIGNAL;
	task.message = "killed by signal 9 (SIGKILL)";
	task.not_before_wall_ms = FIXTURE_NOW_MS + 30000;
	save_task(task);
	attempt.reason = REASON_SIGNAL;
	attempt.signal = 9;
	attempt.ended_wall_ms = FIXTURE_NOW_MS + 1000;
	attempt.log_bytes = 12;
	attempt.cpu_ms = 34;
	attempt.rss_peak_bytes = 56;
	attempt.log_dropped_bytes = 78;
	attempt.message = "killed by signal 9 (SIGKILL)";
	save_attempt(attempt);
	attempt = attempt_row(run, 1, 2, ATTEMPT_FAILED);
	attempt.reason = REASON_EXIT;
	attempt.exit_code = 0;
	attempt.resumed_from = "epoch-1.npz";
	save_attempt(attempt);
	save_metric(run, 1, 900, "{\"loss\": 3}");
	save_metric(run, 2, 100, "{\"loss\": 2}");
	save_metric(run, 2, 200, "{\"loss\": 1}");
	save_output(run, 1, "accuracy", "0.9\xff");
	apply();
	save_run_state(run, RUN_RUNNING);
	return run;
}

static void a_run_is_told_whole(void **state)
{
	autojson json_t *answer = NULL;
	json_t *tasks;

	(void)state;
	assert_int_equal(view_run(store, told_run(), &answer, &err), 0);
	assert_json(get(answer, "params"), "{\"lr\":\"0.1\"}");
	assert_json(get(answer, "created"), "\"2027-01-15T12:00:00.000Z\"");
	assert_json(get(answer, "ended"), "null");
	assert_json(get(answer, "reason"), "null");
	assert_json(get(answer, "scheduled_for"), "null");
	tasks = get(answer, "tasks");
	assert_int_equal(json_array_size(tasks), 3);
	assert_json(json_array_get(tasks, 2),
		    "{\"task\":\"publish\",\"state\":\"waiting\",\"reason\":null,\"message\":\"\","
		    "\"needs\":[\"train\",\"extract\"],\"started\":null,\"ended\":null,\"not_before\":null,"
		    "\"attempts\":[],\"outputs\":{},\"metric\":null}");
	assert_json(
		json_array_get(tasks, 1),
		"{\"task\":\"train\",\"state\":\"retrying\",\"reason\":\"signal\","
		"\"message\":\"killed by signal 9 (SIGKILL)\",\"needs\":[\"extract\"],"
		"\"started\":\"2027-01-15T12:00:00.000Z\",\"ended\":null,"
		"\"not_before\":\"2027-01-15T12:00:30.000Z\",\"attempts\":["
		"{\"number\":1,\"state\":\"failed\",\"reason\":\"signal\",\"exit_code\":null,\"signal\":9,"
		"\"worker\":\"local\",\"fence\":1,\"started\":\"2027-01-15T12:00:00.000Z\","
		"\"ended\":\"2027-01-15T12:00:01.000Z\",\"unreachable_since\":null,\"resumed_from\":null,"
		"\"cpu_ms\":34,\"rss_peak_bytes\":56,\"log_bytes\":12,\"log_dropped_bytes\":78,"
		"\"message\":\"killed by signal 9 (SIGKILL)\"},"
		"{\"number\":2,\"state\":\"failed\",\"reason\":\"exit\",\"exit_code\":0,\"signal\":null,"
		"\"worker\":\"local\",\"fence\":2,\"started\":\"2027-01-15T12:00:00.000Z\",\"ended\":null,"
		"\"unreachable_since\":null,\"resumed_from\":\"epoch-1.npz\",\"cpu_ms\":0,\"rss_peak_bytes\":"
		"0,"
		"\"log_bytes\":0,\"log_dropped_bytes\":0,\"message\":\"\"}],"
		"\"outputs\":{\"accuracy\":\"0.9\xef\xbf\xbd\"},\"metric\":{\"loss\":1}}");
}

static void a_run_that_is_not_there_leaves_the_answer_alone(void **state)
{
	json_t *answer = NULL;

	(void)state;
	assert_int_equal(view_run(store, 77, &answer, &err), ERR_NOT_FOUND);
	assert_int_equal(view_why(store, 77, -1, &answer, &err), ERR_NOT_FOUND);
	assert_int_equal(view_checkpoints(store, 77, 0, 10, &answer, &err), ERR_NOT_FOUND);
	assert_null(answer);
	assert_int_equal(sqlite3_get_autocommit(store->db), 1);
}

static void an_attempt_is_found_by_number_or_as_the_latest(void **state)
{
	struct view_attempt attempt = { 0 };
	uint64_t run = told_run();

	(void)state;
	assert_int_equal(view_attempt(store, run, 1, 0, &attempt, &err), 0);
	assert_int_equal(attempt.number, 2);
	assert_int_equal(attempt.task_state, TASK_RETRYING);
	assert_int_equal(view_attempt(store, run, 1, 1, &attempt, &err), 0);
	assert_int_equal(attempt.number, 1);
	assert_int_equal(attempt.log_bytes, 12);
	assert_int_equal(attempt.state, ATTEMPT_FAILED);
	assert_int_equal(view_attempt(store, run, 1, 3, &attempt, &err), ERR_NOT_FOUND);
	assert_int_equal(attempt.number, 1);
	assert_int_equal(view_attempt(store, run, 2, 0, &attempt, &err), 0);
	assert_int_equal(attempt.number, 0);
	assert_int_equal(attempt.task_state, TASK_WAITING);
}

static void the_ledger_is_told_in_its_order(void **state)
{
	static const enum checkpoint_state states[] = { CHECKPOINT_IS_BROKEN, CHECKPOINT_QUARANTINED,
							CHECKPOINT_GOOD };
	autojson json_t *answer = NULL, *newest = NULL;
	uint64_t run = new_run(yaml);

	(void)state;
	for (uint32_t i = 0; i < COUNT_OF(states); i++)
		actions_add(&saves, SAVE_CHECKPOINT)->checkpoint = (struct checkpoint_row){
			.run = run,
			.step = 1,
			.seq = i + 1,
			.attempt = 1,
			.state = states[i],
			.at_step = (int64_t)i - 1,
			.bytes = 10,
			.created_wall_ms = FIXTURE_NOW_MS,
			.name = "e.npz",
			.digest = "abc",
			.format = "file",
			.message = "why",
			.copy = i == 2 ? "def" : NULL,
			.copy_bytes = i == 2 ? 20 : 0,
			.brought = i == 2 ? "gpu2" : NULL,
		};
	apply();
	assert_int_equal(view_checkpoints(store, run, 1, 10, &answer, &err), 0);
	assert_json(get(answer, "task"), "\"train\"");
	assert_int_equal(json_array_size(get(answer, "checkpoints")), 3);
	assert_json(
		json_array_get(get(answer, "checkpoints"), 0),
		"{\"seq\":1,\"name\":\"e.npz\",\"step\":null,\"bytes\":10,\"digest\":\"abc\",\"format\":"
		"\"file\","
		"\"attempt\":1,\"state\":\"broken\",\"deaths\":0,\"created\":\"2027-01-15T12:00:00.000Z\","
		"\"message\":\"why\",\"worker\":\"\",\"brought\":null,\"copy\":null}");
	assert_json(get(json_array_get(get(answer, "checkpoints"), 1), "state"), "\"quarantined\"");
	assert_json(get(json_array_get(get(answer, "checkpoints"), 2), "brought"), "\"gpu2\"");
	assert_json(get(get(json_array_get(get(answer, "checkpoints"), 2), "copy"), "bytes"), "20");
	assert_int_equal(view_checkpoints(store, run, 1, 1, &newest, &err), 0);
	assert_json(get(json_array_get(get(newest, "checkpoints"), 0), "step"), "1");
}

/* --- what happened -------------------------------------------------------------------------------------- */

static void assert_events(const struct view_events *wanted, const char *expected)
{
	autojson json_t *answer = NULL;
	autobuf struct buf kinds = { 0 };
	size_t i;
	json_t *event;

	if (view_events(store, wanted, &answer, &err) < 0)
		fail_msg("%s", err.text);
	json_array_foreach(get(answer, "events"), i, event)
		buf_printf(&kinds, "%s ", json_string_value(get(event, "kind")));
	assert_string_equal(buf_text(&kinds), expected);
}

/* 0: there is no older one. */
static json_int_t next_event(const struct view_events *wanted)
{
	autojson json_t *answer = NULL;

	assert_int_equal(view_events(store, wanted, &answer, &err), 0);
	return json_integer_value(get(answer, "next"));
}

static void events_are_told_oldest_first(void **state)
{
	struct view_events wanted = { .after = -1, .limit = 2 };
	autojson json_t *answer = NULL;
	uint64_t first = new_run(yaml), second = new_run(yaml);

	(void)state;
	save_event(first, 1, "attempt.resumed", "resumes from e.npz");
	save_event(second, UINT64_MAX, "run.failed", "");
	assert_events(&wanted, "attempt.resumed run.failed ");
	wanted.run = first;
	assert_events(&wanted, "run.submitted attempt.resumed ");
	wanted = (struct view_events){ .after = -1, .limit = 3 };
	assert_int_equal(next_event(&wanted), 2);
	wanted.before = next_event(&wanted);
	assert_events(&wanted, "run.submitted ");
	assert_int_equal(next_event(&wanted), 0);
	wanted = (struct view_events){ .limit = 10, .before = 3 };
	assert_events(&wanted, "run.submitted run.submitted ");
	wanted = (struct view_events){ .limit = 10 };
	assert_events(&wanted, "run.submitted run.submitted attempt.resumed run.failed ");
	wanted.after = 3;
	assert_events(&wanted, "run.failed ");
	wanted.run = first;
	assert_events(&wanted, "");
	wanted.after = 2;
	assert_int_equal(view_events(store, &wanted, &answer, &err), 0);
	assert_json(json_array_get(get(answer, "events"), 0),
		    "{\"id\":3,\"at\":\"2027-01-15T12:00:00.000Z\",\"kind\":\"attempt.resumed\",\"actor\":"
		    "\"ada\","
		    "\"origin\":\"cli box\",\"run\":\"night/1\",\"task\":\"train\",\"attempt\":2,"
		    "\"detail\":\"resumes from e.npz\"}");
}

static void why_is_answered_from_what_is_stored(void **state)
{
	autojson json_t *run_answer = NULL, *task_answer = NULL;
	uint64_t run = told_run();

	(void)state;
	assert_int_equal(view_why(store, run, 1, &task_answer, &err), 0);
	assert_json(get(task_answer, "task"), "\"train\"");
	assert_json(get(task_answer, "state"), "\"retrying\"");
	assert_non_null(strstr(json_string_value(get(task_answer, "why")),
			       "attempt 2 of train failed: killed by signal 9 (SIGKILL)"));
	assert_int_equal(view_why(store, run, -1, &run_answer, &err), 0);
	assert_json(get(run_answer, "task"), "null");
	assert_int_equal(view_why(store, run, 3, &run_answer, &err), ERR_NOT_FOUND);
}

/* --- limits --------------------------------------------------------------------------------------------- */

static const char pooled[] = "name: night\npriority: 3\nsteps:\n"
			     "  a: {run: x, pool: db}\n"
			     "  b: {run: x, pool: db}\n"
			     "  c: {run: x, pool: db}\n"
			     "  d: {run: x, pool: old}\n"
			     "  e: {run: x, worker: gpu, resources: {gpus: 2}}\n";

static const struct settings_pool named_pools[] = { { "db", 1, "the warehouse" }, { "idle", 4, NULL } };
static const struct settings limits = { .pools = named_pools, .pools_count = 2 };

/* a runs, b waits for its retry, c, d and e are ready. */
static uint64_t pooled_run(void)
{
	uint64_t run = new_run(pooled);
	struct task_row b = task_row(run, 1, TASK_RETRYING);

	b.ready_wall_ms = FIXTURE_NOW_MS;
	save_task(task_row(run, 0, TASK_RUNNING));
	save_task(b);
	save_attempt(attempt_row(run, 0, 1, ATTEMPT_RUNNING));
	save_attempt(attempt_row(run, 1, 1, ATTEMPT_FAILED));
	save_run_state(run, RUN_RUNNING);
	return run;
}

static void pools_are_told_with_their_holders_and_those_who_wait(void **state)
{
	autojson json_t *answer = NULL;

	(void)state;
	pooled_run();
	new_run(pooled); /* queued: it waits for its turn, not for a pool */
	assert_int_equal(view_pools(store, &limits, &answer, &err), 0);
	assert_json(get(answer, "pools"),
		    "[{\"pool\":\"db\",\"slots\":1,\"description\":\"the warehouse\",\"used\":1,"
		    "\"holders\":[{\"run\":\"night/1\",\"task\":\"a\",\"attempt\":1,\"state\":\"running\","
		    "\"worker\":\"local\",\"since\":\"2027-01-15T12:00:00.000Z\"}],\"waiting\":1,"
		    "\"next\":[{\"run\":\"night/1\",\"task\":\"c\",\"count\":1,\"priority\":3,"
		    "\"since\":\"2027-01-15T12:00:00.000Z\"}]},"
		    "{\"pool\":\"idle\",\"slots\":4,\"description\":null,\"used\":0,\"holders\":[],\"waiting\":0,"
		    "\"next\":[]},"
		    "{\"pool\":\"old\",\"slots\":null,\"description\":null,\"used\":0,\"holders\":[],\"waiting\":1,"
		    "\"next\":[{\"run\":\"night/1\",\"task\":\"d\",\"count\":1,\"priority\":3,"
		    "\"since\":\"2027-01-15T12:00:00.000Z\"}]}]");
}

static void why_names_the_holder_of_a_pool_in_another_run(void **state)
{
	autojson json_t *answer = NULL, *queued = NULL;
	uint64_t second;

	(void)state;
	assert_int_equal(store_put_limits(store, &limits, &err), 0);
	pooled_run();
	second = new_run(pooled);
	assert_int_equal(view_why(store, second, -1, &queued, &err), 0);
	assert_json(get(queued, "why"), "\"night/2 is queued and waits for its turn: night/1 is going on, and night has no"
					" more than 1 at a time (max_active_runs)\"");
	save_run_state(second, RUN_RUNNING);
	assert_int_equal(view_why(store, second, 0, &answer, &err), 0);
	assert_non_null(strstr(json_string_value(get(answer, "why")),
			       "a is ready to start and waits for pool db: 1 of 1 slots is held by night/1 a ("));
	assert_non_null(strstr(json_string_value(get(answer, "why")), "; before it comes night/1 c (waits for "));
}

static void limits_are_written_when_they_change(void **state)
{
	static const struct settings_pool fewer[] = { { "db", 2, NULL } };
	struct settings_worker worker = { .name = "gpu1", .terms.slots = 3 };
	struct settings now = { .pools = fewer, .pools_count = 1, .workers = &worker, .workers_count = 1 };
	int before;

	(void)state;
	assert_int_equal(store_put_limits(store, &limits, &err), 0);
	before = sqlite3_total_changes(store->db);
	assert_int_equal(store_put_limits(store, &limits, &err), 0);
	assert_int_equal(sqlite3_total_changes(store->db), before);
	assert_int_equal(store_put_limits(store, &now, &err), 0);
	before = sqlite3_total_changes(store->db);
	assert_int_equal(store_put_limits(store, &now, &err), 0);
	assert_int_equal(sqlite3_total_changes(store->db), before);
	worker.terms.slots = 0;
	assert_int_equal(store_put_limits(store, &now, &err), 0);
	assert_true(sqlite3_total_changes(store->db) > before);
}

static void assert_looks_by(enum store_statement which, const char *index)
{
	const char *sql = sqlite3_sql(store_statement(store, which));
	autofree char *explain = mem_printf("EXPLAIN QUERY PLAN %s", sql);
	autobuf struct buf plan = { 0 };
	sqlite3_stmt *stmt = NULL;

	assert_int_equal(sqlite3_prepare_v2(store->db, explain, -1, &stmt, NULL), SQLITE_OK);
	while (sqlite3_step(stmt) == SQLITE_ROW)
		buf_printf(&plan, "%s\n", (const char *)sqlite3_column_text(stmt, 3));
	sqlite3_finalize(stmt);
	if (strstr(buf_text(&plan), index) == NULL || strstr(buf_text(&plan), "TEMP B-TREE FOR ORDER") != NULL)
		fail_msg("%s\n%s", sql, buf_text(&plan));
}

/* However many have ended: the indexes hold only what lives and what waits. */
static void holders_and_waiting_have_indexes_of_their_own(void **state)
{
	(void)state;
	assert_looks_by(STMT_limits_holders, "SCAN attempt USING INDEX attempt_live");
	assert_looks_by(STMT_limits_holders, "SEARCH task USING PRIMARY KEY (run=? AND step=?)");
	assert_looks_by(STMT_limits_ready, "SEARCH run USING INDEX run_state (state=?)");
	assert_looks_by(STMT_limits_ready, "SEARCH task USING INDEX task_ready (run=?)");
}

/* --- with a state folder -------------------------------------------------------------------------------- */

static char home[64];

static int set_up_home(void **state)
{
	(void)state;
	actions_init(&saves);
	snprintf(home, sizeof home, "/tmp/stoker-view-XXXXXX");
	return mkdtemp(home) == NULL ? -1 : store_open(home, &store, &err);
}

static int tear_down_home(void **state)
{
	autofree char *command = mem_printf("rm -rf %s", home);

	return tear_down(state) | system(command);
}

static void a_run_without_a_living_driver_is_orphaned(void **state)
{
	autojson json_t *orphan = NULL, *driven = NULL, *ended = NULL;
	uint64_t run = new_run(yaml);
	int fd = -1;

	(void)state;
	assert_int_equal(view_run_alone(store, run, &orphan, &err), 0);
	assert_json(get(orphan, "orphaned"), "true");
	assert_int_equal(owner_take(home, "night", 1, &fd, &err), 0);
	assert_int_equal(view_run_alone(store, run, &driven, &err), 0);
	assert_json(get(driven, "orphaned"), "false");
	close(fd);
	save_run_state(run, RUN_SUCCEEDED);
	assert_int_equal(view_run_alone(store, run, &ended, &err), 0);
	assert_json(get(ended, "orphaned"), "false");
}

static void the_last_words_are_those_of_the_last_attempt(void **state)
{
	autojson json_t *answer = NULL;
	struct arena arena = { 0 };
	uint64_t run = new_run(yaml);
	struct task_row task = task_row(run, 1, TASK_FAILED);
	FILE *log;
	int fd = -1;

	(void)state;
	task.attempts = 2;
	task.reason = REASON_EXIT;
	task.message = "exit code 3";
	save_task(task);
	save_run_state(run, RUN_FAILED);
	assert_int_equal(owner_take(home, "night", 1, &fd, &err), 0);
	close(fd);
	log = fopen(paths_log(&arena, home, "night", 1, "train", 2), "w");
	assert_non_null(log);
	fputs("Traceback\nValueError: bad\n", log);
	fclose(log);
	assert_int_equal(view_why(store, run, 2, &answer, &err), 0);
	json_decref(answer);
	assert_int_equal(view_why(store, run, -1, &answer, &err), 0);
	assert_json(get(answer, "why"),
		    "\"night/1 failed because train failed in attempt 2: exit code 3; the last line of"
		    " its log is \\\"ValueError: bad\\\"\"");
	assert_json(get(answer, "next"), "\"stoker run --resume night/1\"");
	arena_fini(&arena);
}

/* --- speed ---------------------------------------------------------------------------------------------- */

/* No list walks through a table to find its rows, and none sorts what it has not yet limited. */
static void every_list_is_found_by_an_index(void **state)
{
	static const enum store_statement lists[] = {
		STMT_view_run,
		STMT_view_runs,
		STMT_view_runs_in_state,
		STMT_view_runs_of_dag,
		STMT_view_runs_of_dag_in_state,
		STMT_view_task_names,
		STMT_view_task_state,
		STMT_view_dag_text,
		STMT_view_tasks,
		STMT_view_attempts,
		STMT_view_attempt,
		STMT_view_checkpoints,
		STMT_view_last_event,
		STMT_view_events,
		STMT_view_events_of_run,
		STMT_view_events_latest_of_run,
		STMT_load_outputs,
	};
	static const char *const walks[] = { "SCAN run",    "SCAN task",   "SCAN attempt", "SCAN checkpoint",
					     "SCAN metric", "SCAN output", "SCAN event",   "SCAN dag" };

	(void)state;
	for (size_t i = 0; i < COUNT_OF(lists); i++) {
		const char *sql = sqlite3_sql(store_statement(store, lists[i]));
		autofree char *explain = mem_printf("EXPLAIN QUERY PLAN %s", sql);
		autobuf struct buf plan = { 0 };
		sqlite3_stmt *stmt = NULL;

		assert_int_equal(sqlite3_prepare_v2(store->db, explain, -1, &stmt, NULL), SQLITE_OK);
		while (sqlite3_step(stmt) == SQLITE_ROW)
			buf_printf(&plan, "%s\n", (const char *)sqlite3_column_text(stmt, 3));
		sqlite3_finalize(stmt);
		for (size_t k = 0; k < COUNT_OF(walks); k++)
			if (strstr(buf_text(&plan), walks[k]) != NULL)
				fail_msg("%s\n%s", sql, buf_text(&plan));
		if (strstr(sql, "FROM (") == NULL && strstr(buf_text(&plan), "TEMP B-TREE") != NULL)
			fail_msg("%s\n%s", sql, buf_text(&plan));
	}
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(runs_come_newest_first_and_page_by_page),
		TEST(runs_are_found_by_dag_and_state),
		TEST(what_is_not_there_is_refused_with_a_suggestion),
		TEST(names_lead_to_rows),
		TEST(status_tells_what_is_active_and_what_was),
		TEST(a_run_is_told_whole),
		TEST(a_run_that_is_not_there_leaves_the_answer_alone),
		TEST(an_attempt_is_found_by_number_or_as_the_latest),
		TEST(the_ledger_is_told_in_its_order),
		TEST(events_are_told_oldest_first),
		TEST(why_is_answered_from_what_is_stored),
		TEST(pools_are_told_with_their_holders_and_those_who_wait),
		TEST(why_names_the_holder_of_a_pool_in_another_run),
		TEST(limits_are_written_when_they_change),
		TEST(holders_and_waiting_have_indexes_of_their_own),
		cmocka_unit_test_setup_teardown(a_run_without_a_living_driver_is_orphaned, set_up_home,
						tear_down_home),
		cmocka_unit_test_setup_teardown(the_last_words_are_those_of_the_last_attempt, set_up_home,
						tear_down_home),
		TEST(every_list_is_found_by_an_index),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
