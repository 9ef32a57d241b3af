#include "dag/dag.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "common/buf.h"
#include "common/err.h"
#include "common/scope.h"
#include "dag/diagnostic.h"

static const char *const only_step = "steps: {a: {run: x}}\n";

/* The DAG of a text that has no mistake. */
static struct dag *parsed(const char *text)
{
	autodiagnostics struct diagnostics diagnostics;
	struct dag *dag = NULL;

	diagnostics_init(&diagnostics);
	if (dag_parse("/dags/x.yaml", text, strlen(text), &dag, &diagnostics) < 0)
		fail_msg("line %u: %s", diagnostics.items[0].at.line, diagnostics.items[0].message);
	assert_int_equal(diagnostics.errors, 0);
	return dag;
}

static struct dag *loaded(const char *name)
{
	autodiagnostics struct diagnostics diagnostics;
	const char *source = getenv("STOKER_SOURCE");
	struct dag *dag = NULL;
	char path[4096];

	diagnostics_init(&diagnostics);
	snprintf(path, sizeof path, "%s/tests/e2e/good/%s", source == NULL ? "." : source, name);
	if (dag_load(path, &dag, &diagnostics) < 0)
		fail_msg("%s: %s", path, diagnostics.items[0].message);
	return dag;
}

/* That a text is refused with one error, whose message holds `words`. */
static void assert_refused(const char *text, const char *words)
{
	autodiagnostics struct diagnostics diagnostics;
	struct dag *dag = NULL;

	diagnostics_init(&diagnostics);
	assert_true(dag_parse("x.yaml", text, strlen(text), &dag, &diagnostics) < 0);
	assert_null(dag);
	assert_int_equal(diagnostics.errors, 1);
	if (strstr(diagnostics.items[0].message, words) == NULL)
		fail_msg("'%s' does not hold '%s'", diagnostics.items[0].message, words);
}

static void what_is_not_said_has_its_default(void **state)
{
	autodag struct dag *dag = parsed(only_step);
	const struct dag_step *step = &dag->steps[0];

	(void)state;
	assert_string_equal(dag->name, "x");
	assert_string_equal(dag->path, "/dags/x.yaml");
	assert_string_equal(dag->dir, "/dags");
	assert_string_equal(dag->text, only_step);
	assert_int_equal(dag->text_bytes, strlen(only_step));
	assert_int_equal(dag->concurrency, 8);
	assert_int_equal(dag->max_active_runs, 1);
	assert_int_equal(dag->priority, 0);
	assert_int_equal(dag->expect_by_minute, -1);
	assert_null(dag->source);
	assert_null(dag->workdir);
	assert_true(step->shell);
	assert_int_equal(step->argc, 1);
	assert_string_equal(step->argv[0], "x");
	assert_null(step->argv[1]);
	assert_int_equal(step->retry.max, 0);
	assert_int_equal(step->retry.backoff_ms, 30000);
	assert_int_equal(step->retry.max_backoff_ms, 600000);
	assert_int_equal(step->timeout_ms, 0);
	assert_int_equal(step->stall_ms, 0);
	assert_int_equal(step->grace_ms, 30000);
	assert_int_equal(step->move_after_ms, 0);
	assert_int_equal(step->log_max_bytes, INT64_C(1) << 30);
	assert_false(step->checkpoint.declared);
	assert_int_equal(step->checkpoint.keep, 3);
	assert_int_equal(step->checkpoint.settle_ms, 5000);
	assert_int_equal(step->checkpoint.resume, DAG_RESUME_PREFERRED);
	assert_int_equal(step->resources.cpus_milli, 0);
	assert_null(step->worker);
	assert_null(step->pool);
	assert_int_equal(step->at.line, 1);
	assert_int_equal(step->at.column, 9);
	assert_int_equal(step->run_at.column, 18);
}

