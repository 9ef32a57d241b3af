#include "scheduler/run.h"

const struct machine_state run_states[RUN_STATES] = {
	[RUN_QUEUED] = { "queued", TO(RUN_RUNNING) | TO(RUN_FAILED) | TO(RUN_CANCELED) },
	[RUN_RUNNING] = { "running", TO(RUN_SUCCEEDED) | TO(RUN_FAILED) | TO(RUN_CANCELED) },
	[RUN_SUCCEEDED] = { "succeeded", 0 },
	[RUN_FAILED] = { "failed", 0 },
	[RUN_CANCELED] = { "canceled", 0 },
};
