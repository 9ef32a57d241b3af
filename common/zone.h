/*
 * zone.h - time zones: local time to instant and back
 *
 * A zone is a row of spans in each of which local time is UTC plus a constant. Between two spans the local
 * clock jumps: forward, so that some local times never exist, or back, so that some exist twice. Read from
 * the tz database; libc's own functions know one zone at a time, and race with other threads when it is
 * changed.
 *
 *   zone_span_at     what the offset is, since when and until when
 *   zone_instants    when the clock shows a local time: never, once, twice
 *   zone_reach       when it first shows that or a later one: where a local time does not exist, the end of
 *                    the gap; where it exists twice, the first
 *
 * Units:     seconds. An instant counts from 1970-01-01 00:00 UTC (no leap seconds), a local time in the same
 *            way from 1970-01-01 00:00 local.
 * Ownership: zone_free; a zone never changes and may be shared.
 * Errors:    ERR_NOT_FOUND: no such zone; ERR_INVALID: not a name, a wrong $TZ, or the file is no zone.
 * Source:    RFC 8536 (TZif). After the last transition of the file its rule holds; as the calendar repeats
 *            every 400 years, so does the rule (as in tzcode's localtime.c).
 */
#ifndef COMMON_ZONE_H
#define COMMON_ZONE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/err.h"

struct zone;

struct zone_span {
	int64_t from_s;	 /* INT64_MIN: always was */
	int64_t until_s; /* the first instant of the next one; INT64_MAX: for ever */
	int32_t offset_s;
};

enum {
	ZONE_OFFSET_S_MAX = 26 * 3600, /* no offset is further from UTC */
	ZONE_INSTANTS_MAX = 4,
	ZONE_OFFSET_BYTES = 16,
};

/* By its name in the tz database; "UTC" is there also without one. */
int zone_open(const char *name, struct zone **zone_out, struct err *err);

/* This machine's: $TZ (a name, a path, a rule such as "CET-1CEST,M3.5.0,M10.5.0/3"), /etc/localtime, UTC. */
int zone_open_local(struct zone **zone_out, struct err *err);

/* From the contents of a file. */
int zone_parse(const char *name, const void *bytes, size_t n, struct zone **zone_out, struct err *err);

void zone_free(struct zone *zone); /* NULL is harmless */

const char *zone_name(const struct zone *zone);

/* Whether both have told, and will tell, the same times, by whatever names. */
bool zone_is_same(const struct zone *one, const struct zone *other);

struct zone_span zone_span_at(const struct zone *zone, int64_t instant_s);

/* All instants at which the clock shows `local_s`, in order; how many. */
int zone_instants(const struct zone *zone, int64_t local_s, int64_t instants_s[ZONE_INSTANTS_MAX]);

int64_t zone_reach(const struct zone *zone, int64_t local_s);

/* The latest local time that the clock has shown until `instant_s`: not its own after the clock went back. */
int64_t zone_latest_shown(const struct zone *zone, int64_t instant_s);

/* "+02:00", "-00:44:30" */
const char *zone_offset_text(int32_t offset_s, char text[ZONE_OFFSET_BYTES]);

static inline void scope_zone_free(struct zone **zone)
{
	zone_free(*zone);
}

#define autozone __attribute__((cleanup(scope_zone_free)))

#endif
