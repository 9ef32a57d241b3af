/*
 * ssh_target.h - which machine a worker is, as somebody named it, and how to get there
 *
 * Whatever is NULL, 0 or empty is left to ssh's own configuration and its defaults.
 *
 * Ownership: whoever takes a target copies it (ssh_target_copy); the texts may go afterwards.
 */
#ifndef EXECUTOR_SSH_TARGET_H
#define EXECUTOR_SSH_TARGET_H

#include <stddef.h>
#include <stdint.h>

#include "common/arena.h"

enum ssh_choice {
	SSH_AUTO,    /* libssh2 where it can do all that the host asks for, else openssh */
	SSH_LIBSSH2, /* in this process */
	SSH_OPENSSH, /* the ssh program as a child */
};

struct ssh_target {
	const char *worker; /* its name: for logs and for what a person is told to type */
	const char
		*destination; /* [user@]host[:port], or an alias of ~/.ssh/config; NULL: the worker's name */
	const char *root;     /* NULL: ~/.stoker; "~/" is the home folder there */
	const char *jump;     /* [user@]host[:port] or an alias; "none": no jump whatever ssh_config says */
	const char *config_file; /* given to ssh as -F */
	const char *known_hosts; /* in place of the files that ssh would look in */
	const char **identities; /* private key files, in place of those that ssh would try */
	size_t identities_count;
	enum ssh_choice choice;
	int64_t connect_timeout_ms; /* 0: SSH_CONNECT_MS */
};

enum {
	SSH_RESOLVE_MS = 10000, /* for ssh -G, which may run commands of the person's configuration */
	SSH_CONNECT_MS = 15000, /* until the host accepts the connection */
	SSH_LOGIN_MS = 20000,	/* key exchange, authentication, opening the channel; for each host */
	SSH_BOOT_MS = 20000,	/* until the agent listens; again for each part of an upload that moves on */
};

/* A deep copy in `arena`, with the defaults for worker, destination, root and time limit filled in. */
struct ssh_target *ssh_target_copy(struct arena *arena, const struct ssh_target *target);

#endif
