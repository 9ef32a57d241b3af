/*
 * task.h - one step within one run: its states, and what is stored of it
 *
 *   waiting --> ready --> starting --> running --> succeeded | failed | canceled | skipped
 *                 ^           |           |  \--> stopping --^
 *                 +-- retrying <----------+                     waiting --> upstream_failed
 *
 * A task that waits for its retry holds no slot and no device. Only a retry asked for by a person leads out
 * of a terminal state (task_reopen in core.c), and it is an event of its own in the audit trail.
 */
#ifndef SCHEDULER_TASK_H
#define SCHEDULER_TASK_H

#include "common/machine.h"
#include "executor/protocol.h"

enum task_state {
	TASK_WAITING,
	TASK_READY,
	TASK_STARTING,
	TASK_RUNNING,
	TASK_STOPPING,
	TASK_RETRYING,
	TASK_SUCCEEDED,
	TASK_FAILED,
	TASK_CANCELED,
	TASK_SKIPPED,
	TASK_UPSTREAM_FAILED,
	TASK_STATES,
};
extern const struct machine_state task_states[TASK_STATES];

struct task_row {
	uint64_t run;
	uint32_t step; /* index in the DAG */
	enum task_state state;
	enum reason reason;
	uint32_t attempts;          /* made so far, also the ones of earlier retries by hand */
	uint32_t first_attempt;     /* the one that starts from zero by right: 1, or the first after a retry by hand */
	uint32_t failures;          /* of the step itself since it last made progress */
	uint32_t machine_failures;  /* of machines and supervisors, since then */
	uint32_t refound;           /* times it only regained progress it had made before, in a row */
	int64_t best_step;          /* highest training step any checkpoint told; -1: none */
	int64_t not_before_wall_ms; /* retrying: until then */
	int64_t ready_wall_ms;      /* ready: since then; 0: since its run was started */
	int64_t started_wall_ms;    /* first attempt */
	int64_t ended_wall_ms;
	const char *message; /* for people: the first cause */
};

#endif
