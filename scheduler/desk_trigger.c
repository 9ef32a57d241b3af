/*
 * desk_trigger.c - makes runs that somebody asks for
 *
 *   check the parameters --> take the snapshot of the source (on a thread) --> write the run (on the writer's)
 *
 * What can be refused is refused before anything is made.
 */
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "common/clock.h"
#include "common/mem.h"
#include "common/scope.h"
#include "dag/diagnostic.h"
#include "dag/suggest.h"
#include "scheduler/crash.h"
#include "scheduler/desk_parts.h"
#include "scheduler/fitness.h"
#include "scheduler/params.h"
#include "scheduler/source.h"

/* A run on its way into the database. */
struct submission {
	struct desk *desk;
	struct asker asker;
	struct arena arena;
	struct registry_dag *held; /* of the registry; NULL: `own` */
	struct dag *own;	   /* of a file that was named */
	const struct dag *dag;
	char *params;
	bool at_once;
	uv_work_t work;
	struct source source;
	struct writer_job job;
	uint64_t run;
	uint64_t number;
	struct err err;
};

static void free_submission(struct submission *submission)
{
	registry_release(submission->held);
	dag_free(submission->own);
	free(submission->params);
	arena_fini(&submission->arena);
	free(submission);
}

static void refuse(struct submission *submission, const struct err *err)
{
	asker_refuse(&submission->asker, err);
	free_submission(submission);
}

/* --- writing -------------------------------------------------------------------------------------------- */

static int note_number(void *context, const char *dag, uint64_t number, struct err *err)
{
	struct submission *submission = context;

	(void)dag;
	(void)err;
	submission->number = number;
	return 0;
}

static int write_run(struct store *store, void *context, struct err *err)
{
	struct submission *submission = context;
	const struct store_new_run new_run = {
		.dag = submission->dag,
		.params = submission->params,
		.trigger = "manual",
		.actor = submission->asker.actor,
		.origin = submission->asker.origin,
		.source = submission->source.digest,
		.source_bytes = submission->source.bytes,
		.at_once = submission->at_once,
		.wall_ms = clock_wall_ms(),
		.before_commit = note_number,
		.context = submission,
	};

	return store_create_run(store, &new_run, &submission->run, err);
}

static void on_run_written(void *context, const struct err *err)
{
	struct submission *submission = context;
	struct desk *desk = submission->desk;
	autofree char *name = mem_printf("%s/%" PRIu64, submission->dag->name, submission->number);
	json_t *answer;

	if (err->code != ERR_OK) {
		refuse(submission, err);
		return;
	}
	answer = desk_run_answer(name, run_states[RUN_QUEUED].name);
	if (submission->source.notes_count > 0) {
		json_t *notes = json_array();

		for (size_t i = 0; i < submission->source.notes_count; i++)
			json_array_append_new(notes, json_string(submission->source.notes[i]));
		json_object_set_new(answer, "notes", notes);
	}
	crash_at(CRASH_run_made);
	desk->parts.on_made(desk->parts.context, submission->run, name);
	asker_answer(&submission->asker, answer);
	free_submission(submission);
	queue_look(desk->parts.queue);
}

static void write_it(struct submission *submission)
{
	submission->job = (struct writer_job){
		.write = write_run,
		.done = on_run_written,
		.context = submission,
	};
	engine_write(submission->desk->parts.engine, &submission->job);
}

/* --- the snapshot --------------------------------------------------------------------------------------- */

static void take_snapshot(uv_work_t *work)
{
	struct submission *submission = work->data;
	const struct dag *dag = submission->dag;
	const char *folder = dag->source;

	if (folder[0] != '/')
		folder = arena_printf(&submission->arena, "%s/%s", dag->dir, folder);
	submission->err.code = ERR_OK;
	source_take(folder, submission->desk->parts.home, &submission->arena, &submission->source,
		    &submission->err);
}