static void every_key_of_the_file_arrives(void **state)
{
	autodag struct dag *dag = loaded("everything.yaml");

	(void)state;
	assert_string_equal(dag->name, "every.thing_1-a");
	assert_string_equal(dag->description, "each key once");
	assert_string_equal(dag->source, "training");
	assert_string_equal(dag->workdir, "/srv/${{ run.dag }}");
	assert_string_equal(dag->pool, "nights");
	assert_int_equal(dag->concurrency, 4);
	assert_int_equal(dag->max_active_runs, 2);
	assert_int_equal(dag->priority, -5);
	assert_int_equal(dag->expect_by_minute, 7 * 60);
	assert_int_equal(dag->after_count, 2);
	assert_string_equal(dag->after[0].dag, "extract");
	assert_int_equal(dag->after[0].state, DAG_AFTER_ENDED);
	assert_int_equal(dag->after[0].within_ms, 6 * 3600 * 1000);
	assert_int_equal(dag->after[1].state, DAG_AFTER_SUCCEEDED);
	assert_int_equal(dag->notify_count, 4);
	assert_int_equal(dag->notify[0].on, DAG_ON_SUCCEEDED | DAG_ON_FAILED | DAG_ON_CANCELED | DAG_ON_LATE);
	assert_string_equal(dag->notify[0].webhook, "https://chat.example.org/hooks/42");
	assert_int_equal(dag->notify[1].on, DAG_ON_FAILED);
	assert_non_null(dag->notify[1].run);
	assert_int_equal(dag->notify[2].on, DAG_ON_RECOVERED | DAG_ON_MISSED);
	assert_int_equal(dag->notify[2].mail_count, 2);
	assert_string_equal(dag->notify[2].mail[0], "ops@example.org");
	assert_int_equal(dag->notify[3].format, DAG_NOTIFY_SLACK);
	assert_string_equal(dag->notify[3].secret.env, "HOOK_SECRET");
	assert_int_equal(dag->notify[3].headers_count, 2);
	assert_string_equal(dag->notify[3].headers[0].value.file, "~/.secrets/hook");
	assert_string_equal(dag->notify[3].headers[1].value.text, "ml");
}

static void each_cron_line_is_a_schedule(void **state)
{
	autodag struct dag *dag = loaded("everything.yaml");

	(void)state;
	assert_int_equal(dag->schedules_count, 4);
	assert_string_equal(dag->schedules[0].cron, "30 2 * * mon-fri");
	assert_string_equal(dag->schedules[1].cron, "0 6 * * sat,sun");
	for (int i = 0; i < 2; i++) {
		assert_string_equal(dag->schedules[i].timezone, "UTC");
		assert_int_equal(dag->schedules[i].catchup, DAG_CATCHUP_ALL);
		assert_int_equal(dag->schedules[i].overlap, DAG_OVERLAP_QUEUE);
		assert_int_equal(dag->schedules[i].start_deadline_ms, 2 * 3600 * 1000);
		assert_int_equal(dag->schedules[i].jitter_ms, 300 * 1000);
		assert_string_equal(dag->schedules[i].from, "2026-12-01");
		assert_string_equal(dag->schedules[i].until, "2027-01-31T00:00:00Z");
	}
	assert_int_equal(dag->schedules[2].catchup, DAG_CATCHUP_NONE);
	assert_int_equal(dag->schedules[2].overlap, DAG_OVERLAP_REPLACE);
	assert_string_equal(dag->schedules[3].cron, "@weekly");
	assert_int_equal(dag->schedules[3].catchup, DAG_CATCHUP_LATEST);
	assert_int_equal(dag->schedules[3].overlap, DAG_OVERLAP_SKIP);
	assert_null(dag->schedules[3].timezone);
}

static void params_have_types_ranges_and_canonical_defaults(void **state)
{
	static const struct {
		const char *name;
		enum dag_param_type type;
		const char *fallback;
	} expected[] = {
		{ "text", DAG_PARAM_STRING, "some words" },
		{ "quoted", DAG_PARAM_STRING, "012" },
		{ "count", DAG_PARAM_INT, "3" },
		{ "rate", DAG_PARAM_FLOAT, "1e-3" },
		{ "flag", DAG_PARAM_BOOL, "true" },
		{ "size", DAG_PARAM_STRING, "small" },
		{ "epochs", DAG_PARAM_INT, "20" },
		{ "ratio", DAG_PARAM_FLOAT, "1" },
		{ "day", DAG_PARAM_STRING, "today" },
	};
	autodag struct dag *dag = loaded("everything.yaml");

	(void)state;
	assert_int_equal(dag->params_count, COUNT_OF(expected));
	for (size_t i = 0; i < COUNT_OF(expected); i++) {
		assert_string_equal(dag->params[i].name, expected[i].name);
		assert_int_equal(dag->params[i].type, expected[i].type);
		assert_string_equal(dag->params[i].fallback, expected[i].fallback);
		assert_ptr_equal(dag_find_param(dag, expected[i].name), &dag->params[i]);
	}
	assert_int_equal(dag->params[5].choices_count, 2);
	assert_string_equal(dag->params[5].choices[1], "large");
	assert_string_equal(dag->params[5].description, "how large");
	assert_true(dag->params[6].has_min && dag->params[6].has_max);
	assert_true(dag->params[6].min == 1 && dag->params[6].max == 500);
	assert_false(dag->params[0].has_min);
	assert_null(dag_find_param(dag, "nothing"));
}

