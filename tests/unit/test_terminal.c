#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "common/clock.h"
#include "common/scope.h"
#include "scheduler/listing.h"
#include "scheduler/moment.h"
#include "scheduler/table.h"
#include "scheduler/tail.h"
#include "scheduler/terminal.h"

static const struct terminal pipe_ = { .utf8 = true, .rows = 24, .columns = SIZE_MAX };

static void assert_line(const struct terminal *terminal, const char *text, const char *expected)
{
	autobuf struct buf out = { 0 };
	struct terminal_line line = terminal_line_start(terminal, &out, SIZE_MAX);

	terminal_put(&line, TERMINAL_RED, text);
	assert_string_equal(buf_text(&out), expected);
}

static void what_a_terminal_would_obey_is_shown(void **state)
{
	(void)state;
	assert_line(&pipe_, "a\033[2Jb\r\n\007", "a\\x1b[2Jb\\x0d\\x0a\\x07");
	assert_line(&pipe_,
		    "\xc2\x9b"
		    "31m",
		    "\\x9b31m"); /* the one-character escape sequence */
	assert_line(&pipe_,
		    "a\xe2\x80\xae"
		    "b",
		    "a\\u{202e}b"); /* writes from right to left */
	assert_line(&pipe_, "\xff\xc3 ok \xe4\xb8", "\\xff\\xc3 ok \\xe4\\xb8");
	assert_line(&pipe_, "größe 模型", "größe 模型");
}

static void a_line_is_cut_at_the_edge_by_columns(void **state)
{
	struct terminal narrow = { .utf8 = true, .rows = 24, .columns = 6 },
			ascii = { .rows = 24, .columns = 6 };

	(void)state;
	assert_line(&narrow, "abcdef", "abcdef");
	assert_line(&narrow, "abcdefg", "abcde…");
	assert_line(&ascii, "abcdefg", "abcde~");
	assert_line(&narrow, "模型模型", "模型…"); /* two columns each: a third one would stick out */
	assert_line(&narrow,
		    "e\xcc\x81"
		    "bcdef",
		    "e\xcc\x81"
		    "bcdef");			   /* an accent takes no column */
	assert_line(&narrow, "abcd\033", "abcd…"); /* never half of an escape */
	assert_int_equal(terminal_columns("a\033模e\xcc\x81"), 1 + 4 + 2 + 1);
}

static void colours_end_where_the_text_ends(void **state)
{
	struct terminal coloured = { .color = true, .utf8 = true, .rows = 24, .columns = 4 };

	(void)state;
	assert_line(&coloured, "abcdef", "\033[31mabc…\033[0m");
	assert_line(&coloured, "", "");
}

static void a_file_is_no_terminal(void **state)
{
	FILE *file = tmpfile();
	struct terminal terminal = terminal_of(file);

	(void)state;
	assert_false(terminal.cursor);
	assert_false(terminal.color);
	assert_int_equal(terminal.columns, SIZE_MAX);
	fclose(file);
}

/* --- tables --------------------------------------------------------------------------------------------- */

static void fill(struct table *table)
{
	static const struct table_column columns[] = { { "NAME" }, { "TOOK", .right = true }, { "NOTE" } };

	table_init(table, columns, COUNT_OF(columns));
	table_text(table, TERMINAL_PLAIN, "train");
	table_text(table, TERMINAL_PLAIN, "1m07s");
	table_text(table, TERMINAL_PLAIN, "exit code 3; its retries are used up");
	table_text(table, TERMINAL_PLAIN, "größe");
	table_text(table, TERMINAL_PLAIN, "2s");
	table_text(table, TERMINAL_PLAIN, "");
}

static void columns_are_aligned(void **state)
{
	autotable struct table table;
	autobuf struct buf out = { 0 };

	(void)state;
	fill(&table);
	table_render(&table, &pipe_, &out);
	assert_string_equal(buf_text(&out), "NAME    TOOK  NOTE\n"
					    "train  1m07s  exit code 3; its retries are used up\n"
					    "größe     2s\n");
}

static void a_narrow_table_gives_up_its_last_column_first(void **state)
{
	struct terminal narrow = { .utf8 = true, .rows = 24, .columns = 26 };
	autotable struct table table;
	autobuf struct buf out = { 0 };

	(void)state;
	fill(&table);
	table_render(&table, &narrow, &out);
	assert_string_equal(buf_text(&out), "NAME    TOOK  NOTE\n"
					    "train  1m07s  exit code 3…\n"
					    "größe     2s\n");
}

static void no_line_of_a_table_is_wider_than_the_screen(void **state)
{
	(void)state;
	for (size_t columns = 1; columns < 60; columns++) {
		struct terminal narrow = { .utf8 = true, .rows = 24, .columns = columns };
		autotable struct table table;
		autobuf struct buf out = { 0 };
		char *rest, *line;

		fill(&table);
		table_render(&table, &narrow, &out);
		for (line = strtok_r((char *)out.data, "\n", &rest); line != NULL;
		     line = strtok_r(NULL, "\n", &rest))
			assert_true(terminal_columns(line) <= columns);
	}
}

/* --- times ---------------------------------------------------------------------------------------------- */

