#include <jansson.h>

#include "common/scope.h"
#include "dag/dag.h"
#include "dag/diagnostic.h"
#include "scheduler/command.h"
#include "scheduler/listing.h"
#include "scheduler/view_rows.h"

struct arguments {
	bool quiet;
	bool json;
};

static json_t *diagnostic_object(const struct diagnostic *diagnostic)
{
	json_t *object = json_object();

	view_set_text(object, "severity", diagnostic->severity == DIAGNOSTIC_ERROR ? "error" : "warning");
	view_set_text(object, "path", diagnostic->path);
	/* Line 0: it is about the file as a whole. */
	json_object_set_new(object, "line",
			    diagnostic->at.line == 0 ? json_null() : json_integer(diagnostic->at.line));
	json_object_set_new(object, "column",
			    diagnostic->at.line == 0 ? json_null() : json_integer(diagnostic->at.column));
	view_set_number(object, "width", diagnostic->width);
	view_set_text(object, "message", diagnostic->message);
	json_object_set_new(object, "remedy", view_string_or_null(diagnostic->remedy));
	return object;
}

static json_t *file_object(const char *path, const struct dag *dag, struct diagnostics *diagnostics)
{
	json_t *object = json_object(), *list = json_array();

	view_set_text(object, "file", path);
	json_object_set_new(object, "ok", json_boolean(dag != NULL));
	json_object_set_new(object, "dag", dag == NULL ? json_null() : view_string(dag->name));
	json_object_set_new(object, "steps",
			    dag == NULL ? json_null() : json_integer((json_int_t)dag->steps_count));
	view_set_number(object, "errors", (int64_t)diagnostics->errors);
	view_set_number(object, "warnings", (int64_t)diagnostics->warnings);
	diagnostics_sort(diagnostics);
	for (size_t i = 0; i < diagnostics->count; i++)
		json_array_append_new(list, diagnostic_object(&diagnostics->items[i]));
	json_object_set_new(object, "diagnostics", list);
	return object;
}

static void print_ok(const char *path, const struct dag *dag)
{
	autobuf struct buf name = { 0 };

	terminal_escape(&name, path);
	printf("%s: ok: %zu %s\n", buf_text(&name), dag->steps_count,
	       dag->steps_count == 1 ? "step" : "steps");
}

/* Appends to `files` where the answer is to be JSON. */
static int check(const char *path, const struct arguments *arguments, json_t *files)
{
	autodiagnostics struct diagnostics diagnostics;
	autodag struct dag *dag = NULL;
	int rc;

	diagnostics_init(&diagnostics);
	rc = dag_load(path, &dag, &diagnostics);
	if (arguments->json)
		json_array_append_new(files, file_object(path, dag, &diagnostics));
	else
		diagnostics_print(&diagnostics, stderr, command_color(stderr));
	if (rc == 0 && !arguments->json && !arguments->quiet)
		print_ok(path, dag);
	return rc < 0 ? COMMAND_USAGE : COMMAND_DONE;
}

static int check_all(char **paths, const struct arguments *arguments)
{
	json_t *answer = json_object(), *files = json_array();
	int status = COMMAND_DONE, printed;

	json_object_set_new(answer, "files", files);
	for (; *paths != NULL; paths++)
		if (check(*paths, arguments, files) != COMMAND_DONE)
			status = COMMAND_USAGE;
	if (arguments->json)
		listing_print_json(answer);
	json_decref(answer);
	printed = command_end_output();
	return status == COMMAND_DONE ? printed : status;
}

static int validate(int argc, char **argv)
{
	static const struct option options[] = {
		{ "quiet", no_argument, NULL, 'q' },
		{ "json", no_argument, NULL, 'j' },
		{ NULL, 0, NULL, 0 },
	};
	struct arguments arguments = { 0 };
	int option;

	while ((option = command_option(&command_validate, argc, argv, "q", options)) != -1) {
		if (option == 'q')
			arguments.quiet = true;
		else if (option == 'j')
			arguments.json = true;
		else
			return COMMAND_USAGE;
	}
	if (optind == argc)
		return command_usage(&command_validate, "which file?");
	return check_all(argv + optind, &arguments);
}

const struct command command_validate = {
	.name = "validate",
	.synopsis = "FILE... [-q] [--json]",
	.summary = "check DAG files: every mistake, with line and column",
	.help = "Reads each FILE as `stoker run` would and reports every mistake at once, on stderr. Nothing "
		"is\n"
		"started and nothing stored. Exit status: 0 when all are good (warnings do not count), else "
		"2.\n"
		"\n"
		"  -q, --quiet   say nothing about good files\n"
		"      --json    diagnostics on stdout, for scripts\n",
	.main = validate,
};
