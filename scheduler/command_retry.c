#include <jansson.h>
#include <string.h>

#include "common/scope.h"
#include "scheduler/command.h"
#include "scheduler/foreground.h"
#include "scheduler/handover.h"
#include "scheduler/listing.h"
#include "scheduler/retry_plan.h"
#include "scheduler/table.h"
#include "scheduler/terminal.h"
#include "scheduler/view.h"

struct arguments {
	const char *run;
	const char *from;
	const char *config;
	bool failed; /* what did not succeed: that is so without it, too */
	bool dry_run;
	bool json;
};

static int read_arguments(int argc, char **argv, struct arguments *out)
{
	static const struct option options[] = {
		{ "config", required_argument, NULL, 'C' }, { "from", required_argument, NULL, 'f' },
		{ "failed", no_argument, NULL, 'F' },	    { "dry-run", no_argument, NULL, 'n' },
		{ "json", no_argument, NULL, 'j' },	    { NULL, 0, NULL, 0 },
	};
	int option;

	while ((option = command_option(&command_retry, argc, argv, "n", options)) != -1) {
		if (option == '?')
			return COMMAND_USAGE;
		if (option == 'f')
			out->from = optarg;
		if (option == 'C')
			out->config = optarg;
		out->failed |= option == 'F';
		out->dry_run |= option == 'n';
		out->json |= option == 'j';
	}
	if (optind + 1 != argc)
		return command_usage(&command_retry, "which run? It looks like digits/3");
	if (out->from != NULL && out->failed)
		return command_usage(&command_retry, "either --from STEP or --failed");
	if (out->json && !out->dry_run)
		return command_usage(&command_retry, "--json goes with --dry-run");
	out->run = argv[optind];
	return 0;
}

/* --- what it would do ----------------------------------------------------------------------------------- */

static const struct table_column plan_columns[] = { { .heading = "TASK" }, { .heading = "STATE" }, { .heading = "DOES" } };

static void print_plan(const json_t *tasks)
{
	autotable struct table table = { 0 };

	table_init(&table, plan_columns, COUNT_OF(plan_columns));
	for (size_t i = 0; i < json_array_size(tasks); i++) {
		const json_t *task = json_array_get(tasks, i);
		const char *from = json_string_value(json_object_get(task, "from_checkpoint"));

		table_text(&table, TERMINAL_PLAIN, listing_text(task, "task"));
		listing_add_state(&table, listing_text(task, "state"));
		table_printf(&table, TERMINAL_PLAIN, "%s%s%s", listing_text(task, "does"), from == NULL ? "" : " from ",
			     from == NULL ? "" : from);
	}
	table_print(&table, stdout);
}

static int show_plan(const struct arguments *arguments, json_t *answer)
{
	if (arguments->json)
		listing_print_json(answer);
	else
		print_plan(json_object_get(answer, "tasks"));
	return command_end_output();
}

/* Without a daemon: from the state as it is. */
static int preview(const struct arguments *arguments, struct store *store, uint64_t id)
{
	autojson json_t *answer = NULL;
	struct run *run;
	struct err err;
	uint32_t step;
	int from = -1;

	if (arguments->from != NULL) {
		if (view_find_task(store, id, arguments->from, &step, &err) < 0)
			return command_fail(&err);
		from = (int)step;
	}
	if (store_load_run(store, id, &run, &err) < 0)
		return command_fail(&err);
	answer = json_pack("{s:s, s:s, s:o}", "run", arguments->run, "state", run_states[run->row.state].name, "tasks",
			   retry_plan(run, from));
	run_free(run);
	return show_plan(arguments, answer);
}

/* --- doing it ------------------------------------------------------------------------------------------- */

/* 1: the daemon did, and *status_out is the command's; 0: there is none. */
static int hand_over(const struct arguments *arguments, const char *home, int *status_out)
{
	autojson json_t *answer = NULL;
	struct err err;
	int rc = handover_retry(home, arguments->run, arguments->from, arguments->dry_run, &answer, &err);

	if (rc == 0)
		return 0;
	if (rc < 0)
		*status_out = command_fail(&err);
	else if (arguments->dry_run)
		*status_out = show_plan(arguments, answer);
	else
		*status_out = handover_watch(home, arguments->run);
	return 1;
}

static int here(const struct arguments *arguments, const char *home, const struct settings *settings,
		struct arena *arena)
{
	struct foreground how = { .verb = FOREGROUND_RETRY, .owner = -1, .from_step = arguments->from };
	autostore struct store *store = NULL;
	struct err err;
	uint64_t run;

	if ((arguments->dry_run ? store_open_reader : store_open)(home, &store, &err) < 0 ||
	    command_find_run(store, arguments->run, &run, &err) < 0)
		return command_fail(&err);
	if (arguments->dry_run)
		return preview(arguments, store, run);
	how.settings = settings;
	how.actor = command_actor(arena);
	how.origin = command_origin(arena);
	return foreground_drive(take(store), run, &how);
}

static int retry_command(int argc, char **argv)
{
	__attribute__((cleanup(arena_fini))) struct arena arena = { 0 };
	autosettings struct settings *settings = NULL;
	struct arguments arguments = { 0 };
	const char *home;
	struct err err;
	int status = read_arguments(argc, argv, &arguments);

	if (status == 0)
		status = command_load_settings(arguments.config, &settings);
	if (status != 0)
		return status;
	if (store_home(&arena, &home, &err) < 0)
		return command_fail(&err);
	if (hand_over(&arguments, home, &status) == 1)
		return status;
	return here(&arguments, home, settings, &arena);
}

const struct command command_retry = {
	.name = "retry",
	.synopsis = "RUN [--from STEP | --failed] [--dry-run [--json]] [--config FILE]",
	.summary = "run again what did not succeed, or from a step on, and keep the rest",
	.help = "Runs again, in the same run, the tasks that did not succeed. They resume from their\n"
		"newest good checkpoint. The daemon does it where there is one; its progress is shown here.\n"
		"\n"
		"      --from STEP     run STEP and everything behind it again, also where it succeeded\n"
		"                      (such a task starts from zero)\n"
		"      --failed        what did not succeed: the same as without --from\n"
		"  -n, --dry-run       only tell which tasks would run, resume, or be kept\n"
		"      --json          that for scripts\n"
		"      --config FILE   the settings, in place of the usual stoker.yaml\n",
	.main = retry_command,
};
