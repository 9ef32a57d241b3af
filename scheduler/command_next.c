#include <jansson.h>
#include <string.h>

#include "common/calendar.h"
#include "common/clock.h"
#include "common/mem.h"
#include "common/scope.h"
#include "common/zone.h"
#include "dag/dag.h"
#include "dag/diagnostic.h"
#include "scheduler/command.h"
#include "scheduler/due.h"
#include "scheduler/instant.h"
#include "scheduler/listing.h"
#include "scheduler/moment.h"
#include "scheduler/store_due.h"
#include "scheduler/view.h"
#include "scheduler/view_due.h"
#include "scheduler/view_rows.h"
#include "scheduler/zones.h"

enum { LIMIT_UNLESS_SAID = 10, LIMIT_MAX = 100000 };

struct arguments {
	const char *target; /* a file, or the name of a DAG that is known */
	const char *config;
	const char *from; /* NULL: now */
	struct instant from_instant;
	int64_t limit;
	bool past;
	bool json;
};

/* A schedule of the DAG, and its next due time that was not answered yet. */
struct timeline {
	const struct dag_schedule *definition;
	const struct zone *zone;
	struct due_schedule schedule;
	struct due due;
	bool over;
};

struct plan {
	const struct dag *dag;
	struct timeline *timelines;
	size_t count;
	int64_t now_ms;
};

static void plan_fini(struct plan *plan)
{
	free(plan->timelines);
}

/* --- arguments ------------------------------------------------------------------------------------------ */

static int read_arguments(int argc, char **argv, struct arguments *out)
{
	static const struct option options[] = {
		{ "limit", required_argument, NULL, 'n' },
		{ "from", required_argument, NULL, 'F' },
		{ "past", no_argument, NULL, 'P' },
		{ "config", required_argument, NULL, 'C' },
		{ "json", no_argument, NULL, 'j' },
		{ NULL, 0, NULL, 0 },
	};
	struct err err;
	int option;

	out->limit = LIMIT_UNLESS_SAID;
	while ((option = command_option(&command_next, argc, argv, "n:", options)) != -1) {
		if (option == 'n' && !command_number(optarg, 1, LIMIT_MAX, &out->limit))
			return command_usage(&command_next, "--limit is a number from 1 to %d, not '%s'",
					     LIMIT_MAX, optarg);
		else if (option == 'F')
			out->from = optarg;
		else if (option == 'P')
			out->past = true;
		else if (option == 'C')
			out->config = optarg;
		else if (option == 'j')
			out->json = true;
		else if (option == '?')
			return COMMAND_USAGE;
	}
	if (out->from != NULL && instant_parse(out->from, &out->from_instant, &err) < 0)
		return command_usage(&command_next, "--from: %s", err.text);
	if (argc - optind != 1)
		return command_usage(&command_next, optind == argc ? "which file, or which DAG?" : "one DAG at a time");
	out->target = argv[optind];
	if (out->past && out->from != NULL)
		return command_usage(&command_next, "--past lists what was, newest first: it takes no --from");
	return 0;
}

/* --- finding them --------------------------------------------------------------------------------------- */

static void step(struct timeline *timeline, int64_t after_ms)
{
	timeline->over = !due_next(&timeline->schedule, after_ms, &timeline->due);
}

static int start_timeline(struct timeline *timeline, const struct plan *plan, struct zones *zones,
			  const struct arguments *arguments, struct err *err)
{
	int64_t after_ms = plan->now_ms;
	int rc = zones_find(zones, timeline->definition->timezone, &timeline->zone, err);

	if (rc == 0)
		rc = due_schedule_init(&timeline->schedule, plan->dag->name, timeline->definition,
				       timeline->zone, err);
	if (rc < 0)
		return rc;
	/* --from is the first instant that counts; now is not: what is due now has its run already. */
	if (arguments->from != NULL)
		after_ms = instant_in(&arguments->from_instant, timeline->zone) * 1000 - 1;
	step(timeline, after_ms);
	return 0;
}

