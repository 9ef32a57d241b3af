/*
 * precedence.h - the loop goes before the work that it has started
 *
 * A training takes every processor there is. The loop needs little, but at once: what is due, a lease, an answer for the
 * page. So its thread gets the lowest real-time priority (SCHED_RR, 1), and waits for nobody who has none. Its other
 * threads, and what it starts, do not have it (SCHED_RESET_ON_FORK).
 *
 * It has it for as long as it needs little. What belongs to one processor (the kernel's threads of it above all) waits for a
 * thread that goes first and does not sleep, up to a second (the kernel's bound, sched_rt_runtime_us). So one looks after
 * each 20 ms of processor time that it used, whatever it is doing then: a thread that took more than nine tenths of the
 * time since the last look waits in line like any other until it took less. Others wait up to 35 ms for one that is never
 * done, and 12 ms if it has no precedence at all.
 *
 * It does not turn in a circle for a thread that it may have interrupted itself: its sched_yield() sleeps for a moment.
 *
 * Root may take it, and whom RLIMIT_RTPRIO allows it (stoker.service). For others all stays as it was.
 *
 * Source: sched(7), timer_create(2).
 */
#ifndef SCHEDULER_PRECEDENCE_H
#define SCHEDULER_PRECEDENCE_H

#include <stdbool.h>

/* Takes it for this thread, or gives it up. One thread of the process may have it. Whether it has. */
bool precedence_set(bool wanted);

#endif
