/*
 * instant.h - points in time as people write them
 *
 *   2026-12-01                   a date
 *   2026-12-01T02:30[:00]        a local time; a blank may stand for the T
 *   2026-12-01T02:30:00+01:00    an instant (RFC 3339), or with Z
 *
 * Pure. Fractions of a second are read and left out.
 *
 * Errors: ERR_INVALID.
 */
#ifndef SCHEDULER_INSTANT_H
#define SCHEDULER_INSTANT_H

#include <stdint.h>

#include "common/err.h"
#include "common/zone.h"

enum instant_kind { INSTANT_DATE, INSTANT_LOCAL, INSTANT_EXACT };

struct instant {
	enum instant_kind kind;
	int64_t seconds; /* since 1970-01-01 00:00: local for a date and a local time, else UTC */
};

enum { INSTANT_LABEL_BYTES = 32, INSTANT_TEXT_BYTES = 48 };

int instant_parse(const char *text, struct instant *instant_out, struct err *err);

/* In UTC; a date and a local time are of that zone: where they do not exist the end of the gap is meant. */
int64_t instant_in(const struct instant *instant, const struct zone *zone);

/* "2026-03-29 02:30", of a local time; with ":15" where it is not at a full minute. */
const char *instant_label(int64_t local_s, char text[INSTANT_LABEL_BYTES]);

/* "2026-03-29T03:00:00+02:00": RFC 3339 where the offset is of full minutes. */
const char *instant_text(int64_t instant_s, int32_t offset_s, char text[INSTANT_TEXT_BYTES]);

#endif
