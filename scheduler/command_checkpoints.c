#include <string.h>

#include "common/clock.h"
#include "common/scope.h"
#include "scheduler/command.h"
#include "scheduler/listing.h"
#include "scheduler/view.h"

/* Where it lies: on its worker as long as it was not removed there, on another, and here. */
static void add_places(struct table *table, const json_t *row)
{
	const char *brought = json_string_value(json_object_get(row, "brought"));
	const char *state = listing_text(row, "state"), *worker = listing_text(row, "worker");
	bool gone = strcmp(state, "removed") == 0 || strcmp(state, "replaced") == 0;

	if (gone)
		worker = brought == NULL ? "-" : brought;
	if (!gone && brought != NULL)
		table_printf(table, TERMINAL_PLAIN, "%s, %s", worker, brought);
	else
		table_text(table, TERMINAL_PLAIN, worker);
	table_text(table, TERMINAL_PLAIN, json_is_null(json_object_get(row, "copy")) ? "-" : "here");
}

static void add_row(struct table *table, const json_t *row, int64_t now_wall_ms)
{
	autobuf struct buf size = { 0 };

	table_text(table, TERMINAL_PLAIN, listing_text(row, "name"));
	listing_add_state(table, listing_text(row, "state"));
	if (json_is_null(json_object_get(row, "step")))
		table_text(table, TERMINAL_PLAIN, "-");
	else
		table_printf(table, TERMINAL_PLAIN, "%lld", (long long)listing_number(row, "step"));
	listing_append_bytes(&size, listing_number(row, "bytes"));
	table_text(table, TERMINAL_PLAIN, buf_text(&size));
	table_printf(table, TERMINAL_PLAIN, "%lld", (long long)listing_number(row, "attempt"));
	add_places(table, row);
	listing_add_when(table, listing_time(row, "created"), now_wall_ms);
	table_text(table, TERMINAL_PLAIN, listing_text(row, "message"));
}

static void print_table(const json_t *answer)
{
	static const struct table_column columns[] = {
		{ "NAME" },
		{ "STATE" },
		{ "STEP", .right = true },
		{ "SIZE", .right = true },
		{ "ATTEMPT", .right = true },
		{ "WORKER" },
		{ "COPY" },
		{ "WRITTEN" },
		{ "NOTE" },
	};
	json_t *rows = json_object_get(answer, "checkpoints"), *row;
	int64_t now_wall_ms = clock_wall_ms();
	autotable struct table table;
	size_t i;

	table_init(&table, columns, COUNT_OF(columns));
	json_array_foreach(rows, i, row) add_row(&table, row, now_wall_ms);
	if (i == 0)
		puts("no checkpoints");
	else
		table_print(&table, stdout);
}

static int read_ledger(const char *run_name, const char *task, json_t **out, struct err *err)
{
	autostore struct store *store = NULL;
	uint64_t run;
	uint32_t step;
	int rc = command_open_reader(&store, err);

	if (rc == 0)
		rc = command_find_run(store, run_name, &run, err);
	if (rc == 0)
		rc = view_find_task(store, run, task, &step, err);
	return rc < 0 ? rc : view_checkpoints(store, run, step, VIEW_LIMIT_MAX, out, err);
}

static int checkpoints(int argc, char **argv)
{
	static const struct option options[] = { { "json", no_argument, NULL, 'j' }, { NULL, 0, NULL, 0 } };
	autojson json_t *answer = NULL;
	bool json = false;
	struct err err;
	int option;

	while ((option = command_option(&command_checkpoints, argc, argv, "", options)) != -1) {
		if (option == '?')
			return COMMAND_USAGE;
		json = true;
	}
	if (argc - optind != 2)
		return command_usage(&command_checkpoints, "which run and task? As in: digits/3 train");
	if (read_ledger(argv[optind], argv[optind + 1], &answer, &err) < 0)
		return command_fail(&err);
	if (json)
		listing_print_json(answer);
	else
		print_table(answer);
	return command_end_output();
}

const struct command command_checkpoints = {
	.name = "checkpoints",
	.synopsis = "RUN TASK [--json]",
	.summary = "the ledger of a task's checkpoints",
	.help = "Lists every checkpoint that was recorded for the task, oldest first. The newest good one "
		"is\n"
		"where its next attempt resumes. WORKER is where it lies; COPY says whether the scheduler has it\n"
		"too (`copy: true`, or it was fetched to go on elsewhere).\n"
		"\n"
		"  good          complete and verified\n"
		"  broken        its contents do not match what was recorded any more\n"
		"  quarantined   attempts that resumed from it died without progress\n"
		"  removed       by `keep`, after a newer one was verified\n"
		"  replaced      another was written under its name, or the task was started anew\n"
		"\n"
		"      --json   for scripts\n",
	.main = checkpoints,
};
