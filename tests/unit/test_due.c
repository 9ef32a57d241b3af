#include "scheduler/due.h"

#include <inttypes.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>

#include <cmocka.h>

#include "common/calendar.h"
#include "common/clock.h"
#include "common/rng.h"
#include "common/scope.h"
#include "scheduler/instant.h"
#include "tests/unit/zone_fixture.h"

#define DAY_MS (INT64_C(24) * 3600 * 1000)

enum { DUES_MAX = 20000, MINUTE_MS = 60 * 1000, HOUR_MS = 3600 * 1000 };

static struct due dues[DUES_MAX];

static bool quick(void)
{
	return getenv("STOKER_TEST_QUICK") != NULL;
}

/* "2026-03-29T02:30:00Z" */
static int64_t ms(const char *text)
{
	struct instant instant = { 0 };

	if (instant_parse(text, &instant, NULL) < 0)
		fail_msg("'%s' is no time", text);
	return instant.seconds * 1000;
}

/* A schedule with its zone; tests do not free zones one by one. */
static struct zone *zones[1000];
static size_t zones_count;

static const struct zone *zone_of(const char *name)
{
	struct err err;

	for (size_t i = 0; i < zones_count; i++)
		if (strcmp(zone_name(zones[i]), name) == 0)
			return zones[i];
	assert_true(zones_count < COUNT_OF(zones));
	if (zone_open(name, &zones[zones_count], &err) < 0)
		fail_msg("%s", err.text);
	return zones[zones_count++];
}

static int free_zones(void **state)
{
	(void)state;
	while (zones_count > 0)
		zone_free(zones[--zones_count]);
	return 0;
}

static struct due_schedule defined(const struct dag_schedule *definition)
{
	const char *name = definition->timezone == NULL ? "UTC" : definition->timezone;
	struct due_schedule schedule;
	struct err err;

	if (due_schedule_init(&schedule, "nightly", definition, zone_of(name), &err) < 0)
		fail_msg("%s: %s", definition->cron, err.text);
	return schedule;
}

static struct due_schedule scheduled(const char *zone, const char *cron)
{
	return defined(&(struct dag_schedule){ .cron = cron, .timezone = zone });
}

/* Local times with their offsets, and marks as in due_oracle.py. */
static void append(struct buf *out, const struct due *due)
{
	static const char marks[] = { [DUE_MOVED] = 'm', [DUE_FIRST] = 'f', [DUE_SECOND] = 's' };
	char text[INSTANT_TEXT_BYTES];

	buf_printf(out, "%s%s", out->bytes == 0 ? "" : " ",
		   instant_text(due->at_ms / 1000, due->offset_s, text));
	if (due->mark != DUE_PLAIN)
		buf_append_byte(out, (uint8_t)marks[due->mark]);
	if (due->skipped > 0)
		buf_printf(out, "+%d", due->skipped);
}

static void assert_due(const char *zone, const char *cron, const char *after, int count, const char *expected)
{
	struct due_schedule schedule = scheduled(zone, cron);
	int64_t after_ms = ms(after);
	autobuf struct buf found = { 0 };
	struct due due;

	for (; count > 0 && due_next(&schedule, after_ms, &due); count--) {
		append(&found, &due);
		after_ms = due.at_ms;
	}
	assert_string_equal(buf_text(&found), expected);
}

/* --- the two rules -------------------------------------------------------------------------------------- */

static void fixed_hours_fire_once_when_clocks_change(void **state)
{
	(void)state;
	fixture_need_zones();
	assert_due("Europe/Berlin", "30 2 * * *", "2026-03-27T12:00:00Z", 3,
		   "2026-03-28T02:30:00+01:00 2026-03-29T03:00:00+02:00m 2026-03-30T02:30:00+02:00");
	assert_due("Europe/Berlin", "30 2 * * *", "2026-10-24T12:00:00Z", 2,
		   "2026-10-25T02:30:00+02:00f 2026-10-26T02:30:00+01:00");
	assert_due("America/New_York", "0 0-3 * * *", "2026-11-01T03:30:00Z", 4,
		   "2026-11-01T00:00:00-04:00 2026-11-01T01:00:00-04:00f 2026-11-01T02:00:00-05:00 "
		   "2026-11-01T03:00:00-05:00");
	/* Asked in the repeated hour, too: its second pass is no due time. */
	assert_due("Europe/Berlin", "30 2 * * *", "2026-10-25T01:10:00Z", 1, "2026-10-26T02:30:00+01:00");
}

static void local_times_of_one_gap_are_one_due_time(void **state)
{
	(void)state;
	fixture_need_zones();
	assert_due("Europe/Berlin", "*/20 2 * * *", "2026-03-29T00:00:00Z", 2,
		   "2026-03-29T03:00:00+02:00m+2 2026-03-30T02:00:00+02:00");
	assert_due("Europe/Berlin", "0,30 2-3 * * *", "2026-03-29T00:00:00Z", 2,
		   "2026-03-29T03:00:00+02:00+2 2026-03-29T03:30:00+02:00");
}

