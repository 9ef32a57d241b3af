#include "dag/scalar.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "common/scope.h"

static void plain_texts_are_what_yaml_1_2_says(void **state)
{
	static const struct {
		const char *text;
		enum scalar_kind kind;
	} cases[] = {
		{ "", SCALAR_NULL },
		{ "~", SCALAR_NULL },
		{ "null", SCALAR_NULL },
		{ "nul", SCALAR_STRING },
		{ "true", SCALAR_BOOL },
		{ "False", SCALAR_BOOL },
		{ "tRue", SCALAR_STRING },
		{ "yes", SCALAR_STRING },
		{ "0", SCALAR_INT },
		{ "-7", SCALAR_INT },
		{ "9223372036854775807", SCALAR_INT },
		{ "9223372036854775808", SCALAR_FLOAT },
		{ "+7", SCALAR_STRING },
		{ "007", SCALAR_STRING },
		{ "-0", SCALAR_FLOAT },
		{ "1.5", SCALAR_FLOAT },
		{ "1.", SCALAR_FLOAT },
		{ ".5", SCALAR_FLOAT },
		{ "1e3", SCALAR_FLOAT },
		{ "1E-3", SCALAR_FLOAT },
		{ "1e", SCALAR_STRING },
		{ ".", SCALAR_STRING },
		{ "1e999", SCALAR_STRING },
		{ "01.5", SCALAR_STRING },
		{ "0x1f", SCALAR_STRING },
		{ ".inf", SCALAR_STRING },
		{ "1_000", SCALAR_STRING },
		{ "1:30", SCALAR_STRING },
		{ "1.2.3", SCALAR_STRING },
		{ "1 2", SCALAR_STRING },
		{ "nan", SCALAR_STRING },
		{ "infinity", SCALAR_STRING },
		{ "-", SCALAR_STRING },
	};

	(void)state;
	for (size_t i = 0; i < COUNT_OF(cases); i++) {
		if (scalar_kind(cases[i].text) != cases[i].kind)
			fail_msg("'%s' is of kind %d", cases[i].text, scalar_kind(cases[i].text));
	}
}

static void traps_of_yaml_1_1_are_recognised(void **state)
{
	static const struct {
		const char *text;
		enum scalar_trap trap;
	} cases[] = {
		{ "no", SCALAR_TRAP_BOOL },
		{ "On", SCALAR_TRAP_BOOL },
		{ "YES", SCALAR_TRAP_BOOL },
		{ "y", SCALAR_TRAP_BOOL },
		{ "nope", SCALAR_NO_TRAP },
		{ "true", SCALAR_NO_TRAP },
		{ "012", SCALAR_TRAP_LEADING_ZERO },
		{ "-07", SCALAR_TRAP_LEADING_ZERO },
		{ "0", SCALAR_NO_TRAP },
		{ "0.5", SCALAR_NO_TRAP },
		{ "00.5", SCALAR_TRAP_LEADING_ZERO },
		{ "1:30", SCALAR_TRAP_SEXAGESIMAL },
		{ "12:30:45", SCALAR_TRAP_SEXAGESIMAL },
		{ "1:", SCALAR_NO_TRAP },
		{ "a:1", SCALAR_NO_TRAP },
		{ "0x1F", SCALAR_TRAP_NOTATION },
		{ "0o17", SCALAR_TRAP_NOTATION },
		{ "0b11", SCALAR_TRAP_NOTATION },
		{ "1_000", SCALAR_TRAP_NOTATION },
		{ "a_1", SCALAR_NO_TRAP },
		{ ".nan", SCALAR_TRAP_NOTATION },
		{ "0xyz", SCALAR_NO_TRAP },
		{ "1.10", SCALAR_NO_TRAP },
		{ "0123abc", SCALAR_NO_TRAP },
	};

	(void)state;
	for (size_t i = 0; i < COUNT_OF(cases); i++) {
		if (scalar_trap(cases[i].text) != cases[i].trap)
			fail_msg("'%s' is trap %d", cases[i].text, scalar_trap(cases[i].text));
	}
	assert_string_equal(scalar_trap_truth("Yes"), "true");
	assert_string_equal(scalar_trap_truth("off"), "false");
	assert_string_equal(scalar_trap_truth("n"), "false");
}

static void values_are_read_and_others_leave_the_output_alone(void **state)
{
	int64_t whole = 5;
	double real = 5;
	bool flag = false;

	(void)state;
	assert_true(scalar_int("-9223372036854775808", &whole));
	assert_true(whole == INT64_MIN);
	assert_false(scalar_int("1.0", &whole));
	assert_true(whole == INT64_MIN);
	assert_true(scalar_float("-2.5e-1", &real));
	assert_true(real == -0.25);
	assert_false(scalar_float("x", &real));
	assert_true(scalar_bool("TRUE", &flag) && flag);
	assert_true(scalar_bool("false", &flag) && !flag);
	assert_false(scalar_bool("1", &flag));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(plain_texts_are_what_yaml_1_2_says),
		cmocka_unit_test(traps_of_yaml_1_1_are_recognised),
		cmocka_unit_test(values_are_read_and_others_leave_the_output_alone),
	};

	return cmocka_run_group_tests_name("scalar", tests, NULL, NULL);
}
