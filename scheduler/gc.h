/*
 * gc.h - takes away what retention.h says has been kept for long enough
 *
 * In turns, each of them short, so that whoever calls can do other things in between: the command one after the other,
 * the daemon as jobs of its writer and on a thread of its own.
 *
 *   while ((need = gc_need(gc)) != GC_DONE)
 *           need == GC_STORE ? gc_store(gc, store, &err) : gc_files(gc);
 *
 * gc_store is one transaction of bounded size, or a part of the one that is open. One that is lost (a full disk, a crash)
 * is done again: no turn believes what it has not read back. gc_files needs no store and may wait for the disk.
 *
 * A run goes in this order, and where it stopped the next gc goes on:
 *
 *   its owner's lock (owner.h)  nobody takes it up from here on, and one that is driven is left alone
 *   the mark in its row         from here on it is not found by its name
 *   its rows, the run's last    with the ledger of due times kept, and its name for the audit trail
 *   its folder                  one without a row is recognised by the name that was kept
 *
 * Of a run that stays, logs go before they are marked as gone; both can be repeated. A snapshot of a source goes when no
 * run names it and it is a day old (whoever is about to name one makes it young, see source.h).
 *
 * Never: a run that has not ended, the newest of a DAG (`keep`), what a live run still fetches.
 *
 * Ownership: the gc holds locks on the runs at hand until it is done with them, or freed.
 * Errors:    gc_store returns those of the store, and can be called again; of files that could not be removed the first is
 *            kept in the report, and the rest goes on.
 */
#ifndef SCHEDULER_GC_H
#define SCHEDULER_GC_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/err.h"
#include "scheduler/retention.h"
#include "scheduler/store.h"

enum gc_need { GC_STORE, GC_FILES, GC_DONE };

struct gc_tally {
	uint64_t count;
	uint64_t bytes;
};

/* What went, or would go. */
struct gc_report {
	struct gc_tally runs; /* with the files of their folders */
	struct gc_tally logs; /* of runs that stay */
	struct gc_tally metrics;
	struct gc_tally events;
	struct gc_tally folders; /* of runs whose rows had gone before */
	struct gc_tally sources;
	struct gc_tally fetched;
	struct gc_tally backups;
	struct gc_tally left_over; /* files that something was killed over */
	struct gc_tally database; /* pages given back; their bytes */
	uint64_t driven;	  /* runs that were left alone because a process drives them */
	uint64_t failures;	  /* files that could not be removed */
	struct err failure;	  /* the first of these */
};

struct gc;

/* Of one removed run, in a dry run of one that would be; may be NULL. */
typedef void gc_tell(void *context, const char *dag, uint64_t number, int64_t ended_ms);

struct gc_plan {
	const char *home;
	const struct retention *retention;
	int64_t now_wall_ms;
	bool dry; /* only counts; the store may be a reader's */
	gc_tell *tell;
	void *context;
};

/* What the plan points to must stay until gc_free, but for the retention. */
struct gc *gc_new(const struct gc_plan *plan);
void gc_free(struct gc *gc); /* at any time; NULL is harmless */

enum gc_need gc_need(const struct gc *gc);
int gc_store(struct gc *gc, struct store *store, struct err *err);
void gc_files(struct gc *gc);

const struct gc_report *gc_report(const struct gc *gc);

/* Into the audit trail, when anything went. */
int gc_record(const struct gc *gc, struct store *store, const char *actor, const char *origin, struct err *err);

/* "12 runs, 40 logs (1.2 GiB), ..."; "nothing" when there was nothing. */
void gc_describe(const struct gc_report *report, struct buf *out);

#endif
