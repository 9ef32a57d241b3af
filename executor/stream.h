/*
 * stream.h - a command that runs on another machine: its stdin, stdout and stderr, whoever carries them
 *
 * Two carriers exist: ssh_channel (libssh2 in a thread) and openssh (the ssh program as a child).
 *
 * Life: from its making on, on_bytes and on_complaint at any time; then on_end once when nothing more will
 *       come, unless it was closed before; then the owner closes it, after which only on_closed comes, and
 *       it is freed. No handler is called from within send, finish or close. on_drained tells that the
 *       system took some of the bytes that were sent.
 */
#ifndef EXECUTOR_STREAM_H
#define EXECUTOR_STREAM_H

#include <stddef.h>
#include <stdint.h>

struct stream;

struct stream_handler {
	void (*on_bytes)(void *context, const uint8_t *bytes, size_t n);
	void (*on_complaint)(void *context, const char *bytes, size_t n); /* from stderr */
	void (*on_drained)(void *context);
	void (*on_end)(void *context, const char *why);
	void (*on_closed)(void *context);
};

struct stream_ops {
	void (*send)(struct stream *stream, const uint8_t *bytes, size_t n); /* copied */
	size_t (*queued_bytes)(struct stream *stream); /* sent, not yet taken by the system */
	void (*finish)(struct stream *stream); /* the command's stdin ends behind what was sent */
	void (*close)(struct stream *stream);
};

/* Embedded first in each kind. */
struct stream {
	const struct stream_ops *ops;
	const struct stream_handler *handler;
	void *context;
};

#endif