static int start_plan(struct plan *plan, const struct dag *dag, struct zones *zones,
		      const struct arguments *arguments, struct err *err)
{
	*plan = (struct plan){ .dag = dag, .count = dag->schedules_count, .now_ms = clock_wall_ms() };
	plan->timelines = mem_array(plan->count, sizeof *plan->timelines);
	for (size_t i = 0; i < plan->count; i++) {
		int rc;

		plan->timelines[i].definition = &dag->schedules[i];
		rc = start_timeline(&plan->timelines[i], plan, zones, arguments, err);
		if (rc < 0)
			return err_wrap(err, "schedule '%s'", dag->schedules[i].cron);
	}
	return 0;
}

/* The earliest of all, of two at once that of the schedule that is written first; NULL: all are over. */
static struct timeline *earliest(struct plan *plan)
{
	struct timeline *best = NULL;

	for (size_t i = 0; i < plan->count; i++) {
		struct timeline *timeline = &plan->timelines[i];

		if (!timeline->over && (best == NULL || timeline->due.at_ms < best->due.at_ms))
			best = timeline;
	}
	return best;
}

/* --- as JSON -------------------------------------------------------------------------------------------- */

static json_t *schedule_object(const struct timeline *timeline)
{
	json_t *object = json_object();

	view_set_text(object, "cron", timeline->definition->cron);
	view_set_text(object, "timezone", zone_name(timeline->zone));
	view_set_text(object, "catchup", dag_catchup_words[timeline->definition->catchup]);
	view_set_number(object, "jitter_ms", timeline->definition->jitter_ms);
	json_object_set_new(object, "over", json_boolean(timeline->over));
	return object;
}

static void print_json(struct plan *plan, int64_t limit)
{
	json_t *answer = json_object(), *schedules = json_array(), *dues = json_array();
	struct timeline *timeline;

	view_set_text(answer, "dag", plan->dag->name);
	view_set_time(answer, "now", plan->now_ms);
	for (size_t i = 0; i < plan->count; i++)
		json_array_append_new(schedules, schedule_object(&plan->timelines[i]));
	json_object_set_new(answer, "schedules", schedules);
	for (; limit > 0 && (timeline = earliest(plan)) != NULL; limit--) {
		json_array_append_new(dues, view_due_object(&timeline->due, timeline->definition->cron,
							    timeline->zone, plan->now_ms));
		step(timeline, timeline->due.at_ms);
	}
	json_object_set_new(answer, "due", dues);
	listing_print_json(answer);
	json_decref(answer);
}

/* --- as a table ----------------------------------------------------------------------------------------- */

/* What all rows have in common stands in no column. */
struct layout {
	bool cron, zone, jitter;
	char heading[100]; /* of the local time */
	struct table_column columns[TABLE_COLUMNS_MAX];
	size_t count;
};

static void add_column(struct layout *layout, const char *heading, bool right)
{
	layout->columns[layout->count++] = (struct table_column){ heading, .right = right };
}

static void lay_out(struct layout *layout, const struct plan *plan)
{
	const char *zone = zone_name(plan->timelines[0].zone);

	*layout = (struct layout){ .cron = plan->count > 1 };
	for (size_t i = 0; i < plan->count; i++) {
		layout->zone = layout->zone || strcmp(zone_name(plan->timelines[i].zone), zone) != 0;
		layout->jitter = layout->jitter || plan->timelines[i].definition->jitter_ms > 0;
	}
	if (layout->zone)
		strcpy(layout->heading, "DUE");
	else
		snprintf(layout->heading, sizeof layout->heading, "DUE (%.60s)", zone);
	add_column(layout, layout->heading, false);
	if (layout->zone)
		add_column(layout, "ZONE", false);
	add_column(layout, "UTC", false);
	add_column(layout, "IN", true);
	if (layout->jitter)
		add_column(layout, "JITTER", true);
	if (layout->cron)
		add_column(layout, "SCHEDULE", false);
	add_column(layout, "NOTE", false);
}

static void add_distance(struct table *table, int64_t ms)
{
	char span[CLOCK_SPAN_BYTES];

	table_printf(table, TERMINAL_PLAIN, ms < 0 ? "%s ago" : "%s", clock_span(ms < 0 ? -ms : ms, span));
}

