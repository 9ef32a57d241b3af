#include "executor/ssh_channel.h"

#include <stdbool.h>
#include <stdlib.h>

#include "common/mem.h"

struct ssh_channel {
	struct stream stream; /* first */
	struct ssh_session *session;
	uv_poll_t poll;
	uv_idle_t due; /* a turn is due before the loop waits again */
	int handles;
	int events; /* that poll waits for */
	bool in_turn;
};

static struct ssh_channel *channel_of(struct stream *stream)
{
	return (struct ssh_channel *)(void *)stream;
}

static void on_bytes(void *context, const uint8_t *bytes, size_t n)
{
	struct ssh_channel *channel = context;

	channel->stream.handler->on_bytes(channel->stream.context, bytes, n);
}

static void on_complaint(void *context, const char *bytes, size_t n)
{
	struct ssh_channel *channel = context;

	channel->stream.handler->on_complaint(channel->stream.context, bytes, n);
}

static bool is_closing(const struct ssh_channel *channel)
{
	return uv_is_closing((const uv_handle_t *)&channel->poll) != 0;
}

/* True when the channel goes on. */
static bool take_turn(struct ssh_channel *channel)
{
	const struct ssh_sink sink = { on_bytes, on_complaint, channel };
	uint64_t taken_bytes = ssh_session_taken_bytes(channel->session);
	struct err err = { .code = ERR_OK };
	int rc;

	uv_idle_stop(&channel->due);
	channel->in_turn = true;
	rc = ssh_session_turn(channel->session, &sink, &err);
	channel->in_turn = false;
	if (is_closing(channel))
		return false;
	if (rc == 0 && ssh_session_taken_bytes(channel->session) > taken_bytes) {
		channel->stream.handler->on_drained(channel->stream.context);
		return !is_closing(channel);
	}
	if (rc < 0) {
		uv_poll_stop(&channel->poll);
		channel->stream.handler->on_end(channel->stream.context, err.text);
		return false;
	}
	return true;
}

static void on_ready(uv_poll_t *poll, int status, int events)
{
	struct ssh_channel *channel = poll->data;

	/* What goes wrong with the socket, the session hears itself. */
	(void)status;
	(void)events;
	if (!take_turn(channel))
		return;
	events = UV_READABLE | (ssh_session_wants_write(channel->session) ? UV_WRITABLE : 0);
	if (events != channel->events) {
		channel->events = events;
		uv_poll_start(poll, events, on_ready);
	}
}

static void on_due(uv_idle_t *due)
{
	struct ssh_channel *channel = due->data;

	on_ready(&channel->poll, 0, 0);
}

static void ssh_channel_send(struct stream *stream, const uint8_t *bytes, size_t n)
{
	struct ssh_channel *channel = channel_of(stream);

	if (is_closing(channel))
		return;
	ssh_session_send(channel->session, bytes, n);
	/*
	 * All that is sent in one round of the loop goes out together; a turn that is on sees to it anyway.
	 */
	if (!channel->in_turn)
		uv_idle_start(&channel->due, on_due);
}

static size_t ssh_channel_queued_bytes(const struct stream *stream)
{
	return ssh_session_queued_bytes(((const struct ssh_channel *)(const void *)stream)->session);
}

static void ssh_channel_finish(struct stream *stream)
{
	struct ssh_channel *channel = channel_of(stream);

	if (is_closing(channel))
		return;
	ssh_session_finish(channel->session);
	uv_idle_start(&channel->due, on_due);
}

static void on_handle_closed(uv_handle_t *handle)
{
	struct ssh_channel *channel = handle->data;

	if (--channel->handles > 0)
		return;
	ssh_session_free(channel->session);
	channel->stream.handler->on_closed(channel->stream.context);
	free(channel);
}

static void ssh_channel_close(struct stream *stream)
{
	struct ssh_channel *channel = channel_of(stream);

	if (is_closing(channel))
		return;
	ssh_session_stop(channel->session);
	uv_close((uv_handle_t *)&channel->poll, on_handle_closed);
	uv_close((uv_handle_t *)&channel->due, on_handle_closed);
}

static const struct stream_ops ssh_channel_ops = {
	.send = ssh_channel_send,
	.queued_bytes = ssh_channel_queued_bytes,
	.finish = ssh_channel_finish,
	.close = ssh_channel_close,
};

struct stream *ssh_channel_new(uv_loop_t *loop, struct ssh_session *session,
			       const struct stream_handler *handler, void *context)
{
	struct ssh_channel *channel = mem_zalloc(sizeof *channel);

	channel->stream = (struct stream){ &ssh_channel_ops, handler, context };
	channel->session = session;
	uv_poll_init(loop, &channel->poll, ssh_session_fd(session));
	uv_idle_init(loop, &channel->due);
	channel->poll.data = channel->due.data = channel;
	channel->handles = 2;
	channel->events = UV_READABLE;
	uv_poll_start(&channel->poll, channel->events, on_ready);
	/* What libssh2 received with the answers to the login shows in no poll. */
	uv_idle_start(&channel->due, on_due);
	return &channel->stream;
}
