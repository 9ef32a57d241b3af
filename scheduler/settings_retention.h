/*
 * settings_retention.h - reading `retention` of stoker.yaml
 */
#ifndef SCHEDULER_SETTINGS_RETENTION_H
#define SCHEDULER_SETTINGS_RETENTION_H

#include "dag/field.h"

/* Its member is a struct retention, which holds what is not said. */
field_reader settings_read_retention;

/* All its levels, for those that tell where a misplaced key belongs. */
extern const struct field_level settings_retention_level;

#endif
