/*
 * ssh_keyfile.h - what a private key file says of itself without being opened: its type, whether it is
 * encrypted, and its public half
 *
 * Read are the formats of OpenSSH (which has the public key in clear in front) and PEM; of the latter the
 * public key is that of the file beside it, NAME.pub. A file that is itself a public key names one that an
 * ssh-agent holds.
 *
 * Ownership: `public_key` is the caller's (ssh_keyfile_fini).
 * Source:    OpenSSH's PROTOCOL.key; RFC 7468, RFC 1421 (Proc-Type).
 */
#ifndef EXECUTOR_SSH_KEYFILE_H
#define EXECUTOR_SSH_KEYFILE_H

#include <stdbool.h>

#include "common/buf.h"
#include "common/err.h"
#include "executor/hostkey.h"

enum { SSH_KEYFILE_BYTES_MAX = 64 * 1024 };

struct ssh_keyfile {
	char type[HOSTKEY_TYPE_BYTES]; /* "ssh-ed25519"; "" when it does not say */
	bool encrypted;
	bool public_only;
	bool certified;	       /* there is a certificate beside it, NAME-cert.pub */
	struct buf public_key; /* in wire format; empty when it is not known */
};

int ssh_keyfile_read(const char *path, struct ssh_keyfile *out, struct err *err);
void ssh_keyfile_fini(struct ssh_keyfile *keyfile);

/* Pure: the file alone. `text` ends with a NUL that does not count. */
int ssh_keyfile_parse(const char *text, size_t n, struct ssh_keyfile *out, struct err *err);

#endif
