#include <string.h>

#include "common/clock.h"
#include "common/scope.h"
#include "dag/suggest.h"
#include "scheduler/command.h"
#include "scheduler/listing.h"
#include "scheduler/view.h"

struct arguments {
	const char *verb; /* NULL: list them */
	const char *worker;
	const char *config;
	bool json;
};

/* --- the list ------------------------------------------------------------------------------------------- */

static void add_state(struct table *table, const json_t *worker)
{
	const char *state = listing_text(worker, "state");
	bool bad = strcmp(state, "failing") == 0 || strcmp(state, "set aside") == 0;

	table_text(table, bad ? TERMINAL_RED : strcmp(state, "ok") == 0 ? TERMINAL_GREEN : TERMINAL_PLAIN, state);
}

static void add_size(struct table *table, const json_t *worker)
{
	autobuf struct buf text = { 0 };

	if (listing_number(worker, "memory_bytes") > 0) {
		buf_printf(&text, "%g cpus, ", json_number_value(json_object_get(worker, "cpus")));
		listing_append_bytes(&text, listing_number(worker, "memory_bytes"));
		if (listing_number(worker, "gpus") > 0)
			buf_printf(&text, ", %d gpus", (int)listing_number(worker, "gpus"));
	}
	table_text(table, TERMINAL_PLAIN, buf_text(&text));
}

/* What it does, else what is wrong with it. */
static void add_remark(struct table *table, const json_t *worker)
{
	const json_t *running = json_object_get(worker, "running");
	autobuf struct buf text = { 0 };

	for (size_t i = 0; i < json_array_size(running) && i < 3; i++) {
		const json_t *holder = json_array_get(running, i);

		buf_printf(&text, "%s%s %s", i == 0 ? "runs " : ", ", listing_text(holder, "run"),
			   listing_text(holder, "task"));
	}
	if (json_array_size(running) > 3)
		buf_printf(&text, " and %zu more", json_array_size(running) - 3);
	if (listing_text(worker, "drained_by")[0] != '\0')
		buf_printf(&text, "%sdrained by %s", text.bytes > 0 ? "; " : "", listing_text(worker, "drained_by"));
	if (listing_text(worker, "aside")[0] != '\0')
		buf_printf(&text, "%s%s", text.bytes > 0 ? "; " : "", listing_text(worker, "aside"));
	else if (listing_text(worker, "trouble")[0] != '\0')
		buf_printf(&text, "%s%s", text.bytes > 0 ? "; " : "", listing_text(worker, "trouble"));
	table_text(table, TERMINAL_PLAIN, buf_text(&text));
}

static void add_labels(struct table *table, const json_t *worker)
{
	const json_t *labels = json_object_get(worker, "labels");
	autobuf struct buf text = { 0 };

	for (size_t i = 0; i < json_array_size(labels); i++)
		buf_printf(&text, "%s%s", i == 0 ? "" : " ", json_string_value(json_array_get(labels, i)));
	table_text(table, TERMINAL_PLAIN, buf_text(&text));
}

static void print_table(const json_t *answer)
{
	static const struct table_column columns[] = { { "WORKER", false }, { "STATE", false },
						       { "LABELS", false }, { "SIZE", false },
						       { "SEEN", false },   { "REMARK", false } };
	json_t *workers = json_object_get(answer, "workers"), *worker;
	int64_t now_wall_ms = clock_wall_ms();
	autotable struct table table;
	size_t i;

	table_init(&table, columns, COUNT_OF(columns));
	json_array_foreach(workers, i, worker) {
		table_text(&table, TERMINAL_BOLD, listing_text(worker, "worker"));
		add_state(&table, worker);
		add_labels(&table, worker);
		add_size(&table, worker);
		listing_add_when(&table, listing_time(worker, "seen"), now_wall_ms);
		add_remark(&table, worker);
	}
	table_print(&table, stdout);
}

/* A state folder that is not there yet has seen no worker, which is an answer and no error. */
static int list(const struct arguments *arguments, const struct settings *settings)
{
	autojson json_t *answer = NULL;
	autostore struct store *store = NULL;
	struct err err;
	int rc = command_open_reader(&store, &err);

	if (rc == ERR_NOT_FOUND)
		answer = view_workers_unseen(settings);
	else if (rc < 0 || view_workers(store, settings, clock_wall_ms(), &answer, &err) < 0)
		return command_fail(&err);
	if (arguments->json)
		listing_print_json(answer);
	else
		print_table(answer);
	return command_end_output();
}

