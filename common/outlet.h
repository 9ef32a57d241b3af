/*
 * outlet.h - text for somebody who reads it, and who is not waited for
 *
 * Whoever reads may stop: a pipe that nobody empties, a terminal behind a connection that is gone or that was stopped with
 * Ctrl-S, a journal that is busy. A plain write stops the writer then, with all that it looks after. Here what is not taken
 * is kept, and offered again by the next outlet_flush.
 *
 *   buf_printf(&outlet.pending, "epoch %d\n", n);
 *   outlet_flush(&outlet);
 *
 * The descriptor is shared with the shell that gave it, and with children, which expect it to block. So O_NONBLOCK is set
 * on another one that is opened for the same pipe or terminal. Sockets can do without. So must whoever may not open it:
 * then only so much is written as a pipe takes that poll calls ready.
 *
 * Ownership: `fd` stays the caller's. What cannot be written at all (nobody is there, the disk is full) is dropped.
 */
#ifndef COMMON_OUTLET_H
#define COMMON_OUTLET_H

#include <stdbool.h>
#include <stdint.h>

#include "common/buf.h"

struct outlet {
	int fd;
	bool is_own;  /* another one than was given */
	bool is_file; /* it takes all at once */
	struct buf pending;
	uint64_t left_out; /* lines that there was no room for, and nobody was told of yet */
};

void outlet_open(struct outlet *outlet, int fd);

/* What it takes now. */
void outlet_flush(struct outlet *outlet);

/* For another line: less than so many bytes are kept, maybe after a flush. Else the line counts as left out. */
bool outlet_has_room(struct outlet *outlet, size_t bytes_max);

/* How many since this was asked last; asked where there is room, to tell of them. */
uint64_t outlet_left_out(struct outlet *outlet);

/* Until it has taken everything, or for so long; negative: without an end. */
void outlet_drain(struct outlet *outlet, int patience_ms);

/* What is still kept is dropped. */
void outlet_close(struct outlet *outlet);

#endif
