#include "scheduler/attempt.h"

enum { FENCES_PER_RUN = 1000000 };

#define ENDS (TO(ATTEMPT_SUCCEEDED) | TO(ATTEMPT_FAILED) | TO(ATTEMPT_CANCELED) | TO(ATTEMPT_LOST))

const struct machine_state attempt_states[ATTEMPT_STATES] = {
	[ATTEMPT_INTENDED] = { "intended", TO(ATTEMPT_RUNNING) | ENDS },
	[ATTEMPT_RUNNING] = { "running", TO(ATTEMPT_UNREACHABLE) | ENDS },
	[ATTEMPT_UNREACHABLE] = { "unreachable", TO(ATTEMPT_RUNNING) | ENDS },
	[ATTEMPT_SUCCEEDED] = { "succeeded", 0 },
	[ATTEMPT_FAILED] = { "failed", 0 },
	[ATTEMPT_CANCELED] = { "canceled", 0 },
	[ATTEMPT_LOST] = { "lost", 0 },
};

uint64_t attempt_fence(const struct attempt_id *id)
{
	return id->run * FENCES_PER_RUN + id->number;
}
