#include "scheduler/core_parts.h"

#include <inttypes.h>
#include <string.h>

#include "scheduler/placement.h"

enum { STARTS_MAX = 3, ASIDE_MS = 60 * 1000, ASIDE_DOUBLES = 5 };

/* True when attempts of the run are, were or may be there. */
bool core_run_concerns(const struct worker *worker, const struct run *run)
{
	if (run->used[worker->index])
		return true;
	for (size_t i = 0; i < run->classes_count; i++)
		if (placement_is_eligible(worker, run, run->classes[i].like))
			return true;
	return false;
}

bool core_concerns(const struct core *core, const char *name)
{
	const struct worker *worker = core_find_worker(core, name);

	for (size_t i = 0; i < core->runs_count; i++)
		if (core_run_concerns(worker, core->runs[i]))
			return true;
	return false;
}

void core_ask_for_claims(struct core *core, struct actions *out)
{
	for (size_t r = 0; r < core->runs_count; r++) {
		struct run *run = core->runs[r];

		if (run->ended)
			continue;
		for (size_t i = 0; i < core->workers_count; i++) {
			const struct worker *worker = core->workers[i];
			struct attempt_id id = core_whole_run(run);
			struct action *action;

			if (!worker->up || run->claims[i] != CLAIM_NONE || !core_run_concerns(worker, run))
				continue;
			action = core_order(out, ORDER_CLAIM, worker, &id);
			action->epoch = worker->epoch;
			action->lease_ms = strcmp(worker->name, CORE_LOCAL) == 0 ? 0 : run->lease_ms;
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
	struct action *attach;

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
	attach = core_order(out, ORDER_ATTACH, worker, &event->id);
	attach->attach.journal_offset = attempt->row.journal_offset;
	attach->attach.renew = !attempt->exited && core_lease_ms(task->step, worker->name) > 0;
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

static int64_t at_most(int64_t found, int64_t most)
{
	return most > 0 && most < found ? most : found;
}

static void take_devices(struct core *core, struct worker *worker, const struct worker_facts *facts)
{
	size_t count = facts->devices_count;

	if (worker->terms.gpus_set && count > (size_t)worker->terms.most.gpus)
		count = (size_t)worker->terms.most.gpus;
	if (worker->devices_count != count) {
		worker->devices = arena_alloc(&core->arena, (count + 1) * sizeof *worker->devices);
		worker->devices_count = count;
	}
	for (size_t i = 0; i < count; i++)
		if (worker->devices[i] == NULL || strcmp(worker->devices[i], facts->devices[i].uuid) != 0)
			worker->devices[i] = arena_strdup(&core->arena, facts->devices[i].uuid);
}

void core_on_worker_up(struct core *core, const struct event *event, struct worker *worker,
		       struct actions *out)
{
	const struct worker_facts *facts = &event->facts;

	worker->up = worker->known = true;
	worker->trouble = "";
	worker->epoch = facts->epoch;
	worker->asked_ms = 0; /* The clock of another boot means nothing now. */
	worker->cpus_milli = at_most(facts->cpus_milli, worker->terms.most.cpus_milli);
	worker->memory_bytes = at_most(facts->memory_bytes, worker->terms.most.memory_bytes);
	if (worker->boot_id == NULL || strcmp(worker->boot_id, facts->boot_id) != 0)
		worker->boot_id = arena_strdup(&core->arena, facts->boot_id);
	take_devices(core, worker, facts);
	actions_add(out, SAVE_WORKER)->facts = *facts;
	out->items[out->count - 1].facts.name = worker->name;
	out->items[out->count - 1].facts.boot_id = worker->boot_id;
	out->items[out->count - 1].facts.host = arena_strdup(&out->arena, facts->host);
	out->items[out->count - 1].facts.machine = arena_strdup(&out->arena, facts->machine);
	out->items[out->count - 1].facts.devices = NULL;
	/* What it may give, not what it has: that is what others ask about. */
	out->items[out->count - 1].facts.cpus_milli = worker->cpus_milli;
	out->items[out->count - 1].facts.memory_bytes = worker->memory_bytes;
	out->items[out->count - 1].facts.devices_count = worker->devices_count;
	core->unclaimed = true;
}

/* Stored when it changes, for those who ask why something waits. */
static void set_trouble(struct core *core, struct worker *worker, const char *text, const char *fault,
			struct actions *out)
{
	struct action *save;

	if (text == NULL || strcmp(worker->trouble, text) == 0)
		return;
	worker->trouble = arena_strdup(&core->arena, text);
	save = actions_add(out, SAVE_WORKER_TROUBLE);
	save->worker = worker->name;
	save->trouble.text = worker->trouble;
	save->trouble.fault = fault == NULL ? "" : fault;
	save->trouble.wall_ms = core->wall_ms;
}

void core_on_worker_failed(struct core *core, const struct event *event, struct worker *worker,
			   struct actions *out)
{
	set_trouble(core, worker, event->text, event->fault, out);
}

/*
 * A worker on which one start after the other fails is not asked for a while, twice as long each time; then
 * one start tells whether it is well again. This machine is never set aside: what ails it ails us.
 */
void core_count_start(struct core *core, struct worker *worker, bool began, const char *message,
		      struct actions *out)
{
	int64_t aside_ms;
	struct action *save;

	if (began) {
		worker->failed_starts = worker->times_aside = 0;
		return;
	}
	if (!worker->terms.remote || ++worker->failed_starts < STARTS_MAX)
		return;
	aside_ms = ASIDE_MS << (worker->times_aside < ASIDE_DOUBLES ? worker->times_aside : ASIDE_DOUBLES);
	worker->times_aside++;
	worker->aside_until_ms = core->now_ms + aside_ms;
	save = actions_add(out, SAVE_WORKER_ASIDE);
	save->worker = worker->name;
	save->trouble.text = arena_printf(&out->arena, "%" PRIu32 " starts in a row failed, the last one: %s",
					  worker->failed_starts, message);
	save->trouble.wall_ms = core->wall_ms + aside_ms;
	core_tell_own(core, out, "worker.set_aside", (struct attempt_id){ .task = UINT64_MAX },
		      arena_printf(&out->arena, "%s: %s", worker->name, save->trouble.text));
}

/* Silence decides nothing: the attempts there are shown as unreachable, and waited for. */
void core_on_worker_down(struct core *core, const struct event *event, struct worker *worker,
			 struct actions *out)
{
	worker->up = false;
	worker->down_ms = core->now_ms;
	worker->down_wall_ms = core->wall_ms;
	set_trouble(core, worker, event->text, event->fault, out);
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
