/*
 * alarm.h - calls at a moment of the wall clock, and whenever that clock is set
 *
 * A timer of the loop counts elapsed time: it is late after the machine slept, and wrong after the clock was set.
 * This one is the kernel's (timerfd on CLOCK_REALTIME, with TFD_TIMER_CANCEL_ON_SET), to the millisecond.
 *
 * Ownership: in the caller's memory until the loop has closed it (alarm_close).
 * Units:     milliseconds since 1970 UTC.
 */
#ifndef SCHEDULER_ALARM_H
#define SCHEDULER_ALARM_H

#include <stdint.h>
#include <uv.h>

#include "common/err.h"

struct alarm {
	uv_poll_t poll;
	int fd;
	void (*on_due)(void *context);
	void *context;
};

int alarm_open(uv_loop_t *loop, struct alarm *alarm, void (*on_due)(void *context), void *context,
	       struct err *err);

/* Once, at that moment or at once when it is over; before that when the clock is set. In place of the one before. */
void alarm_set(struct alarm *alarm, int64_t wall_ms);

void alarm_close(struct alarm *alarm);

#endif
