#include "scheduler/core_parts.h"

#include <string.h>

#include "common/mem.h"

static void forget_brought(struct attempt *attempt, const char *name, struct actions *out)
{
	struct checkpoint_row *row = ledger_find_brought(&attempt->task->ledger, attempt->row.worker, name);

	if (row == NULL)
		return;
	row->brought = NULL;
	core_save_checkpoint(row, out);
}

/* What was brought has taken the place of what had its name there. */
static void replace_by(struct attempt *attempt, struct checkpoint_row *brought, struct actions *out)
{
	struct checkpoint_row *before;

	if (strcmp(brought->worker, attempt->row.worker) == 0)
		return;
	before = ledger_find(&attempt->task->ledger, attempt->row.worker, brought->name);
	if (before != NULL) {
		before->state = CHECKPOINT_REPLACED;
		before->message = "";
		core_save_checkpoint(before, out);
	}
	forget_brought(attempt, brought->name, out);
	brought->brought = attempt->row.worker;
	core_save_checkpoint(brought, out);
}

static void on_started(struct core *core, struct attempt *attempt, const struct record_started *record,
		       struct actions *out)
{
	struct task *task = attempt->task;
	struct checkpoint_row *from;

	if (attempt->row.state == ATTEMPT_INTENDED)
		core_move_attempt(attempt, ATTEMPT_RUNNING, REASON_NONE);
	core_count_start(core, attempt->worker, true, "", out);
	attempt->row.started_wall_ms = record->wall_ms;
	attempt->row.resumed_from = arena_strdup(&task->run->arena, record->resumed_from);
	from = record->resumed_from[0] == '\0' ? NULL : ledger_find_begin(&task->ledger, attempt->row.worker,
							      record->resumed_from,
							      record->resumed_digest);
	if (from != NULL) {
		attempt->began_step = from->at_step;
		attempt->row.began_seq = from->seq;
		replace_by(attempt, from, out);
	}
	core_drop_older_copies(task, out);
	if (task->row.state == TASK_STARTING)
		core_move_task(core, task, TASK_RUNNING, REASON_NONE, "", out);
	if (record->resumed_from[0] != '\0')
		core_tell_own(core, out, "attempt.resumed", attempt->row.id,
			      arena_printf(&out->arena, "resumes from %s", record->resumed_from));
	else if (attempt->row.id.number > task->row.first_attempt && task->ledger.count > 0)
		core_tell_own(core, out, "attempt.restarted", attempt->row.id,
			      "no good checkpoint: starts from zero");
}

/* See checkpoint.h for what counts as progress. */
static bool is_progress(struct task *task, const struct attempt *attempt, const struct checkpoint_row *row,
			bool contents_new)
{
	if (row->state != CHECKPOINT_GOOD)
		return false;
	if (row->at_step < 0)
		return contents_new;
	if (row->at_step > task->row.best_step) {
		task->row.best_step = row->at_step;
		task->row.refound = 0;
		return true;
	}
	if (row->at_step <= attempt->began_step || attempt->row.began_seq == 0)
		return false;
	return task->row.refound < LEDGER_REFOUND_MAX;
}

static void on_checkpoint_complete(struct attempt *attempt, const struct record_checkpoint *record,
				   struct actions *out)
{
	struct task *task = attempt->task;
	struct checkpoint_row *replaced, *row;
	int64_t best_before = task->row.best_step;
	bool contents_new;

	forget_brought(attempt, record->name, out);
	row = ledger_record(&task->ledger, record, task->run->row.id, task->row.step, attempt->row.id.number,
			    attempt->row.worker, &task->run->arena, &replaced, &contents_new);
	if (replaced != NULL)
		core_save_checkpoint(replaced, out);
	core_save_checkpoint(row, out);
	core_want_copy(task);
	if (is_progress(task, attempt, row, contents_new) && !attempt->progressed) {
		attempt->progressed = true;
		if (row->at_step >= 0 && row->at_step <= best_before)
			task->row.refound++;
	}
	if (task->row.best_step != best_before || attempt->progressed)
		core_save_task(task, out);
}

static void on_checkpoint_gone(struct core *core, struct attempt *attempt,
			       const struct record_checkpoint *record, struct actions *out)
{
	struct task *task = attempt->task;
	struct checkpoint_row *row = ledger_find(&task->ledger, attempt->row.worker, record->name);
	struct checkpoint_row *brought = ledger_at(&task->ledger, attempt->brought_seq);

	if (row != NULL) {
		row->state = record->event == CHECKPOINT_REMOVED ? CHECKPOINT_IS_REMOVED
								 : CHECKPOINT_IS_BROKEN;
		row->message = arena_strdup(&task->run->arena, record->text);
		core_save_checkpoint(row, out);
	}
	forget_brought(attempt, record->name, out);
	if (record->event == CHECKPOINT_BROKEN && brought != NULL && strcmp(brought->name, record->name) == 0)
		core_refuse_copy(core, task, brought, out);
	if (record->event == CHECKPOINT_BROKEN)
		core_tell_own(core, out, "checkpoint.broken", attempt->row.id,
			      arena_printf(&out->arena, "%s passed over: %s", record->name, record->text));
}

static void on_checkpoint(struct core *core, struct attempt *attempt, const struct record_checkpoint *record,
			  struct actions *out)
{
	switch (record->event) {
	case CHECKPOINT_COMPLETE:
		on_checkpoint_complete(attempt, record, out);
		break;
	case CHECKPOINT_REMOVED:
	case CHECKPOINT_BROKEN:
		on_checkpoint_gone(core, attempt, record, out);
		break;
	case CHECKPOINT_IGNORED:
		core_tell_own(core, out, "checkpoint.ignored", attempt->row.id,
			      arena_printf(&out->arena, "%s passed over: %s", record->name, record->text));
		break;
	}
}