static void env_keeps_the_exact_text(void **state)
{
	static const char *const expected[][2] = {
		{ "NO", "no" },     { "VERSION", "1.10" },
		{ "OCTAL", "012" }, { "TIME", "1:30" },
		{ "EMPTY", "" },    { "RATE", "${{ params.rate }} of ${{ params.text }}" },
	};
	autodag struct dag *dag = loaded("everything.yaml");

	(void)state;
	assert_int_equal(dag->env_count, COUNT_OF(expected));
	for (size_t i = 0; i < COUNT_OF(expected); i++) {
		assert_string_equal(dag->env[i].name, expected[i][0]);
		assert_string_equal(dag->env[i].value, expected[i][1]);
	}
}

static void steps_keep_the_order_of_the_file(void **state)
{
	static const char *const names[] = { "extract", "train", "evaluate", "007" };
	autodag struct dag *dag = loaded("everything.yaml");

	(void)state;
	assert_int_equal(dag->steps_count, COUNT_OF(names));
	for (size_t i = 0; i < COUNT_OF(names); i++) {
		assert_string_equal(dag->steps[i].name, names[i]);
		assert_int_equal(dag->steps[i].index, i);
		assert_int_equal(dag->order[i], i);
		assert_ptr_equal(dag_find_step(dag, names[i]), &dag->steps[i]);
	}
	assert_null(dag_find_step(dag, "nothing"));
	assert_int_equal(dag->steps[3].needs_count, 2);
	assert_int_equal(dag->steps[3].needs[0], 2);
	assert_int_equal(dag->steps[3].needs[1], 0);
	assert_int_equal(dag->steps[0].dependents_count, 2);
	assert_int_equal(dag->steps[0].dependents[1], 3);
}

static void steps_refine_the_defaults_member_by_member(void **state)
{
	autodag struct dag *dag = loaded("everything.yaml");
	const struct dag_step *extract = &dag->steps[0], *train = &dag->steps[1], *evaluate = &dag->steps[2];

	(void)state;
	assert_int_equal(extract->retry.max, 2);
	assert_int_equal(extract->retry.backoff_ms, 10000);
	assert_int_equal(extract->timeout_ms, 0);
	assert_string_equal(extract->worker, "cpu");
	assert_string_equal(extract->pool, "gpus");
	assert_string_equal(extract->workdir, "/tmp");
	assert_false(extract->checkpoint.declared);
	assert_int_equal(extract->log_max_bytes, 65536);
	assert_int_equal(extract->artifacts_count, 2);
	assert_string_equal(extract->artifacts[1], "reports/day one");

	assert_int_equal(train->retry.max, 5);
	assert_int_equal(train->retry.max_backoff_ms, 300000);
	assert_int_equal(train->timeout_ms, 2 * 3600 * 1000);
	assert_int_equal(train->stall_ms, 90 * 60 * 1000);
	assert_int_equal(train->grace_ms, 60000);
	assert_int_equal(train->move_after_ms, 600000);
	assert_string_equal(train->worker, "gpu");
	assert_true(train->checkpoint.declared && train->checkpoint.copy);
	assert_string_equal(train->checkpoint.dir, "out/checkpoints");
	assert_int_equal(train->checkpoint.keep, 0);
	assert_int_equal(train->checkpoint.settle_ms, 2000);
	assert_int_equal(train->checkpoint.resume, DAG_RESUME_REQUIRED);
	assert_int_equal(train->resources.cpus_milli, 8000);
	assert_int_equal(train->resources.memory_bytes, INT64_C(16) << 30);
	assert_int_equal(train->resources.gpus, 1);

	assert_int_equal(evaluate->retry.max, 0);
	assert_int_equal(evaluate->retry.backoff_ms, 1000);
	assert_int_equal(evaluate->retry.max_backoff_ms, 300000);
	assert_true(evaluate->checkpoint.declared);
	assert_int_equal(evaluate->checkpoint.keep, 5);
	assert_int_equal(evaluate->resources.cpus_milli, 500);
	assert_string_equal(evaluate->pool, "single");
	assert_false(evaluate->shell);
	assert_int_equal(evaluate->argc, 4);
	assert_string_equal(evaluate->argv[2], "${{ params.text }}");
	assert_null(evaluate->argv[4]);
}

