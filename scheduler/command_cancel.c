#include <inttypes.h>
#include <stdio.h>
#include <time.h>

#include "common/clock.h"
#include "common/mem.h"
#include "common/scope.h"
#include "scheduler/command.h"
#include "scheduler/foreground.h"
#include "scheduler/handover.h"
#include "scheduler/owner.h"

enum { LOOK_MS = 100 };

/* What cancel needs to know of a run. */
struct target {
	uint64_t run;
	char *dag;
	uint64_t number;
	enum run_state state;
};

static int look(struct store *store, struct target *target, struct err *err)
{
	struct run *run;

	if (store_load_run(store, target->run, &run, err) < 0)
		return err->code;
	free(target->dag);
	target->dag = mem_strdup(run->row.dag);
	target->number = run->row.number;
	target->state = run->row.state;
	run_free(run);
	return 0;
}

/* Until it has ended, or whoever drove it has. */
static int wait_for_end(struct store *store, struct target *target, struct err *err)
{
	while (owner_is_alive(store->home, target->dag, target->number, NULL)) {
		if (look(store, target, err) < 0)
			return command_fail(err);
		if (machine_ended(run_states, target->state))
			break;
		nanosleep(&(struct timespec){ .tv_nsec = LOOK_MS * 1000000 }, NULL);
	}
	if (look(store, target, err) < 0)
		return command_fail(err);
	fprintf(stderr, "stoker: %s/%" PRIu64 " %s\n", target->dag, target->number,
		machine_ended(run_states, target->state) ? run_states[target->state].name
							 : "was left by its driver; cancel it again");
	return machine_ended(run_states, target->state) ? COMMAND_DONE : COMMAND_FAILED;
}

/* Another process drives it: ask, and wait. */
static int ask_driver(struct store *store, struct target *target, bool now, int64_t pid, struct arena *arena,
		      struct err *err)
{
	if (store_add_request(store, target->run, now ? "cancel-now" : "cancel", command_actor(arena),
			      command_origin(arena), clock_wall_ms(), err) < 0)
		return command_fail(err);
	fprintf(stderr,
		"stoker: asked the driver of %s/%" PRIu64 " (pid %" PRId64 ") to cancel it; waiting\n",
		target->dag, target->number, pid);
	return wait_for_end(store, target, err);
}

static int cancel(const char *name, const char *config, bool now, struct arena *arena)
{
	struct foreground how = { .verb = FOREGROUND_CANCEL, .now = now, .owner = -1 };
	autosettings struct settings *settings = NULL;
	autostore struct store *store = NULL;
	struct target target = { 0 };
	const char *home;
	struct err err;
	int64_t pid = 0;
	int status, rc;
	bool open;

	if (command_load_settings(config, &settings) != 0)
		return COMMAND_USAGE;
	how.settings = settings;
	if (store_home(arena, &home, &err) < 0 || store_open(home, &store, &err) < 0 ||
	    command_find_run(store, name, &target.run, &err) < 0 || look(store, &target, &err) < 0)
		return command_fail(&err);
	how.actor = command_actor(arena);
	how.origin = command_origin(arena);
	open = !machine_ended(run_states, target.state);
	rc = open ? handover_cancel(home, name, now, &err) : 0;
	if (rc < 0)
		status = command_fail(&err);
	else if (rc == 1)
		status = wait_for_end(store, &target, &err);
	else if (open && owner_is_alive(home, target.dag, target.number, &pid))
		status = ask_driver(store, &target, now, pid, arena, &err);
	else
		status = foreground_drive(take(store), target.run, &how);
	free(target.dag);
	return status;
}

static int cancel_command(int argc, char **argv)
{
	static const struct option options[] = {
		{ "config", required_argument, NULL, 'C' },
		{ "now", no_argument, NULL, 'n' },
		{ NULL, 0, NULL, 0 },
	};
	const char *config = NULL;
	struct arena arena;
	bool now = false;
	int option, status;

	while ((option = command_option(&command_cancel, argc, argv, "", options)) != -1) {
		if (option == 'n')
			now = true;
		else if (option == 'C')
			config = optarg;
		else
			return COMMAND_USAGE;
	}
	if (optind + 1 != argc)
		return command_usage(&command_cancel, "which run? It looks like digits/3");
	arena_init(&arena);
	status = cancel(argv[optind], config, now, &arena);
	arena_fini(&arena);
	return status;
}

const struct command command_cancel = {
	.name = "cancel",
	.synopsis = "RUN [--now] [--config FILE]",
	.summary = "stop a run: its steps are asked to stop, then ended",
	.help = "Asks the steps of RUN to stop (stop file and SIGTERM), waits for their grace, ends what is\n"
		"left, and returns when nothing of the run is alive. An orphaned run is taken up to do so.\n"
		"\n"
		"      --now           without grace\n"
		"      --config FILE   the settings, in place of the usual stoker.yaml\n",
	.main = cancel_command,
};
