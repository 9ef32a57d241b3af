#include "common/clock.h"

#include <inttypes.h>
#include <stdio.h>
#include <time.h>

static int64_t read_us(clockid_t id)
{
	struct timespec now;

	clock_gettime(id, &now);
	return (int64_t)now.tv_sec * 1000000 + now.tv_nsec / 1000;
}

int64_t clock_wall_ms(void)
{
	return read_us(CLOCK_REALTIME) / 1000;
}

int64_t clock_mono_us(void)
{
	return read_us(CLOCK_BOOTTIME);
}

int64_t clock_mono_ms(void)
{
	return clock_mono_us() / 1000;
}

const char *clock_rfc3339(int64_t wall_ms, char text[CLOCK_RFC3339_BYTES])
{
	int64_t second = wall_ms / 1000;
	int ms = (int)(wall_ms % 1000);
	struct tm tm;
	time_t t;

	if (ms < 0) {
		ms += 1000;
		second--;
	}
	t = (time_t)second;
	if (gmtime_r(&t, &tm) == NULL) {
		snprintf(text, CLOCK_RFC3339_BYTES, "%" PRId64, wall_ms);
		return text;
	}
	size_t used = strftime(text, CLOCK_RFC3339_BYTES, "%Y-%m-%dT%H:%M:%S", &tm);
	snprintf(text + used, CLOCK_RFC3339_BYTES - used, ".%03dZ", ms);
	return text;
}

const char *clock_span(int64_t ms, char text[CLOCK_SPAN_BYTES])
{
	int64_t s = ms / 1000;

	if (ms < 0)
		snprintf(text, CLOCK_SPAN_BYTES, "0ms");
	else if (ms < 1000)
		snprintf(text, CLOCK_SPAN_BYTES, "%" PRId64 "ms", ms);
	else if (s < 60)
		snprintf(text, CLOCK_SPAN_BYTES, "%" PRId64 ".%" PRId64 "s", s, ms % 1000 / 100);
	else if (s < 3600)
		snprintf(text, CLOCK_SPAN_BYTES, "%" PRId64 "m%02" PRId64 "s", s / 60, s % 60);
	else if (s < 86400)
		snprintf(text, CLOCK_SPAN_BYTES, "%" PRId64 "h%02" PRId64 "m", s / 3600, s / 60 % 60);
	else
		snprintf(text, CLOCK_SPAN_BYTES, "%" PRId64 "d%02" PRId64 "h", s / 86400, s / 3600 % 24);
	return text;
}
