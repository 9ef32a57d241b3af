/*
 * control_probe.c - control.c and the web server over a real state folder, for test_control.py
 *
 * control_probe STOKER [DAG FOLDER]
 *
 * Serves $STOKER_HOME/control.sock until stdin ends. What the daemon does for a trigger, a child does: a run is made
 * as a row, and `STOKER run --resume` drives it. All other changes answer with their arguments. Prints `port N` and
 * `ready`.
 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/clock.h"
#include "common/log.h"
#include "common/mem.h"
#include "common/scope.h"
#include "dag/diagnostic.h"
#include "dag/param.h"
#include "scheduler/command.h"
#include "scheduler/control.h"
#include "scheduler/token.h"
#include "web/metrics.h"
#include "web/web.h"

struct probe {
	uv_loop_t loop;
	const char *stoker;
	struct store *writer;
	struct registry *registry;
	struct web *web;
	uv_pipe_t input;
};

static struct probe probe;

/* --- trigger ---------------------------------------------------------------------------------------------- */

static void on_exit_of(uv_process_t *process, int64_t status, int signal)
{
	(void)status;
	(void)signal;
	web_publish(probe.web, "run.changed", json_pack("{s:s}", "run", (const char *)process->data));
	free(process->data);
	uv_close((uv_handle_t *)process, (uv_close_cb)free);
}

static int drive(const char *run, struct err *err)
{
	static char verb[] = "run", option[] = "--resume";
	char *words[] = { (char *)(uintptr_t)probe.stoker, verb, option, (char *)(uintptr_t)run, NULL };
	uv_process_t *process = mem_zalloc(sizeof *process);
	uv_process_options_t options = { .file = probe.stoker, .args = words, .exit_cb = on_exit_of };
	int rc = uv_spawn(&probe.loop, process, &options);

	process->data = mem_strdup(run);
	return rc < 0 ? err_set(err, ERR_IO, "spawn %s: %s", probe.stoker, uv_strerror(rc)) : 0;
}

static int bind_params(const struct dag *dag, json_t *params, struct arena *arena, json_t **out, struct err *err)
{
	const char *assignments[100], **values = NULL, *name;
	size_t count = 0;
	json_t *value;

	json_object_foreach(params, name, value) {
		if (count < COUNT_OF(assignments))
			assignments[count++] = arena_printf(arena, "%s=%s", name, json_string_value(value));
	}
	if (param_bind(dag, assignments, count, arena, &values, err) < 0)
		return err->code;
	*out = json_object();
	for (size_t i = 0; i < dag->params_count; i++)
		json_object_set_new(*out, dag->params[i].name, json_string(values[i]));
	return 0;
}

static int make_run(const struct dag *dag, const json_t *arguments, const struct web_caller *caller, char **name_out,
		    struct err *err)
{
	__attribute__((cleanup(arena_fini))) struct arena arena = { 0 };
	json_t *params = NULL;
	autofree char *text = NULL;
	struct store_new_run new_run = { .dag = dag, .trigger = "manual", .actor = caller->actor,
					 .origin = caller->origin, .wall_ms = clock_wall_ms() };
	const char *name;
	uint64_t run, number;
	int rc = bind_params(dag, json_object_get(arguments, "params"), &arena, &params, err);

	if (rc < 0)
		return rc;
	text = json_dumps(params, JSON_COMPACT);
	json_decref(params);
	new_run.params = text;
	rc = store_create_run(probe.writer, &new_run, &run, err);
	if (rc == 0)
		rc = store_name_run(probe.writer, run, &arena, &name, &number, err);
	if (rc == 0)
		*name_out = mem_printf("%s/%" PRIu64, name, number);
	return rc;
}

static void on_trigger(void *context, const json_t *arguments, const struct web_caller *caller, web_done *done,
		       void *done_context)
{
	const char *file = json_string_value(json_object_get(arguments, "file"));
	const char *name = json_string_value(json_object_get(arguments, "dag"));
	struct registry_dag *known = name == NULL ? NULL : registry_find(probe.registry, name);
	autofree char *run = NULL;
	struct diagnostics diagnostics;
	struct dag *loaded = NULL;
	struct err err = { 0 };

	(void)context;
	diagnostics_init(&diagnostics);
	if (file != NULL && dag_load(file, &loaded, &diagnostics) < 0)
		err_set(&err, ERR_INVALID, "%s has mistakes; stoker validate tells them", file);
	else if (file == NULL && known == NULL)
		err_set(&err, ERR_NOT_FOUND, "there is no DAG called %s", name);
	else if (make_run(loaded != NULL ? loaded : known->dag, arguments, caller, &run, &err) == 0)
		drive(run, &err);
	diagnostics_fini(&diagnostics);
	dag_free(loaded);
	done(done_context, err.code != ERR_OK ? NULL : json_pack("{s:s, s:s}", "run", run, "state", "queued"), &err);
}