static void add_row(struct table *table, const struct layout *layout, const struct timeline *timeline,
		    int64_t now_ms)
{
	static const char *const weekdays[] = { "Sun", "Mon", "Tue", "Wed", "Thu", "Fri", "Sat" };
	const struct due *due = &timeline->due;
	int64_t at_s = due->at_ms / 1000, local_s = at_s + due->offset_s;
	char label[INSTANT_LABEL_BYTES], offset[ZONE_OFFSET_BYTES], span[CLOCK_SPAN_BYTES];
	autobuf struct buf note = { 0 };

	due_note(due, &note);
	table_printf(table, TERMINAL_PLAIN, "%s %s %s",
		     weekdays[calendar_weekday(calendar_floor(local_s, CALENDAR_DAY_S))],
		     instant_label(local_s, label), zone_offset_text(due->offset_s, offset));
	if (layout->zone)
		table_text(table, TERMINAL_PLAIN, zone_name(timeline->zone));
	table_text(table, TERMINAL_DIM, instant_label(at_s, label));
	add_distance(table, due->at_ms - now_ms);
	if (layout->jitter)
		table_printf(table, TERMINAL_PLAIN, "+%s", clock_span(due->start_ms - due->at_ms, span));
	if (layout->cron)
		table_text(table, TERMINAL_PLAIN, timeline->definition->cron);
	table_text(table, TERMINAL_YELLOW, buf_text(&note));
}

static void print_table(struct plan *plan, int64_t limit)
{
	struct timeline *timeline;
	autotable struct table table;
	struct layout layout;

	lay_out(&layout, plan);
	table_init(&table, layout.columns, layout.count);
	for (; limit > 0 && (timeline = earliest(plan)) != NULL; limit--) {
		add_row(&table, &layout, timeline, plan->now_ms);
		step(timeline, timeline->due.at_ms);
	}
	table_print(&table, stdout);
}

/* ------------------------------------------------------------------------------------------------------- */

/* As `stoker validate` would tell what is wrong with the file. */
static int load_file(const char *path, struct dag **dag_out)
{
	autodiagnostics struct diagnostics diagnostics;
	int rc;

	diagnostics_init(&diagnostics);
	rc = dag_load(path, dag_out, &diagnostics);
	diagnostics_print(&diagnostics, stderr, command_color(stderr));
	return rc < 0 ? COMMAND_USAGE : 0;
}

/* A name holds no slash, and a file that is called like a DAG has an ending. */
static bool is_name(const char *target)
{
	const char *dot = strrchr(target, '.');

	return strchr(target, '/') == NULL &&
	       (dot == NULL || (strcmp(dot, ".yaml") != 0 && strcmp(dot, ".yml") != 0)) &&
	       access(target, F_OK) != 0;
}

static int show_schedules(const struct dag *dag, struct zones *zones, const struct arguments *arguments)
{
	__attribute__((cleanup(plan_fini))) struct plan plan = { 0 };
	struct err err;
	int status;

	if (start_plan(&plan, dag, zones, arguments, &err) < 0)
		return command_fail(&err);
	if (arguments->json)
		print_json(&plan, arguments->limit);
	else if (plan.count > 0 && earliest(&plan) == NULL)
		printf("no more due times: the schedule of %s has ended\n", dag->name);
	else if (plan.count > 0)
		print_table(&plan, arguments->limit);
	status = command_end_output();
	if (status != COMMAND_DONE || plan.count > 0)
		return status;
	err_set(&err, ERR_NOT_FOUND, "%s has no schedule: it runs when somebody starts it", dag->name);
	return command_fail(&err);
}

static int show_file(struct zones *zones, const struct arguments *arguments)
{
	autodag struct dag *dag = NULL;
	int status = load_file(arguments->target, &dag);

	return status != 0 ? status : show_schedules(dag, zones, arguments);
}

/* --- of a DAG that is known ----------------------------------------------------------------------------- */

