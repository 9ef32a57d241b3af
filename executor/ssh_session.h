/*
 * ssh_session.h - libssh2 as a machine that turns bytes into other bytes; the only file that knows libssh2
 *
 * libssh2 never sees a socket. What it sends goes to a queue of ours that always accepts, and what it
 * receives comes from the socket, or from the tunnel through another session (a jump host), as long as this
 * turn's budget lasts. So no packet is ever half sent from its point of view, and "call me again" only ever
 * means "nothing more has come".
 *
 *   plain queue -> libssh2 -> wire queue -> socket
 *   plain queue -> libssh2 -> wire queue -> libssh2 at the jump host -> wire queue -> socket
 *
 * A session has two halves of life, each in one thread at a time. First a thread calls what blocks (handshake
 * to exec), each within a time limit and cancelable. Then another one calls ssh_session_turn whenever the
 * socket is ready: all that is encrypted and decrypted is so there, and not on the loop (ssh_channel.h).
 *
 * Ownership: a session owns its socket, and the session that it goes through.
 * Errors:    ERR_LIMIT  no answer in time;          ERR_BUSY     canceled
 *            ERR_IO     the other side hung up;     ERR_VERSION  no common algorithm
 *            ERR_DENIED it refused;                 ERR_CORRUPT  it does not speak ssh
 *            ERR_INVALID our own side cannot (a key file that libssh2 does not read)
 * Source:    RFC 4251 to 4254; what libssh2 1.10 and 1.11 really do was found by trying.
 */
#ifndef EXECUTOR_SSH_SESSION_H
#define EXECUTOR_SSH_SESSION_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/buf.h"
#include "common/err.h"

enum {
	SSH_WINDOW_BYTES = 4 * 1024 * 1024, /* what the host may send ahead: bandwidth times round trip */
	SSH_COMPLAINT_BYTES = 4096,
	SSH_WIRE_MARK_BYTES = 256 * 1024, /* of the wire queue: above it nothing more is encrypted */
	SSH_TURN_BYTES = 512 * 1024,	  /* received, and sent, in one turn */
	SSH_HEARD_BYTES = 80,
};

struct ssh_session;

struct ssh_wait {
	int64_t until_ms; /* monotonic */
	int cancel_fd;	  /* readable: give up; -1: none */
};

/* "1.10.0" */
const char *ssh_session_library(void);

/* True when the library can use RSA keys with SHA-2, which is what servers of today ask for. */
bool ssh_session_can_rsa(void);

/* Takes over a connected socket that does not block. */
struct ssh_session *ssh_session_new(int fd);

/* Takes over a session with an open tunnel (ssh_session_tunnel), to speak through it with the host behind. */
struct ssh_session *ssh_session_through(struct ssh_session *outer);

void ssh_session_free(struct ssh_session *session);

/*
 * --- first half: each blocks within its wait -------------------------------------------------------------
 */

/* `hostkey_types` are asked for first, "a,b"; may be empty. */
int ssh_session_handshake(struct ssh_session *session, const char *hostkey_types, const struct ssh_wait *wait,
			  struct err *err);

/* The host's public key, valid as long as the session. */
const uint8_t *ssh_session_hostkey(const struct ssh_session *session, size_t *n_out);

/* The first bytes that the other side ever sent, printable: says what it is when it is no ssh server. */
const char *ssh_session_heard(const struct ssh_session *session);

/* "aes128-ctr, hmac-sha2-256", of what we receive. */
const char *ssh_session_ciphers(const struct ssh_session *session);

/* Methods by which the host lets `user` in, "publickey,password"; empty when it let us in for nothing. */
int ssh_session_methods(struct ssh_session *session, const char *user, const struct ssh_wait *wait,
			struct buf *methods_out, struct err *err);

/* ERR_DENIED: not with this key. */
int ssh_session_login_file(struct ssh_session *session, const char *user, const char *path,
			   const struct ssh_wait *wait, struct err *err);

/* Signs `data`: the signature, without the name of its algorithm, is appended to `out`. 0 or -1. */
typedef int ssh_sign(void *context, const uint8_t *data, size_t n, struct buf *out);

/* With a key that somebody else holds: `key` is the public one, in wire format. */
int ssh_session_login_key(struct ssh_session *session, const char *user, const uint8_t *key, size_t n,
			  ssh_sign *sign, void *context, const struct ssh_wait *wait, struct err *err);

/* Opens the session's channel: to a port of a host that it reaches, or to a command there. */
int ssh_session_tunnel(struct ssh_session *session, const char *host, int port, const struct ssh_wait *wait,
		       struct err *err);
int ssh_session_exec(struct ssh_session *session, const char *command, const struct ssh_wait *wait,
		     struct err *err);

/*
 * --- second half: never blocks ---------------------------------------------------------------------------
 */

struct ssh_sink {
	/* Where what comes next is to be put; NULL: nowhere for now, and the turn hands on no more. */
	uint8_t *(*room)(void *context, size_t *n_out);
	void (*on_bytes)(void *context, size_t n);			  /* so many were put there */
	void (*on_complaint)(void *context, const char *bytes, size_t n); /* the command's stderr */
	void *context;
};

/* What poll has to wait for. */
int ssh_session_fd(const struct ssh_session *session);
bool ssh_session_wants_write(const struct ssh_session *session);

/*
 * Moves what can be moved in both directions, within its budget. 0: wait for the socket, or for room in the
 * sink; negative: the channel or the connection ended, after everything that came was handed on.
 */
int ssh_session_turn(struct ssh_session *session, const struct ssh_sink *sink, struct err *err);

/* Queues bytes for the command's stdin; ssh_session_turn sends them. */
void ssh_session_send(struct ssh_session *session, const uint8_t *bytes, size_t n);

/* Given to ssh_session_send and not yet taken by the system. */
size_t ssh_session_queued_bytes(const struct ssh_session *session);

/* What the system took of this connection so far, as it goes over the wire: to see whether it took more. */
uint64_t ssh_session_taken_bytes(const struct ssh_session *session);

/* The command's stdin ends behind what was sent. */
void ssh_session_finish(struct ssh_session *session);

#endif
