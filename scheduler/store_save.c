#include "scheduler/store_parts.h"

#include "common/clock.h"
#include "scheduler/crash.h"
#include "scheduler/store_outbox.h"

static int save_run(struct store *store, const struct run_row *row, struct err *err)
{
	sqlite3_stmt *stmt = store_statement(store, STMT_update_run);

	sqlite3_bind_int64(stmt, 1, (int64_t)row->id);
	store_bind_text(stmt, 2, run_states[row->state].name);
	store_bind_text(stmt, 3, reason_names[row->reason]);
	sqlite3_bind_int64(stmt, 4, row->started_wall_ms);
	sqlite3_bind_int64(stmt, 5, row->ended_wall_ms);
	sqlite3_bind_int64(stmt, 6, row->cancel_wall_ms);
	return store_step_done(store, stmt, "save a run", err);
}

static int save_task(struct store *store, const struct task_row *row, struct err *err)
{
	sqlite3_stmt *stmt = store_statement(store, STMT_update_task);

	sqlite3_bind_int64(stmt, 1, (int64_t)row->run);
	sqlite3_bind_int64(stmt, 2, row->step);
	store_bind_text(stmt, 3, task_states[row->state].name);
	store_bind_text(stmt, 4, reason_names[row->reason]);
	sqlite3_bind_int64(stmt, 5, row->attempts);
	sqlite3_bind_int64(stmt, 6, row->first_attempt);
	sqlite3_bind_int64(stmt, 7, row->failures);
	sqlite3_bind_int64(stmt, 8, row->machine_failures);
	sqlite3_bind_int64(stmt, 9, row->refound);
	sqlite3_bind_int64(stmt, 10, row->best_step);
	sqlite3_bind_int64(stmt, 11, row->not_before_wall_ms);
	sqlite3_bind_int64(stmt, 12, row->started_wall_ms);
	sqlite3_bind_int64(stmt, 13, row->ended_wall_ms);
	store_bind_text(stmt, 14, row->message);
	sqlite3_bind_int64(stmt, 15, row->ready_wall_ms);
	return store_step_done(store, stmt, "save a task", err);
}

static int save_attempt(struct store *store, const struct attempt_row *row, struct err *err)
{
	sqlite3_stmt *stmt = store_statement(store, STMT_put_attempt);

	sqlite3_bind_int64(stmt, 1, (int64_t)row->id.run);
	sqlite3_bind_int64(stmt, 2, (int64_t)row->id.task);
	sqlite3_bind_int64(stmt, 3, row->id.number);
	store_bind_text(stmt, 4, attempt_states[row->state].name);
	store_bind_text(stmt, 5, reason_names[row->reason]);
	store_bind_text(stmt, 6, row->worker);
	store_bind_text(stmt, 7, row->boot_id);
	sqlite3_bind_int64(stmt, 8, (int64_t)row->fence);
	sqlite3_bind_int64(stmt, 9, row->intended_wall_ms);
	sqlite3_bind_int64(stmt, 10, row->started_wall_ms);
	sqlite3_bind_int64(stmt, 11, row->ended_wall_ms);
	sqlite3_bind_int64(stmt, 12, row->unreachable_wall_ms);
	if (row->exit_code >= 0)
		sqlite3_bind_int(stmt, 13, row->exit_code);
	else
		sqlite3_bind_null(stmt, 13);
	sqlite3_bind_int(stmt, 14, row->signal);
	sqlite3_bind_int64(stmt, 15, row->cpu_ms);
	sqlite3_bind_int64(stmt, 16, row->rss_peak_bytes);
	sqlite3_bind_int64(stmt, 17, (int64_t)row->log_bytes);
	sqlite3_bind_int64(stmt, 18, (int64_t)row->log_dropped_bytes);
	sqlite3_bind_int64(stmt, 19, (int64_t)row->journal_offset);
	store_bind_text(stmt, 20, row->resumed_from);
	store_bind_text(stmt, 21, row->devices);
	store_bind_text(stmt, 22, row->message);
	sqlite3_bind_int64(stmt, 23, row->began_seq);
	return store_step_done(store, stmt, "save an attempt", err);
}

