#include "scheduler/moment.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

enum { MINUTE_S = 60, HOUR_S = 3600, DAY_S = 86400, HALF_YEAR_S = 182 * 86400 };

static struct tm local_of(int64_t wall_ms)
{
	time_t second = (time_t)(wall_ms / 1000);
	struct tm tm = { 0 };

	localtime_r(&second, &tm);
	return tm;
}

const char *moment_clock(int64_t wall_ms, char text[MOMENT_BYTES])
{
	struct tm tm = local_of(wall_ms);

	strftime(text, MOMENT_BYTES, "%H:%M:%S", &tm);
	return text;
}

const char *moment_local(int64_t wall_ms, int64_t now_wall_ms, char text[MOMENT_BYTES])
{
	int64_t away_s = (now_wall_ms - wall_ms) / 1000;
	struct tm tm, now;

	if (wall_ms == 0)
		return strcpy(text, "-");
	tm = local_of(wall_ms);
	now = local_of(now_wall_ms);
	if (tm.tm_yday == now.tm_yday && tm.tm_year == now.tm_year)
		strftime(text, MOMENT_BYTES, "%H:%M:%S", &tm);
	else if (away_s < HALF_YEAR_S && away_s > -HALF_YEAR_S)
		strftime(text, MOMENT_BYTES, "%b %d %H:%M", &tm);
	else
		strftime(text, MOMENT_BYTES, "%Y-%m-%d", &tm);
	return text;
}

const char *moment_ago(int64_t wall_ms, int64_t now_wall_ms, char text[MOMENT_BYTES])
{
	int64_t away_s = (now_wall_ms - wall_ms) / 1000;
	const char *before = away_s < 0 ? "in " : "", *after = away_s < 0 ? "" : " ago";

	if (wall_ms == 0)
		return strcpy(text, "-");
	if (away_s < 0)
		away_s = -away_s;
	if (away_s >= DAY_S)
		return moment_local(wall_ms, now_wall_ms, text);
	if (away_s < MINUTE_S)
		snprintf(text, MOMENT_BYTES, "%s%" PRId64 "s%s", before, away_s, after);
	else if (away_s < HOUR_S)
		snprintf(text, MOMENT_BYTES, "%s%" PRId64 "m%s", before, away_s / MINUTE_S, after);
	else
		snprintf(text, MOMENT_BYTES, "%s%" PRId64 "h%s", before, away_s / HOUR_S, after);
	return text;
}

int64_t moment_parse(const char *rfc3339)
{
	struct tm tm = { 0 };
	int ms = 0, end = 0;

	if (rfc3339 == NULL ||
	    sscanf(rfc3339, "%4d-%2d-%2dT%2d:%2d:%2d.%3dZ%n", &tm.tm_year, &tm.tm_mon, &tm.tm_mday,
		   &tm.tm_hour, &tm.tm_min, &tm.tm_sec, &ms, &end) != 7 ||
	    rfc3339[end] != '\0')
		return 0;
	tm.tm_year -= 1900;
	tm.tm_mon--;
	return (int64_t)timegm(&tm) * 1000 + ms;
}
