/*
 * desk_dag.c - about DAGs and workers: pause, unpause, backfill, drain, undrain, reload
 */
#include <stdlib.h>
#include <string.h>

#include "common/clock.h"
#include "common/mem.h"
#include "common/scope.h"
#include "dag/suggest.h"
#include "scheduler/desk_parts.h"
#include "scheduler/store_backfill.h"
#include "scheduler/store_due.h"
#include "scheduler/view.h"

/* One function of the store, and who waits for it. */
struct errand {
	struct desk *desk;
	struct asker asker;
	struct arena arena;
	const char *name; /* of the DAG or the worker */
	bool on;	  /* pause, drain; not: take it back */
	bool changed;
	struct store_new_backfill backfill;
	int64_t id;
	struct writer_job job;
};

static struct errand *new_errand(struct desk *desk, struct asker asker, const char *name, bool on)
{
	struct errand *errand = mem_zalloc(sizeof *errand);

	errand->desk = desk;
	errand->asker = asker;
	arena_init(&errand->arena);
	errand->name = arena_strdup(&errand->arena, name);
	errand->on = on;
	return errand;
}

static void end_errand(struct errand *errand, json_t *answer, const struct err *err)
{
	if (err->code == ERR_OK)
		asker_answer(&errand->asker, answer);
	else
		asker_refuse(&errand->asker, err);
	arena_fini(&errand->arena);
	free(errand);
}

static void run_errand(struct errand *errand, int (*write)(struct store *, void *, struct err *),
		       void (*done)(void *, const struct err *))
{
	errand->job = (struct writer_job){ .write = write, .done = done, .context = errand };
	engine_write(errand->desk->parts.engine, &errand->job);
}

static void refuse(struct asker *asker, enum err_code code, const char *text)
{
	struct err err;

	err_set(&err, code, "%s", text);
	asker_refuse(asker, &err);
}

/* --- pause ---------------------------------------------------------------------------------------------- */

static int write_pause(struct store *store, void *context, struct err *err)
{
	struct errand *errand = context;

	return (errand->on ? store_pause : store_unpause)(store, errand->name, errand->asker.actor,
							  errand->asker.origin, clock_wall_ms(), &errand->changed,
							  err);
}

static void on_paused(void *context, const struct err *err)
{
	struct errand *errand = context;
	const struct desk_parts *parts = &errand->desk->parts;

	if (err->code == ERR_OK && errand->changed)
		parts->on_paused(parts->context, errand->name, errand->on);
	end_errand(errand,
		   err->code != ERR_OK ? NULL
				       : json_pack("{s:s, s:b, s:b}", "dag", errand->name, "paused", errand->on,
						   "changed", errand->changed),
		   err);
}

static void pause_or_not(struct desk *desk, const json_t *arguments, struct asker asker, bool on)
{
	const char *dag = desk_text(arguments, "dag");

	if (dag == NULL)
		refuse(&asker, ERR_INVALID, "which DAG?");
	else
		run_errand(new_errand(desk, asker, dag, on), write_pause, on_paused);
}

void desk_pause(struct desk *desk, const json_t *arguments, const struct web_caller *caller, struct asker asker)
{
	(void)caller;
	pause_or_not(desk, arguments, asker, true);
}

void desk_unpause(struct desk *desk, const json_t *arguments, const struct web_caller *caller, struct asker asker)
{
	(void)caller;
	pause_or_not(desk, arguments, asker, false);
}

/* --- backfill ------------------------------------------------------------------------------------------- */

static int write_backfill(struct store *store, void *context, struct err *err)
{
	struct errand *errand = context;

	return store_start_backfill(store, &errand->backfill, errand->desk->parts.settings->timezone, &errand->id,
				    err);
}

static void on_backfill(void *context, const struct err *err)
{
	struct errand *errand = context;
	const struct desk_parts *parts = &errand->desk->parts;

	if (err->code == ERR_OK)
		parts->on_backfill(parts->context, errand->id);
	end_errand(errand,
		   err->code != ERR_OK
			   ? NULL
			   : json_pack("{s:I, s:s}", "backfill", (json_int_t)errand->id, "dag", errand->name),
		   err);
}

static const char *copy_text(struct errand *errand, const json_t *arguments, const char *key)
{
	return arena_strdup_if(&errand->arena, desk_text(arguments, key));
}

