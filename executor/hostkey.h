/*
 * hostkey.h - is this the machine we know? OpenSSH's known_hosts files, read strictly
 *
 * Hashed names, [host]:port, lists, wildcards and negation, HostKeyAlias and @revoked are heeded as ssh heeds
 * them; @cert-authority lines are passed over, and so is every line that cannot be read: one bad line must
 * not make strangers of all hosts. A host on another port than 22 is also known by an entry without a port
 * that holds the same key.
 *
 * Here and not libssh2's: that one takes a revoked key for a good one, knows no wildcards, and gives up at
 * the first bad line.
 *
 * Units:  keys are in the wire format of RFC 4253, section 6.6.
 * Errors: a file that is not there is an empty one; one that cannot be read is an error.
 * Source: sshd(8), SSH_KNOWN_HOSTS FILE FORMAT.
 */
#ifndef EXECUTOR_HOSTKEY_H
#define EXECUTOR_HOSTKEY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/buf.h"
#include "common/err.h"

enum {
	HOSTKEY_FILE_BYTES_MAX = 16 * 1024 * 1024,
	HOSTKEY_FINGERPRINT_BYTES = 64,
	HOSTKEY_TYPE_BYTES = 64,
	HOSTKEY_TYPES_BYTES = 256,
};

/* Where a host is looked up, and under which name. */
struct hostkey_place {
	const char *const *files;
	size_t files_count;
	const char *host;
	int port;
	const char *alias; /* HostKeyAlias: looked up as it is, without a port; NULL: none */
};

enum hostkey_answer { HOSTKEY_UNKNOWN, HOSTKEY_KNOWN, HOSTKEY_CHANGED, HOSTKEY_REVOKED };

struct hostkey_finding {
	enum hostkey_answer answer;
	char type[HOSTKEY_TYPE_BYTES];			 /* of the key that was offered: "ssh-ed25519" */
	char fingerprint[HOSTKEY_FINGERPRINT_BYTES];	 /* of the same: "SHA256:..." */
	char old_fingerprint[HOSTKEY_FINGERPRINT_BYTES]; /* CHANGED: of the key that is known */
	char file[512];					 /* of the line that decided; "" when there is none */
	int line;
	char other_types[HOSTKEY_TYPES_BYTES]; /* UNKNOWN: the types of key that are known, "a,b" */
};

int hostkey_check(const struct hostkey_place *place, const uint8_t *key, size_t n,
		  struct hostkey_finding *finding_out, struct err *err);

/*
 * The types of key that are known for a host, "ssh-ed25519,ssh-rsa", to be asked for first; "" when none
 * are.
 */
int hostkey_types(const struct hostkey_place *place, char types[HOSTKEY_TYPES_BYTES], struct err *err);

/* "host", "[host]:2222" or the alias: the name of a line for it. */
void hostkey_name(const struct hostkey_place *place, struct buf *out);

/* Appends the key of the first line of `file` that can be read; ERR_NOT_FOUND when there is none. */
int hostkey_first(const char *file, struct buf *key_out, struct err *err);

/* Appends a line for the host to `file`, which is made, with its folder, where it is not there. */
int hostkey_add(const char *file, const struct hostkey_place *place, const uint8_t *key, size_t n,
		struct err *err);

/*
 * Takes the lines out that name the host, and nobody else, in `file`: how many, or a negative code.
 * ERR_EXISTS: a line with a pattern or a list of hosts is for a person to edit, and nothing was changed.
 */
int hostkey_remove(const char *file, const struct hostkey_place *place, struct err *err);

/* "SHA256:..." as ssh-keygen -l prints it. */
const char *hostkey_fingerprint(const uint8_t *key, size_t n, char text[HOSTKEY_FINGERPRINT_BYTES]);

/* "ssh-ed25519"; false when the key does not begin with a type. */
bool hostkey_type(const uint8_t *key, size_t n, char type[HOSTKEY_TYPE_BYTES]);

#endif
