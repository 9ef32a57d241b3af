#include "common/scope.h"
#include "scheduler/command.h"
#include "scheduler/foreground.h"

static int retry(const char *name, const char *config, struct foreground *how, struct arena *arena)
{
	autosettings struct settings *settings = NULL;
	struct store *store;
	const char *home;
	struct err err;
	uint64_t run;

	if (command_load_settings(config, &settings) != 0)
		return COMMAND_USAGE;
	how->settings = settings;
	if (store_home(arena, &home, &err) < 0 || store_open(home, &store, &err) < 0)
		return command_fail(&err);
	if (command_find_run(store, name, &run, &err) < 0) {
		store_close(store);
		return command_fail(&err);
	}
	how->actor = command_actor(arena);
	how->origin = command_origin(arena);
	return foreground_drive(store, run, how);
}

static int retry_command(int argc, char **argv)
{
	static const struct option options[] = {
		{ "config", required_argument, NULL, 'C' },
		{ "from", required_argument, NULL, 'f' },
		{ NULL, 0, NULL, 0 },
	};
	struct foreground how = { .verb = FOREGROUND_RETRY, .owner = -1 };
	const char *config = NULL;
	struct arena arena;
	int option, status;

	while ((option = command_option(&command_retry, argc, argv, "", options)) != -1) {
		if (option == 'f')
			how.from_step = optarg;
		else if (option == 'C')
			config = optarg;
		else
			return COMMAND_USAGE;
	}
	if (optind + 1 != argc)
		return command_usage(&command_retry, "which run? It looks like digits/3");
	arena_init(&arena);
	status = retry(argv[optind], config, &how, &arena);
	arena_fini(&arena);
	return status;
}

const struct command command_retry = {
	.name = "retry",
	.synopsis = "RUN [--from STEP] [--config FILE]",
	.summary = "run again what did not succeed, or from a step on, and keep the rest",
	.help = "Runs again, in the same run, the tasks that did not succeed. They resume from their\n"
		"newest good checkpoint.\n"
		"\n"
		"      --from STEP   run STEP and everything behind it again, also where it succeeded\n"
		"                    (such a task starts from zero)\n"
		"      --config FILE the settings, in place of the usual stoker.yaml\n",
	.main = retry_command,
};
