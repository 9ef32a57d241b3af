#include "dag/diagnostic.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "common/scope.h"
#include "common/utf8.h"

/* Valid until the next call. */
static const char *printed(struct diagnostics *diagnostics, bool color)
{
	static char page[64 * 1024];
	FILE *out = fmemopen(page, sizeof page, "w");

	assert_non_null(out);
	diagnostics_print(diagnostics, out, color);
	fclose(out);
	return page;
}

static void add(struct diagnostics *diagnostics, uint32_t line, uint32_t column, uint32_t width,
		const char *message, const char *source)
{
	diagnostics_add(diagnostics, &(struct diagnostic){ .path = "a.yaml",
							   .at = { line, column },
							   .width = width,
							   .message = message,
							   .source = source });
}

/* One diagnostic about `source`, and what is printed beneath its first line. */
static void assert_excerpt(const char *source, uint32_t column, uint32_t width, const char *expected)
{
	autodiagnostics struct diagnostics diagnostics;
	const char *text;

	diagnostics_init(&diagnostics);
	add(&diagnostics, 7, column, width, "m", source);
	text = printed(&diagnostics, false);
	assert_string_equal(strchr(text, '\n') + 1, expected);
}

static void printed_with_line_caret_and_remedy(void **state)
{
	autodiagnostics struct diagnostics diagnostics;
	const char *text;

	(void)state;
	diagnostics_init(&diagnostics);
	add(&diagnostics, 14, 5, 4, "unknown key 'need'", "    need: [prepare]");
	diagnostics_remedy(&diagnostics, "did you mean '%s'?", "needs");
	text = printed(&diagnostics, false);
	assert_string_equal(text, "a.yaml:14:5: error: unknown key 'need'\n"
				  "   14 |     need: [prepare]\n"
				  "      |     ^~~~\n"
				  "      = did you mean 'needs'?\n");
}

static void sorted_by_position_the_file_as_a_whole_first(void **state)
{
	autodiagnostics struct diagnostics diagnostics;

	(void)state;
	diagnostics_init(&diagnostics);
	add(&diagnostics, 9, 1, 1, "third", NULL);
	add(&diagnostics, 2, 7, 1, "second", NULL);
	add(&diagnostics, 2, 3, 1, "first", NULL);
	add(&diagnostics, 0, 0, 1, "all", NULL);
	diagnostics_sort(&diagnostics);
	assert_string_equal(diagnostics.items[0].message, "all");
	assert_string_equal(diagnostics.items[1].message, "first");
	assert_string_equal(diagnostics.items[2].message, "second");
	assert_string_equal(diagnostics.items[3].message, "third");
}

static void tabs_move_the_caret_along(void **state)
{
	(void)state;
	assert_excerpt("\tab\tcd", 5, 2, "    7 |         ab      cd\n      |                 ^~\n");
	assert_excerpt("\tab", 1, 1, "    7 |         ab\n      | ^~~~~~~~\n");
}

static void bytes_a_terminal_might_obey_are_spelt_out(void **state)
{
	(void)state;
	assert_excerpt("a\033[1mb", 6, 1, "    7 | a\\x1b[1mb\n      |         ^\n");
	assert_excerpt("\xff\xfe"
		       "c",
		       3, 1, "    7 | \\xff\\xfec\n      |         ^\n");
	assert_excerpt("\xe2\x80\xae"
		       "c",
		       2, 1, "    7 | \\xe2\\x80\\xaec\n      |             ^\n");
}

static void columns_are_characters_and_wide_ones_take_two(void **state)
{
	(void)state;
	assert_excerpt("\xc3\xa4"
		       "b",
		       2, 1,
		       "    7 | \xc3\xa4"
		       "b\n      |  ^\n");
	assert_excerpt("\xe6\x97\xa5"
		       "b",
		       2, 1,
		       "    7 | \xe6\x97\xa5"
		       "b\n      |   ^\n");
}

static void caret_may_stand_behind_the_line(void **state)
{
	(void)state;
	assert_excerpt("ab", 3, 1, "    7 | ab\n      |   ^\n");
	assert_excerpt("", 1, 1, "    7 | \n      | ^\n");
	assert_excerpt("ab", 2, 50, "    7 | ab\n      |  ^\n");
}

