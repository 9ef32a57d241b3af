#include "common/zone.h"

#include <inttypes.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <cmocka.h>

#include "common/calendar.h"
#include "common/rng.h"
#include "common/scope.h"
#include "common/zone_rule.h"
#include "tests/unit/zone_fixture.h"

enum { HOUR_S = 3600 };

static int64_t local(int year, int month, int day, int hour, int minute)
{
	return calendar_days(year, month, day) * CALENDAR_DAY_S + hour * HOUR_S + minute * 60;
}

static struct zone *opened(const char *name)
{
	struct zone *zone = NULL;
	struct err err;

	if (zone_open(name, &zone, &err) < 0)
		fail_msg("%s", err.text);
	return zone;
}

/* --- the calendar --------------------------------------------------------------------------------------- */

static void days_and_dates_are_those_of_libc(void **state)
{
	(void)state;
	for (int64_t days = -200000; days < 3000000; days += 97) {
		time_t at = (time_t)(days * CALENDAR_DAY_S);
		struct calendar_date date = calendar_date(days);
		struct tm tm;

		gmtime_r(&at, &tm);
		assert_int_equal(date.year, tm.tm_year + 1900);
		assert_int_equal(date.month, tm.tm_mon + 1);
		assert_int_equal(date.day, tm.tm_mday);
		assert_int_equal(calendar_weekday(days), tm.tm_wday);
		assert_int_equal(calendar_days(date.year, date.month, date.day), days);
	}
}

/* --- against libc, which reads the same files in its own way -------------------------------------------- */

static struct rng rng;
static void assert_as_libc(const struct zone *zone, int64_t instant_s)
{
	struct zone_span span = zone_span_at(zone, instant_s);
	time_t at = (time_t)instant_s;
	struct tm tm;

	localtime_r(&at, &tm);
	if (span.offset_s != tm.tm_gmtoff)
		fail_msg("%s at %" PRId64 ": %d, libc says %ld", zone_name(zone), instant_s, span.offset_s,
			 tm.tm_gmtoff);
	if (span.from_s > instant_s || span.until_s <= instant_s)
		fail_msg("%s: %" PRId64 " is not in its span", zone_name(zone), instant_s);
}

static void compare_with_libc(const char *name)
{
	autozone struct zone *zone = opened(name);
	const int64_t from_s = local(1800, 1, 1, 0, 0), until_s = local(2700, 1, 1, 0, 0);
	struct zone_span span;

	setenv("TZ", name, 1);
	tzset();
	for (span = zone_span_at(zone, from_s); span.until_s < until_s;
	     span = zone_span_at(zone, span.until_s)) {
		assert_as_libc(zone, span.until_s - 1);
		assert_as_libc(zone, span.until_s);
		assert_int_equal(zone_span_at(zone, span.until_s).from_s, span.until_s);
		assert_int_not_equal(zone_span_at(zone, span.until_s).offset_s, span.offset_s);
	}
	for (int i = 0; i < 200; i++)
		assert_as_libc(zone, from_s + (int64_t)rng_below(&rng, (uint64_t)(until_s - from_s)));
	unsetenv("TZ");
	tzset();
}

static void each_zone_has_the_offsets_that_libc_finds(void **state)
{
	(void)state;
	rng = rng_seeded(20261123);
	fixture_each_zone(compare_with_libc);
}

/* --- local times ---------------------------------------------------------------------------------------- */

static void a_local_time_in_a_gap_is_reached_at_its_end(void **state)
{
	autozone struct zone *zone = NULL;
	int64_t instants[ZONE_INSTANTS_MAX];

	(void)state;
	fixture_need_zones();
	zone = opened("Europe/Berlin");
	assert_int_equal(zone_instants(zone, local(2026, 3, 29, 2, 30), instants), 0);
	assert_int_equal(zone_reach(zone, local(2026, 3, 29, 2, 30)), 1774746000);
	assert_int_equal(zone_reach(zone, local(2026, 3, 29, 2, 0)), 1774746000);
	assert_int_equal(zone_reach(zone, local(2026, 3, 29, 3, 0)), 1774746000);
	assert_int_equal(zone_instants(zone, local(2026, 3, 29, 3, 0), instants), 1);
	assert_int_equal(zone_instants(zone, local(2026, 3, 29, 1, 59), instants), 1);
}

