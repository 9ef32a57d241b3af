#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/clock.h"
#include "common/mem.h"
#include "common/scope.h"
#include "dag/dag.h"
#include "dag/diagnostic.h"
#include "scheduler/command.h"
#include "scheduler/fitness.h"
#include "scheduler/foreground.h"
#include "scheduler/handover.h"
#include "scheduler/listing.h"
#include "scheduler/owner.h"
#include "scheduler/params.h"
#include "scheduler/source.h"
#include "scheduler/view.h"

struct arguments {
	const char *target; /* file, or the run to resume */
	const char **assignments;
	size_t assignments_count;
	size_t assignments_room;
	const char *config;
	bool resume;
	bool here;
};

static int read_arguments(int argc, char **argv, struct arguments *out)
{
	static const struct option options[] = {
		{ "config", required_argument, NULL, 'C' },
		{ "here", no_argument, NULL, 'h' },
		{ "param", required_argument, NULL, 'p' },
		{ "resume", required_argument, NULL, 'r' },
		{ NULL, 0, NULL, 0 },
	};
	int option;

	while ((option = command_option(&command_run, argc, argv, "p:", options)) != -1) {
		if (option == 'p') {
			mem_grow(&out->assignments, &out->assignments_room, out->assignments_count,
				 sizeof(char *));
			out->assignments[out->assignments_count++] = optarg;
		} else if (option == 'r') {
			out->resume = true;
			out->target = optarg;
		} else if (option == 'C') {
			out->config = optarg;
			out->here = true; /* the daemon has settings of its own */
		} else if (option == 'h') {
			out->here = true;
		} else {
			return COMMAND_USAGE;
		}
	}
	if (out->resume && (optind < argc || out->assignments_count > 0))
		return command_usage(
			&command_run,
			"--resume goes on with a run as it is: it takes no file and no parameters");
	if (out->resume)
		return 0;
	if (optind + 1 != argc)
		return command_usage(&command_run, optind == argc ? "which file?" : "one file at a time");
	out->target = argv[optind];
	return 0;
}

static int load_file(const char *path, struct dag **dag_out)
{
	struct diagnostics diagnostics;
	int rc;

	diagnostics_init(&diagnostics);
	rc = dag_load(path, dag_out, &diagnostics);
	diagnostics_print(&diagnostics, stderr, command_color(stderr));
	diagnostics_fini(&diagnostics);
	return rc;
}

static int check_file(const char *path)
{
	struct dag *dag;

	if (load_file(path, &dag) < 0)
		return COMMAND_USAGE;
	dag_free(dag);
	return 0;
}

/* What hangs together for a run that is being made: it is owned before anybody can see it. */
struct ownership {
	const char *home;
	int fd;
};

static int own(void *context, const char *dag, uint64_t number, struct err *err)
{
	struct ownership *ownership = context;

	return owner_take(ownership->home, dag, number, &ownership->fd, err);
}

/* A run works with the files as they are now, whatever becomes of them. */
static int take_source(const struct dag *dag, const char *home, struct arena *arena, struct source *out,
		       struct err *err)
{
	const char *folder = dag->source;

	if (folder == NULL)
		return 0;
	if (folder[0] != '/')
		folder = arena_printf(arena, "%s/%s", dag->dir, folder);
	if (source_take(folder, home, arena, out, err) < 0)
		return err->code;
	for (size_t i = 0; i < out->notes_count; i++)
		fprintf(stderr, "stoker: source: %s\n", out->notes[i]);
	return 0;
}

static int create(struct store *store, const struct dag *dag, const char *params, const struct source *source,
		  struct arena *arena, uint64_t *run_out, int *owner_out, struct err *err)
{
	struct ownership ownership = { .home = store->home, .fd = -1 };
	const struct store_new_run new_run = {
		.dag = dag,
		.params = params,
		.source = source->digest,
		.source_bytes = source->bytes,
		.at_once = true,
		.trigger = "manual",
		.actor = command_actor(arena),
		.origin = command_origin(arena),
		.wall_ms = clock_wall_ms(),
		.before_commit = own,
		.context = &ownership,
	};
	int rc = store_create_run(store, &new_run, run_out, err);

	if (rc < 0 && ownership.fd >= 0)
		close(ownership.fd);
	else
		*owner_out = ownership.fd;
	return rc;
}

static int open_store(struct arena *arena, struct store **store_out, struct err *err)
{
	const char *home;

	if (store_home(arena, &home, err) < 0)
		return err->code;
	return store_open(home, store_out, err);
}

static int run_new_one(const struct arguments *arguments, const struct settings *settings,
		       struct arena *arena, struct store **store_out, uint64_t *run_out, int *owner_out)
{
	struct dag *dag;
	autofree char *params = NULL;
	struct source source = { .digest = "" };
	struct err err;
	int rc;

