#include "executor/ssh_channel.h"

#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "common/list.h"
#include "common/mem.h"
#include "executor/queue.h"
#include "executor/ssh_cipher.h"

enum { STACK_BYTES = 512 * 1024 };

/* What came, in one piece. */
struct chunk {
	struct list link;
	bool complaint; /* it was on stderr */
	size_t bytes;
	uint8_t data[SSH_CHUNK_BYTES];
};

struct ssh_channel {
	struct stream stream; /* first */

	/* the loop's */
	uv_async_t news; /* something changed in what is shared */
	struct list taken;
	bool closing;
	bool told_end;

	/* the thread's */
	struct ssh_session *session;
	struct chunk *filling; /* NULL: none at hand */
	bool full;	       /* there was no chunk to be had */

	pthread_t thread;
	bool has_thread;
	int wake_fd; /* of the thread: something changed in what is shared */

	pthread_mutex_t mutex; /* of what follows */
	struct queue outgoing;
	struct list filled;
	struct list spare;
	size_t chunks;	     /* that there are, wherever they are */
	size_t queued_bytes; /* in the session: sent, and not yet taken by the system */
	bool wanting;	     /* the thread waits for a spare chunk */
	bool drained;
	bool finishing;
	bool stopping;
	bool ended; /* nothing is filled any more; `why` says why */
	bool over;  /* the thread has nothing left to do */
	char why[sizeof ((struct err *)0)->text];
};

static struct ssh_channel *channel_of(struct stream *stream)
{
	return (struct ssh_channel *)(void *)stream;
}

static void lock(struct ssh_channel *channel)
{
	pthread_mutex_lock(&channel->mutex);
}

static void unlock(struct ssh_channel *channel)
{
	pthread_mutex_unlock(&channel->mutex);
}

/* --- the thread ----------------------------------------------------------------------------------------- */

/* Another chunk to be filled; NULL when all that there may be are under way. */
static struct chunk *find_chunk(struct ssh_channel *channel)
{
	struct chunk *chunk = NULL;
	bool one_more;

	lock(channel);
	if (!list_empty(&channel->spare)) {
		chunk = list_entry(channel->spare.next, struct chunk, link);
		list_remove(&chunk->link);
	}
	one_more = chunk == NULL && channel->chunks < SSH_CHANNEL_CHUNKS;
	channel->chunks += one_more;
	channel->wanting = chunk == NULL && !one_more;
	unlock(channel);
	if (one_more) {
		chunk = mem_alloc(sizeof *chunk);
		list_init(&chunk->link);
	}
	if (chunk != NULL) {
		chunk->bytes = 0;
		chunk->complaint = false;
	}
	return chunk;
}

static void hand_over(struct ssh_channel *channel)
{
	if (channel->filling == NULL || channel->filling->bytes == 0)
		return;
	lock(channel);
	list_append(&channel->filled, &channel->filling->link);
	unlock(channel);
	channel->filling = NULL;
	uv_async_send(&channel->news);
}

static uint8_t *room_for_bytes(void *context, size_t *n_out)
{
	struct ssh_channel *channel = context;

	if (channel->filling != NULL &&
	    (channel->filling->complaint || channel->filling->bytes == SSH_CHUNK_BYTES))
		hand_over(channel);
	if (channel->filling == NULL)
		channel->filling = find_chunk(channel);
	channel->full = channel->filling == NULL;
	if (channel->full)
		return NULL;
	*n_out = SSH_CHUNK_BYTES - channel->filling->bytes;
	return channel->filling->data + channel->filling->bytes;
}

static void on_bytes(void *context, size_t n)
{
	struct ssh_channel *channel = context;

	channel->filling->bytes += n;
}

/* Words for people: should there be no room for them, they are not worth waiting for. */
static void on_complaint(void *context, const char *bytes, size_t n)
{
	struct ssh_channel *channel = context;

	hand_over(channel);
	if (channel->filling == NULL)
		channel->filling = find_chunk(channel);
	if (channel->filling == NULL)
		return;
	memcpy(channel->filling->data, bytes, n);
	channel->filling->bytes = n;
	channel->filling->complaint = true;
	hand_over(channel);
}

