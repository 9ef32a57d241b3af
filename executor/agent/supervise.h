/*
 * supervise.h - the process that holds one attempt
 *
 * It leads a process group of its own, makes the attempt visible, runs the step in a session, keeps its log,
 * watches its checkpoints, enforces its limits, ends what is left of it, and writes its exit record. It
 * outlives the agent that forked it and needs nobody.
 *
 *   VERIFYING -> RUNNING -> STOPPING -> KILLING -> SEALING -> ENDED      each may go on to SEALING at once
 *                   +-----> CLEARING ------^
 *
 * One with a lease (lease.h) stops its step when that has run out, and does not start it then; guard.h holds
 * this for it should it be killed.
 *
 * Asked to stop by a file `request` in the attempt's folder and SIGUSR1 (struct frame_stop), or by SIGTERM.
 */
#ifndef EXECUTOR_AGENT_SUPERVISE_H
#define EXECUTOR_AGENT_SUPERVISE_H

#include <signal.h>

#include "executor/agent/spare.h"
#include "executor/protocol.h"

enum { SUPERVISE_NUDGE = SIGUSR1 };

struct supervise_plan {
	const char *root; /* absolute, and the current folder */
	const char *home;
	const uint8_t *frame; /* FRAME_START as received */
	size_t frame_bytes;
	const struct spec *spec;
	int null_fd;   /* /dev/null */
	int report_fd; /* pipe of the session; one struct supervise_report is written to it */
	uint64_t oom_before;
	char spare_attempt[SPARE_PATH_BYTES]; /* folders to use again; "": make new ones */
	char spare_task[SPARE_PATH_BYTES];
};

enum supervise_outcome {
	SUPERVISE_PUBLISHED,
	SUPERVISE_PRESENT, /* somebody started it before */
	SUPERVISE_REFUSED, /* another driver has the run */
	SUPERVISE_FAILED,  /* the attempt could not be made: nothing of it is there */
};

struct supervise_report {
	struct attempt_id id;
	int32_t pid;
	int32_t sys_errno;
	enum supervise_outcome outcome;
	uint64_t start_ticks;
	char text[512];
};

/* In a forked child. SIGCHLD, SIGTERM and SUPERVISE_NUDGE are blocked already. */
_Noreturn void supervise_run(const struct supervise_plan *plan);

#endif
