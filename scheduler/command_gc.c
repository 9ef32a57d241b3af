#include <inttypes.h>
#include <string.h>
#include <time.h>

#include "common/clock.h"
#include "common/mem.h"
#include "common/scope.h"
#include "scheduler/command.h"
#include "scheduler/gc.h"
#include "scheduler/listing.h"
#include "scheduler/moment.h"
#include "scheduler/view.h"

enum { PAUSE_LEAST_US = 1000 };

struct arguments {
	const char *config;
	bool dry;
	bool json;
	bool verbose;
};

struct telling {
	const struct arguments *arguments;
	json_t *removed;
	int64_t now_wall_ms;
	int64_t longest_us; /* that the database was held at a time */
};

static void scope_gc_free(struct gc **gc)
{
	gc_free(*gc);
}

/* --- what is told --------------------------------------------------------------------------------------- */

static void on_run(void *context, const char *dag, uint64_t number, int64_t ended_ms)
{
	struct telling *telling = context;
	char when[MOMENT_BYTES];

	if (telling->removed != NULL) {
		autofree char *name = mem_printf("%s/%" PRIu64, dag, number);

		json_array_append_new(telling->removed, json_string(name));
	} else if (telling->arguments->verbose) {
		printf("%s/%" PRIu64 "  ended %s\n", dag, number,
		       moment_local(ended_ms, telling->now_wall_ms, when));
	}
}

static void set_tally(json_t *answer, const char *key, const struct gc_tally *tally)
{
	json_object_set_new(answer, key,
			    json_pack("{s:I, s:I}", "count", (json_int_t)tally->count, "bytes",
				      (json_int_t)tally->bytes));
}

static void print_json(const struct gc_report *report, const struct telling *telling)
{
	autojson json_t *answer = json_object();

	json_object_set_new(answer, "dry_run", json_boolean(telling->arguments->dry));
	set_tally(answer, "runs", &report->runs);
	set_tally(answer, "logs", &report->logs);
	set_tally(answer, "metrics", &report->metrics);
	set_tally(answer, "events", &report->events);
	set_tally(answer, "folders", &report->folders);
	set_tally(answer, "sources", &report->sources);
	set_tally(answer, "fetched", &report->fetched);
	set_tally(answer, "backups", &report->backups);
	set_tally(answer, "left_over", &report->left_over);
	json_object_set_new(answer, "database_bytes", json_integer((json_int_t)report->database.bytes));
	json_object_set_new(answer, "longest_turn_us", json_integer((json_int_t)telling->longest_us));
	json_object_set_new(answer, "driven", json_integer((json_int_t)report->driven));
	json_object_set_new(answer, "failures", json_integer((json_int_t)report->failures));
	if (telling->arguments->verbose)
		json_object_set(answer, "removed", telling->removed);
	listing_print_json(answer);
}

static void print_text(const struct gc_report *report, const struct arguments *arguments)
{
	autobuf struct buf text = { 0 };

	gc_describe(report, &text);
	printf("%s %s\n", arguments->dry ? "would remove" : "removed", buf_text(&text));
	if (report->database.bytes > 0) {
		buf_clear(&text);
		listing_append_bytes(&text, (int64_t)report->database.bytes);
		printf("the database gives back %s\n", buf_text(&text));
	}
	if (report->driven > 0)
		printf("%" PRIu64 " old %s left alone: a process drives %s\n", report->driven,
		       report->driven == 1 ? "run is" : "runs are", report->driven == 1 ? "it" : "them");
}

/* --- the work ------------------------------------------------------------------------------------------- */

/* Whoever waits for the database tries again now and then: it must be free for about as long as it was not. */
static void pause_for(int64_t us)
{
	if (us < PAUSE_LEAST_US)
		us = PAUSE_LEAST_US;
	nanosleep(&(struct timespec){ .tv_sec = us / 1000000, .tv_nsec = us % 1000000 * 1000 }, NULL);
}

