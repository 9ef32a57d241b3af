#include <string.h>

#include "common/clock.h"
#include "common/scope.h"
#include "scheduler/command.h"
#include "scheduler/listing.h"
#include "scheduler/moment.h"
#include "scheduler/view.h"

enum { RUNS_MAX = 10, BUSY_MAX = 3 };

/* --- what goes on --------------------------------------------------------------------------------------- */

static int64_t count_all(json_t *counts)
{
	const json_t *count;
	const char *state;
	int64_t sum = 0;

	json_object_foreach(counts, state, count)
	{
		sum += json_integer_value(count);
	}
	return sum;
}

/* "2 of 4 done; train, test and 3 more" */
static void append_tasks(struct buf *out, const json_t *run)
{
	const json_t *tasks = json_object_get(run, "tasks");
	const json_t *busy = json_object_get(tasks, "busy");
	json_t *counts = json_object_get(tasks, "counts");
	size_t i, count = json_array_size(busy);

	buf_printf(out, "%lld of %lld done", (long long)listing_number(counts, "succeeded"),
		   (long long)count_all(counts));
	for (i = 0; i < count && i < BUSY_MAX; i++)
		buf_printf(out, "%s%s", i == 0 ? "; " : ", ", json_string_value(json_array_get(busy, i)));
	if (count > i)
		buf_printf(out, " and more");
}

static void add_active(struct table *table, const json_t *run, int64_t now_wall_ms)
{
	autobuf struct buf tasks = { 0 };

	table_text(table, TERMINAL_PLAIN, listing_text(run, "run"));
	listing_add_state(table, listing_run_state(run));
	listing_add_when(table, listing_time(run, "started"), now_wall_ms);
	listing_add_took(table, run, now_wall_ms);
	append_tasks(&tasks, run);
	table_text(table, TERMINAL_PLAIN, buf_text(&tasks));
}

static void print_active(const json_t *runs)
{
	static const struct table_column columns[] = {
		{ "RUN" }, { "STATE" }, { "STARTED" }, { "TOOK", .right = true }, { "TASKS" },
	};
	int64_t now_wall_ms = clock_wall_ms();
	autotable struct table table;
	const json_t *run;
	size_t i;

	table_init(&table, columns, COUNT_OF(columns));
	json_array_foreach(runs, i, run) add_active(&table, run, now_wall_ms);
	if (i > 0)
		table_print(&table, stdout);
	else
		puts("nothing runs");
	json_array_foreach(runs, i, run) if (json_is_true(json_object_get(run, "orphaned"))) printf(
		"%s is orphaned: its steps go on, but nobody drives it; go on with: stoker run --resume %s\n",
		listing_text(run, "run"), listing_text(run, "run"));
}

static void print_latest(const json_t *runs)
{
	int64_t now_wall_ms = clock_wall_ms();
	autotable struct table table;
	const json_t *run;
	size_t i;

	table_init(&table, listing_run_columns, LISTING_RUN_COLUMNS);
	json_array_foreach(runs, i, run) listing_add_run(&table, run, now_wall_ms);
	if (i == 0)
		return;
	putchar('\n');
	table_print(&table, stdout);
}

/* --- one run -------------------------------------------------------------------------------------------- */

static void print_heading(const json_t *run, int64_t now_wall_ms)
{
	struct terminal terminal = terminal_of(stdout);
	autobuf struct buf out = { 0 };
	struct terminal_line line = terminal_line_start(&terminal, &out, SIZE_MAX);
	int64_t started_ms = listing_time(run, "started"), ended_ms = listing_time(run, "ended");
	const char *state = listing_run_state(run);
	char when[MOMENT_BYTES], span[CLOCK_SPAN_BYTES];

	terminal_put(&line, TERMINAL_BOLD, listing_text(run, "run"));
	terminal_blanks(&line, 2);
	terminal_put(&line, terminal_style_of(state), state);
	if (started_ms > 0)
		terminal_printf(&line, TERMINAL_PLAIN, "  started %s, %s %s",
				moment_ago(started_ms, now_wall_ms, when), ended_ms > 0 ? "took" : "for",
				clock_span((ended_ms > 0 ? ended_ms : now_wall_ms) - started_ms, span));
	terminal_printf(&line, TERMINAL_PLAIN, "  %s by %s (%s)", listing_text(run, "trigger"),
			listing_text(run, "actor"), listing_text(run, "origin"));
	buf_append_byte(&out, '\n');
	fwrite(out.data, 1, out.bytes, stdout);
}

static void print_params(const json_t *run)
{
	json_t *params = json_object_get(run, "params");
	autobuf struct buf out = { 0 };
	const char *name;
	json_t *value;

	if (json_object_size(params) == 0)
		return;
	json_object_foreach(params, name, value)
	{
		buf_append_byte(&out, ' ');
		terminal_escape(&out, name);
		buf_append_byte(&out, '=');
		terminal_escape(&out, json_string_value(value) == NULL ? "" : json_string_value(value));
	}
	printf("with%s\n", buf_text(&out));
}

static const json_t *latest_attempt(const json_t *task)
{
	const json_t *attempts = json_object_get(task, "attempts");
	size_t count = json_array_size(attempts);

	return count == 0 ? NULL : json_array_get(attempts, count - 1);
}

static const char *shown_state(const json_t *task)
{
	const json_t *attempt = latest_attempt(task);
	bool lost_contact = attempt != NULL && strcmp(listing_text(attempt, "state"), "unreachable") == 0;

	return lost_contact ? "unreachable" : listing_text(task, "state");
}

