#include "scheduler/core_parts.h"

#include <inttypes.h>
#include <string.h>

#include "common/mem.h"
#include "common/scope.h"
#include "scheduler/launch.h"
#include "scheduler/placement.h"

struct attempt *core_new_attempt(struct task *task, struct worker *worker)
{
	struct attempt *attempt = mem_zalloc(sizeof *attempt);

	attempt->task = task;
	attempt->worker = worker;
	attempt->began_step = -1;
	list_init(&attempt->live_link);
	list_init(&attempt->open_link);
	return attempt;
}

int core_order_start(struct core *core, const struct attempt *attempt, struct actions *out, struct err *err)
{
	struct spec spec;
	struct action *action;

	if (launch_spec(attempt, &out->arena, &spec, err) < 0)
		return err->code;
	buf_clear(&core->scratch);
	protocol_put_spec(&core->scratch, &spec);
	if (core->scratch.bytes > PROTOCOL_FRAME_BYTES_MAX)
		return err_set(err, ERR_LIMIT,
			       "its command and environment are %zu bytes together, the limit is %d",
			       core->scratch.bytes, PROTOCOL_FRAME_BYTES_MAX);
	action = core_order(out, ORDER_START, attempt->worker, &attempt->row.id);
	action->start.frame = arena_memdup(&out->arena, core->scratch.data, core->scratch.bytes);
	action->start.bytes = core->scratch.bytes;
	return 0;
}

static void start_task(struct core *core, struct task *task, struct worker *worker, struct actions *out)
{
	struct run *run = task->run;
	struct attempt *attempt = core_new_attempt(task, worker);
	struct err err;

	attempt->row = (struct attempt_row){
		.id = { run->row.id, task->row.step, ++task->row.attempts },
		.state = ATTEMPT_INTENDED,
		.worker = worker->name,
		.boot_id = worker->boot_id,
		.intended_wall_ms = core->wall_ms,
		.exit_code = -1,
		.resumed_from = "",
		.devices = placement_devices(worker, task->step, &run->arena),
		.message = "",
	};
	attempt->row.fence = attempt_fence(&attempt->row.id);
	if (task->row.started_wall_ms == 0)
		task->row.started_wall_ms = core->wall_ms;
	task->live = attempt;
	core_note_use(run, worker, task->step);
	list_append(&worker->live, &attempt->live_link);
	list_append(&run->open, &attempt->open_link);
	core_move_task(core, task, TASK_STARTING, REASON_NONE, "", out);
	core_save_attempt(attempt, out);
	if (core_order_start(core, attempt, out, &err) < 0)
		core_end_unseen(core, attempt, EXIT_NOT_STARTED, REASON_NOT_STARTED, false, err.text, out);
}

/* The ready task of the run that has waited longest among those whose class is not known to be blocked. */
static struct task *oldest_ready(const struct run *run, const bool *blocked, size_t *class_out)
{
	struct task *oldest = NULL;

	for (size_t i = 0; i < run->classes_count; i++) {
		struct task *task;

		if (blocked[i] || list_empty(&run->classes[i].ready))
			continue;
		task = list_entry(run->classes[i].ready.next, struct task, link);
		if (oldest == NULL || task->ready_seq < oldest->ready_seq) {
			oldest = task;
			*class_out = i;
		}
	}
	return oldest;
}

/* What it asks for, in words: "500 cpus, 2 gpus". */
static const char *describe_wants(const struct dag_resources *want, struct arena *arena)
{
	const char *text = "";

	if (want->cpus_milli > 0)
		text = arena_printf(arena, "%g cpus", (double)want->cpus_milli / 1000);
	if (want->memory_bytes > 0)
		text = arena_printf(arena, "%s%s%" PRId64 " MiB of memory", text, text[0] == '\0' ? "" : ", ",
				    want->memory_bytes >> 20);
	if (want->gpus > 0)
		text = arena_printf(arena, "%s%s%d gpus", text, text[0] == '\0' ? "" : ", ", want->gpus);
	return text;
}

static void refuse_impossible(struct core *core, struct task *task, struct actions *out)
{
	struct arena *arena = &task->run->arena;
	const struct dag_step *step = task->step;
	const char *message;

	if (step->worker != NULL && !placement_is_named(core, step->worker))
		message = arena_printf(arena, "no worker is called or labelled '%s'", step->worker);
	else if (!placement_has_folder(task->run->dag, step) && step->worker != NULL)
		message = arena_printf(arena,
				       "it has no folder on worker '%s': give the DAG a `source`, or the step an"
				       " absolute `workdir`",
				       step->worker);
	else
		message = arena_printf(arena, "no worker is large enough: it asks for %s",
				       describe_wants(&step->resources, arena));
	core_end_task(core, task, TASK_FAILED, REASON_NOT_STARTED, message, out);
}

/* False when it has to wait. */
static bool try_to_start(struct core *core, struct task *task, struct actions *out)
{
	struct worker *worker = placement_choose(core, task);

	if (worker != NULL)
		start_task(core, task, worker, out);
	else if (!placement_possible(core, task->run, task->step))
		refuse_impossible(core, task, out);
	else
		return false;
	return true;
}

void core_start_ready(struct core *core, struct run *run, struct actions *out)
{
	autofree bool *blocked = mem_array(run->classes_count, sizeof *blocked);
	struct task *task;
	size_t class = 0;

	/* First those that were begun already: few, and each is asked for itself. */
	list_each (at, &run->bound)
		if (placement_run_has_slot(run))
			try_to_start(core, list_entry(at, struct task, link), out);
	while (placement_run_has_slot(run) && (task = oldest_ready(run, blocked, &class)) != NULL)
		blocked[class] = !try_to_start(core, task, out);
}

void core_wake_retrying(struct core *core, struct run *run, struct actions *out)
{
	list_each (at, &run->retrying) {
		struct task *task = list_entry(at, struct task, link);

		if (task->not_before_ms < 0) { /* recovered: only the wall clock of then is known */
			int64_t left_ms = task->row.not_before_wall_ms - core->wall_ms;

			if (left_ms > task->step->retry.max_backoff_ms)
				left_ms = task->step->retry.max_backoff_ms;
			task->not_before_ms = core->now_ms + (left_ms > 0 ? left_ms : 0);
		}
		if (task->not_before_ms <= core->now_ms)
			core_move_task(core, task, TASK_READY, task->row.reason, task->row.message, out);
	}
}
