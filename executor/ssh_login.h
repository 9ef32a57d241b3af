/*
 * ssh_login.h - logging in to a host: which of our keys are tried, in which order, and why none would do
 *
 * As ssh does it: first those of the identity files that an ssh-agent holds, then all else that the agent
 * holds (unless only the files are meant), then the files. An agent is asked by a client of our own, which
 * does not hang when the agent does; encrypted files are for an agent.
 *
 * Errors: ERR_DENIED  the host takes none of our keys: the text says which were tried, and why others not
 *         ERR_VERSION so it is, but the ssh program could do better: the text says why
 *         ERR_BUSY    canceled;     ERR_LIMIT, ERR_IO  the host did not answer, or hung up
 */
#ifndef EXECUTOR_SSH_LOGIN_H
#define EXECUTOR_SSH_LOGIN_H

#include "executor/ssh_resolve.h"
#include "executor/ssh_session.h"

enum {
	SSH_LOGIN_KEY_BYTES = 256,
	SSH_AGENT_LIST_MS = 5000,  /* for an agent to say what it holds */
	SSH_AGENT_SIGN_MS = 12000, /* for an agent to sign: it may ask a person */
};

/* `key_out` is the name of the key that let us in; "" when it took none. */
int ssh_login(struct ssh_session *session, const struct ssh_host *host, const struct ssh_wait *wait,
	      char key_out[SSH_LOGIN_KEY_BYTES], struct err *err);

#endif
