/*
 * run.h - one execution of a DAG: its states, and what is stored of it
 *
 *   queued --> running --> succeeded | failed | canceled
 *      \--> failed (what it waited for did not happen) | canceled
 */
#ifndef SCHEDULER_RUN_H
#define SCHEDULER_RUN_H

#include "common/machine.h"
#include "executor/protocol.h"

enum run_state {
	RUN_QUEUED,
	RUN_RUNNING,
	RUN_SUCCEEDED,
	RUN_FAILED,
	RUN_CANCELED,
	RUN_STATES,
};
extern const struct machine_state run_states[RUN_STATES];

struct run_row {
	uint64_t id;
	const char *dag; /* its name */
	uint64_t number; /* within the DAG, from 1 */
	uint64_t dag_version;
	enum run_state state;
	enum reason reason;
	const char *trigger; /* manual, cron, backfill */
	const char *actor;   /* who asked for it: a user's name */
	const char *origin;  /* from where: "cli host", "schedule" */
	int64_t scheduled_for_wall_ms; /* 0: by hand */
	int64_t created_wall_ms;
	int64_t started_wall_ms;
	int64_t ended_wall_ms;
	int64_t cancel_wall_ms; /* asked to cancel; 0: not */
	const char *params;     /* JSON object: name to text */
	const char *source;     /* digest of its snapshot; NULL or empty: none */
	uint64_t source_bytes;  /* of that parcel */
};

#endif