static void wildcard_hours_follow_elapsed_time(void **state)
{
	(void)state;
	fixture_need_zones();
	assert_due("Europe/Berlin", "0 * * * *", "2026-03-28T23:30:00Z", 3,
		   "2026-03-29T01:00:00+01:00 2026-03-29T03:00:00+02:00 2026-03-29T04:00:00+02:00");
	assert_due("Europe/Berlin", "30 * * * *", "2026-10-25T00:00:00Z", 3,
		   "2026-10-25T02:30:00+02:00f 2026-10-25T02:30:00+01:00s 2026-10-25T03:30:00+01:00");
	assert_due("Europe/Berlin", "0 */2 * * *", "2026-10-24T23:00:00Z", 3,
		   "2026-10-25T02:00:00+02:00f 2026-10-25T02:00:00+01:00s 2026-10-25T04:00:00+01:00");
	assert_due("Australia/Lord_Howe", "0,30 * * * *", "2026-04-04T14:00:00Z", 4,
		   "2026-04-05T01:30:00+11:00f 2026-04-05T01:30:00+10:30s 2026-04-05T02:00:00+10:30 "
		   "2026-04-05T02:30:00+10:30");
}

static void a_day_left_out_is_made_up_for_at_its_end(void **state)
{
	(void)state;
	fixture_need_zones();
	assert_due("Pacific/Apia", "30 2 * * *", "2011-12-29T00:00:00Z", 3,
		   "2011-12-29T02:30:00-10:00 2011-12-31T00:00:00+14:00m 2011-12-31T02:30:00+14:00");
	assert_due("Pacific/Apia", "0 */12 * * *", "2011-12-29T11:00:00Z", 3,
		   "2011-12-29T12:00:00-10:00 2011-12-31T00:00:00+14:00 2011-12-31T12:00:00+14:00");
	/* Kwajalein had September 30th, 1969 twice, but for an hour. */
	assert_due("Pacific/Kwajalein", "0 6 * * *", "1969-09-29T12:00:00Z", 2,
		   "1969-09-30T06:00:00+11:00f 1969-10-01T06:00:00-12:00");
}

static void odd_offsets_are_kept_to_the_second(void **state)
{
	(void)state;
	fixture_need_zones();
	assert_due("Africa/Monrovia", "0 12 * * *", "1972-01-05T00:00:00Z", 2,
		   "1972-01-05T12:00:00-00:44:30 1972-01-06T12:00:00-00:44:30");
	assert_due("Africa/Monrovia", "20 0 * * *", "1972-01-06T12:00:00Z", 2,
		   "1972-01-07T00:44:30+00:00m 1972-01-08T00:20:00+00:00");
	assert_due("Asia/Kathmandu", "0 0 * * *", "2026-01-01T00:00:00Z", 1, "2026-01-02T00:00:00+05:45");
}

static void rare_days_are_found_however_far_they_are(void **state)
{
	(void)state;
	assert_due("UTC", "0 0 29 2 *", "2096-03-01T00:00:00Z", 2,
		   "2104-02-29T00:00:00+00:00 2108-02-29T00:00:00+00:00");
	/* February 29th and a Monday: both must match where one begins with '*'. */
	assert_due("UTC", "0 0 29 2 */6", "2026-01-01T00:00:00Z", 1, "2032-02-29T00:00:00+00:00");
	assert_due("UTC", "0 12 * * fri#5", "2026-01-31T00:00:00Z", 2,
		   "2026-05-29T12:00:00+00:00 2026-07-31T12:00:00+00:00");
	assert_due("UTC", "0 0 L 2 *", "2027-01-01T00:00:00Z", 2,
		   "2027-02-28T00:00:00+00:00 2028-02-29T00:00:00+00:00");
}

static void the_first_is_strictly_after_what_was_asked(void **state)
{
	struct due_schedule schedule = scheduled("UTC", "30 2 * * *");
	int64_t at_ms = ms("2026-03-29T02:30:00Z");
	struct due due;

	(void)state;
	assert_true(due_next(&schedule, at_ms - 1, &due));
	assert_true(due.at_ms == at_ms);
	assert_true(due_next(&schedule, at_ms, &due));
	assert_true(due.at_ms == at_ms + DAY_MS);
	assert_true(due_next(&schedule, INT64_MIN, &due));
	assert_true(due.at_ms == ms("1900-01-01T02:30:00Z"));
	assert_false(due_next(&schedule, INT64_MAX, &due));
	assert_true(due_next(&schedule, ms("9999-12-30T03:00:00Z"), &due));
	assert_false(due_next(&schedule, ms("9999-12-31T03:00:00Z"), &due));
}

/* --- against another implementation --------------------------------------------------------------------- */