static void own_env_replaces_that_of_defaults_by_name(void **state)
{
	autodag struct dag *dag = loaded("everything.yaml");
	const struct dag_step *extract = &dag->steps[0], *train = &dag->steps[1];

	(void)state;
	assert_int_equal(extract->env_count, 2);
	assert_string_equal(extract->env[1].value, "${{ params.size }}");
	assert_int_equal(train->env_count, 3);
	assert_string_equal(train->env[0].name, "OMP_NUM_THREADS");
	assert_string_equal(train->env[1].name, "LEVEL");
	assert_string_equal(train->env[1].value, "high");
	assert_string_equal(train->env[2].name, "ROWS");
}

static void backoffs_follow_each_other(void **state)
{
	autodag struct dag *dag = parsed("steps:\n"
					 "  a: {run: x, retry: {max: 1, backoff: 1h}}\n"
					 "  b: {run: x, retry: {max: 1, max_backoff: 5s}}\n");

	(void)state;
	assert_int_equal(dag->steps[0].retry.max_backoff_ms, 3600 * 1000);
	assert_int_equal(dag->steps[1].retry.backoff_ms, 5000);
}

static void anchors_and_merges_share_what_they_name(void **state)
{
	autodag struct dag *dag = loaded("anchors.yaml");

	(void)state;
	assert_ptr_equal(dag->steps[0].argv[0], dag->steps[1].argv[0]);
	assert_int_equal(dag->steps[1].retry.max, 5);
	assert_string_equal(dag->steps[1].worker, "gpu");
	assert_int_equal(dag->steps[1].timeout_ms, 3600 * 1000);
	assert_int_equal(dag->steps[1].env_count, 2);
}

static void digest_is_that_of_the_text(void **state)
{
	autodag struct dag *dag = parsed("steps: {a: {run: x}}\n");
	autodag struct dag *other = parsed("steps: {a: {run: y}}\n");

	(void)state;
	assert_int_equal(strlen(dag->digest), 64);
	assert_string_not_equal(dag->digest, other->digest);
	/* printf 'steps: {a: {run: x}}\n' | sha256sum */
	assert_string_equal(dag->digest, "8c8af05814a7960ff8aca00c7aabdc36f6378bbc2914e016fef79f1bb1f5570e");
}

static void loading_resolves_the_path_and_names_the_dag(void **state)
{
	char folder[] = "/tmp/stoker-test-XXXXXX", file[256], link[256];
	autodiagnostics struct diagnostics diagnostics;
	autodag struct dag *dag = NULL;
	autofree char *real = NULL;
	FILE *out;

	(void)state;
	diagnostics_init(&diagnostics);
	assert_non_null(mkdtemp(folder));
	snprintf(file, sizeof file, "%s/night.yml", folder);
	snprintf(link, sizeof link, "%s/other.yaml", folder);
	out = fopen(file, "we");
	assert_non_null(out);
	fputs(only_step, out);
	fclose(out);
	assert_int_equal(symlink("night.yml", link), 0);
	real = realpath(file, NULL);

	assert_int_equal(dag_load(link, &dag, &diagnostics), 0);
	assert_string_equal(dag->path, real);
	assert_int_equal(strlen(dag->dir), strlen(real) - strlen("/night.yml"));
	assert_string_equal(dag->name, "night"); /* As when a stored version is parsed with dag->path. */
	unlink(link);
	unlink(file);
	rmdir(folder);
}

