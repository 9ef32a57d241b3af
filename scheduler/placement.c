#include "scheduler/placement.h"

#include <string.h>

#include "scheduler/core_parts.h"
#include "scheduler/origin.h"

enum { UNCOLLECTED_MAX = 256 };

/* `devices` is a comma-separated list of whole UUIDs. */
static bool lists_device(const char *devices, const char *uuid)
{
	size_t n = strlen(uuid);

	for (const char *at = devices; (at = strstr(at, uuid)) != NULL; at += n)
		if ((at == devices || at[-1] == ',') && (at[n] == '\0' || at[n] == ','))
			return true;
	return false;
}

static bool device_is_free(const struct worker *worker, const char *uuid)
{
	list_each (at, &worker->live) {
		const struct attempt *attempt = list_entry(at, struct attempt, live_link);

		if (lists_device(attempt->row.devices, uuid))
			return false;
	}
	return true;
}

static struct dag_resources what_is_free(const struct worker *worker)
{
	struct dag_resources free = { .cpus_milli = worker->cpus_milli,
				      .memory_bytes = worker->memory_bytes };

	list_each (at, &worker->live) {
		const struct dag_step *step = list_entry(at, struct attempt, live_link)->task->step;

		free.cpus_milli -= step->resources.cpus_milli;
		free.memory_bytes -= step->resources.memory_bytes;
	}
	return free;
}

static int devices_free(const struct worker *worker)
{
	int count = 0;

	for (size_t i = 0; i < worker->devices_count; i++)
		count += device_is_free(worker, worker->devices[i]);
	return count;
}

/* What a step does not ask for it does not wait for, however much others were given. */
static bool fits(const struct dag_resources *want, int64_t cpus_milli, int64_t memory_bytes, int gpus)
{
	return (want->cpus_milli == 0 || want->cpus_milli <= cpus_milli) &&
	       (want->memory_bytes == 0 || want->memory_bytes <= memory_bytes) && want->gpus <= gpus;
}

static bool asks_for_nothing(const struct dag_resources *want)
{
	return want->cpus_milli == 0 && want->memory_bytes == 0 && want->gpus == 0;
}

static size_t count_live(const struct worker *worker, size_t enough)
{
	size_t count = 0;

	list_each (at, &worker->live) {
		(void)at;
		if (++count >= enough)
			break;
	}
	return count;
}

/* What a step like this leaves of `free` is enough for the other, in all that both ask for. */
static bool leaves_enough(const struct dag_resources *free, const struct dag_resources *want,
			  const struct dag_resources *other)
{
	return (want->cpus_milli == 0 || other->cpus_milli == 0 ||
		free->cpus_milli - want->cpus_milli >= other->cpus_milli) &&
	       (want->memory_bytes == 0 || other->memory_bytes == 0 ||
		free->memory_bytes - want->memory_bytes >= other->memory_bytes) &&
	       (want->gpus == 0 || other->gpus == 0 || free->gpus - want->gpus >= other->gpus);
}

static bool has_slot(struct worker *worker, const struct task *task)
{
	size_t slots = (size_t)worker->terms.slots, live;
	bool kept = worker->kept_for != NULL && worker->kept_for != task;

	if (slots == 0 || worker->full)
		return slots == 0;
	live = count_live(worker, slots);
	worker->full = live >= slots;
	return live + kept < slots;
}

static bool has_room(struct worker *worker, const struct task *task)
{
	const struct dag_resources *want = &task->step->resources;
	struct dag_resources free;

	if (!has_slot(worker, task))
		return false;
	if (asks_for_nothing(want))
		return true;
	free = what_is_free(worker);
	free.gpus = want->gpus > 0 ? devices_free(worker) : 0;
	if (!fits(want, free.cpus_milli, free.memory_bytes, free.gpus))
		return false;
	return worker->kept_for == NULL || worker->kept_for == task ||
	       leaves_enough(&free, want, &worker->kept_for->step->resources);
}

bool placement_starts_things(const struct core *core, const struct worker *worker)
{
	return !worker->draining && !worker->retired && worker->aside_until_ms <= core->now_ms;
}

static bool is_called(const struct worker *worker, const char *name)
{
	if (strcmp(worker->name, name) == 0)
		return true;
	for (size_t i = 0; i < worker->terms.labels_count; i++)
		if (strcmp(worker->terms.labels[i], name) == 0)
			return true;
	return false;
}

