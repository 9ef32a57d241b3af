#include "scheduler/hook.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/clock.h"
#include "common/mem.h"
#include "common/scope.h"

enum { SAID_BYTES_MAX = 4096, HANDLES = 4 };

struct hook {
	struct hook_task task;
	uv_process_t process;
	uv_pipe_t in, out;
	uv_timer_t limit;
	uv_write_t write;
	char *input;
	struct buf said; /* the last SAID_BYTES_MAX to twice as many */
	char chunk[4096];
	struct hook_end end;
	bool running;
	bool timed_out;
	bool told;
	int open; /* handles */
};

static void on_closed(uv_handle_t *handle)
{
	struct hook *hook = handle->data;

	if (--hook->open > 0)
		return;
	buf_fini(&hook->said);
	free(hook->input);
	free(hook);
}

static void close_handle(struct hook *hook, uv_handle_t *handle)
{
	handle->data = hook;
	if (!uv_is_closing(handle))
		uv_close(handle, on_closed);
}

static void close_all(struct hook *hook)
{
	close_handle(hook, (uv_handle_t *)&hook->process);
	close_handle(hook, (uv_handle_t *)&hook->in);
	close_handle(hook, (uv_handle_t *)&hook->out);
	close_handle(hook, (uv_handle_t *)&hook->limit);
}

static bool is_blank(char c)
{
	return c == ' ' || c == '\t' || c == '\r' || c == '\n';
}

/* Trimmed in place. */
static const char *said_of(struct hook *hook)
{
	char *text = (char *)hook->said.data;
	size_t n = hook->said.bytes;

	if (text == NULL)
		return "";
	while (n > 0 && is_blank(text[n - 1]))
		text[--n] = '\0';
	while (is_blank(*text))
		text++;
	return text;
}

static void tell(struct hook *hook)
{
	if (hook->told)
		return;
	hook->told = true;
	hook->end.said = said_of(hook);
	hook->task.done(hook->task.context, &hook->end);
}

static void finish(struct hook *hook)
{
	tell(hook);
	close_all(hook);
}

static void on_room(uv_handle_t *handle, size_t suggested, uv_buf_t *out)
{
	struct hook *hook = handle->data;

	(void)suggested;
	*out = uv_buf_init(hook->chunk, sizeof hook->chunk);
}

static void on_said(uv_stream_t *stream, ssize_t n, const uv_buf_t *bytes)
{
	struct hook *hook = stream->data;

	if (n < 0) {
		uv_read_stop(stream);
		if (!hook->running)
			finish(hook);
		else
			close_handle(hook, (uv_handle_t *)&hook->out);
		return;
	}
	buf_append(&hook->said, bytes->base, (size_t)n);
	if (hook->said.bytes > 2 * SAID_BYTES_MAX)
		buf_consume(&hook->said, hook->said.bytes - SAID_BYTES_MAX);
}

static void on_limit(uv_timer_t *timer)
{
	struct hook *hook = timer->data;

	if (!hook->running) {
		finish(hook);
		return;
	}
	hook->timed_out = true;
	kill(-hook->process.pid, SIGKILL);
}

static void on_exit_seen(uv_process_t *process, int64_t status, int signal)
{
	struct hook *hook = process->data;
	char span[CLOCK_SPAN_BYTES];

	hook->running = false;
	/* What it started in its group has no business any more; this also ends the output. */
	kill(-process->pid, SIGKILL);
	hook->end.status = signal != 0 || hook->timed_out ? -1 : (int)status;
	if (hook->timed_out)
		snprintf(hook->end.why, sizeof hook->end.why, "killed after %s", clock_span(hook->task.limit_ms, span));
	else if (signal != 0)
		snprintf(hook->end.why, sizeof hook->end.why, "killed by signal %d", signal);
	else
		snprintf(hook->end.why, sizeof hook->end.why, "exit code %d", (int)status);
	if (uv_is_closing((uv_handle_t *)&hook->out))
		finish(hook);
	else /* A process that left the group may hold the output open: it is not waited for long. */
		uv_timer_start(&hook->limit, on_limit, 200, 0);
}

/* A program that does not read what it is given is no failure: its exit status counts. */
static void on_fed(uv_write_t *write, int status)
{
	struct hook *hook = write->data;

	(void)status;
	close_handle(hook, (uv_handle_t *)&hook->in);
}

static void feed(struct hook *hook)
{
	uv_buf_t bytes = uv_buf_init(hook->input, (unsigned)strlen(hook->input));

	hook->write.data = hook;
	if (bytes.len == 0 || uv_write(&hook->write, (uv_stream_t *)&hook->in, &bytes, 1, on_fed) < 0)
		close_handle(hook, (uv_handle_t *)&hook->in);
}

static int spawn(uv_loop_t *loop, struct hook *hook)
{
	uv_stdio_container_t stdio[3] = {
		{ .flags = UV_CREATE_PIPE | UV_READABLE_PIPE, .data.stream = (uv_stream_t *)&hook->in },
		{ .flags = UV_CREATE_PIPE | UV_WRITABLE_PIPE, .data.stream = (uv_stream_t *)&hook->out },
		{ .flags = UV_INHERIT_FD, .data.fd = -1 },
	};
	uv_process_options_t options = {
		.exit_cb = on_exit_seen,
		.file = hook->task.argv[0],
		.args = (char **)(uintptr_t)hook->task.argv,
		.env = (char **)(uintptr_t)hook->task.env,
		.cwd = hook->task.dir == NULL ? "/" : hook->task.dir,
		.flags = UV_PROCESS_DETACHED, /* setsid: a group of its own, and no terminal */
		.stdio = stdio,
		.stdio_count = 2,
	};

	return uv_spawn(loop, &hook->process, &options);
}

static void on_not_started(uv_timer_t *timer)
{
	finish(timer->data);
}

struct hook *hook_start(uv_loop_t *loop, const struct hook_task *task)
{
	struct hook *hook = mem_zalloc(sizeof *hook);
	int rc;

	hook->task = *task;
	hook->input = mem_strdup(task->input);
	hook->open = HANDLES;
	uv_timer_init(loop, &hook->limit);
	uv_pipe_init(loop, &hook->in, 0);
	uv_pipe_init(loop, &hook->out, 0);
	hook->process.data = hook->in.data = hook->out.data = hook->limit.data = hook;
	rc = spawn(loop, hook);
	if (rc < 0) {
		hook->end.status = -1;
		snprintf(hook->end.why, sizeof hook->end.why, "cannot be started: %s", uv_strerror(rc));
		uv_timer_start(&hook->limit, on_not_started, 0, 0); /* never from within hook_start */
		return hook;
	}
	hook->running = true;
	uv_timer_start(&hook->limit, on_limit, (uint64_t)task->limit_ms, 0);
	uv_read_start((uv_stream_t *)&hook->out, on_room, on_said);
	feed(hook);
	return hook;
}

void hook_abandon(struct hook *hook)
{
	hook->told = true;
	if (hook->running)
		kill(-hook->process.pid, SIGKILL);
	close_all(hook);
}
