#include "scheduler/alarm.h"

#include <assert.h>
#include <sys/timerfd.h>
#include <unistd.h>

/* A read fails with ECANCELED when the clock was set, and tells how often it was due otherwise: the same to us. */
static void on_readable(uv_poll_t *poll, int status, int events)
{
	struct alarm *alarm = poll->data;
	uint64_t times;
	ssize_t n = read(alarm->fd, &times, sizeof times);

	(void)status;
	(void)events;
	(void)n;
	alarm->on_due(alarm->context);
}

static void on_closed(uv_handle_t *handle)
{
	struct alarm *alarm = handle->data;

	close(alarm->fd);
}

int alarm_open(uv_loop_t *loop, struct alarm *alarm, void (*on_due)(void *context), void *context,
	       struct err *err)
{
	alarm->on_due = on_due;
	alarm->context = context;
	alarm->fd = timerfd_create(CLOCK_REALTIME, TFD_NONBLOCK | TFD_CLOEXEC);
	if (alarm->fd < 0)
		return err_errno(err, "make a timer");
	uv_poll_init(loop, &alarm->poll, alarm->fd);
	alarm->poll.data = alarm;
	uv_poll_start(&alarm->poll, UV_READABLE, on_readable);
	return 0;
}

void alarm_set(struct alarm *alarm, int64_t wall_ms)
{
	struct itimerspec when = { .it_value = { .tv_sec = wall_ms / 1000, .tv_nsec = wall_ms % 1000 * 1000000 } };
	int rc;

	if (wall_ms <= 0)
		when.it_value = (struct timespec){ .tv_nsec = 1 }; /* 0 would switch it off */
	rc = timerfd_settime(alarm->fd, TFD_TIMER_ABSTIME | TFD_TIMER_CANCEL_ON_SET, &when, NULL);
	assert(rc == 0);
	(void)rc;
}

void alarm_close(struct alarm *alarm)
{
	if (alarm->poll.data != NULL && !uv_is_closing((uv_handle_t *)&alarm->poll))
		uv_close((uv_handle_t *)&alarm->poll, on_closed);
}
