/*
 * control.h - what the page, the API and the command line ask the daemon: fills the table of web/source.h
 *
 * Reads are views of stores of its own, with what only the daemon knows: the files of the registry, and when each DAG is
 * due. Short ones are made on the loop's thread, with `reader`; the others by the server's thread, with `aside_reader`.
 * Changes are the daemon's (desk.h).
 *
 *   control = control_new(reader, aside_reader, settings, registry, &desk);
 *   web_settings = control_web_settings(settings, path, have_tokens);
 *   web_open(loop, &web_settings, control_source(control), &web, &err);
 *
 * For /metrics it counts what ended from the audit trail, and what it is told of by control_count_*; counters begin at
 * zero with the daemon, as Prometheus expects.
 *
 * Ownership: the readers, settings, registry and desk are the caller's and outlive it.
 */
#ifndef SCHEDULER_CONTROL_H
#define SCHEDULER_CONTROL_H

#include "scheduler/attempt.h"
#include "scheduler/registry.h"
#include "scheduler/settings.h"
#include "scheduler/store.h"
#include "web/source.h"
#include "web/web.h"

struct metrics;

struct control_desk {
	/* A change: see enum web_verb for its arguments and what it answers. */
	void (*change)(void *context, enum web_verb verb, const json_t *arguments, const struct web_caller *caller,
		       web_done *done, void *done_context);
	/* WEB_HEALTH: {"ok": true, "problems": ["the last commit was 40 s ago"]}; WEB_POOLS. */
	int (*read)(void *context, enum web_read what, const struct web_query *query, json_t **out, struct err *err);
	/* How busy a worker is, told when; false: that is not known. May be NULL. */
	bool (*load)(void *context, const char *worker, struct load *out, int64_t *wall_ms_out);
	/* Samples that only the daemon has: time of a pass, of a commit. May be NULL. */
	void (*metrics)(void *context, struct metrics *out);
	void *context;
};

struct control;

/* `registry` may be NULL: then no DAG has a file. */
struct control *control_new(struct store *reader, struct store *aside_reader, const struct settings *settings, const struct registry *registry,
			    const struct control_desk *desk);
void control_free(struct control *control); /* NULL is harmless */

/* The settings were read again. */
void control_set_settings(struct control *control, const struct settings *settings);

/* A time zone tells other times than before. */
void control_renew_zones(struct control *control);

/* What the registry knows is different. */
void control_files_changed(struct control *control);

const struct web_source *control_source(const struct control *control);

/* An attempt ended so; a run waited so long to be taken up; a due time was met so late; a start took so long. */
void control_count_attempt(struct control *control, enum attempt_state state, enum reason reason);
void control_count_queued(struct control *control, int64_t waited_ms);
void control_count_due(struct control *control, int64_t late_ms);
void control_count_start(struct control *control, int64_t took_ms);

/* What the settings say of the server, as it takes it; it points into them. `control_path` is the caller's. */
struct web_settings control_web_settings(const struct settings *settings, const char *control_path,
					 bool have_tokens);

#endif
