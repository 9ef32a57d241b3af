/*
 * source.h - what the web server may ask, and what it may have changed
 *
 * The server knows HTTP, and nothing of runs: it asks through this table, which scheduler/control.c fills in. So no
 * arrow points from web to scheduler, and the tests put a table of their own in its place.
 *
 * Reads are bounded. Those that are short are answered at once, on the loop, the others by a thread (struct web_aside),
 * so that no question holds up the nights. Changes are answered later, by `done`: when what was asked for is on disk, or
 * is refused.
 *
 * Ownership: what is passed in is the caller's and valid during the call only; a JSON answer is the server's.
 * Errors:    an enum err_code, which becomes the status of the answer (answer_status), and a sentence for people.
 */
#ifndef WEB_SOURCE_H
#define WEB_SOURCE_H

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>

#include "common/err.h"

struct metrics;

/* Each may what those before it may. */
enum web_role { WEB_NOBODY, WEB_VIEWER, WEB_OPERATOR, WEB_ADMIN };

/* Who asks. `origin` says over what: "control socket", "127.0.0.1 token ci". */
struct web_caller {
	const char *actor;
	const char *origin;
	enum web_role role;
	bool local; /* came over the control socket: it may name files of this machine */
};

enum web_read {
	WEB_DAGS,
	WEB_DAG,
	WEB_OCCURRENCES,
	WEB_BACKFILLS,
	WEB_BACKFILL_PLAN, /* what WEB_BACKFILL would do; from and to are given */
	WEB_RUNS,
	WEB_RUN,
	WEB_RUN_WHY,
	WEB_TASK,
	WEB_TASK_WHY,
	WEB_CHECKPOINTS,
	WEB_METRICS,
	WEB_EVENTS,
	WEB_WORKERS,
	WEB_POOLS,
	WEB_STATUS,
	WEB_HEALTH,
	WEB_READS
};

/* What is asked for; what was not given is NULL, 0, or -1 where that is said. */
struct web_query {
	const char *dag;
	const char *run;  /* "digits/3" */
	const char *task;
	const char *worker;
	const char *state;
	uint32_t attempt; /* 0: the latest */
	int limit;        /* always given, and within bounds */
	int64_t before;   /* a cursor: what lies before it; 0: the newest */
	int64_t after;    /* what lies after it; -1: the newest */
	const char *from, *to; /* times, as they were written: RFC 3339 or a date */
	bool again;
	int64_t now_wall_ms;
};

/*
 * Arguments of changes, and what they answer:
 *   WEB_TRIGGER   {"dag": "digits", "params": {"lr": "0.1"}}, or from the control socket {"file": "/abs/x.yaml",
 *                 "params": {...}}        -> {"run": "digits/43", "state": "queued"}
 *   WEB_CANCEL    {"run": "digits/43", "now": false}             -> {"run": ..., "state": ...}
 *   WEB_RETRY     {"run": "digits/43", "from": "train" or null, "dry_run": false}
 *                 -> {"run": ..., "tasks": [{"task": ..., "does": "run|resume|keep", "from_checkpoint": ...}]}
 *   WEB_PAUSE, WEB_UNPAUSE   {"dag": "digits"}                   -> {"dag": ..., "paused": true}
 *   WEB_BACKFILL  {"dag": ..., "from": ..., "to": ..., "max_active": 1, "again": false, "params": {...}}
 *                 -> {"backfill": 3, "dag": ...}
 *   WEB_DRAIN, WEB_UNDRAIN   {"worker": "gpu1"}                  -> {"worker": ..., "draining": true}
 *   WEB_RELOAD    {}                                             -> {"dags": ..., "problems": [...]}
 * Only what was given is in them, and each has the type that is shown (routes.h); names are not checked.
 */
enum web_verb {
	WEB_TRIGGER,
	WEB_CANCEL,
	WEB_RETRY,
	WEB_PAUSE,
	WEB_UNPAUSE,
	WEB_BACKFILL,
	WEB_DRAIN,
	WEB_UNDRAIN,
	WEB_RELOAD,
	WEB_VERBS
};

/* Exactly once, on the loop, also from within the call. The answer is taken over; it is NULL when `err` has a code. */
typedef void web_done(void *context, json_t *answer, const struct err *err);

/* The log of an attempt. */
struct web_log {
	char path[4096];  /* of a file below the state folder that only grows; "" when there is none yet */
	uint32_t attempt; /* its number; 0: the task was not started */
	bool growing;     /* more may come */
};

enum { WEB_NAME_BYTES = 65, WEB_DIGEST_BYTES = 65 };

/* A token, as it is known by its digest. */
struct web_token {
	char name[WEB_NAME_BYTES];
	enum web_role role; /* WEB_NOBODY: it has expired, or was revoked */
};

/*
 * Reads that may take longer than a pass of the loop should. `wants` tells which. What such a read needs of the loop is
 * made ready by `prepare`, on the loop; `read` and `text` are called by a thread, as often as it likes, for kinds that
 * are wanted; `forget` ends it, on the loop. There is never more than one at a time.
 */
struct web_aside {
	bool (*wants)(enum web_read what, const struct web_query *query);
	void *(*prepare)(void *context, enum web_read what, const struct web_query *query);
	int (*read)(void *prepared, enum web_read what, const struct web_query *query, json_t **out, struct err *err);
	/* Optional. What `read` answers, as text of the heap, where that costs less: 1; 0: it is to be read. */
	int (*text)(void *prepared, enum web_read what, const struct web_query *query, char **out, struct err *err);
	void (*forget)(void *prepared);
};

struct web_source {
	int (*read)(void *context, enum web_read what, const struct web_query *query, json_t **out, struct err *err);
	/* Optional, as in struct web_aside. */
	int (*text)(void *context, enum web_read what, const struct web_query *query, char **out, struct err *err);
	void (*change)(void *context, enum web_verb verb, const json_t *arguments, const struct web_caller *caller,
		       web_done *done, void *done_context);
	/* Where the log of query->run, task and attempt lies. */
	int (*log)(void *context, const struct web_query *query, struct web_log *out, struct err *err);
	/* ERR_NOT_FOUND when there is no token with this SHA-256 (hexadecimal). */
	int (*token)(void *context, const char *digest, struct web_token *out, struct err *err);
	/* The samples of /metrics (metrics.h). */
	int (*metrics)(void *context, struct metrics *out, struct err *err);
	/* Changes whenever what such a read tells from the disk may; NULL: each answer is made anew (cache.h). */
	int64_t (*version)(void *context, enum web_read what);
	const struct web_aside *aside; /* NULL: all is read on the loop */
	void *context;
};

#endif
