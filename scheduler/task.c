#include "scheduler/task.h"

const struct machine_state task_states[TASK_STATES] = {
	[TASK_WAITING] = { "waiting",
			   TO(TASK_READY) | TO(TASK_CANCELED) | TO(TASK_SKIPPED) | TO(TASK_UPSTREAM_FAILED) },
	[TASK_READY] = { "ready",
			 TO(TASK_STARTING) | TO(TASK_FAILED) | TO(TASK_CANCELED) | TO(TASK_SKIPPED) },
	[TASK_STARTING] = { "starting", TO(TASK_RUNNING) | TO(TASK_STOPPING) | TO(TASK_RETRYING) |
						TO(TASK_READY) | TO(TASK_SUCCEEDED) | TO(TASK_FAILED) |
						TO(TASK_CANCELED) },
	[TASK_RUNNING] = { "running", TO(TASK_STOPPING) | TO(TASK_RETRYING) | TO(TASK_READY) |
					      TO(TASK_SUCCEEDED) | TO(TASK_FAILED) | TO(TASK_CANCELED) },
	[TASK_STOPPING] = { "stopping", TO(TASK_RETRYING) | TO(TASK_READY) | TO(TASK_SUCCEEDED) |
						TO(TASK_FAILED) | TO(TASK_CANCELED) },
	[TASK_RETRYING] = { "retrying", TO(TASK_READY) | TO(TASK_CANCELED) },
	[TASK_SUCCEEDED] = { "succeeded", 0 },
	[TASK_FAILED] = { "failed", 0 },
	[TASK_CANCELED] = { "canceled", 0 },
	[TASK_SKIPPED] = { "skipped", 0 },
	[TASK_UPSTREAM_FAILED] = { "upstream_failed", 0 },
};
