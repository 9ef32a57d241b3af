/*
 * json.h - looks through JSON without keeping it
 *
 * Enough to check what trainers write beside their weights: the grammar of RFC 8259, and NaN and Infinity,
 * which Python writes. Each scalar is shown to a visitor with the key it stands under. No text is unescaped.
 */
#ifndef EXECUTOR_AGENT_JSON_H
#define EXECUTOR_AGENT_JSON_H

#include <stdbool.h>
#include <stddef.h>

enum { JSON_DEPTH_MAX = 64 };

struct json_text {
	const char *at; /* NULL: none */
	size_t n;
};

struct json_scalar {
	struct json_text in;  /* key of the object it is in; none at the top */
	struct json_text key; /* its own key, or that of its array */
	size_t index;	      /* in that array */
	struct json_text text;
	bool quoted;
};

typedef void json_visitor(void *context, const struct json_scalar *scalar);

/* Whether `text` is one whole JSON value; `visit` may be NULL. */
bool json_walk(const char *text, size_t n, json_visitor *visit, void *context);

bool json_text_is(struct json_text text, const char *word);

#endif
