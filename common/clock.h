/*
 * clock.h - the only reader of time
 *
 * Wall time (milliseconds since 1970 UTC) is for records and people; monotonic time is for waiting. Both
 * stand still nowhere: monotonic time goes on while the machine sleeps (CLOCK_BOOTTIME), as leases need.
 */
#ifndef COMMON_CLOCK_H
#define COMMON_CLOCK_H

#include <stddef.h>
#include <stdint.h>

int64_t clock_wall_ms(void);
int64_t clock_mono_ms(void);
int64_t clock_mono_us(void);

/* Processor time that this thread has used. As clock_mono_us, also for handlers of signals. */
int64_t clock_thread_us(void);

enum { CLOCK_RFC3339_BYTES = 32 };

/* "2026-11-23T02:30:00.125Z" */
const char *clock_rfc3339(int64_t wall_ms, char text[CLOCK_RFC3339_BYTES]);

enum { CLOCK_SPAN_BYTES = 32 };

/* A length of time for people: "340ms", "12.4s", "3m07s", "2h05m", "3d04h". */
const char *clock_span(int64_t ms, char text[CLOCK_SPAN_BYTES]);

#endif
