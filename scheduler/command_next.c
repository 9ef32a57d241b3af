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
#include "scheduler/view.h"
#include "scheduler/view_rows.h"

enum { LIMIT_UNLESS_SAID = 10, LIMIT_MAX = 100000 };

struct arguments {
	const char *path;
	const char *from; /* NULL: now */
	struct instant from_instant;
	int64_t limit;
	bool json;
};

/* A schedule of the DAG, and its next due time that was not answered yet. */
struct timeline {
	const struct dag_schedule *definition;
	struct zone *zone;
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
	for (size_t i = 0; i < plan->count; i++)
		zone_free(plan->timelines[i].zone);
	free(plan->timelines);
}

/* --- arguments ------------------------------------------------------------------------------------------ */

static int read_arguments(int argc, char **argv, struct arguments *out)
{
	static const struct option options[] = {
		{ "limit", required_argument, NULL, 'n' },
		{ "from", required_argument, NULL, 'F' },
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
		else if (option == 'j')
			out->json = true;
		else if (option == '?')
			return COMMAND_USAGE;
	}
	if (out->from != NULL && instant_parse(out->from, &out->from_instant, &err) < 0)
		return command_usage(&command_next, "--from: %s", err.text);
	if (argc - optind != 1)
		return command_usage(&command_next, optind == argc ? "which file?" : "one file at a time");
	out->path = argv[optind];
	return 0;
}

/* --- finding them --------------------------------------------------------------------------------------- */

static void step(struct timeline *timeline, int64_t after_ms)
{
	timeline->over = !due_next(&timeline->schedule, after_ms, &timeline->due);
}

static int start_timeline(struct timeline *timeline, const struct plan *plan,
			  const struct arguments *arguments, struct err *err)
{
	const char *name = timeline->definition->timezone;
	int64_t after_ms = plan->now_ms;
	int rc = name == NULL ? zone_open_local(&timeline->zone, err) : zone_open(name, &timeline->zone, err);

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

static int start_plan(struct plan *plan, const struct dag *dag, const struct arguments *arguments,
		      struct err *err)
{
	*plan = (struct plan){ .dag = dag, .count = dag->schedules_count, .now_ms = clock_wall_ms() };
	plan->timelines = mem_array(plan->count, sizeof *plan->timelines);
	for (size_t i = 0; i < plan->count; i++) {
		int rc;

		plan->timelines[i].definition = &dag->schedules[i];
		rc = start_timeline(&plan->timelines[i], plan, arguments, err);
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

static const char *local_text(const struct timeline *timeline, int64_t at_ms, char text[INSTANT_TEXT_BYTES])
{
	int64_t at_s = calendar_floor(at_ms, 1000);

	return instant_text(at_s, zone_span_at(timeline->zone, at_s).offset_s, text);
}

static json_t *schedule_object(const struct timeline *timeline)
{
	static const char *const catchup_words[] = { "none", "latest", "all" };
	json_t *object = json_object();

	view_set_text(object, "cron", timeline->definition->cron);
	view_set_text(object, "timezone", zone_name(timeline->zone));
	view_set_text(object, "catchup", catchup_words[timeline->definition->catchup]);
	view_set_number(object, "jitter_ms", timeline->definition->jitter_ms);
	json_object_set_new(object, "over", json_boolean(timeline->over));
	return object;
}

static json_t *due_object(const struct timeline *timeline, int64_t now_ms)
{
	const struct due *due = &timeline->due;
	const char *mark = due_mark_name(due->mark);
	char text[INSTANT_TEXT_BYTES], label[INSTANT_LABEL_BYTES], offset[ZONE_OFFSET_BYTES];
	autobuf struct buf note = { 0 };
	json_t *object = json_object();

	due_note(due, &note);
	view_set_time(object, "due", due->at_ms);
	view_set_text(object, "local", local_text(timeline, due->at_ms, text));
	view_set_text(object, "utc_offset", zone_offset_text(due->offset_s, offset));
	view_set_text(object, "timezone", zone_name(timeline->zone));
	view_set_text(object, "nominal", instant_label(due->nominal_local_s, label));
	view_set_text(object, "cron", timeline->definition->cron);
	view_set_number(object, "in_ms", due->at_ms - now_ms);
	view_set_time(object, "start", due->start_ms);
	view_set_number(object, "jitter_ms", due->start_ms - due->at_ms);
	json_object_set_new(object, "mark", mark == NULL ? json_null() : view_string(mark));
	view_set_number(object, "skipped", due->skipped);
	view_set_word(object, "note", buf_text(&note));
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
		json_array_append_new(dues, due_object(timeline, plan->now_ms));
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
static int load(const char *path, struct dag **dag_out)
{
	autodiagnostics struct diagnostics diagnostics;
	int rc;

	diagnostics_init(&diagnostics);
	rc = dag_load(path, dag_out, &diagnostics);
	diagnostics_print(&diagnostics, stderr, command_color(stderr));
	return rc < 0 ? COMMAND_USAGE : 0;
}

static int show(const struct dag *dag, const struct arguments *arguments)
{
	__attribute__((cleanup(plan_fini))) struct plan plan = { 0 };
	struct err err;
	int status;

	if (start_plan(&plan, dag, arguments, &err) < 0)
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

static int next(int argc, char **argv)
{
	struct arguments arguments = { 0 };
	autodag struct dag *dag = NULL;
	int status = read_arguments(argc, argv, &arguments);

	if (status == 0)
		status = load(arguments.path, &dag);
	return status != 0 ? status : show(dag, &arguments);
}

const struct command command_next = {
	.name = "next",
	.synopsis = "FILE [-n N] [--from TIME] [--json]",
	.summary = "when a DAG is due by its schedule",
	.help = "Lists the coming due times of all schedules of FILE, in order, each in the time zone of\n"
		"its schedule. A note tells what daylight saving does to one. JITTER is how much later its\n"
		"run starts. Exit status: 3 when FILE has no schedule.\n"
		"\n"
		"  -n, --limit N     at most N of them (10)\n"
		"      --from TIME   from then on, not from now: a date or a local time of the schedule's\n"
		"                    zone (2026-03-29, 2026-03-29T02:30), or an instant\n"
		"                    (2026-03-29T02:30:00Z)\n"
		"      --json        for scripts\n",
	.main = next,
};
