/*
 * Whether a DAG can run with the settings at hand.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "scheduler/fitness.h"
#include "tests/unit/run_fixture.h"

static const char *const gpu_labels[] = { "gpu" };
static struct settings_worker workers[] = {
	{ .name = "gpu1", .terms = { .labels = gpu_labels, .labels_count = 1, .remote = true } },
	{ .name = "local" },
};
static const struct settings_pool pools[] = { { "database", 1, NULL } };
static const struct settings bare = { .workers = &workers[1], .workers_count = 1 };
static const struct settings full = { .path = "/etc/stoker/stoker.yaml", .workers = workers, .workers_count = 2,
				      .pools = pools, .pools_count = 1 };

static void assert_fits(const struct settings *settings, const char *yaml)
{
	autodag struct dag *dag = fixture_dag(yaml);
	struct err err;

	if (fitness_check(dag, settings, &err) < 0)
		fail_msg("%s", err.text);
}

static void assert_unfit(const struct settings *settings, const char *yaml, const char *expected)
{
	autodag struct dag *dag = fixture_dag(yaml);
	struct err err;

	assert_int_equal(fitness_check(dag, settings, &err), ERR_INVALID);
	assert_string_equal(err.text, expected);
}

static void what_is_there_fits(void **state)
{
	(void)state;
	assert_fits(&bare, "steps: {a: {run: x}}");
	assert_fits(&full, "source: .\nsteps: {a: {run: x, worker: gpu, pool: database}}");
}

static void a_worker_that_nobody_is_is_told_with_the_nearest(void **state)
{
	(void)state;
	assert_unfit(&full, "source: .\nsteps: {a: {run: x, worker: gpu2}}",
		     "step 'a' wants the worker 'gpu2', which no worker is called or labelled; did you mean"
		     " 'gpu1'?");
	assert_unfit(&bare, "source: .\nsteps: {a: {run: x, worker: rack7}}",
		     "step 'a' wants the worker 'rack7', and there is only this machine, called 'local': name"
		     " other machines in ~/.config/stoker/stoker.yaml");
}

static void a_step_elsewhere_needs_a_folder_there(void **state)
{
	(void)state;
	assert_unfit(&full, "steps: {a: {run: x, worker: gpu}}",
		     "step 'a' runs on another machine ('gpu') and has no folder there: add 'source: .' to the"
		     " DAG, or an absolute 'workdir'");
}

static void a_pool_that_nobody_set_up_is_told_with_the_nearest(void **state)
{
	(void)state;
	assert_unfit(&full, "steps: {a: {run: x, pool: databse}}",
		     "step 'a' belongs to the pool 'databse', which the settings do not know; did you mean"
		     " 'database'?");
	assert_unfit(&full, "steps: {a: {run: x, pool: nights}}",
		     "step 'a' belongs to the pool 'nights', which the settings do not know: add"
		     " 'pools: {nights: 1}' to /etc/stoker/stoker.yaml");
	assert_unfit(&bare, "pool: nights\nsteps: {a: {run: x}}",
		     "step 'a' belongs to the pool 'nights', which the settings do not know: add"
		     " 'pools: {nights: 1}' to ~/.config/stoker/stoker.yaml");
}

static void what_this_machine_will_never_have_is_refused(void **state)
{
	autodag struct dag *dag = fixture_dag("steps: {a: {run: x, resources: {cpus: 4000}}}");
	struct err err;

	(void)state;
	assert_int_equal(fitness_check(dag, &full, &err), ERR_INVALID);
	assert_non_null(strstr(err.text, "step 'a' asks for 4000 cpus, this machine has "));
	assert_fits(&full, "source: .\nsteps: {a: {run: x, resources: {cpus: 1000}}}"); /* gpu1 may have them */
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(what_is_there_fits),
		cmocka_unit_test(a_worker_that_nobody_is_is_told_with_the_nearest),
		cmocka_unit_test(a_step_elsewhere_needs_a_folder_there),
		cmocka_unit_test(a_pool_that_nobody_set_up_is_told_with_the_nearest),
		cmocka_unit_test(what_this_machine_will_never_have_is_refused),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
