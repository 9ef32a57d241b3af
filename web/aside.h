/*
 * aside.h - reads that take long, made by a thread while the loop goes on
 *
 * A run of 10,000 tasks takes 0.2 s to read, to write as JSON and to compress. Meanwhile due times are to be met and ends
 * to be noticed, so none of it happens on the loop: the exchange is suspended, the thread makes the whole answer, and the
 * loop sends it.
 *
 *   aside_ask --> queued --> with the thread --> answered       one after the other, first come, first served
 *
 * Whoever asks for what is queued already gets the same answer: fifty pages that look at the same run, as it goes on, are
 * one read at a time and not fifty. None of them is told what is older than its question: nobody joins what the thread
 * has begun, unless nothing has changed since. And it rests after each as long as that took, so that those who look leave
 * half of a processor to those who work.
 *
 * Ownership: a struct aside is the web's. Exchanges that wait are linked in it until they are taken up again.
 */
#ifndef WEB_ASIDE_H
#define WEB_ASIDE_H

#include "web/parts.h"

/* Whether this request is one of them. */
bool aside_wants(const struct exchange *exchange);

/*
 * Suspends the exchange; it is taken up with `made`, or with the answer of an error. `version`: of the source, now.
 */
void aside_ask(struct exchange *exchange, const char *key, int64_t version);

/* Whether the answer is on its way to somebody already. */
bool aside_makes(const struct aside *aside, const char *key, int64_t version);

/* Its handles are the loop's, and counted by the web. */
struct aside *aside_new(struct web *web);

/* Whoever waits is told that the server ends. The thread has ended when this returns, and the handles are to be closed. */
void aside_end(struct aside *aside);
uv_handle_t *aside_handle(struct aside *aside, int which); /* 0 and 1 */
void aside_free(struct aside *aside);

#endif
