/*
 * foreground.h - drives one run in this process, with its progress on the terminal
 *
 * Used by run, retry and cancel. Signals: SIGINT asks the steps to stop and waits for them (a second one
 * stops them at once, a third one leaves); SIGTERM and SIGHUP leave at once. Leaving ends no step: the run is
 * orphaned until it is taken up again.
 */
#ifndef SCHEDULER_FOREGROUND_H
#define SCHEDULER_FOREGROUND_H

#include <stdbool.h>
#include <stdint.h>

#include "common/err.h"
#include "scheduler/store.h"

enum foreground_verb {
	FOREGROUND_GO,     /* a new run, or one that was left */
	FOREGROUND_RETRY,  /* what did not succeed, or from a step on */
	FOREGROUND_CANCEL, /* one that was left is ended */
};

struct foreground {
	enum foreground_verb verb;
	bool now;              /* CANCEL: without grace */
	const char *from_step; /* RETRY: NULL is what did not succeed */
	const char *actor;
	const char *origin;
	const struct settings *settings;
	int owner; /* the run's lock (owner.h) where it is held already, else -1; closed at the end */
};

/* Takes the store over. Returns the exit status of the command. */
int foreground_drive(struct store *store, uint64_t run, const struct foreground *how);

#endif
