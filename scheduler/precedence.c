#include "scheduler/precedence.h"

#include <errno.h>
#include <sched.h>
#include <signal.h>
#include <stdint.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "common/clock.h"

#ifndef sigev_notify_thread_id /* glibc before 2.38 */
#define sigev_notify_thread_id _sigev_un._tid
#endif

enum {
	LOWEST = 1,
	LOOK_NS = 20 * 1000 * 1000, /* of processor time, between two looks at how busy the thread is */
	BUSY_PERCENT = 90,	    /* of the time since the last one */
	YIELD_NS = 100 * 1000,
};

/* Of the one thread that wants it: a handler of signals has no other way to know. */
static struct {
	volatile sig_atomic_t wanted, held;
	timer_t looks;
	pid_t thread;
	int64_t used_us, seen_us; /* at the last look */
} precedence;

static void hold(bool held)
{
	const struct sched_param param = { .sched_priority = held ? LOWEST : 0 };

	if (sched_setscheduler(0, (held ? SCHED_RR : SCHED_OTHER) | SCHED_RESET_ON_FORK, &param) == 0)
		precedence.held = held;
}

/* Only what a handler of signals may do. */
static void look(int signal)
{
	int error = errno;
	int64_t used_us = clock_thread_us(), seen_us = clock_mono_us();
	bool calm = (used_us - precedence.used_us) * 100 < (seen_us - precedence.seen_us) * BUSY_PERCENT;

	(void)signal;
	if (!precedence.wanted || gettid() != precedence.thread)
		return;
	precedence.used_us = used_us;
	precedence.seen_us = seen_us;
	if (calm != precedence.held)
		hold(calm);
	errno = error;
}

static int start_looks(void)
{
	const struct timespec every = { .tv_nsec = LOOK_NS };
	struct sigaction action = { .sa_handler = look, .sa_flags = SA_RESTART };
	struct sigevent event = { .sigev_notify = SIGEV_THREAD_ID, .sigev_signo = SIGRTMIN };

	precedence.used_us = clock_thread_us();
	precedence.seen_us = clock_mono_us();
	event.sigev_notify_thread_id = precedence.thread = gettid();
	if (sigaction(SIGRTMIN, &action, NULL) < 0 ||
	    timer_create(CLOCK_THREAD_CPUTIME_ID, &event, &precedence.looks) < 0)
		return -1;
	return timer_settime(precedence.looks, 0,
			     &(struct itimerspec){ .it_interval = every, .it_value = every }, NULL);
}

bool precedence_set(bool wanted)
{
	if (wanted == precedence.wanted)
		return wanted;
	precedence.wanted = false; /* a look that is still on its way changes nothing */
	if (!wanted)
		timer_delete(precedence.looks);
	hold(wanted);
	if (precedence.held && start_looks() < 0)
		hold(false);
	precedence.wanted = precedence.held;
	return precedence.wanted;
}

/*
 * The C library's for all others, and in its place for libuv (seen with 1.44): a loop that a thread woke in the middle of
 * uv_async_send() tries again and again until that thread is through, and yields in between. Who goes first yields to none
 * that waits in line; and that thread does, on this very processor, if the loop that it woke interrupted it.
 */
int sched_yield(void)
{
	if (precedence.held && gettid() == precedence.thread)
		return nanosleep(&(struct timespec){ .tv_nsec = YIELD_NS }, NULL);
	return (int)syscall(SYS_sched_yield);
}
