#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdio.h>
#include <string.h>

#include "common/scope.h"
#include "scheduler/command.h"

static char said[2000];

/* What is written to stderr until unhush goes to `said`. */
static FILE *hushed;

static void hush(void)
{
	memset(said, 0, sizeof said);
	hushed = stderr;
	stderr = fmemopen(said, sizeof said - 1, "w");
	assert_non_null(stderr);
}

static void unhush(void)
{
	fclose(stderr);
	stderr = hushed;
}

static const struct option options[] = {
	{ "limit", required_argument, NULL, 'n' },
	{ "json", no_argument, NULL, 'j' },
	{ NULL, 0, NULL, 0 },
};

static const struct command command = { .name = "runs", .synopsis = "[DAG]" };

static int first_option(int argc, const char *const *words)
{
	char *argv[8] = { 0 };
	int option;

	for (int i = 0; i < argc; i++)
		argv[i] = strdup(words[i]);
	optind = 0; /* begins anew */
	hush();
	option = command_option(&command, argc, argv, "n:", options);
	unhush();
	for (int i = 0; i < argc; i++)
		free(argv[i]);
	return option;
}

#define FIRST_OPTION(...)                                                                                    \
	first_option(COUNT_OF(((const char *[]){ __VA_ARGS__ })), (const char *[]){ __VA_ARGS__ })

static void options_are_found_among_operands(void **state)
{
	(void)state;
	assert_int_equal(FIRST_OPTION("runs", "digits", "--json"), 'j');
	assert_int_equal(FIRST_OPTION("runs", "-n", "3"), 'n');
	assert_int_equal(FIRST_OPTION("runs", "digits"), -1);
	assert_int_equal(FIRST_OPTION("runs", "--", "--json"), -1);
	assert_string_equal(said, "");
}

static void a_wrong_option_is_told_with_what_was_meant(void **state)
{
	(void)state;
	assert_int_equal(FIRST_OPTION("runs", "--jsno"), '?');
	assert_string_equal(
		said, "stoker: runs has no option --jsno; did you mean --json?\nusage: stoker runs [DAG]\n");
	assert_int_equal(FIRST_OPTION("runs", "-x"), '?');
	assert_string_equal(said, "stoker: runs has no option -x\nusage: stoker runs [DAG]\n");
	assert_int_equal(FIRST_OPTION("runs", "-n"), '?');
	assert_string_equal(said, "stoker: -n needs a value\nusage: stoker runs [DAG]\n");
	assert_int_equal(FIRST_OPTION("runs", "--json=yes"), '?');
	assert_string_equal(said, "stoker: --json takes no value\nusage: stoker runs [DAG]\n");
}

static void only_whole_numbers_within_limits_are_numbers(void **state)
{
	static const char *const wrong[] = {
		"", "x", "1x", " 1", "+1", "0", "101", "1.0", "99999999999999999999", "--1"
	};
	int64_t number = -1;

	(void)state;
	for (size_t i = 0; i < COUNT_OF(wrong); i++)
		assert_false(command_number(wrong[i], 1, 100, &number));
	assert_int_equal(number, -1);
	assert_true(command_number("100", 1, 100, &number));
	assert_int_equal(number, 100);
}

static void each_error_has_its_exit_status(void **state)
{
	(void)state;
	assert_int_equal(command_status_of(ERR_OK), 0);
	assert_int_equal(command_status_of(ERR_INVALID), 2);
	assert_int_equal(command_status_of(ERR_LIMIT), 2);
	assert_int_equal(command_status_of(ERR_NOT_FOUND), 3);
	assert_int_equal(command_status_of(ERR_FULL), 1);
	assert_int_equal(command_status_of(ERR_CORRUPT), 1);
}

static void a_message_cannot_command_the_terminal(void **state)
{
	struct err err;

	(void)state;
	err_set(&err, ERR_NOT_FOUND, "there is no run \033[2J");
	hush();
	assert_int_equal(command_fail(&err), 3);
	unhush();
	assert_string_equal(said, "stoker: there is no run \\x1b[2J\n");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(options_are_found_among_operands),
		cmocka_unit_test(a_wrong_option_is_told_with_what_was_meant),
		cmocka_unit_test(only_whole_numbers_within_limits_are_numbers),
		cmocka_unit_test(each_error_has_its_exit_status),
		cmocka_unit_test(a_message_cannot_command_the_terminal),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
