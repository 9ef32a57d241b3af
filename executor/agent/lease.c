#include "executor/agent/lease.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/timerfd.h>
#include <unistd.h>

#include "common/clock.h"
#include "common/scope.h"

static const char lease_name[] = "lease";

static int write_number(int fd, int64_t number)
{
	uint64_t words[2] = { (uint64_t)number, ~(uint64_t)number };

	return pwrite(fd, words, sizeof words, 0) == (ssize_t)sizeof words ? 0 : -1;
}

static int64_t read_number(int fd)
{
	uint64_t words[2];

	if (pread(fd, words, sizeof words, 0) != (ssize_t)sizeof words || words[0] != ~words[1])
		return -1;
	return (int64_t)words[0];
}

int lease_make(int dir, int64_t number)
{
	autoclose int fd =
		openat(dir, lease_name, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0600);

	return fd < 0 ? -1 : write_number(fd, number);
}

void lease_renew(int dir, int64_t number)
{
	autoclose int fd = openat(dir, lease_name, O_RDWR | O_CLOEXEC | O_NOFOLLOW);

	/* One that cannot be written is tried again with the next number. */
	if (fd >= 0 && number > read_number(fd) && write_number(fd, number) < 0)
		return;
}

int64_t lease_read(int dir)
{
	autoclose int fd = openat(dir, lease_name, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);

	return fd < 0 ? -1 : read_number(fd);
}

/* An absolute time of CLOCK_BOOTTIME fires on waking when it passed meanwhile, which no wait in poll does. */
static void set_timer(const struct lease *lease, int64_t at_ms)
{
	struct itimerspec when = { .it_value = { .tv_sec = at_ms / 1000,
						 .tv_nsec = (long)(at_ms % 1000) * 1000000 } };

	if (at_ms <= 0)
		when.it_value.tv_nsec = 1; /* all zero would mean never */
	timerfd_settime(lease->timer, TFD_TIMER_ABSTIME, &when, NULL);
}

int lease_open(struct lease *lease, const struct spec *spec, struct err *err)
{
	*lease = (struct lease){
		.timer = -1, .length_ms = spec->lease_ms, .renewed_ms = spec->lease_from_ms
	};
	if (spec->lease_ms == 0)
		return 0;
	lease->timer = timerfd_create(CLOCK_BOOTTIME, TFD_CLOEXEC | TFD_NONBLOCK);
	return lease->timer < 0 ? err_errno(err, "timerfd_create") : 0;
}

bool lease_holds(struct lease *lease, int dir)
{
	int64_t now = clock_mono_ms(), granted;

	if (lease->timer < 0)
		return true;
	if (now >= lease->renewed_ms + lease->length_ms) {
		granted = lease_read(dir);
		if (granted > lease->renewed_ms)
			lease->renewed_ms = granted;
	}
	/* A number from the future is of another boot, or damaged. */
	if (now < lease->renewed_ms || now >= lease->renewed_ms + lease->length_ms)
		return false;
	set_timer(lease, lease->renewed_ms + lease->length_ms);
	return true;
}

int64_t lease_left_ms(struct lease *lease, int64_t grace_ms)
{
	int64_t now = clock_mono_ms();
	int64_t end = lease->renewed_ms + lease->length_ms + grace_ms;

	if (now < lease->renewed_ms || now >= end) {
		set_timer(lease, INT64_MAX / 2);
		return 0;
	}
	set_timer(lease, end);
	return end - now;
}
