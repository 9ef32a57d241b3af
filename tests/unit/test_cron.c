#include "dag/cron.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <time.h>

#include <cmocka.h>

#include "common/scope.h"

static struct cron parsed(const char *text)
{
	struct cron cron;
	struct err err;

	if (cron_parse(text, &cron, NULL, &err) < 0)
		fail_msg("%s: %s", text, err.text);
	return cron;
}

static void assert_refused(const char *text, size_t at, const char *words)
{
	size_t found = SIZE_MAX;
	struct cron cron;
	struct err err;

	assert_int_equal(cron_parse(text, &cron, &found, &err), ERR_INVALID);
	if (strstr(err.text, words) == NULL)
		fail_msg("'%s' does not say '%s': %s", text, words, err.text);
	assert_int_equal(found, at);
}

static bool fires_on(const char *text, int year, int month, int day)
{
	struct cron cron = parsed(text);

	return cron_matches_day(&cron, year, month, day);
}

static void fields_become_sets(void **state)
{
	struct cron cron = parsed("0,30 2-4 1 jan,12 *");

	(void)state;
	assert_true(cron.minutes == (1 | UINT64_C(1) << 30));
	assert_int_equal(cron.hours, 1 << 2 | 1 << 3 | 1 << 4);
	assert_int_equal(cron.days, 1 << 1);
	assert_int_equal(cron.months, 1 << 1 | 1 << 12);
	assert_int_equal(cron.weekdays, 0x7f);
	assert_false(cron.any_day);
	assert_true(cron.any_weekday);
	assert_false(cron.elapsed);
}

static void steps_count_from_the_range(void **state)
{
	(void)state;
	assert_true(parsed("*/20 * * * *").minutes == (1 | UINT64_C(1) << 20 | UINT64_C(1) << 40));
	assert_true(parsed("10-50/15 * * * *").minutes ==
		    (UINT64_C(1) << 10 | UINT64_C(1) << 25 | UINT64_C(1) << 40));
}

static void sunday_is_0_and_7_and_names_have_no_case(void **state)
{
	(void)state;
	assert_int_equal(parsed("0 0 * * 0").weekdays, 1);
	assert_int_equal(parsed("0 0 * * 7").weekdays, 1);
	assert_int_equal(parsed("0 0 * * SUN").weekdays, 1);
	assert_int_equal(parsed("0 0 * * sat-sun").weekdays, 1 << 6 | 1);
	assert_int_equal(parsed("0 0 * * 5-7").weekdays, 1 << 5 | 1 << 6 | 1);
	assert_int_equal(parsed("0 0 * * 5-0").weekdays, 1 << 5 | 1 << 6 | 1);
	assert_int_equal(parsed("0 0 * * 0-0").weekdays, 1);
	assert_int_equal(parsed("0 0 * * sun-sun").weekdays, 1);
	assert_int_equal(parsed("0 0 * Feb Mon").months, 1 << 2);
}

static void nicknames_are_lines(void **state)
{
	static const char *const same[][2] = {
		{ "@hourly", "0 * * * *" },   { "@daily", "0 0 * * *" },   { "@midnight", "0 0 * * *" },
		{ "@weekly", "0 0 * * 0" },   { "@monthly", "0 0 1 * *" }, { "@yearly", "0 0 1 1 *" },
		{ "@annually", "0 0 1 1 *" }, { "@Daily", "0 0 * * *" },
	};

	(void)state;
	for (size_t i = 0; i < COUNT_OF(same); i++) {
		struct cron a = parsed(same[i][0]), b = parsed(same[i][1]);

		assert_true(a.minutes == b.minutes);
		assert_int_equal(a.hours, b.hours);
		assert_int_equal(a.days, b.days);
		assert_int_equal(a.months, b.months);
		assert_int_equal(a.weekdays, b.weekdays);
		assert_int_equal(a.elapsed, b.elapsed);
	}
}

static void only_wildcard_and_stepped_hours_follow_elapsed_time(void **state)
{
	(void)state;
	assert_true(parsed("0 * * * *").elapsed);
	assert_true(parsed("0 */2 * * *").elapsed);
	assert_true(parsed("0 8-20/4 * * *").elapsed);
	assert_false(parsed("30 2 * * *").elapsed);
	assert_false(parsed("*/5 1-4 * * *").elapsed);
}

static void either_day_field_is_enough_unless_one_is_a_star(void **state)
{
	(void)state;
	/* 2026-11-13 is a Friday. */
	assert_true(fires_on("0 0 13 * 5", 2026, 11, 13));
	assert_true(fires_on("0 0 13 * 5", 2026, 11, 20));
	assert_true(fires_on("0 0 13 * 5", 2026, 12, 13));
	assert_false(fires_on("0 0 13 * 5", 2026, 12, 14));
	assert_true(fires_on("0 0 * * 5", 2026, 11, 20));
	assert_false(fires_on("0 0 * * 5", 2026, 11, 19));
	assert_true(fires_on("0 0 */2 * 5", 2026, 11, 13));
	assert_false(fires_on("0 0 */2 * 5", 2026, 11, 20));
	assert_false(fires_on("0 0 13 2 *", 2026, 11, 13));
}

