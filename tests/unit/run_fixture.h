/*
 * run_fixture.h - a run of a DAG given as text, whose tasks and attempts a test puts into any state
 */
#ifndef TESTS_UNIT_RUN_FIXTURE_H
#define TESTS_UNIT_RUN_FIXTURE_H

#include <stdlib.h>
#include <string.h>

#include "dag/diagnostic.h"
#include "scheduler/core.h"

/* Noon of a day, UTC. */
#define FIXTURE_NOW_MS INT64_C(1800014400000)

static inline struct dag *fixture_dag(const char *yaml)
{
	struct diagnostics diagnostics;
	struct dag *dag = NULL;

	diagnostics_init(&diagnostics);
	if (dag_parse("/dags/night.yaml", yaml, strlen(yaml), &dag, &diagnostics) < 0) {
		diagnostics_print(&diagnostics, stderr, false);
		abort();
	}
	diagnostics_fini(&diagnostics);
	return dag;
}

/* "night/7", running since a minute ago. */
static inline struct run *fixture_run(const char *yaml)
{
	struct run_row row = {
		.id = 3,
		.dag = "night",
		.number = 7,
		.state = RUN_RUNNING,
		.trigger = "manual",
		.actor = "ada",
		.origin = "cli box",
		.created_wall_ms = FIXTURE_NOW_MS - 61000,
		.started_wall_ms = FIXTURE_NOW_MS - 60000,
		.params = "{}",
	};

	return run_new(fixture_dag(yaml), &row);
}

static inline struct task *fixture_task(struct run *run, const char *name)
{
	const struct dag_step *step = dag_find_step(run->dag, name);

	if (step == NULL)
		abort();
	return &run->tasks[step->index];
}

static inline struct task *fixture_set(struct run *run, const char *name, enum task_state state,
				       enum reason reason, const char *message)
{
	struct task *task = fixture_task(run, name);

	task->row.state = state;
	task->row.reason = reason;
	task->row.message = message;
	return task;
}

/* A live attempt, begun ten seconds ago. */
static inline struct attempt *fixture_attempt(struct run *run, const char *name, uint32_t number,
					      enum attempt_state state)
{
	struct task *task = fixture_task(run, name);
	struct attempt_row row = {
		.id = { run->row.id, task->row.step, number },
		.state = state,
		.worker = "local",
		.boot_id = "boot",
		.intended_wall_ms = FIXTURE_NOW_MS - 10000,
		.started_wall_ms = state == ATTEMPT_INTENDED ? 0 : FIXTURE_NOW_MS - 10000,
		.exit_code = -1,
		.resumed_from = "",
		.devices = "",
		.message = "",
	};

	task->row.attempts = number;
	task->row.started_wall_ms = FIXTURE_NOW_MS - 10000;
	return run_add_live(run, &row);
}

#endif
