/*
 * courier.h - parcels between this machine and its workers, beneath whoever drives the links
 *
 * Out: an agent asks (FRAME_WANT) for a parcel by its digest. Whoever drives the links says where it is: in a
 * file here, or on another worker. From there it is fetched first (intake.h), once for all that want it, for
 * as long as that takes; then it is sent in pieces as the link has room and the agent's window allows, the
 * parcels of one link in turns.
 *
 * Nothing is held in memory but the piece at hand. When a link is lost, so is what was under way on it: the
 * agent asks again, from where it stopped.
 */
#ifndef EXECUTOR_COURIER_H
#define EXECUTOR_COURIER_H

#include "executor/intake.h"
#include "executor/link.h"

struct courier;

/* Where a parcel is. */
struct courier_place {
	const char *path;  /* here, or where it is to be when it has been fetched */
	struct link *from; /* NULL: it is here */
	struct frame_get get;
	uint64_t bytes;
};

/* False: nobody knows it (any more). Texts go to `arena`. */
typedef bool courier_locate(void *context, const struct frame_want *want, struct arena *arena,
			    struct courier_place *out);

/* What the links hear: to be called from the handlers of the same names. */
void courier_on_want(struct courier *courier, struct link *link, const struct frame_want *want);
void courier_on_parcel(struct courier *courier, struct link *link, const struct frame_parcel *parcel);
void courier_on_room(struct courier *courier, struct link *link);
void courier_on_up(struct courier *courier, const struct link *link);
void courier_on_down(struct courier *courier, const struct link *link);
void courier_on_gone(struct courier *courier, const struct link *link); /* about to be freed */

struct courier *courier_new(uv_loop_t *loop, courier_locate *locate, void *context);

/* Ends all of it; to be freed when the loop has run out. NULL is harmless. */
void courier_stop(struct courier *courier);
void courier_free(struct courier *courier);

#endif
