/*
 * outbox.h - what is to be written to the scheduler, in two lanes
 *
 * Control frames (and journals) go before log data, at the next border of a frame: a pong waits for one piece
 * of a log at most. Both lanes are bounded by their users, who ask for room before they read anything to fill
 * them with.
 *
 * Long pieces of files go out without being read: the kernel hands its cached pages on. On a machine that
 * encrypts what it sends, two copies less are felt. And who encrypts reads 32 KiB at a time: to be woken for each
 * of them would cost both as much as the work itself. So a pipe that a file has filled is left alone for a
 * millisecond, and made as long as it must be to hold more than is read in that time. On a slow link it stays short:
 * what lies in it is ahead of all that comes later.
 */
#ifndef EXECUTOR_AGENT_OUTBOX_H
#define EXECUTOR_AGENT_OUTBOX_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "common/buf.h"

enum { OUTBOX_CONTROL_MAX = 1024 * 1024, OUTBOX_BULK_MAX = 512 * 1024 };
enum { OUTBOX_FILE_BYTES_MIN = 64 * 1024 }; /* less is rather read, and written at once with its frame */

struct lane {
	struct buf bytes; /* whole frames */
	size_t sent;	  /* of `bytes` */
};

struct outbox {
	struct lane control;
	struct lane bulk;
	struct lane *current; /* whose frame is half written; NULL at a border */
	size_t current_left;  /* of that frame, in its lane */
	struct {
		int fd; /* open while there is something left */
		off_t at;
		size_t left;
	} file; /* ends the last frame of the bulk lane */
	struct {
		int64_t until_ms; /* of awake.h; 0: it is not at rest */
		bool of_no_use;	  /* no pipe, or one that cannot be made any longer */
	} rest;
	uint64_t made_up; /* bytes of files that could not be read: zeros went out; for the user to take and tell */
};

void outbox_fini(struct outbox *outbox);

/* Buffers to append whole frames to. */
struct buf *outbox_control(struct outbox *outbox);
struct buf *outbox_bulk(struct outbox *outbox);

/*
 * Takes the room of `n` bytes, with which the frame just appended to the bulk lane ends, away again: they come
 * from a file, from `at` on. `fd` becomes the outbox's own. Nothing but a file whose bytes stay as they are: they
 * are read when they are sent. One that was cut meanwhile goes on with zeros, as the length was promised.
 */
void outbox_bulk_from_file(struct outbox *outbox, int fd, off_t at, size_t n);

bool outbox_control_has_room(const struct outbox *outbox);
bool outbox_bulk_has_room(const struct outbox *outbox);
bool outbox_empty(const struct outbox *outbox);

/* AWAKE_NEVER: all was written, or the descriptor will say when it takes more. */
int64_t outbox_rests_until_ms(const struct outbox *outbox);

/*
 * Writes until nothing is left or the descriptor would block, and nothing while it is at rest: 0, or -1 with
 * errno when the other side is gone.
 */
int outbox_write(struct outbox *outbox, int fd, int64_t now_ms);

#endif