static void on_snapshot(uv_work_t *work, int status)
{
	struct submission *submission = work->data;

	(void)status;
	if (submission->err.code != ERR_OK)
		refuse(submission, &submission->err);
	else
		write_it(submission);
}

/* --- what is asked for ---------------------------------------------------------------------------------- */

static int no_such_dag(const struct registry *registry, const char *name, struct err *err)
{
	struct suggest near = suggest_for(name);
	size_t count;
	const struct registry_file *files = registry_files(registry, &count);

	for (size_t i = 0; i < count; i++)
		if (files[i].good != NULL)
			suggest_offer(&near, files[i].good->dag->name, NULL);
	if (suggest_best(&near) != NULL)
		return err_set(err, ERR_NOT_FOUND, "there is no DAG '%s'; did you mean '%s'?", name,
			       suggest_best(&near));
	return err_set(err, ERR_NOT_FOUND, "there is no DAG '%s' in the DAG folder; `stoker list` shows those there are",
		       name);
}

static int load_file(const char *path, struct dag **dag_out, struct err *err)
{
	autodiagnostics struct diagnostics diagnostics;

	diagnostics_init(&diagnostics);
	if (dag_load(path, dag_out, &diagnostics) == 0)
		return 0;
	diagnostics_sort(&diagnostics);
	if (diagnostics.count == 0)
		return err_set(err, ERR_INVALID, "%s is no valid DAG", path);
	return err_set(err, ERR_INVALID, "%s:%u:%u: %s (%zu %s; `stoker validate %s` shows all)", path,
		       diagnostics.items[0].at.line, diagnostics.items[0].at.column, diagnostics.items[0].message,
		       diagnostics.errors, diagnostics.errors == 1 ? "mistake" : "mistakes", path);
}

/* A file is for those who are on this machine: it is read with the daemon's rights. */
static int find_dag(struct submission *submission, const json_t *arguments, const struct web_caller *caller,
		    struct err *err)
{
	const struct desk_parts *parts = &submission->desk->parts;
	const char *name = desk_text(arguments, "dag"), *file = desk_text(arguments, "file");
	struct registry_dag *found;

	if (file != NULL) {
		if (!caller->local)
			return err_set(err, ERR_DENIED, "a file can be run over the control socket only");
		if (file[0] != '/')
			return err_set(err, ERR_INVALID, "'%.200s' is not an absolute path", file);
		if (load_file(file, &submission->own, err) < 0)
			return err->code;
		submission->dag = submission->own;
		return 0;
	}
	if (name == NULL)
		return err_set(err, ERR_INVALID, "which DAG?");
	found = registry_find(parts->registry, name);
	if (found == NULL)
		return no_such_dag(parts->registry, name, err);
	submission->held = registry_hold(found);
	submission->dag = found->dag;
	return 0;
}

static int check(struct submission *submission, const json_t *arguments, const struct web_caller *caller,
		 struct err *err)
{
	const char **assignments;
	size_t count;

	if (find_dag(submission, arguments, caller, err) < 0 ||
	    desk_assignments(json_object_get(arguments, "params"), &submission->arena, &assignments, &count, err) < 0 ||
	    params_json(submission->dag, assignments, count, &submission->params, err) < 0 ||
	    fitness_check(submission->dag, submission->desk->parts.settings, err) < 0)
		return err->code;
	submission->at_once = json_is_true(json_object_get(arguments, "at_once"));
	return 0;
}

void desk_trigger(struct desk *desk, const json_t *arguments, const struct web_caller *caller, struct asker asker)
{
	struct submission *submission = mem_zalloc(sizeof *submission);
	struct err err;

	submission->desk = desk;
	submission->asker = asker;
	arena_init(&submission->arena);
	if (check(submission, arguments, caller, &err) < 0) {
		refuse(submission, &err);
	} else if (submission->dag->source != NULL) {
		submission->work.data = submission;
		uv_queue_work(desk->parts.loop, &submission->work, take_snapshot, on_snapshot);
	} else {
		write_it(submission);
	}
}