/* Takes over what the loop left; false when it wants an end. */
static bool take_orders(struct ssh_channel *channel)
{
	bool stopping;

	lock(channel);
	if (queue_bytes(&channel->outgoing) > 0) {
		ssh_session_send(channel->session, queue_front(&channel->outgoing),
				 queue_bytes(&channel->outgoing));
		queue_clear(&channel->outgoing);
		channel->queued_bytes = ssh_session_queued_bytes(channel->session);
	}
	if (channel->finishing)
		ssh_session_finish(channel->session);
	stopping = channel->stopping;
	unlock(channel);
	return !stopping;
}

/* True when the session goes on. */
static bool take_turn(struct ssh_channel *channel)
{
	const struct ssh_sink sink = { room_for_bytes, on_bytes, on_complaint, channel };
	uint64_t taken_bytes = ssh_session_taken_bytes(channel->session);
	struct err err = { .code = ERR_OK };
	bool drained, ended = ssh_session_turn(channel->session, &sink, &err) < 0;

	hand_over(channel);
	drained = ssh_session_taken_bytes(channel->session) > taken_bytes;
	lock(channel);
	channel->queued_bytes = ssh_session_queued_bytes(channel->session);
	channel->drained |= drained;
	channel->ended = ended;
	if (ended)
		snprintf(channel->why, sizeof channel->why, "%s", err.text);
	unlock(channel);
	if (drained || ended)
		uv_async_send(&channel->news);
	return !ended;
}

/* Until the socket is ready for what is wanted of it, or the loop has something to say. */
static void wait_for_work(struct ssh_channel *channel, bool ended)
{
	struct pollfd fds[2] = { { .fd = ssh_session_fd(channel->session) },
				 { .fd = channel->wake_fd, .events = POLLIN } };
	eventfd_t ignored;

	if (!channel->full)
		fds[0].events |= POLLIN;
	if (ssh_session_wants_write(channel->session))
		fds[0].events |= POLLOUT;
	if (ended || fds[0].events == 0)
		fds[0].fd = -1; /* or its end would be told again and again */
	if (poll(fds, 2, -1) > 0 && fds[1].revents != 0)
		eventfd_read(channel->wake_fd, &ignored);
}

static void *run(void *context)
{
	struct ssh_channel *channel = context;
	bool goes_on = true;

	ssh_cipher_use(); /* when keys are exchanged anew, this thread makes the ciphers */
	while (take_orders(channel)) {
		goes_on = goes_on && take_turn(channel);
		wait_for_work(channel, !goes_on);
	}
	ssh_session_free(channel->session);
	lock(channel);
	channel->over = true;
	unlock(channel);
	uv_async_send(&channel->news);
	return NULL;
}

static int start_thread(struct ssh_channel *channel)
{
	pthread_attr_t attributes;
	sigset_t all, before;
	int rc;

	pthread_attr_init(&attributes);
	pthread_attr_setstacksize(&attributes, STACK_BYTES);
	/* Signals are for the loop's thread. */
	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &before);
	rc = pthread_create(&channel->thread, &attributes, run, channel);
	pthread_sigmask(SIG_SETMASK, &before, NULL);
	pthread_attr_destroy(&attributes);
	if (rc == 0)
		pthread_setname_np(channel->thread, "stoker-ssh");
	return rc;
}

/* --- the loop ------------------------------------------------------------------------------------------- */

static void wake(struct ssh_channel *channel)
{
	eventfd_write(channel->wake_fd, 1);
}

static void free_chunks(struct list *chunks)
{
	list_each (at, chunks)
		free(list_entry(at, struct chunk, link));
}

static void on_handle_closed(uv_handle_t *handle)
{
	struct ssh_channel *channel = handle->data;

	channel->stream.handler->on_closed(channel->stream.context);
	free_chunks(&channel->taken);
	free_chunks(&channel->filled);
	free_chunks(&channel->spare);
	free(channel->filling);
	queue_fini(&channel->outgoing);
	if (channel->wake_fd >= 0)
		close(channel->wake_fd);
	pthread_mutex_destroy(&channel->mutex);
	free(channel);
}