static void last_days_and_nth_weekdays_are_found(void **state)
{
	(void)state;
	assert_true(fires_on("0 0 L * *", 2026, 2, 28));
	assert_false(fires_on("0 0 L * *", 2028, 2, 28));
	assert_true(fires_on("0 0 L * *", 2028, 2, 29));
	assert_true(fires_on("0 0 15,L * *", 2026, 4, 30));
	assert_true(fires_on("0 0 * * friL", 2026, 11, 27));
	assert_false(fires_on("0 0 * * friL", 2026, 11, 20));
	assert_true(fires_on("0 0 * * 5L", 2026, 11, 27));
	assert_true(fires_on("0 0 * * mon#2", 2026, 11, 9));
	assert_false(fires_on("0 0 * * mon#2", 2026, 11, 2));
	assert_false(fires_on("0 0 * * mon#2", 2026, 11, 16));
	assert_true(fires_on("0 0 * * 0#5", 2026, 11, 29));
	assert_true(fires_on("0 0 * * 7#5,mon", 2026, 11, 30));
}

static void impossible_dates_are_told_from_rare_ones(void **state)
{
	struct cron cron;

	(void)state;
	cron = parsed("0 0 30 2 *");
	assert_false(cron_ever_fires(&cron));
	cron = parsed("0 0 31 4,6,9,11 *");
	assert_false(cron_ever_fires(&cron));
	cron = parsed("0 0 29 2 *");
	assert_true(cron_ever_fires(&cron));
	cron = parsed("0 0 * 2 mon#5"); /* Only when a leap year's February begins on a Monday. */
	assert_true(cron_ever_fires(&cron));
	cron = parsed("0 0 30 2 mon"); /* Either is enough. */
	assert_true(cron_ever_fires(&cron));
}

static void next_minute_is_the_first_at_or_after(void **state)
{
	struct cron cron = parsed("15,45 8,20 * * *");

	(void)state;
	assert_int_equal(cron_next_minute(&cron, 0), 8 * 60 + 15);
	assert_int_equal(cron_next_minute(&cron, 8 * 60 + 15), 8 * 60 + 15);
	assert_int_equal(cron_next_minute(&cron, 8 * 60 + 16), 8 * 60 + 45);
	assert_int_equal(cron_next_minute(&cron, 8 * 60 + 46), 20 * 60 + 15);
	assert_int_equal(cron_next_minute(&cron, 20 * 60 + 46), -1);
	cron = parsed("59 23 * * *");
	assert_int_equal(cron_next_minute(&cron, 1439), 1439);
}

static void weekdays_agree_with_the_system(void **state)
{
	(void)state;
	for (time_t day = 0; day < 365 * 80; day++) {
		time_t instant = day * 24 * 3600;
		struct tm tm;

		gmtime_r(&instant, &tm);
		assert_int_equal(cron_weekday(tm.tm_year + 1900, tm.tm_mon + 1, tm.tm_mday), tm.tm_wday);
	}
	assert_int_equal(cron_days_in_month(2000, 2), 29);
	assert_int_equal(cron_days_in_month(2100, 2), 28);
	assert_int_equal(cron_days_in_month(2026, 12), 31);
}

static void mistakes_are_placed_and_explained(void **state)
{
	(void)state;
	assert_refused("", 0, "0 fields");
	assert_refused("0 0 * *", 0, "4 fields");
	assert_refused("0 0 0 * * *", 0, "without seconds");
	assert_refused("60 * * * *", 0, "minute 60 is not in 0-59");
	assert_refused("0 24 * * *", 2, "hour 24 is not in 0-23");
	assert_refused("0 0 0 * *", 4, "day of the month 0 is not in 1-31");
	assert_refused("0 0 * 13 *", 6, "month 13 is not in 1-12");
	assert_refused("0 0 * * 8", 8, "day of the week 8 is not in 0-7");
	assert_refused("0 0 * foo *", 6, "'foo' is no month");
	assert_refused("0 22-2 * * *", 2, "backwards");
	assert_refused("*/0 * * * *", 2, "from 1");
	assert_refused("*/ * * * *", 2, "from 1");
	assert_refused("*/90 * * * *", 2, "a step of 90 is longer");
	assert_refused("5/15 * * * *", 1, "'*' or a range");
	assert_refused("1, * * * *", 2, "missing a value");
	assert_refused("1- * * * *", 2, "missing a value");
	assert_refused("0 0 ? * *", 4, "write '*'");
	assert_refused("0 0 * * mon#0", 12, "1 to 5");
	assert_refused("0 0 * * mon#12", 12, "1 to 5");
	assert_refused("0 0 1W * *", 5, "unexpected 'W'");
	assert_refused("@reboot", 0, "names no time");
	assert_refused("@often", 0, "'@often' is unknown");
	assert_refused("99999999999999999999 * * * *", 0, "is not in 0-59");
}

static void endless_lines_are_refused(void **state)
{
	char line[4000];

	(void)state;
	memset(line, '1', sizeof line - 1);
	line[sizeof line - 1] = '\0';
	assert_refused(line, 0, "longer than 1024 bytes");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(fields_become_sets),
		cmocka_unit_test(steps_count_from_the_range),
		cmocka_unit_test(sunday_is_0_and_7_and_names_have_no_case),
		cmocka_unit_test(nicknames_are_lines),
		cmocka_unit_test(only_wildcard_and_stepped_hours_follow_elapsed_time),
		cmocka_unit_test(either_day_field_is_enough_unless_one_is_a_star),
		cmocka_unit_test(last_days_and_nth_weekdays_are_found),
		cmocka_unit_test(impossible_dates_are_told_from_rare_ones),
		cmocka_unit_test(next_minute_is_the_first_at_or_after),
		cmocka_unit_test(weekdays_agree_with_the_system),
		cmocka_unit_test(mistakes_are_placed_and_explained),
		cmocka_unit_test(endless_lines_are_refused),
	};

	return cmocka_run_group_tests_name("cron", tests, NULL, NULL);
}
