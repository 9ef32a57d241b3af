/*
 * cron.h - a cron line as sets, and which local days and minutes it names
 *
 *   30 2 * * mon-fri     minute, hour, day of the month, month, day of the week (0 or 7 is Sunday)
 *
 * Each field is `*`, a value, a range, one of `*` and ranges with a step ("10-50/5"), or a list of these.
 * Months and weekdays have names (jan, mon), in any case. `L` is the month's last day, `5L` or `friL` its
 * last Friday, `mon#2` its second Monday. Or the line is one of @yearly @annually @monthly @weekly @daily
 * @midnight @hourly.
 *
 * As in Vixie cron, a line that restricts both the day of the month and the day of the week fires on days
 * that match either; where one of the two begins with `*`, both must match.
 *
 * Pure: local dates and minutes of the day, no clock and no time zone. What a daylight-saving change does to
 * a local time is for the caller to settle; `elapsed` says which of the two rules holds.
 *
 * Errors: ERR_INVALID with what is wrong; *at_out (may be NULL) is the offset of the mistake in the line.
 */
#ifndef DAG_CRON_H
#define DAG_CRON_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/err.h"

enum { CRON_WEEKDAY_NTH_MAX = 5 };

struct cron {
	uint64_t minutes;      /* bits 0 to 59 */
	uint32_t hours;        /* bits 0 to 23 */
	uint32_t days;         /* bits 1 to 31 */
	uint16_t months;       /* bits 1 to 12 */
	uint8_t weekdays;      /* bits 0 (Sunday) to 6 */
	uint8_t last_weekdays; /* those, the last time they come in a month */
	uint8_t nth_weekdays[CRON_WEEKDAY_NTH_MAX]; /* [n - 1]: those, the n-th time */
	bool last_day;    /* L */
	bool any_day;     /* the day of the month begins with `*` */
	bool any_weekday; /* the day of the week does */
	bool elapsed;     /* the hour is a wildcard or a step: follows elapsed time when clocks are changed */
};

int cron_parse(const char *text, struct cron *cron_out, size_t *at_out, struct err *err);

/* False for a line such as "0 0 30 2 *": no day of any year matches. */
bool cron_ever_fires(const struct cron *cron);

/* `month` from 1, `day` from 1; the date must exist. */
bool cron_matches_day(const struct cron *cron, int year, int month, int day);

/* The first matching minute of a day at or after `minute_of_day` (0 to 1439), or -1 when none is left. */
int cron_next_minute(const struct cron *cron, int minute_of_day);

int cron_days_in_month(int year, int month);

/* 0: Sunday. */
int cron_weekday(int year, int month, int day);

#endif
