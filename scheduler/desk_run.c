/*
 * desk_run.c - changes runs that there are: cancel, retry
 */
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "common/clock.h"
#include "common/mem.h"
#include "common/scope.h"
#include "scheduler/desk_parts.h"
#include "scheduler/retry_plan.h"
#include "scheduler/view.h"

/* An answer that is given once what was decided is on disk. */
struct promise {
	struct asker asker;
	struct engine_wait wait;
	struct writer_job job;
	json_t *answer;
	uint64_t run;
	const char *verb;
};

static void on_kept(void *context, const struct err *err)
{
	struct promise *promise = context;

	if (err->code == ERR_OK) {
		asker_answer(&promise->asker, promise->answer);
	} else {
		json_decref(promise->answer);
		asker_refuse(&promise->asker, err);
	}
	free(promise);
}

static struct promise *new_promise(struct asker asker, uint64_t run, json_t *answer)
{
	struct promise *promise = mem_zalloc(sizeof *promise);

	promise->asker = asker;
	promise->run = run;
	promise->answer = answer;
	promise->wait = (struct engine_wait){ .done = on_kept, .context = promise };
	return promise;
}

/* What there is to know of the run that is named; its state is NULL-terminated in `state`. */
static int find_run(struct desk *desk, const json_t *arguments, uint64_t *run_out, json_t **row_out,
		    struct err *err)
{
	struct store *store = engine_reader(desk->parts.engine);
	const char *name = desk_text(arguments, "run");

	if (name == NULL)
		return err_set(err, ERR_INVALID, "which run?");
	if (view_find_run(store, name, run_out, err) < 0)
		return err->code;
	return view_run_alone(store, *run_out, row_out, err);
}

/* --- cancel --------------------------------------------------------------------------------------------- */

static int write_request(struct store *store, void *context, struct err *err)
{
	struct promise *promise = context;

	return store_add_request(store, promise->run, promise->verb, promise->asker.actor, promise->asker.origin,
				 clock_wall_ms(), err);
}

/* Another process drives it, or is about to: it is asked. */
static void ask_driver(struct desk *desk, struct promise *promise, bool now)
{
	promise->verb = now ? "cancel-now" : "cancel";
	promise->job = (struct writer_job){ .write = write_request, .done = on_kept, .context = promise };
	engine_write(desk->parts.engine, &promise->job);
}

void desk_cancel(struct desk *desk, const json_t *arguments, const struct web_caller *caller, struct asker asker)
{
	autojson json_t *row = NULL;
	bool now = json_is_true(json_object_get(arguments, "now"));
	const char *name, *state;
	struct promise *promise;
	struct err err;
	uint64_t run;

	(void)caller;
	if (find_run(desk, arguments, &run, &row, &err) < 0) {
		asker_refuse(&asker, &err);
		return;
	}
	name = desk_text(row, "run");
	state = desk_text(row, "state");
	promise = new_promise(asker, run, desk_run_answer(name, state));
	if (engine_find_run(desk->parts.engine, run) != NULL) {
		engine_cancel(desk->parts.engine, run, now, asker.actor, asker.origin);
		engine_when_stored(desk->parts.engine, &promise->wait);
	} else if (strcmp(state, run_states[RUN_QUEUED].name) == 0) {
		json_object_set_new(promise->answer, "state", json_string(run_states[RUN_CANCELED].name));
		queue_cancel(desk->parts.queue, run, asker.actor, asker.origin, on_kept, promise);
	} else if (strcmp(state, run_states[RUN_RUNNING].name) == 0) {
		ask_driver(desk, promise, now);
	} else { /* it has ended: there is nothing to do, and that is what was wanted */
		on_kept(promise, &(struct err){ .code = ERR_OK });
	}
}

/* --- retry ---------------------------------------------------------------------------------------------- */

static int find_from(struct desk *desk, uint64_t run, const json_t *arguments, int *step_out, struct err *err)
{
	const char *from = desk_text(arguments, "from");
	uint32_t step;

	*step_out = -1;
	if (from == NULL)
		return 0;
	if (view_find_task(engine_reader(desk->parts.engine), run, from, &step, err) < 0)
		return err->code;
	*step_out = (int)step;
	return 0;
}

static int refuse_state(const char *name, const char *state, struct err *err)
{
	return err_set(err, ERR_EXISTS, "%s is %s: it can be tried again once it has ended (`stoker cancel %s` ends it)",
		       name, state, name);
}

/* Nothing failed, and no step was named. */
static bool has_nothing_to_do(const char *state, int from_step)
{
	return from_step < 0 && strcmp(state, run_states[RUN_SUCCEEDED].name) == 0;
}

static int check_retry(struct desk *desk, const json_t *arguments, uint64_t *run_out, json_t **row_out,
		       int *from_out, struct err *err)
{
	const char *name, *state;

	if (find_run(desk, arguments, run_out, row_out, err) < 0)
		return err->code;
	name = desk_text(*row_out, "run");
	state = desk_text(*row_out, "state");
	if (strcmp(state, run_states[RUN_QUEUED].name) == 0 || strcmp(state, run_states[RUN_RUNNING].name) == 0 ||
	    engine_find_run(desk->parts.engine, *run_out) != NULL)
		return refuse_state(name, state, err);
	if (find_from(desk, *run_out, arguments, from_out, err) < 0)
		return err->code;
	if (has_nothing_to_do(state, *from_out))
		return err_set(err, ERR_EXISTS,
			       "%s has succeeded already: there is nothing to do (from a step on: `--from STEP`)",
			       name);
	return 0;
}

static int preview(struct desk *desk, uint64_t id, int from_step, json_t *answer, struct err *err)
{
	struct run *run;

	if (store_load_run(engine_reader(desk->parts.engine), id, &run, err) < 0)
		return err->code;
	json_object_set_new(answer, "tasks", retry_plan(run, from_step));
	run_free(run);
	return 0;
}

static int begin_retry(struct desk *desk, uint64_t id, int from_step, const struct asker *asker, json_t *answer,
		       struct err *err)
{
	const struct run *run;

	if (queue_reopen(desk->parts.queue, id, &run, err) < 0)
		return err->code;
	json_object_set_new(answer, "tasks", retry_plan(run, from_step));
	json_object_set_new(answer, "state", json_string(run_states[RUN_RUNNING].name));
	engine_retry(desk->parts.engine, id, from_step, asker->actor, asker->origin);
	engine_kick(desk->parts.engine);
	return 0;
}

void desk_retry(struct desk *desk, const json_t *arguments, const struct web_caller *caller, struct asker asker)
{
	autojson json_t *row = NULL;
	bool dry_run = json_is_true(json_object_get(arguments, "dry_run"));
	json_t *answer;
	struct err err;
	uint64_t run;
	int from_step = -1, rc;

	(void)caller;
	if (check_retry(desk, arguments, &run, &row, &from_step, &err) < 0) {
		asker_refuse(&asker, &err);
		return;
	}
	answer = desk_run_answer(desk_text(row, "run"), desk_text(row, "state"));
	rc = dry_run ? preview(desk, run, from_step, answer, &err)
		     : begin_retry(desk, run, from_step, &asker, answer, &err);
	if (rc < 0) {
		json_decref(answer);
		asker_refuse(&asker, &err);
	} else if (dry_run) {
		asker_answer(&asker, answer);
	} else {
		engine_when_stored(desk->parts.engine, &new_promise(asker, run, answer)->wait);
	}
}
