#include "common/clock.h"
#include "common/scope.h"
#include "scheduler/command.h"
#include "scheduler/listing.h"
#include "scheduler/view.h"

enum { LIMIT_UNLESS_SAID = 20 };

struct arguments {
	struct view_page page;
	bool json;
};

static int read_arguments(int argc, char **argv, struct arguments *out)
{
	static const struct option options[] = {
		{ "limit", required_argument, NULL, 'n' },
		{ "state", required_argument, NULL, 's' },
		{ "json", no_argument, NULL, 'j' },
		{ NULL, 0, NULL, 0 },
	};
	int64_t limit = LIMIT_UNLESS_SAID;
	int option;

	while ((option = command_option(&command_runs, argc, argv, "n:", options)) != -1) {
		if (option == 'n' && !command_number(optarg, 1, VIEW_LIMIT_MAX, &limit))
			return command_usage(&command_runs, "--limit is a number from 1 to %d, not '%s'",
					     VIEW_LIMIT_MAX, optarg);
		else if (option == 's')
			out->page.state = optarg;
		else if (option == 'j')
			out->json = true;
		else if (option == '?')
			return COMMAND_USAGE;
	}
	if (argc - optind > 1)
		return command_usage(&command_runs, "one DAG at a time");
	out->page.dag = argv[optind];
	out->page.limit = (int)limit;
	return 0;
}

static void print_table(const json_t *answer)
{
	json_t *runs = json_object_get(answer, "runs"), *run;
	int64_t now_wall_ms = clock_wall_ms();
	autotable struct table table;
	size_t i;

	table_init(&table, listing_run_columns, LISTING_RUN_COLUMNS);
	json_array_foreach(runs, i, run) listing_add_run(&table, run, now_wall_ms);
	if (i == 0)
		puts("no runs");
	else
		table_print(&table, stdout);
}

/* A state folder that is not there yet holds no runs, which is an answer and no error. */
static int read_runs(const struct view_page *page, json_t **out, struct err *err)
{
	autostore struct store *store = NULL;
	int rc = command_open_reader(&store, err);

	if (rc == ERR_NOT_FOUND && page->dag == NULL) {
		*out = json_pack("{s:[], s:n}", "runs", "next");
		return 0;
	}
	return rc < 0 ? rc : view_runs(store, page, out, err);
}

static int runs(int argc, char **argv)
{
	struct arguments arguments = { 0 };
	autojson json_t *answer = NULL;
	struct err err;
	int status = read_arguments(argc, argv, &arguments);

	if (status != 0)
		return status;
	if (read_runs(&arguments.page, &answer, &err) < 0)
		return command_fail(&err);
	if (arguments.json)
		listing_print_json(answer);
	else
		print_table(answer);
	return command_end_output();
}

const struct command command_runs = {
	.name = "runs",
	.synopsis = "[DAG] [-n N] [--state STATE] [--json]",
	.summary = "what ran, newest first",
	.help = "Lists runs, newest first; with DAG only its own.\n"
		"\n"
		"  -n, --limit N       at most N of them (20)\n"
		"      --state STATE   only queued, running, succeeded, failed or canceled ones\n"
		"      --json          for scripts\n",
	.main = runs,
};
