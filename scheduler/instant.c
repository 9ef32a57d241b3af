#include "scheduler/instant.h"

#include <inttypes.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

#include "common/calendar.h"
#include "dag/cron.h"

enum { HOUR_S = 3600, MINUTE_S = 60, YEAR_MIN = 1900 };

static bool take_digits(const char **text, int digits, int min, int max, int *number_out)
{
	int number = 0;

	for (int i = 0; i < digits; i++, (*text)++) {
		if (**text < '0' || **text > '9')
			return false;
		number = number * 10 + (**text - '0');
	}
	*number_out = number;
	return number >= min && number <= max;
}

static bool take_character(const char **text, char c)
{
	if (**text != c)
		return false;
	(*text)++;
	return true;
}

static bool take_date(const char **text, int64_t *seconds)
{
	int year, month, day;

	if (!take_digits(text, 4, YEAR_MIN, 9999, &year) || !take_character(text, '-') ||
	    !take_digits(text, 2, 1, 12, &month) || !take_character(text, '-') ||
	    !take_digits(text, 2, 1, cron_days_in_month(year, month), &day))
		return false;
	*seconds = calendar_days(year, month, day) * CALENDAR_DAY_S;
	return true;
}

/* "02:30", "02:30:00", "02:30:00.125" */
static bool take_clock(const char **text, int64_t *seconds)
{
	int hour, minute, second = 0;

	if (!take_digits(text, 2, 0, 23, &hour) || !take_character(text, ':') ||
	    !take_digits(text, 2, 0, 59, &minute))
		return false;
	if (take_character(text, ':')) {
		if (!take_digits(text, 2, 0, 59, &second))
			return false;
		if (take_character(text, '.')) {
			size_t digits = strspn(*text, "0123456789");

			if (digits == 0)
				return false;
			*text += digits;
		}
	}
	*seconds += hour * HOUR_S + minute * MINUTE_S + second;
	return true;
}

static bool take_offset(const char **text, int64_t *seconds)
{
	int sign = **text == '-' ? -1 : 1, hours, minutes;

	if (take_character(text, 'Z') || take_character(text, 'z'))
		return true;
	if (!take_character(text, '+') && !take_character(text, '-'))
		return false;
	if (!take_digits(text, 2, 0, 23, &hours) || !take_character(text, ':') ||
	    !take_digits(text, 2, 0, 59, &minutes))
		return false;
	*seconds -= sign * (hours * HOUR_S + minutes * MINUTE_S);
	return true;
}

static bool take_instant(const char *text, struct instant *instant)
{
	instant->kind = INSTANT_DATE;
	if (!take_date(&text, &instant->seconds))
		return false;
	if (*text == '\0')
		return true;
	instant->kind = INSTANT_LOCAL;
	if ((!take_character(&text, 'T') && !take_character(&text, 't') && !take_character(&text, ' ')) ||
	    !take_clock(&text, &instant->seconds))
		return false;
	if (*text == '\0')
		return true;
	instant->kind = INSTANT_EXACT;
	return take_offset(&text, &instant->seconds) && *text == '\0';
}

int instant_parse(const char *text, struct instant *instant_out, struct err *err)
{
	struct instant instant;

	if (!take_instant(text, &instant))
		return err_set(err, ERR_INVALID,
			       "'%.40s' is neither a date (2026-12-01) nor a time (2026-12-01T02:30, "
			       "2026-12-01T02:30:00Z)",
			       text);
	*instant_out = instant;
	return 0;
}

int64_t instant_in(const struct instant *instant, const struct zone *zone)
{
	return instant->kind == INSTANT_EXACT ? instant->seconds : zone_reach(zone, instant->seconds);
}

static int print_local(char *text, size_t bytes, int64_t local_s, char between, bool seconds)
{
	int64_t days = calendar_floor(local_s, CALENDAR_DAY_S);
	int second = (int)(local_s - days * CALENDAR_DAY_S);
	struct calendar_date date = calendar_date(days);
	int used = snprintf(text, bytes, "%04" PRId64 "-%02d-%02d%c%02d:%02d", date.year, date.month,
			    date.day, between, second / HOUR_S, second / MINUTE_S % 60);

	if (seconds)
		used += snprintf(text + used, bytes - (size_t)used, ":%02d", second % MINUTE_S);
	return used;
}

const char *instant_label(int64_t local_s, char text[INSTANT_LABEL_BYTES])
{
	print_local(text, INSTANT_LABEL_BYTES, local_s, ' ', local_s % MINUTE_S != 0);
	return text;
}

const char *instant_text(int64_t instant_s, int32_t offset_s, char text[INSTANT_TEXT_BYTES])
{
	char offset[ZONE_OFFSET_BYTES];
	int used = print_local(text, INSTANT_TEXT_BYTES - ZONE_OFFSET_BYTES, instant_s + offset_s, 'T', true);

	strcpy(text + used, zone_offset_text(offset_s, offset));
	return text;
}
