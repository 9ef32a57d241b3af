#include "scheduler/placement.h"

#include <string.h>

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

static bool is_eligible(const struct worker *worker, const struct dag_step *step)
{
	return step->worker == NULL || strcmp(step->worker, worker->name) == 0;
}

struct worker *placement_choose(const struct core *core, const struct run *run, const struct dag_step *step)
{
	for (size_t i = 0; i < core->workers_count; i++) {
		struct worker *worker = core->workers[i];
		struct dag_resources free;

		if (!worker->up || run->claims[i] != CLAIM_HELD || !is_eligible(worker, step))
			continue;
		if (asks_for_nothing(&step->resources))
			return worker;
		free = what_is_free(worker);
		if (fits(&step->resources, free.cpus_milli, free.memory_bytes,
			 step->resources.gpus > 0 ? devices_free(worker) : 0))
			return worker;
	}
	return NULL;
}

bool placement_possible(const struct core *core, const struct dag_step *step)
{
	for (size_t i = 0; i < core->workers_count; i++) {
		const struct worker *worker = core->workers[i];

		if (!is_eligible(worker, step))
			continue;
		if (!worker->known || fits(&step->resources, worker->cpus_milli, worker->memory_bytes,
					   (int)worker->devices_count))
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
	return alive < run->dag->concurrency && uncollected < UNCOLLECTED_MAX;
}