static int save_checkpoint(struct store *store, const struct checkpoint_row *row, struct err *err)
{
	sqlite3_stmt *stmt = store_statement(store, STMT_put_checkpoint);

	sqlite3_bind_int64(stmt, 1, (int64_t)row->run);
	sqlite3_bind_int64(stmt, 2, row->step);
	sqlite3_bind_int64(stmt, 3, row->seq);
	store_bind_text(stmt, 4, row->name);
	store_bind_text(stmt, 5, row->digest);
	sqlite3_bind_int64(stmt, 6, (int64_t)row->bytes);
	sqlite3_bind_int64(stmt, 7, row->at_step);
	store_bind_text(stmt, 8, row->format);
	sqlite3_bind_int64(stmt, 9, row->attempt);
	store_bind_text(stmt, 10, checkpoint_state_names[row->state]);
	sqlite3_bind_int64(stmt, 11, row->deaths);
	sqlite3_bind_int64(stmt, 12, row->created_wall_ms);
	store_bind_text(stmt, 13, row->message);
	store_bind_text(stmt, 14, row->copy);
	sqlite3_bind_int64(stmt, 15, (int64_t)row->copy_bytes);
	store_bind_text(stmt, 16, row->brought);
	return store_step_done(store, stmt, "save a checkpoint", err);
}

static int save_metric(struct store *store, const struct action *action, struct err *err)
{
	sqlite3_stmt *stmt = store_statement(store, STMT_put_metric);

	sqlite3_bind_int64(stmt, 1, (int64_t)action->id.run);
	sqlite3_bind_int64(stmt, 2, (int64_t)action->id.task);
	sqlite3_bind_int64(stmt, 3, action->id.number);
	sqlite3_bind_int64(stmt, 4, (int64_t)action->metric.journal_offset);
	sqlite3_bind_int64(stmt, 5, action->metric.wall_ms);
	store_bind_text(stmt, 6, action->metric.json);
	return store_step_done(store, stmt, "save a metric", err);
}

static int save_output(struct store *store, const struct action *action, struct err *err)
{
	sqlite3_stmt *stmt = store_statement(store, STMT_put_output);

	sqlite3_bind_int64(stmt, 1, (int64_t)action->id.run);
	sqlite3_bind_int64(stmt, 2, (int64_t)action->id.task);
	store_bind_text(stmt, 3, action->output.key);
	store_bind_text(stmt, 4, action->output.value);
	return store_step_done(store, stmt, "save an output", err);
}

static int save_artifact(struct store *store, const struct artifact_row *row, struct err *err)
{
	sqlite3_stmt *stmt = store_statement(store, STMT_put_artifact);

	sqlite3_bind_int64(stmt, 1, (int64_t)row->run);
	sqlite3_bind_int64(stmt, 2, row->step);
	sqlite3_bind_int64(stmt, 3, row->attempt);
	store_bind_text(stmt, 4, row->digest);
	sqlite3_bind_int64(stmt, 5, (int64_t)row->bytes);
	sqlite3_bind_int64(stmt, 6, (int64_t)row->files);
	store_bind_text(stmt, 7, row->worker);
	return store_step_done(store, stmt, "save artifacts", err);
}

static int drop_outputs(struct store *store, const struct action *action, struct err *err)
{
	sqlite3_stmt *stmt = store_statement(store, STMT_drop_outputs);

	sqlite3_bind_int64(stmt, 1, (int64_t)action->id.run);
	sqlite3_bind_int64(stmt, 2, (int64_t)action->id.task);
	return store_step_done(store, stmt, "drop outputs", err);
}

static int save_worker(struct store *store, const struct worker_facts *facts, struct err *err)
{
	sqlite3_stmt *stmt = store_statement(store, STMT_put_worker);

	store_bind_text(stmt, 1, facts->name);
	sqlite3_bind_int64(stmt, 2, (int64_t)facts->epoch);
	store_bind_text(stmt, 3, facts->boot_id);
	store_bind_text(stmt, 4, facts->host);
	store_bind_text(stmt, 5, facts->machine);
	sqlite3_bind_int64(stmt, 6, facts->cpus_milli);
	sqlite3_bind_int64(stmt, 7, facts->memory_bytes);
	sqlite3_bind_int64(stmt, 8, (int64_t)facts->devices_count);
	sqlite3_bind_int64(stmt, 9, clock_wall_ms());
	return store_step_done(store, stmt, "save a worker", err);
}

static int save_trouble(struct store *store, const struct action *action, struct err *err)
{
	sqlite3_stmt *stmt = store_statement(store, STMT_set_worker_trouble);

	store_bind_text(stmt, 1, action->worker);
	store_bind_text(stmt, 2, action->trouble.text);
	store_bind_text(stmt, 3, action->trouble.fault);
	sqlite3_bind_int64(stmt, 4, action->trouble.wall_ms);
	return store_step_done(store, stmt, "save a worker's trouble", err);
}

