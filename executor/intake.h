/*
 * intake.h - parcels that are fetched from workers: asked for, written as they come, verified, put in place
 *
 *   WAITING --> RECEIVING --> VERIFYING --> <path>, complete
 *      ^            |             |
 *      +--- down ---+             +--> once more from the first byte on, when it is not what it should be
 *
 * Bytes go to <path>.part as they come, so that a transfer which was cut goes on where it stopped, also by
 * another process (a lock keeps two of them apart: who has it not waits for the other's end). A whole one is
 * read once more by a thread, verified, synced and renamed; only then it is said to be there.
 *
 * Nothing is held in memory but the piece at hand. Of one worker only so many are fetched at a time.
 *
 * Ownership: texts of an order are copied; those of an end are valid during the call.
 */
#ifndef EXECUTOR_INTAKE_H
#define EXECUTOR_INTAKE_H

#include <uv.h>

#include "common/parcel.h"
#include "executor/link.h"

struct intake;

struct intake_order {
	const char *path; /* where it goes, absolute; one order for each */
	struct link *from;
	struct frame_get get;
	bool is_parcel; /* the digest is the parcel's; else that by which a checkpoint is recorded */
	uint64_t bytes; /* of the parcel; 0: not known */
};

struct intake_end {
	const char *path;
	const char *failure;	       /* NULL: it is there */
	bool transient;		       /* it may be had later */
	char digest[DIGEST_HEX_BYTES]; /* of the parcel */
	uint64_t bytes;
};

typedef void intake_on_end(void *context, const struct intake_end *end);

struct intake *intake_new(uv_loop_t *loop, intake_on_end *on_end, void *context);

/* Ends all of it; to be freed when the loop has run out. */
void intake_stop(struct intake *intake);
void intake_free(struct intake *intake);

void intake_begin(struct intake *intake, const struct intake_order *order);

/* Not wanted any more; what has come stays for another time. */
void intake_cancel(struct intake *intake, const char *path);

/* What the links hear. False: nothing here waits for that. */
bool intake_on_parcel(struct intake *intake, const struct link *link, const struct frame_parcel *parcel);
void intake_on_up(struct intake *intake, const struct link *link);

/* What came from there waits for it to be up again. */
void intake_on_down(struct intake *intake, const struct link *link);

/* The link is about to be freed: what came from there ends, for now. */
void intake_on_gone(struct intake *intake, const struct link *link);

#endif