static void on_metric(struct attempt *attempt, const struct event *event, struct actions *out)
{
	const struct record_metric *record = &event->record.metric;
	struct task *task = attempt->task;
	struct action *action = actions_add(out, SAVE_METRIC);
	size_t bytes = strlen(record->json) + 1;

	action->id = attempt->row.id;
	action->metric.wall_ms = record->wall_ms;
	action->metric.journal_offset = event->journal_end;
	action->metric.json = arena_memdup(&out->arena, record->json, bytes);
	if (bytes > task->metric_room) {
		task->metric_room = bytes * 2;
		task->metric = mem_realloc(task->metric, task->metric_room);
	}
	memcpy(task->metric, record->json, bytes);
}

static void on_output(struct attempt *attempt, const struct record_output *record, struct actions *out)
{
	struct task *task = attempt->task;
	struct action *action = actions_add(out, SAVE_OUTPUT);

	task_add_output(task, record->key, record->value);
	action->id = attempt->row.id;
	action->output.key = task->outputs[task->outputs_count - 1].key;
	action->output.value = task->outputs[task->outputs_count - 1].value;
}

static void on_artifacts(struct attempt *attempt, const struct record_artifacts *record, struct actions *out)
{
	struct task *task = attempt->task;

	task_set_left(task, &(struct artifact_row){ .run = task->run->row.id,
						    .step = task->row.step,
						    .attempt = attempt->row.id.number,
						    .digest = record->digest,
						    .bytes = record->bytes,
						    .files = record->files,
						    .worker = attempt->row.worker });
	actions_add(out, SAVE_ARTIFACT)->artifact = task->left;
}

static void on_stopping(struct core *core, struct attempt *attempt, const struct record_stopping *record,
			struct actions *out)
{
	if (attempt->task->row.state == TASK_RUNNING)
		core_move_task(core, attempt->task, TASK_STOPPING, record->reason, "", out);
	core_tell_own(core, out, "attempt.stopping", attempt->row.id, reason_names[record->reason]);
}

void core_on_journal(struct core *core, const struct event *event, struct actions *out)
{
	struct attempt *attempt = core_find_attempt(core, &event->id);

	if (attempt == NULL || attempt->exited) {
		core->late_messages++;
		return;
	}
	if (event->journal_end <= attempt->row.journal_offset)
		return; /* a repetition */
	attempt->row.journal_offset = event->journal_end;
	core_attempt_back(attempt, out);
	switch ((int)event->record_type) {
	case RECORD_STARTED:
		on_started(core, attempt, &event->record.started, out);
		break;
	case RECORD_CHECKPOINT:
		on_checkpoint(core, attempt, &event->record.checkpoint, out);
		break;
	case RECORD_METRIC:
		on_metric(attempt, event, out);
		break;
	case RECORD_SAMPLE:
		attempt->row.cpu_ms = event->record.sample.cpu_ms;
		if (event->record.sample.rss_bytes > attempt->row.rss_peak_bytes)
			attempt->row.rss_peak_bytes = event->record.sample.rss_bytes;
		break;
	case RECORD_OUTPUT:
		on_output(attempt, &event->record.output, out);
		break;
	case RECORD_ARTIFACTS:
		on_artifacts(attempt, &event->record.artifacts, out);
		break;
	case RECORD_NOTE:
		core_tell_own(core, out, "attempt.noted", attempt->row.id,
			      arena_strdup(&out->arena, event->record.note.text));
		break;
	case RECORD_STOPPING:
		on_stopping(core, attempt, &event->record.stopping, out);
		break;
	default:
		break; /* of a newer agent */
	}
	core_save_attempt(attempt, out);
}

/*
 * It was to be brought a checkpoint and could not be started: should the copy be to blame, the next attempt
 * goes without it. Should it not, that one fails for the same reason.
 */
static bool refuse_copy(struct core *core, struct attempt *attempt, const struct record_exit *exit,
			struct actions *out)
{
	struct checkpoint_row *brought = ledger_at(&attempt->task->ledger, attempt->brought_seq);

	if (exit->kind != EXIT_NOT_STARTED || exit->reason != REASON_NOT_STARTED || exit->transient ||
	    brought == NULL)
		return false;
	core_refuse_copy(core, attempt->task, brought, out);
	core_tell_own(core, out, "checkpoint.copy_refused", attempt->row.id,
		      arena_printf(&out->arena, "the copy of %s: %s", brought->name, exit->text));
	return true;
}

void core_on_exited(struct core *core, const struct event *event, struct actions *out)
{
	struct attempt *attempt = core_find_attempt(core, &event->id);
	struct record_exit exit = event->exit;

	if (attempt == NULL || attempt->exited) {
		core->late_messages++;
		return;
	}
	if (refuse_copy(core, attempt, &exit, out))
		exit.transient = true; /* it is tried again, with another one */
	core_end_attempt(core, attempt, &exit, out);
}

void core_on_collected(struct core *core, const struct event *event, struct worker *worker,
		       struct actions *out)
{
	struct attempt *attempt = core_find_attempt(core, &event->id);

	core_order(out, ORDER_FORGET, worker, &event->id);
	if (attempt == NULL || !attempt->exited)
		return;
	core_free_attempt(attempt);
}
