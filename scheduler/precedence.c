#include "scheduler/precedence.h"

#include <sched.h>
#include <sys/resource.h>

enum { LOWEST = 1 };

static bool has_it(void)
{
	int policy = sched_getscheduler(0) & ~SCHED_RESET_ON_FORK;

	return policy == SCHED_RR || policy == SCHED_FIFO;
}

bool precedence_set(bool wanted)
{
	const struct sched_param param = { .sched_priority = wanted ? LOWEST : 0 };

	if (wanted == has_it())
		return wanted;
	sched_setscheduler(0, (wanted ? SCHED_RR : SCHED_OTHER) | SCHED_RESET_ON_FORK, &param);
	setrlimit(RLIMIT_RTPRIO, &(struct rlimit){ 0, 0 });
	return has_it();
}
