/*
 * zones.h - the time zones in use, each opened once
 *
 * What was opened is kept until zones_free, so that a pointer to a zone stays good: a new tz database counts from the
 * next start on.
 *
 * Errors: as zone_open.
 */
#ifndef SCHEDULER_ZONES_H
#define SCHEDULER_ZONES_H

#include "common/err.h"
#include "common/zone.h"

struct zones;

/* `local`: the scheduler's, which holds where a schedule names none; NULL: this machine's. */
struct zones *zones_new(const char *local);
void zones_free(struct zones *zones); /* NULL is harmless */

/* By name; NULL and "": the scheduler's, which is opened when it is first asked for. */
int zones_find(struct zones *zones, const char *name, const struct zone **zone_out, struct err *err);

static inline void scope_zones_free(struct zones **zones)
{
	zones_free(*zones);
}

#define autozones __attribute__((cleanup(scope_zones_free)))

#endif
