/*
 * copies.h - the files of checkpoints that were fetched from their workers (core_copy.c decides which)
 *
 *   <home>/checkpoints/<dag>/<number>/<task>.<seq>        a parcel (common/parcel.h), complete and verified
 *   <home>/checkpoints/<dag>/<number>/<task>.<seq>.part   not all of it yet; a transfer that was cut goes on here
 *
 * What is there and what the database says may differ after a crash, or when somebody tidied up: copies_check
 * brings them together when a run is taken up.
 *
 * Ownership: nothing is kept of the runs and rows given. Links must outlive what is fetched from them.
 */
#ifndef SCHEDULER_COPIES_H
#define SCHEDULER_COPIES_H

#include <uv.h>

#include "executor/intake.h"
#include "scheduler/core.h"

struct copies;

/* A fetch has ended: an EVENT_COPIED, complete but for the time. Not called for one that was canceled. */
typedef void copies_on_end(void *context, struct event *event);

struct copies *copies_new(uv_loop_t *loop, const char *home, copies_on_end *on_end, void *context);

/* Ends all of it; to be freed when the loop has run out. NULL is harmless. */
void copies_stop(struct copies *copies);
void copies_free(struct copies *copies);

/*
 * Before the core takes a run: forgets copies whose files are gone, and removes files that nothing in its
 * ledgers speaks of.
 */
void copies_check(struct copies *copies, struct run *run);

/* Orders of the core. */
void copies_begin(struct copies *copies, const struct run *run, const struct attempt_id *id, uint32_t seq,
		  struct link *from);
void copies_cancel(struct copies *copies, const struct run *run, const struct attempt_id *id, uint32_t seq);
void copies_drop(struct copies *copies, const struct run *run, const struct attempt_id *id, uint32_t seq);

/* Nothing of the run is wanted here any more. */
void copies_end_run(struct copies *copies, const struct run *run);

/* Where the copy of that digest of a task lies; NULL: there is none. */
const char *copies_find(const struct copies *copies, const struct run *run, uint64_t task, const char *digest,
			struct arena *arena);

/* What the links hear. False: it is not for a checkpoint. */
bool copies_on_parcel(struct copies *copies, const struct link *link, const struct frame_parcel *parcel);
void copies_on_up(struct copies *copies, const struct link *link);
void copies_on_down(struct copies *copies, const struct link *link);
void copies_on_gone(struct copies *copies, const struct link *link); /* about to be freed */

#endif
