/*
 * calendar.h - dates of the Gregorian calendar as days since 1970-01-01
 *
 * Pure, and for every year that fits; days before 1970 are negative.
 *
 * Source: H. Hinnant, "chrono-compatible low-level date algorithms", days_from_civil and civil_from_days.
 */
#ifndef COMMON_CALENDAR_H
#define COMMON_CALENDAR_H

#include <stdint.h>

enum { CALENDAR_DAY_S = 86400 };

struct calendar_date {
	int64_t year;
	int month; /* from 1 */
	int day;   /* from 1 */
};

int64_t calendar_days(int64_t year, int month, int day);
struct calendar_date calendar_date(int64_t days);

/* 0: Sunday. */
int calendar_weekday(int64_t days);

/* Rounds down, also what is negative; `divisor` is positive. */
static inline int64_t calendar_floor(int64_t number, int64_t divisor)
{
	return number / divisor - (number % divisor < 0);
}

#endif
