/*
 * checkpoint.h - the ledger of a task's checkpoints, and where its next attempt resumes
 *
 * Pure. The supervisor reports what it saw (complete, removed, broken); the ledger decides what that means:
 * which entry is newest, which one must not be used any more, and whether an attempt made progress.
 *
 * Progress is a checkpoint of contents never seen before, further than the one the attempt began from (where
 * names tell steps). An attempt that only regains what an earlier one had reached is progress too, but a
 * limited number of times in a row (LEDGER_REFOUND_MAX), so that a step which always dies at the same place
 * comes to an end.
 *
 * A copy is the same checkpoint as a parcel with the scheduler, verified when it was fetched. It stays good
 * whatever becomes of the one on the worker, and can be brought to any other.
 *
 * Quarantine: an entry on which resumed attempts died LEDGER_DEATHS_MAX times without progress is not used
 * again, not even when an attempt writes the same bytes anew.
 */
#ifndef SCHEDULER_CHECKPOINT_H
#define SCHEDULER_CHECKPOINT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/arena.h"
#include "executor/protocol.h"

enum { LEDGER_DEATHS_MAX = 2, LEDGER_REFOUND_MAX = 3 };

enum checkpoint_state {
	CHECKPOINT_GOOD,
	CHECKPOINT_IS_BROKEN,   /* its digest does not hold any more */
	CHECKPOINT_QUARANTINED, /* attempts die on it */
	CHECKPOINT_IS_REMOVED,  /* by `keep` */
	CHECKPOINT_REPLACED,    /* another was written under its name */
	CHECKPOINT_STATES,
};
extern const char *const checkpoint_state_names[CHECKPOINT_STATES];

struct checkpoint_row {
	uint64_t run;
	uint32_t step;    /* of the DAG */
	uint32_t seq;     /* from 1; the order in which they were recorded */
	uint32_t attempt; /* that wrote it */
	uint32_t deaths;
	enum checkpoint_state state;
	int64_t at_step; /* training step; -1: not told */
	uint64_t bytes;
	int64_t created_wall_ms;
	const char *name;
	const char *digest;
	const char *format;
	const char *worker;  /* where it lies: the worker of its attempt */
	const char *message; /* why it is not good any more */
	const char *copy;    /* digest of the parcel that the scheduler has; NULL: none */
	uint64_t copy_bytes; /* of that parcel */
	const char *brought; /* the worker where it was brought last, and lies too; NULL: none */
	/* Not stored: what this scheduler has given up. */
	bool copy_failed; /* it could not be fetched */
	bool copy_again;  /* it could not be put in place once, and is fetched anew */
	bool copy_unfit;  /* nor then */
};

struct ledger {
	struct checkpoint_row *rows; /* in order of seq */
	size_t count;
	size_t room;
};

void ledger_fini(struct ledger *ledger);

/* Appends a stored row, at recovery. */
void ledger_add(struct ledger *ledger, const struct checkpoint_row *row);

/* The scheduler has it, and it may be used. */
bool checkpoint_has_copy(const struct checkpoint_row *row);

/* The newest one that is good on its worker or has a copy; NULL: there is none. */
const struct checkpoint_row *ledger_newest(const struct ledger *ledger);

/* The newest one recorded under `name` on `worker` (NULL: anywhere) that is good or quarantined, or NULL. */
struct checkpoint_row *ledger_find(struct ledger *ledger, const char *worker, const char *name);

/*
 * What an attempt on `worker` resumed from, as it says: the one that lies there, else the one that was brought
 * there. An empty digest stands for any.
 */
struct checkpoint_row *ledger_find_begin(struct ledger *ledger, const char *worker, const char *name,
					 const char *digest);

/* The one of that name that was brought to `worker`, or NULL. */
struct checkpoint_row *ledger_find_brought(const struct ledger *ledger, const char *worker, const char *name);

/* By its seq; NULL: there is none. */
struct checkpoint_row *ledger_at(const struct ledger *ledger, uint32_t seq);

/* What is to be brought to `worker` before an attempt starts there; NULL: its own is the newest, or none is. */
const struct checkpoint_row *ledger_brought(const struct ledger *ledger, const char *worker);

/*
 * Enters a complete checkpoint; texts are copied to `arena`. Returns its row. *replaced_out is the row that
 * it took the name of, or NULL; *new_out tells whether these contents were never seen before.
 */
struct checkpoint_row *ledger_record(struct ledger *ledger, const struct record_checkpoint *record,
				     uint64_t run, uint32_t step, uint32_t attempt, const char *worker,
				     struct arena *arena, struct checkpoint_row **replaced_out,
				     bool *new_out);

/*
 * The candidates of a spec for `worker`: good and quarantined ones that lie there, and the one that is brought
 * (NULL: none), newest first.
 */
size_t ledger_candidates(const struct ledger *ledger, const char *worker,
			 const struct checkpoint_row *brought, struct arena *arena,
			 struct spec_checkpoint **out);

#endif
