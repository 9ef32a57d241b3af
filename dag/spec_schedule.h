/*
 * spec_schedule.h - reading `schedule` and `after`: when a run starts by itself
 *
 * A schedule is a cron line, a map, or a list of these. A map with several cron lines becomes several
 * schedules with the same options.
 */
#ifndef DAG_SPEC_SCHEDULE_H
#define DAG_SPEC_SCHEDULE_H

#include "dag/field.h"

enum { SPEC_SCHEDULES_MAX = 100 };

extern const struct field_level spec_schedule_level;
extern const struct field_level spec_after_level;

field_reader spec_schedule_read; /* fill in a struct dag */
field_reader spec_schedule_read_after;
field_reader spec_schedule_read_timezone; /* const char *: a name of the tz database */

#endif
