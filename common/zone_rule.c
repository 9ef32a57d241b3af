#include "common/zone_rule.h"

#include <string.h>

#include "common/calendar.h"

enum { HOUR_S = 3600, MINUTE_S = 60, NAME_BYTES_MIN = 3, TIME_HOURS_MAX = 167, OFFSET_HOURS_MAX = 24 };

/* What a zone that names daylight saving without its days has meant in most programs. */
#define DAYS_UNLESS_SAID ",M3.2.0,M11.1.0"

static bool take_character(const char **text, char c)
{
	if (**text != c)
		return false;
	(*text)++;
	return true;
}

static bool take_number(const char **text, int min, int max, int *number_out)
{
	size_t digits = strspn(*text, "0123456789");
	int number = 0;

	if (digits == 0 || digits > 4)
		return false;
	for (; digits > 0; digits--)
		number = number * 10 + (*(*text)++ - '0');
	*number_out = number;
	return number >= min && number <= max;
}

/* "CEST", or "<+0330>" */
static bool skip_name(const char **text)
{
	static const char letters[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ";
	size_t bytes;

	if (!take_character(text, '<')) {
		bytes = strspn(*text, letters);
		*text += bytes;
		return bytes >= NAME_BYTES_MIN;
	}
	bytes = strcspn(*text, ">");
	*text += bytes;
	return bytes >= NAME_BYTES_MIN && take_character(text, '>');
}

/* [+-]hh[:mm[:ss]] */
static bool take_time(const char **text, int hours_max, int32_t *seconds_out)
{
	int hours, minutes = 0, seconds = 0;
	bool negative = take_character(text, '-');

	if (!negative)
		take_character(text, '+');
	if (!take_number(text, 0, hours_max, &hours))
		return false;
	if (take_character(text, ':')) {
		if (!take_number(text, 0, 59, &minutes))
			return false;
		if (take_character(text, ':') && !take_number(text, 0, 59, &seconds))
			return false;
	}
	*seconds_out = (hours * HOUR_S + minutes * MINUTE_S + seconds) * (negative ? -1 : 1);
	return true;
}

/* Offsets are written as what is to be added to get UTC: west is positive. */
static bool take_offset(const char **text, int32_t *offset_out)
{
	if (!take_time(text, OFFSET_HOURS_MAX, offset_out))
		return false;
	*offset_out = -*offset_out;
	return true;
}

static bool take_day(const char **text, struct zone_rule_day *day)
{
	*day = (struct zone_rule_day){ .time_s = 2 * HOUR_S };
	if (!take_character(text, ','))
		return false;
	if (take_character(text, 'M')) {
		day->kind = ZONE_RULE_WEEKDAY;
		if (!take_number(text, 1, 12, &day->month) || !take_character(text, '.') ||
		    !take_number(text, 1, 5, &day->week) || !take_character(text, '.') ||
		    !take_number(text, 0, 6, &day->weekday))
			return false;
	} else if (take_character(text, 'J')) {
		day->kind = ZONE_RULE_JULIAN;
		if (!take_number(text, 1, 365, &day->day))
			return false;
	} else {
		day->kind = ZONE_RULE_DAY;
		if (!take_number(text, 0, 365, &day->day))
			return false;
	}
	return !take_character(text, '/') || take_time(text, TIME_HOURS_MAX, &day->time_s);
}

static bool take_rule(const char *text, struct zone_rule *rule)
{
	if (!skip_name(&text) || !take_offset(&text, &rule->standard_s))
		return false;
	rule->daylight = *text != '\0';
	if (!rule->daylight)
		return true;
	rule->daylight_s = rule->standard_s + HOUR_S;
	if (!skip_name(&text) || (*text != ',' && *text != '\0' && !take_offset(&text, &rule->daylight_s)))
		return false;
	if (*text == '\0')
		text = DAYS_UNLESS_SAID;
	return take_day(&text, &rule->start) && take_day(&text, &rule->end) && *text == '\0';
}

static int64_t weekday_in_month(const struct zone_rule_day *day, int64_t year)
{
	int64_t first = calendar_days(year, day->month, 1);
	int64_t next_month = day->month == 12 ? calendar_days(year + 1, 1, 1)
					      : calendar_days(year, day->month + 1, 1);
	int64_t days = first + (day->weekday - calendar_weekday(first) + 7) % 7 + 7 * (day->week - 1);

	return days >= next_month ? days - 7 : days;
}

/* The local time, in seconds since 1970, at which the clock that runs until then is changed. */
static int64_t change_local_s(const struct zone_rule_day *day, int64_t year)
{
	int64_t new_year = calendar_days(year, 1, 1), days = new_year + day->day;

	if (day->kind == ZONE_RULE_WEEKDAY)
		days = weekday_in_month(day, year);
	else if (day->kind == ZONE_RULE_JULIAN) /* March 1 is J60 in each year. */
		days = day->day < 60 ? new_year + day->day - 1 : calendar_days(year, 3, 1) + day->day - 60;
	return days * CALENDAR_DAY_S + day->time_s;
}

int zone_rule_parse(const char *text, struct zone_rule *rule_out, struct err *err)
{
	struct zone_rule rule = { 0 };

	if (!take_rule(text, &rule))
		return err_set(err, ERR_INVALID, "'%.60s' is no time zone", text);
	*rule_out = rule;
	return 0;
}

void zone_rule_year(const struct zone_rule *rule, int64_t year, int64_t *start_s_out, int64_t *end_s_out)
{
	*start_s_out = change_local_s(&rule->start, year) - rule->standard_s;
	*end_s_out = change_local_s(&rule->end, year) - rule->daylight_s;
}
