/*
 * follow.h - the attempts a session follows: noticing what they do, shipping what they leave
 *
 *   STARTING -> RUNNING -> ENDED     a supervisor that died without a record: a forked sweeper writes one
 *
 * Shipping begins with follow_attach. The journal goes at once and whole, record by record; the log under a
 * window of bytes that the other side has not stored yet; FRAME_EXITED once all of the journal is sent.
 *
 * Ownership: the set owns its attempts; follow_remove frees one.
 * Units:     milliseconds of awake_ms.
 */
#ifndef EXECUTOR_AGENT_FOLLOW_H
#define EXECUTOR_AGENT_FOLLOW_H

#include <stdbool.h>
#include <sys/types.h>

#include "common/list.h"
#include "executor/agent/outbox.h"
#include "executor/agent/place.h"
#include "executor/agent/spool.h"
#include "executor/protocol.h"

enum follow_state { FOLLOW_STARTING, FOLLOW_RUNNING, FOLLOW_ENDED };

struct follow {
	struct list all, live, journals, logs; /* in the lists of the set of the same name */
	struct follow *next_by_id, *next_by_watch;
	struct attempt_id id;
	char name[PLACE_NAME_BYTES];
	enum follow_state state;

	pid_t supervisor;
	uint64_t start_ticks;
	bool is_child;	  /* of this process, and not waited for yet */
	bool lives;	  /* as far as is known */
	int pidfd;	  /* -1: none */
	int watch;	  /* of inotify; -1: none */
	int dir;	  /* its folder, kept open; -1: is opened when needed */
	pid_t sweeper;	  /* 0: none */
	int64_t sweep_ms; /* not before */

	bool stop_asked; /* while STARTING */
	struct frame_stop stop;

	bool renewable; /* it has a lease, and the scheduler of this session holds it for alive */
	int64_t granted; /* to it, newest, on this session; 0: nothing yet */
	bool attached;
	bool exited_sent;
	bool closed; /* ENDED, by its supervisor */
	uint64_t journal_sent;
	uint64_t journal_end; /* once ENDED */
	uint64_t log_sent;
	uint64_t log_stored;
	uint64_t log_end; /* once ENDED */
	struct spool_shape shape;
	struct buf exited; /* FRAME_EXITED, once ENDED */
};

enum { FOLLOW_BUCKETS = 4096 };

struct follow_set {
	const char *root;
	const char *home;
	int null_fd;
	int epoll;
	int inotify; /* -1: not to be had */
	struct outbox *out;
	struct list all, live, journals, logs;
	struct follow *by_id[FOLLOW_BUCKETS];
	struct follow *by_watch[FOLLOW_BUCKETS];
	struct buf records; /* of a journal that is being shipped */
};

void follow_set_init(struct follow_set *set, const char *root, int epoll, int null_fd, struct outbox *out);

void follow_set_fini(struct follow_set *set); /* the attempts go on; the set forgets them */

struct follow *follow_find(const struct follow_set *set, const struct attempt_id *id);
struct follow *follow_add(struct follow_set *set, const struct attempt_id *id);
void follow_remove(struct follow_set *set, struct follow *follow);

/* Its folder is there: reads who leads it, and begins to notice. */
void follow_begin(struct follow_set *set, struct follow *follow);

/* It never came to be: this is its exit. */
void follow_fail(struct follow_set *set, struct follow *follow, const struct record_exit *exit);

void follow_attach(struct follow_set *set, struct follow *follow, uint64_t journal_offset,
		   uint64_t log_offset);
void follow_stored(struct follow_set *set, struct follow *follow, uint64_t log_offset);

/* Leaves the number, which was granted, for the supervisors of those that are `renewable`. */
void follow_renew(struct follow_set *set, int64_t number);

/* Leaves the request for its supervisor and nudges it. */
int follow_stop(struct follow_set *set, struct follow *follow, const struct frame_stop *stop);

/* What the loop saw. */
void follow_on_inotify(struct follow_set *set);
void follow_on_pidfd(struct follow_set *set, struct follow *follow);
bool follow_on_child(struct follow_set *set, pid_t pid); /* true when it was one of theirs */

/* Looks at those that cannot be noticed; when to do so again (AWAKE_NEVER: all can be noticed). */
int64_t follow_poll(struct follow_set *set, int64_t now_ms);

/* Fills the outbox as far as it has room. */
void follow_pump(struct follow_set *set);

__attribute__((format(printf, 4, 5))) void follow_note(struct follow_set *set, const struct attempt_id *id,
						       bool warning, const char *format, ...);

#endif
