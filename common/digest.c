#include "common/digest.h"

#include <errno.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#if defined(__x86_64__)
#include <cpuid.h>
#include <immintrin.h>
#endif

static const uint32_t K[64] = {
	0x428a2f98, 0x71374491, 0xb5c0fbcf, 0xe9b5dba5, 0x3956c25b, 0x59f111f1, 0x923f82a4, 0xab1c5ed5,
	0xd807aa98, 0x12835b01, 0x243185be, 0x550c7dc3, 0x72be5d74, 0x80deb1fe, 0x9bdc06a7, 0xc19bf174,
	0xe49b69c1, 0xefbe4786, 0x0fc19dc6, 0x240ca1cc, 0x2de92c6f, 0x4a7484aa, 0x5cb0a9dc, 0x76f988da,
	0x983e5152, 0xa831c66d, 0xb00327c8, 0xbf597fc7, 0xc6e00bf3, 0xd5a79147, 0x06ca6351, 0x14292967,
	0x27b70a85, 0x2e1b2138, 0x4d2c6dfc, 0x53380d13, 0x650a7354, 0x766a0abb, 0x81c2c92e, 0x92722c85,
	0xa2bfe8a1, 0xa81a664b, 0xc24b8b70, 0xc76c51a3, 0xd192e819, 0xd6990624, 0xf40e3585, 0x106aa070,
	0x19a4c116, 0x1e376c08, 0x2748774c, 0x34b0bcb5, 0x391c0cb3, 0x4ed8aa4a, 0x5b9cca4f, 0x682e6ff3,
	0x748f82ee, 0x78a5636f, 0x84c87814, 0x8cc70208, 0x90befffa, 0xa4506ceb, 0xbef9a3f7, 0xc67178f2,
};

static atomic_int extensions = -1; /* -1: not asked yet; threads may ask at once, and hear the same */

static uint32_t rotate(uint32_t x, int n)
{
	return x >> n | x << (32 - n);
}

/* One round. Those that it leaves as they are do not move along: the next is called with their names moved instead. */
static inline void add_round(uint32_t a, uint32_t b, uint32_t c, uint32_t *d, uint32_t e, uint32_t f, uint32_t g,
			     uint32_t *h, uint32_t word)
{
	uint32_t sum = *h + (rotate(e, 6) ^ rotate(e, 11) ^ rotate(e, 25)) + ((e & f) ^ (~e & g)) + word;

	*d += sum;
	*h = sum + (rotate(a, 2) ^ rotate(a, 13) ^ rotate(a, 22)) + ((a & b) ^ (a & c) ^ (b & c));
}

static void add_blocks_plain(uint32_t state[8], const uint8_t *at, size_t blocks)
{
	for (; blocks > 0; blocks--, at += 64) {
		uint32_t a = state[0], b = state[1], c = state[2], d = state[3], e = state[4], f = state[5],
			 g = state[6], h = state[7], w[64];

		for (int i = 0; i < 16; i++)
			w[i] = (uint32_t)at[4 * i] << 24 | (uint32_t)at[4 * i + 1] << 16 |
			       (uint32_t)at[4 * i + 2] << 8 | at[4 * i + 3];
		for (int i = 16; i < 64; i++) {
			uint32_t two = w[i - 2], fifteen = w[i - 15];

			w[i] = w[i - 16] + (rotate(fifteen, 7) ^ rotate(fifteen, 18) ^ fifteen >> 3) + w[i - 7] +
			       (rotate(two, 17) ^ rotate(two, 19) ^ two >> 10);
		}
		for (int i = 0; i < 64; i += 8) {
			add_round(a, b, c, &d, e, f, g, &h, K[i] + w[i]);
			add_round(h, a, b, &c, d, e, f, &g, K[i + 1] + w[i + 1]);
			add_round(g, h, a, &b, c, d, e, &f, K[i + 2] + w[i + 2]);
			add_round(f, g, h, &a, b, c, d, &e, K[i + 3] + w[i + 3]);
			add_round(e, f, g, &h, a, b, c, &d, K[i + 4] + w[i + 4]);
			add_round(d, e, f, &g, h, a, b, &c, K[i + 5] + w[i + 5]);
			add_round(c, d, e, &f, g, h, a, &b, K[i + 6] + w[i + 6]);
			add_round(b, c, d, &e, f, g, h, &a, K[i + 7] + w[i + 7]);
		}
		state[0] += a;
		state[1] += b;
		state[2] += c;
		state[3] += d;
		state[4] += e;
		state[5] += f;
		state[6] += g;
		state[7] += h;
	}
}

#if defined(__x86_64__)
/*
 * sha256rnds2 does two rounds on the state kept as ABEF and CDGH. The message schedule is kept as four
 * vectors of four words; each turn of the loop does four rounds and makes the four words needed sixteen
 * rounds later.
 */