static int collect(struct gc *gc, struct store *store, struct telling *telling, struct err *err)
{
	enum gc_need need;

	while ((need = gc_need(gc)) != GC_DONE) {
		int64_t began_us = clock_mono_us(), took_us;

		if (need == GC_FILES) {
			gc_files(gc);
			continue;
		}
		if (gc_store(gc, store, err) < 0)
			return err->code;
		took_us = clock_mono_us() - began_us;
		if (took_us > telling->longest_us)
			telling->longest_us = took_us;
		if (!telling->arguments->dry)
			pause_for(took_us);
	}
	return 0;
}

static int open_store(const struct arguments *arguments, const char *home, struct store **out, struct err *err)
{
	int rc = store_open_reader(home, out, err);

	if (rc < 0 || arguments->dry)
		return rc;
	store_close(take(*out)); /* it is there: opening for writing would make one */
	return store_open(home, out, err);
}

static int run_gc(const struct arguments *arguments, const struct settings *settings)
{
	__attribute__((cleanup(arena_fini))) struct arena arena = { 0 };
	autostore struct store *store = NULL;
	autojson json_t *removed = arguments->json ? json_array() : NULL;
	struct telling telling = { arguments, removed, clock_wall_ms(), 0 };
	struct gc_plan plan = { .retention = &settings->retention, .now_wall_ms = clock_wall_ms(),
				.dry = arguments->dry, .tell = on_run, .context = &telling };
	__attribute__((cleanup(scope_gc_free))) struct gc *gc = NULL;
	struct err err;
	int rc = store_home(&arena, &plan.home, &err);

	if (rc == 0)
		rc = open_store(arguments, plan.home, &store, &err);
	if (rc < 0)
		return command_fail(&err);
	gc = gc_new(&plan);
	rc = collect(gc, store, &telling, &err);
	if (rc == 0 && !arguments->dry)
		rc = gc_record(gc, store, command_actor(&arena), command_origin(&arena), &err);
	if (arguments->json)
		print_json(gc_report(gc), &telling);
	else
		print_text(gc_report(gc), arguments);
	if (rc < 0)
		return command_fail(&err);
	if (gc_report(gc)->failures > 0) {
		err = gc_report(gc)->failure;
		command_fail(&err);
		return COMMAND_FAILED;
	}
	return command_end_output();
}

static int read_arguments(int argc, char **argv, struct arguments *out)
{
	static const struct option options[] = {
		{ "config", required_argument, NULL, 'C' },
		{ "dry-run", no_argument, NULL, 'n' },
		{ "json", no_argument, NULL, 'j' },
		{ "verbose", no_argument, NULL, 'v' },
		{ NULL, 0, NULL, 0 },
	};
	int option;

	while ((option = command_option(&command_gc, argc, argv, "nv", options)) != -1) {
		if (option == 'C')
			out->config = optarg;
		else if (option == 'n')
			out->dry = true;
		else if (option == 'j')
			out->json = true;
		else if (option == 'v')
			out->verbose = true;
		else
			return COMMAND_USAGE;
	}
	return optind == argc ? 0 : command_usage(&command_gc, "gc takes no names: what is kept stands in stoker.yaml");
}

static int gc_main(int argc, char **argv)
{
	autosettings struct settings *settings = NULL;
	struct arguments arguments = { 0 };
	int status = read_arguments(argc, argv, &arguments);

	if (status == 0)
		status = command_load_settings(arguments.config, &settings);
	return status != 0 ? status : run_gc(&arguments, settings);
}

const struct command command_gc = {
	.name = "gc",
	.synopsis = "[-n] [-v] [--json] [--config FILE]",
	.summary = "take away what has been kept for long enough",
	.help = "Removes what `retention` of stoker.yaml says is old: runs that have ended, logs, metrics, events,\n"
		"snapshots of sources that no run names, artifacts on their way. What goes on is never touched,\n"
		"nor the newest runs of a DAG. Other stokers can go on working; one that was killed is gone on with.\n"
		"\n"
		"  -n, --dry-run       only say what would go\n"
		"  -v, --verbose       name each run\n"
		"      --json          for scripts\n"
		"      --config FILE   the settings, in place of the usual stoker.yaml\n",
	.main = gc_main,
};
