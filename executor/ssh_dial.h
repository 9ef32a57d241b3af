/*
 * ssh_dial.h - from a target to a running command on it: resolve, connect, check the host key, log in,
 * execute
 *
 * All that blocks or may hang is here: ssh -G, name look-up, the key exchange, ssh-agent. It runs in a
 * thread of its own, which shares nothing: it is given a copy of the target and hands over a session that
 * the loop goes on with. A dial that is given up ends by itself as soon as it can and frees what it has; a
 * name look-up that hangs holds nobody up.
 *
 * Of a jump host as of the host behind it the key is checked and the login done here, with our keys.
 *
 * Ownership: the result is the caller's: ssh_dial_take hands it over.
 */
#ifndef EXECUTOR_SSH_DIAL_H
#define EXECUTOR_SSH_DIAL_H

#include <uv.h>

#include "executor/hostkey.h"
#include "executor/ssh_session.h"
#include "executor/ssh_target.h"
#include "executor/transport.h"

enum ssh_dial_outcome {
	SSH_DIAL_FAILED,
	SSH_DIAL_CONNECTED, /* `session` runs the command */
	SSH_DIAL_OPENSSH,   /* it takes openssh; `reason` says why */
};

/* What was found on the way, as far as it came: for people. */
struct ssh_facts {
	char host[256]; /* "alice@gpu1.lan:22" */
	char address[80];
	char jump[256]; /* the same of the jump host, "" when there is none */
	char host_key[HOSTKEY_TYPE_BYTES + HOSTKEY_FINGERPRINT_BYTES]; /* "ssh-ed25519 SHA256:..." */
	char key[256];						       /* that it let us in with */
	char ciphers[120];
};

struct ssh_dial_result {
	enum ssh_dial_outcome outcome;
	struct ssh_session *session;
	enum fault fault;
	char why[1000];
	char reason[200];
	char jump[512]; /* OPENSSH: what it is reached through, as ssh names it; "": nothing */
	char *settled;	/* OPENSSH: NULL, or what stands for ssh's configuration; to be freed */
	char *ciphers;	/* OPENSSH: NULL, or those that ssh would ask for; to be freed */
	struct ssh_facts facts;
};

struct ssh_dial;

/*
 * Starts the thread; `async` is sent when there is a result. `learned` is a reason why it took openssh the last
 * time, or "": then that is not found out anew. All are copied.
 */
struct ssh_dial *ssh_dial_start(const struct ssh_target *target, const char *command, const char *learned,
				uv_async_t *async);

/* After its async: hands the result over and frees the dial. */
void ssh_dial_take(struct ssh_dial *dial, struct ssh_dial_result *result_out);

/* At any time before ssh_dial_take: nothing more is heard of it. */
void ssh_dial_give_up(struct ssh_dial *dial);

/* --- only looking: who answers there, before anybody is trusted ---------------------------------------- */

enum { SSH_SHOWN_MAX = 4, SSH_SHOWN_BYTES = 4096, SSH_HOPS_MAX = 8 };

struct ssh_shown {
	struct hostkey_finding finding; /* what our known hosts say to it */
	uint8_t key[SSH_SHOWN_BYTES];
	size_t key_bytes;
};

struct ssh_look {
	struct hostkey_place place;
	const char *file; /* of the person's known hosts, to which a line is added; NULL: there is none */
	bool is_jump;	  /* it is a jump host; the one behind it can be seen when this one is trusted */
	struct ssh_shown keys[SSH_SHOWN_MAX];
	size_t keys_count;
};

/*
 * The keys of the first host on the way to the target that is not known, or of the target; without logging in
 * to it. Hosts that only the ssh program gets to (ProxyCommand, several jump hosts, `transport: openssh`) are
 * asked by it. Blocks, for as long as each step may take. Texts are in the arena. `fault_out` says what a
 * negative code is about: ERR_INVALID when only a person can mend it, else ERR_IO.
 */
int ssh_dial_look(struct arena *arena, const struct ssh_target *target, struct ssh_look *look_out,
		  enum fault *fault_out, struct err *err);

#endif