static void a_local_time_that_exists_twice_is_reached_at_the_first(void **state)
{
	autozone struct zone *zone = NULL;
	int64_t instants[ZONE_INSTANTS_MAX];

	(void)state;
	fixture_need_zones();
	zone = opened("America/New_York");
	assert_int_equal(zone_instants(zone, local(2026, 11, 1, 1, 30), instants), 2);
	assert_int_equal(instants[0], 1793511000);
	assert_int_equal(instants[1], 1793514600);
	assert_int_equal(zone_reach(zone, local(2026, 11, 1, 1, 30)), 1793511000);
	assert_int_equal(zone_latest_shown(zone, 1793514600), local(2026, 11, 1, 1, 59) + 59);
	assert_int_equal(zone_latest_shown(zone, 1793514600 + 1800), local(2026, 11, 1, 2, 0));
}

static void a_day_that_a_zone_left_out_is_a_gap_like_any_other(void **state)
{
	autozone struct zone *zone = NULL;
	int64_t instants[ZONE_INSTANTS_MAX];

	(void)state;
	fixture_need_zones();
	zone = opened("Pacific/Apia");
	assert_int_equal(zone_instants(zone, local(2011, 12, 30, 2, 30), instants), 0);
	assert_int_equal(zone_reach(zone, local(2011, 12, 30, 2, 30)), local(2011, 12, 30, 10, 0));
	assert_int_equal(zone_reach(zone, local(2011, 12, 31, 0, 0)), local(2011, 12, 30, 10, 0));
}

/* By looking at each quarter of an hour (and at 7 s past, for offsets with seconds) around each change. */
static void compare_with_counting(const char *name)
{
	autozone struct zone *zone = opened(name);
	struct zone_span span = zone_span_at(zone, local(1900, 1, 1, 0, 0));

	for (; span.until_s < local(2040, 1, 1, 0, 0); span = zone_span_at(zone, span.until_s)) {
		int64_t change_s = span.until_s, latest_s = INT64_MIN;

		/* Two changes at once are looked at by the zones that have them, in test_due. */
		if (change_s - span.from_s < 4 * CALENDAR_DAY_S ||
		    zone_span_at(zone, change_s).until_s - change_s < 4 * CALENDAR_DAY_S)
			continue;
		for (int64_t at_s = change_s - 2 * CALENDAR_DAY_S; at_s < change_s + 2 * CALENDAR_DAY_S;
		     at_s += 900) {
			int64_t shown_s = at_s + zone_span_at(zone, at_s).offset_s;
			int64_t instants[ZONE_INSTANTS_MAX];
			int count = zone_instants(zone, shown_s, instants);
			bool found = false;

			for (int i = 0; i < count; i++) {
				assert_int_equal(instants[i] + zone_span_at(zone, instants[i]).offset_s,
						 shown_s);
				found = found || instants[i] == at_s;
				assert_true(i == 0 || instants[i] > instants[i - 1]);
			}
			assert_true(found);
			assert_int_equal(zone_reach(zone, shown_s), instants[0]);
			latest_s = at_s == change_s - 2 * CALENDAR_DAY_S || shown_s > latest_s ? shown_s
											       : latest_s;
			if (at_s == change_s)
				latest_s = zone_latest_shown(zone, at_s - 1) > latest_s
						   ? zone_latest_shown(zone, at_s - 1)
						   : latest_s;
			assert_int_equal(zone_latest_shown(zone, at_s), latest_s);
		}
	}
}

