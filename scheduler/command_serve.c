#include <stdlib.h>

#include "common/scope.h"
#include "scheduler/command.h"
#include "scheduler/daemon.h"

static int serve_command(int argc, char **argv)
{
	static const struct option options[] = {
		{ "config", required_argument, NULL, 'C' },
		{ "log-json", no_argument, NULL, 'j' },
		{ NULL, 0, NULL, 0 },
	};
	struct daemon_options how = { .debug = getenv("STOKER_DEBUG") != NULL };
	struct settings *settings;
	int option;

	while ((option = command_option(&command_serve, argc, argv, "", options)) != -1) {
		if (option == 'C')
			how.config = optarg;
		else if (option == 'j')
			how.log_json = true;
		else
			return COMMAND_USAGE;
	}
	if (optind < argc)
		return command_usage(&command_serve, "it takes no arguments: the DAGs are those of the DAG folder");
	if (command_load_settings(how.config, &settings) != 0)
		return COMMAND_USAGE;
	return daemon_serve(settings, &how);
}

const struct command command_serve = {
	.name = "serve",
	.synopsis = "[--config FILE] [--log-json]",
	.summary = "the daemon: starts each DAG when it is due, and takes what you trigger",
	.help = "Runs until it is told to stop. The DAGs are the files of the DAG folder (`dags` in\n"
		"stoker.yaml, else ~/.config/stoker/dags); they are picked up, changed and removed while it\n"
		"runs. It writes its log to standard error.\n"
		"\n"
		"      --config FILE   the settings, in place of the usual stoker.yaml\n"
		"      --log-json      the log as JSON, an object a line\n"
		"\n"
		"SIGHUP (or a changed file) makes it read settings and DAGs again; SIGTERM stops it and leaves\n"
		"running steps alone: the next daemon takes them over. A second daemon on the same state is\n"
		"refused.\n",
	.main = serve_command,
};
