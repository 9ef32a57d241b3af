/*
 * family.h - what is left of an attempt
 *
 * Offspring of its supervisor (a subreaper: what loses its parent becomes its child, whatever session or
 * group it moved to), and strays that have the attempt's cookie in their environment, with their offspring.
 * Of a supervisor that died: the members of its step's session, where that is still the same one.
 *
 * Never found: this process itself, pid 1, zombies.
 */
#ifndef EXECUTOR_AGENT_FAMILY_H
#define EXECUTOR_AGENT_FAMILY_H

#include "executor/agent/process.h"

struct family {
	pid_t root;	     /* whose offspring; 0: nobody's */
	const pid_t *except; /* helpers of ours below it */
	size_t except_count;
	const char *cookie;	/* name of the attempt's folder; NULL: do not look for strays */
	pid_t session;		/* of the step of a supervisor that died; 0: not wanted */
	uint64_t session_ticks; /* when who made it started */
	pid_t group;		/* of its step; 0: not known */
};

/* All that live now, in `found`. */
void family_find(const struct family *family, struct process_list *found);

/* Signals each; the number that were still there. */
size_t family_signal(const struct process_list *found, int sig);

#endif