bool placement_is_named(const struct core *core, const char *name)
{
	for (size_t i = 0; i < core->workers_count; i++)
		if (!core->workers[i]->retired && is_called(core->workers[i], name))
			return true;
	return false;
}

bool placement_has_folder(const struct dag *dag, const struct dag_step *step)
{
	return dag->source != NULL || (dag->workdir != NULL && dag->workdir[0] == '/') ||
	       (step->workdir != NULL && step->workdir[0] == '/');
}

bool placement_is_eligible(const struct worker *worker, const struct run *run, const struct dag_step *step)
{
	if (step->worker != NULL && !is_called(worker, step->worker))
		return false;
	return !worker->terms.remote || placement_has_folder(run->dag, step);
}

/* It could be started there now, were there room. */
static bool is_usable(const struct core *core, const struct worker *worker, const struct task *task)
{
	return worker->up && task->run->claims[worker->index] == CLAIM_HELD && placement_starts_things(core, worker) &&
	       placement_is_eligible(worker, task->run, task->step);
}

static bool could_hold(const struct worker *worker, const struct dag_step *step)
{
	return fits(&step->resources, worker->cpus_milli, worker->memory_bytes, (int)worker->devices_count);
}

struct worker *placement_choose(const struct core *core, const struct task *task)
{
	const struct origin origin = origin_of(core, task);
	struct worker *best = NULL;
	size_t best_live = 0;

	for (size_t i = 0; i < core->workers_count; i++) {
		struct worker *worker = core->workers[i];
		size_t live;

		if (!origin_allows(&origin, worker) || !is_usable(core, worker, task) ||
		    !has_room(worker, task))
			continue;
		if (task->step->worker == NULL && !worker->terms.remote)
			return worker;
		live = count_live(worker, best == NULL ? SIZE_MAX : best_live);
		if (best == NULL || live < best_live) {
			best = worker;
			best_live = live;
		}
	}
	return best;
}

bool placement_all_full(const struct core *core)
{
	size_t full = 0;

	for (size_t i = 0; i < core->workers_count; i++) {
		const struct worker *worker = core->workers[i];
		size_t slots = (size_t)worker->terms.slots;

		if (!worker->up || !placement_starts_things(core, worker))
			continue;
		if (slots == 0 || count_live(worker, slots) < slots)
			return false;
		full++;
	}
	return full > 0;
}

void placement_keep(struct core *core, struct task *task)
{
	const struct origin origin = origin_of(core, task);
	struct worker *best = NULL;

	for (size_t i = 0; i < core->workers_count && (best == NULL || best != task->kept); i++) {
		struct worker *worker = core->workers[i];

		if (!origin_allows(&origin, worker) || worker->kept_for != NULL ||
		    !is_usable(core, worker, task) || !could_hold(worker, task->step))
			continue;
		if (best == NULL || worker == task->kept ||
		    count_live(worker, SIZE_MAX) < count_live(best, SIZE_MAX))
			best = worker;
	}
	if (best != NULL) {
		best->kept_for = task;
		task->kept = best;
	}
}

bool placement_possible(const struct core *core, const struct run *run, const struct dag_step *step)
{
	for (size_t i = 0; i < core->workers_count; i++) {
		const struct worker *worker = core->workers[i];

		if (worker->retired || !placement_is_eligible(worker, run, step))
			continue;
		if (!worker->known || could_hold(worker, step))
			return true;
	}
	return false;
}

const char *placement_devices(const struct worker *worker, const struct dag_step *step, struct arena *arena)
{
	const char *list = "";
	int given = 0;

	for (size_t i = 0; i < worker->devices_count && given < step->resources.gpus; i++) {
		if (!device_is_free(worker, worker->devices[i]))
			continue;
		list = arena_printf(arena, "%s%s%s", list, given == 0 ? "" : ",", worker->devices[i]);
		given++;
	}
	return list;
}

bool placement_run_has_slot(const struct run *run)
{
	int alive = 0, uncollected = 0;

	list_each (at, &run->open) {
		if (list_entry(at, struct attempt, open_link)->exited)
			uncollected++;
		else
			alive++;
	}
	return alive + run->held < run->dag->concurrency && uncollected < UNCOLLECTED_MAX;
}
