/*
 * moment.h - points in time, for people: local, and as short as they can be
 *
 * Pure but for the time zone, which the C library reads once.
 */
#ifndef SCHEDULER_MOMENT_H
#define SCHEDULER_MOMENT_H

#include <stdint.h>

enum { MOMENT_BYTES = 40 };

/* "02:14:07" today, "Nov 22 02:14" within half a year, else "2025-11-22"; "-" for 0. */
const char *moment_local(int64_t wall_ms, int64_t now_wall_ms, char text[MOMENT_BYTES]);

/* "42s ago", "5m ago", "3h ago"; "in 12s"; past a day as moment_local. "-" for 0. */
const char *moment_ago(int64_t wall_ms, int64_t now_wall_ms, char text[MOMENT_BYTES]);

/* "02:14:07", whatever day it is. */
const char *moment_clock(int64_t wall_ms, char text[MOMENT_BYTES]);

/* The milliseconds of what clock_rfc3339 wrote; 0 for NULL and anything else. */
int64_t moment_parse(const char *rfc3339);

#endif