/* --- drain, undrain ------------------------------------------------------------------------------------- */

static int drain(const struct arguments *arguments, bool on)
{
	__attribute__((cleanup(arena_fini))) struct arena arena = { 0 };
	autostore struct store *store = NULL;
	const char *home;
	struct err err;
	int rc = store_home(&arena, &home, &err);

	if (rc == 0)
		rc = store_open(home, &store, &err);
	if (rc == 0)
		rc = (on ? store_drain_worker : store_undrain_worker)(store, arguments->worker,
								     command_actor(&arena),
								     command_origin(&arena), clock_wall_ms(),
								     &err);
	if (rc < 0)
		return command_fail(&err);
	fprintf(stderr,
		on ? "stoker: %s starts nothing new; what runs there goes on (`stoker workers undrain %s` ends that)\n"
		   : "stoker: %s takes tasks again\n",
		arguments->worker, arguments->worker);
	return COMMAND_DONE;
}

/* --- arguments ------------------------------------------------------------------------------------------ */

static int refuse_worker(const struct settings *settings, const char *name)
{
	struct suggest near = suggest_for(name);
	struct err err;

	for (size_t i = 0; i < settings->workers_count; i++)
		suggest_offer(&near, settings->workers[i].name, NULL);
	err_set(&err, ERR_NOT_FOUND, "there is no worker '%s'%s%s%s%s%s", name,
		settings->path == NULL ? "; workers are named in ~/.config/stoker/stoker.yaml" : " in ",
		settings->path == NULL ? "" : settings->path, suggest_best(&near) == NULL ? "" : "; did you mean '",
		suggest_best(&near) == NULL ? "" : suggest_best(&near), suggest_best(&near) == NULL ? "" : "'?");
	return command_fail(&err);
}

static int read_arguments(int argc, char **argv, struct arguments *out)
{
	static const struct option options[] = {
		{ "config", required_argument, NULL, 'C' },
		{ "json", no_argument, NULL, 'j' },
		{ NULL, 0, NULL, 0 },
	};
	int option;

	while ((option = command_option(&command_workers, argc, argv, "", options)) != -1) {
		if (option == 'C')
			out->config = optarg;
		else if (option == 'j')
			out->json = true;
		else
			return COMMAND_USAGE;
	}
	if (optind == argc)
		return 0;
	out->verb = argv[optind];
	if (strcmp(out->verb, "drain") != 0 && strcmp(out->verb, "undrain") != 0)
		return command_usage(&command_workers, "'%s' is nothing that can be done with a worker", out->verb);
	if (optind + 2 != argc)
		return command_usage(&command_workers, "which worker?");
	out->worker = argv[optind + 1];
	return 0;
}

static int workers(int argc, char **argv)
{
	autosettings struct settings *settings = NULL;
	struct arguments arguments = { 0 };
	int status = read_arguments(argc, argv, &arguments);

	if (status == 0)
		status = command_load_settings(arguments.config, &settings);
	if (status != 0)
		return status;
	if (arguments.verb == NULL)
		return list(&arguments, settings);
	/* Also one that was configured once can be undrained. */
	if (settings_find(settings, arguments.worker) == NULL && strcmp(arguments.verb, "undrain") != 0)
		return refuse_worker(settings, arguments.worker);
	return drain(&arguments, strcmp(arguments.verb, "drain") == 0);
}

const struct command command_workers = {
	.name = "workers",
	.synopsis = "[drain NAME | undrain NAME] [--config FILE] [--json]",
	.summary = "the machines that work: what they have, what they run, what is wrong",
	.help = "Without a verb: lists the workers of stoker.yaml as they were seen last.\n"
		"\n"
		"  drain NAME     start nothing new there; what runs goes on\n"
		"  undrain NAME   take tasks there again\n"
		"\n"
		"      --config FILE   the settings, in place of the usual stoker.yaml\n"
		"      --json          the list for scripts\n",
	.main = workers,
};
