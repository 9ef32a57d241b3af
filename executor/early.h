/*
 * early.h - what is written to a file sets out for the disk at once, and not all of it in the end
 *
 * The system keeps what is written in memory, half a minute or longer. Whoever then syncs a file of a GB waits for
 * all of it; and who syncs another file waits too, where the file system writes the former along (ext4 does,
 * with the data of every file that grew). The ledger is such another file, and each start waits for it.
 *
 * So a thread of libuv's pool sets each EARLY_BYTES going, one such piece at a time. Nobody waits for that, and it
 * promises nothing: who needs the bytes on the disk still syncs.
 *
 * Ownership: embedded in whoever writes; the piece under way has a descriptor of its own, and may end later.
 */
#ifndef EXECUTOR_EARLY_H
#define EXECUTOR_EARLY_H

#include <stdint.h>
#include <uv.h>

enum { EARLY_BYTES = 8 * 1024 * 1024 };

struct early_piece;

/* Zero-initialise. */
struct early {
	struct early_piece *piece; /* under way; NULL: none */
	uint64_t begun;		   /* up to here it was set going */
};

/* The file has been written up to `end`. Files only grow; one that was cut off starts anew. */
void early_written(struct early *early, uv_loop_t *loop, int fd, uint64_t end);

void early_fini(struct early *early);

#endif
