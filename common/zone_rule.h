/*
 * zone_rule.h - a time zone as POSIX writes it: "CET-1CEST,M3.5.0,M10.5.0/3"
 *
 * What $TZ may hold, and how a file of the tz database says what goes on after its last transition. Pure.
 *
 * Errors: ERR_INVALID.
 * Source: POSIX.1-2017, "Environment Variables", 8.3; RFC 8536, section 3.3.1, for times from -167 to 167.
 */
#ifndef COMMON_ZONE_RULE_H
#define COMMON_ZONE_RULE_H

#include <stdbool.h>
#include <stdint.h>

#include "common/err.h"

/* A day of each year, and the local time on it. */
struct zone_rule_day {
	enum { ZONE_RULE_WEEKDAY, ZONE_RULE_JULIAN, ZONE_RULE_DAY } kind;
	int month, week, weekday; /* M3.5.0: week 5 is the last one */
	int day;		  /* J60: from 1, the leap day not counted; 59: from 0, it is */
	int32_t time_s;
};

struct zone_rule {
	int32_t standard_s, daylight_s;	 /* offsets, east of UTC */
	bool daylight;			 /* false: standard time all the year */
	struct zone_rule_day start, end; /* of daylight saving */
};

int zone_rule_parse(const char *text, struct zone_rule *rule_out, struct err *err);

/* The instants at which daylight saving starts and ends in a year; in either order. */
void zone_rule_year(const struct zone_rule *rule, int64_t year, int64_t *start_s_out, int64_t *end_s_out);

#endif