	if (load_file(arguments->target, &dag) < 0)
		return COMMAND_USAGE;
	if (params_json(dag, arguments->assignments, arguments->assignments_count, &params, &err) < 0 ||
	    fitness_check(dag, settings, &err) < 0) {
		dag_free(dag);
		command_fail(&err);
		return COMMAND_USAGE; /* whatever is not found here was given by the user */
	}
	rc = open_store(arena, store_out, &err);
	if (rc == 0)
		rc = take_source(dag, (*store_out)->home, arena, &source, &err);
	if (rc == 0)
		rc = create(*store_out, dag, params, &source, arena, run_out, owner_out, &err);
	dag_free(dag);
	return rc < 0 ? command_fail(&err) : 0;
}

static int find_old_one(const struct arguments *arguments, struct arena *arena, struct store **store_out,
			uint64_t *run_out)
{
	struct err err;

	if (open_store(arena, store_out, &err) < 0 ||
	    command_find_run(*store_out, arguments->target, run_out, &err) < 0)
		return command_fail(&err);
	return 0;
}

/* Takes up a run, or tries one again that has ended: the daemon does either. */
static int resume_by_daemon(const char *home, const char *name, bool ended)
{
	autojson json_t *answer = NULL;
	struct err err;
	int rc = ended ? handover_retry(home, name, NULL, false, &answer, &err) : 1;

	return rc < 0 ? command_fail(&err) : handover_watch(home, name);
}

static int find_state(const char *home, const char *name, bool *ended_out, struct err *err)
{
	autostore struct store *store = NULL;
	autojson json_t *row = NULL;
	uint64_t id;
	int rc = store_open_reader(home, &store, err);

	if (rc == 0)
		rc = command_find_run(store, name, &id, err);
	if (rc == 0)
		rc = view_run_alone(store, id, &row, err);
	if (rc == 0)
		*ended_out = machine_ended(run_states, (unsigned)machine_find(run_states, RUN_STATES,
									      listing_text(row, "state")));
	return rc;
}

/* 1: the daemon drives it, and *status_out is the command's; 0: there is none. */
static int hand_over(const struct arguments *arguments, struct arena *arena, int *status_out)
{
	const char *home, *run;
	struct err err;
	bool ended = false;
	int rc;

	if (arguments->here || store_home(arena, &home, &err) < 0 || !owner_daemon_is_alive(home, NULL))
		return 0;
	if (arguments->resume) {
		*status_out = find_state(home, arguments->target, &ended, &err) < 0
				      ? command_fail(&err)
				      : resume_by_daemon(home, arguments->target, ended);
		return 1;
	}
	if (access(arguments->target, F_OK) == 0 && check_file(arguments->target) != 0) {
		*status_out = COMMAND_USAGE; /* its mistakes are told here, with their lines */
		return 1;
	}
	rc = handover_run(home, arguments->target, arguments->assignments, arguments->assignments_count, arena, &run,
			  &err);
	if (rc == 0)
		return 0;
	*status_out = rc < 0 ? command_fail(&err) : handover_watch(home, run);
	return 1;
}

static int run_here(const struct arguments *arguments, struct arena *arena)
{
	struct foreground how = { .verb = FOREGROUND_GO, .owner = -1 };
	autosettings struct settings *settings = NULL;
	struct store *store = NULL;
	uint64_t run = 0;
	int status = command_load_settings(arguments->config, &settings);

	if (status == 0)
		status = arguments->resume
				 ? find_old_one(arguments, arena, &store, &run)
				 : run_new_one(arguments, settings, arena, &store, &run, &how.owner);
	if (status == 0) {
		how.settings = settings;
		how.actor = command_actor(arena);
		how.origin = command_origin(arena);
		status = foreground_drive(take(store), run, &how);
	}
	store_close(store);
	return status;
}

static int run_command(int argc, char **argv)
{
	struct arguments arguments = { 0 };
	struct arena arena;
	int status;

	arena_init(&arena);
	status = read_arguments(argc, argv, &arguments);
	if (status == 0 && hand_over(&arguments, &arena, &status) == 0)
		status = run_here(&arguments, &arena);
	free(arguments.assignments);
	arena_fini(&arena);
	return status;
}

const struct command command_run = {
	.name = "run",
	.synopsis = "FILE|DAG [-p NAME=VALUE]... | --resume RUN [--here] [--config FILE]",
	.summary = "run a DAG now, with its progress on the terminal",
	.help = "Runs the DAG in FILE until it has ended: on this machine, and where steps name a\n"
		"`worker`, on the machines of stoker.yaml. It takes no daemon; where there is one, that\n"
		"drives the run, in turn with its others, and the progress is shown here. Then DAG may also\n"
		"be the name of one that it has.\n"
		"\n"
		"  -p, --param NAME=VALUE   set a parameter (repeat for more)\n"
		"      --resume RUN         take up a run that was left, or run again what did not\n"
		"                           succeed in one that ended; RUN looks like digits/3\n"
		"      --here               by this process, also where there is a daemon\n"
		"      --config FILE        the settings, in place of the usual stoker.yaml; implies --here\n"
		"\n"
		"Ctrl-C asks the steps to stop, waits until they have saved their state, and ends with\n"
		"130; a second Ctrl-C stops them at once. SIGTERM and SIGHUP leave the steps running:\n"
		"the run is orphaned until --resume, or a daemon, takes it up. Exit status: 0 succeeded, 1 failed,\n"
		"2 invalid input, 130 canceled.\n",
	.main = run_command,
};
