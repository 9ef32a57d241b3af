/*
 * request.h - what a request asks for, read from its line, its header and its body
 *
 * Pure, strict and bounded: a path is taken apart before it is decoded, so that an encoded slash is no slash and
 * nothing climbs; what is no UTF-8, holds control characters, or is not in the table of routes.h is refused and
 * named. Nothing here touches a file, and no path of a request ever becomes the path of one.
 *
 * Ownership: everything lies in the arena of the request; request_fini frees it.
 * Errors:    ERR_INVALID with a sentence; ERR_NOT_FOUND: no such path; ERR_EXISTS: the path is there, by other
 *            methods (`allowed`).
 */
#ifndef WEB_REQUEST_H
#define WEB_REQUEST_H

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/arena.h"
#include "common/err.h"
#include "web/routes.h"
#include "web/source.h"

enum { REQUEST_SEGMENTS_MAX = 16, REQUEST_URI_BYTES_MAX = 8192 };

struct request {
	struct arena arena;
	/* Decoded, for assets; NULL when there is a route, an encoded slash in it, or a part that begins with a dot. */
	const char *path;
	const struct route *route; /* NULL: none; it may be an asset's */
	char allowed[64];
	struct web_query query;
	unsigned options; /* which were given, by 1 << enum route_option */
	int64_t offset, tail_bytes, limit_bytes;
	bool follow;
};

void request_init(struct request *request);
void request_fini(struct request *request);

/* Reads the request line; `uri` as it came, with what stands behind `?`. */
int request_read(struct request *request, const char *method, const char *uri, struct err *err);

/*
 * The arguments of a change, from the body: a JSON object of the route's fields, each of its type and no other;
 * `run`, `dag` and `worker` of the path are put in. An empty body is an empty object. `local`: over the control socket.
 */
int request_read_body(const struct request *request, const void *body, size_t bytes, bool local, json_t **out,
		      struct err *err);

/* --- byte ranges ---------------------------------------------------------------------------------------- */

enum request_range {
	RANGE_NONE,	/* none, or one that is to be passed over (RFC 9110, section 14.2) */
	RANGE_GIVEN,
	RANGE_OUTSIDE, /* 416 */
};

/* A `Range` header over `size` bytes: the first and how many. Several ranges are answered with all. */
enum request_range request_range_of(const char *header, uint64_t size, uint64_t *first_out, uint64_t *bytes_out);

#endif
