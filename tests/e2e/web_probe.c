/*
 * web_probe.c - the web server without a scheduler, for test_web.py
 *
 * web_probe FOLDER [--listen ADDRESS]... [--host NAME] [--certificate F --key F] [--behind-proxy] [--no-tokens]
 *           [--shared PATH --group NAME] [--request-ms N]
 *
 * Listens on FOLDER/control.sock and the addresses, and prints `port N` for each, then `ready`. Reads answer with what
 * was asked for. Logs are FOLDER/<task>.<attempt>.log, growing while FOLDER/<task>.growing is there. The tokens are
 * stoker_viewer, stoker_operator, stoker_admin, and stoker_gone, which has expired. Each line of stdin is published
 * as an event: `KIND JSON`; its end ends the server. Runs of the DAG `gated` are read aside, as soon as FOLDER/gate is
 * there; each read makes FOLDER/reading.N first, and tells N. While FOLDER/moving is there, the source changes all the time.
 */
#include <getopt.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/log.h"
#include "common/mem.h"
#include "common/scope.h"
#include "web/auth.h"
#include "web/metrics.h"
#include "web/web.h"

enum { LISTEN_MAX = 4, SLOW_MS = 300, GATE_US = 2000, GATE_TRIES = 10000 };

struct probe {
	uv_loop_t loop;
	int reads; /* aside */
	int64_t version;
	struct web *web;
	const char *folder;
	uv_pipe_t input;
	struct buf line;
	char chunk[65536];
};

/* --- reads ------------------------------------------------------------------------------------------------ */

static json_t *text_or_null(const char *text)
{
	return text == NULL ? json_null() : json_string(text);
}

static json_t *echo(enum web_read what, const struct web_query *query)
{
	return json_pack("{s:i, s:o, s:o, s:o, s:o, s:o, s:i, s:I, s:I, s:i}", "what", (int)what, "dag",
			 text_or_null(query->dag), "run", text_or_null(query->run), "task", text_or_null(query->task),
			 "worker", text_or_null(query->worker), "state", text_or_null(query->state), "limit",
			 query->limit, "before", (json_int_t)query->before, "after", (json_int_t)query->after,
			 "attempt", (int)query->attempt);
}

/* About 2 KB, of which a list of runs is made. */
static json_t *many(int limit)
{
	json_t *runs = json_array();

	for (int i = 0; i < limit; i++)
		json_array_append_new(runs, json_pack("{s:s, s:s, s:i, s:s, s:s, s:s, s:b}", "run", "digits/1", "dag",
						      "digits", "number", i, "state", "succeeded", "started",
						      "2026-11-23T02:30:00.125Z", "ended", "2026-11-23T02:35:00.125Z",
						      "orphaned", 0));
	return json_pack("{s:o, s:n}", "runs", runs, "next");
}

static int on_read(void *context, enum web_read what, const struct web_query *query, json_t **out, struct err *err)
{
	(void)context;
	if (query->dag != NULL && strcmp(query->dag, "missing") == 0)
		return err_set(err, ERR_NOT_FOUND, "no DAG called <b>%s\xff</b> has run here", query->dag);
	if (what == WEB_HEALTH)
		*out = json_pack("{s:b}", "ok", 1);
	else if (what == WEB_RUNS)
		*out = many(query->limit);
	else
		*out = echo(what, query);
	return 0;
}

static int on_log(void *context, const struct web_query *query, struct web_log *out, struct err *err)
{
	struct probe *probe = context;
	char growing[5000];

	if (strcmp(query->task, "none") == 0)
		return err_set(err, ERR_NOT_FOUND, "the run has no task %s", query->task);
	out->attempt = query->attempt == 0 ? 1 : query->attempt;
	snprintf(out->path, sizeof out->path, "%s/%s.%" PRIu32 ".log", probe->folder, query->task, out->attempt);
	snprintf(growing, sizeof growing, "%s/%s.growing", probe->folder, query->task);
	out->growing = access(growing, F_OK) == 0;
	return 0;
}

