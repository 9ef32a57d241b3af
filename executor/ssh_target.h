/*
 * ssh_target.h - a machine to be reached over ssh, as it was configured
 *
 * What is NULL, 0 or SSH_AUTO was not said: ssh's own configuration answers then, else the usual defaults.
 *
 * Ownership: the texts are the giver's and outlive the transport.
 */
#ifndef EXECUTOR_SSH_TARGET_H
#define EXECUTOR_SSH_TARGET_H

#include <stddef.h>
#include <stdint.h>

enum ssh_choice { SSH_AUTO, SSH_LIBSSH2, SSH_OPENSSH };

struct ssh_target {
	const char *worker;      /* its name, for messages */
	const char *destination; /* [user@]host[:port] or an alias of ssh's configuration */
	const char *root;        /* where stoker keeps its things there; "~/.stoker" */
	const char *jump;        /* [user@]host[:port] */
	const char *config_file; /* of ssh, in place of the user's */
	const char *known_hosts; /* file, in place of what ssh's configuration says */
	const char *const *identities; /* key files, in place of what ssh's configuration says */
	size_t identities_count;
	enum ssh_choice choice;
	int64_t connect_timeout_ms; /* 0: 15 s */
};

#endif