static void on_echo(void *context, const json_t *arguments, const struct web_caller *caller, web_done *done,
		    void *done_context)
{
	(void)context;
	(void)caller;
	done(done_context, json_deep_copy(arguments), NULL);
}

static int on_read(void *context, enum web_read what, const struct web_query *query, json_t **out, struct err *err)
{
	(void)context;
	(void)query;
	(void)err;
	*out = what == WEB_HEALTH ? json_pack("{s:b, s:[]}", "ok", 1, "problems") : json_pack("{s:[]}", "pools");
	return 0;
}

static void on_metrics(void *context, struct metrics *out)
{
	(void)context;
	metrics_single(out, "stoker_loop_passes_total", "counter", "Passes of the loop.", 1);
}

/* --- the program ------------------------------------------------------------------------------------------ */

static void on_changed(void *context)
{
	(void)context;
}

static struct dag *recall(void *context, const char *path)
{
	(void)context;
	(void)path;
	return NULL;
}

static void on_alloc(uv_handle_t *handle, size_t wanted, uv_buf_t *out)
{
	static char bytes[1024];

	(void)handle;
	(void)wanted;
	*out = uv_buf_init(bytes, sizeof bytes);
}

static void on_input(uv_stream_t *stream, ssize_t n, const uv_buf_t *buf)
{
	(void)buf;
	if (n >= 0)
		return;
	web_close(probe.web);
	registry_stop(probe.registry);
	uv_close((uv_handle_t *)stream, NULL);
}

static int serve(const struct web_settings *settings, const struct control *control)
{
	struct err err;

	if (web_open(&probe.loop, settings, control_source(control), &probe.web, &err) < 0) {
		printf("refused %s\n", err.text);
		return 1;
	}
	printf("port %d\nready\n", web_port(probe.web, 0));
	fflush(stdout);
	uv_pipe_init(&probe.loop, &probe.input, 0);
	uv_pipe_open(&probe.input, STDIN_FILENO);
	uv_read_start((uv_stream_t *)&probe.input, on_alloc, on_input);
	uv_run(&probe.loop, UV_RUN_DEFAULT);
	return 0;
}

int main(int argc, char **argv)
{
	static const struct registry_handler handler = { on_changed, recall };
	struct control_desk desk = { .change = { [WEB_TRIGGER] = on_trigger, [WEB_PAUSE] = on_echo },
				     .read = on_read, .metrics = on_metrics };
	const char *listen[] = { "127.0.0.1:0" };
	const char *home;
	struct web_settings web_settings;
	struct settings *settings;
	struct store *reader;
	struct control *control;
	struct arena arena;
	struct err err;
	bool have_tokens;
	int status;

	arena_init(&arena);
	uv_loop_init(&probe.loop);
	probe.stoker = argv[1];
	if (command_load_settings(NULL, &settings) != 0 || store_home(&arena, &home, &err) < 0 ||
	    store_open(home, &probe.writer, &err) < 0 || store_open_reader(home, &reader, &err) < 0 ||
	    token_exists(reader, clock_wall_ms(), &have_tokens, &err) < 0)
		return command_fail(&err);
	probe.registry = registry_new(&probe.loop, &handler, NULL);
	registry_start(probe.registry, (const char *const *)argv + 2, argc > 2);
	web_settings = (struct web_settings){ .control_path = arena_printf(&arena, "%s/control.sock", home),
					      .listen = listen, .listen_count = 1, .have_tokens = have_tokens };
	control = control_new(reader, settings, probe.registry, &desk);
	status = serve(&web_settings, control);
	uv_run(&probe.loop, UV_RUN_DEFAULT);
	registry_free(probe.registry);
	control_free(control);
	store_close(reader);
	store_close(probe.writer);
	settings_free(settings);
	arena_fini(&arena);
	return uv_loop_close(&probe.loop) == 0 ? status : 3;
}
