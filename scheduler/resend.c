#include "scheduler/resend.h"

#include <curl/curl.h>
#include <ctype.h>
#include <stdlib.h>

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

int64_t resend_asked_ms(const char *retry_after, int64_t now_wall_ms)
{
	int64_t asked_ms;
	time_t date;

	while (*retry_after == ' ' || *retry_after == '\t')
		retry_after++;
	if (isdigit((unsigned char)*retry_after)) {
		asked_ms = strtoll(retry_after, NULL, 10);
		asked_ms = asked_ms > RESEND_MOST_MS / 1000 ? RESEND_MOST_MS : asked_ms * 1000;
	} else {
		date = curl_getdate(retry_after, NULL);
		if (date < 0)
			return -1;
		asked_ms = (int64_t)date * 1000 - now_wall_ms;
	}
	return asked_ms < 0 ? 0 : asked_ms > RESEND_MOST_MS ? RESEND_MOST_MS : asked_ms;
}
