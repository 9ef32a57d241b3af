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

/* A host by the key that it shows, known or not: enough to show it and to add it. */
struct ssh_stranger {
	char host[256];			/* as known_hosts names it: "gpu1.lan", "[gpu1.lan]:2222" */
	char file[512];			/* where to add it; "": no such file is configured */
	struct hostkey_finding finding; /* what is known of it, the key's type and fingerprint */
	uint8_t key[4096];
	size_t key_bytes;
};

struct ssh_dial_result {
	enum ssh_dial_outcome outcome;
	struct ssh_session *session;
	enum fault fault;
	char why[1000];
	char reason[200];
	char jump[512]; /* OPENSSH: what it is reached through, as ssh names it; "": nothing */
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

enum { SSH_SHOWN_MAX = 4, SSH_SHOWN_BYTES = 4096 };

struct ssh_shown {
	struct hostkey_finding finding; /* what our known hosts say to it */
	uint8_t key[SSH_SHOWN_BYTES];
	size_t key_bytes;
};

struct ssh_look {
	struct hostkey_place place;
	const char *file; /* of the person's known hosts, to which a line is added; NULL: there is none */
	bool is_jump;	  /* it is the jump host; the one behind it can be seen when this one is trusted */
	struct ssh_shown keys[SSH_SHOWN_MAX];
	size_t keys_count;
};

/*
 * The keys of the first host on the way to the target that is not known, or of the target. Blocks, for as
 * long as each step may take. Texts are in the arena. `fault_out` says what a negative code is about.
 */
int ssh_dial_look(struct arena *arena, const struct ssh_target *target, struct ssh_look *look_out,
		  enum fault *fault_out, struct err *err);

/*
 * Asks the target who it is, without logging in to it. Blocks, within the limits of a dial. Of a host behind
 * a jump host that is not trusted itself, it is the jump host that is answered with: trust that one, then
 * ask again. 0, or negative when no key was seen: `fault_out` and `err` say why.
 */
int ssh_dial_meet(const struct ssh_target *target, struct ssh_stranger *stranger_out, enum fault *fault_out,
		  struct err *err);

/* Adds its key to the file that ssh would add it to. */
int ssh_dial_trust(const struct ssh_stranger *stranger, struct err *err);

#endif
