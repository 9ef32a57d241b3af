/*
 * awake.h - time that passes only while the machine is awake
 *
 * A step's limits count what the step could use: a laptop that slept for the night has not used up a time
 * limit, nor let a training stall. (common/clock goes on meanwhile, as leases need.)
 */
#ifndef EXECUTOR_AGENT_AWAKE_H
#define EXECUTOR_AGENT_AWAKE_H

#include <stdint.h>
#include <time.h>

#define AWAKE_NEVER INT64_MAX

static inline int64_t awake_ms(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

static inline int64_t awake_sooner(int64_t a, int64_t b)
{
	return a < b ? a : b;
}

/* `ms` from now, without overflow. */
static inline int64_t awake_after(int64_t now_ms, int64_t ms)
{
	return ms >= AWAKE_NEVER - now_ms ? AWAKE_NEVER : now_ms + ms;
}

#endif
