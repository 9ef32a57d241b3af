/*
 * handover.h - what a command has the daemon do, when there is one
 *
 * Two processes that drive runs of one state do not count each other's pools and slots: so whatever the daemon can do is
 * left to it.
 *
 * Each returns 1 when the daemon did it, 0 when there is none, and a negative code when it refused.
 */
#ifndef SCHEDULER_HANDOVER_H
#define SCHEDULER_HANDOVER_H

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>

#include "common/arena.h"
#include "common/err.h"

/* Makes a run of a file, or of the DAG of that name; its name is put into `arena`. */
int handover_run(const char *home, const char *target, const char *const *assignments, size_t count,
		 struct arena *arena, const char **run_out, struct err *err);

int handover_cancel(const char *home, const char *run, bool now, struct err *err);

/* `from` NULL: what did not succeed. *answer_out: see WEB_RETRY in web/source.h. */
int handover_retry(const char *home, const char *run, const char *from, bool dry_run, json_t **answer_out,
		   struct err *err);

/*
 * Shows the run until it has ended; Ctrl-C has the daemon cancel it. Returns the exit status of the command.
 */
int handover_watch(const char *home, const char *run);

#endif
