/*
 * daemon.h - `stoker serve`: the parts, on one loop, for months
 *
 *   catalog (DAG files) --> trigger (due times) --> queue (whose turn it is) --> engine (core, store, workers)
 *   desk (what people ask for) --------------------^
 *   web (API and page) asks the desk to change things, and a reader of the store for what there is
 *
 * Signals: SIGTERM and SIGINT stop it and leave steps running, SIGHUP reads settings and DAGs again. Everything that
 * goes on can be taken up by the next daemon, of this version or a later one.
 *
 * The service manager is told when it is ready. Its watchdog is fed only after a pass of the scheduler whose outcome went
 * through the writer's thread and came back.
 */
#ifndef SCHEDULER_DAEMON_H
#define SCHEDULER_DAEMON_H

#include <stdbool.h>

#include "scheduler/settings.h"

struct daemon_options {
	const char *config; /* the file that was named; NULL: the usual ones */
	bool log_json;
	bool debug;
};

/* Takes the settings over. Returns the exit status of the command. */
int daemon_serve(struct settings *settings, const struct daemon_options *options);

#endif
