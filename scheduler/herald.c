#include "scheduler/herald.h"

#include <inttypes.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/mem.h"
#include "scheduler/view_rows.h"

enum { NAME_BYTES = 160 };

/* What every event about a run has: its names, and of its task where there is one. */
static json_t *about(const struct run *run, uint64_t step)
{
	char name[NAME_BYTES];
	json_t *event = json_object();

	snprintf(name, sizeof name, "%s/%" PRIu64, run->row.dag, run->row.number);
	view_set_text(event, "run", name);
	view_set_text(event, "dag", run->row.dag);
	if (step < run->dag->steps_count)
		view_set_text(event, "task", run->dag->steps[step].name);
	return event;
}

static void tell_run(struct herald *herald, const struct run_row *row)
{
	const struct run *run = engine_find_run(herald->engine, row->id);
	json_t *event;

	if (run == NULL)
		return;
	event = about(run, UINT64_MAX);
	view_set_text(event, "state", run_states[row->state].name);
	view_set_word(event, "reason", reason_names[row->reason]);
	web_publish(herald->web, "run.changed", event);
}

static void tell_task(struct herald *herald, const struct task_row *row)
{
	const struct run *run = engine_find_run(herald->engine, row->run);
	json_t *event;

	if (run == NULL)
		return;
	event = about(run, row->step);
	view_set_text(event, "state", task_states[row->state].name);
	view_set_word(event, "reason", reason_names[row->reason]);
	view_set_number(event, "attempts", row->attempts);
	view_set_text(event, "message", row->message);
	web_publish(herald->web, "task.changed", event);
}

/* There are no more of them than slots. */
static size_t find_started(const struct herald *herald, struct attempt_id id)
{
	size_t i = 0;

	while (i < herald->started_count && !attempt_id_equal(&herald->started[i], &id))
		i++;
	return i;
}

/*
 * From the decision to start it to its first instruction: once for each attempt, when it is first known to run, or that it
 * ran, as the quickest ones have ended by then.
 */
static void count_start(struct herald *herald, const struct attempt_row *row, bool ended)
{
	size_t at = find_started(herald, row->id);
	bool counted = at < herald->started_count;

	if (!counted && row->started_wall_ms > 0)
		control_count_start(herald->control, row->started_wall_ms - row->intended_wall_ms);
	if (counted && ended) {
		herald->started[at] = herald->started[--herald->started_count];
	} else if (!counted && !ended && row->started_wall_ms > 0) {
		mem_grow(&herald->started, &herald->started_room, herald->started_count, sizeof *herald->started);
		herald->started[herald->started_count++] = row->id;
	}
}

static void count_attempt(struct herald *herald, const struct attempt_row *row)
{
	bool ended = machine_ended(attempt_states, row->state);

	count_start(herald, row, ended);
	if (ended)
		control_count_attempt(herald->control, row->state, row->reason);
}

static void tell_attempt(struct herald *herald, const struct attempt_row *row)
{
	const struct run *run = engine_find_run(herald->engine, row->id.run);
	json_t *event;

	if (run == NULL)
		return;
	event = about(run, row->id.task);
	view_set_number(event, "attempt", row->id.number);
	view_set_text(event, "state", attempt_states[row->state].name);
	view_set_word(event, "reason", reason_names[row->reason]);
	view_set_text(event, "worker", row->worker);
	web_publish(herald->web, "attempt.changed", event);
}

static void tell_checkpoint(struct herald *herald, const struct checkpoint_row *row)
{
	const struct run *run = engine_find_run(herald->engine, row->run);
	json_t *event;

	if (run == NULL)
		return;
	event = about(run, row->step);
	view_set_number(event, "attempt", row->attempt);
	view_set_text(event, "name", row->name);
	json_object_set_new(event, "step", row->at_step < 0 ? json_null() : json_integer(row->at_step));
	view_set_text(event, "state", checkpoint_state_names[row->state]);
	web_publish(herald->web, "checkpoint.changed", event);
}

static void tell_metric(struct herald *herald, const struct action *save)
{
	const struct run *run = engine_find_run(herald->engine, save->id.run);
	json_t *metric = run == NULL ? NULL : json_loads(save->metric.json, 0, NULL);
	json_t *event;

	if (metric == NULL)
		return;
	event = about(run, save->id.task);
	view_set_number(event, "attempt", save->id.number);
	json_object_set_new(event, "metric", metric);
	web_publish(herald->web, "metric.added", event);
}

static void tell_event(struct herald *herald, const struct action *save)
{
	const struct run *run = engine_find_run(herald->engine, save->id.run);
	json_t *event = run == NULL ? json_object() : about(run, save->id.task);

	view_set_text(event, "kind", save->event.kind);
	view_set_text(event, "actor", save->event.actor);
	view_set_text(event, "detail", save->event.detail);
	web_publish(herald->web, "event.added", event);
}

static void tell_worker(struct herald *herald, const char *name)
{
	json_t *event = json_object();

	view_set_text(event, "worker", name);
	web_publish(herald->web, "worker.changed", event);
}

void herald_fini(struct herald *herald)
{
	free(herald->started);
}

void herald_saved(struct herald *herald, const struct action *save)
{
	if (save->kind == SAVE_ATTEMPT)
		count_attempt(herald, &save->attempt);
	if (!web_is_followed(herald->web))
		return;
	switch (save->kind) {
	case SAVE_RUN:
		tell_run(herald, &save->run);
		break;
	case SAVE_TASK:
		tell_task(herald, &save->task);
		break;
	case SAVE_ATTEMPT:
		tell_attempt(herald, &save->attempt);
		break;
	case SAVE_CHECKPOINT:
		tell_checkpoint(herald, &save->checkpoint);
		break;
	case SAVE_METRIC:
		tell_metric(herald, save);
		break;
	case SAVE_EVENT:
		tell_event(herald, save);
		break;
	case SAVE_WORKER:
		tell_worker(herald, save->facts.name);
		break;
	case SAVE_WORKER_TROUBLE:
	case SAVE_WORKER_ASIDE:
		tell_worker(herald, save->worker);
		break;
	default:
		break;
	}
}

void herald_run(struct herald *herald, const char *name, enum run_state state)
{
	const char *slash = strrchr(name, '/');
	json_t *event = json_object();

	view_set_text(event, "run", name);
	json_object_set_new(event, "dag", json_stringn(name, slash == NULL ? strlen(name) : (size_t)(slash - name)));
	view_set_text(event, "state", run_states[state].name);
	json_object_set_new(event, "reason", json_null());
	web_publish(herald->web, "run.changed", event);
}

void herald_dag(struct herald *herald, const char *dag)
{
	json_t *event = json_object();

	control_files_changed(herald->control);
	view_set_text(event, "dag", dag);
	web_publish(herald->web, "dag.changed", event);
}
