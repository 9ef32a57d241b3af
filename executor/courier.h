/*
 * courier.h - parcels between this machine and its workers, beneath whoever drives the links
 *
 * Out: an agent asks (FRAME_WANT) for a parcel by its digest; it is read from <folder>/<digest> and sent in
 * pieces as the link has room and the agent's window allows, the parcels of one link in turns.
 *
 * Nothing is held in memory but the piece at hand. When a link is lost, so is what was under way on it: the
 * agent asks again, from where it stopped.
 */
#ifndef EXECUTOR_COURIER_H
#define EXECUTOR_COURIER_H

#include "executor/link.h"

struct courier;

struct courier *courier_new(const char *folder);
void courier_free(struct courier *courier);

/* What the links hear: to be called from the handlers of the same names. */
void courier_on_want(struct courier *courier, struct link *link, const struct frame_want *want);
void courier_on_room(struct courier *courier, struct link *link);
void courier_on_down(struct courier *courier, const struct link *link);

#endif