static void assert_not_loaded(const char *path, int code, const char *words)
{
	autodiagnostics struct diagnostics diagnostics;
	struct dag *dag = NULL;

	diagnostics_init(&diagnostics);
	assert_int_equal(dag_load(path, &dag, &diagnostics), code);
	assert_null(dag);
	assert_int_equal(diagnostics.errors, 1);
	assert_string_equal(diagnostics.items[0].path, path);
	assert_int_equal(diagnostics.items[0].at.line, 0);
	if (strstr(diagnostics.items[0].message, words) == NULL)
		fail_msg("%s", diagnostics.items[0].message);
}

static void what_is_no_file_of_a_sensible_size_is_not_read(void **state)
{
	char folder[] = "/tmp/stoker-test-XXXXXX", path[256];
	FILE *out;

	(void)state;
	assert_non_null(mkdtemp(folder));
	assert_not_loaded("/nowhere/at/all.yaml", ERR_NOT_FOUND, "cannot be opened: No such file");
	assert_not_loaded(folder, ERR_INVALID, "no regular file");
	snprintf(path, sizeof path, "%s/pipe.yaml", folder);
	assert_int_equal(mkfifo(path, 0600), 0);
	assert_not_loaded(path, ERR_INVALID, "no regular file");
	unlink(path);
	snprintf(path, sizeof path, "%s/big.yaml", folder);
	out = fopen(path, "we");
	assert_non_null(out);
	assert_int_equal(ftruncate(fileno(out), INT64_C(10) << 30), 0);
	fclose(out);
	assert_not_loaded(path, ERR_LIMIT, "the file has 10737418240 bytes, more than 1048576");
	unlink(path);
	rmdir(folder);
}

static void text_past_the_limit_is_refused(void **state)
{
	autofree char *text = malloc(DAG_FILE_BYTES_MAX + 2);

	(void)state;
	assert_non_null(text);
	memset(text, '#', DAG_FILE_BYTES_MAX + 1);
	text[DAG_FILE_BYTES_MAX + 1] = '\0';
	assert_refused(text, "more than 1048576");
}

static char *many_steps(int count)
{
	struct buf text = { 0 };

	buf_append_text(&text, "steps:\n");
	for (int i = 0; i < count; i++)
		buf_printf(&text, " s%d: {run: x}\n", i);
	return buf_take(&text);
}

static void twenty_thousand_steps_are_the_most(void **state)
{
	autofree char *most = many_steps(DAG_STEPS_MAX), *more = many_steps(DAG_STEPS_MAX + 1);
	autodag struct dag *dag = parsed(most);

	(void)state;
	assert_int_equal(dag->steps_count, DAG_STEPS_MAX);
	assert_string_equal(dag_find_step(dag, "s19999")->name, "s19999");
	assert_refused(more, "20001 steps are more than 20000");
}

static void env_of_defaults_cannot_be_multiplied(void **state)
{
	struct buf text = { 0 };

	(void)state;
	buf_append_text(&text, "defaults:\n  env:\n");
	for (int i = 0; i < 1000; i++)
		buf_printf(&text, "    V%d: 1\n", i);
	buf_append_text(&text, "steps:\n");
	for (int i = 0; i < 1000; i++)
		buf_printf(&text, "  s%d: {run: x, env: {A: 1}}\n", i);
	assert_refused(buf_text(&text), "all steps together have more than 200000 variables");
	buf_fini(&text);
}

static void references_of_an_alias_cannot_be_multiplied(void **state)
{
	struct buf text = { 0 };

	(void)state;
	buf_append_text(&text, "x-script: &s |\n");
	for (int i = 0; i < 2000; i++)
		buf_append_text(&text, "  ${{ run.name }}\n");
	buf_append_text(&text, "steps:\n");
	for (int i = 0; i < 100; i++)
		buf_printf(&text, "  s%d: {run: *s}\n", i);
	assert_refused(buf_text(&text), "more than 100000 references");
	buf_fini(&text);
}