static void append_as_oracle(struct buf *out, const struct due *due, int64_t first_s)
{
	static const char marks[] = { [DUE_MOVED] = 'm', [DUE_FIRST] = 'f', [DUE_SECOND] = 's' };
	int64_t after_s = due->at_ms / 1000 - first_s;

	buf_printf(out, after_s % 60 == 0 ? "%s%" PRId64 : "%s.%" PRId64, out->bytes == 0 ? "" : " ",
		   after_s % 60 == 0 ? after_s / 60 : after_s);
	if (due->mark != DUE_PLAIN)
		buf_append_byte(out, (uint8_t)marks[due->mark]);
	if (due->skipped > 0)
		buf_printf(out, "+%d", due->skipped);
}

static void compare_with_oracle(char *line)
{
	const char *zone = strtok(line, "\t"), *cron = strtok(NULL, "\t");
	int64_t first_s = strtoll(strtok(NULL, "\t"), NULL, 10);
	int64_t last_s = strtoll(strtok(NULL, "\t"), NULL, 10);
	const char *expected = strtok(NULL, "\n");
	struct due_schedule schedule = scheduled(zone, cron);
	size_t count = due_between(&schedule, first_s * 1000, last_s * 1000, dues, DUES_MAX);
	autobuf struct buf found = { 0 };

	for (size_t i = 0; i < count; i++)
		append_as_oracle(&found, &dues[i], first_s);
	if (strcmp(buf_text(&found), expected == NULL ? "" : expected) != 0)
		fail_msg("%s '%s' after %" PRId64 ":\n%s\nexpected\n%s", zone, cron, first_s,
			 buf_text(&found), expected);
}

/* Asked now, not once and for all: what a zone did in the past is put right now and then. */
static void due_times_are_those_that_zoneinfo_gives(void **state)
{
	FILE *oracle;
	char line[4096];
	int lines = 0, status;

	(void)state;
	fixture_need_zones();
	oracle = popen("PYTHONTZPATH=/usr/share/zoneinfo exec \"${PYTHON3:-python3}\" -B"
		       " \"${STOKER_SOURCE:-.}/tests/unit/due_oracle.py\"",
		       "re");
	assert_non_null(oracle);
	while (fgets(line, sizeof line, oracle) != NULL) {
		compare_with_oracle(line);
		lines++;
	}
	status = pclose(oracle);
	if (WIFEXITED(status) && WEXITSTATUS(status) == 127)
		skip(); /* there is no Python */
	assert_int_equal(status, 0);
	assert_true(lines > 500);
}

/* --- for each zone of the system ------------------------------------------------------------------------ */

static void check_days(const char *name, const char *cron, int minute_of_day)
{
	struct due_schedule schedule = scheduled(name, cron);
	int64_t day = calendar_days(2020, 1, 1), end = calendar_days(2031, 1, 1), before_ms = INT64_MIN;
	int64_t after_ms = (day * CALENDAR_DAY_S + minute_of_day * 60) * 1000 - 2 * DAY_MS;
	struct due due;

	while (due_next(&schedule, after_ms, &due) && due.nominal_local_s < day * CALENDAR_DAY_S)
		after_ms = due.at_ms;
	for (; day < end; day++) {
		struct zone_span span;

		assert_true(due_next(&schedule, after_ms, &due));
		if (due.nominal_local_s != day * CALENDAR_DAY_S + minute_of_day * 60)
			fail_msg("%s '%s': no due time on day %" PRId64, name, cron, day);
		if (due.at_ms <= before_ms || due.at_ms % 1000 != 0 || due.start_ms != due.at_ms ||
		    due.skipped > 0)
			fail_msg("%s: wrong on day %" PRId64, name, day);
		span = zone_span_at(schedule.zone, due.at_ms / 1000);
		assert_int_equal(due.offset_s, span.offset_s);
		if (due.mark == DUE_MOVED)
			assert_true(due.at_ms == span.from_s * 1000);
		else
			assert_true(due.at_ms / 1000 + span.offset_s == due.nominal_local_s);
		assert_true(due.mark != DUE_SECOND);
		before_ms = after_ms = due.at_ms;
	}
}

static void check_nights(const char *name)
{
	check_days(name, "0 0 * * *", 0);
	check_days(name, "30 2 * * *", 150);
}

static void daily_is_once_on_each_local_day_of_each_zone(void **state)
{
	(void)state;
	fixture_each_zone(check_nights);
}

/* What the rules say, taken by the word: minute by minute, with the latest time that the clock has shown. */
struct walk {
	const struct due_schedule *schedule;
	int64_t shown_s; /* the latest */
	size_t count;
	int64_t at_s[8 * 1440];
};

static bool names(const struct cron *cron, int64_t local_s)
{
	int64_t days = calendar_floor(local_s, CALENDAR_DAY_S);
	struct calendar_date date = calendar_date(days);
	int minute = (int)(local_s - days * CALENDAR_DAY_S) / 60;

	return local_s % 60 == 0 && cron_matches_day(cron, (int)date.year, date.month, date.day) &&
	       (cron->hours >> minute / 60 & 1) != 0 && (cron->minutes >> minute % 60 & 1) != 0;
}

