#include "dag/duration.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "common/scope.h"

static int64_t parsed(const char *text)
{
	struct err err;
	int64_t ms;

	if (duration_parse(text, &ms, NULL, &err) < 0)
		fail_msg("%s: %s", text, err.text);
	return ms;
}

/* Asserts that `text` is refused at `at` for a reason that holds `words`. */
static void assert_refused(int (*parse)(const char *, int64_t *, size_t *, struct err *), const char *text,
			   size_t at, const char *words)
{
	int64_t untouched = 77;
	size_t found = SIZE_MAX;
	struct err err;

	assert_int_equal(parse(text, &untouched, &found, &err), ERR_INVALID);
	assert_int_equal(untouched, 77);
	assert_int_equal(found, at);
	if (strstr(err.text, words) == NULL)
		fail_msg("'%s' does not say '%s': %s", text, words, err.text);
}

static void each_unit_is_understood(void **state)
{
	(void)state;
	assert_int_equal(parsed("250ms"), 250);
	assert_int_equal(parsed("90s"), 90 * 1000);
	assert_int_equal(parsed("15m"), 15 * 60 * 1000);
	assert_int_equal(parsed("8h"), 8 * 3600 * 1000);
	assert_int_equal(parsed("1d12h"), 36 * 3600 * 1000);
	assert_int_equal(parsed("2w"), INT64_C(14) * 24 * 3600 * 1000);
	assert_int_equal(parsed("1w2d3h4m5s6ms"), INT64_C(788645006));
	assert_int_equal(parsed("0s"), 0);
}

static void mistakes_say_what_to_write(void **state)
{
	(void)state;
	assert_refused(duration_parse, "", 0, "is empty");
	assert_refused(duration_parse, "90", 0, "write 90s for seconds, 90m for minutes");
	assert_refused(duration_parse, "1h30", 2, "write 30s");
	assert_refused(duration_parse, "1.5h", 1, "1h30m instead of 1.5h");
	assert_refused(duration_parse, "5min", 1, "write 5m");
	assert_refused(duration_parse, "5M", 1, "write 5m");
	assert_refused(duration_parse, "5x", 1, "the units are w d h m s ms");
	assert_refused(duration_parse, "5 m", 1, "no blanks");
	assert_refused(duration_parse, " 5m", 0, "no blanks");
	assert_refused(duration_parse, "-5m", 0, "negative");
	assert_refused(duration_parse, "1:30", 1, "':'");
	assert_refused(duration_parse, "soon", 0, "needs a number before 'soon'");
}

static void units_must_fall_and_not_repeat(void **state)
{
	(void)state;
	assert_refused(duration_parse, "5m1h", 3, "'h' after 'm'");
	assert_refused(duration_parse, "5m5m", 3, "'m' after 'm'");
}

static void ten_years_are_the_most(void **state)
{
	(void)state;
	assert_int_equal(parsed("3660d"), DURATION_MAX_MS);
	assert_refused(duration_parse, "3661d", 0, "ten years");
	assert_refused(duration_parse, "3660d1ms", 5, "ten years");
	assert_refused(duration_parse, "99999999999999999999999999s", 0, "ten years");
}

static void sizes_are_powers_of_1024(void **state)
{
	int64_t bytes;

	(void)state;
	assert_int_equal(size_parse("64K", &bytes, NULL, NULL), 0);
	assert_int_equal(bytes, 65536);
	assert_int_equal(size_parse("512M", &bytes, NULL, NULL), 0);
	assert_int_equal(bytes, 512 * 1024 * 1024);
	assert_int_equal(size_parse("16G", &bytes, NULL, NULL), 0);
	assert_int_equal(bytes, INT64_C(16) << 30);
	assert_int_equal(size_parse("1T", &bytes, NULL, NULL), 0);
	assert_int_equal(bytes, INT64_C(1) << 40);
}

static void wrong_sizes_say_what_to_write(void **state)
{
	(void)state;
	assert_refused(size_parse, "16", 0, "write 16M for mebibytes, 16G for gibibytes");
	assert_refused(size_parse, "16GB", 2, "write 16G");
	assert_refused(size_parse, "16GiB", 2, "write 16G");
	assert_refused(size_parse, "1.5G", 1, "1536M");
	assert_refused(size_parse, "16G1M", 3, "'1M' is too much");
	assert_refused(size_parse, "16E", 2, "the units are K M G T");
	assert_refused(size_parse, "99999999T", 0, "larger than 2^60");
	assert_refused(size_parse, "", 0, "is empty");
}

static void what_is_written_is_read_back(void **state)
{
	static const int64_t spans[] = { 0, 1, 999, 1000, 61000, 3600000, 90061001, DURATION_MAX_MS };
	static const int64_t sizes[] = {
		0, 1024, 65536, INT64_C(1) << 30, INT64_C(3) << 29, INT64_C(1) << 60
	};
	char text[DURATION_TEXT_BYTES];
	int64_t bytes;

	(void)state;
	for (size_t i = 0; i < COUNT_OF(spans); i++)
		assert_int_equal(parsed(duration_text(spans[i], text)), spans[i]);
	for (size_t i = 0; i < COUNT_OF(sizes); i++) {
		assert_int_equal(size_parse(size_text(sizes[i], text), &bytes, NULL, NULL), 0);
		assert_int_equal(bytes, sizes[i]);
	}
	assert_string_equal(duration_text(5400000, text), "1h30m");
	assert_string_equal(size_text(65536, text), "64K");
	assert_string_equal(size_text(INT64_C(3) << 29, text), "1536M");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(each_unit_is_understood),
		cmocka_unit_test(mistakes_say_what_to_write),
		cmocka_unit_test(units_must_fall_and_not_repeat),
		cmocka_unit_test(ten_years_are_the_most),
		cmocka_unit_test(sizes_are_powers_of_1024),
		cmocka_unit_test(wrong_sizes_say_what_to_write),
		cmocka_unit_test(what_is_written_is_read_back),
	};

	return cmocka_run_group_tests_name("duration", tests, NULL, NULL);
}
