#include "scheduler/resend.h"

#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/calendar.h"

enum { EXIT_CANNOT_EXECUTE = 126, EXIT_NO_SUCH_COMMAND = 127, MAIL_USAGE = 64, MAIL_DATA = 65, MAIL_NO_USER = 67,
       MAIL_NO_HOST = 68 };

enum resend_verdict resend_of_status(int status)
{
	if (status >= 200 && status < 300)
		return RESEND_DONE;
	return status == 408 || status == 429 || status >= 500 || status < 200 ? RESEND_LATER : RESEND_NEVER;
}

enum resend_verdict resend_of_exit(int status)
{
	if (status == 0)
		return RESEND_DONE;
	return status == EXIT_CANNOT_EXECUTE || status == EXIT_NO_SUCH_COMMAND ? RESEND_NEVER : RESEND_LATER;
}

enum resend_verdict resend_of_mail(int status)
{
	switch (status) {
	case 0:
		return RESEND_DONE;
	case MAIL_USAGE:
	case MAIL_DATA:
	case MAIL_NO_USER:
	case MAIL_NO_HOST:
		return RESEND_NEVER;
	default:
		return RESEND_LATER;
	}
}

int64_t resend_delay_ms(uint32_t tries, struct rng *rng)
{
	int64_t delay_ms = RESEND_FIRST_MS;

	for (uint32_t i = 1; i < tries && delay_ms < RESEND_MOST_MS; i++)
		delay_ms *= 2;
	if (delay_ms > RESEND_MOST_MS)
		delay_ms = RESEND_MOST_MS;
	return delay_ms - (int64_t)rng_below(rng, (uint64_t)delay_ms / 4 + 1);
}

/* "Sun, 06 Nov 1994 08:49:37 GMT": what everybody sends (RFC 9110, section 5.6.7); -1 for anything else. */
static int64_t parse_date(const char *text)
{
	static const char months[] = "JanFebMarAprMayJunJulAugSepOctNovDec";
	int day, year, hour, minute, second, used = 0;
	char month[4];
	const char *at;

	if (sscanf(text, "%*3[A-Za-z], %2d %3[A-Za-z] %4d %2d:%2d:%2d GMT%n", &day, month, &year, &hour, &minute,
		   &second, &used) != 6 ||
	    used == 0)
		return -1;
	at = strstr(months, month);
	if (at == NULL || (at - months) % 3 != 0 || day < 1 || day > 31)
		return -1;
	return calendar_days(year, (int)(at - months) / 3 + 1, day) * CALENDAR_DAY_S + hour * 3600 + minute * 60 + second;
}

int64_t resend_asked_ms(const char *retry_after, int64_t now_wall_ms)
{
	int64_t asked_ms;
	int64_t date_s;

	while (*retry_after == ' ' || *retry_after == '\t')
		retry_after++;
	if (isdigit((unsigned char)*retry_after)) {
		asked_ms = strtoll(retry_after, NULL, 10);
		asked_ms = asked_ms > RESEND_MOST_MS / 1000 ? RESEND_MOST_MS : asked_ms * 1000;
	} else {
		date_s = parse_date(retry_after);
		if (date_s < 0)
			return -1;
		asked_ms = date_s * 1000 - now_wall_ms;
	}
	return asked_ms < 0 ? 0 : asked_ms > RESEND_MOST_MS ? RESEND_MOST_MS : asked_ms;
}
