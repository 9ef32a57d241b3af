#include <time.h>

#include "common/clock.h"
#include "common/scope.h"
#include "scheduler/command.h"
#include "scheduler/listing.h"
#include "scheduler/moment.h"
#include "scheduler/view.h"

enum { LIMIT_UNLESS_SAID = 50, LOOK_MS = 250, BATCH = 1000 };

struct arguments {
	const char *run_name; /* NULL: of all */
	int64_t limit;
	bool follow;
	bool json;
};

static int read_arguments(int argc, char **argv, struct arguments *out)
{
	static const struct option options[] = {
		{ "follow", no_argument, NULL, 'f' },
		{ "limit", required_argument, NULL, 'n' },
		{ "json", no_argument, NULL, 'j' },
		{ NULL, 0, NULL, 0 },
	};
	int option;

	out->limit = LIMIT_UNLESS_SAID;
	while ((option = command_option(&command_events, argc, argv, "fn:", options)) != -1) {
		if (option == 'n' && !command_number(optarg, 1, VIEW_LIMIT_MAX, &out->limit))
			return command_usage(&command_events, "--limit is a number from 1 to %d, not '%s'",
					     VIEW_LIMIT_MAX, optarg);
		else if (option == 'f')
			out->follow = true;
		else if (option == 'j')
			out->json = true;
		else if (option == '?')
			return COMMAND_USAGE;
	}
	if (argc - optind > 1)
		return command_usage(&command_events, "one run at a time");
	out->run_name = argv[optind];
	return 0;
}

/* "digits/1 train.2", as far as it is about these */
static void append_subject(struct buf *out, const json_t *event)
{
	buf_append_text(out, listing_text(event, "run"));
	if (json_is_string(json_object_get(event, "task")))
		buf_printf(out, " %s", listing_text(event, "task"));
	if (listing_number(event, "attempt") > 0)
		buf_printf(out, ".%lld", (long long)listing_number(event, "attempt"));
}

static void print_event(const json_t *event, const struct terminal *terminal)
{
	autobuf struct buf out = { 0 }, subject = { 0 };
	struct terminal_line line = terminal_line_start(terminal, &out, SIZE_MAX);
	char at[MOMENT_BYTES];

	append_subject(&subject, event);
	terminal_printf(&line, TERMINAL_DIM, "%-12s",
			moment_local(listing_time(event, "at"), clock_wall_ms(), at));
	terminal_printf(&line, TERMINAL_PLAIN, "  %-22s  %-20s", listing_text(event, "kind"),
			buf_text(&subject));
	if (listing_text(event, "detail")[0] != '\0')
		terminal_printf(&line, TERMINAL_PLAIN, "  %s", listing_text(event, "detail"));
	if (listing_text(event, "origin")[0] != '\0')
		terminal_printf(&line, TERMINAL_DIM, "  by %s (%s)", listing_text(event, "actor"),
				listing_text(event, "origin"));
	buf_append_byte(&out, '\n');
	fwrite(out.data, 1, out.bytes, stdout);
}

/* A line each: whoever follows wants them as they come. */
static void print_events(const json_t *answer, bool json)
{
	struct terminal terminal = terminal_of(stdout);
	json_t *events = json_object_get(answer, "events"), *event;
	size_t i;

	json_array_foreach(events, i, event)
	{
		if (!json) {
			print_event(event, &terminal);
			continue;
		}
		json_dumpf(event, stdout, JSON_COMPACT);
		putchar('\n');
	}
}

static int64_t last_id(const json_t *answer, int64_t before)
{
	json_t *events = json_object_get(answer, "events");
	size_t count = json_array_size(events);

	return count == 0 ? before : listing_number(json_array_get(events, count - 1), "id");
}

static bool goes_on(struct store *store, uint64_t run)
{
	autojson json_t *row = NULL;

	if (run == 0)
		return true;
	if (view_run_alone(store, run, &row, NULL) < 0)
		return false;
	return json_is_null(json_object_get(row, "ended"));
}

/* Until the run has ended (asked before the last look, so that nothing is missed), or for ever. */
static int follow(struct store *store, const struct arguments *arguments, uint64_t run, int64_t after,
		  struct err *err)
{
	struct view_events wanted = { .run = run, .limit = BATCH };

	for (;;) {
		autojson json_t *answer = NULL;
		bool more = goes_on(store, run);

		wanted.after = after;
		if (view_events(store, &wanted, &answer, err) < 0)
			return command_fail(err);
		print_events(answer, arguments->json);
		after = last_id(answer, after);
		if (command_end_output() != COMMAND_DONE)
			return COMMAND_FAILED;
		if (ferror(stdout) || (!more && json_array_size(json_object_get(answer, "events")) == 0))
			return COMMAND_DONE;
		if (json_array_size(json_object_get(answer, "events")) == 0)
			nanosleep(&(struct timespec){ .tv_nsec = LOOK_MS * 1000000L }, NULL);
	}
}

static int show(const struct arguments *arguments)
{
	struct view_events wanted = { .after = -1, .limit = (int)arguments->limit };
	autostore struct store *store = NULL;
	autojson json_t *answer = NULL;
	struct err err;
	int rc = command_open_reader(&store, &err);

	if (rc == ERR_NOT_FOUND && arguments->run_name == NULL && !arguments->follow) {
		answer = json_pack("{s:[]}", "events"); /* no state yet: nothing happened */
		rc = 0;
	} else if (rc == 0) {
		if (arguments->run_name != NULL)
			rc = command_find_run(store, arguments->run_name, &wanted.run, &err);
		if (rc == 0)
			rc = view_events(store, &wanted, &answer, &err);
	}
	if (rc < 0)
		return command_fail(&err);
	if (arguments->json && !arguments->follow)
		listing_print_json(answer);
	else
		print_events(answer, arguments->json);
	if (arguments->follow)
		return follow(store, arguments, wanted.run, last_id(answer, 0), &err);
	return command_end_output();
}

static int events(int argc, char **argv)
{
	struct arguments arguments = { 0 };
	int status = read_arguments(argc, argv, &arguments);

	return status != 0 ? status : show(&arguments);
}

const struct command command_events = {
	.name = "events",
	.synopsis = "[RUN] [-f] [-n N] [--json]",
	.summary = "the audit trail: who did what, when, from where",
	.help = "Prints the latest events, oldest of them first; with RUN only its own.\n"
		"\n"
		"  -f, --follow    go on with new ones as they come; with RUN until it has ended\n"
		"  -n, --limit N   at most N to begin with (50)\n"
		"      --json      for scripts; with -f an object a line\n",
	.main = events,
};
