/*
 * step.h - makes a process into a step: its environment, folder, output, and the program itself
 *
 * The child leads a process group of its own, in a session that nobody else is in and that is noted in the spec of
 * the attempt (spool.h) before the child is there; its output is one pipe. Whether the program could be run is told
 * through a second pipe, which closes when it runs and carries a struct err when it does not.
 *
 * Its environment is built from an allow-list of the agent's own, what the DAG and the scheduler set, and
 * what only the worker knows: paths, devices and the cookie by which strays are found.
 */
#ifndef EXECUTOR_AGENT_STEP_H
#define EXECUTOR_AGENT_STEP_H

#include <stdbool.h>
#include <sys/types.h>

#include "executor/protocol.h"

struct step_plan {
	const struct spec *spec;
	const char *cookie;	    /* name of the attempt's folder */
	const char *folder;	    /* its absolute path */
	const char *checkpoint_dir; /* absolute */
	const char *resume_from;    /* absolute, or empty */
	bool adopted;		    /* the caller is a subreaper; else the step is in its session */
};

struct step {
	pid_t pid;
	int exec_pipe; /* end of file: it runs; a struct err: it does not */
	int output;
};

/* Forks; the pipes' ends in `out` do not block. The attempt's folder is the current one. */
int step_start(const struct step_plan *plan, struct step *out, struct err *err);

/* Whether time may mend the error (no memory, no processes, a full disk, a program just being written). */
bool step_error_is_transient(int sys_errno);

/* The environment a step gets, NULL-terminated, in `arena`. */
char **step_environment(const struct step_plan *plan, struct arena *arena);

#endif