static void walk_minute(struct walk *walk, int64_t at_s)
{
	const struct cron *cron = &walk->schedule->cron;
	int64_t local_s = at_s + zone_span_at(walk->schedule->zone, at_s).offset_s;
	bool due = cron->elapsed && names(cron, local_s);

	for (; walk->shown_s < local_s; walk->shown_s += 60)
		due = due || (!cron->elapsed && names(cron, walk->shown_s + 60));
	if (due)
		walk->at_s[walk->count++] = at_s;
}

static struct rng dice;

static void random_field(struct buf *out, int min, int max)
{
	int first = min + (int)rng_below(&dice, (uint64_t)(max - min + 1));
	int last = first + (int)rng_below(&dice, (uint64_t)(max - first + 1));

	switch (rng_below(&dice, 6)) {
	case 0:
	case 1:
		buf_append_byte(out, '*');
		break;
	case 2:
		buf_printf(out, "*/%d", 1 + (int)rng_below(&dice, (uint64_t)(max - min)));
		break;
	case 3:
		buf_printf(out, "%d-%d", first, last);
		break;
	case 4:
		buf_printf(out, "%d,%d", first, last);
		break;
	default:
		buf_printf(out, "%d", first);
	}
}

/* Never one that never fires. */
static struct cron random_cron(struct buf *out)
{
	struct cron cron;

	for (;;) {
		static const int limits[][2] = { { 0, 59 }, { 0, 23 }, { 1, 31 }, { 1, 12 }, { 0, 6 } };

		buf_clear(out);
		for (size_t i = 0; i < COUNT_OF(limits); i++) {
			if (i > 0)
				buf_append_byte(out, ' ');
			/* The later ones mostly `*`, or hardly anything would fire. */
			if (i >= 2 && rng_below(&dice, 3) > 0)
				buf_append_byte(out, '*');
			else
				random_field(out, limits[i][0], limits[i][1]);
		}
		if (cron_parse(buf_text(out), &cron, NULL, NULL) == 0 && cron_ever_fires(&cron))
			return cron;
	}
}

static void compare_with_walking(const char *name, const char *cron, int64_t change_s)
{
	struct due_schedule schedule = scheduled(name, cron);
	int64_t first_s = change_s - 3 * CALENDAR_DAY_S, last_s = change_s + 3 * CALENDAR_DAY_S;
	static struct walk walk;
	size_t count;

	walk = (struct walk){ .schedule = &schedule, .shown_s = zone_latest_shown(schedule.zone, first_s) };
	if (walk.shown_s % 60 == 59) /* asked just when the clock went back */
		walk.shown_s -= 59;
	for (int64_t at_s = first_s + 60; at_s <= last_s; at_s += 60)
		walk_minute(&walk, at_s);
	count = due_between(&schedule, first_s * 1000, last_s * 1000, dues, DUES_MAX);
	if (count != walk.count)
		fail_msg("%s '%s' at %" PRId64 ": %zu due times, walking finds %zu", name, cron, change_s,
			 count, walk.count);
	for (size_t i = 0; i < count; i++)
		if (dues[i].at_ms != walk.at_s[i] * 1000)
			fail_msg("%s '%s' at %" PRId64 ": due at %" PRId64 ", walking finds %" PRId64, name,
				 cron, change_s, dues[i].at_ms / 1000, walk.at_s[i]);
}

/* Each change from 1980 on, when offsets are of whole minutes. */
static void check_changes(const char *name)
{
	const struct zone *zone = zone_of(name);
	struct zone_span span = zone_span_at(zone, calendar_days(1980, 1, 1) * CALENDAR_DAY_S);
	autobuf struct buf cron = { 0 };

	for (; span.until_s < calendar_days(2040, 1, 1) * CALENDAR_DAY_S;
	     span = zone_span_at(zone, span.until_s)) {
		if (span.offset_s % 60 != 0 || rng_below(&dice, quick() ? 40 : 8) > 0)
			continue;
		random_cron(&cron);
		compare_with_walking(name, buf_text(&cron), span.until_s);
	}
}

static void due_times_are_those_that_walking_minute_by_minute_finds(void **state)
{
	(void)state;
	dice = rng_seeded(20261124);
	fixture_each_zone(check_changes);
}

/* --- properties ----------------------------------------------------------------------------------------- */

static const char *const some_zones[] = {
	"Europe/Berlin", "America/New_York",  "Australia/Lord_Howe", "Pacific/Apia",	  "Asia/Kathmandu",
	"Europe/Dublin", "Africa/Casablanca", "America/Santiago",    "Pacific/Kwajalein", "UTC",
};