static void local_times_are_those_that_counting_finds(void **state)
{
	static const char *const names[] = {
		"Europe/Berlin",     "America/New_York",     "Australia/Lord_Howe", "Pacific/Apia",
		"Asia/Kathmandu",    "Africa/Monrovia",	     "America/St_Johns",    "Europe/Dublin",
		"Africa/Casablanca", "America/Scoresbysund", "Pacific/Kwajalein",   "Asia/Pyongyang",
	};

	(void)state;
	fixture_need_zones();
	for (size_t i = 0; i < COUNT_OF(names); i++)
		compare_with_counting(names[i]);
}

/* --- rules ---------------------------------------------------------------------------------------------- */

static struct zone *ruled(const char *text)
{
	struct zone *zone = NULL;
	struct err err;
	int rc;

	setenv("TZ", text, 1);
	rc = zone_open_local(&zone, &err);
	unsetenv("TZ");
	if (rc < 0)
		fail_msg("%s", err.text);
	return zone;
}

static int32_t offset(const struct zone *zone, int64_t instant_s)
{
	return zone_span_at(zone, instant_s).offset_s;
}

static void rules_tell_when_daylight_saving_is(void **state)
{
	autozone struct zone *berlin = ruled("CET-1CEST,M3.5.0,M10.5.0/3");
	autozone struct zone *plain = ruled("<+0530>-5:30");
	autozone struct zone *south = ruled("NZST-12NZDT,M9.5.0,M4.1.0/3");
	autozone struct zone *winter = ruled("IST-1GMT0,M10.5.0,M3.5.0/1");
	autozone struct zone *before = ruled("<-02>2<-01>,M3.5.0/-1,M10.5.0/0");
	autozone struct zone *julian = ruled("AAA3BBB,J60/0,300/0");
	autozone struct zone *guessed = ruled("AAA5BBB");

	(void)state;
	assert_int_equal(offset(berlin, 1774746000 - 1), HOUR_S);
	assert_int_equal(offset(berlin, 1774746000), 2 * HOUR_S);
	assert_int_equal(offset(berlin, local(2026, 10, 25, 1, 0) - 1), 2 * HOUR_S);
	assert_int_equal(offset(berlin, local(2026, 10, 25, 1, 0)), HOUR_S);
	assert_int_equal(offset(plain, 0), 5 * HOUR_S + 1800);
	assert_int_equal(zone_span_at(plain, 0).until_s, INT64_MAX);
	assert_int_equal(offset(south, local(2026, 1, 1, 0, 0)), 13 * HOUR_S);
	assert_int_equal(offset(south, local(2026, 6, 1, 0, 0)), 12 * HOUR_S);
	assert_int_equal(offset(winter, local(2026, 1, 1, 0, 0)), 0);
	assert_int_equal(offset(winter, local(2026, 7, 1, 0, 0)), HOUR_S);
	assert_int_equal(offset(before, local(2026, 3, 29, 1, 0) - 1), -2 * HOUR_S);
	assert_int_equal(offset(before, local(2026, 3, 29, 1, 0)), -HOUR_S);
	/* J60 is March 1 also in a leap year, day 300 is counted with the leap day. */
	assert_int_equal(offset(julian, local(2028, 3, 1, 3, 0) - 1), -3 * HOUR_S);
	assert_int_equal(offset(julian, local(2028, 3, 1, 3, 0)), -2 * HOUR_S);
	assert_int_equal(offset(julian, local(2028, 10, 27, 2, 0)), -3 * HOUR_S);
	assert_int_equal(offset(julian, local(2028, 10, 27, 2, 0) - 1), -2 * HOUR_S);
	assert_int_equal(offset(guessed, local(2026, 3, 8, 7, 0)), -4 * HOUR_S);
	assert_int_equal(offset(guessed, local(2026, 3, 8, 7, 0) - 1), -5 * HOUR_S);
}

