/*
 * notice.h - what somebody is told about a run or a DAG, and who
 *
 * Facts become one JSON document when something happens; it is stored with the receiver (store_outbox.h) and is the
 * same however often it is sent. What each kind of receiver gets is made from it (notice_format.h).
 *
 *   {"event":"failed", "dag":"digits", "run":"digits/3", "state":"failed", "trigger":"manual", "actor":"ada",
 *    "title":"digits/3 failed", "text":"digits/3 failed because train ended with exit code 1; ...",
 *    "why":"digits/3 failed because ...", "task":"train", "last_line":"..." or null, "canceled_by":null,
 *    "at":..., "due":null, "started":..., "ended":..., "url":"https://stoker.lan/#/runs/digits/3" or null}
 *
 * Field names are a promise: they are added, never renamed. Times are RFC 3339 in UTC, null when there is none.
 *
 * Pure. Ownership: texts live in the arena given.
 */
#ifndef SCHEDULER_NOTICE_H
#define SCHEDULER_NOTICE_H

#include <stddef.h>
#include <stdint.h>

#include "common/arena.h"
#include "common/err.h"
#include "dag/dag.h"

/* What the settings say of notices. */
struct notice_terms {
	const struct dag_notify *receivers; /* for DAGs that name none of their own */
	size_t receivers_count;
	const char *dir;       /* where their commands run */
	const char *page;      /* URL of the page, without a slash at its end; NULL: no links */
	const char *sendmail;  /* NULL: NOTICE_SENDMAIL */
	const char *mail_from; /* NULL: what sendmail makes of the user */
};

#define NOTICE_SENDMAIL "/usr/sbin/sendmail"

/* Texts that are NULL, and times that are 0, are left out. */
struct notice {
	unsigned event; /* one of DAG_ON_* */
	const char *dag;
	uint64_t run;    /* its id; 0: it is about none */
	uint64_t number; /* of the run in its DAG */
	const char *state;
	const char *trigger;
	const char *actor;
	const char *why;  /* one sentence */
	const char *task; /* that failed first */
	uint32_t attempt; /* of it */
	const char *last_line; /* of its log */
	const char *canceled_by;
	const char *page; /* as above */
	int64_t at_wall_ms;
	int64_t due_wall_ms;
	int64_t started_wall_ms;
	int64_t ended_wall_ms;
};

/* "failed"; of one bit. */
const char *notice_event_name(unsigned event);

const char *notice_json(const struct notice *notice, struct arena *arena);

/* Who is told about this DAG: its own receivers, else those of the settings (NULL: there are none). */
const struct dag_notify *notice_receivers(const struct notice_terms *terms, const struct dag *dag, size_t *count_out);

/*
 * A receiver as text, the same for the same receiver: {"webhook":..., "format":..., ...}. `dir` is where its command
 * runs. Secrets are named in it, not told.
 */
const char *notice_receiver_json(const struct dag_notify *receiver, const char *dir, struct arena *arena);

/* And back: 0, or ERR_CORRUPT. `dir_out` is NULL where there is none. */
int notice_read_receiver(const char *json, struct arena *arena, struct dag_notify *out, const char **dir_out,
			 struct err *err);

/* All who want one of `events` to be told of this DAG, as notice_receiver_json has them. */
struct notice_list {
	const char **receivers;
	unsigned *on; /* what each wants of it */
	size_t count;
};
void notice_list(const struct notice_terms *terms, const struct dag *dag, unsigned events, struct arena *arena,
		 struct notice_list *out);

#endif
