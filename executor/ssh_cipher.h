/*
 * ssh_cipher.h - AES-CTR for a library that encrypts sixteen bytes at a time
 *
 * libssh2 calls libcrypto for each block of a packet, 65 million times for one GB. What such a call costs is
 * mostly the way to the processor's AES instructions and back: AES itself would be done in an eighth of the time.
 * In counter mode the key stream does not depend on what is encrypted. So this makes some of it ahead, in one
 * call, and what is left to do for each block is an exclusive or.
 *
 * It is a provider in the sense of libcrypto 3, in a library context that is the default of those threads only
 * that asked for it; the key stream comes from libcrypto's own provider. With an older libcrypto, or where
 * something of it fails, nothing is done: everything works, only slower.
 */
#ifndef EXECUTOR_SSH_CIPHER_H
#define EXECUTOR_SSH_CIPHER_H

#include <stdbool.h>

enum { SSH_CIPHER_AHEAD_BYTES = 4096 }; /* stays in the processor's first cache */

/* From now on this thread's libcrypto makes such ciphers. False: it goes on with its own. */
bool ssh_cipher_use(void);

#endif