static void daylight_saving_may_be_for_ever_or_make_no_difference(void **state)
{
	autozone struct zone *always = ruled("XXX3EDT4,0/0,J365/23");
	autozone struct zone *same = ruled("AAA3BBB3,M3.2.0,M11.1.0");
	int64_t far_s = local(3456, 7, 8, 9, 10);

	(void)state;
	/* 23:00 by the clock of daylight saving (4 h west here) is new year by that of standard time. */
	for (int64_t at_s = local(1950, 1, 1, 0, 0); at_s < local(2500, 1, 1, 0, 0); at_s += 8 * HOUR_S + 1)
		assert_int_equal(offset(always, at_s), -4 * HOUR_S);
	assert_int_equal(offset(always, far_s), -4 * HOUR_S);
	assert_int_equal(offset(same, far_s), -3 * HOUR_S);
	assert_int_equal(zone_span_at(same, far_s).until_s, INT64_MAX);
}

static void a_rule_goes_on_for_ever(void **state)
{
	autozone struct zone *zone = ruled("CET-1CEST,M3.5.0,M10.5.0/3");
	const int64_t cycle_s = INT64_C(146097) * CALENDAR_DAY_S;

	(void)state;
	for (int64_t cycles = 1; cycles < 20; cycles++) {
		struct zone_span span = zone_span_at(zone, 1774746000 + cycles * cycle_s);

		assert_int_equal(span.from_s, 1774746000 + cycles * cycle_s);
		assert_int_equal(span.offset_s, 2 * HOUR_S);
		assert_int_equal(zone_span_at(zone, span.until_s).offset_s, HOUR_S);
	}
}

static void what_is_no_rule_is_refused(void **state)
{
	static const char *const texts[] = {
		"",
		"CET",
		"C1",
		"CET-1CEST,M3.5.0",
		"CET-25",
		"CET-1CEST,M13.1.0,M1.1.0",
		"<CET-1",
		"CET-1CEST,M3.6.0,M10.5.0",
		"CET-1CEST,M3.5.7,M10.5.0",
		"CET-1CEST,M3.5.0/168,M10.5.0",
		"CET-1CEST,J0,J5",
		"CET-1CEST,366,5",
		"CET-1 CEST",
		"CET-1CEST,M3.5.0,M10.5.0/3x",
		"CET-99999999999999999999",
	};
	struct zone_rule rule;
	struct err err;

	(void)state;
	for (size_t i = 0; i < COUNT_OF(texts); i++)
		if (zone_rule_parse(texts[i], &rule, &err) != ERR_INVALID)
			fail_msg("'%s' is taken", texts[i]);
}

/* --- finding and reading -------------------------------------------------------------------------------- */

static void this_machine_s_zone_is_that_of_TZ(void **state)
{
	struct zone *zone = NULL;
	struct err err;

	(void)state;
	fixture_need_zones();
	zone = ruled("Asia/Kathmandu");
	assert_string_equal(zone_name(zone), "Asia/Kathmandu");
	zone_free(zone);
	zone = ruled(":Asia/Kathmandu");
	assert_string_equal(zone_name(zone), "Asia/Kathmandu");
	zone_free(zone);
	zone = ruled(FIXTURE_ZONES "/Asia/Kathmandu");
	assert_int_equal(offset(zone, 1774746000), 5 * HOUR_S + 45 * 60);
	zone_free(zone);
	zone = ruled("");
	assert_string_equal(zone_name(zone), "UTC");
	zone_free(zone);
	setenv("TZ", "Asia/Katmandoo", 1);
	assert_int_equal(zone_open_local(&zone, &err), ERR_INVALID);
	assert_non_null(strstr(err.text, "Asia/Katmandoo"));
	unsetenv("TZ");
	assert_int_equal(zone_open_local(&zone, &err), 0);
	zone_free(zone);
}

