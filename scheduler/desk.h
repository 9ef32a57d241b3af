/*
 * desk.h - what people ask of the daemon: trigger, cancel, retry, pause, and the like
 *
 * Arguments and answers are JSON objects, as web/source.h says for each verb. An answer means that what was asked for is
 * on disk, with who asked for it in the audit trail.
 *
 * Ownership: everything in struct desk_parts outlives the desk; `settings` may be replaced by desk_use.
 * Errors:    told to the one who asks: ERR_INVALID, ERR_NOT_FOUND (with what was probably meant), ERR_BUSY, ERR_FULL ...
 */
#ifndef SCHEDULER_DESK_H
#define SCHEDULER_DESK_H

#include <uv.h>

#include "scheduler/engine.h"
#include "scheduler/queue.h"
#include "scheduler/registry.h"
#include "scheduler/settings.h"
#include "web/source.h"

struct desk_parts {
	uv_loop_t *loop;
	const char *home;
	struct engine *engine;
	struct queue *queue;
	struct registry *registry;
	const struct settings *settings;
	/* A DAG was paused, or is not any more: its schedules are to be looked at again. */
	void (*on_paused)(void *context, const char *dag, bool paused);
	/* A backfill was begun: its first runs are to be made. */
	void (*on_backfill)(void *context, int64_t id);
	/* A run was made. */
	void (*on_made)(void *context, uint64_t run, const char *name);
	/* Reads the settings and all DAG files again: {"dags": n, "problems": [...]}. */
	int (*reload)(void *context, json_t **answer_out, struct err *err);
	void *context;
};

struct desk;

struct desk *desk_new(const struct desk_parts *parts);
void desk_use(struct desk *desk, const struct settings *settings);
void desk_free(struct desk *desk); /* after the loop has run out; NULL is harmless */

/* Calls `done` exactly once, on the loop. */
void desk_change(struct desk *desk, enum web_verb verb, const json_t *arguments, const struct web_caller *caller,
		 web_done *done, void *done_context);

#endif