static void times_are_as_short_as_they_can_be(void **state)
{
	const int64_t now_ms = INT64_C(1800014400000); /* 2027-01-15 12:00 UTC */
	char text[MOMENT_BYTES];

	(void)state;
	assert_string_equal(moment_local(now_ms - 1000, now_ms, text), "11:59:59");
	assert_string_equal(moment_local(now_ms - 86400000, now_ms, text), "Jan 14 12:00");
	assert_string_equal(moment_local(now_ms - INT64_C(400) * 86400000, now_ms, text), "2025-12-11");
	assert_string_equal(moment_local(0, now_ms, text), "-");
	assert_string_equal(moment_ago(now_ms - 59999, now_ms, text), "59s ago");
	assert_string_equal(moment_ago(now_ms - 60000, now_ms, text), "1m ago");
	assert_string_equal(moment_ago(now_ms - 7200000, now_ms, text), "2h ago");
	assert_string_equal(moment_ago(now_ms + 12000, now_ms, text), "in 12s");
	assert_string_equal(moment_ago(now_ms - 90000000, now_ms, text), "Jan 14 11:00");
}

static void times_survive_being_written_and_read(void **state)
{
	const int64_t samples[] = { 1, 999, INT64_C(1800014400125), INT64_C(951782400000),
				    INT64_C(4102444799999) };
	char text[CLOCK_RFC3339_BYTES];

	(void)state;
	for (size_t i = 0; i < COUNT_OF(samples); i++)
		assert_int_equal(moment_parse(clock_rfc3339(samples[i], text)), samples[i]);
	assert_int_equal(moment_parse(NULL), 0);
	assert_int_equal(moment_parse("yesterday"), 0);
	assert_int_equal(moment_parse("2027-01-15T12:00:00.000Z and more"), 0);
}

/* --- numbers and last words ----------------------------------------------------------------------------- */

static void assert_metric(const char *json, const char *expected)
{
	autobuf struct buf out = { 0 };
	json_t *metric = json_loads(json, JSON_DECODE_ANY, NULL);

	listing_append_metric(&out, metric);
	json_decref(metric);
	assert_string_equal(buf_text(&out), expected);
}

static void a_metric_shows_its_first_three_numbers(void **state)
{
	(void)state;
	assert_metric("{\"epoch\": 31, \"note\": \"x\", \"loss\": 0.081234, \"acc\": 0.97, \"lr\": 0.1}",
		      "epoch 31  loss 0.08123  acc 0.97");
	assert_metric("{\"note\": \"x\"}", "");
	assert_metric("[1, 2]", "");
	assert_metric("{\"step\": 1e300}", "step 1e+300");
}

static void assert_bytes(int64_t bytes, const char *expected)
{
	autobuf struct buf out = { 0 };

	listing_append_bytes(&out, bytes);
	assert_string_equal(buf_text(&out), expected);
}

static void sizes_have_units(void **state)
{
	(void)state;
	assert_bytes(0, "0 B");
	assert_bytes(1023, "1023 B");
	assert_bytes(1536, "1.5 KiB");
	assert_bytes(INT64_C(20) << 30, "20 GiB");
}

static void assert_last_line(const char *text, size_t bytes, const char *expected)
{
	char path[64];
	struct arena arena = { 0 };
	FILE *file;
	const char *line;

	snprintf(path, sizeof path, "/tmp/stoker-tail-%d.log", (int)getpid());
	file = fopen(path, "w");
	assert_non_null(file);
	assert_int_equal(fwrite(text, 1, bytes, file), bytes);
	fclose(file);
	line = tail_last_line(path, &arena);
	unlink(path);
	if (expected == NULL)
		assert_null(line);
	else
		assert_string_equal(line, expected);
	arena_fini(&arena);
}

#define ASSERT_LAST_LINE(text, expected) assert_last_line(text, sizeof text - 1, expected)

static void the_last_words_of_a_log_are_found(void **state)
{
	char long_line[5000];

	(void)state;
	ASSERT_LAST_LINE("a\nValueError: bad\n\n  \n", "ValueError: bad");
	ASSERT_LAST_LINE("no newline", "no newline");
	ASSERT_LAST_LINE("10%\r20%\r30%\r\n", "30%");
	ASSERT_LAST_LINE("", NULL);
	ASSERT_LAST_LINE("\n\n\n", NULL);
	memset(long_line, 'x', sizeof long_line);
	memcpy(long_line, "first\n", 6);
	{
		char expected[TAIL_BYTES_MAX + 4];

		memset(expected, 'x', TAIL_BYTES_MAX);
		memcpy(expected + TAIL_BYTES_MAX, "...", 4);
		assert_last_line(long_line, sizeof long_line, expected);
	}
}

static void a_log_that_is_not_there_has_no_last_words(void **state)
{
	struct arena arena = { 0 };

	(void)state;
	assert_null(tail_last_line("/nowhere/at/all.log", &arena));
	arena_fini(&arena);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(what_a_terminal_would_obey_is_shown),
		cmocka_unit_test(a_line_is_cut_at_the_edge_by_columns),
		cmocka_unit_test(colours_end_where_the_text_ends),
		cmocka_unit_test(a_file_is_no_terminal),
		cmocka_unit_test(columns_are_aligned),
		cmocka_unit_test(a_narrow_table_gives_up_its_last_column_first),
		cmocka_unit_test(no_line_of_a_table_is_wider_than_the_screen),
		cmocka_unit_test(times_are_as_short_as_they_can_be),
		cmocka_unit_test(times_survive_being_written_and_read),
		cmocka_unit_test(a_metric_shows_its_first_three_numbers),
		cmocka_unit_test(sizes_have_units),
		cmocka_unit_test(the_last_words_of_a_log_are_found),
		cmocka_unit_test(a_log_that_is_not_there_has_no_last_words),
	};

	setenv("TZ", "UTC", 1);
	tzset();
	return cmocka_run_group_tests(tests, NULL, NULL);
}