static int on_token(void *context, const char *digest, struct web_token *out, struct err *err)
{
	static const struct {
		const char *secret;
		enum web_role role;
	} tokens[] = { { "stoker_viewer", WEB_VIEWER },
		       { "stoker_operator", WEB_OPERATOR },
		       { "stoker_admin", WEB_ADMIN },
		       { "stoker_gone", WEB_NOBODY } };
	char known[WEB_DIGEST_BYTES];
	struct probe *probe = context;
	char revoked[5000];

	for (size_t i = 0; i < COUNT_OF(tokens); i++) {
		if (strcmp(auth_digest(tokens[i].secret, known), digest) != 0)
			continue;
		snprintf(revoked, sizeof revoked, "%s/%s.revoked", probe->folder, tokens[i].secret);
		out->role = access(revoked, F_OK) == 0 ? WEB_NOBODY : tokens[i].role;
		snprintf(out->name, sizeof out->name, "%s", tokens[i].secret + 7);
		return 0;
	}
	return err_set(err, ERR_NOT_FOUND, "there is no such token");
}

static int on_metrics(void *context, struct metrics *out, struct err *err)
{
	(void)context;
	(void)err;
	metrics_single(out, "stoker_queue_age_seconds", "gauge", "Age of the oldest run in the queue.", 1.5);
	metrics_family(out, "stoker_runs", "gauge", "Runs that go on, by their state.");
	metrics_sample(out, 3, "state", "running", "dag", "od\"d\\\n\xff", NULL);
	return 0;
}

static bool have(const struct probe *probe, const char *name)
{
	autofree char *path = mem_printf("%s/%s", probe->folder, name);

	return access(path, F_OK) == 0;
}

static int64_t on_version(void *context, enum web_read what)
{
	struct probe *probe = context;

	(void)what;
	probe->version += have(probe, "moving");
	return probe->version;
}

/* --- reads by a thread ------------------------------------------------------------------------------------ */

static bool aside_wants(enum web_read what, const struct web_query *query)
{
	return (what == WEB_RUN || what == WEB_RUN_WHY) && strncmp(query->run, "gated/", 6) == 0;
}

static void *aside_prepare(void *context, enum web_read what, const struct web_query *query)
{
	(void)what;
	(void)query;
	return context;
}

static int aside_read(void *prepared, enum web_read what, const struct web_query *query, json_t **out,
		      struct err *err)
{
	struct probe *probe = prepared;
	autofree char *path = mem_printf("%s/reading.%d", probe->folder, ++probe->reads);

	fclose(fopen(path, "we"));
	for (int i = 0; i < GATE_TRIES && !have(probe, "gate"); i++)
		usleep(GATE_US);
	if (strcmp(query->run, "gated/404") == 0)
		return err_set(err, ERR_NOT_FOUND, "there is no run %s", query->run);
	*out = echo(what, query);
	json_object_set_new(*out, "read", json_integer(probe->reads));
	return 0;
}

static void aside_forget(void *prepared)
{
	(void)prepared;
}

static const struct web_aside aside = { aside_wants, aside_prepare, aside_read, NULL, aside_forget };

/* --- changes ---------------------------------------------------------------------------------------------- */

struct slow {
	uv_timer_t timer;
	web_done *done;
	void *context;
};

static void on_slow_closed(uv_handle_t *handle)
{
	free(handle->data);
}

static void on_slow(uv_timer_t *timer)
{
	struct slow *slow = timer->data;

	slow->done(slow->context, json_pack("{s:s, s:s}", "run", "slow/1", "state", "queued"), NULL);
	uv_close((uv_handle_t *)timer, on_slow_closed);
}

static void answer_slowly(struct probe *probe, web_done *done, void *context)
{
	struct slow *slow = mem_zalloc(sizeof *slow);

	slow->done = done;
	slow->context = context;
	slow->timer.data = slow;
	uv_timer_init(&probe->loop, &slow->timer);
	uv_timer_start(&slow->timer, on_slow, SLOW_MS, 0);
}

static void on_change(void *context, enum web_verb verb, const json_t *arguments, const struct web_caller *caller,
		      web_done *done, void *done_context)
{
	const char *dag = json_string_value(json_object_get(arguments, "dag"));
	struct err err;

	if (dag != NULL && strcmp(dag, "slow") == 0) {
		answer_slowly(context, done, done_context);
		return;
	}
	if (dag != NULL && strcmp(dag, "busy") == 0) {
		err_set(&err, ERR_BUSY, "%s is busy", dag);
		done(done_context, NULL, &err);
		return;
	}
	done(done_context,
	     json_pack("{s:i, s:O, s:s, s:s, s:s, s:b}", "verb", (int)verb, "arguments", arguments, "actor", caller->actor,
		       "origin", caller->origin, "role", auth_role_name(caller->role), "local", caller->local),
	     NULL);
}

/* --- the program ------------------------------------------------------------------------------------------ */

