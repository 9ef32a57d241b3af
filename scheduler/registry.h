/*
 * registry.h - the DAGs in force: the files of the DAG folders, read again whenever they change
 *
 * A place is a folder, whose *.yaml and *.yml files are DAGs (not those of folders in it), or a single file. Changes are
 * noticed at once (inotify) and by looking every REGISTRY_LOOK_MS, which also sees what inotify cannot (a link whose
 * target changed, a network file system).
 *
 * A file that does not validate harms nobody else: its last good version stays in force, also the one of an earlier
 * daemon (`recall`), and its error is kept beside it. A file that is gone takes its DAG out of force. Of two files that
 * define a DAG of one name the first, by path, wins; the other one has an error.
 *
 * Ownership: a struct registry_dag is counted: whoever keeps one longer than the call holds it (registry_hold).
 */
#ifndef SCHEDULER_REGISTRY_H
#define SCHEDULER_REGISTRY_H

#include <stdbool.h>
#include <stddef.h>
#include <uv.h>

#include "common/arena.h"
#include "dag/dag.h"

enum { REGISTRY_LOOK_MS = 10000, REGISTRY_SETTLE_MS = 50, REGISTRY_FILES_MAX = 10000, REGISTRY_PLACES_MAX = 64 };

struct registry_dag {
	struct dag *dag;
	int holders;
};

struct registry_dag *registry_hold(struct registry_dag *dag);
void registry_release(struct registry_dag *dag); /* NULL is harmless */

/* A file of the DAG folders. */
struct registry_file {
	const char *path;
	struct registry_dag *good; /* in force; NULL: nothing is */
	const char *error;	   /* its diagnostics, as `stoker validate` prints them; NULL: the file is good */
	bool changed;		   /* since on_changed was called last */
};

struct registry_handler {
	/* Something is different: walk registry_files. */
	void (*on_changed)(void *context);
	/* The last good version of `path` that somebody remembers; the registry's from then on. NULL: none. */
	struct dag *(*recall)(void *context, const char *path);
};

struct registry;

/* Nothing is read before registry_start. */
struct registry *registry_new(uv_loop_t *loop, const struct registry_handler *handler, void *context);

/* Looks at these places, now and from now on, in place of those before. Texts are copied. */
void registry_start(struct registry *registry, const char *const *places, size_t count);

/* Reads every file again, whether it seems changed or not. */
void registry_reload(struct registry *registry);

/* All files, sorted by path; valid until the loop goes on. */
const struct registry_file *registry_files(const struct registry *registry, size_t *count_out);

/* The DAG in force by that name, or NULL. */
struct registry_dag *registry_find(const struct registry *registry, const char *name);

void registry_stop(struct registry *registry); /* closes its handles */
void registry_free(struct registry *registry); /* after the loop has run out; NULL is harmless */

#endif
