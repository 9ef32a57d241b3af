/*
 * trail.h - a parcel that comes in is verified while the rest still comes
 *
 * To verify a GB takes most of a second, and so does writing it to the disk. Done in the end both are waited for.
 * So a thread of libuv's pool reads behind what is written, a MiB at a time, adds it to the digests, and sets it
 * going for the disk. In the end little is left to do; only then does anybody hear of what is wrong.
 *
 * Ownership: the file is opened anew, so that a lock on the caller's descriptor is the caller's alone.
 */
#ifndef EXECUTOR_TRAIL_H
#define EXECUTOR_TRAIL_H

#include <stdint.h>
#include <uv.h>

#include "common/err.h"

enum { TRAIL_BYTES = 1024 * 1024 }; /* that it is behind before it is set to work: still in the processor's cache */

struct trail;

/* `digest`: of the manifest that it must have; NULL: any. */
struct trail *trail_new(uv_loop_t *loop, const char *path, const char *digest);

/* When a thread is at it, that one frees it in the end. */
void trail_free(struct trail *trail);

/* On the loop: so many bytes are in the file by now. They never change again. */
void trail_follow(struct trail *trail, uint64_t have);

/* In a thread: reads what is left. 0 when it is a parcel, all of it, and as its manifest says. Once. */
int trail_end(struct trail *trail, struct err *err);

#endif
