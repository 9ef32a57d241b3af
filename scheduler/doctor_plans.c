/*
 * doctor_plans.c - the program's parts, settings, zones and DAGs
 */
#include <dirent.h>
#include <errno.h>
#include <limits.h>
#include <string.h>
#include <sys/stat.h>

#include "common/clock.h"
#include "common/scope.h"
#include "common/zone.h"
#include "dag/diagnostic.h"
#include "executor/deploy.h"
#include "scheduler/doctor_parts.h"
#include "scheduler/due.h"
#include "scheduler/engine.h"

#define YEAR_MS (INT64_C(366) * 24 * 3600 * 1000)

enum { FILES_MAX = 10000 };

/* "file.yaml:3:5: what is wrong" */
static const char *first_error(struct doctor *doctor, struct diagnostics *diagnostics)
{
	diagnostics_sort(diagnostics);
	for (size_t i = 0; i < diagnostics->count; i++) {
		const struct diagnostic *it = &diagnostics->items[i];

		if (it->severity == DIAGNOSTIC_ERROR && it->at.line > 0)
			return arena_printf(&doctor->arena, "%s:%u:%u: %s", it->path, (unsigned)it->at.line,
					    (unsigned)it->at.column, it->message);
		if (it->severity == DIAGNOSTIC_ERROR)
			return arena_printf(&doctor->arena, "%s: %s", it->path, it->message);
	}
	return "it is not valid";
}

void doctor_check_agent(struct doctor *doctor)
{
	struct deploy deploy = { .count = 0 };
	char path[PATH_MAX];
	struct err err;

	if (engine_find_agent(path, sizeof path, &err) < 0 || deploy_find(&deploy, path, &err) < 0)
		doctor_say(doctor, "agent", FINDING_PROBLEM, "install stoker whole: stoker-agent belongs to it", "%s",
			   err.text);
	else
		doctor_say(doctor, "agent", FINDING_OK, "", "%s, for %s", path, deploy.agents[0].machine);
	deploy_fini(&deploy);
}

void doctor_check_settings(struct doctor *doctor)
{
	autodiagnostics struct diagnostics diagnostics;

	diagnostics_init(&diagnostics);
	if (settings_load(doctor->plan->config, &doctor->settings, &diagnostics) < 0)
		doctor_say(doctor, "settings", FINDING_PROBLEM, "stoker workers shows all of it", "%s",
			   first_error(doctor, &diagnostics));
	else if (doctor->settings->path == NULL)
		doctor_say(doctor, "settings", FINDING_OK, "", "there is no stoker.yaml: this machine is the only worker");
	else
		doctor_say(doctor, "settings", FINDING_OK, "", "%s", doctor->settings->path);
}

void doctor_check_zones(struct doctor *doctor)
{
	autozone struct zone *named = NULL, *local = NULL;
	struct err err;

	if (zone_open_local(&local, &err) < 0)
		doctor_say(doctor, "time zone", FINDING_PROBLEM, "set TZ or /etc/localtime to one that is there", "%s",
			   err.text);
	else if (zone_open("Europe/Berlin", &named, &err) < 0)
		doctor_say(doctor, "time zone", FINDING_WARNING, "install tzdata",
			   "there is no tz database, so no schedule can name its zone");
	else
		doctor_say(doctor, "time zone", FINDING_OK, "", "%s", zone_name(local));
}

/* --- DAGs ----------------------------------------------------------------------------------------------- */

static void judge_schedule(struct doctor *doctor, const struct dag *dag, const struct dag_schedule *definition)
{
	const char *check = arena_printf(&doctor->arena, "stoker next %s", dag->path);
	autozone struct zone *zone = NULL;
	struct due_schedule schedule;
	struct due due;
	struct err err;
	int rc = definition->timezone == NULL ? zone_open_local(&zone, &err)
					      : zone_open(definition->timezone, &zone, &err);

	doctor->schedules++;
	if (rc == 0)
		rc = due_schedule_init(&schedule, dag->name, definition, zone, &err);
	if (rc < 0)
		doctor_say(doctor, "schedules", FINDING_PROBLEM, "", "%s, '%s': %s", dag->name, definition->cron, err.text);
	else if (!due_next(&schedule, doctor->plan->now_wall_ms, &due))
		doctor_say(doctor, "schedules", FINDING_WARNING, "take it out, or change its `until`",
			   "%s, '%s' is never due again", dag->name, definition->cron);
	else if (due.at_ms > doctor->plan->now_wall_ms + YEAR_MS)
		doctor_say(doctor, "schedules", FINDING_WARNING, check, "%s, '%s' is not due for more than a year",
			   dag->name, definition->cron);
}

