#include "scheduler/core_parts.h"

#include <stdlib.h>
#include <string.h>

#include "common/mem.h"

/* --- what is to be stored and done
 * -------------------------------------------------------------------------------- */

void actions_init(struct actions *actions)
{
	*actions = (struct actions){ 0 };
}

void actions_fini(struct actions *actions)
{
	free(actions->items);
	arena_fini(&actions->arena);
	actions_init(actions);
}

void actions_clear(struct actions *actions)
{
	actions->count = 0;
	arena_reset(&actions->arena);
}

struct action *actions_add(struct actions *actions, enum action_kind kind)
{
	struct action *action;

	mem_grow(&actions->items, &actions->room, actions->count, sizeof *actions->items);
	action = &actions->items[actions->count++];
	memset(action, 0, sizeof *action);
	action->kind = kind;
	return action;
}

void core_save_run(const struct run *run, struct actions *out)
{
	actions_add(out, SAVE_RUN)->run = run->row;
}

void core_save_task(const struct task *task, struct actions *out)
{
	actions_add(out, SAVE_TASK)->task = task->row;
}

void core_save_attempt(const struct attempt *attempt, struct actions *out)
{
	actions_add(out, SAVE_ATTEMPT)->attempt = attempt->row;
}

void core_save_checkpoint(const struct checkpoint_row *row, struct actions *out)
{
	actions_add(out, SAVE_CHECKPOINT)->checkpoint = *row;
}

struct action *core_order(struct actions *out, enum action_kind kind, const struct worker *worker,
			  const struct attempt_id *id)
{
	struct action *action = actions_add(out, kind);

	action->worker = worker->name;
	action->id = *id;
	return action;
}

struct attempt_id core_whole_run(const struct run *run)
{
	return (struct attempt_id){ .run = run->row.id, .task = UINT64_MAX };
}

void core_tell(struct core *core, struct actions *out, const char *kind, struct attempt_id about,
	       const char *actor, const char *origin, const char *detail)
{
	struct action *action = actions_add(out, SAVE_EVENT);

	action->id = about;
	action->event.wall_ms = core->wall_ms;
	action->event.kind = kind;
	action->event.actor = actor;
	action->event.origin = origin;
	action->event.detail = detail;
}

/* An event that nobody asked for: stoker itself noticed or decided it. */
void core_tell_own(struct core *core, struct actions *out, const char *kind, struct attempt_id about,
		   const char *detail)
{
	core_tell(core, out, kind, about, "stoker", "", detail);
}

/* --- moves
 * -------------------------------------------------------------------------------------------------------- */

void core_queue_ready(struct core *core, struct task *task)
{
	struct run *run = task->run;

	task->ready_seq = core->ready_count++;
	if (ledger_newest(&task->ledger) != NULL)
		list_append(&run->bound, &task->link);
	else
		list_append(&run->classes[run->class_of[task->row.step]].ready, &task->link);
}

void core_move_task(struct core *core, struct task *task, enum task_state to, enum reason reason,
		    const char *message, struct actions *out)
{
	struct run *run = task->run;

	machine_check("task", task_states, task->row.state, to);
	list_remove(&task->link);
	task->row.state = to;
	task->row.reason = reason;
	task->row.message = message;
	if (to == TASK_READY) {
		task->ready_ms = core->now_ms;
		task->row.ready_wall_ms = core->wall_ms;
		core_queue_ready(core, task);
	} else if (to == TASK_RETRYING) {
		list_append(&run->retrying, &task->link);
	} else if (machine_ended(task_states, to)) {
		task->row.ended_wall_ms = core->wall_ms;
		run->unfinished--;
	}
	core_save_task(task, out);
}

void core_move_attempt(struct attempt *attempt, enum attempt_state to, enum reason reason)
{
	machine_check("attempt", attempt_states, attempt->row.state, to);
	attempt->row.state = to;
	attempt->row.reason = reason;
}

void core_move_run(struct core *core, struct run *run, enum run_state to, enum reason reason,
		   struct actions *out)
{
	machine_check("run", run_states, run->row.state, to);
	run->row.state = to;
	run->row.reason = reason;
	if (to == RUN_RUNNING && run->row.started_wall_ms == 0)
		run->row.started_wall_ms = core->wall_ms;
	if (machine_ended(run_states, to))
		run->row.ended_wall_ms = core->wall_ms;
	core_save_run(run, out);
}

/* --- finding things
 * ----------------------------------------------------------------------------------------------- */

size_t core_run_position(const struct core *core, uint64_t id)
{
	size_t low = 0, high = core->runs_count;

	while (low < high) {
		size_t middle = (low + high) / 2;

		if (core->runs[middle]->row.id < id)
			low = middle + 1;
		else
			high = middle;
	}
	return low;
}

struct run *core_find_run(const struct core *core, uint64_t id)
{
	size_t at = core_run_position(core, id);

	return at < core->runs_count && core->runs[at]->row.id == id ? core->runs[at] : NULL;
}

struct task *core_find_task(const struct core *core, const struct attempt_id *id)
{
	struct run *run = core_find_run(core, id->run);

	return run == NULL || id->task >= run->dag->steps_count ? NULL : &run->tasks[id->task];
}

/* The live attempt of that name, or one that has ended and is still being collected. */
struct attempt *core_find_attempt(const struct core *core, const struct attempt_id *id)
{
	struct task *task = core_find_task(core, id);

	if (task == NULL)
		return NULL;
	if (task->live != NULL && task->live->row.id.number == id->number)
		return task->live;
	list_each (at, &task->run->open) {
		struct attempt *attempt = list_entry(at, struct attempt, open_link);

		if (attempt_id_equal(&attempt->row.id, id))
			return attempt;
	}
	return NULL;
}

struct worker *core_find_worker(const struct core *core, const char *name)
{
	for (size_t i = 0; i < core->workers_count; i++)
		if (strcmp(core->workers[i]->name, name) == 0)
			return core->workers[i];
	return NULL;
}
