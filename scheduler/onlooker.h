/*
 * onlooker.h - shows the progress of a run that another process drives, as `stoker run` shows its own
 *
 * Read from the database, which is on this machine: whatever it shows is on disk. Ends when the run has ended, or when
 * nobody is there any more to drive it.
 */
#ifndef SCHEDULER_ONLOOKER_H
#define SCHEDULER_ONLOOKER_H

#include <stdbool.h>
#include <stdint.h>

#include "common/err.h"
#include "scheduler/store.h"

enum { ONLOOKER_LOOK_MS = 50 };

struct onlooker {
	/* Ctrl-C: asks that the run be canceled; a second one without grace. A third one leaves. NULL: the first leaves. */
	int (*cancel)(void *context, bool now, struct err *err);
	void *context;
};

/* `store` is a reader's. Returns the exit status: that of the run. */
int onlooker_watch(struct store *store, uint64_t run, const struct onlooker *how);

#endif
