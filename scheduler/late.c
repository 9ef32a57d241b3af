#include "scheduler/late.h"

#include <stdio.h>

#include "common/calendar.h"

enum { MINUTE_S = 60, DAYS_OUT = 4 /* more than any zone leaves out */ };

static int64_t local_day(const struct zone *zone, int64_t instant_s)
{
	return calendar_floor(instant_s + zone_span_at(zone, instant_s).offset_s, CALENDAR_DAY_S);
}

/* False when the zone leaves that day out: the clock comes to it only on a later one. */
static bool find_deadline(const struct zone *zone, int minute, int64_t day, int64_t *instant_out)
{
	*instant_out = zone_reach(zone, day * CALENDAR_DAY_S + (int64_t)minute * MINUTE_S);
	return local_day(zone, *instant_out) == day;
}

/* The deadline of the latest day before `*day` (that day included) that is not after `now_s`. */
static bool find_last(const struct zone *zone, int minute, int64_t now_s, int64_t *day, int64_t *instant_out)
{
	for (int i = 0; i < DAYS_OUT; i++, --*day)
		if (find_deadline(zone, minute, *day, instant_out) && *instant_out <= now_s)
			return true;
	return false;
}

bool late_window(const struct zone *zone, int expect_by_minute, int64_t now_ms, struct late_window *out)
{
	int64_t now_s = calendar_floor(now_ms, 1000), until_s, from_s;
	int64_t day = local_day(zone, now_s) + 1, before;
	struct calendar_date date;

	if (!find_last(zone, expect_by_minute, now_s, &day, &until_s))
		return false;
	before = day - 1;
	if (!find_last(zone, expect_by_minute, now_s, &before, &from_s))
		return false;
	out->from_ms = from_s * 1000;
	out->until_ms = until_s * 1000;
	date = calendar_date(day);
	snprintf(out->day, sizeof out->day, "%04d-%02d-%02d", (int)date.year, date.month, date.day);
	snprintf(out->label, sizeof out->label, "%02d:%02d", expect_by_minute / 60, expect_by_minute % 60);
	return true;
}

int64_t late_next_wall_ms(const struct zone *zone, int expect_by_minute, int64_t now_ms)
{
	int64_t now_s = calendar_floor(now_ms, 1000);
	int64_t today = local_day(zone, now_s), instant_s;

	for (int64_t day = today - 1; day < today + DAYS_OUT; day++)
		if (find_deadline(zone, expect_by_minute, day, &instant_s) && instant_s > now_s)
			return instant_s * 1000;
	return INT64_MAX;
}
