/*
 * root.h - the agent's folder on this machine: made, probed, listed, tidied
 *
 * Paths are relative to the current folder, which root_open makes the root.
 */
#ifndef EXECUTOR_AGENT_ROOT_H
#define EXECUTOR_AGENT_ROOT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/arena.h"
#include "common/err.h"
#include "executor/agent/spare.h"

/*
 * Creates it where it is not there, and tries whether files can be made in it. A full disk is borne when
 * attempts are here, for what they left must be fetched: then 0 with the complaint in `warning_out`.
 */
int root_open(const char *path, struct arena *arena, char **absolute_out, const char **warning_out,
	      struct err *err);

/* The names in a folder that begin with `prefix`, sorted, in `arena`. */
size_t root_list(struct arena *arena, const char *folder, const char *prefix, char ***names_out);

/*
 * Removes an attempt that left a log of about so many bytes; a big one in a child of this process. Its folder
 * is kept among the spares where it can be (`closed`: as for spare_keep_attempt).
 */
void root_remove_attempt(const char *name, uint64_t log_bytes, bool closed, struct spares *spares);

/* What killed agents left half made or half removed. */
void root_remove_leftovers(struct arena *arena);

/* Task folders whose name begins with `prefix` and that hold no checkpoint. */
void root_remove_empty_tasks(struct arena *arena, const char *prefix);

#endif
