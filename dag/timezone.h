/*
 * timezone.h - whether this machine knows a time zone, and which one was probably meant
 *
 * Names are those of the tz database under /usr/share/zoneinfo. Where that folder is missing, each
 * well-formed name is taken to exist.
 */
#ifndef DAG_TIMEZONE_H
#define DAG_TIMEZONE_H

#include <stdbool.h>

#include "common/arena.h"

bool timezone_exists(const char *name);

/* The nearest known name ("Berlin" and "europe/berlin" too), or NULL. */
const char *timezone_suggest(struct arena *arena, const char *name);

#endif