/* What it would do is asked of the state (view_backfill), which takes no daemon; here it is begun. */
void desk_backfill(struct desk *desk, const json_t *arguments, const struct web_caller *caller, struct asker asker)
{
	const char *dag = desk_text(arguments, "dag");
	struct store_new_backfill *backfill;
	struct errand *errand;
	struct err err;

	(void)caller;
	if (dag == NULL || desk_text(arguments, "from") == NULL || desk_text(arguments, "to") == NULL) {
		refuse(&asker, ERR_INVALID, "a backfill needs 'dag', 'from' and 'to'");
		return;
	}
	errand = new_errand(desk, asker, dag, true);
	backfill = &errand->backfill;
	*backfill = (struct store_new_backfill){
		.dag = errand->name,
		.from = copy_text(errand, arguments, "from"),
		.to = copy_text(errand, arguments, "to"),
		.max_active = (int)json_integer_value(json_object_get(arguments, "max_active")),
		.again = json_is_true(json_object_get(arguments, "again")),
		.actor = errand->asker.actor,
		.origin = errand->asker.origin,
		.wall_ms = clock_wall_ms(),
	};
	if (backfill->max_active < 1)
		backfill->max_active = 1;
	if (desk_assignments(json_object_get(arguments, "params"), &errand->arena,
			     (const char ***)(uintptr_t)&backfill->assignments, &backfill->assignments_count,
			     &err) < 0)
		end_errand(errand, NULL, &err);
	else
		run_errand(errand, write_backfill, on_backfill);
}

/* --- drain ---------------------------------------------------------------------------------------------- */

static int write_drain(struct store *store, void *context, struct err *err)
{
	struct errand *errand = context;

	return (errand->on ? store_drain_worker : store_undrain_worker)(store, errand->name, errand->asker.actor,
									errand->asker.origin, clock_wall_ms(), err);
}

/* The engine sees it in the database a moment later, whoever wrote it. */
static void on_drained(void *context, const struct err *err)
{
	struct errand *errand = context;

	end_errand(errand,
		   err->code != ERR_OK ? NULL : json_pack("{s:s, s:b}", "worker", errand->name, "draining", errand->on),
		   err);
}

static void drain_or_not(struct desk *desk, const json_t *arguments, struct asker asker, bool on)
{
	const struct settings *settings = desk->parts.settings;
	const char *name = desk_text(arguments, "worker");
	struct suggest near = suggest_for(name == NULL ? "" : name);
	struct err err;

	if (name != NULL && settings_find(settings, name) != NULL) {
		run_errand(new_errand(desk, asker, name, on), write_drain, on_drained);
		return;
	}
	for (size_t i = 0; i < settings->workers_count; i++)
		suggest_offer(&near, settings->workers[i].name, NULL);
	if (suggest_best(&near) != NULL)
		err_set(&err, ERR_NOT_FOUND, "there is no worker '%s'; did you mean '%s'?", name, suggest_best(&near));
	else
		err_set(&err, ERR_NOT_FOUND, "there is no worker '%s'", name == NULL ? "" : name);
	asker_refuse(&asker, &err);
}

void desk_drain(struct desk *desk, const json_t *arguments, const struct web_caller *caller, struct asker asker)
{
	(void)caller;
	drain_or_not(desk, arguments, asker, true);
}

void desk_undrain(struct desk *desk, const json_t *arguments, const struct web_caller *caller, struct asker asker)
{
	(void)caller;
	drain_or_not(desk, arguments, asker, false);
}

/* --- reload --------------------------------------------------------------------------------------------- */

static int write_reloaded(struct store *store, void *context, struct err *err)
{
	struct errand *errand = context;

	return store_add_event(store, "daemon.reloaded", errand->asker.actor, errand->asker.origin, "",
			       clock_wall_ms(), err);
}

static void on_reloaded(void *context, const struct err *err)
{
	struct errand *errand = context;
	const struct desk_parts *parts = &errand->desk->parts;
	json_t *answer = NULL;
	struct err failed = *err;

	if (failed.code == ERR_OK && parts->reload(parts->context, &answer, &failed) == 0)
		failed.code = ERR_OK;
	end_errand(errand, answer, &failed);
}

void desk_reload(struct desk *desk, const json_t *arguments, const struct web_caller *caller, struct asker asker)
{
	(void)arguments;
	(void)caller;
	run_errand(new_errand(desk, asker, "", true), write_reloaded, on_reloaded);
}