static void names_lead_nowhere_else(void **state)
{
	static const char *const names[] = { "", "/etc/passwd", "../../../etc/passwd", "Europe/../UTC", "." };
	struct zone *zone = NULL;

	(void)state;
	for (size_t i = 0; i < COUNT_OF(names); i++)
		assert_int_equal(zone_open(names[i], &zone, NULL), ERR_INVALID);
	assert_int_equal(zone_open("Europe/Atlantis", &zone, NULL), ERR_NOT_FOUND);
	zone_free(opened("UTC"));
}

static size_t read_file(const char *path, uint8_t *bytes, size_t room)
{
	autofclose FILE *file = fopen(path, "re");

	return file == NULL ? 0 : fread(bytes, 1, room, file);
}

static void damaged_files_are_refused_or_read_and_never_believed_blindly(void **state)
{
	static uint8_t bytes[8192], broken[8192];
	struct rng dice = rng_seeded(7);
	struct zone *zone;
	size_t n;

	(void)state;
	fixture_need_zones();
	n = read_file(FIXTURE_ZONES "/Europe/Berlin", bytes, sizeof bytes);
	for (size_t cut = 0; cut < n; cut++) {
		autofree uint8_t *part = malloc(cut + 1);

		memcpy(part, bytes, cut);
		assert_int_equal(zone_parse("x", part, cut, &zone, NULL), ERR_INVALID);
	}
	for (int i = 0; i < 20000; i++) {
		memcpy(broken, bytes, n);
		for (uint64_t flips = 1 + rng_below(&dice, 4); flips > 0; flips--)
			broken[rng_below(&dice, n)] = (uint8_t)rng_next(&dice);
		if (zone_parse("x", broken, n, &zone, NULL) < 0)
			continue;
		zone_reach(zone, local(2026, 3, 29, 2, 30));
		zone_latest_shown(zone, 1774746000);
		zone_free(zone);
	}
}

static void leap_seconds_are_refused(void **state)
{
	struct zone *zone;

	(void)state;
	if (access(FIXTURE_ZONES "/right/Europe/Berlin", R_OK) < 0)
		skip();
	assert_int_equal(zone_open("right/Europe/Berlin", &zone, NULL), ERR_INVALID);
}

static void offsets_are_written_as_in_RFC_3339(void **state)
{
	char text[ZONE_OFFSET_BYTES];

	(void)state;
	assert_string_equal(zone_offset_text(0, text), "+00:00");
	assert_string_equal(zone_offset_text(5 * HOUR_S + 45 * 60, text), "+05:45");
	assert_string_equal(zone_offset_text(-HOUR_S / 2, text), "-00:30");
	assert_string_equal(zone_offset_text(-2670, text), "-00:44:30");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(days_and_dates_are_those_of_libc),
		cmocka_unit_test(each_zone_has_the_offsets_that_libc_finds),
		cmocka_unit_test(a_local_time_in_a_gap_is_reached_at_its_end),
		cmocka_unit_test(a_local_time_that_exists_twice_is_reached_at_the_first),
		cmocka_unit_test(a_day_that_a_zone_left_out_is_a_gap_like_any_other),
		cmocka_unit_test(local_times_are_those_that_counting_finds),
		cmocka_unit_test(rules_tell_when_daylight_saving_is),
		cmocka_unit_test(daylight_saving_may_be_for_ever_or_make_no_difference),
		cmocka_unit_test(a_rule_goes_on_for_ever),
		cmocka_unit_test(what_is_no_rule_is_refused),
		cmocka_unit_test(this_machine_s_zone_is_that_of_TZ),
		cmocka_unit_test(names_lead_nowhere_else),
		cmocka_unit_test(damaged_files_are_refused_or_read_and_never_believed_blindly),
		cmocka_unit_test(leap_seconds_are_refused),
		cmocka_unit_test(offsets_are_written_as_in_RFC_3339),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