static int save_aside(struct store *store, const struct action *action, struct err *err)
{
	sqlite3_stmt *stmt = store_statement(store, STMT_set_worker_aside);

	store_bind_text(stmt, 1, action->worker);
	store_bind_text(stmt, 2, action->trouble.text);
	sqlite3_bind_int64(stmt, 3, action->trouble.wall_ms);
	return store_step_done(store, stmt, "set a worker aside", err);
}

int store_save_event(struct store *store, const struct action *action, struct err *err)
{
	sqlite3_stmt *stmt = store_statement(store, STMT_add_event);

	sqlite3_bind_int64(stmt, 1, action->event.wall_ms);
	store_bind_text(stmt, 2, action->event.kind);
	store_bind_text(stmt, 3, action->event.actor);
	store_bind_text(stmt, 4, action->event.origin);
	sqlite3_bind_int64(stmt, 5, (int64_t)action->id.run);
	sqlite3_bind_int64(stmt, 6, action->id.task == UINT64_MAX ? -1 : (int64_t)action->id.task);
	sqlite3_bind_int64(stmt, 7, action->id.number);
	store_bind_text(stmt, 8, action->event.detail);
	return store_step_done(store, stmt, "save an event", err);
}

int store_put_event(struct store *store, uint64_t run, const char *kind, const char *actor, const char *origin,
		    const char *detail, int64_t wall_ms, struct err *err)
{
	const struct action event = { .kind = SAVE_EVENT,
				      .id = { .run = run, .task = UINT64_MAX },
				      .event = { wall_ms, kind, actor, origin, detail } };

	return store_save_event(store, &event, err);
}

int store_add_event(struct store *store, const char *kind, const char *actor, const char *origin,
		    const char *detail, int64_t wall_ms, struct err *err)
{
	int rc = store_begin(store, err);

	if (rc < 0)
		return rc;
	rc = store_put_event(store, 0, kind, actor, origin, detail, wall_ms, err);
	return rc < 0 ? store_undo(store, rc) : store_commit(store, err);
}

static int save_request_done(struct store *store, const struct action *action, struct err *err)
{
	sqlite3_stmt *stmt = store_statement(store, STMT_end_request);

	sqlite3_bind_int64(stmt, 1, (int64_t)action->request);
	sqlite3_bind_int64(stmt, 2, clock_wall_ms());
	return store_step_done(store, stmt, "save a request", err);
}

static int save(struct store *store, const struct action *action, struct err *err)
{
	switch (action->kind) {
	case SAVE_RUN:
		return save_run(store, &action->run, err);
	case SAVE_TASK:
		return save_task(store, &action->task, err);
	case SAVE_ATTEMPT:
		return save_attempt(store, &action->attempt, err);
	case SAVE_CHECKPOINT:
		return save_checkpoint(store, &action->checkpoint, err);
	case SAVE_METRIC:
		return save_metric(store, action, err);
	case SAVE_OUTPUT:
		return save_output(store, action, err);
	case SAVE_ARTIFACT:
		return save_artifact(store, &action->artifact, err);
	case SAVE_NO_OUTPUTS:
		return drop_outputs(store, action, err);
	case SAVE_WORKER:
		return save_worker(store, &action->facts, err);
	case SAVE_WORKER_TROUBLE:
		return save_trouble(store, action, err);
	case SAVE_WORKER_ASIDE:
		return save_aside(store, action, err);
	case SAVE_EVENT:
		return store_save_event(store, action, err);
	case SAVE_NOTICE:
		return store_save_notice(store, action->notice.notice, action->notice.receiver, action->notice.on,
					 err);
	case SAVE_REQUEST_DONE:
		return save_request_done(store, action, err);
	default:
		return 0;
	}
}

int store_apply(struct store *store, const struct action *actions, size_t count, struct err *err)
{
	size_t first = 0;
	int rc;

	while (first < count && (int)actions[first].kind >= (int)ORDER_CLAIM)
		first++;
	if (first == count)
		return 0; /* nothing to save */
	rc = store_begin(store, err);
	if (rc < 0)
		return rc;
	for (size_t i = first; i < count; i++) {
		rc = save(store, &actions[i], err);
		if (rc < 0)
			return store_undo(store, rc);
	}
	crash_at(CRASH_batch_applied);
	return store_commit(store, err);
}
