#include "dag/reference.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "common/scope.h"

static void references_are_found_one_after_the_other(void **state)
{
	static const char text[] = "a ${{ params.lr }} $${{ x }} ${{run.name}}";
	struct reference reference;
	struct err err;

	(void)state;
	assert_int_equal(reference_next(text, 0, &reference, &err), 1);
	assert_int_equal(reference.from, 2);
	assert_int_equal(reference.to, 18);
	assert_string_equal(reference.name, "params.lr");
	assert_int_equal(reference_next(text, reference.to, &reference, &err), 1);
	assert_true(reference.escape);
	assert_int_equal(reference.from, 19);
	assert_int_equal(reference.to, 23);
	assert_int_equal(reference_next(text, reference.to, &reference, &err), 1);
	assert_string_equal(reference.name, "run.name");
	assert_int_equal(reference_next(text, reference.to, &reference, &err), 0);
}

static void shell_and_jinja_braces_are_none(void **state)
{
	struct reference reference;

	(void)state;
	assert_int_equal(reference_next("$HOME ${HOME} {{ x }} $ {{ x }} ${", 0, &reference, NULL), 0);
	assert_int_equal(reference_next("", 0, &reference, NULL), 0);
}

static void broken_references_are_refused(void **state)
{
	char longer[400] = "${{ ";
	struct reference reference;
	struct err err;

	(void)state;
	assert_int_equal(reference_next("x ${{ params.a", 0, &reference, &err), ERR_INVALID);
	assert_non_null(strstr(err.text, "without '}}'"));
	assert_int_equal(reference.from, 2);
	assert_int_equal(reference_next("${{   }}", 0, &reference, &err), ERR_INVALID);
	assert_non_null(strstr(err.text, "nothing is named"));
	assert_int_equal(reference_next("${{}}", 0, &reference, &err), ERR_INVALID);
	assert_int_equal(reference_next("${{}", 0, &reference, &err), ERR_INVALID);
	memset(longer + 4, 'a', 300);
	strcpy(longer + 304, "}}");
	assert_int_equal(reference_next(longer, 0, &reference, &err), ERR_INVALID);
	assert_non_null(strstr(err.text, "more than 255 bytes"));
}

static void names_are_taken_apart(void **state)
{
	struct reference_parts parts;

	(void)state;
	assert_int_equal(reference_split("params.lr-min", &parts, NULL), 0);
	assert_int_equal(parts.kind, REFERENCE_PARAM);
	assert_string_equal(parts.first, "lr-min");
	assert_int_equal(reference_split("steps.train.outputs.loss", &parts, NULL), 0);
	assert_int_equal(parts.kind, REFERENCE_OUTPUT);
	assert_string_equal(parts.first, "train");
	assert_string_equal(parts.second, "loss");
	assert_int_equal(reference_split("steps.v1.outputs.x.outputs.y", &parts, NULL), 0);
	assert_string_equal(parts.first, "v1.outputs.x"); /* A step's name may hold dots. */
	assert_string_equal(parts.second, "y");
	assert_int_equal(reference_split("run.scheduled_for", &parts, NULL), 0);
	assert_int_equal(parts.kind, REFERENCE_RUN);
}

static void wrong_names_say_what_was_meant(void **state)
{
	static const char *const cases[][2] = {
		{ "param.lr", "did you mean 'params.lr'?" },
		{ "lr", "a parameter is written params.lr" },
		{ "secrets.KEY", "there are params.NAME" },
		{ "params.", "names no parameter" },
		{ "params.1x", "no name of a parameter" },
		{ "params.a b", "no name of a parameter" },
		{ "steps.train", "write steps.STEP.outputs.KEY" },
		{ "steps.train.output.x", "write steps.STEP.outputs.KEY" },
		{ "steps..outputs.x", "no name of a step" },
		{ "steps.a.outputs.", "no name of an output" },
		{ "run.nmae", "did you mean 'run.name'?" },
		{ "run.x", "run.scheduled_for" },
		{ "params", "there are params.NAME" },
	};
	struct reference_parts parts;
	struct err err;

	(void)state;
	for (size_t i = 0; i < COUNT_OF(cases); i++) {
		assert_int_equal(reference_split(cases[i][0], &parts, &err), ERR_INVALID);
		if (strstr(err.text, cases[i][1]) == NULL)
			fail_msg("'%s': %s", cases[i][0], err.text);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(references_are_found_one_after_the_other),
		cmocka_unit_test(shell_and_jinja_braces_are_none),
		cmocka_unit_test(broken_references_are_refused),
		cmocka_unit_test(names_are_taken_apart),
		cmocka_unit_test(wrong_names_say_what_was_meant),
	};

	return cmocka_run_group_tests_name("reference", tests, NULL, NULL);
}
