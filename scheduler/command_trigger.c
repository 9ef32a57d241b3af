#include <jansson.h>
#include <stdlib.h>
#include <string.h>

#include "common/mem.h"
#include "common/scope.h"
#include "scheduler/client.h"
#include "scheduler/command.h"
#include "scheduler/follow.h"
#include "scheduler/listing.h"
#include "scheduler/view.h"

struct arguments {
	const char *target; /* a DAG's name, or a file */
	json_t *params;
	bool follow, wait, json;
};

static int add_param(struct arguments *arguments, const char *text)
{
	const char *equals = strchr(text, '=');
	autofree char *name = NULL;
	json_t *value;

	if (equals == NULL || equals == text)
		return command_usage(&command_trigger, "a parameter is NAME=VALUE, not '%s'", text);
	name = mem_strndup(text, (size_t)(equals - text));
	if (json_object_get(arguments->params, name) != NULL)
		return command_usage(&command_trigger, "parameter '%s' is set twice", name);
	value = json_string(equals + 1);
	if (value == NULL || json_object_set_new(arguments->params, name, value) < 0)
		return command_usage(&command_trigger, "parameter '%s' is no UTF-8", name);
	return 0;
}

static int read_arguments(int argc, char **argv, struct arguments *out)
{
	static const struct option options[] = {
		{ "param", required_argument, NULL, 'p' }, { "follow", no_argument, NULL, 'f' },
		{ "wait", no_argument, NULL, 'w' },	   { "json", no_argument, NULL, 'j' },
		{ NULL, 0, NULL, 0 },
	};
	int option;

	while ((option = command_option(&command_trigger, argc, argv, "p:f", options)) != -1) {
		if (option == '?' || (option == 'p' && add_param(out, optarg) != 0))
			return COMMAND_USAGE;
		out->follow |= option == 'f';
		out->wait |= option == 'w';
		out->json |= option == 'j';
	}
	if (optind + 1 != argc)
		return command_usage(&command_trigger, optind == argc ? "which DAG?" : "one DAG at a time");
	if (out->follow && out->json)
		return command_usage(&command_trigger, "--follow is for people, --json for scripts: with it use --wait");
	out->target = argv[optind];
	return 0;
}

/* A name has neither a slash nor such an ending. */
static bool is_file(const char *target)
{
	const char *dot = strrchr(target, '.');

	return strchr(target, '/') != NULL ||
	       (dot != NULL && (strcmp(dot, ".yaml") == 0 || strcmp(dot, ".yml") == 0));
}

/* What is asked of the daemon; NULL after the mistake was told. */
static json_t *make_body(const struct arguments *arguments)
{
	autofree char *path = NULL;

	if (!is_file(arguments->target))
		return json_pack("{s:s, s:O}", "dag", arguments->target, "params", arguments->params);
	path = realpath(arguments->target, NULL);
	if (path == NULL) {
		struct err err;

		err_errno(&err, "open %s", arguments->target);
		command_fail(&err);
		return NULL;
	}
	return json_pack("{s:s, s:O}", "file", path, "params", arguments->params);
}

static int wait_for(struct client **client, const struct arguments *arguments, const char *run)
{
	autojson json_t *answer = NULL;
	struct arena arena;
	struct err err;
	int status = follow_run(client, run, !arguments->follow), rc;

	if (!arguments->json || *client == NULL)
		return status;
	arena_init(&arena);
	rc = client_get(*client, client_run_path(&arena, run, ""), &answer, &err);
	arena_fini(&arena);
	if (rc < 0)
		return command_fail(&err);
	listing_print_json(answer);
	return command_end_output() == COMMAND_DONE ? status : COMMAND_FAILED;
}

static int trigger(const struct arguments *arguments)
{
	autojson json_t *body = make_body(arguments), *answer = NULL;
	autoclient struct client *client = NULL;
	struct err err;
	int status;

	if (body == NULL)
		return COMMAND_USAGE;
	status = client_connect(&client);
	if (status != 0)
		return status;
	if (client_post(client, "/api/v1/runs", body, &answer, &err) < 0)
		return command_fail(&err);
	if (!arguments->json)
		puts(listing_text(answer, "run"));
	else if (!arguments->wait)
		listing_print_json(answer);
	status = command_end_output();
	if (status != COMMAND_DONE || !(arguments->follow || arguments->wait))
		return status;
	return wait_for(&client, arguments, listing_text(answer, "run"));
}

static int trigger_command(int argc, char **argv)
{
	struct arguments arguments = { .params = json_object() };
	int status = read_arguments(argc, argv, &arguments);

	if (status == 0)
		status = trigger(&arguments);
	json_decref(arguments.params);
	return status;
}

const struct command command_trigger = {
	.name = "trigger",
	.synopsis = "DAG [-p NAME=VALUE]... [--follow | --wait] [--json]",
	.summary = "have the daemon start a run now",
	.help = "Makes a run of DAG, which is the name of one that the daemon has, or a file. The run is on\n"
		"disk when this returns; its name is printed on stdout.\n"
		"\n"
		"  -p, --param NAME=VALUE   set a parameter (repeat for more)\n"
		"  -f, --follow             tell what becomes of it, and what its steps print, until it has\n"
		"                           ended; Ctrl-C ends only the telling\n"
		"      --wait               only wait until it has ended\n"
		"      --json               for scripts: the answer; with --wait the whole run\n"
		"\n"
		"Exit status with --follow and --wait: 0 succeeded, 1 failed, 130 canceled. Without a daemon\n"
		"4: start one with `stoker serve`, or use `stoker run`.\n",
	.main = trigger_command,
};
