/*
 * ssh_resolve.h - from what somebody named to a host, a port, a user and keys: what ssh would do
 *
 * Asks `ssh -G`, so that aliases, Include, Match and all else of ~/.ssh/config mean what they mean to ssh;
 * with no ssh installed the target alone says it, with ssh's defaults. Blocks (a child process, which may
 * run commands of the person's configuration; the look-up of the user): for a thread.
 *
 * Ownership: everything is in the arena.
 * Errors:    ERR_INVALID: what was configured makes no sense, to ssh or to us; ERR_LIMIT: ssh did not
 *            answer in time; ERR_BUSY: `cancel_fd` (-1: none) became readable.
 */
#ifndef EXECUTOR_SSH_RESOLVE_H
#define EXECUTOR_SSH_RESOLVE_H

#include <stdbool.h>
#include <stddef.h>

#include "common/arena.h"
#include "common/err.h"
#include "executor/ssh_target.h"

enum { SSH_WORDS_MAX = 64, SSH_ANSWER_BYTES_MAX = 1024 * 1024 };

struct ssh_words {
	const char *words[SSH_WORDS_MAX]; /* what is more is dropped */
	size_t count;
};

struct ssh_host {
	const char *name; /* as it was named, without user and port: %n */
	const char *host; /* to connect to */
	int port;
	const char *user;
	const char *alias;	     /* HostKeyAlias; NULL: none */
	struct ssh_words identities; /* private key files, "~" and "%" expanded; not all need exist */
	bool identities_named;	     /* else they are the defaults, of which one may be missing */
	bool identities_only;	     /* of an ssh-agent only these */
	const char *agent;	     /* socket of the ssh-agent; NULL: none */
	struct ssh_words known_hosts;
	const char *own_known_hosts; /* of these the one that new hosts are added to; NULL: none */
	bool gssapi;		     /* it may be used */
	const char *jump;	    /* ProxyJump: one host or several, "a,b"; NULL: none */
	const char *openssh_reason; /* NULL, or what is asked for that libssh2 cannot do */
	/*
	 * NULL, or lines of "keyword value" that stand for all of ssh's configuration but its keys: where that
	 * names some and the target others. ssh itself can only add to them.
	 */
	const char *settled;
	const char *ciphers; /* that ssh would ask for, the best one first; NULL: it didn't say */
	int address_family;	    /* AF_UNSPEC, AF_INET, AF_INET6 */
};

/* A destination taken apart; `user` is NULL and `port` 0 where it does not say. */
struct ssh_destination {
	const char *user;
	const char *host;
	int port;
};

/*
 * [user@]host[:port], [user@][address]:port or ssh://...: ERR_INVALID with the reason when it is none of
 * them.
 */
int ssh_destination_parse(struct arena *arena, const char *text, struct ssh_destination *out,
			  struct err *err);

int ssh_resolve(struct arena *arena, const struct ssh_target *target, int cancel_fd,
		struct ssh_host *host_out, struct err *err);

/* The same for the one host that it is to be reached through, of which the target only knows the name. */
int ssh_resolve_jump(struct arena *arena, const struct ssh_target *target, const char *jump, int cancel_fd,
		     struct ssh_host *host_out, struct err *err);

/*
 * Pure: what `ssh -G` printed, as a host. `home` and `local_user` are for "~", %d and %u. For ssh_resolve
 * and tests.
 */
int ssh_resolve_answer(struct arena *arena, const char *answer, const struct ssh_destination *destination,
		       const char *home, const char *local_user, struct ssh_host *host_out, struct err *err);

#endif
