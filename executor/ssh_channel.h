/*
 * ssh_channel.h - a command behind a libssh2 session, carried by the loop
 *
 * Whenever the socket is ready the session takes a turn (ssh_session.h), which is bounded: what is left is
 * still in the socket, and poll says so again.
 */
#ifndef EXECUTOR_SSH_CHANNEL_H
#define EXECUTOR_SSH_CHANNEL_H

#include <uv.h>

#include "executor/ssh_session.h"
#include "executor/stream.h"

/* Takes over the session, whose command runs already. */
struct stream *ssh_channel_new(uv_loop_t *loop, struct ssh_session *session,
			       const struct stream_handler *handler, void *context);

#endif
