/*
 * precedence.h - the loop goes before the work that it has started
 *
 * A training takes every processor there is. The loop needs little, but at once: what is due, a lease, an answer for the
 * page. So its thread gets the lowest real-time priority (SCHED_RR, 1), and waits for nobody who has none. Its other
 * threads, and what it starts, have it not (SCHED_RESET_ON_FORK), and cannot take it by the limit that allowed it here:
 * that is 0 from then on. Should it ever run without end, the kernel keeps a share
 * of each processor for the others all the same (sched_rt_runtime_us), and the service manager's watchdog ends it.
 *
 * Root may take it, and whom RLIMIT_RTPRIO allows it (stoker.service). For others all stays as it was.
 *
 * Source: sched(7).
 */
#ifndef SCHEDULER_PRECEDENCE_H
#define SCHEDULER_PRECEDENCE_H

#include <stdbool.h>

/* Takes it for this thread, or gives it up: for good, unless this is root. Whether the thread has it now. */
bool precedence_set(bool wanted);

#endif
