#include "scheduler/core_parts.h"

#include <inttypes.h>
#include <string.h>

#include "common/mem.h"
#include "scheduler/launch.h"
#include "scheduler/origin.h"
#include "scheduler/placement.h"
#include "scheduler/urgency.h"

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

static const struct checkpoint_row *find_brought(const struct attempt *attempt)
{
	const struct task *task = attempt->task;

	if (task->step->checkpoint.resume == DAG_RESUME_NEVER)
		return NULL;
	return ledger_brought(&task->ledger, attempt->row.worker);
}

/* Good ones that lie where they cannot be had now, newer than what the attempt is to begin from. */
static size_t count_out_of_reach(const struct attempt *attempt, uint32_t from_seq,
				 const struct checkpoint_row **newest_out)
{
	const struct ledger *ledger = &attempt->task->ledger;
	size_t count = 0;

	for (size_t i = ledger->count; i > 0 && ledger->rows[i - 1].seq > from_seq; i--) {
		const struct checkpoint_row *row = &ledger->rows[i - 1];

		if (row->state != CHECKPOINT_GOOD || strcmp(row->worker, attempt->row.worker) == 0)
			continue;
		if (count++ == 0)
			*newest_out = row;
	}
	return count;
}

static uint32_t newest_there(const struct ledger *ledger, const char *worker)
{
	for (size_t i = ledger->count; i > 0; i--)
		if (ledger->rows[i - 1].state == CHECKPOINT_GOOD &&
		    strcmp(ledger->rows[i - 1].worker, worker) == 0)
			return ledger->rows[i - 1].seq;
	return 0;
}

/* What it begins from, where that is not simply the newest one, which lies there. */
static void tell_origin(struct core *core, const struct attempt *attempt, struct actions *out)
{
	const struct task *task = attempt->task;
	const struct checkpoint_row *brought = ledger_at(&task->ledger, attempt->brought_seq), *newest = NULL;
	uint32_t from_seq = brought != NULL ? brought->seq
					    : newest_there(&task->ledger, attempt->row.worker);
	const char *text = "";
	size_t missed;

	if (task->step->checkpoint.resume == DAG_RESUME_NEVER)
		return;
	if (brought != NULL)
		text = arena_printf(&out->arena, "%s, copied from worker %s, is brought to worker %s",
				    brought->name, brought->worker, attempt->row.worker);
	missed = count_out_of_reach(attempt, from_seq, &newest);
	if (missed > 0)
		text = arena_printf(&out->arena, "%s%s%s on worker %s%s cannot be had", text,
				    brought == NULL ? "" : "; ", newest->name, newest->worker,
				    missed == 1 ? ""
						: arena_printf(&out->arena, " and %zu older", missed - 1));
	if (text[0] != '\0')
		core_tell_own(core, out, brought != NULL ? "checkpoint.brought" : "checkpoint.out_of_reach",
			      attempt->row.id, text);
}

int core_order_start(struct core *core, struct attempt *attempt, struct actions *out, struct err *err)
{
	const struct checkpoint_row *brought = find_brought(attempt);
	struct spec spec;
	struct action *action;

	attempt->brought_seq = brought == NULL ? 0 : brought->seq;
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
	tell_origin(core, attempt, out);
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

/* It goes before all others and still lacks something: of what there is for it nobody else gets any. */
static void keep_all(struct core *core, struct task *task, struct pool *pool, bool has_place)
{
	struct worker *worker = placement_choose(core, task);

	if (worker == NULL) {
		placement_keep(core, task); /* Its place and its slot are kept when there is room at last. */
		return;
	}
	worker->kept_for = task;
	if (has_place)
		task->run->held++;
	else if (pool_has_slot(core, pool))
		pool->held++;
}

/* Within a pass only starts happen, so what was found full once is full until its end. */
static void forget_full(struct core *core)
{
	for (size_t i = 0; i < core->pools_count; i++)
		core->pools[i]->full = false;
	for (size_t i = 0; i < core->workers_count; i++)
		core->workers[i]->full = false;
}

/* What it got is free again when it could not be sent off. */
static void start_and_look(struct core *core, const struct candidate *candidate, struct worker *worker,
			   struct actions *out)
{
	struct task *task = candidate->task;

	if (candidate->class != NULL)
		candidate->class->started_ms = core->now_ms;
	start_task(core, task, worker, out);
	if (task->live == NULL)
		forget_full(core);
}

/* It may be its checkpoint that it waits for: to be fetched, or for the worker that has it. */
static void heed_origin(struct core *core, struct task *task)
{
	struct origin origin = origin_of(core, task);

	if (origin.way == ORIGIN_AFTER_COPY)
		core_want_copy(task);
	if (origin.until_ms < core->look_ms)
		core->look_ms = origin.until_ms;
}

/* False when it has to wait, and with it all that ask for the same. */
static bool try_to_start(struct core *core, const struct candidate *candidate, struct actions *out)
{
	struct task *task = candidate->task;
	struct pool *pool = task->run->classes[task->run->class_of[task->row.step]].pool;
	bool has_place = placement_run_has_slot(task->run);
	struct worker *worker;

	if (!has_place || !pool_has_slot(core, pool)) {
		if (candidate->urgency == INT64_MAX)
			keep_all(core, task, pool, has_place);
		return false;
	}
	worker = placement_choose(core, task);
	if (worker != NULL) {
		start_and_look(core, candidate, worker, out);
		return true;
	}
	if (!placement_possible(core, task->run, task->step)) {
		refuse_impossible(core, task, out);
		return true;
	}
	heed_origin(core, task);
	if (core_waited_ms(core, task, candidate->class) >= URGENCY_RESERVE_MS)
		placement_keep(core, task);
	return false;
}

static void begin_pass(struct core *core)
{
	for (size_t i = 0; i < core->pools_count; i++)
		core->pools[i]->held = 0;
	forget_full(core);
	for (size_t i = 0; i < core->runs_count; i++)
		core->runs[i]->held = 0;
	for (size_t i = 0; i < core->workers_count; i++)
		core->workers[i]->kept_for = NULL;
}

void core_start_ready(struct core *core, struct actions *out)
{
	struct candidate next;

	begin_pass(core);
	if (placement_all_full(core))
		return;
	core_queue_fill(core);
	while (core_queue_take(core, &next)) {
		if (try_to_start(core, &next, out) && next.class != NULL && !list_empty(&next.class->ready))
			core_queue_put(core, list_entry(next.class->ready.next, struct task, link), next.class);
	}
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
