/*
 * outbox.h - what is to be written to the scheduler, in two lanes
 *
 * Control frames (and journals) go before log data, at the next border of a frame: a pong waits for one piece
 * of a log at most. Both lanes are bounded by their users, who ask for room before they read anything to fill
 * them with.
 */
#ifndef EXECUTOR_AGENT_OUTBOX_H
#define EXECUTOR_AGENT_OUTBOX_H

#include <stdbool.h>
#include <stddef.h>

#include "common/buf.h"

enum { OUTBOX_CONTROL_MAX = 1024 * 1024, OUTBOX_BULK_MAX = 512 * 1024 };

struct lane {
	struct buf bytes; /* whole frames */
	size_t sent;	  /* of `bytes` */
};

struct outbox {
	struct lane control;
	struct lane bulk;
	struct lane *current; /* whose frame is half written; NULL at a border */
	size_t current_left;  /* of that frame */
};

void outbox_fini(struct outbox *outbox);

/* Buffers to append whole frames to. */
struct buf *outbox_control(struct outbox *outbox);
struct buf *outbox_bulk(struct outbox *outbox);

bool outbox_control_has_room(const struct outbox *outbox);
bool outbox_bulk_has_room(const struct outbox *outbox);
bool outbox_empty(const struct outbox *outbox);

/*
 * Writes until nothing is left or the descriptor would block: 0, or -1 with errno when the other side is
 * gone.
 */
int outbox_write(struct outbox *outbox, int fd);

#endif
