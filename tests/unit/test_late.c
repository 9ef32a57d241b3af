#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <string.h>

#include "common/calendar.h"
#include "scheduler/late.h"

enum { HOUR_MS = 3600 * 1000, SEVEN = 7 * 60, HALF_PAST_TWO = 2 * 60 + 30 };

static struct zone *zone_of(const char *name)
{
	struct zone *zone = NULL;
	struct err err;

	if (zone_open(name, &zone, &err) < 0)
		skip();
	return zone;
}

static int64_t utc(int year, int month, int day, int hour, int minute)
{
	return (calendar_days(year, month, day) * CALENDAR_DAY_S + hour * 3600 + minute * 60) * 1000;
}

static void a_window_ends_at_the_last_deadline(void **state)
{
	struct zone *zone = zone_of("UTC");
	struct late_window window;

	(void)state;
	assert_true(late_window(zone, SEVEN, utc(2026, 11, 26, 7, 0), &window));
	assert_string_equal(window.day, "2026-11-26");
	assert_string_equal(window.label, "07:00");
	assert_int_equal(window.until_ms, utc(2026, 11, 26, 7, 0));
	assert_int_equal(window.from_ms, utc(2026, 11, 25, 7, 0));
	assert_true(late_window(zone, SEVEN, utc(2026, 11, 26, 7, 0) - 1, &window));
	assert_string_equal(window.day, "2026-11-25");
	assert_int_equal(late_next_wall_ms(zone, SEVEN, utc(2026, 11, 26, 7, 0)), utc(2026, 11, 27, 7, 0));
	assert_int_equal(late_next_wall_ms(zone, SEVEN, utc(2026, 11, 26, 7, 0) - 1), utc(2026, 11, 26, 7, 0));
	zone_free(zone);
}

/* Berlin: 02:30 does not exist on 2026-03-29 (the clock jumps to 03:00, 01:00 UTC), and exists twice on 10-25. */
static void a_deadline_that_clocks_leave_out_is_at_the_end_of_the_gap(void **state)
{
	struct zone *zone = zone_of("Europe/Berlin");
	struct late_window window;

	(void)state;
	assert_int_equal(late_next_wall_ms(zone, HALF_PAST_TWO, utc(2026, 3, 28, 12, 0)), utc(2026, 3, 29, 1, 0));
	assert_true(late_window(zone, HALF_PAST_TWO, utc(2026, 3, 29, 1, 0), &window));
	assert_string_equal(window.day, "2026-03-29");
	zone_free(zone);
}

static void a_deadline_that_comes_twice_is_the_first_one(void **state)
{
	struct zone *zone = zone_of("Europe/Berlin");
	struct late_window first, second;

	(void)state;
	assert_int_equal(late_next_wall_ms(zone, HALF_PAST_TWO, utc(2026, 10, 24, 12, 0)), utc(2026, 10, 25, 0, 30));
	assert_true(late_window(zone, HALF_PAST_TWO, utc(2026, 10, 25, 0, 30), &first));
	assert_true(late_window(zone, HALF_PAST_TWO, utc(2026, 10, 25, 1, 30), &second));
	assert_string_equal(first.day, second.day);
	assert_int_equal(late_next_wall_ms(zone, HALF_PAST_TWO, utc(2026, 10, 25, 0, 30)), utc(2026, 10, 26, 1, 30));
	zone_free(zone);
}

/* Apia went over the date line: there was no 2011-12-30. */
static void a_day_that_a_zone_leaves_out_has_no_deadline(void **state)
{
	struct zone *zone = zone_of("Pacific/Apia");
	struct late_window window;
	int64_t thursday = late_next_wall_ms(zone, SEVEN, utc(2011, 12, 29, 0, 0));
	int64_t next = late_next_wall_ms(zone, SEVEN, thursday);

	(void)state;
	assert_true(late_window(zone, SEVEN, thursday, &window));
	assert_string_equal(window.day, "2011-12-29");
	assert_true(late_window(zone, SEVEN, next, &window));
	assert_string_equal(window.day, "2011-12-31");
	assert_int_equal(window.from_ms, thursday);
	assert_int_equal(next - thursday, 24 * HOUR_MS);
	zone_free(zone);
}

/* Every instant lies in one window, whatever the clocks do: windows follow each other without a gap. */
static void windows_follow_each_other_through_the_years(void **state)
{
	static const char *const names[] = { "Europe/Berlin", "America/New_York", "Pacific/Apia", "Australia/Lord_Howe",
					     "America/Sao_Paulo", "Africa/Casablanca", "Asia/Gaza", "Pacific/Kiritimati" };
	static const int minutes[] = { 0, 30, 60 + 59, HALF_PAST_TWO, SEVEN, 23 * 60 + 59 };

	(void)state;
	for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
		struct zone *zone = zone_of(names[i]);

		for (size_t k = 0; k < sizeof minutes / sizeof *minutes; k++) {
			int64_t at_ms = late_next_wall_ms(zone, minutes[k], utc(1994, 1, 1, 0, 0));
			char day[LATE_DAY_BYTES] = "";

			while (at_ms < utc(2030, 1, 1, 0, 0)) {
				int64_t next_ms = late_next_wall_ms(zone, minutes[k], at_ms);
				struct late_window window, later;

				assert_true(late_window(zone, minutes[k], at_ms, &window));
				assert_int_equal(window.until_ms, at_ms);
				assert_true(strcmp(window.day, day) > 0);
				strcpy(day, window.day);
				assert_true(late_window(zone, minutes[k], next_ms - 1, &later));
				assert_int_equal(later.until_ms, at_ms);
				assert_true(late_window(zone, minutes[k], next_ms, &later));
				assert_int_equal(later.from_ms, at_ms);
				assert_in_range(next_ms - at_ms, 22 * HOUR_MS, 49 * HOUR_MS);
				at_ms = next_ms;
			}
		}
		zone_free(zone);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_window_ends_at_the_last_deadline),
		cmocka_unit_test(a_deadline_that_clocks_leave_out_is_at_the_end_of_the_gap),
		cmocka_unit_test(a_deadline_that_comes_twice_is_the_first_one),
		cmocka_unit_test(a_day_that_a_zone_leaves_out_has_no_deadline),
		cmocka_unit_test(windows_follow_each_other_through_the_years),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
