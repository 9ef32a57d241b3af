#include <inttypes.h>
#include <stdlib.h>

#include "common/clock.h"
#include "common/mem.h"
#include "common/scope.h"
#include "scheduler/command.h"
#include "scheduler/listing.h"
#include "scheduler/store_backfill.h"
#include "scheduler/view.h"
#include "scheduler/view_due.h"

enum { PLAN_MAX = 100000, LIST_MAX = 50 };

enum verb { START, PLAN, LIST, CANCEL };

struct arguments {
	enum verb verb;
	struct store_new_backfill wanted;
	const char **assignments;
	size_t assignments_room;
	int64_t id; /* to be canceled */
	const char *config;
	bool json;
};

static int take_option(int option, struct arguments *out)
{
	int64_t number;

	switch (option) {
	case 'F':
		out->wanted.from = optarg;
		return 0;
	case 'T':
		out->wanted.to = optarg;
		return 0;
	case 'm':
		if (!command_number(optarg, 1, STORE_BACKFILL_ACTIVE_MAX, &number))
			return command_usage(&command_backfill, "--max-active is a number from 1 to %d, not '%s'",
					     STORE_BACKFILL_ACTIVE_MAX, optarg);
		out->wanted.max_active = (int)number;
		return 0;
	case 'p':
		mem_grow(&out->assignments, &out->assignments_room, out->wanted.assignments_count,
			 sizeof *out->assignments);
		out->assignments[out->wanted.assignments_count++] = optarg;
		return 0;
	case 'a':
		out->wanted.again = true;
		return 0;
	case 'n':
		out->verb = PLAN;
		return 0;
	case 'l':
		out->verb = LIST;
		return 0;
	case 'c':
		out->verb = CANCEL;
		if (!command_number(optarg, 1, INT64_MAX, &out->id))
			return command_usage(&command_backfill, "--cancel takes the number of a backfill, not '%s'",
					     optarg);
		return 0;
	case 'C':
		out->config = optarg;
		return 0;
	case 'j':
		out->json = true;
		return 0;
	default:
		return COMMAND_USAGE;
	}
}

static int check_arguments(int argc, char **argv, struct arguments *out)
{
	bool makes = out->verb == START || out->verb == PLAN;

	if (argc - optind > 1 || (out->verb == CANCEL && argc > optind))
		return command_usage(&command_backfill, out->verb == CANCEL ? "--cancel takes no DAG"
									    : "one DAG at a time");
	if (makes && argc == optind)
		return command_usage(&command_backfill, "which DAG?");
	if (makes && (out->wanted.from == NULL || out->wanted.to == NULL))
		return command_usage(&command_backfill, "from when to when? --from and --to take dates, as 2026-03-29");
	out->wanted.dag = argv[optind];
	out->wanted.assignments = out->assignments;
	return 0;
}

static int read_arguments(int argc, char **argv, struct arguments *out)
{
	static const struct option options[] = {
		{ "from", required_argument, NULL, 'F' },      { "to", required_argument, NULL, 'T' },
		{ "max-active", required_argument, NULL, 'm' }, { "param", required_argument, NULL, 'p' },
		{ "again", no_argument, NULL, 'a' },	       { "dry-run", no_argument, NULL, 'n' },
		{ "list", no_argument, NULL, 'l' },	       { "cancel", required_argument, NULL, 'c' },
		{ "config", required_argument, NULL, 'C' },    { "json", no_argument, NULL, 'j' },
		{ NULL, 0, NULL, 0 },
	};
	int option;

	out->wanted.max_active = 1;
	while ((option = command_option(&command_backfill, argc, argv, "p:n", options)) != -1)
		if (take_option(option, out) != 0)
			return COMMAND_USAGE;
	return check_arguments(argc, argv, out);
}

/* --- what would run ------------------------------------------------------------------------------------- */

static void print_plan(const json_t *answer)
{
	static const struct table_column columns[] = { { "DUE" }, { "SCHEDULE" }, { "DOES" }, { "RUN" } };
	json_t *list = json_object_get(answer, "due"), *one;
	autotable struct table table;
	size_t i;

	table_init(&table, columns, COUNT_OF(columns));
	json_array_foreach(list, i, one)
	{
		const char *run = listing_text(one, "run");

		table_text(&table, TERMINAL_PLAIN, listing_text(one, "local"));
		table_text(&table, TERMINAL_DIM, listing_text(one, "cron"));
		table_text(&table, TERMINAL_PLAIN, listing_text(one, "does"));
		table_text(&table, TERMINAL_PLAIN, run[0] == '\0' ? "-" : run);
	}
	if (i > 0)
		table_print(&table, stdout);
	printf("%" PRId64 " would run, %" PRId64 " would be left out%s\n", listing_number(answer, "runs"),
	       listing_number(answer, "left_out"),
	       json_is_true(json_object_get(answer, "more")) ? "; there are more" : "");
}

static int plan(const struct arguments *arguments, const struct settings *settings, struct err *err)
{
	autozones struct zones *zones = zones_new(settings->timezone);
	autostore struct store *store = NULL;
	autojson json_t *answer = NULL;

	if (command_open_reader(&store, err) < 0 || view_find_dag(store, arguments->wanted.dag, err) < 0 ||
	    view_backfill_plan(store, zones, &arguments->wanted, PLAN_MAX, &answer, err) < 0)
		return command_fail(err);
	if (arguments->json)
		listing_print_json(answer);
	else
		print_plan(answer);
	return command_end_output();
}

/* --- those there are ------------------------------------------------------------------------------------ */

