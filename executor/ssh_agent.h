/*
 * ssh_agent.h - a client of ssh-agent that hangs no longer than it is allowed to
 *
 * libssh2's own waits for the agent without end, and so does whoever calls it: an agent that was stopped, or
 * one that asks for a confirmation, would hold up everything. Here each call waits within its struct
 * ssh_wait, and can be cancelled. For a thread.
 *
 * Ownership: the list is the caller's (ssh_agent_keys_fini).
 * Errors:    ERR_LIMIT no answer in time; ERR_BUSY canceled; ERR_DENIED it refused; ERR_CORRUPT it speaks
 *            another language; ERR_IO, ERR_NOT_FOUND and the like: no agent there.
 * Source:    draft-ietf-sshm-ssh-agent (OpenSSH's PROTOCOL.agent).
 */
#ifndef EXECUTOR_SSH_AGENT_H
#define EXECUTOR_SSH_AGENT_H

#include "common/buf.h"
#include "common/err.h"
#include "executor/ssh_session.h"

enum { SSH_AGENT_ANSWER_BYTES_MAX = 1024 * 1024, SSH_AGENT_KEYS_MAX = 256, SSH_AGENT_COMMENT_BYTES = 128 };

struct ssh_agent_key {
	struct buf key;			       /* the public one, in wire format */
	char comment[SSH_AGENT_COMMENT_BYTES]; /* printable */
};

struct ssh_agent_keys {
	struct ssh_agent_key *keys;
	size_t count;
};

/* A connected socket, to be closed by the caller; or negative. */
int ssh_agent_open(const char *path, const struct ssh_wait *wait, struct err *err);

int ssh_agent_list(int fd, const struct ssh_wait *wait, struct ssh_agent_keys *keys_out, struct err *err);
void ssh_agent_keys_fini(struct ssh_agent_keys *keys);

/*
 * Appends the signature of `data` without the name of its algorithm, as ssh_sign wants it. `data` is what RFC
 * 4252, section 7 has signed: it names the algorithm.
 */
int ssh_agent_sign(int fd, const struct ssh_wait *wait, const struct buf *key, const uint8_t *data, size_t n,
		   struct buf *out, struct err *err);

#endif
