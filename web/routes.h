/*
 * routes.h - every path there is: one table, from which requests are found, checked and described
 *
 * A row says the method and the path, what is done, the role it takes, which parameters may stand behind `?`, and
 * how it is described in /api/v1/openapi.json. `{...}` in a path is one segment, by one of the names of enum
 * route_segment.
 *
 * Pure, and without a server: the fuzzer calls it directly.
 */
#ifndef WEB_ROUTES_H
#define WEB_ROUTES_H

#include <stdbool.h>
#include <stddef.h>

#include "web/source.h"

enum route_kind {
	ROUTE_READ,    /* `what` is an enum web_read */
	ROUTE_CHANGE,  /* `what` is an enum web_verb */
	ROUTE_LOG,
	ROUTE_STREAM,
	ROUTE_HEALTH,
	ROUTE_SAMPLES, /* /metrics */
	ROUTE_PLAIN,   /* `what` is an enum plain_page */
	ROUTE_OPENAPI,
	ROUTE_LOGIN,
	ROUTE_LOGOUT,
	ROUTE_SESSION, /* who am I */
};

enum route_segment {
	SEGMENT_DAG,
	SEGMENT_NUMBER,
	SEGMENT_TASK,
	SEGMENT_ATTEMPT,
	SEGMENT_WORKER,
	SEGMENTS,
	SEGMENT_LITERAL = -1,
	SEGMENT_UNKNOWN = -2,
};

extern const char *const route_segments[SEGMENTS]; /* "dag", "number" ... */

/* What may stand behind `?`. */
enum route_option {
	OPTION_LIMIT,
	OPTION_BEFORE,
	OPTION_AFTER,
	OPTION_DAG,
	OPTION_RUN,
	OPTION_STATE,
	OPTION_FROM,
	OPTION_TO,
	OPTION_OFFSET,
	OPTION_TAIL,
	OPTION_FOLLOW,
	OPTION_AGAIN,
	OPTIONS
};

enum route_type { TYPE_TEXT, TYPE_NAME, TYPE_RUN, TYPE_STATE, TYPE_NUMBER, TYPE_TIME, TYPE_FLAG, TYPE_TEXTS };

struct route_parameter {
	const char *name;
	enum route_type type;
	int64_t min, max; /* of numbers */
	const char *description;
};

extern const struct route_parameter route_options[OPTIONS];

enum { ROUTE_FIELDS_MAX = 6 };

/* A field of the object in a request's body. */
struct route_field {
	const char *name; /* NULL: no more */
	enum route_type type;
	bool required;
	bool local; /* only over the control socket */
	int64_t min, max;
	const char *description;
};

struct route {
	const char *method;
	const char *path;
	enum route_kind kind;
	int what;
	enum web_role role;
	unsigned options; /* bits 1 << enum route_option */
	unsigned needed;  /* those of them that must be given */
	int limit;	  /* OPTION_LIMIT, when it was not given */
	const char *name; /* operationId */
	const char *summary;
	const char *schema; /* of the answer, in schemas.json; NULL: none */
	struct route_field fields[ROUTE_FIELDS_MAX];
};

extern const struct route routes[];
extern const size_t routes_count;

/* What stood for the segments of a path, decoded. */
struct route_match {
	const struct route *route;
	const char *values[SEGMENTS]; /* NULL: the path has none */
};

/*
 * Finds the route of a path. `segments` are its parts, decoded; they outlive the match. False when there is none for
 * this method; *allowed_out then holds the methods that there are ("GET, HEAD, POST"), or "".
 */
bool route_find(const char *method, const char *const *segments, size_t count, struct route_match *out,
		char *allowed_out, size_t allowed_bytes);

/* The kind of one segment of a path in the table: "{dag}" is SEGMENT_DAG, "runs" SEGMENT_LITERAL. */
enum route_segment route_segment_of(const char *text, size_t bytes);

#endif
