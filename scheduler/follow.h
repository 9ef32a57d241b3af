/*
 * follow.h - a run that the daemon drives, told line by line: for trigger, and for run when a daemon is up
 *
 * States go to stderr as `stoker run` tells them, what the steps print goes to stdout, each line behind the name of its
 * step. Asks the daemon again and again, more seldom the longer its answers take; what was missed by a daemon that was
 * started again meanwhile comes then.
 */
#ifndef SCHEDULER_FOLLOW_H
#define SCHEDULER_FOLLOW_H

#include <stdbool.h>

struct client;

/* Until it has ended: the exit status that stands for how. `quiet`: nothing is told but what goes wrong. */
int follow_run(struct client **client, const char *run, bool quiet);

#endif
