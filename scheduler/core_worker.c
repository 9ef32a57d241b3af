#include "scheduler/core_parts.h"

#include <string.h>

void core_ask_for_claims(struct core *core, struct actions *out)
{
	for (size_t r = 0; r < core->runs_count; r++) {
		struct run *run = core->runs[r];

		if (run->ended)
			continue;
		for (size_t i = 0; i < core->workers_count; i++) {
			struct attempt_id id = core_whole_run(run);

			if (!core->workers[i]->up || run->claims[i] != CLAIM_NONE)
				continue;
			core_order(out, ORDER_CLAIM, core->workers[i], &id)->epoch = core->workers[i]->epoch;
			run->claims[i] = CLAIM_ASKED;
		}
	}
	core->unclaimed = false;
}

void core_attempt_back(struct attempt *attempt, struct actions *out)
{
	if (attempt->row.state != ATTEMPT_UNREACHABLE)
		return;
	core_move_attempt(attempt, ATTEMPT_RUNNING, REASON_NONE);
	attempt->row.unreachable_wall_ms = 0;
	core_save_attempt(attempt, out);
}

void core_order_stop(const struct attempt *attempt, int64_t grace_ms, struct actions *out)
{
	struct action *action = core_order(out, ORDER_STOP, attempt->worker, &attempt->row.id);

	action->stop.reason = REASON_CANCELED;
	action->stop.grace_ms = grace_ms;
}

int64_t core_grace_of(const struct task *task)
{
	return task->run->hurried ? 0 : task->step->grace_ms;
}

/*
 * The worker has an attempt of ours: listen to it from where we stopped; tell it again to stop if it should.
 */
void core_on_present(struct core *core, const struct event *event, struct worker *worker, struct actions *out)
{
	struct task *task = core_find_task(core, &event->id);
	struct attempt *attempt = core_find_attempt(core, &event->id);

	if (task == NULL)
		return;
	if (attempt == NULL) {
		/*
		 * It has ended as far as the store knows, or the store never knew it: its log is collected,
		 * not heeded.
		 */
		attempt = core_new_attempt(task, worker);
		attempt->row.id = event->id;
		attempt->row.worker = worker->name;
		attempt->exited = true;
		list_append(&task->run->open, &attempt->open_link);
	}
	attempt->present = true;
	core_order(out, ORDER_ATTACH, worker, &event->id)->attach.journal_offset =
		attempt->row.journal_offset;
	if (attempt->exited) {
		if (event->present == PRESENT_RUNNING)
			core_order_stop(attempt, 0, out);
		return;
	}
	core_attempt_back(attempt, out);
	if (task->run->row.cancel_wall_ms > 0)
		core_order_stop(attempt, core_grace_of(task), out);
}

/* An attempt that we expected and the worker does not have. */
static void judge_absent(struct core *core, struct attempt *attempt, struct actions *out)
{
	struct worker *worker = attempt->worker;
	struct err err;

	if (strcmp(attempt->row.boot_id, worker->boot_id) != 0) {
		core_end_unseen(core, attempt, EXIT_LOST, REASON_WORKER_REBOOTED, false, "", out);
	} else if (attempt->row.state != ATTEMPT_INTENDED) {
		core_end_unseen(core, attempt, EXIT_LOST, REASON_WORKER_LOST, false,
				"its folder is gone from the worker", out);
	} else if (attempt->task->run->row.cancel_wall_ms > 0) {
		/*
		 * The claim shuts out every older agent, so what is not there now was never started and never
		 * will be.
		 */
		core_end_unseen(core, attempt, EXIT_NOT_STARTED, REASON_CANCELED, false, "", out);
	} else if (core_order_start(core, attempt, out, &err) < 0) {
		core_end_unseen(core, attempt, EXIT_NOT_STARTED, REASON_NOT_STARTED, false, err.text, out);
	}
}

void core_on_inventory(struct core *core, const struct event *event, struct worker *worker,
		       struct actions *out)
{
	struct run *run = core_find_run(core, event->id.run);

	if (run == NULL || run->claims[worker->index] != CLAIM_ASKED)
		return;
	if (event->refused) {
		run->claims[worker->index] = CLAIM_REFUSED;
		run->refusal = arena_strdup(&run->arena, event->text == NULL ? "" : event->text);
		return;
	}
	run->claims[worker->index] = CLAIM_HELD;
	list_each (at, &run->open) {
		struct attempt *attempt = list_entry(at, struct attempt, open_link);

		if (attempt->worker != worker || attempt->present)
			continue;
		if (attempt->exited)
			core_free_attempt(attempt); /* collected before, by an order whose answer was lost */
		else
			judge_absent(core, attempt, out);
	}
}

void core_on_worker_up(struct core *core, const struct event *event, struct worker *worker,
		       struct actions *out)
{
	const struct worker_facts *facts = &event->facts;

	worker->up = worker->known = true;
	worker->epoch = facts->epoch;
	worker->cpus_milli = facts->cpus_milli;
	worker->memory_bytes = facts->memory_bytes;
	if (worker->boot_id == NULL || strcmp(worker->boot_id, facts->boot_id) != 0)
		worker->boot_id = arena_strdup(&core->arena, facts->boot_id);
	if (worker->devices_count != facts->devices_count) {
		worker->devices = arena_alloc(&core->arena,
					      (facts->devices_count + 1) * sizeof *worker->devices);
		worker->devices_count = facts->devices_count;
	}
	for (size_t i = 0; i < facts->devices_count; i++)
		if (worker->devices[i] == NULL || strcmp(worker->devices[i], facts->devices[i].uuid) != 0)
			worker->devices[i] = arena_strdup(&core->arena, facts->devices[i].uuid);
	actions_add(out, SAVE_WORKER)->facts = *facts;
	out->items[out->count - 1].facts.name = worker->name;
	out->items[out->count - 1].facts.boot_id = worker->boot_id;
	out->items[out->count - 1].facts.host = arena_strdup(&out->arena, facts->host);
	out->items[out->count - 1].facts.machine = arena_strdup(&out->arena, facts->machine);
	out->items[out->count - 1].facts.devices = NULL;
	core->unclaimed = true;
}

/* Silence decides nothing: the attempts there are shown as unreachable, and waited for. */
void core_on_worker_down(struct core *core, struct worker *worker, struct actions *out)
{
	worker->up = false;
	worker->down_wall_ms = core->wall_ms;
	for (size_t r = 0; r < core->runs_count; r++) {
		core->runs[r]->claims[worker->index] = CLAIM_NONE;
		list_each (at, &core->runs[r]->open) {
			struct attempt *attempt = list_entry(at, struct attempt, open_link);

			if (attempt->worker == worker)
				attempt->present = false;
		}
	}
	list_each (at, &worker->live) {
		struct attempt *attempt = list_entry(at, struct attempt, live_link);

		if (attempt->row.state != ATTEMPT_RUNNING)
			continue;
		core_move_attempt(attempt, ATTEMPT_UNREACHABLE, REASON_NONE);
		attempt->row.unreachable_wall_ms = core->wall_ms;
		core_save_attempt(attempt, out);
	}
	core->unclaimed = true;
}
