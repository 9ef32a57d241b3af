/*
 * settings_kept.h - the part of the settings that says how much is kept of what has ended
 */
#ifndef SCHEDULER_SETTINGS_KEPT_H
#define SCHEDULER_SETTINGS_KEPT_H

#include "dag/field.h"

#define SETTINGS_FETCHED_BYTES (INT64_C(20) << 30) /* unless something is said */

/* Reader for the table of the file; the member is a struct settings *. */
field_reader settings_read_fetched_max;

#endif