/* While it works its metric, afterwards the reason of its end. */
static void add_note(struct table *table, const json_t *task, int64_t now_wall_ms)
{
	int64_t not_before_ms = listing_time(task, "not_before");
	autobuf struct buf note = { 0 };
	char when[MOMENT_BYTES];

	if (not_before_ms > 0)
		buf_printf(&note, "again %s: ", moment_ago(not_before_ms, now_wall_ms, when));
	if (strcmp(listing_text(task, "state"), "succeeded") != 0)
		buf_append_text(&note, listing_text(task, "message"));
	if (note.bytes == 0)
		listing_append_metric(&note, json_object_get(task, "metric"));
	table_text(table, TERMINAL_PLAIN, buf_text(&note));
}

static void add_task(struct table *table, const json_t *task, int64_t now_wall_ms)
{
	const json_t *attempt = latest_attempt(task);
	const char *from = attempt == NULL ? "" : listing_text(attempt, "resumed_from");

	table_text(table, TERMINAL_PLAIN, listing_text(task, "task"));
	listing_add_state(table, shown_state(task));
	table_text(table, TERMINAL_PLAIN, listing_text(task, "reason"));
	if (attempt == NULL)
		table_text(table, TERMINAL_PLAIN, "-");
	else
		table_printf(table, TERMINAL_PLAIN, "%lld", (long long)listing_number(attempt, "number"));
	listing_add_took(table, task, now_wall_ms);
	table_text(table, TERMINAL_PLAIN, from[0] == '\0' ? "-" : from);
	add_note(table, task, now_wall_ms);
}

static const json_t *first_failure(const json_t *tasks)
{
	const json_t *first = NULL, *task;
	size_t i;

	json_array_foreach(tasks, i, task)
	{
		if (strcmp(listing_text(task, "state"), "failed") != 0)
			continue;
		if (first == NULL || strcmp(listing_text(task, "ended"), listing_text(first, "ended")) < 0)
			first = task;
	}
	return first;
}

/* The first cause, and what to do next. */
static void print_advice(const json_t *run)
{
	const json_t *failed = first_failure(json_object_get(run, "tasks"));
	const char *name = listing_text(run, "run"), *state = listing_text(run, "state");
	bool ended = !json_is_null(json_object_get(run, "ended"));
	autobuf struct buf message = { 0 };

	if (failed != NULL) {
		terminal_escape(&message, listing_text(failed, "message"));
		printf("\n%s failed first: %s\n", listing_text(failed, "task"), buf_text(&message));
		printf("why:        stoker why %s\n", name);
		printf("its log:    stoker logs %s %s\n", name, listing_text(failed, "task"));
	}
	if (json_is_true(json_object_get(run, "orphaned")))
		printf("%sNobody drives this run: its steps go on, their ends are collected when it is taken "
		       "up.\n",
		       failed == NULL ? "\n" : "");
	else if (!ended || strcmp(state, "succeeded") == 0)
		return;
	else if (failed == NULL)
		putchar('\n');
	printf("go on with: stoker run --resume %s\n", name);
}

static void print_run(const json_t *run)
{
	static const struct table_column columns[] = {
		{ "TASK" },
		{ "STATE" },
		{ "REASON" },
		{ "ATTEMPT", .right = true },
		{ "TOOK", .right = true },
		{ "RESUMED FROM" },
		{ "NOTE" },
	};
	const json_t *tasks = json_object_get(run, "tasks"), *task;
	int64_t now_wall_ms = clock_wall_ms();
	autotable struct table table;
	size_t i;

	print_heading(run, now_wall_ms);
	print_params(run);
	putchar('\n');
	table_init(&table, columns, COUNT_OF(columns));
	json_array_foreach(tasks, i, task) add_task(&table, task, now_wall_ms);
	table_print(&table, stdout);
	print_advice(run);
}

/* --- the command ---------------------------------------------------------------------------------------- */

/* A state folder that is not there yet is an answer and no error. */
static int read_overview(json_t **out, struct err *err)
{
	autostore struct store *store = NULL;
	int rc = command_open_reader(&store, err);

	if (rc == ERR_NOT_FOUND) {
		*out = json_pack("{s:[], s:[]}", "active", "latest");
		return 0;
	}
	return rc < 0 ? rc : view_status(store, RUNS_MAX, out, err);
}

static int read_one(const char *name, json_t **out, struct err *err)
{
	autostore struct store *store = NULL;
	uint64_t run;
	int rc = command_open_reader(&store, err);

	if (rc == 0)
		rc = command_find_run(store, name, &run, err);
	return rc < 0 ? rc : view_run(store, run, out, err);
}

static int status(int argc, char **argv)
{
	static const struct option options[] = { { "json", no_argument, NULL, 'j' }, { NULL, 0, NULL, 0 } };
	autojson json_t *answer = NULL;
	bool json = false;
	struct err err;
	int option;

	while ((option = command_option(&command_status, argc, argv, "", options)) != -1) {
		if (option == '?')
			return COMMAND_USAGE;
		json = true;
	}
	if (argc - optind > 1)
		return command_usage(&command_status, "one run at a time");
	if ((optind < argc ? read_one(argv[optind], &answer, &err) : read_overview(&answer, &err)) < 0)
		return command_fail(&err);
	if (json) {
		listing_print_json(answer);
	} else if (optind < argc) {
		print_run(answer);
	} else {
		print_active(json_object_get(answer, "active"));
		print_latest(json_object_get(answer, "latest"));
	}
	return command_end_output();
}

const struct command command_status = {
	.name = "status",
	.synopsis = "[RUN] [--json]",
	.summary = "what goes on; or one run with all its tasks",
	.help = "Without RUN: the runs that are going on or were left by their driver (orphaned), and the\n"
		"latest that ended. With RUN: each of its tasks, the first cause when it failed, and how to\n"
		"go on.\n"
		"\n"
		"      --json   for scripts: every attempt with its exit, times, resources and log\n",
	.main = status,
};
