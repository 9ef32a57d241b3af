/*
 * checkup.h - one worker tried out as a run would use it, step by step
 *
 * Connects with the transport of runs (so that the agent is put there when it is not), asks the agent what it
 * finds on its machine, and tells of each step how it went. It claims nothing and starts nothing. Blocks, in a
 * loop of its own, until all is told; each step has the time limits of runs.
 */
#ifndef SCHEDULER_CHECKUP_H
#define SCHEDULER_CHECKUP_H

#include <stdbool.h>

#include "common/err.h"
#include "executor/protocol.h"
#include "scheduler/settings.h"

struct checkup_plan {
	const struct settings *settings;
	const struct settings_worker *worker;
	const char *home;      /* the state folder */
	const char *home_name; /* the 12 digits of its store; any where there is none */
};

/* Of each step, at once. Texts are valid during the call. */
typedef void checkup_tell(void *context, const struct frame_finding *finding);

/* 0 when all was told; *good_out: a run would work. Negative: it could not even be tried. */
int checkup_run(const struct checkup_plan *plan, checkup_tell *tell, void *context, bool *good_out,
		struct err *err);

#endif