__attribute__((target("sha,sse4.1"))) static void add_blocks_sha(uint32_t state[8], const uint8_t *at,
								 size_t blocks)
{
	const __m128i big_endian = _mm_set_epi64x(0x0c0d0e0f08090a0bLL, 0x0405060700010203LL);
	__m128i dcba = _mm_shuffle_epi32(_mm_loadu_si128((const __m128i *)(const void *)state), 0xb1);
	__m128i hgfe = _mm_shuffle_epi32(_mm_loadu_si128((const __m128i *)(const void *)(state + 4)), 0x1b);
	__m128i abef = _mm_alignr_epi8(dcba, hgfe, 8);
	__m128i cdgh = _mm_blend_epi16(hgfe, dcba, 0xf0);

	for (; blocks > 0; blocks--, at += 64) {
		__m128i w[4], abef_before = abef, cdgh_before = cdgh;

		for (int i = 0; i < 4; i++)
			w[i] = _mm_shuffle_epi8(_mm_loadu_si128((const __m128i *)(const void *)(at + 16 * i)),
						big_endian);
		for (int i = 0; i < 16; i++) {
			__m128i words = w[i & 3];
			__m128i sum = _mm_add_epi32(
				words, _mm_loadu_si128((const __m128i *)(const void *)(K + 4 * i)));

			cdgh = _mm_sha256rnds2_epu32(cdgh, abef, sum);
			abef = _mm_sha256rnds2_epu32(abef, cdgh, _mm_shuffle_epi32(sum, 0x0e));
			if (i < 12) {
				__m128i next = _mm_sha256msg1_epu32(words, w[(i + 1) & 3]);

				next = _mm_add_epi32(next,
						     _mm_alignr_epi8(w[(i + 3) & 3], w[(i + 2) & 3], 4));
				w[i & 3] = _mm_sha256msg2_epu32(next, w[(i + 3) & 3]);
			}
		}
		abef = _mm_add_epi32(abef, abef_before);
		cdgh = _mm_add_epi32(cdgh, cdgh_before);
	}
	__m128i feba = _mm_shuffle_epi32(abef, 0x1b);
	__m128i dchg = _mm_shuffle_epi32(cdgh, 0xb1);
	_mm_storeu_si128((__m128i *)(void *)state, _mm_blend_epi16(feba, dchg, 0xf0));
	_mm_storeu_si128((__m128i *)(void *)(state + 4), _mm_alignr_epi8(dchg, feba, 8));
}

static int has_extensions(void)
{
	unsigned a, b, c, d;

	if (__get_cpuid(1, &a, &b, &c, &d) == 0 || (c & bit_SSE4_1) == 0)
		return 0;
	if (__get_cpuid_count(7, 0, &a, &b, &c, &d) == 0)
		return 0;
	return (b & bit_SHA) != 0;
}
#else
static void add_blocks_sha(uint32_t state[8], const uint8_t *at, size_t blocks)
{
	add_blocks_plain(state, at, blocks);
}

static int has_extensions(void)
{
	return 0;
}
#endif

static void add_blocks(uint32_t state[8], const uint8_t *at, size_t blocks)
{
	int have = atomic_load_explicit(&extensions, memory_order_relaxed);

	if (have < 0) {
		have = has_extensions();
		atomic_store_explicit(&extensions, have, memory_order_relaxed);
	}
	if (have)
		add_blocks_sha(state, at, blocks);
	else
		add_blocks_plain(state, at, blocks);
}

void digest_use_extensions(int on)
{
	atomic_store_explicit(&extensions, on ? has_extensions() : 0, memory_order_relaxed);
}

void digest_init(struct digest *digest)
{
	static const uint32_t first[8] = { 0x6a09e667, 0xbb67ae85, 0x3c6ef372, 0xa54ff53a,
					   0x510e527f, 0x9b05688c, 0x1f83d9ab, 0x5be0cd19 };

	memcpy(digest->state, first, sizeof first);
	digest->bytes = 0;
}

void digest_add(struct digest *digest, const void *bytes, size_t n)
{
	const uint8_t *at = bytes;
	size_t held = digest->bytes % 64;

	digest->bytes += n;
	if (held > 0) {
		size_t part = 64 - held < n ? 64 - held : n;

		memcpy(digest->block + held, at, part);
		at += part;
		n -= part;
		if (held + part < 64)
			return;
		add_blocks(digest->state, digest->block, 1);
	}
	add_blocks(digest->state, at, n / 64);
	if (n % 64 > 0)
		memcpy(digest->block, at + n / 64 * 64, n % 64);
}

void digest_end(struct digest *digest, uint8_t out[DIGEST_BYTES])
{
	uint64_t bits = digest->bytes * 8;
	size_t held = digest->bytes % 64;

	digest->block[held++] = 0x80;
	if (held > 56) {
		memset(digest->block + held, 0, 64 - held);
		add_blocks(digest->state, digest->block, 1);
		held = 0;
	}
	memset(digest->block + held, 0, 56 - held);
	for (int i = 0; i < 8; i++)
		digest->block[56 + i] = (uint8_t)(bits >> (56 - 8 * i));
	add_blocks(digest->state, digest->block, 1);
	for (int i = 0; i < DIGEST_BYTES; i++)
		out[i] = (uint8_t)(digest->state[i / 4] >> (24 - 8 * (i % 4)));
}

const char *digest_hex(const uint8_t bytes[DIGEST_BYTES], char text[DIGEST_HEX_BYTES])
{
	static const char digits[] = "0123456789abcdef";

	for (int i = 0; i < DIGEST_BYTES; i++) {
		text[2 * i] = digits[bytes[i] >> 4];
		text[2 * i + 1] = digits[bytes[i] & 15];
	}
	text[2 * DIGEST_BYTES] = '\0';
	return text;
}

int digest_fd(int fd, uint8_t out[DIGEST_BYTES], uint64_t *bytes_out)
{
	enum { CHUNK = 256 * 1024 };
	struct digest digest;
	uint8_t *chunk = malloc(CHUNK);
	ssize_t n = -1;

	if (chunk == NULL)
		return -1;
	digest_init(&digest);
	for (;;) {
		n = read(fd, chunk, CHUNK);
		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			break;
		digest_add(&digest, chunk, (size_t)n);
	}
	free(chunk);
	if (n < 0)
		return -1;
	if (bytes_out != NULL)
		*bytes_out = digest.bytes;
	digest_end(&digest, out);
	return 0;
}
