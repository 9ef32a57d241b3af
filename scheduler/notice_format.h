/*
 * notice_format.h - a stored notice (notice.h) as each kind of receiver takes it
 *
 * `id` names the delivery: it is the same each time the notice is sent, so that a receiver can tell that it has seen
 * it. What comes from a DAG or a log cannot become markup, a header or a variable of its own here.
 *
 * Pure. Ownership: texts live in the arena given.
 */
#ifndef SCHEDULER_NOTICE_FORMAT_H
#define SCHEDULER_NOTICE_FORMAT_H

#include <stddef.h>
#include <stdint.h>

#include "common/arena.h"
#include "common/err.h"
#include "dag/dag.h"

/* The body of a request: the document with "id", or {"text": ...} for hooks that speak Slack's language. */
const char *notice_post(const char *json, const char *id, enum dag_notify_format format, struct arena *arena);

/* "sha256=<hexadecimal>": HMAC-SHA-256 of the body. */
const char *notice_signature(const char *secret, const char *body, struct arena *arena);

/* STOKER_EVENT, STOKER_DAG, STOKER_RUN ... as "NAME=value", NULL at the end. */
const char **notice_variables(const char *json, const char *id, struct arena *arena);

/*
 * A message (RFC 5322) to be given to `sendmail -t`. `from` may be NULL. `host` is for its Message-ID, which is made
 * of the id.
 */
const char *notice_mail(const char *json, const char *id, const char *from, const char *const *to, size_t to_count,
			const char *host, struct arena *arena);

/* The value of a secret: 0, or an error that names what is missing and never what is there. */
int notice_secret(const struct dag_secret *secret, struct arena *arena, const char **value_out, struct err *err);

#endif
