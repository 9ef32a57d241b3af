/*
 * provision.h - what an attempt needs before it can start: fetched, verified, put in place
 *
 *   a start waits --> for one piece after the other, each shared by all that need the same
 *                     FETCHING -> READY -> INSTALLING -> in place, or failed with all that wait for it
 *
 * Bytes come in frames, in order, into parcels/<digest>.part: a transfer that was cut goes on at the size of
 * that file, also by the agent of a later connection (a lock on it keeps two of them apart). Whole, it is
 * unpacked and verified by a helper, under another name, and renamed into place; so nothing is ever there by
 * half, and this process only ever writes what has just come. Parcels stay for the next run until they are
 * too many.
 *
 * Ownership: opaque to the session but for what it watches (`epoll`).
 * Units:     milliseconds of awake_ms.
 */
#ifndef EXECUTOR_AGENT_PROVISION_H
#define EXECUTOR_AGENT_PROVISION_H

#include <stdbool.h>
#include <stdint.h>

#include "common/list.h"
#include "executor/agent/outbox.h"
#include "executor/protocol.h"

struct provision_set {
	const char *home;
	struct outbox *out;
	int epoll; /* readable when provision_on_events has something to do */
	int root;  /* the current folder */
	struct list waits, pieces, fetches, done;
	size_t helpers;
};

int provision_set_init(struct provision_set *set, struct outbox *out);
void provision_set_fini(struct provision_set *set);

/* Everything it needs is in place already. */
bool provision_is_ready(const struct provision_set *set, const struct spec *spec);

/* Lets a start wait until it is; the frame is copied. */
void provision_wait(struct provision_set *set, const struct frame *start);

/* True when it was waiting, and does not any more. */
bool provision_cancel(struct provision_set *set, const struct attempt_id *id);

/* What the loop saw. */
void provision_on_parcel(struct provision_set *set, const struct frame_parcel *parcel);
void provision_on_events(struct provision_set *set);

/* Tries again what is due; when to do so next. */
int64_t provision_turn(struct provision_set *set, int64_t now_ms);

/* A start whose waiting is over. */
struct provision_end {
	struct attempt_id id;
	struct buf frame; /* FRAME_START; the caller's to release */
	bool failed;
	bool transient;
	char text[512]; /* why it failed */
};

/* Takes the next one that ended; false when there is none. */
bool provision_next(struct provision_set *set, struct provision_end *out);

#endif
