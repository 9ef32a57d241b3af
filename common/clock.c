#include "common/clock.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "common/calendar.h"

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

int64_t clock_thread_us(void)
{
	return read_us(CLOCK_THREAD_CPUTIME_ID);
}

int64_t clock_mono_ms(void)
{
	return clock_mono_us() / 1000;
}

/* The last `digits` digits. */
static char *write_digits(char *text, int64_t number, int digits)
{
	for (int i = digits; i-- > 0; number /= 10)
		text[i] = (char)('0' + number % 10);
	return text + digits;
}

/* By hand: a list has thousands of times, and strftime would be half of what it costs. */
const char *clock_rfc3339(int64_t wall_ms, char text[CLOCK_RFC3339_BYTES])
{
	int64_t second = calendar_floor(wall_ms, 1000), days = calendar_floor(second, CALENDAR_DAY_S);
	int64_t of_day = second - days * CALENDAR_DAY_S;
	struct calendar_date date = calendar_date(days);
	char *at = text;

	if (date.year < 0 || date.year > 9999) {
		snprintf(text, CLOCK_RFC3339_BYTES, "%" PRId64, wall_ms);
		return text;
	}
	at = write_digits(at, date.year, 4);
	*at++ = '-';
	at = write_digits(at, date.month, 2);
	*at++ = '-';
	at = write_digits(at, date.day, 2);
	*at++ = 'T';
	at = write_digits(at, of_day / 3600, 2);
	*at++ = ':';
	at = write_digits(at, of_day / 60 % 60, 2);
	*at++ = ':';
	at = write_digits(at, of_day % 60, 2);
	*at++ = '.';
	at = write_digits(at, wall_ms - second * 1000, 3);
	strcpy(at, "Z");
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
