/*
 * offer.h - parcels that the scheduler fetches from here: artifacts and checkpoints, read where they lie
 *
 *   FRAME_GET --> the manifest: kept since the step ended (artifacts), or made by a helper (a checkpoint)
 *             --> FRAME_PARCEL_BACK*, as the window allows and the bulk lane has room, several in turns
 *
 * The files of a checkpoint are linked aside first (held.h), so that one that is written over by a rename, or
 * removed by `keep`, while it is under way can still be read to its end.
 *
 * The scheduler verifies what it gets. What cannot be had is said, with the reason; what changed its size is
 * noticed here already.
 *
 * Ownership: opaque to the session but for what it watches (`epoll`).
 */
#ifndef EXECUTOR_AGENT_OFFER_H
#define EXECUTOR_AGENT_OFFER_H

#include <stdbool.h>

#include "common/list.h"
#include "executor/agent/outbox.h"
#include "executor/protocol.h"

struct offer_set {
	const char *home;
	struct outbox *out;
	int epoll; /* readable when offer_on_events has something to do */
	int root;  /* the current folder */
	struct list offers;
	size_t count;
};

int offer_set_init(struct offer_set *set, struct outbox *out);
void offer_set_fini(struct offer_set *set);

void offer_on_get(struct offer_set *set, const struct frame_get *get);
void offer_on_events(struct offer_set *set);

/* Puts one piece into the outbox, if there is room and something may go: whether it did. */
bool offer_pump(struct offer_set *set);

#endif
