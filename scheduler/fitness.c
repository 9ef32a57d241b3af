#include "scheduler/fitness.h"

#include <stdbool.h>
#include <string.h>
#include <unistd.h>

#include "dag/suggest.h"
#include "scheduler/placement.h"

/* What this machine has at all; to ask costs three files. */
struct capacity {
	int64_t cpus, memory_bytes;
};

/* True when some worker is called or labelled as the step asks. */
static bool has_worker_for(const struct settings *settings, const struct dag_step *step, bool *local_out)
{
	bool found = false;

	for (size_t i = 0; i < settings->workers_count; i++) {
		const struct settings_worker *worker = &settings->workers[i];
		bool fits = step->worker == NULL || strcmp(step->worker, worker->name) == 0;

		for (size_t k = 0; k < worker->terms.labels_count && !fits; k++)
			fits = strcmp(step->worker, worker->terms.labels[k]) == 0;
		found |= fits;
		*local_out |= fits && !worker->terms.remote;
	}
	return found;
}

static int no_such_worker(const struct settings *settings, const struct dag_step *step, struct err *err)
{
	struct suggest near = suggest_for(step->worker);

	for (size_t i = 0; i < settings->workers_count; i++) {
		suggest_offer(&near, settings->workers[i].name, NULL);
		for (size_t k = 0; k < settings->workers[i].terms.labels_count; k++)
			suggest_offer(&near, settings->workers[i].terms.labels[k], NULL);
	}
	if (suggest_best(&near) != NULL)
		return err_set(err, ERR_INVALID,
			       "step '%s' wants the worker '%s', which no worker is called or labelled;"
			       " did you mean '%s'?",
			       step->name, step->worker, suggest_best(&near));
	if (settings->path == NULL)
		return err_set(err, ERR_INVALID,
			       "step '%s' wants the worker '%s', and there is only this machine, called"
			       " 'local': name other machines in ~/.config/stoker/stoker.yaml",
			       step->name, step->worker);
	return err_set(err, ERR_INVALID,
		       "step '%s' wants the worker '%s', which no worker in %s is called or labelled",
		       step->name, step->worker, settings->path);
}

/* What this machine can never give is told before anything starts. (GPUs: only its agent knows them.) */
static int check_size(const struct dag_step *step, const struct capacity *here, struct err *err)
{
	if (step->resources.cpus_milli > here->cpus * 1000)
		return err_set(err, ERR_INVALID, "step '%s' asks for %g cpus, this machine has %d", step->name,
			       (double)step->resources.cpus_milli / 1000, (int)here->cpus);
	if (step->resources.memory_bytes > here->memory_bytes)
		return err_set(err, ERR_INVALID, "step '%s' asks for %lld MiB of memory, this machine has %lld",
			       step->name, (long long)step->resources.memory_bytes >> 20,
			       (long long)here->memory_bytes >> 20);
	return 0;
}

static int check_pool(const struct dag_step *step, const struct settings *settings, struct err *err)
{
	struct suggest near;

	if (step->pool == NULL || settings_find_pool(settings, step->pool) != NULL)
		return 0;
	near = suggest_for(step->pool);
	for (size_t i = 0; i < settings->pools_count; i++)
		suggest_offer(&near, settings->pools[i].name, NULL);
	if (suggest_best(&near) != NULL)
		return err_set(err, ERR_INVALID,
			       "step '%s' belongs to the pool '%s', which the settings do not know; did you"
			       " mean '%s'?",
			       step->name, step->pool, suggest_best(&near));
	return err_set(err, ERR_INVALID,
		       "step '%s' belongs to the pool '%s', which the settings do not know: add"
		       " 'pools: {%s: 1}' to %s",
		       step->name, step->pool, step->pool,
		       settings->path == NULL ? "~/.config/stoker/stoker.yaml" : settings->path);
}

static int check_step(const struct dag *dag, const struct dag_step *step, const struct settings *settings,
		      const struct capacity *here, struct err *err)
{
	bool local = false;

	if (!has_worker_for(settings, step, &local))
		return step->worker != NULL ? no_such_worker(settings, step, err)
					    : err_set(err, ERR_INVALID, "there is no worker for step '%s'",
						      step->name);
	if (!local && !placement_has_folder(dag, step))
		return err_set(err, ERR_INVALID,
			       "step '%s' runs on another machine ('%s') and has no folder there:"
			       " add 'source: .' to the DAG, or an absolute 'workdir'",
			       step->name, step->worker);
	if (local && (!placement_has_folder(dag, step) || settings->workers_count == 1) &&
	    check_size(step, here, err) < 0)
		return err->code;
	return check_pool(step, settings, err);
}

int fitness_check(const struct dag *dag, const struct settings *settings, struct err *err)
{
	const struct capacity here = {
		.cpus = sysconf(_SC_NPROCESSORS_ONLN),
		.memory_bytes = (int64_t)sysconf(_SC_PHYS_PAGES) * sysconf(_SC_PAGESIZE),
	};

	for (size_t i = 0; i < dag->steps_count; i++)
		if (check_step(dag, &dag->steps[i], settings, &here, err) < 0)
			return err->code;
	return 0;
}
