/*
 * settings_pools.h - reading the `pools` of stoker.yaml, for settings.c
 *
 *   pools:
 *     gpu-jobs: 2
 *     database: {slots: 1, description: what writes to the warehouse}
 *
 * Errors: as diagnostics, like all of settings.h.
 */
#ifndef SCHEDULER_SETTINGS_POOLS_H
#define SCHEDULER_SETTINGS_POOLS_H

#include "dag/field.h"

enum { SETTINGS_POOLS_MAX = 256, SETTINGS_SLOTS_MAX = 10000 };

extern const struct field_level settings_pool_level;

/* A reader for the table of the file; the member is a struct settings *. */
field_reader settings_read_pools;

#endif