static void check_fifty_years(const char *zone, const char *cron)
{
	struct due_schedule schedule = scheduled(zone, cron);
	int64_t after_ms = ms("1990-01-01T00:00:00Z"), end_ms = ms("2040-01-01T00:00:00Z");
	struct due due, again;

	/* In leaps, that what fires each minute takes its time, too. */
	while (after_ms < end_ms && due_next(&schedule, after_ms, &due)) {
		int64_t between_ms = due.at_ms - after_ms;

		if (due.at_ms <= after_ms)
			fail_msg("%s '%s': no step on from %" PRId64, zone, cron, after_ms);
		/* Wherever one asks from in between, the answer is the same. */
		assert_true(due_next(&schedule, after_ms + (int64_t)rng_below(&dice, (uint64_t)between_ms),
				     &again));
		assert_true(again.at_ms == due.at_ms && again.mark == due.mark &&
			    again.nominal_local_s == due.nominal_local_s && again.skipped == due.skipped);
		after_ms = due.at_ms +
			   (rng_below(&dice, 20) == 0 ? (int64_t)rng_below(&dice, 60 * (uint64_t)DAY_MS) : 0);
	}
}

static void next_after_next_strictly_increases_over_fifty_years(void **state)
{
	autobuf struct buf cron = { 0 };

	(void)state;
	fixture_need_zones();
	dice = rng_seeded(5);
	for (int i = 0; i < (quick() ? 30 : 300); i++) {
		random_cron(&cron);
		check_fifty_years(some_zones[i % (int)COUNT_OF(some_zones)], buf_text(&cron));
	}
}

static void a_range_is_next_again_and_again_in_any_pieces(void **state)
{
	static struct due piece[7];
	autobuf struct buf cron = { 0 };

	(void)state;
	fixture_need_zones();
	dice = rng_seeded(6);
	for (int i = 0; i < 200; i++) {
		const char *zone = some_zones[i % (int)COUNT_OF(some_zones)];
		int64_t after_ms = ms("1995-01-01T00:00:00Z") +
				   (int64_t)rng_below(&dice, 30 * 365 * (uint64_t)DAY_MS);
		int64_t upto_ms = after_ms + (int64_t)rng_below(&dice, 10 * (uint64_t)DAY_MS),
			at_ms = after_ms;
		struct due_schedule schedule;
		size_t count, n = 0, got;
		struct due due;

		random_cron(&cron);
		schedule = scheduled(zone, buf_text(&cron));
		count = due_between(&schedule, after_ms, upto_ms, dues, DUES_MAX);
		for (size_t k = 0; k < count; k++) {
			assert_true(due_next(&schedule, at_ms, &due));
			assert_memory_equal(&due.at_ms, &dues[k].at_ms, sizeof due.at_ms);
			at_ms = due.at_ms;
		}
		assert_true(!due_next(&schedule, at_ms, &due) || due.at_ms > upto_ms);
		at_ms = after_ms;
		while ((got = due_between(&schedule, at_ms, upto_ms, piece, COUNT_OF(piece))) > 0) {
			for (size_t k = 0; k < got; k++)
				assert_true(piece[k].at_ms == dues[n++].at_ms);
			at_ms = piece[got - 1].at_ms;
		}
		assert_int_equal(n, count);
	}
}

/* --- from, until, jitter -------------------------------------------------------------------------------- */

static size_t count_in_march(const struct dag_schedule *definition, struct due **first, struct due **last)
{
	struct due_schedule schedule = defined(definition);
	size_t count = due_between(&schedule, ms("2026-03-01T00:00:00Z"), ms("2026-04-01T00:00:00Z"), dues,
				   DUES_MAX);

	*first = &dues[0];
	*last = &dues[count == 0 ? 0 : count - 1];
	return count;
}

static void from_and_until_are_the_first_and_the_last_day(void **state)
{
	struct dag_schedule definition = { .cron = "0 0,23 * * *",
					   .timezone = "America/New_York",
					   .from = "2026-03-07",
					   .until = "2026-03-09" };
	struct due *first, *last;

	(void)state;
	fixture_need_zones();
	assert_int_equal(count_in_march(&definition, &first, &last), 6);
	assert_true(first->at_ms == ms("2026-03-07T00:00:00-05:00"));
	assert_true(last->at_ms == ms("2026-03-09T23:00:00-04:00"));
	definition.cron = "0 */23 * * *";
	assert_int_equal(count_in_march(&definition, &first, &last), 6);
	assert_true(first->at_ms == ms("2026-03-07T00:00:00-05:00"));
	assert_true(last->at_ms == ms("2026-03-09T23:00:00-04:00"));
}

static void as_instants_they_are_still_meant(void **state)
{
	struct dag_schedule definition = { .cron = "30 2 * * *",
					   .from = "2026-03-07T02:30:00Z",
					   .until = "2026-03-09T03:30:00+01:00" };
	struct due *first, *last;

	(void)state;
	assert_int_equal(count_in_march(&definition, &first, &last), 3);
	assert_true(first->at_ms == ms("2026-03-07T02:30:00Z"));
	assert_true(last->at_ms == ms("2026-03-09T02:30:00Z"));
	definition.from = "2026-03-07T02:30:01Z";
	definition.until = "2026-03-09T02:29:59Z";
	assert_int_equal(count_in_march(&definition, &first, &last), 1);
	assert_true(first->at_ms == ms("2026-03-08T02:30:00Z"));
}

