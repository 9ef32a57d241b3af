#include "executor/local.h"

#include <assert.h>
#include <signal.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "common/buf.h"
#include "common/log.h"
#include "common/mem.h"
#include "executor/link.h"

enum { READ_BYTES = 256 * 1024, STDERR_BYTES = 4096, CLOSE_PATIENCE_MS = 2000 };

struct local {
	struct transport transport; /* first */
	uv_loop_t *loop;
	char *agent;
	char *root;
	uv_process_t process;
	uv_pipe_t in, out, err;
	uv_timer_t patience; /* for its exit, once it was asked to end */
	uv_shutdown_t shutdown;
	int handles;    /* not closed yet, of the five */
	bool closing;
	bool breaking; /* link_broken is due when all handles are closed */
	struct buf queue; /* waits for the write in flight */
	struct buf flying;
	uv_write_t write;
	bool write_busy;
	char why[160];
	uint8_t *buffer; /* READ_BYTES, lent to one read at a time */
	char complaint[STDERR_BYTES]; /* the last the agent said on its stderr */
};

static struct local *local_of(struct transport *transport)
{
	return (struct local *)(void *)transport;
}

static void on_handle_closed(uv_handle_t *handle)
{
	struct local *local = handle->data;

	if (--local->handles > 0 || !local->breaking)
		return;
	local->breaking = local->closing = false;
	buf_clear(&local->queue);
	link_broken(local->transport.link, FAULT_BROKEN, local->why);
}

static void break_down(struct local *local, const char *why)
{
	if (local->closing)
		return;
	local->closing = local->breaking = true;
	snprintf(local->why, sizeof local->why, "%.150s",
		 local->complaint[0] == '\0' ? why : local->complaint);
	/* The agent holds nothing; one that does not listen any more must not linger either. */
	if (uv_is_active((uv_handle_t *)&local->process))
		uv_process_kill(&local->process, SIGKILL);
	uv_close((uv_handle_t *)&local->in, on_handle_closed);
	uv_close((uv_handle_t *)&local->out, on_handle_closed);
	uv_close((uv_handle_t *)&local->err, on_handle_closed);
	uv_close((uv_handle_t *)&local->process, on_handle_closed);
	uv_close((uv_handle_t *)&local->patience, on_handle_closed);
}

static void on_agent_exit(uv_process_t *process, int64_t status, int signal)
{
	struct local *local = process->data;
	char why[80];

	if (signal != 0)
		snprintf(why, sizeof why, "the agent was killed by signal %d", signal);
	else
		snprintf(why, sizeof why, "the agent ended with code %d", (int)status);
	break_down(local, why);
}

static void lend_buffer(uv_handle_t *handle, size_t suggested, uv_buf_t *buf)
{
	struct local *local = handle->data;

	(void)suggested;
	*buf = uv_buf_init((char *)local->buffer, READ_BYTES);
}

static void on_read(uv_stream_t *stream, ssize_t n, const uv_buf_t *buf)
{
	struct local *local = stream->data;

	if (n > 0 && !local->closing)
		link_received(local->transport.link, (const uint8_t *)buf->base, (size_t)n);
	else if (n < 0 && n != UV_EOF)
		break_down(local, uv_strerror((int)n));
	/* The end of the stream: its exit, due in a moment, says more. */
}

static void lend_complaint(uv_handle_t *handle, size_t suggested, uv_buf_t *buf)
{
	struct local *local = handle->data;

	(void)suggested;
	*buf = uv_buf_init(local->complaint, STDERR_BYTES - 1);
}

static void on_complaint(uv_stream_t *stream, ssize_t n, const uv_buf_t *buf)
{
	struct local *local = stream->data;

	(void)buf;
	if (n <= 0)
		return;
	local->complaint[n] = '\0';
	local->complaint[strcspn(local->complaint, "\n")] = '\0';
	log_warn("agent.complained", TEXT("text", local->complaint));
}

static void local_flush(struct local *local);

static void on_written(uv_write_t *write, int status)
{
	struct local *local = write->data;

	local->write_busy = false;
	buf_clear(&local->flying);
	if (status < 0) {
		break_down(local, uv_strerror(status));
	} else {
		local_flush(local);
		link_drained(local->transport.link);
	}
}