static bool is_worker(const struct settings *settings, const char *name)
{
	for (size_t i = 0; i < settings->workers_count; i++) {
		const struct settings_worker *worker = &settings->workers[i];

		if (strcmp(worker->name, name) == 0)
			return true;
		for (size_t k = 0; k < worker->terms.labels_count; k++)
			if (strcmp(worker->terms.labels[k], name) == 0)
				return true;
	}
	return false;
}

/* One finding for each name that nothing answers to. */
static void judge_steps(struct doctor *doctor, const struct dag *dag)
{
	const char *told_pool = "", *told_worker = "";

	for (size_t i = 0; i < dag->steps_count; i++) {
		const struct dag_step *step = &dag->steps[i];

		if (step->pool != NULL && settings_find_pool(doctor->settings, step->pool) == NULL &&
		    strcmp(told_pool, step->pool) != 0) {
			told_pool = step->pool;
			doctor_say(doctor, "pools", FINDING_PROBLEM, "name it in `pools` of stoker.yaml",
				   "%s, step %s is of the pool %s, which there is not", dag->name, step->name, step->pool);
		}
		if (step->worker != NULL && !is_worker(doctor->settings, step->worker) &&
		    strcmp(told_worker, step->worker) != 0) {
			told_worker = step->worker;
			doctor_say(doctor, "workers", FINDING_PROBLEM, "name it in `workers` of stoker.yaml",
				   "%s, step %s wants the worker %s, and none is called so or has that label", dag->name,
				   step->name, step->worker);
		}
	}
}

static void judge_file(struct doctor *doctor, const char *path, size_t *good)
{
	autodiagnostics struct diagnostics diagnostics;
	autodag struct dag *dag = NULL;

	diagnostics_init(&diagnostics);
	if (dag_load(path, &dag, &diagnostics) < 0) {
		doctor_say(doctor, "DAGs", FINDING_PROBLEM, arena_printf(&doctor->arena, "stoker validate %s", path), "%s",
			   first_error(doctor, &diagnostics));
		return;
	}
	++*good;
	for (size_t i = 0; i < dag->schedules_count; i++)
		judge_schedule(doctor, dag, &dag->schedules[i]);
	if (dag->expect_by_minute >= 0 && dag->schedules_count == 0)
		doctor_say(doctor, "schedules", FINDING_WARNING, "give it a `schedule`, or take `expect_by` out",
			   "%s is expected by a time of day, but has no schedule", dag->name);
	judge_steps(doctor, dag);
}

static bool is_dag_file(const char *name)
{
	const char *dot = strrchr(name, '.');

	return name[0] != '.' && dot != NULL && (strcmp(dot, ".yaml") == 0 || strcmp(dot, ".yml") == 0);
}

/* A folder or a file, as registry.h takes them. */
static void judge_place(struct doctor *doctor, const char *place, size_t *good)
{
	struct stat st;
	DIR *dir;
	size_t count = 0;

	if (stat(place, &st) < 0) {
		/* The usual folder need not be there; one that somebody named is missed. */
		if (doctor->settings->path != NULL || errno != ENOENT)
			doctor_say(doctor, "DAGs", FINDING_WARNING, "make it, or see `dags` in stoker.yaml", "%s: %s", place,
				   strerror(errno));
		return;
	}
	if (!S_ISDIR(st.st_mode)) {
		judge_file(doctor, place, good);
		return;
	}
	dir = opendir(place);
	if (dir == NULL) {
		doctor_say(doctor, "DAGs", FINDING_PROBLEM, "check its mode", "%s: %s", place, strerror(errno));
		return;
	}
	for (struct dirent *entry; (entry = readdir(dir)) != NULL && count < FILES_MAX; count++)
		if (is_dag_file(entry->d_name))
			judge_file(doctor, arena_printf(&doctor->arena, "%s/%s", place, entry->d_name), good);
	closedir(dir);
}

void doctor_check_dags(struct doctor *doctor)
{
	size_t good = 0;

	if (doctor->settings == NULL)
		return;
	for (size_t i = 0; i < doctor->settings->daemon.places_count; i++)
		judge_place(doctor, doctor->settings->daemon.places[i], &good);
	doctor_say(doctor, "DAGs", FINDING_OK, "", "%zu %s valid, with %zu schedule%s", good,
		   good == 1 ? "file is" : "files are", doctor->schedules, doctor->schedules == 1 ? "" : "s");
	if (doctor->schedules > 0 && !doctor->daemon)
		doctor_say(doctor, "schedules", FINDING_PROBLEM, "start it: stoker serve",
			   "no daemon runs, so nothing is started when it is due");
}
