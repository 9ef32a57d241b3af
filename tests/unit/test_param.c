#include "dag/param.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "common/scope.h"
#include "dag/diagnostic.h"

static const char file[] = "params:\n"
			   "  lr: 0.01\n"
			   "  epochs: {type: int, default: 20, min: 1, max: 500}\n"
			   "  mode: {default: fast, enum: [fast, slow]}\n"
			   "  note: {type: string, required: true}\n"
			   "  dry-run: false\n"
			   "  rate: {type: float, default: 0.5, enum: [0.5, 0.001]}\n"
			   "steps: {a: {run: x}}\n";

struct fixture {
	struct dag *dag;
	struct arena arena;
	struct err err;
};

static int setup(void **state)
{
	static struct fixture fixture;
	autodiagnostics struct diagnostics diagnostics;

	diagnostics_init(&diagnostics);
	if (dag_parse("p.yaml", file, strlen(file), &fixture.dag, &diagnostics) < 0)
		return -1;
	arena_init(&fixture.arena);
	*state = &fixture;
	return 0;
}

static int teardown(void **state)
{
	struct fixture *fixture = *state;

	dag_free(fixture->dag);
	arena_fini(&fixture->arena);
	return 0;
}

static void assert_value(struct fixture *fixture, const char *name, const char *text, const char *expected)
{
	const char *value;

	if (param_check(dag_find_param(fixture->dag, name), text, &fixture->arena, &value, &fixture->err) < 0)
		fail_msg("%s", fixture->err.text);
	assert_string_equal(value, expected);
}

static void assert_refused(struct fixture *fixture, const char *name, const char *text, const char *words)
{
	const char *value = "untouched";

	assert_true(param_check(dag_find_param(fixture->dag, name), text, &fixture->arena, &value,
				&fixture->err) < 0);
	assert_string_equal(value, "untouched");
	if (strstr(fixture->err.text, words) == NULL || strstr(fixture->err.text, name) == NULL)
		fail_msg("%s=%s: %s", name, text, fixture->err.text);
}

static void values_are_canonical(void **state)
{
	assert_value(*state, "epochs", "7", "7");
	assert_value(*state, "lr", "1e-3", "1e-3");
	assert_value(*state, "lr", "3", "3");
	assert_value(*state, "dry-run", "True", "true");
	assert_value(*state, "mode", "slow", "slow");
	assert_value(*state, "rate", "1e-3", "1e-3");
	assert_value(*state, "note", "it's \"fine\" $HOME", "it's \"fine\" $HOME");
	assert_value(*state, "note", "", "");
}

static void values_of_another_type_are_refused(void **state)
{
	assert_refused(*state, "epochs", "020", "a whole number, not '020'");
	assert_refused(*state, "epochs", " 7", "a whole number");
	assert_refused(*state, "epochs", "7.0", "a whole number");
	assert_refused(*state, "epochs", "", "a whole number");
	assert_refused(*state, "lr", "fast", "a number, not 'fast'");
	assert_refused(*state, "lr", "nan", "a number");
	assert_refused(*state, "lr", "1e999", "a number");
	assert_refused(*state, "lr", "0x10", "only plain decimal numbers");
	assert_refused(*state, "dry-run", "yes", "true or false");
	assert_refused(*state, "dry-run", "1", "true or false");
	assert_refused(*state, "note", "\xff", "UTF-8");
}

static void range_and_choices_hold(void **state)
{
	assert_refused(*state, "epochs", "0", "from 1 to 500, not 0");
	assert_refused(*state, "epochs", "501", "from 1 to 500");
	assert_refused(*state, "mode", "flow", "one of fast, slow, not 'flow'; did you mean 'slow'?");
	assert_refused(*state, "mode", "", "one of fast, slow");
	assert_refused(*state, "rate", "0.7", "one of 0.5, 0.001");
}

static void overlong_values_are_refused(void **state)
{
	static char value[64 * 1024];

	memset(value, 'x', sizeof value - 1);
	assert_refused(*state, "note", value, "longer than 32768 bytes");
}

static void binding_fills_in_defaults_in_order(void **state)
{
	static const char *const assignments[] = { "note=a=b", "epochs=3" };
	struct fixture *fixture = *state;
	const char **values;

	assert_int_equal(param_bind(fixture->dag, assignments, 2, &fixture->arena, &values, &fixture->err),
			 0);
	assert_string_equal(values[0], "0.01");
	assert_string_equal(values[1], "3");
	assert_string_equal(values[2], "fast");
	assert_string_equal(values[3], "a=b");
	assert_string_equal(values[4], "false");
}

static void assert_bind_refused(struct fixture *fixture, const char *first, const char *second, int code,
				const char *words)
{
	const char *const assignments[] = { first, second };
	const char **values = NULL;

	assert_int_equal(param_bind(fixture->dag, assignments, second == NULL ? 1 : 2, &fixture->arena,
				    &values, &fixture->err),
			 code);
	assert_null(values);
	if (strstr(fixture->err.text, words) == NULL)
		fail_msg("%s", fixture->err.text);
}