static void local_flush(struct local *local)
{
	struct buf swap = local->flying;
	uv_buf_t buf;

	if (local->write_busy || local->closing || local->queue.bytes == 0)
		return;
	local->flying = local->queue;
	local->queue = swap;
	buf = uv_buf_init((char *)local->flying.data, (unsigned)local->flying.bytes);
	local->write.data = local;
	local->write_busy = true;
	if (uv_write(&local->write, (uv_stream_t *)&local->in, &buf, 1, on_written) < 0) {
		local->write_busy = false;
		break_down(local, "the agent takes no more");
	}
}

static void local_open(struct transport *transport)
{
	struct local *local = local_of(transport);
	char root_option[] = "--root";
	char *args[] = { local->agent, root_option, local->root, NULL };
	uv_stdio_container_t stdio[3] = {
		{ .flags = (uv_stdio_flags)(UV_CREATE_PIPE | UV_READABLE_PIPE),
		  .data.stream = (uv_stream_t *)&local->in },
		{ .flags = (uv_stdio_flags)(UV_CREATE_PIPE | UV_WRITABLE_PIPE),
		  .data.stream = (uv_stream_t *)&local->out },
		{ .flags = (uv_stdio_flags)(UV_CREATE_PIPE | UV_WRITABLE_PIPE),
		  .data.stream = (uv_stream_t *)&local->err },
	};
	uv_process_options_t options = {
		.exit_cb = on_agent_exit,
		.file = local->agent,
		.args = args,
		.flags = UV_PROCESS_DETACHED,
		.stdio = stdio,
		.stdio_count = 3,
	};
	int rc;

	uv_pipe_init(local->loop, &local->in, 0);
	uv_pipe_init(local->loop, &local->out, 0);
	uv_pipe_init(local->loop, &local->err, 0);
	uv_timer_init(local->loop, &local->patience);
	local->in.data = local->out.data = local->err.data = local->process.data = local->patience.data =
		local;
	local->handles = 5;
	local->complaint[0] = '\0';
	rc = uv_spawn(local->loop, &local->process, &options);
	if (rc < 0) {
		char why[sizeof local->why];

		snprintf(why, sizeof why, "start %s: %s", local->agent, uv_strerror(rc));
		break_down(local, why);
		return;
	}
	uv_read_start((uv_stream_t *)&local->out, lend_buffer, on_read);
	uv_read_start((uv_stream_t *)&local->err, lend_complaint, on_complaint);
	link_opened(local->transport.link);
}

static void local_send(struct transport *transport, const uint8_t *bytes, size_t n)
{
	struct local *local = local_of(transport);

	if (local->closing)
		return;
	buf_append(&local->queue, bytes, n);
	local_flush(local);
}

static size_t local_queued_bytes(const struct transport *transport)
{
	const struct local *local = (const void *)transport;

	return local->queue.bytes + local->flying.bytes;
}

static void on_patience_over(uv_timer_t *patience)
{
	break_down(patience->data, "closed");
}

/* Its stdin ends behind what was sent: the agent reads that, and exits. */
static void local_close(struct transport *transport, bool at_once)
{
	struct local *local = local_of(transport);

	if (at_once || local->closing) {
		break_down(local, "closed");
		return;
	}
	uv_timer_start(&local->patience, on_patience_over, CLOSE_PATIENCE_MS, 0);
	local->shutdown.data = local;
	if (uv_shutdown(&local->shutdown, (uv_stream_t *)&local->in, NULL) < 0)
		break_down(local, "closed");
}

static void local_free(struct transport *transport)
{
	struct local *local = local_of(transport);

	assert(local->handles == 0);
	buf_fini(&local->queue);
	buf_fini(&local->flying);
	free(local->buffer);
	free(local->agent);
	free(local->root);
	free(local);
}

static const struct transport_ops local_ops = {
	.open = local_open,
	.send = local_send,
	.queued_bytes = local_queued_bytes,
	.close = local_close,
	.free = local_free,
};

struct transport *local_new(uv_loop_t *loop, const char *agent, const char *root)
{
	struct local *local = mem_zalloc(sizeof *local);

	local->transport.ops = &local_ops;
	local->loop = loop;
	local->agent = mem_strdup(agent);
	local->root = mem_strdup(root);
	local->buffer = mem_alloc(READ_BYTES);
	return &local->transport;
}
