#include "common/calendar.h"

/* Years begin in March here, so that the leap day is a year's last; an era is 400 of them. */
enum { ERA_YEARS = 400, ERA_DAYS = 146097, DAYS_TO_1970 = 719468 };

int64_t calendar_days(int64_t year, int month, int day)
{
	int64_t shifted = year - (month <= 2);
	int64_t era = calendar_floor(shifted, ERA_YEARS);
	int64_t year_of_era = shifted - era * ERA_YEARS;
	int64_t day_of_year = (153 * (month + (month > 2 ? -3 : 9)) + 2) / 5 + day - 1;
	int64_t day_of_era = year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year;

	return era * ERA_DAYS + day_of_era - DAYS_TO_1970;
}

struct calendar_date calendar_date(int64_t days)
{
	int64_t shifted = days + DAYS_TO_1970;
	int64_t era = calendar_floor(shifted, ERA_DAYS);
	int64_t day_of_era = shifted - era * ERA_DAYS;
	int64_t year_of_era =
		(day_of_era - day_of_era / 1460 + day_of_era / 36524 - day_of_era / (ERA_DAYS - 1)) / 365;
	int day_of_year = (int)(day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100));
	int month_from_march = (5 * day_of_year + 2) / 153;
	int month = month_from_march + (month_from_march < 10 ? 3 : -9);

	return (struct calendar_date){
		.year = era * ERA_YEARS + year_of_era + (month <= 2),
		.month = month,
		.day = day_of_year - (153 * month_from_march + 2) / 5 + 1,
	};
}

int calendar_weekday(int64_t days)
{
	const int thursday = 4; /* 1970-01-01 */
	int weekday = (int)((days + thursday) % 7);

	return weekday < 0 ? weekday + 7 : weekday;
}
