/*
 * webhook.h - posts to URLs, on the loop
 *
 * One request is one connection. TLS is verified, only http and https are spoken, nothing is followed: a redirect is
 * an answer. An answer that is not there after WEBHOOK_LIMIT_MS is none.
 *
 * libcurl asks for a name on a thread of its own and, when a request is dropped meanwhile, waits for that thread. So
 * one that runs into its limit there is left alone until the name is found or not, and dropped then; whoever asked
 * was told long before.
 *
 * Ownership: a request frees itself after `done`, which is called once, on the loop, never from within webhook_post.
 */
#ifndef SCHEDULER_WEBHOOK_H
#define SCHEDULER_WEBHOOK_H

#include <stddef.h>
#include <stdint.h>
#include <uv.h>

#include "common/err.h"

enum { WEBHOOK_LIMIT_MS = 20 * 1000, WEBHOOK_SAID_BYTES_MAX = 2048 };

struct webhook_answer {
	int status; /* of HTTP; 0: there was no answer */
	const char *trouble; /* then: why not; else "" */
	const char *said;    /* the beginning of its body */
	const char *retry_after, *location; /* headers; "" */
};

struct webhooks;
struct webhook;

/* ERR_NOT_FOUND: there is no libcurl. */
struct webhooks *webhooks_open(uv_loop_t *loop, struct err *err);

/* `headers`: "Name: value". All texts are copied. */
struct webhook *webhook_post(struct webhooks *webhooks, const char *url, const char *const *headers, size_t headers_count,
			     const char *body, void (*done)(void *context, const struct webhook_answer *answer),
			     void *context);

/* Drops all that is on its way, without `done`. Freed when the loop has closed its handles. NULL is harmless. */
void webhooks_close(struct webhooks *webhooks);

#endif
