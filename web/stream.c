#include "web/stream.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "common/clock.h"
#include "common/mem.h"
#include "common/scope.h"
#include "web/answer.h"
#include "web/parts.h"

enum { BLOCK_BYTES = 16 * 1024 };

/* Who listens. */
struct client {
	struct list link;
	struct web *web;
	struct listener *listener;
	struct MHD_Connection *mhd;
	int fd;
	uint64_t next;	    /* the event to be sent */
	struct buf pending; /* what is under way of it */
	char *run, *dag;    /* only what is about these */
	bool suspended;
	bool ending;
	int64_t spoke_mono_ms;
};

/* --- the ring --------------------------------------------------------------------------------------------- */

static struct stream_event *event_of(struct stream *stream, uint64_t number)
{
	return &stream->ring[number % STREAM_EVENTS_MAX];
}

static void drop_oldest(struct stream *stream)
{
	struct stream_event *event = event_of(stream, stream->first++);

	stream->bytes -= event->bytes;
	free(event->text);
	free(event->run);
	free(event->dag);
	memset(event, 0, sizeof *event);
}

static char *copy_text(const char *text)
{
	return text == NULL ? NULL : mem_strdup(text);
}

static const char *member_of(const json_t *event, const char *key)
{
	return json_string_value(json_object_get(event, key));
}

/* The DAG of a run by its name; NULL for NULL. */
static char *copy_dag_of(const char *run)
{
	return run == NULL ? NULL : mem_strndup(run, strcspn(run, "/"));
}

/* JSON without line breaks is one data line. A kind is a word of ours. */
static void append_event(struct buf *out, const struct stream *stream, uint64_t number, const char *kind,
			 const char *data)
{
	buf_printf(out, "id: %08" PRIx32 ".%" PRIu64 "\nevent: %s\ndata: %s\n\n", stream->epoch, number, kind, data);
}

/* --- a client --------------------------------------------------------------------------------------------- */

/* Also what is said of no run but of its DAG, and what is said of none. */
static bool wants(const struct client *client, const struct stream_event *event)
{
	if (client->run != NULL && event->run != NULL && strcmp(client->run, event->run) != 0)
		return false;
	return client->dag == NULL || event->dag == NULL || strcmp(client->dag, event->dag) == 0;
}

/* The next event it wants becomes pending; false when there is none. */
static bool fetch_event(struct client *client)
{
	struct stream *stream = &client->web->stream;

	while (client->next < stream->next) {
		struct stream_event *event = event_of(stream, client->next++);

		if (!wants(client, event))
			continue;
		buf_append(&client->pending, event->text, event->bytes);
		return true;
	}
	return false;
}

static void suspend(struct client *client)
{
	client->suspended = true;
	http->suspend_connection(client->mhd);
}

static void resume(struct client *client)
{
	client->suspended = false;
	http->resume_connection(client->mhd);
	web_kick(client->listener);
}

static ssize_t on_read(void *context, uint64_t position, char *out, size_t room)
{
	struct client *client = context;
	size_t n = 0;

	(void)position;
	if (client->ending)
		return MHD_CONTENT_READER_END_OF_STREAM;
	if (client->next < client->web->stream.first)
		return MHD_CONTENT_READER_END_WITH_ERROR; /* overtaken: it is to come again and begin anew */
	while (n < room && (client->pending.bytes > 0 || fetch_event(client))) {
		size_t part = client->pending.bytes < room - n ? client->pending.bytes : room - n;

		memcpy(out + n, client->pending.data, part);
		buf_consume(&client->pending, part);
		n += part;
	}
	if (n == 0)
		suspend(client);
	else
		client->spoke_mono_ms = clock_mono_ms();
	return (ssize_t)n;
}

static void on_free(void *context)
{
	struct client *client = context;

	list_remove(&client->link);
	client->web->stream.followed_mono_ms = clock_mono_ms();
	client->web->streams--;
	buf_fini(&client->pending);
	free(client->run);
	free(client->dag);
	free(client);
}

/* --- where it begins -------------------------------------------------------------------------------------- */

/* The event after the one that the client saw last; 0 when it is gone, or was never ours. */
static uint64_t place_after(const struct stream *stream, const char *last_id)
{
	char *end;
	unsigned long long epoch = strtoull(last_id, &end, 16), number;

	if (end == last_id || *end != '.' || epoch != stream->epoch || end[1] < '0' || end[1] > '9')
		return 0;
	number = strtoull(end + 1, &end, 10);
	if (*end != '\0' || number >= stream->next || number + 1 < stream->first)
		return 0;
	return number + 1;
}

static void begin(struct client *client, const char *last_id)
{
	struct stream *stream = &client->web->stream;
	uint64_t place = last_id == NULL ? 0 : place_after(stream, last_id);

	buf_append_text(&client->pending, "retry: 2000\n\n");
	client->next = place != 0 ? place : stream->next;
	append_event(&client->pending, stream, client->next - 1,
		     last_id != NULL && place == 0 ? "reset" : "hello", "{}");
}