/* In Scoresbysund the last hour of the Saturday before the last Sunday of March does not exist. */
static void a_last_day_holds_what_a_gap_moves_out_of_it(void **state)
{
	struct dag_schedule definition = { .cron = "30 23 * * *",
					   .timezone = "America/Scoresbysund",
					   .until = "2026-03-28" };
	struct due *first, *last;

	(void)state;
	fixture_need_zones();
	assert_int_equal(count_in_march(&definition, &first, &last), 29); /* also that of February 28th */
	if (last->mark != DUE_MOVED)
		skip(); /* the tz database has it in another way meanwhile */
	assert_true(last->nominal_local_s * 1000 == ms("2026-03-28T23:30:00Z"));
	assert_true(last->at_ms == ms("2026-03-29T00:00:00-01:00"));
}

static void jitter_is_stable_bounded_and_different_for_each(void **state)
{
	struct dag_schedule definition = { .cron = "0 * * * *", .jitter_ms = 5 * MINUTE_MS };
	struct due_schedule schedule = defined(&definition), other;
	int64_t after_ms = ms("2026-01-01T00:00:00Z"), sum_ms = 0, least_ms = INT64_MAX, most_ms = 0;
	int same = 0;
	const int count = 5000;

	(void)state;
	definition.cron = "0 */1 * * *"; /* the same times by another line */
	other = defined(&definition);
	assert_int_equal(due_between(&schedule, after_ms, INT64_MAX, dues, (size_t)count), count);
	for (int i = 0; i < count; i++) {
		int64_t jitter_ms = dues[i].start_ms - dues[i].at_ms;
		struct due due;

		assert_in_range(jitter_ms, 0, 5 * MINUTE_MS);
		assert_true(due_next(&schedule, dues[i].at_ms - 1, &due));
		assert_true(due.start_ms == dues[i].start_ms);
		assert_true(due_next(&other, dues[i].at_ms - 1, &due));
		same += due.start_ms == dues[i].start_ms;
		sum_ms += jitter_ms;
		least_ms = jitter_ms < least_ms ? jitter_ms : least_ms;
		most_ms = jitter_ms > most_ms ? jitter_ms : most_ms;
	}
	assert_in_range(sum_ms / count, 140 * 1000, 160 * 1000);
	assert_true(least_ms < 2000 && most_ms > 298 * 1000);
	assert_true(same < 5);
	/* Never to change: a restart in between must not start a run twice, or not at all. */
	assert_int_equal(dues[0].start_ms - dues[0].at_ms, 41460);
}

static void without_jitter_the_start_is_the_due_time(void **state)
{
	struct due_schedule schedule = scheduled("UTC", "* * * * *");
	struct due due;

	(void)state;
	assert_true(due_next(&schedule, 0, &due));
	assert_true(due.start_ms == due.at_ms);
}

/* --- after downtime ------------------------------------------------------------------------------------- */

static void assert_plan(const struct dag_schedule *definition, const char *since, const char *now,
			const char *expected)
{
	static const char letters[] = {
		[DUE_RUN] = 'r', [DUE_MISSED] = 'm', [DUE_SUPERSEDED] = 's', [DUE_TOO_LATE] = 'l'
	};
	struct due_schedule schedule = defined(definition);
	autobuf struct buf found = { 0 };
	enum due_verdict verdict;
	struct due_plan plan;
	struct due due;

	due_plan_start(&plan, &schedule, ms(since), ms(now));
	while (due_plan_next(&plan, &due, &verdict))
		buf_append_byte(&found, (uint8_t)letters[verdict]);
	assert_string_equal(buf_text(&found), expected);
}

static void catchup_decides_about_what_was_missed(void **state)
{
	struct dag_schedule definition = { .cron = "0 2 * * *" };

	(void)state;
	definition.catchup = DAG_CATCHUP_NONE;
	assert_plan(&definition, "2026-01-01T02:00:00Z", "2026-01-04T09:00:00Z", "mmm");
	definition.catchup = DAG_CATCHUP_LATEST;
	assert_plan(&definition, "2026-01-01T02:00:00Z", "2026-01-04T09:00:00Z", "ssr");
	definition.catchup = DAG_CATCHUP_ALL;
	assert_plan(&definition, "2026-01-01T02:00:00Z", "2026-01-04T09:00:00Z", "rrr");
	assert_plan(&definition, "2026-01-04T02:00:00Z", "2026-01-04T09:00:00Z", "");
}

