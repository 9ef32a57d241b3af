#include "scheduler/control.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "common/clock.h"
#include "common/mem.h"
#include "common/scope.h"
#include "scheduler/control_parts.h"
#include "scheduler/instant.h"
#include "scheduler/paths.h"
#include "scheduler/token.h"
#include "scheduler/view.h"
#include "scheduler/view_summary.h"

enum { SHORT_LIST = 200 };

/* --- reads ------------------------------------------------------------------------------------------------ */

bool control_find_load(const struct control *control, const char *worker, struct load *out,
		       int64_t *wall_ms_out)
{
	const struct control_desk *desk = control->desk;

	return desk->load != NULL && desk->load(desk->context, worker, out, wall_ms_out);
}

static int read_workers(const struct control *control, const struct web_query *query, json_t **out,
			struct err *err)
{
	json_t *worker;
	size_t i;

	if (view_workers(control->reader, control->settings, query->now_wall_ms, out, err) < 0)
		return err->code;
	json_array_foreach(json_object_get(*out, "workers"), i, worker) {
		const char *name = json_string_value(json_object_get(worker, "worker"));
		struct load load;
		int64_t wall_ms;

		if (control_find_load(control, name, &load, &wall_ms))
			json_object_set_new(worker, "load", view_load(&load, wall_ms));
	}
	return 0;
}

static int on_read(void *context, enum web_read what, const struct web_query *query, json_t **out, struct err *err)
{
	__attribute__((cleanup(arena_fini))) struct arena arena = { 0 };
	struct control *control = context;
	struct look look = { .store = control->reader, .zones = control->zones };

	switch (what) {
	case WEB_WORKERS:
		return read_workers(control, query, out, err);
	case WEB_POOLS:
	case WEB_HEALTH:
		return control->desk->read(control->desk->context, what, query, out, err);
	default:
		if (look_wants_files(what, query))
			look.count = control_facts(control, &arena, &look.facts);
		return look_read(&look, what, query, out, err);
	}
}

/* During a run the audit trail grows a thousand times a second, and what it grew from is the same. */
static int on_text(void *context, enum web_read what, const struct web_query *query, char **out, struct err *err)
{
	struct control *control = context;

	if (what != WEB_EVENTS || query->run != NULL || query->after >= 0 || query->before > 0 ||
	    query->limit > VIEW_EVENTS_KEPT)
		return 0;
	return view_events_text(control->reader, query->limit, control->events, out, err) < 0 ? err->code : 1;
}

/* --- reads by a thread ------------------------------------------------------------------------------------ */

/* Lists of the usual length take less than the way to a thread and back. */
static bool aside_wants(enum web_read what, const struct web_query *query)
{
	switch (what) {
	case WEB_DAGS:
	case WEB_DAG:
	case WEB_RUN:
	case WEB_RUN_WHY:
	case WEB_TASK:
	case WEB_TASK_WHY:
	case WEB_CHECKPOINTS:
	case WEB_METRICS:
		return true;
	case WEB_RUNS:
	case WEB_EVENTS:
	case WEB_OCCURRENCES:
	case WEB_BACKFILL_PLAN:
		return query->limit > SHORT_LIST;
	default:
		return false;
	}
}

/* The files may change meanwhile: their DAGs are held, their texts copied. */
static void hold_facts(struct control *control)
{
	struct control_aside *aside = &control->aside;
	size_t files = 0;
	const struct registry_file *file =
		control->registry == NULL ? NULL : registry_files(control->registry, &files);

	aside->look.count = control_facts(control, &aside->arena, &aside->look.facts);
	aside->held = mem_array(files + 1, sizeof *aside->held);
	for (size_t i = 0; i < files; i++)
		if (file[i].good != NULL)
			aside->held[aside->held_count++] = registry_hold(file[i].good);
	for (size_t i = 0; i < aside->look.count; i++) {
		struct view_dag_facts *facts = &aside->look.facts[i];

		facts->name = arena_strdup(&aside->arena, facts->name);
		facts->path = arena_strdup_if(&aside->arena, facts->path);
		facts->problem = arena_strdup_if(&aside->arena, facts->problem);
	}
}

static void *aside_prepare(void *context, enum web_read what, const struct web_query *query)
{
	struct control *control = context;
	struct control_aside *aside = &control->aside;

	arena_init(&aside->arena);
	aside->look.store = control->aside_reader;
	aside->look.count = 0;
	if (aside->timezone_changed) {
		zones_free(aside->look.zones);
		aside->look.zones = zones_new(control->settings->timezone);
		aside->timezone_changed = false;
	}
	if (look_wants_files(what, query))
		hold_facts(control);
	return aside;
}

static int aside_read(void *prepared, enum web_read what, const struct web_query *query, json_t **out,
		      struct err *err)
{
	struct control_aside *aside = prepared;

	return look_read(&aside->look, what, query, out, err);
}

/* The list of all DAGs is the longest of those that everybody looks at. */
static int aside_text(void *prepared, enum web_read what, const struct web_query *query, char **out, struct err *err)
{
	struct control_aside *aside = prepared;
	const struct view_listing listing = { aside->look.zones, aside->look.facts, aside->look.count, query->limit,
					      query->now_wall_ms };

	if (what != WEB_DAGS)
		return 0;
	return view_dags_text(aside->look.store, &listing, aside->dags, out, err) < 0 ? err->code : 1;
}

static void aside_forget(void *prepared)
{
	struct control_aside *aside = prepared;

	for (size_t i = 0; i < aside->held_count; i++)
		registry_release(aside->held[i]);
	free(aside->held);
	aside->held = NULL;
	aside->held_count = 0;
	arena_fini(&aside->arena);
}

