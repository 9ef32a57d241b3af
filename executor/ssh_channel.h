/*
 * ssh_channel.h - a command behind a libssh2 session, carried by a thread of its own
 *
 *   loop    send -->  outgoing  --> thread: encrypts --> socket
 *   loop  <-- chunks of bytes  <--  thread: decrypts <-- socket
 *
 * Encryption costs more than all else that is done with a byte, so it is kept off the loop: a log that comes in
 * as fast as it can delays nobody's start. Loop and thread share nothing but what they hand to each other: the
 * bytes to be sent, and chunks with those that came. Of the latter at most SSH_CHANNEL_CHUNKS are under way;
 * while the loop has not taken them the thread reads no more, and the host's window closes.
 */
#ifndef EXECUTOR_SSH_CHANNEL_H
#define EXECUTOR_SSH_CHANNEL_H

#include <uv.h>

#include "executor/ssh_session.h"
#include "executor/stream.h"

enum {
	SSH_CHUNK_BYTES = 512 * 1024,
	SSH_CHANNEL_CHUNKS = 8,
	SSH_TAKE_BYTES = 1024 * 1024, /* handed on in one round of the loop: others get their turn */
};

/* Takes over the session, whose command runs already. */
struct stream *ssh_channel_new(uv_loop_t *loop, struct ssh_session *session,
			       const struct stream_handler *handler, void *context);

#endif
