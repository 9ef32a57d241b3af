#include "dag/source.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "common/utf8.h"

struct fixture {
	struct arena arena;
	struct source source;
	size_t wrong;
	bool clean;
};

static void with(struct fixture *fixture, const char *text, size_t bytes)
{
	arena_init(&fixture->arena);
	fixture->wrong = SIZE_MAX;
	fixture->clean =
	    source_init(&fixture->source, &fixture->arena, "x.yaml", text, bytes, &fixture->wrong);
}

static void assert_line(struct fixture *fixture, uint32_t line, const char *expected)
{
	size_t bytes;
	const char *text = source_line(&fixture->source, line, &bytes);

	assert_non_null(text);
	assert_int_equal(bytes, strlen(expected));
	assert_memory_equal(text, expected, bytes);
}

static void lines_end_where_libyaml_ends_them(void **state)
{
	static const char text[] = "one\ntwo\r\nthree\rfour\xc2\x85"
				   "five\xe2\x80\xa8six";
	static const char *const lines[] = { "one", "two", "three", "four", "five", "six" };
	struct fixture fixture;
	size_t bytes;

	(void)state;
	with(&fixture, text, sizeof text - 1);
	assert_true(fixture.clean);
	for (uint32_t i = 0; i < 6; i++)
		assert_line(&fixture, i + 1, lines[i]);
	assert_null(source_line(&fixture.source, 0, &bytes));
	assert_null(source_line(&fixture.source, 7, &bytes));
	arena_fini(&fixture.arena);
}

static void last_line_may_be_empty(void **state)
{
	struct fixture fixture;

	(void)state;
	with(&fixture, "a\n", 2);
	assert_line(&fixture, 1, "a");
	assert_line(&fixture, 2, "");
	arena_fini(&fixture.arena);
	with(&fixture, "", 0);
	assert_line(&fixture, 1, "");
	arena_fini(&fixture.arena);
}

static void positions_count_characters_and_lead_back(void **state)
{
	static const char text[] = "a: \xc3\xa4\xe6\x97\xa5x\nb";
	struct fixture fixture;
	struct dag_position at;

	(void)state;
	with(&fixture, text, sizeof text - 1);
	at = source_position(&fixture.source, 8);
	assert_int_equal(at.line, 1);
	assert_int_equal(at.column, 6);
	assert_int_equal(source_offset(&fixture.source, at), 8);
	at = source_position(&fixture.source, 10);
	assert_int_equal(at.line, 2);
	assert_int_equal(at.column, 1);
	assert_int_equal(source_offset(&fixture.source, at), 10);
	arena_fini(&fixture.arena);
}

static void first_character_that_is_no_text_is_found(void **state)
{
	static const struct {
		const char *text;
		size_t bytes, wrong;
	} cases[] = {
		{ "ab\xff", 3, 2 },           { "ab\xc3", 3, 2 },
		{ "\xc0\x80", 2, 0 },         { "a\0b", 3, 1 },
		{ "\x1b[1m", 4, 0 },          { "\xed\xa0\x80", 3, 0 },
		{ "\xf5\x80\x80\x80", 4, 0 }, { "\x7f", 1, 0 },
		{ "a\xc2\x80", 3, 1 },
	};
	struct fixture fixture;

	(void)state;
	for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
		with(&fixture, cases[i].text, cases[i].bytes);
		assert_false(fixture.clean);
		assert_int_equal(fixture.wrong, cases[i].wrong);
		arena_fini(&fixture.arena);
	}
	with(&fixture, "\t\xf0\x9f\x94\xa5\n", 6);
	assert_true(fixture.clean);
	arena_fini(&fixture.arena);
}

static void characters_are_counted_even_when_invalid(void **state)
{
	uint32_t code = 0;

	(void)state;
	assert_int_equal(utf8_count("a\xc3\xa4\xff\xe6\x97", 6), 5);
	assert_int_equal(utf8_prefix("a\xc3\xa4"
				     "b",
				     4, 2),
			 3);
	assert_int_equal(utf8_prefix("ab", 2, 9), 2);
	assert_int_equal(utf8_decode("\xf0\x9f\x94\xa5", 4, &code), 4);
	assert_int_equal(code, 0x1f525);
	assert_true(utf8_valid("\xe2\x82\xac", 3));
	assert_false(utf8_valid("\xe2\x82", 2));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(lines_end_where_libyaml_ends_them),
		cmocka_unit_test(last_line_may_be_empty),
		cmocka_unit_test(positions_count_characters_and_lead_back),
		cmocka_unit_test(first_character_that_is_no_text_is_found),
		cmocka_unit_test(characters_are_counted_even_when_invalid),
	};

	return cmocka_run_group_tests_name("source", tests, NULL, NULL);
}
