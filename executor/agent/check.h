/*
 * check.h - what a run needs of this machine, looked at piece by piece, for `stoker workers check`
 *
 * In a helper (helper.h), because every piece may hang: a network disk, a driver, a service. It writes one
 * FRAME_FINDING after the other; the end of its output is the end.
 */
#ifndef EXECUTOR_AGENT_CHECK_H
#define EXECUTOR_AGENT_CHECK_H

#include "executor/protocol.h"

enum { CHECK_LIMIT_MS = 45000 };

struct check {
	const char *root; /* absolute, and the current folder */
	const char *home; /* of the scheduler that asks */
};

/* `context` is a struct check. For helper_start. */
void check_work(void *context, int out);

#endif
