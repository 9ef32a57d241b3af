/*
 * main.c - picks the subcommand from a table
 */
#include <stdio.h>
#include <string.h>

#include "common/scope.h"
#include "config.h"
#include "dag/suggest.h"
#include "scheduler/command.h"

/* In the order in which `stoker --help` lists them: as one meets them. */
static const struct command *const commands[] = {
	&command_validate,
	&command_run,
	&command_serve,
	&command_trigger,
	&command_list,
	&command_next,
	&command_status,
	&command_runs,
	&command_why,
	&command_logs,
	&command_cancel,
	&command_retry,
	&command_pause,
	&command_unpause,
	&command_backfill,
	&command_checkpoints,
	&command_events,
	&command_workers,
	&command_pools,
	&command_token,
	&command_backup,
	&command_gc,
	&command_doctor,
};

static void print_help(FILE *out)
{
	fputs("stoker keeps training going through the night.\n"
	      "\n"
	      "usage: stoker COMMAND [ARGUMENTS]\n"
	      "\n",
	      out);
	for (size_t i = 0; i < COUNT_OF(commands); i++)
		fprintf(out, "  %-12s %s\n", commands[i]->name, commands[i]->summary);
	fputs("\n"
	      "`stoker help COMMAND` tells more about each, stoker(1) about all of it.\n"
	      "A run is named <dag>/<number>, as in digits/3. The state is kept in $STOKER_HOME,\n"
	      "else in ~/.local/state/stoker.\n",
	      out);
}

static void print_command_help(const struct command *command)
{
	printf("usage: stoker %s %s\n\n%s", command->name, command->synopsis, command->help);
}

static const struct command *find_command(const char *name)
{
	for (size_t i = 0; i < COUNT_OF(commands); i++)
		if (strcmp(commands[i]->name, name) == 0)
			return commands[i];
	return NULL;
}

static int refuse_command(const char *name)
{
	struct suggest suggest = suggest_for(name);
	const char *best;

	for (size_t i = 0; i < COUNT_OF(commands); i++)
		suggest_offer(&suggest, commands[i]->name, NULL);
	best = suggest_best(&suggest);
	fprintf(stderr, "stoker: there is no command '%s'", name);
	fprintf(stderr, best == NULL ? "; `stoker --help` lists them\n" : "; did you mean '%s'?\n", best);
	return COMMAND_USAGE;
}

static int help(int argc, char **argv)
{
	const struct command *command;

	if (argc < 2) {
		print_help(stdout);
		return command_end_output();
	}
	command = find_command(argv[1]);
	if (command == NULL)
		return refuse_command(argv[1]);
	print_command_help(command);
	return command_end_output();
}

static bool is_help(const char *word)
{
	return strcmp(word, "--help") == 0 || strcmp(word, "-h") == 0;
}

/* --help wherever it stands, but not behind a `--`. */
static bool asks_for_help(int argc, char **argv)
{
	for (int i = 1; i < argc && strcmp(argv[i], "--") != 0; i++)
		if (is_help(argv[i]))
			return true;
	return false;
}

int main(int argc, char **argv)
{
	const struct command *command;

	if (argc < 2) {
		print_help(stderr);
		return COMMAND_USAGE;
	}
	if (strcmp(argv[1], "--version") == 0 || strcmp(argv[1], "-V") == 0) {
		puts("stoker " PACKAGE_VERSION);
		return command_end_output();
	}
	if (strcmp(argv[1], "help") == 0)
		return help(argc - 1, argv + 1);
	if (is_help(argv[1])) {
		print_help(stdout);
		return command_end_output();
	}
	command = find_command(argv[1]);
	if (command == NULL)
		return refuse_command(argv[1]);
	if (asks_for_help(argc - 1, argv + 1)) {
		print_command_help(command);
		return command_end_output();
	}
	return command->main(argc - 1, argv + 1);
}
