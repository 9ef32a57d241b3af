/*
 * stream.h - live changes as server-sent events, resumable
 *
 * What is published goes into a ring that all clients read from, each at its own place: a client costs one event of
 * memory, however many there are and however slow it is. One that the ring has overtaken is cut off; one that does
 * not read at all is, by the library's time-out. What is published within STREAM_GATHER_MS is sent in one go.
 *
 *   id: 18c2f0a1.42                  which server, which event: `Last-Event-ID` goes on after it
 *   event: run.changed
 *   data: {"run":"digits/3", ...}
 *
 * A stream begins with an event `hello`. Where what lies between is not there any more (the ring went past it, or it
 * was another server's id), it begins with `reset`: read everything again. A comment goes out every 15 s, so that both
 * sides notice when the other is gone.
 *
 * Source: WHATWG HTML, "Server-sent events".
 */
#ifndef WEB_STREAM_H
#define WEB_STREAM_H

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <uv.h>

#include "common/list.h"

struct exchange;
struct web;

enum {
	STREAM_EVENTS_MAX = 4096,
	STREAM_BYTES_MAX = 8 * 1024 * 1024, /* of all events in the ring */
	STREAM_EVENT_BYTES_MAX = 64 * 1024, /* of one; a larger one becomes `reset` */
	STREAM_GATHER_MS = 10,
	STREAM_COMMENT_MS = 15000,
	STREAM_RETURN_MS = 60000, /* in which one that was cut off may come back and go on */
};

struct stream_event {
	char *text; /* all lines of it */
	size_t bytes;
	char *run, *dag; /* what it is about; NULL: everybody's */
};

struct stream {
	struct stream_event ring[STREAM_EVENTS_MAX];
	uint64_t first, next; /* numbers of the oldest one and of the one to come; from 1 */
	size_t bytes;
	uint32_t epoch; /* whose numbers they are */
	struct list clients;
	int64_t followed_mono_ms; /* the last one was here; 0: none was yet */
	uv_timer_t gather, comment;
};

void stream_start(struct web *web);

/* False: nobody is there to go on, and what is not published now is told to nobody who comes back (`reset`). */
bool stream_is_followed(struct stream *stream);

void stream_publish(struct web *web, const char *kind, json_t *event); /* taken over */

/* Answers an exchange with a stream. */
void stream_answer(struct exchange *exchange);

/* Lets go of all clients, before the library is stopped. */
void stream_end(struct web *web);

/* Once they are gone. */
void stream_fini(struct web *web);

#endif