static void what_is_in_time_runs_whatever_catchup_says(void **state)
{
	struct dag_schedule definition = { .cron = "0 * * * *" };

	(void)state;
	definition.catchup = DAG_CATCHUP_NONE;
	assert_plan(&definition, "2026-01-01T02:00:00Z", "2026-01-01T05:00:00Z", "mmr");
	assert_plan(&definition, "2026-01-01T02:00:00Z", "2026-01-01T05:01:00Z", "mmr");
	assert_plan(&definition, "2026-01-01T02:00:00Z", "2026-01-01T05:01:01Z", "mmm");
	definition.catchup = DAG_CATCHUP_LATEST;
	assert_plan(&definition, "2026-01-01T02:00:00Z", "2026-01-01T05:00:30Z", "ssr");
	assert_plan(&definition, "2026-01-01T02:00:00Z", "2026-01-01T05:30:00Z", "ssr");
}

static void start_deadline_ends_it_all(void **state)
{
	struct dag_schedule definition = { .cron = "0 * * * *", .start_deadline_ms = 2 * HOUR_MS };

	(void)state;
	definition.catchup = DAG_CATCHUP_ALL;
	assert_plan(&definition, "2026-01-01T00:00:00Z", "2026-01-01T05:30:00Z", "lllrr");
	assert_plan(&definition, "2026-01-01T00:00:00Z", "2026-01-01T05:00:00Z", "llrrr");
	definition.catchup = DAG_CATCHUP_LATEST;
	assert_plan(&definition, "2026-01-01T00:00:00Z", "2026-01-01T05:30:00Z", "lllsr");
	definition.cron = "0 2 * * *";
	assert_plan(&definition, "2026-01-01T00:00:00Z", "2026-01-01T05:30:00Z", "l");
	definition.start_deadline_ms = 10 * 1000;
	assert_plan(&definition, "2026-01-01T00:00:00Z", "2026-01-01T02:00:20Z", "l");
	assert_plan(&definition, "2026-01-01T00:00:00Z", "2026-01-01T02:00:10Z", "r");
}

static void with_jitter_one_is_missed_by_its_start(void **state)
{
	struct dag_schedule definition = { .cron = "0 2 * * *", .jitter_ms = 8 * HOUR_MS };
	struct due_schedule schedule = defined(&definition);
	enum due_verdict verdict;
	struct due_plan plan;
	struct due due, same;

	(void)state;
	assert_true(due_next(&schedule, ms("2026-01-01T00:00:00Z"), &due));
	assert_true(due.start_ms > due.at_ms + 10 * MINUTE_MS);
	due_plan_start(&plan, &schedule, due.at_ms - 1, due.start_ms - 5 * MINUTE_MS);
	assert_true(due_plan_next(&plan, &same, &verdict));
	assert_true(same.start_ms == due.start_ms);
	assert_int_equal(verdict, DUE_RUN);
	due_plan_start(&plan, &schedule, due.at_ms - 1, due.start_ms + 5 * MINUTE_MS);
	assert_true(due_plan_next(&plan, &same, &verdict));
	assert_int_equal(verdict, DUE_MISSED);
}

static void a_clock_that_went_back_plans_nothing(void **state)
{
	struct dag_schedule definition = { .cron = "* * * * *", .catchup = DAG_CATCHUP_ALL };

	(void)state;
	assert_plan(&definition, "2026-01-01T05:00:00Z", "2026-01-01T04:00:00Z", "");
	assert_plan(&definition, "2026-01-01T05:00:00Z", "2026-01-01T05:00:00Z", "");
}

static void half_a_year_of_minutes_is_planned_in_no_time(void **state)
{
	struct dag_schedule definition = { .cron = "* * * * *",
					   .timezone = "Europe/Berlin",
					   .catchup = DAG_CATCHUP_LATEST };
	int64_t before_ms = clock_mono_ms(), now_ms = ms("2026-07-01T00:30:00Z");
	struct due_schedule schedule;
	enum due_verdict verdict;
	struct due_plan plan;
	struct due due;
	int count = 0, runs = 0;

	(void)state;
	fixture_need_zones();
	schedule = defined(&definition);
	due_plan_start(&plan, &schedule, ms("2026-01-01T00:00:00Z"), now_ms);
	while (due_plan_next(&plan, &due, &verdict)) {
		count++;
		runs += verdict == DUE_RUN;
	}
	assert_int_equal(count, 181 * 1440 + 30);
	assert_int_equal(runs, 2); /* at 02:29 and 02:30, both no later than a minute */
	print_message("# %d due times in %" PRId64 " ms\n", count, clock_mono_ms() - before_ms);
}

/* --- words ---------------------------------------------------------------------------------------------- */

static void assert_note(const char *zone, const char *cron, const char *after, const char *expected)
{
	struct due_schedule schedule = scheduled(zone, cron);
	autobuf struct buf note = { 0 };
	struct due due;

	assert_true(due_next(&schedule, ms(after), &due));
	assert_true(due_note(&due, &note) == (*expected != '\0'));
	assert_string_equal(buf_text(&note), expected);
}