void stream_answer(struct exchange *exchange)
{
	struct web *web = exchange->connection->listener->web;
	const char *last_id = exchange_header(exchange, "Last-Event-ID");
	struct client *client;

	if (web->streams >= WEB_STREAMS_MAX) {
		answer_problem(exchange, 503, ERR_LIMIT, "there are too many live streams already; try again later");
		return;
	}
	web->streams++;
	client = mem_zalloc(sizeof *client);
	client->web = web;
	client->listener = exchange->connection->listener;
	client->mhd = exchange->mhd;
	client->fd = exchange->connection->fd;
	client->run = copy_text(exchange->request.query.run);
	client->dag = exchange->request.query.dag != NULL ? copy_text(exchange->request.query.dag)
							  : copy_dag_of(client->run);
	client->spoke_mono_ms = clock_mono_ms();
	begin(client, last_id);
	list_append(&web->stream.clients, &client->link);
	exchange->endless = true;
	answer_response(exchange, 200,
			http->create_response_from_callback(MHD_SIZE_UNKNOWN, BLOCK_BYTES, on_read, client, on_free),
			"text/event-stream; charset=utf-8", "no-store");
	answer_header(exchange, "X-Accel-Buffering", "no"); /* nginx would hold events back */
}

/* --- all of them ------------------------------------------------------------------------------------------ */

/* Who waits is told; who has not taken what the ring let go of meanwhile is cut off. */
static void on_gather(uv_timer_t *timer)
{
	struct web *web = timer->data;

	list_each (at, &web->stream.clients) {
		struct client *client = list_entry(at, struct client, link);

		if (client->suspended)
			resume(client);
		else if (client->next < web->stream.first)
			shutdown(client->fd, SHUT_RDWR);
	}
}

static bool hung_up(int fd)
{
	char byte;

	return recv(fd, &byte, 1, MSG_PEEK | MSG_DONTWAIT) == 0;
}

static void on_comment(uv_timer_t *timer)
{
	struct web *web = timer->data;
	int64_t now_mono_ms = clock_mono_ms();

	list_each (at, &web->stream.clients) {
		struct client *client = list_entry(at, struct client, link);
		bool quiet = now_mono_ms - client->spoke_mono_ms >= STREAM_COMMENT_MS;

		if (!client->suspended)
			continue;
		if (quiet)
			buf_append_text(&client->pending, ":\n\n");
		client->ending |= hung_up(client->fd);
		if (quiet || client->ending)
			resume(client);
	}
}

void stream_start(struct web *web)
{
	struct stream *stream = &web->stream;

	list_init(&stream->clients);
	stream->first = stream->next = 1;
	stream->epoch = (uint32_t)(clock_wall_ms() / 1000);
	uv_timer_init(web->loop, &stream->gather);
	uv_timer_init(web->loop, &stream->comment);
	stream->gather.data = stream->comment.data = web;
	web->handles += 2;
	uv_timer_start(&stream->comment, on_comment, 1000, 1000);
}

bool stream_is_followed(struct stream *stream)
{
	if (!list_empty(&stream->clients) ||
	    (stream->followed_mono_ms != 0 && clock_mono_ms() - stream->followed_mono_ms < STREAM_RETURN_MS))
		return true;
	while (stream->first < stream->next)
		drop_oldest(stream);
	stream->first = ++stream->next; /* so that no id of before is followed by what comes */
	return false;
}

void stream_publish(struct web *web, const char *kind, json_t *event)
{
	struct stream *stream = &web->stream;
	autofree char *data = json_dumps(event, JSON_COMPACT | JSON_PRESERVE_ORDER);
	bool fits = data != NULL && strlen(data) < STREAM_EVENT_BYTES_MAX;
	struct stream_event *place;
	struct buf text = { 0 };

	if (stream->next - stream->first == STREAM_EVENTS_MAX)
		drop_oldest(stream);
	place = event_of(stream, stream->next);
	append_event(&text, stream, stream->next, fits ? kind : "reset", fits ? data : "{}");
	place->bytes = text.bytes;
	place->text = buf_take(&text);
	place->run = copy_text(member_of(event, "run"));
	place->dag = member_of(event, "dag") != NULL ? copy_text(member_of(event, "dag")) : copy_dag_of(place->run);
	json_decref(event);
	stream->bytes += place->bytes;
	stream->next++;
	while (stream->bytes > STREAM_BYTES_MAX)
		drop_oldest(stream);
	if (!list_empty(&stream->clients) && !uv_is_active((uv_handle_t *)&stream->gather))
		uv_timer_start(&stream->gather, on_gather, STREAM_GATHER_MS, 0);
}

void stream_end(struct web *web)
{
	list_each (at, &web->stream.clients) {
		struct client *client = list_entry(at, struct client, link);

		client->ending = true;
		if (client->suspended) {
			client->suspended = false;
			http->resume_connection(client->mhd);
		}
	}
}

void stream_fini(struct web *web)
{
	while (web->stream.first < web->stream.next)
		drop_oldest(&web->stream);
}
