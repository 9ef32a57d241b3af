#include "scheduler/core_parts.h"

#include <stdlib.h>

#include "common/mem.h"
#include "common/scope.h"

void core_cancel_task(struct core *core, struct task *task, bool again, struct actions *out)
{
	switch (task->row.state) {
	case TASK_WAITING:
	case TASK_READY:
	case TASK_RETRYING:
		core_move_task(core, task, TASK_CANCELED, REASON_CANCELED, "", out);
		break;
	case TASK_STARTING:
	case TASK_RUNNING:
		core_move_task(core, task, TASK_STOPPING, REASON_CANCELED, "", out);
		core_order_stop(task->live, core_grace_of(task), out);
		break;
	case TASK_STOPPING:
		if (again)
			core_order_stop(task->live, core_grace_of(task), out);
		break;
	default:
		break;
	}
}

void core_on_cancel(struct core *core, const struct event *event, struct actions *out)
{
	struct run *run = core_find_run(core, event->id.run);

	if (run == NULL || run->ended)
		return;
	run->hurried |= event->now;
	if (run->row.cancel_wall_ms == 0) {
		run->row.cancel_wall_ms = core->wall_ms;
		core_save_run(run, out);
	}
	core_tell(core, out, "run.cancel_requested", core_whole_run(run),
		  arena_strdup(&out->arena, event->actor), arena_strdup(&out->arena, event->origin),
		  event->now ? "without grace" : "");
	for (size_t i = 0; i < run->dag->steps_count; i++)
		core_cancel_task(core, &run->tasks[i], true, out);
}

/* Marks `root` and all that follows from it. */
static void select_from(const struct run *run, size_t root, bool *selected)
{
	size_t *stack = NULL, room = 0, count = 0;

	mem_grow(&stack, &room, count, sizeof *stack);
	stack[count++] = root;
	selected[root] = true;
	while (count > 0) {
		const struct dag_step *step = &run->dag->steps[stack[--count]];

		for (size_t i = 0; i < step->dependents_count; i++) {
			if (selected[step->dependents[i]])
				continue;
			selected[step->dependents[i]] = true;
			mem_grow(&stack, &room, count, sizeof *stack);
			stack[count++] = step->dependents[i];
		}
	}
	free(stack);
}

/*
 * Marks what the marked ones need and what has not succeeded; steps come in any order, so until nothing
 * changes.
 */
static void select_needed(const struct run *run, bool *selected)
{
	for (bool changed = true; changed;) {
		changed = false;
		for (size_t i = run->dag->steps_count; i > 0; i--) {
			const struct dag_step *step = &run->dag->steps[i - 1];

			for (size_t k = 0; selected[i - 1] && k < step->needs_count; k++) {
				size_t need = step->needs[k];

				if (selected[need] || run->tasks[need].row.state == TASK_SUCCEEDED)
					continue;
				selected[need] = changed = true;
			}
		}
	}
}

/* The one way out of a terminal state: a person asked for it. */
static void task_reopen(struct task *task, struct actions *out)
{
	bool succeeded = task->row.state == TASK_SUCCEEDED;

	if (succeeded) {
		/*
		 * It is to be done again, not to be gone on with: its checkpoints are those of a finished
		 * training.
		 */
		for (size_t i = 0; i < task->ledger.count; i++) {
			task->ledger.rows[i].state = CHECKPOINT_REPLACED;
			task->ledger.rows[i].message = "the task was started anew";
			core_save_checkpoint(&task->ledger.rows[i], out);
		}
		core_drop_copies(task, out);
		task->row.first_attempt = task->row.attempts + 1;
		task->row.best_step = -1;
	}
	task->row.state = TASK_WAITING;
	task->row.reason = REASON_NONE;
	task->row.message = "";
	task->row.failures = task->row.machine_failures = task->row.refound = 0;
	task->row.started_wall_ms = task->row.ended_wall_ms = 0;
	if (task->outputs_count > 0) {
		task->outputs_count = 0;
		actions_add(out, SAVE_NO_OUTPUTS)->id =
			(struct attempt_id){ .run = task->run->row.id, .task = task->row.step };
	}
	task->run->unfinished++;
	core_want_copy(task);
	core_save_task(task, out);
}

static void count_unmet(struct task *task)
{
	task->unmet = 0;
	for (size_t i = 0; i < task->step->needs_count; i++)
		task->unmet += task->run->tasks[task->step->needs[i]].row.state != TASK_SUCCEEDED;
}

void core_make_ready(struct core *core, struct run *run, struct actions *out)
{
	for (size_t i = 0; i < run->dag->steps_count; i++) {
		struct task *task = &run->tasks[i];

		count_unmet(task);
		if (task->unmet == 0 && task->row.state == TASK_WAITING)
			core_move_task(core, task, TASK_READY, REASON_NONE, "", out);
	}
}

void core_select_retry(const struct run *run, int from_step, bool *selected)
{
	if (from_step >= 0)
		select_from(run, (size_t)from_step, selected);
	else
		for (size_t i = 0; i < run->dag->steps_count; i++)
			selected[i] = run->tasks[i].row.state != TASK_SUCCEEDED;
	select_needed(run, selected);
}

void core_on_retry(struct core *core, const struct event *event, struct actions *out)
{
	struct run *run = core_find_run(core, event->id.run);
	autofree bool *selected = NULL;

	if (run == NULL || !machine_ended(run_states, run->row.state))
		return;
	selected = mem_array(run->dag->steps_count, sizeof *selected);
	core_select_retry(run, event->from_step, selected);
	run->row.state = RUN_RUNNING;
	run->row.reason = REASON_NONE;
	run->row.cancel_wall_ms = run->row.ended_wall_ms = 0;
	run->ended = run->hurried = false;
	core->unclaimed = true;
	core_save_run(run, out);
	core_tell(core, out, "run.retried", core_whole_run(run), arena_strdup(&out->arena, event->actor),
		  arena_strdup(&out->arena, event->origin),
		  event->from_step < 0
			  ? "what did not succeed"
			  : arena_printf(&out->arena, "from %s", run->dag->steps[event->from_step].name));
	for (size_t i = 0; i < run->dag->steps_count; i++)
		if (selected[i])
			task_reopen(&run->tasks[i], out);
	core_make_ready(core, run, out);
}
