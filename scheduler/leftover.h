/*
 * leftover.h - what runs left on a worker that was away when they ended
 *
 * A run can end without a worker that it had attempts on: their leases had run out. When that worker is
 * connected again its agent names the runs that were never released there. One that has ended in the store is
 * claimed once more, under the epoch that it has there, so that whoever claimed it since, keeps it; the logs of
 * its attempts are collected to their end, then the attempts and what else the run left are removed. Runs of
 * other schedulers are never named, and those that the store does not know, or that go on, are left alone.
 *
 *   named -> claimed -> its attempts attached, collected, forgotten -> released
 *                       the connection ends: dropped, and named again by the next one
 *
 * The core knows nothing of it: to it such a run is over.
 *
 * Ownership: the set owns its entries; the store is only read.
 */
#ifndef SCHEDULER_LEFTOVER_H
#define SCHEDULER_LEFTOVER_H

#include <stdbool.h>
#include <stddef.h>

#include "executor/link.h"
#include "scheduler/store.h"

struct leftovers;

struct leftovers *leftovers_new(struct store *store);
void leftovers_free(struct leftovers *set);

/* A run that was not released there. Not for one that the core drives. */
void leftovers_on_left(struct leftovers *set, struct link *link, const struct frame_claim *left);

/* What the worker says of such a run: true when it was about one, and nobody else's matter. */
bool leftovers_on_present(struct leftovers *set, struct link *link, const struct frame_present *present);
bool leftovers_on_inventory(struct leftovers *set, struct link *link, const struct frame_claim *claim);
bool leftovers_on_collected(struct leftovers *set, struct link *link, const struct attempt_id *id);
bool leftovers_has(const struct leftovers *set, uint64_t run);

/* As link_handler's: where the log of an attempt of such a run is kept. */
bool leftovers_log_path(struct leftovers *set, const struct attempt_id *id, char *path, size_t path_bytes);

/* The connection is gone, or the run is driven again. */
void leftovers_drop_link(struct leftovers *set, const struct link *link);
void leftovers_drop_run(struct leftovers *set, uint64_t run);

#endif
