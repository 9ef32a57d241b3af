/*
 * resend.h - when a notice that did not get through is sent again, and when it is given up
 *
 * Pure.
 *
 * Source: RFC 9110, sections 10.2.3 (Retry-After) and 15 (status codes).
 */
#ifndef SCHEDULER_RESEND_H
#define SCHEDULER_RESEND_H

#include <stdint.h>

#include "common/rng.h"

enum {
	RESEND_FIRST_MS = 2 * 1000,
	RESEND_MOST_MS = 30 * 60 * 1000,
	RESEND_END_MS = 24 * 3600 * 1000, /* after its event */
	RESEND_COMMAND_TRIES = 8,	  /* a command that fails is mostly wrong, and what it did before is done again */
};

enum resend_verdict { RESEND_DONE, RESEND_LATER, RESEND_NEVER };

/* 2xx is done; 408, 429 and 5xx are tried again, all else (a redirect, too: nothing is followed) is not. */
enum resend_verdict resend_of_status(int status);

/* Exit status of a command and of sendmail (sysexits); a signal or a time limit is -1. */
enum resend_verdict resend_of_exit(int status);
enum resend_verdict resend_of_mail(int status);

/* Doubles, with up to a quarter less at random so that many do not come at once. `tries` so far, from 1. */
int64_t resend_delay_ms(uint32_t tries, struct rng *rng);

/* Of a Retry-After: seconds or a date, at most RESEND_MOST_MS; -1 when it is neither. */
int64_t resend_asked_ms(const char *retry_after, int64_t now_wall_ms);

#endif