static void wrong_assignments_are_refused(void **state)
{
	assert_bind_refused(*state, "note=x", "epoch=3", ERR_NOT_FOUND, "did you mean 'epochs'?");
	assert_bind_refused(*state, "note=x", "zzzzzz=3", ERR_NOT_FOUND, "has no parameter 'zzzzzz'");
	assert_bind_refused(*state, "note=x", "note=y", ERR_INVALID, "given twice");
	assert_bind_refused(*state, "note", NULL, ERR_INVALID, "write NAME=VALUE");
	assert_bind_refused(*state, "=x", NULL, ERR_INVALID, "write NAME=VALUE");
	assert_bind_refused(*state, "lr=1", NULL, ERR_INVALID, "'note' has no default");
}

/* Knows three parameters. */
static const char *look_up(void *context, const char *name, const char **variable_out)
{
	*(int *)context += 1;
	if (strcmp(name, "params.lr") == 0)
		return "0.01";
	if (strcmp(name, "params.evil") == 0) {
		*variable_out = "STOKER_PARAM_EVIL";
		return "$(rm -rf /)";
	}
	return strcmp(name, "params.empty") == 0 ? "" : NULL;
}

static void assert_expands(const char *text, enum param_context in, const char *expected)
{
	autobuf struct buf out = { 0 };
	struct err err;
	int calls = 0;

	if (param_expand(text, in, look_up, &calls, &out, &err) < 0)
		fail_msg("%s", err.text);
	assert_string_equal(buf_text(&out), expected);
}

static void references_are_replaced(void **state)
{
	(void)state;
	assert_expands("a --lr ${{ params.lr }} ${{params.lr}}", PARAM_IN_SCRIPT, "a --lr 0.01 0.01");
	assert_expands("${{ params.evil }}", PARAM_IN_WORD, "$(rm -rf /)");
	assert_expands("[${{ params.empty }}]", PARAM_IN_SCRIPT, "[]");
	assert_expands("$${{ params.lr }} $HOME ${X}", PARAM_IN_SCRIPT, "${{ params.lr }} $HOME ${X}");
	assert_expands("", PARAM_IN_SCRIPT, "");
}

static void what_is_put_in_is_not_looked_at_again(void **state)
{
	(void)state;
	assert_expands("$${{ ${{ params.lr }} }}", PARAM_IN_SCRIPT, "${{ 0.01 }}");
}

static void assert_expand_fails(const char *text, const char *words)
{
	autobuf struct buf out = { 0 };
	struct err err;
	int calls = 0;

	assert_true(param_expand(text, PARAM_IN_SCRIPT, look_up, &calls, &out, &err) < 0);
	if (strstr(err.text, words) == NULL)
		fail_msg("'%s': %s", text, err.text);
}

static void unsafe_values_point_at_the_variable(void **state)
{
	(void)state;
	assert_expand_fails("echo ${{ params.evil }}", "\"$STOKER_PARAM_EVIL\"");
	assert_expand_fails("echo ${{ params.evil }}", "holds '$'");
	assert_expand_fails("echo ${{ params.no }}", "${{ params.no }} has no value");
	assert_expand_fails("echo ${{ params.lr", "without '}}'");
}

static void safe_characters_are_those_of_the_contract(void **state)
{
	static const char safe[] = "abcxyzABCXYZ0123456789_./:=@%+,-";

	(void)state;
	for (int c = 1; c < 256; c++) {
		char value[2] = { (char)c, '\0' };

		assert_int_equal(param_unsafe(value) == NULL,
				 strchr(safe, c) != NULL || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z'));
	}
	assert_null(param_unsafe(""));
}

static void limit_of_the_buffer_is_an_error(void **state)
{
	autobuf struct buf out = { .limit_bytes = 5 };
	struct err err;
	int calls = 0;

	(void)state;
	assert_int_equal(param_expand("0123456789", PARAM_IN_WORD, look_up, &calls, &out, &err), ERR_LIMIT);
}

static void variables_are_upper_case(void **state)
{
	struct fixture *fixture = *state;

	assert_string_equal(param_variable(&fixture->arena, "dry-run2"), "STOKER_PARAM_DRY_RUN2");
	assert_true(param_has_reference("a ${{ x }}"));
	assert_false(param_has_reference("a ${x}"));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(values_are_canonical),
		cmocka_unit_test(values_of_another_type_are_refused),
		cmocka_unit_test(range_and_choices_hold),
		cmocka_unit_test(overlong_values_are_refused),
		cmocka_unit_test(binding_fills_in_defaults_in_order),
		cmocka_unit_test(wrong_assignments_are_refused),
		cmocka_unit_test(references_are_replaced),
		cmocka_unit_test(what_is_put_in_is_not_looked_at_again),
		cmocka_unit_test(unsafe_values_point_at_the_variable),
		cmocka_unit_test(safe_characters_are_those_of_the_contract),
		cmocka_unit_test(limit_of_the_buffer_is_an_error),
		cmocka_unit_test(variables_are_upper_case),
	};

	return cmocka_run_group_tests_name("param", tests, setup, teardown);
}