static void outputs_may_come_from_any_step_before(void **state)
{
	autodag struct dag *dag = parsed("steps:\n"
					 "  c: {needs: [b], run: \"echo ${{ steps.a.outputs.x }}\"}\n"
					 "  b: {needs: [a], run: x}\n"
					 "  a: {run: x}\n");

	(void)state;
	assert_int_equal(dag->order[0], 2);
	assert_int_equal(dag->order[2], 0);
	assert_refused("steps:\n"
		       "  a: {run: x}\n"
		       "  b: {needs: [a], run: x}\n"
		       "  c: {needs: [a], run: \"echo ${{ steps.b.outputs.x }}\"}\n",
		       "step 'c' uses an output of 'b' but does not need it");
}

static void circle_leaves_the_question_of_outputs_open(void **state)
{
	(void)state;
	assert_refused("steps:\n"
		       "  a: {needs: [b], run: x}\n"
		       "  b: {needs: [a], run: x}\n"
		       "  c: {run: \"echo ${{ steps.a.outputs.x }}\"}\n",
		       "in a circle: a -> b -> a");
}

static void unsafe_default_is_fine_outside_a_script(void **state)
{
	autodag struct dag *dag =
	    parsed("params: {note: \"it's; fine\"}\n"
		   "env: {NOTE: \"${{ params.note }}\"}\n"
		   "steps: {a: {run: [echo, \"${{ params.note }}\"], workdir: \"/x/${{ params.note }}\"}}\n");

	(void)state;
	assert_string_equal(dag->params[0].fallback, "it's; fine");
	assert_refused("params: {note: \"it's; fine\"}\nsteps: {a: {run: \"echo ${{ params.note }}\"}}\n",
		       "'it's; fine' of parameter 'note' is not safe in a shell script");
}

static void overlong_script_is_refused(void **state)
{
	struct buf text = { 0 };

	(void)state;
	buf_append_text(&text, "steps: {a: {run: \"");
	for (int i = 0; i < DAG_SCRIPT_BYTES_MAX + 1; i++)
		buf_append_byte(&text, 'x');
	buf_append_text(&text, "\"}}\n");
	assert_refused(buf_text(&text), "'run' is longer than 102400 bytes");
	buf_fini(&text);
}

static void mistakes_of_earlier_files_are_not_ours(void **state)
{
	autodiagnostics struct diagnostics diagnostics;
	autodag struct dag *dag = NULL;

	(void)state;
	diagnostics_init(&diagnostics);
	assert_true(dag_parse("one.yaml", "x", 1, &dag, &diagnostics) < 0);
	assert_int_equal(dag_parse("two.yaml", only_step, strlen(only_step), &dag, &diagnostics), 0);
	assert_int_equal(diagnostics.errors, 1);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(what_is_not_said_has_its_default),
		cmocka_unit_test(every_key_of_the_file_arrives),
		cmocka_unit_test(each_cron_line_is_a_schedule),
		cmocka_unit_test(params_have_types_ranges_and_canonical_defaults),
		cmocka_unit_test(env_keeps_the_exact_text),
		cmocka_unit_test(steps_keep_the_order_of_the_file),
		cmocka_unit_test(steps_refine_the_defaults_member_by_member),
		cmocka_unit_test(own_env_replaces_that_of_defaults_by_name),
		cmocka_unit_test(backoffs_follow_each_other),
		cmocka_unit_test(anchors_and_merges_share_what_they_name),
		cmocka_unit_test(digest_is_that_of_the_text),
		cmocka_unit_test(loading_resolves_the_path_and_names_the_dag),
		cmocka_unit_test(what_is_no_file_of_a_sensible_size_is_not_read),
		cmocka_unit_test(text_past_the_limit_is_refused),
		cmocka_unit_test(twenty_thousand_steps_are_the_most),
		cmocka_unit_test(env_of_defaults_cannot_be_multiplied),
		cmocka_unit_test(references_of_an_alias_cannot_be_multiplied),
		cmocka_unit_test(outputs_may_come_from_any_step_before),
		cmocka_unit_test(circle_leaves_the_question_of_outputs_open),
		cmocka_unit_test(unsafe_default_is_fine_outside_a_script),
		cmocka_unit_test(overlong_script_is_refused),
		cmocka_unit_test(mistakes_of_earlier_files_are_not_ours),
	};

	return cmocka_run_group_tests_name("dag", tests, NULL, NULL);
}