static void on_alloc(uv_handle_t *handle, size_t wanted, uv_buf_t *out)
{
	struct probe *probe = handle->data;

	(void)wanted;
	*out = uv_buf_init(probe->chunk, sizeof probe->chunk);
}

static void publish_line(struct probe *probe, char *line)
{
	char *json = strchr(line, ' ');

	if (json == NULL)
		return;
	*json++ = '\0';
	if (line[0] != '?')
		web_publish(probe->web, line, json_loads(json, 0, NULL));
	else if (web_is_followed(probe->web)) /* as the daemon does */
		web_publish(probe->web, line + 1, json_loads(json, 0, NULL));
}

static void on_input(uv_stream_t *stream, ssize_t n, const uv_buf_t *buf)
{
	struct probe *probe = stream->data;
	uint8_t *end;

	if (n < 0) {
		web_close(probe->web);
		uv_close((uv_handle_t *)stream, NULL);
		return;
	}
	buf_append(&probe->line, buf->base, (size_t)n);
	while (probe->line.bytes > 0 && (end = memchr(probe->line.data, '\n', probe->line.bytes)) != NULL) {
		size_t bytes = (size_t)(end - probe->line.data);

		*end = '\0';
		publish_line(probe, (char *)probe->line.data);
		buf_consume(&probe->line, bytes + 1);
	}
}

static void read_options(int argc, char **argv, struct web_settings *out)
{
	static const struct option options[] = {
		{ "listen", required_argument, NULL, 'l' },  { "host", required_argument, NULL, 'h' },
		{ "certificate", required_argument, NULL, 'c' }, { "key", required_argument, NULL, 'k' },
		{ "behind-proxy", no_argument, NULL, 'p' },  { "no-tokens", no_argument, NULL, 't' },
		{ "group", required_argument, NULL, 'g' },
		{ "shared", required_argument, NULL, 's' },  { "request-ms", required_argument, NULL, 'r' },
		{ NULL, 0, NULL, 0 },
	};
	static const char *listen[LISTEN_MAX], *hosts[LISTEN_MAX];
	int option;

	out->listen = listen;
	out->hosts = hosts;
	out->have_tokens = true;
	while ((option = getopt_long(argc, argv, "", options, NULL)) != -1) {
		if (option == 'l' && out->listen_count < LISTEN_MAX)
			listen[out->listen_count++] = optarg;
		else if (option == 'h' && out->hosts_count < LISTEN_MAX)
			hosts[out->hosts_count++] = optarg;
		else if (option == 'c')
			out->certificate_path = optarg;
		else if (option == 'k')
			out->key_path = optarg;
		else if (option == 'p')
			out->behind_proxy = true;
		else if (option == 't')
			out->have_tokens = false;
		else if (option == 's')
			out->shared_path = optarg;
		else if (option == 'r')
			out->request_ms = atoi(optarg);
		else if (option == 'g')
			out->shared_group = optarg;
		else
			exit(2);
	}
}

int main(int argc, char **argv)
{
	static struct probe probe;
	struct web_settings settings = { 0 };
	const struct web_source source = { on_read,    NULL,	   on_change, on_log, on_token,
					   on_metrics, on_version, &aside,    &probe };
	autofree char *path = NULL;
	struct err err;

	read_options(argc, argv, &settings);
	if (optind + 1 != argc)
		return 2;
	probe.folder = argv[optind];
	settings.control_path = path = mem_printf("%s/control.sock", probe.folder);
	log_open(NULL, LOG_INFO, false);
	uv_loop_init(&probe.loop);
	if (web_open(&probe.loop, &settings, &source, &probe.web, &err) < 0) {
		printf("refused %s\n", err.text);
		uv_run(&probe.loop, UV_RUN_DEFAULT);
		uv_loop_close(&probe.loop);
		return 1;
	}
	for (size_t i = 0; i < settings.listen_count; i++)
		printf("port %d\n", web_port(probe.web, i));
	puts("ready");
	fflush(stdout);
	uv_pipe_init(&probe.loop, &probe.input, 0);
	probe.input.data = &probe;
	uv_pipe_open(&probe.input, STDIN_FILENO);
	uv_read_start((uv_stream_t *)&probe.input, on_alloc, on_input);
	uv_run(&probe.loop, UV_RUN_DEFAULT);
	buf_fini(&probe.line);
	log_close();
	return uv_loop_close(&probe.loop) == 0 ? 0 : 3;
}
