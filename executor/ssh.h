/*
 * ssh.h - the transport to another machine: the agent at the end of one ssh channel
 *
 *   CLOSED --> DIALING --> BOOTING --> OPEN --> ENDING       any but CLOSED --> BREAKING --> CLOSED
 *
 * DIALING: a thread finds the host, connects, checks its key and logs in (ssh_dial.h), with libssh2 where
 * that can do all that the host asks for; else the ssh program is started as a child (openssh.h), with the
 * same bytes on its stdin and stdout. BOOTING: the agent is put there where it is not, and started
 * (boot.h). Each has its own time limit.
 *
 * What goes wrong has its fault (transport.h) and a sentence that says what to do about it. Silence on an
 * open connection is for the link to notice: it pings; here TCP's own keepalive closes dead connections.
 *
 * Ownership: the target is copied; `deploy` must outlive the transport.
 */
#ifndef EXECUTOR_SSH_H
#define EXECUTOR_SSH_H

#include <uv.h>

#include "executor/deploy.h"
#include "executor/ssh_dial.h"
#include "executor/ssh_target.h"
#include "executor/transport.h"

struct transport *ssh_new(uv_loop_t *loop, const struct ssh_target *target, const struct deploy *deploy);

/*
 * How it is (or was last) connected: "libssh2 1.10.0 (aes128-ctr, hmac-sha2-256)", "openssh: ProxyCommand".
 */
const char *ssh_describe(const struct transport *transport);

/* What was found on the way there, as far as the last try came; never NULL. */
const struct ssh_facts *ssh_facts(const struct transport *transport);

/* Of the last bootstrap: did it have to send the agent? */
bool ssh_uploaded(const struct transport *transport);

#endif