static const struct web_aside aside_reads = {
	.wants = aside_wants,
	.prepare = aside_prepare,
	.read = aside_read,
	.text = aside_text,
	.forget = aside_forget,
};

/* --- logs ------------------------------------------------------------------------------------------------- */

/* The last bytes of an attempt that has ended may be on their way here, as long as its run goes on. */
static bool is_growing(const struct control *control, uint64_t run, const struct view_attempt *attempt,
		       const char *path)
{
	autojson json_t *row = NULL;
	struct stat st;

	if (attempt->number == 0)
		return !machine_ended(task_states, attempt->task_state);
	if (!machine_ended(attempt_states, attempt->state))
		return true;
	if (attempt->log_bytes == 0 || (stat(path, &st) == 0 && (uint64_t)st.st_size >= attempt->log_bytes))
		return false;
	return view_run_alone(control->reader, run, &row, NULL) == 0 && json_is_null(json_object_get(row, "ended"));
}

static int on_log(void *context, const struct web_query *query, struct web_log *out, struct err *err)
{
	__attribute__((cleanup(arena_fini))) struct arena arena = { 0 };
	struct control *control = context;
	const char *slash = strrchr(query->run, '/');
	struct view_attempt attempt;
	uint64_t run;
	uint32_t step;

	if (view_find_run(control->reader, query->run, &run, err) < 0 ||
	    view_find_task(control->reader, run, query->task, &step, err) < 0 ||
	    view_attempt(control->reader, run, step, query->attempt, &attempt, err) < 0)
		return err->code;
	out->attempt = attempt.number;
	if (attempt.number != 0)
		snprintf(out->path, sizeof out->path, "%s",
			 paths_log(&arena, control->reader->home,
				   arena_strndup(&arena, query->run, (size_t)(slash - query->run)),
				   strtoull(slash + 1, NULL, 10), query->task, attempt.number));
	out->growing = is_growing(control, run, &attempt, out->path);
	return 0;
}

/* --- changes ---------------------------------------------------------------------------------------------- */

static void on_change(void *context, enum web_verb verb, const json_t *arguments, const struct web_caller *caller,
		      web_done *done, void *done_context)
{
	struct control *control = context;

	control->desk->change(control->desk->context, verb, arguments, caller, done, done_context);
}

static int on_token(void *context, const char *digest, struct web_token *out, struct err *err)
{
	struct control *control = context;

	return token_find(control->reader, digest, clock_wall_ms(), out, err);
}

/* --- the whole -------------------------------------------------------------------------------------------- */

struct control *control_new(struct store *reader, struct store *aside_reader, const struct settings *settings, const struct registry *registry,
			    const struct control_desk *desk)
{
	struct control *control = mem_zalloc(sizeof *control);

	control->reader = reader;
	control->aside_reader = aside_reader;
	control->aside.timezone_changed = true;
	control->aside.dags = view_dags_kept_new();
	control->events = view_events_kept_new();
	control->settings = settings;
	control->registry = registry;
	control->zones = zones_new(settings->timezone);
	control->desk = desk;
	control->last_event = control->last_move = control_number(reader, STMT_web_last_event, 0);
	control->source = (struct web_source){
		.read = on_read,
		.text = on_text,
		.change = on_change,
		.log = on_log,
		.token = on_token,
		.metrics = control_metrics,
		.version = control_version,
		.aside = &aside_reads,
		.context = control,
	};
	return control;
}

void control_free(struct control *control)
{
	if (control == NULL)
		return;
	for (size_t i = 0; i < control->ended_count; i++)
		free(control->ended[i].dag);
	free(control->ended);
	zones_free(control->zones);
	zones_free(control->aside.look.zones);
	view_dags_kept_free(control->aside.dags);
	view_events_kept_free(control->events);
	free(control);
}

void control_set_settings(struct control *control, const struct settings *settings)
{
	control->settings = settings;
	control_renew_zones(control);
}

void control_renew_zones(struct control *control)
{
	zones_free(control->zones);
	control->zones = zones_new(control->settings->timezone);
	control->aside.timezone_changed = true;
	control_files_changed(control);
}

const struct web_source *control_source(const struct control *control)
{
	return &control->source;
}

void control_count_attempt(struct control *control, enum attempt_state state, enum reason reason)
{
	if ((unsigned)state < ATTEMPT_STATES && (unsigned)reason < CONTROL_REASONS)
		control->attempts[state][reason]++;
}

void control_count_queued(struct control *control, int64_t waited_ms)
{
	histogram_add(&control->queued, waited_ms);
}

void control_count_due(struct control *control, int64_t late_ms)
{
	histogram_add(&control->due, late_ms);
}

void control_count_start(struct control *control, int64_t took_ms)
{
	histogram_add(&control->start, took_ms);
}

struct web_settings control_web_settings(const struct settings *settings, const char *control_path, bool have_tokens)
{
	const struct settings_web *web = &settings->web;

	return (struct web_settings){
		.control_path = control_path,
		.shared_path = web->shared_path,
		.shared_group = web->shared_group,
		.listen = web->listen,
		.listen_count = web->off ? 0 : web->listen_count,
		.listen_optional = !web->listen_given,
		.hosts = web->hosts,
		.hosts_count = web->hosts_count,
		.certificate_path = web->certificate_path,
		.key_path = web->key_path,
		.behind_proxy = web->behind_proxy,
		.have_tokens = have_tokens,
	};
}