/* The thread said that it is over: this does not wait. */
static void finish_closing(struct ssh_channel *channel)
{
	if (channel->has_thread)
		pthread_join(channel->thread, NULL);
	else
		ssh_session_free(channel->session);
	uv_close((uv_handle_t *)&channel->news, on_handle_closed);
}

static void give_back(struct ssh_channel *channel, struct chunk *chunk)
{
	bool wanting;

	lock(channel);
	list_append(&channel->spare, &chunk->link);
	wanting = channel->wanting;
	channel->wanting = false;
	unlock(channel);
	if (wanting)
		wake(channel);
}

/* True when all that had come is handed on. */
static bool hand_on(struct ssh_channel *channel)
{
	const struct stream_handler *handler = channel->stream.handler;
	size_t bytes = 0;

	lock(channel);
	list_take_all(&channel->filled, &channel->taken);
	unlock(channel);
	while (!list_empty(&channel->taken) && bytes < SSH_TAKE_BYTES && !channel->closing) {
		struct chunk *chunk = list_entry(channel->taken.next, struct chunk, link);

		list_remove(&chunk->link);
		if (chunk->complaint)
			handler->on_complaint(channel->stream.context, (char *)chunk->data, chunk->bytes);
		else
			handler->on_bytes(channel->stream.context, chunk->data, chunk->bytes);
		bytes += chunk->bytes;
		give_back(channel, chunk);
	}
	return list_empty(&channel->taken);
}

static void on_news(uv_async_t *news)
{
	struct ssh_channel *channel = news->data;
	bool all = hand_on(channel), drained, ended, over;

	lock(channel);
	drained = channel->drained;
	channel->drained = false;
	ended = channel->ended && all && list_empty(&channel->filled);
	over = channel->over;
	unlock(channel);
	if (drained && !channel->closing)
		channel->stream.handler->on_drained(channel->stream.context);
	if (channel->closing && over) {
		finish_closing(channel);
	} else if (ended && !channel->told_end && !channel->closing) {
		channel->told_end = true;
		channel->stream.handler->on_end(channel->stream.context, channel->why);
	} else if (!all) {
		uv_async_send(news); /* in the next round */
	}
}

static void ssh_channel_send(struct stream *stream, const uint8_t *bytes, size_t n)
{
	struct ssh_channel *channel = channel_of(stream);
	bool first;

	if (channel->closing)
		return;
	lock(channel);
	first = queue_bytes(&channel->outgoing) == 0;
	queue_append(&channel->outgoing, bytes, n);
	unlock(channel);
	if (first)
		wake(channel);
}

static size_t ssh_channel_queued_bytes(struct stream *stream)
{
	struct ssh_channel *channel = channel_of(stream);
	size_t bytes;

	lock(channel);
	bytes = queue_bytes(&channel->outgoing) + channel->queued_bytes;
	unlock(channel);
	return bytes;
}

static void ssh_channel_finish(struct stream *stream)
{
	struct ssh_channel *channel = channel_of(stream);

	lock(channel);
	channel->finishing = true;
	unlock(channel);
	wake(channel);
}

static void ssh_channel_close(struct stream *stream)
{
	struct ssh_channel *channel = channel_of(stream);

	if (channel->closing)
		return;
	channel->closing = true;
	lock(channel);
	channel->stopping = true;
	unlock(channel);
	wake(channel);
	if (!channel->has_thread)
		uv_async_send(&channel->news);
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
	int rc;

	channel->stream = (struct stream){ &ssh_channel_ops, handler, context };
	channel->session = session;
	list_init(&channel->taken);
	list_init(&channel->filled);
	list_init(&channel->spare);
	pthread_mutex_init(&channel->mutex, NULL);
	uv_async_init(loop, &channel->news, on_news);
	channel->news.data = channel;
	channel->wake_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	rc = channel->wake_fd < 0 ? errno : start_thread(channel);
	channel->has_thread = rc == 0;
	if (rc != 0) {
		snprintf(channel->why, sizeof channel->why, "start a thread for the connection: %s", strerror(rc));
		channel->ended = channel->over = true;
		uv_async_send(&channel->news);
	}
	return &channel->stream;
}