static void long_lines_are_cut_around_the_column(void **state)
{
	autodiagnostics struct diagnostics diagnostics;
	autofree char *line = malloc(1000001);
	const char *text;

	(void)state;
	assert_non_null(line);
	memset(line, 'x', 1000000);
	line[1000000] = '\0';
	line[500000] = 'Y';
	diagnostics_init(&diagnostics);
	add(&diagnostics, 1, 500001, 1, "m", line);
	assert_true(strlen(diagnostics.items[0].source) <= 100);
	text = printed(&diagnostics, false);
	assert_non_null(strstr(text, "| ...xxx"));
	assert_non_null(strstr(text, "xxx...\n"));
	assert_int_equal(strchr(text, 'Y') - strstr(text, "| ..."),
			 strrchr(text, '^') - (strrchr(text, '|'))); /* The caret is beneath the Y. */
}

static void the_hundredth_is_the_last_kept_and_all_are_counted(void **state)
{
	autodiagnostics struct diagnostics diagnostics;
	const char *text;

	(void)state;
	diagnostics_init(&diagnostics);
	for (uint32_t i = 1; i <= DIAGNOSTICS_MAX + 5; i++)
		add(&diagnostics, i, 1, 1, "m", "x");
	diagnostics_remedy(&diagnostics, "is not kept");
	assert_int_equal(diagnostics.count, DIAGNOSTICS_MAX);
	assert_int_equal(diagnostics.errors, DIAGNOSTICS_MAX + 5);
	assert_true(diagnostics_full(&diagnostics, DIAGNOSTIC_ERROR));
	assert_false(diagnostics_full(&diagnostics, DIAGNOSTIC_WARNING));
	text = printed(&diagnostics, false);
	assert_non_null(strstr(text, "and 5 more errors\n"));
	assert_null(strstr(text, "is not kept"));
}

static void one_mistake_in_one_place_counts_once(void **state)
{
	autodiagnostics struct diagnostics diagnostics;
	struct diagnostic one = {
		.path = "a", .at = { 1, 1 }, .kind = "unknown key in step '%s'", .message = "step a"
	};
	struct diagnostic two = one;

	(void)state;
	two.message = "step b";
	diagnostics_init(&diagnostics);
	diagnostics_add(&diagnostics, &one);
	diagnostics_add(&diagnostics, &two);
	assert_int_equal(diagnostics.errors, 1);
	two.severity = DIAGNOSTIC_WARNING;
	diagnostics_add(&diagnostics, &two);
	assert_int_equal(diagnostics.warnings, 1);
}

static void messages_are_valid_utf8_once_added(void **state)
{
	autodiagnostics struct diagnostics diagnostics;

	(void)state;
	diagnostics_init(&diagnostics);
	add(&diagnostics, 1, 1, 1, "cut \xe6\x97' here", NULL);
	diagnostics_remedy(&diagnostics, "%.2s!", "\xe6\x97\xa5");
	assert_string_equal(diagnostics.items[0].message, "cut ' here");
	assert_string_equal(diagnostics.items[0].remedy, "!");
}

static void color_only_on_request(void **state)
{
	autodiagnostics struct diagnostics diagnostics;

	(void)state;
	diagnostics_init(&diagnostics);
	add(&diagnostics, 1, 1, 1, "m", "x");
	assert_null(strchr(printed(&diagnostics, false), '\033'));
	assert_non_null(strstr(printed(&diagnostics, true), "\033[1;31merror:"));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(printed_with_line_caret_and_remedy),
		cmocka_unit_test(sorted_by_position_the_file_as_a_whole_first),
		cmocka_unit_test(tabs_move_the_caret_along),
		cmocka_unit_test(bytes_a_terminal_might_obey_are_spelt_out),
		cmocka_unit_test(columns_are_characters_and_wide_ones_take_two),
		cmocka_unit_test(caret_may_stand_behind_the_line),
		cmocka_unit_test(long_lines_are_cut_around_the_column),
		cmocka_unit_test(the_hundredth_is_the_last_kept_and_all_are_counted),
		cmocka_unit_test(one_mistake_in_one_place_counts_once),
		cmocka_unit_test(messages_are_valid_utf8_once_added),
		cmocka_unit_test(color_only_on_request),
	};

	return cmocka_run_group_tests_name("diagnostic", tests, NULL, NULL);
}
