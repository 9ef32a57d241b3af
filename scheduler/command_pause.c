#include <stdio.h>

#include "common/clock.h"
#include "scheduler/command.h"
#include "scheduler/store_due.h"
#include "scheduler/view.h"

/* A state folder is not made for a DAG that nobody knows. */
static int find_dag(const char *dag, struct err *err)
{
	autostore struct store *store = NULL;
	int rc = command_open_reader(&store, err);

	return rc < 0 ? rc : view_find_dag(store, dag, err);
}

static int change(const char *dag, bool pause, bool *changed_out, struct arena *arena, struct err *err)
{
	autostore struct store *store = NULL;
	const char *home;
	int rc = find_dag(dag, err);

	if (rc == 0)
		rc = store_home(arena, &home, err);
	if (rc == 0)
		rc = store_open(home, &store, err);
	if (rc < 0)
		return rc;
	return (pause ? store_pause : store_unpause)(store, dag, command_actor(arena), command_origin(arena),
						     clock_wall_ms(), changed_out, err);
}

static int pause_or_unpause(const struct command *command, bool pause, int argc, char **argv)
{
	__attribute__((cleanup(arena_fini))) struct arena arena = { 0 };
	static const struct option options[] = { { NULL, 0, NULL, 0 } };
	bool changed;
	struct err err;

	if (command_option(command, argc, argv, "", options) != -1)
		return COMMAND_USAGE;
	if (argc - optind != 1)
		return command_usage(command, "which DAG?");
	if (change(argv[optind], pause, &changed, &arena, &err) < 0)
		return command_fail(&err);
	fprintf(stderr, "stoker: %s %s %s\n", argv[optind], changed ? "is now" : "was already",
		pause ? "paused: what is due is skipped" : "in force: what is due runs");
	return COMMAND_DONE;
}

static int pause_command(int argc, char **argv)
{
	return pause_or_unpause(&command_pause, true, argc, argv);
}

static int unpause_command(int argc, char **argv)
{
	return pause_or_unpause(&command_unpause, false, argc, argv);
}

const struct command command_pause = {
	.name = "pause",
	.synopsis = "DAG",
	.summary = "let the due times of a DAG pass without a run",
	.help = "The schedules of DAG start no run until it is unpaused: each due time is recorded as\n"
		"skipped. What goes on or waits goes on, and runs are started by hand as ever.\n",
	.main = pause_command,
};

const struct command command_unpause = {
	.name = "unpause",
	.synopsis = "DAG",
	.summary = "put the schedules of a paused DAG in force again",
	.help = "The schedules of DAG start runs again. Nothing is made up for what was due while it was\n"
		"paused; `stoker backfill` does that.\n",
	.main = unpause_command,
};
