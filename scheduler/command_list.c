#include <inttypes.h>
#include <string.h>

#include "common/clock.h"
#include "common/scope.h"
#include "scheduler/command.h"
#include "scheduler/listing.h"
#include "scheduler/view.h"
#include "scheduler/view_dags.h"

enum { RUNS = 1, RUNS_JSON = 10 }; /* of each DAG */

struct arguments {
	const char *config;
	bool json;
};

static int read_arguments(int argc, char **argv, struct arguments *out)
{
	static const struct option options[] = {
		{ "config", required_argument, NULL, 'C' },
		{ "json", no_argument, NULL, 'j' },
		{ NULL, 0, NULL, 0 },
	};
	int option;

	while ((option = command_option(&command_list, argc, argv, "", options)) != -1) {
		if (option == 'C')
			out->config = optarg;
		else if (option == 'j')
			out->json = true;
		else
			return COMMAND_USAGE;
	}
	return optind < argc ? command_usage(&command_list, "it takes no argument") : 0;
}

/* What keeps it from running: a pause, a broken file; else its schedules. */
static void add_note(struct table *table, const json_t *dag)
{
	const char *problem = listing_text(dag, "problem"), *paused_by = listing_text(dag, "paused_by");
	json_t *schedules = json_object_get(dag, "schedules"), *schedule;
	autobuf struct buf text = { 0 };
	size_t i;

	if (problem[0] != '\0') {
		table_printf(table, TERMINAL_RED, "%.*s", (int)strcspn(problem, "\n"), problem);
		return;
	}
	if (paused_by[0] != '\0') {
		table_printf(table, TERMINAL_YELLOW, "paused by %s", paused_by);
		return;
	}
	json_array_foreach(schedules, i, schedule)
		buf_printf(&text, "%s%s %s", i == 0 ? "" : ", ", listing_text(schedule, "cron"),
			   listing_text(schedule, "timezone"));
	table_text(table, TERMINAL_DIM, buf_text(&text));
}

static void add_row(struct table *table, const json_t *dag, int64_t now_ms)
{
	const json_t *last = json_array_get(json_object_get(dag, "latest"), 0);
	bool paused = json_is_true(json_object_get(dag, "paused"));
	int64_t started_ms = listing_time(last, "started");

	table_text(table, TERMINAL_PLAIN, listing_text(dag, "dag"));
	if (last == NULL)
		table_text(table, TERMINAL_PLAIN, "-");
	else
		table_printf(table, TERMINAL_PLAIN, "%s/%" PRId64, listing_text(dag, "dag"),
			     listing_number(last, "number"));
	listing_add_state(table, last == NULL ? "" : listing_run_state(last));
	listing_add_when(table, started_ms == 0 ? listing_time(last, "created") : started_ms, now_ms);
	listing_add_when(table, paused ? 0 : listing_time(dag, "next_start"), now_ms);
	add_note(table, dag);
}

static void print_table(const json_t *answer)
{
	static const struct table_column columns[] = { { "DAG" }, { "LAST" }, { "STATE" },
						       { "WHEN" }, { "NEXT" }, { "SCHEDULE" } };
	json_t *dags = json_object_get(answer, "dags"), *dag;
	int64_t now_ms = clock_wall_ms();
	autotable struct table table;
	size_t i;

	table_init(&table, columns, COUNT_OF(columns));
	json_array_foreach(dags, i, dag) add_row(&table, dag, now_ms);
	if (i == 0)
		puts("no DAGs");
	else
		table_print(&table, stdout);
}

/* A state folder that is not there yet holds no DAGs, which is an answer and no error. */
static int read_list(const struct settings *settings, int runs, json_t **out, struct err *err)
{
	autozones struct zones *zones = zones_new(settings->timezone);
	autostore struct store *store = NULL;
	int rc = command_open_reader(&store, err);

	if (rc == ERR_NOT_FOUND) {
		*out = json_pack("{s:[]}", "dags");
		return 0;
	}
	return rc < 0 ? rc : view_dags_known(store, zones, runs, clock_wall_ms(), out, err);
}

static int list(int argc, char **argv)
{
	struct arguments arguments = { 0 };
	autosettings struct settings *settings = NULL;
	autojson json_t *answer = NULL;
	struct err err;
	int status = read_arguments(argc, argv, &arguments);

	if (status == 0)
		status = command_load_settings(arguments.config, &settings);
	if (status != 0)
		return status;
	if (read_list(settings, arguments.json ? RUNS_JSON : RUNS, &answer, &err) < 0)
		return command_fail(&err);
	if (arguments.json)
		listing_print_json(answer);
	else
		print_table(answer);
	return command_end_output();
}

const struct command command_list = {
	.name = "list",
	.synopsis = "[--config FILE] [--json]",
	.summary = "which DAGs there are, how their last run went, when the next is due",
	.help = "Lists the DAGs that are known: those of the DAG folder, and those that ever ran. What is\n"
		"wrong with a file, or who paused a DAG, stands in place of its schedules.\n"
		"\n"
		"      --config FILE   the settings, in place of the usual stoker.yaml\n"
		"      --json          for scripts\n",
	.main = list,
};