static void what_is_odd_is_said_in_words(void **state)
{
	(void)state;
	fixture_need_zones();
	assert_note("Europe/Berlin", "30 2 * * *", "2026-03-28T12:00:00Z", "02:30 does not exist that day");
	assert_note("Europe/Berlin", "30 2 * * *", "2026-10-24T12:00:00Z", "02:30 comes twice: the first");
	assert_note("Europe/Berlin", "30 * * * *", "2026-10-25T01:00:00Z", "02:30 comes twice: the second");
	assert_note("Pacific/Apia", "30 2 * * *", "2011-12-30T00:00:00Z", "2011-12-30 02:30 does not exist");
	assert_note("Europe/Berlin", "0,30 2 * * *", "2026-03-29T00:00:00Z",
		    "02:00 does not exist that day; stands for 1 more that the clock skips");
	assert_note("Europe/Berlin", "0,30 2,3 * * *", "2026-03-29T00:00:00Z",
		    "stands for 2 more that the clock skips");
	assert_note("Europe/Berlin", "30 2 * * *", "2026-10-25T12:00:00Z", "");
}

static void what_dag_load_would_refuse_is_refused(void **state)
{
	struct dag_schedule definition = { .cron = "61 * * * *" };
	struct due_schedule schedule;
	struct err err;

	(void)state;
	assert_int_equal(due_schedule_init(&schedule, "x", &definition, zone_of("UTC"), &err), ERR_INVALID);
	definition = (struct dag_schedule){ .cron = "* * * * *", .from = "soon" };
	assert_int_equal(due_schedule_init(&schedule, "x", &definition, zone_of("UTC"), &err), ERR_INVALID);
}

static void points_in_time_are_read_as_people_write_them(void **state)
{
	static const char *const wrong[] = {
		"",
		"2026",
		"2026-2-1",
		"2026-02-29",
		"2026-13-01",
		"2026-01-01T",
		"2026-01-01T24:00",
		"2026-01-01T02:30:00+1",
		"2026-01-01T02:30Zx",
		"2026-01-01T02:30:00.Z",
		"2026-01-01 ",
	};
	struct instant instant;

	(void)state;
	assert_int_equal(instant_parse("2026-01-01", &instant, NULL), 0);
	assert_int_equal(instant.kind, INSTANT_DATE);
	assert_int_equal(instant_parse("2026-01-01 02:30", &instant, NULL), 0);
	assert_int_equal(instant.kind, INSTANT_LOCAL);
	assert_true(ms("2026-01-01T02:30:00.5+01:00") == ms("2026-01-01T01:30Z"));
	assert_true(ms("2026-01-01t00:30:15-01:00") == ms("2026-01-01T01:30:15z"));
	for (size_t i = 0; i < COUNT_OF(wrong); i++)
		if (instant_parse(wrong[i], &instant, NULL) != ERR_INVALID)
			fail_msg("'%s' is taken", wrong[i]);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(fixed_hours_fire_once_when_clocks_change),
		cmocka_unit_test(local_times_of_one_gap_are_one_due_time),
		cmocka_unit_test(wildcard_hours_follow_elapsed_time),
		cmocka_unit_test(a_day_left_out_is_made_up_for_at_its_end),
		cmocka_unit_test(odd_offsets_are_kept_to_the_second),
		cmocka_unit_test(rare_days_are_found_however_far_they_are),
		cmocka_unit_test(the_first_is_strictly_after_what_was_asked),
		cmocka_unit_test(due_times_are_those_that_zoneinfo_gives),
		cmocka_unit_test(daily_is_once_on_each_local_day_of_each_zone),
		cmocka_unit_test(due_times_are_those_that_walking_minute_by_minute_finds),
		cmocka_unit_test(next_after_next_strictly_increases_over_fifty_years),
		cmocka_unit_test(a_range_is_next_again_and_again_in_any_pieces),
		cmocka_unit_test(from_and_until_are_the_first_and_the_last_day),
		cmocka_unit_test(as_instants_they_are_still_meant),
		cmocka_unit_test(a_last_day_holds_what_a_gap_moves_out_of_it),
		cmocka_unit_test(jitter_is_stable_bounded_and_different_for_each),
		cmocka_unit_test(without_jitter_the_start_is_the_due_time),
		cmocka_unit_test(catchup_decides_about_what_was_missed),
		cmocka_unit_test(what_is_in_time_runs_whatever_catchup_says),
		cmocka_unit_test(start_deadline_ends_it_all),
		cmocka_unit_test(with_jitter_one_is_missed_by_its_start),
		cmocka_unit_test(a_clock_that_went_back_plans_nothing),
		cmocka_unit_test(half_a_year_of_minutes_is_planned_in_no_time),
		cmocka_unit_test(what_is_odd_is_said_in_words),
		cmocka_unit_test(what_dag_load_would_refuse_is_refused),
		cmocka_unit_test(points_in_time_are_read_as_people_write_them),
	};

	return cmocka_run_group_tests(tests, NULL, free_zones);
}
