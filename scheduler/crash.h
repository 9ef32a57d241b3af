/*
 * crash.h - places at which tests have this process die, as by SIGKILL
 *
 * $STOKER_CRASH_AT=POINT:N kills the process when it comes to that place for the N-th time. Each place lies between two
 * steps that a crash may part; whatever was done before it must be found again by the next process. Without the
 * variable a place costs one comparison.
 *
 * Threads: may be called from any; the first call decides for all.
 */
#ifndef SCHEDULER_CRASH_H
#define SCHEDULER_CRASH_H

#define CRASH_POINTS(POINT)                                                       \
	POINT(batch_applied)	 /* written, not committed */                     \
	POINT(batch_committed)	 /* on disk, its orders not given */              \
	POINT(orders_given)	 /* on their way to the agents, nobody told */    \
	POINT(run_made)		 /* on disk, whoever asked for it not answered */ \
	POINT(due_settled)	 /* ledger and run on disk, the queue not told */ \
	POINT(run_owned)	 /* its lock is taken, it is not loaded */        \
	POINT(run_taken_up)	 /* loaded, nothing of it decided */              \
	POINT(run_ended)	 /* its end is on disk, it is not let go of */    \
	POINT(notice_due)	 /* a notice is on disk, not delivered */

enum crash_point {
#define POINT(name) CRASH_##name,
	CRASH_POINTS(POINT)
#undef POINT
	CRASH_POINTS_COUNT
};

void crash_at(enum crash_point point);

#endif
