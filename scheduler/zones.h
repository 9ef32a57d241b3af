/*
 * zones.h - the time zones in use, each opened once
 *
 * What was opened is kept until zones_free, so that a pointer to a zone stays good, also one to a zone that a new tz
 * database tells otherwise (zones_renew).
 *
 * Errors: as zone_open.
 */
#ifndef SCHEDULER_ZONES_H
#define SCHEDULER_ZONES_H

#include <stdbool.h>

#include "common/err.h"
#include "common/zone.h"

struct zones;

/* `local`: the scheduler's, which holds where a schedule names none; NULL: this machine's. */
struct zones *zones_new(const char *local);
void zones_free(struct zones *zones); /* NULL is harmless */

/* By name; NULL and "": the scheduler's, which is opened when it is first asked for. */
int zones_find(struct zones *zones, const char *name, const struct zone **zone_out, struct err *err);

/*
 * Reads again what is in use; true when one of them tells other times now: zones_find has that one from then on. What
 * cannot be read stays as it was; so does this machine's own zone when it goes by another name.
 */
bool zones_renew(struct zones *zones);

static inline void scope_zones_free(struct zones **zones)
{
	zones_free(*zones);
}

#define autozones __attribute__((cleanup(scope_zones_free)))

#endif