static void print_backfills(const json_t *answer)
{
	static const struct table_column columns[] = { { "BACKFILL", .right = true }, { "DAG" }, { "FROM" },
						       { "TO" }, { "STATE" }, { "RUNS", .right = true },
						       { "FAILED", .right = true }, { "LEFT OUT", .right = true },
						       { "BY" } };
	json_t *list = json_object_get(answer, "backfills"), *one;
	autotable struct table table;
	size_t i;

	table_init(&table, columns, COUNT_OF(columns));
	json_array_foreach(list, i, one)
	{
		table_printf(&table, TERMINAL_PLAIN, "%" PRId64, listing_number(one, "backfill"));
		table_text(&table, TERMINAL_PLAIN, listing_text(one, "dag"));
		table_text(&table, TERMINAL_PLAIN, listing_text(one, "from"));
		table_text(&table, TERMINAL_PLAIN, listing_text(one, "to"));
		listing_add_state(&table, listing_text(one, "state"));
		table_printf(&table, TERMINAL_PLAIN, "%" PRId64, listing_number(one, "made"));
		table_printf(&table, TERMINAL_PLAIN, "%" PRId64,
			     listing_number(json_object_get(one, "runs"), "failed"));
		table_printf(&table, TERMINAL_PLAIN, "%" PRId64, listing_number(one, "left_out"));
		table_text(&table, TERMINAL_PLAIN, listing_text(one, "actor"));
	}
	if (i == 0)
		puts("no backfills");
	else
		table_print(&table, stdout);
}

static int list(const struct arguments *arguments, struct err *err)
{
	autostore struct store *store = NULL;
	autojson json_t *answer = NULL;

	if (command_open_reader(&store, err) < 0 ||
	    view_backfills(store, arguments->wanted.dag, LIST_MAX, &answer, err) < 0)
		return command_fail(err);
	if (arguments->json)
		listing_print_json(answer);
	else
		print_backfills(answer);
	return command_end_output();
}

/* --- changes -------------------------------------------------------------------------------------------- */

/* Only where there is a state folder: a DAG that can be made up for is known there. */
static int open_store(struct arena *arena, struct store **store_out, struct err *err)
{
	autostore struct store *reader = NULL;
	const char *home;
	int rc = command_open_reader(&reader, err);

	if (rc == 0)
		rc = store_home(arena, &home, err);
	return rc < 0 ? rc : store_open(home, store_out, err);
}

static int start(struct arguments *arguments, const struct settings *settings, struct arena *arena,
		 struct err *err)
{
	autostore struct store *store = NULL;
	int64_t id;

	arguments->wanted.actor = command_actor(arena);
	arguments->wanted.origin = command_origin(arena);
	if (open_store(arena, &store, err) < 0 || view_find_dag(store, arguments->wanted.dag, err) < 0 ||
	    store_start_backfill(store, &arguments->wanted, settings->timezone, &id, err) < 0)
		return command_fail(err);
	if (arguments->json)
		printf("{\"backfill\": %" PRId64 "}\n", id);
	else
		printf("%" PRId64 "\n", id);
	fprintf(stderr, "stoker: backfill %" PRId64 " is recorded; `stoker serve` makes its runs\n", id);
	return command_end_output();
}

static int cancel(const struct arguments *arguments, struct arena *arena, struct err *err)
{
	autostore struct store *store = NULL;

	if (open_store(arena, &store, err) < 0 ||
	    store_cancel_backfill(store, arguments->id, command_actor(arena), command_origin(arena),
				  clock_wall_ms(), err) < 0)
		return command_fail(err);
	return COMMAND_DONE;
}

static int backfill(int argc, char **argv)
{
	__attribute__((cleanup(arena_fini))) struct arena arena = { 0 };
	autosettings struct settings *settings = NULL;
	struct arguments arguments = { .wanted.wall_ms = clock_wall_ms() };
	struct err err;
	int status = read_arguments(argc, argv, &arguments);

	if (status == 0)
		status = command_load_settings(arguments.config, &settings);
	if (status == 0)
		switch (arguments.verb) {
		case START:
			status = start(&arguments, settings, &arena, &err);
			break;
		case PLAN:
			status = plan(&arguments, settings, &err);
			break;
		case LIST:
			status = list(&arguments, &err);
			break;
		case CANCEL:
			status = cancel(&arguments, &arena, &err);
			break;
		}
	free(arguments.assignments);
	return status;
}

const struct command command_backfill = {
	.name = "backfill",
	.synopsis = "DAG --from DAY --to DAY [OPTION]... | --list [DAG] | --cancel N",
	.summary = "make up for due times of a DAG that have passed",
	.help = "Makes a run for each due time of the schedules of DAG from one day to another, both\n"
		"included, oldest first. Left out are those that have a run that succeeded, or goes on. It\n"
		"survives restarts, and keeps to the DAG as it is now. Prints its number.\n"
		"\n"
		"      --from TIME         a date or a local time of the schedule's zone (2026-03-29,\n"
		"      --to TIME           2026-03-29T02:30), or an instant (2026-03-29T02:30:00Z)\n"
		"      --max-active N      so many of its runs at a time, 1 to 100 (1)\n"
		"  -p, --param NAME=VALUE  set a parameter of all of them (repeat for more)\n"
		"      --again             also those that have a run that succeeded\n"
		"  -n, --dry-run           only list what would run\n"
		"      --list              the latest backfills\n"
		"      --cancel N          make no more runs for that one, and cancel those that go on\n"
		"      --config FILE       the settings, in place of the usual stoker.yaml\n"
		"      --json              for scripts\n",
	.main = backfill,
};
