#include <jansson.h>
#include <string.h>
#include <unistd.h>

#include "common/clock.h"
#include "common/scope.h"
#include "dag/suggest.h"
#include "scheduler/checkup.h"
#include "scheduler/client.h"
#include "scheduler/command.h"
#include "scheduler/findings.h"
#include "scheduler/listing.h"
#include "scheduler/terminal.h"
#include "scheduler/trust.h"
#include "scheduler/view.h"
#include "scheduler/view_rows.h"

enum { LOADS_MS = 2000 }; /* a daemon that is stuck does not keep the list */

struct arguments {
	const char *verb; /* NULL: list them */
	const char *worker;
	const char *config;
	bool json;
	bool yes;
	bool replace;
	const char *fingerprint;
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

/* How much is asked of it, beside its size, and what memory is left. */
static void add_load(struct table *table, const json_t *worker)
{
	const json_t *load = json_object_get(worker, "load");
	const json_t *load1 = json_object_get(load, "load1");
	const json_t *left = json_object_get(load, "memory_available_bytes");
	autobuf struct buf text = { 0 };

	if (json_is_number(load1))
		buf_printf(&text, "%.1f", json_number_value(load1));
	if (json_is_integer(left)) {
		buf_append_text(&text, text.bytes > 0 ? ", " : "");
		listing_append_bytes(&text, json_integer_value(left));
		buf_append_text(&text, " free");
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

static bool knows_loads(const json_t *workers)
{
	const json_t *worker;
	size_t i;

	json_array_foreach(workers, i, worker)
		if (json_is_object(json_object_get(worker, "load")))
			return true;
	return false;
}

static void print_table(const json_t *answer)
{
	static const struct table_column columns[] = { { "WORKER", false }, { "STATE", false },
						       { "LABELS", false }, { "SIZE", false },
						       { "LOAD", false },   { "SEEN", false },
						       { "REMARK", false } };
	static const struct table_column without[] = { { "WORKER", false }, { "STATE", false },
						       { "LABELS", false }, { "SIZE", false },
						       { "SEEN", false },   { "REMARK", false } };
	json_t *workers = json_object_get(answer, "workers"), *worker;
	bool loads = knows_loads(workers);
	int64_t now_wall_ms = clock_wall_ms();
	autotable struct table table;
	size_t i;

	table_init(&table, loads ? columns : without, loads ? COUNT_OF(columns) : COUNT_OF(without));
	json_array_foreach(workers, i, worker) {
		table_text(&table, TERMINAL_BOLD, listing_text(worker, "worker"));
		add_state(&table, worker);
		add_labels(&table, worker);
		add_size(&table, worker);
		if (loads)
			add_load(&table, worker);
		listing_add_when(&table, listing_time(worker, "seen"), now_wall_ms);
		add_remark(&table, worker);
	}
	table_print(&table, stdout);
}

static const json_t *find_told(const json_t *told, const char *name)
{
	const json_t *worker;
	size_t i;

	json_array_foreach(json_object_get(told, "workers"), i, worker)
		if (strcmp(listing_text(worker, "worker"), name) == 0)
			return worker;
	return NULL;
}

/* One of another address is another machine: STOKER_SOCKET may name somebody else's daemon. */
static void take_load(json_t *worker, const json_t *told)
{
	if (told != NULL && json_equal(json_object_get(worker, "address"), json_object_get(told, "address")))
		json_object_set(worker, "load", json_object_get(told, "load"));
}

/* Only a daemon knows how busy the workers are; without one, nothing is said of it. */
static void add_loads(json_t *answer)
{
	__attribute__((cleanup(arena_fini))) struct arena arena = { 0 };
	autoclient struct client *client = NULL;
	autojson json_t *told = NULL;
	json_t *worker;
	const char *home;
	struct err err;
	size_t i;

	if (store_home(&arena, &home, &err) < 0 || client_open(home, &client, &err) < 0)
		return;
	client_limit(client, LOADS_MS);
	if (client_get(client, "/api/v1/workers", &told, &err) < 0)
		return;
	json_array_foreach(json_object_get(answer, "workers"), i, worker)
		take_load(worker, find_told(told, listing_text(worker, "worker")));
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
	add_loads(answer);
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

/* --- check ---------------------------------------------------------------------------------------------- */

static void on_step(void *context, const struct frame_finding *finding)
{
	findings_add(context, finding);
}

static void end_report(struct findings *report, const char *worker, bool good)
{
	if (report->steps != NULL) {
		autojson json_t *answer = json_pack("{s:s, s:b, s:O}", "worker", worker, "ok", good, "steps",
						    report->steps);

		listing_print_json(answer);
		json_decref(report->steps);
	} else if (good) {
		printf("%s can be used%s\n", worker,
		       report->warnings > 0 ? ", with what is said above in mind" : "");
	} else {
		printf("%s cannot be used: %d problem%s\n", worker, report->problems,
		       report->problems == 1 ? "" : "s");
	}
}

/* Without a state any name does: nothing is claimed with it. */
static void name_home(const char *home, struct findings *report, const char *worker, char name[13])
{
	__attribute__((cleanup(arena_fini))) struct arena arena = { 0 };
	autostore struct store *store = NULL;
	const char **drained;
	size_t count;
	struct err err;

	strcpy(name, "000000000000");
	if (store_open_reader(home, &store, &err) < 0)
		return;
	memcpy(name, store->name, sizeof store->name);
	if (store_drained_workers(store, &arena, &drained, &count, &err) < 0)
		return;
	for (size_t i = 0; i < count; i++)
		if (strcmp(drained[i], worker) == 0)
			on_step(report, &(struct frame_finding){
						.name = "drained",
						.verdict = FINDING_WARNING,
						.text = "nothing new is started there",
						.remedy = arena_printf(&arena, "stoker workers undrain %s",
								       worker) });
}

static int check(const struct arguments *arguments, const struct settings *settings)
{
	__attribute__((cleanup(arena_fini))) struct arena arena = { 0 };
	struct findings report;
	struct checkup_plan plan = { .settings = settings,
				     .worker = settings_find(settings, arguments->worker) };
	char home_name[13];
	struct err err;
	bool good;
	int status;

	if (store_home(&arena, &plan.home, &err) < 0)
		return command_fail(&err);
	findings_init(&report, arguments->json);
	name_home(plan.home, &report, arguments->worker, home_name);
	plan.home_name = home_name;
	if (checkup_run(&plan, on_step, &report, &good, &err) < 0) {
		json_decref(report.steps);
		return command_fail(&err);
	}
	end_report(&report, arguments->worker, good);
	status = command_end_output();
	return status != COMMAND_DONE ? status : good ? COMMAND_DONE : COMMAND_FAILED;
}

/* --- trust ---------------------------------------------------------------------------------------------- */

static int record_trust(const struct arguments *arguments, const char *keys)
{
	__attribute__((cleanup(arena_fini))) struct arena arena = { 0 };
	autostore struct store *store = NULL;
	const char *home;
	struct err err;
	int rc = store_home(&arena, &home, &err);

	if (rc == 0)
		rc = store_open(home, &store, &err);
	if (rc == 0)
		rc = store_trust_worker(store, arguments->worker, keys, command_actor(&arena),
					command_origin(&arena), clock_wall_ms(), &err);
	return rc < 0 ? command_fail(&err) : COMMAND_DONE;
}

static int trust(const struct arguments *arguments, const struct settings *settings)
{
	const struct settings_worker *worker = settings_find(settings, arguments->worker);
	struct trust_plan plan = { .target = &worker->target,
				   .yes = arguments->yes,
				   .replace = arguments->replace,
				   .fingerprint = arguments->fingerprint };
	char keys[TRUST_TEXT_BYTES];
	enum trust_outcome outcome;
	struct err err;
	int rc;

	if (!worker->terms.remote)
		return command_usage(&command_workers, "%s is this machine: there is no key to trust",
				     arguments->worker);
	rc = trust_run(&plan, &outcome, keys, &err);
	/* What was added is recorded, also when something failed after it. */
	if (keys[0] != '\0' && record_trust(arguments, keys) != COMMAND_DONE)
		return COMMAND_FAILED;
	if (rc < 0) {
		command_fail(&err);
		return COMMAND_FAILED;
	}
	if (outcome == TRUST_KNOWN_ALREADY)
		fprintf(stderr, "stoker: %s is trusted already\n", arguments->worker);
	else if (outcome == TRUST_DECLINED)
		fputs("stoker: nothing was added\n", stderr);
	return outcome == TRUST_DECLINED ? COMMAND_FAILED : COMMAND_DONE;
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

static int drain_worker(const struct arguments *arguments, const struct settings *settings)
{
	(void)settings;
	return drain(arguments, true);
}

static int undrain_worker(const struct arguments *arguments, const struct settings *settings)
{
	(void)settings;
	return drain(arguments, false);
}

static const struct verb {
	const char *name;
	int (*main)(const struct arguments *arguments, const struct settings *settings);
	bool json;
	bool trusts;  /* takes the options of `trust` */
	bool unnamed; /* also for a worker that is not in the settings any more */
} verbs[] = {
	{ "check", check, .json = true },
	{ "drain", drain_worker },
	{ "trust", trust, .trusts = true },
	{ "undrain", undrain_worker, .unnamed = true },
};

static const struct verb *find_verb(const char *name)
{
	for (size_t i = 0; i < COUNT_OF(verbs); i++)
		if (strcmp(verbs[i].name, name) == 0)
			return &verbs[i];
	return NULL;
}

static int refuse_verb(const char *name)
{
	struct suggest near = suggest_for(name);

	for (size_t i = 0; i < COUNT_OF(verbs); i++)
		suggest_offer(&near, verbs[i].name, NULL);
	if (suggest_best(&near) != NULL)
		return command_usage(&command_workers,
				     "'%s' is nothing that can be done with a worker; did you mean '%s'?",
				     name, suggest_best(&near));
	return command_usage(&command_workers, "'%s' is nothing that can be done with a worker", name);
}

static int check_options(const struct arguments *arguments, const struct verb *verb)
{
	if (arguments->json && verb != NULL && !verb->json)
		return command_usage(&command_workers, "`%s` has no --json", verb->name);
	if ((arguments->yes || arguments->replace || arguments->fingerprint != NULL) &&
	    (verb == NULL || !verb->trusts))
		return command_usage(&command_workers, "--yes, --fingerprint and --replace are for `trust`");
	return 0;
}

static int read_arguments(int argc, char **argv, struct arguments *out)
{
	static const struct option options[] = {
		{ "config", required_argument, NULL, 'C' }, { "fingerprint", required_argument, NULL, 'f' },
		{ "json", no_argument, NULL, 'j' },	    { "replace", no_argument, NULL, 'r' },
		{ "yes", no_argument, NULL, 'y' },	    { NULL, 0, NULL, 0 },
	};
	int option;

	while ((option = command_option(&command_workers, argc, argv, "", options)) != -1) {
		if (option == 'C')
			out->config = optarg;
		else if (option == 'f')
			out->fingerprint = optarg;
		else if (option == 'j')
			out->json = true;
		else if (option == 'r')
			out->replace = true;
		else if (option == 'y')
			out->yes = true;
		else
			return COMMAND_USAGE;
	}
	if (optind == argc)
		return check_options(out, NULL);
	out->verb = argv[optind];
	if (find_verb(out->verb) == NULL)
		return refuse_verb(out->verb);
	if (optind + 2 != argc)
		return command_usage(&command_workers,
				     optind + 2 > argc ? "which worker?" : "one worker at a time");
	out->worker = argv[optind + 1];
	return check_options(out, find_verb(out->verb));
}

static int workers(int argc, char **argv)
{
	autosettings struct settings *settings = NULL;
	struct arguments arguments = { 0 };
	int status = read_arguments(argc, argv, &arguments);
	const struct verb *verb;

	if (status == 0)
		status = command_load_settings(arguments.config, &settings);
	if (status != 0)
		return status;
	if (arguments.verb == NULL)
		return list(&arguments, settings);
	verb = find_verb(arguments.verb);
	if (settings_find(settings, arguments.worker) == NULL && !verb->unnamed)
		return refuse_worker(settings, arguments.worker);
	return verb->main(&arguments, settings);
}

const struct command command_workers = {
	.name = "workers",
	.synopsis = "[check NAME | trust NAME | drain NAME | undrain NAME] [OPTIONS]",
	.summary = "the machines that work: what they have, what they run, what is wrong",
	.help = "Without a verb: lists the workers of stoker.yaml as they were seen last; with a daemon\n"
		"that is connected to them, how busy they are, too.\n"
		"\n"
		"  check NAME     try everything that a run needs there, and say what is wrong and how to "
		"mend it\n"
		"  trust NAME     show the key of its host, ask, and add it to your known_hosts\n"
		"  drain NAME     start nothing new there; what runs goes on\n"
		"  undrain NAME   take tasks there again\n"
		"\n"
		"      --config FILE            the settings, in place of the usual stoker.yaml\n"
		"      --json                   the list, or the check, for scripts\n"
		"      --yes                    trust: do not ask\n"
		"      --fingerprint SHA256:... trust: this key and no other; do not ask\n"
		"      --replace                trust: also when it is known by another key\n"
		"\n"
		"`check` exits with 0 when a run would work there, else with 1.\n",
	.main = workers,
};