static void print_past(const json_t *answer)
{
	static const struct table_column columns[] = { { "DUE" }, { "SCHEDULE" }, { "BECAME" }, { "RUN" },
						       { "STATE" }, { "DETAIL" } };
	json_t *list = json_object_get(answer, "past"), *one;
	autotable struct table table;
	size_t i;

	table_init(&table, columns, COUNT_OF(columns));
	json_array_foreach(list, i, one)
	{
		const char *reason = listing_text(one, "reason"), *run = listing_text(one, "run");

		table_text(&table, TERMINAL_PLAIN, listing_text(one, "nominal"));
		table_printf(&table, TERMINAL_DIM, "%s %s", listing_text(one, "cron"),
			     listing_text(one, "timezone"));
		table_text(&table, reason[0] == '\0' ? TERMINAL_PLAIN : TERMINAL_YELLOW,
			   reason[0] == '\0' ? listing_text(one, "state") : reason);
		table_text(&table, TERMINAL_PLAIN, run[0] == '\0' ? "-" : run);
		listing_add_state(&table, listing_text(one, "run_state"));
		table_text(&table, TERMINAL_PLAIN, listing_text(one, "detail"));
	}
	if (i == 0)
		puts("no due time has passed since its schedules are known");
	else
		table_print(&table, stdout);
}

static void tell_pause(const json_t *answer)
{
	char when[MOMENT_BYTES];

	if (json_is_string(json_object_get(answer, "paused_by")))
		fprintf(stderr, "stoker: %s is paused (%s, %s): none of these runs until `stoker unpause %s`\n",
			listing_text(answer, "dag"), listing_text(answer, "paused_by"),
			moment_ago(listing_time(answer, "paused_since"), clock_wall_ms(), when),
			listing_text(answer, "dag"));
}

static int show_known(struct zones *zones, const struct arguments *arguments)
{
	const struct view_occurrences page = { .dag = arguments->target, .limit = (int)arguments->limit };
	autojson json_t *answer = NULL;
	autostore struct store *store = NULL;
	autodag struct dag *dag = NULL;
	struct err err;

	if (command_open_reader(&store, &err) < 0 ||
	    view_occurrences(store, zones, &page, clock_wall_ms(), &answer, &err) < 0)
		return command_fail(&err);
	if (arguments->past && arguments->json) {
		listing_print_json(answer);
		return command_end_output();
	}
	if (arguments->past) {
		print_past(answer);
		return command_end_output();
	}
	if (store_load_dag(store, arguments->target, &dag, &err) < 0)
		return command_fail(&err);
	tell_pause(answer);
	return show_schedules(dag, zones, arguments);
}

static int next(int argc, char **argv)
{
	struct arguments arguments = { 0 };
	autosettings struct settings *settings = NULL;
	autozones struct zones *zones = NULL;
	int status = read_arguments(argc, argv, &arguments);

	if (status == 0)
		status = command_load_settings(arguments.config, &settings);
	if (status != 0)
		return status;
	zones = zones_new(settings->timezone);
	if (is_name(arguments.target))
		return show_known(zones, &arguments);
	if (arguments.past)
		return command_usage(&command_next, "--past needs the name of a DAG, not a file");
	return show_file(zones, &arguments);
}

const struct command command_next = {
	.name = "next",
	.synopsis = "FILE|DAG [-n N] [--from TIME | --past] [--config FILE] [--json]",
	.summary = "when a DAG is due by its schedule",
	.help = "Lists the coming due times of all schedules of a DAG, in order, each in the time zone of\n"
		"its schedule: of FILE, or of a DAG that is known, as it is in force. A note tells what\n"
		"daylight saving does to one. JITTER is how much later its run starts. Exit status: 3\n"
		"when there is no schedule.\n"
		"\n"
		"  -n, --limit N     at most N of them (10)\n"
		"      --from TIME   from then on, not from now: a date or a local time of the schedule's\n"
		"                    zone (2026-03-29, 2026-03-29T02:30), or an instant\n"
		"                    (2026-03-29T02:30:00Z)\n"
		"      --past        what became of the last ones, newest first: the ledger of a DAG\n"
		"      --config FILE the settings, in place of the usual stoker.yaml\n"
		"      --json        for scripts\n",
	.main = next,
};
