/*
 * sweep.h - an attempt whose supervisor died without an exit record
 *
 * Ends all that is left of it as its supervisor would have (stop file, SIGTERM, grace, SIGKILL, until nothing
 * is left), looks through its checkpoints, and links the record: lost. After a reboot nothing can be left,
 * and only the latter is done. Any number of agents may do this at the same time: they take turns, and the
 * first record stands.
 */
#ifndef EXECUTOR_AGENT_SWEEP_H
#define EXECUTOR_AGENT_SWEEP_H

struct sweep_plan {
	const char *root; /* absolute, and the current folder */
	const char *home;
	const char *name; /* of the attempt's folder */
	int null_fd;
};

/* In a forked child. */
_Noreturn void sweep_run(const struct sweep_plan *plan);

#endif
