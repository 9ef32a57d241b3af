/*
 * digest.h - SHA-256 of bytes and files
 *
 * Here because the agent, which links no library, and the scheduler must agree on it.
 *
 * Source: FIPS 180-4, section 6.2. Uses the processor's SHA extensions where it has them.
 */
#ifndef COMMON_DIGEST_H
#define COMMON_DIGEST_H

#include <stddef.h>
#include <stdint.h>

enum { DIGEST_BYTES = 32, DIGEST_HEX_BYTES = 65 };

struct digest {
	uint32_t state[8];
	uint64_t bytes;
	uint8_t block[64];
};

void digest_init(struct digest *digest);
void digest_add(struct digest *digest, const void *bytes, size_t n);
void digest_end(struct digest *digest, uint8_t out[DIGEST_BYTES]);

/* Lower-case hexadecimal, NUL-terminated. */
const char *digest_hex(const uint8_t bytes[DIGEST_BYTES], char text[DIGEST_HEX_BYTES]);

/* Of all that `fd` yields from where it stands: 0, or -1 with errno. */
int digest_fd(int fd, uint8_t out[DIGEST_BYTES], uint64_t *bytes_out);

/* Test only: turns the processor's extensions off (and on again). */
void digest_use_extensions(int on);

#endif
