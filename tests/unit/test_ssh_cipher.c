#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <openssl/evp.h>
#if OPENSSL_VERSION_MAJOR >= 3
#include <openssl/provider.h>
#endif
#include <pthread.h>
#include <string.h>

#include "common/rng.h"
#include "common/scope.h"
#include "executor/ssh_cipher.h"

enum { TEXT_BYTES = 5 * SSH_CIPHER_AHEAD_BYTES + 5 };

static uint8_t text[TEXT_BYTES], expected[TEXT_BYTES], got[TEXT_BYTES];
static const uint8_t key[32] = "0123456789abcdef0123456789abcde";
/* The counter runs over, so that all of it is counted and not its last bytes alone. */
static const uint8_t counter[16] = { 0,    0,    0,    0,    0xff, 0xff, 0xff, 0xff,
				     0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xfe };

/* As libssh2 does it. */
static void encrypt(const EVP_CIPHER *cipher, const uint8_t *in, uint8_t *out, size_t piece, int forth)
{
	EVP_CIPHER_CTX *context = EVP_CIPHER_CTX_new();

	assert_int_equal(EVP_CipherInit(context, cipher, key, counter, forth), 1);
	for (size_t at = 0; at < TEXT_BYTES; at += piece) {
		size_t part = piece < TEXT_BYTES - at ? piece : TEXT_BYTES - at;

		assert_int_equal(EVP_Cipher(context, out + at, in + at, (unsigned)part), part);
	}
	EVP_CIPHER_CTX_free(context);
}

#if OPENSSL_VERSION_MAJOR >= 3
static const char *provider_of(const char *name)
{
	EVP_CIPHER *cipher = EVP_CIPHER_fetch(NULL, name, NULL);
	const char *provider = OSSL_PROVIDER_get0_name(EVP_CIPHER_get0_provider(cipher));

	EVP_CIPHER_free(cipher);
	return provider;
}

static void use_default(void)
{
	OSSL_LIB_CTX_set0_default(OSSL_LIB_CTX_get0_global_default());
}
#else
static const char *provider_of(const char *name)
{
	return name;
}

static void use_default(void)
{
}
#endif

static void it_says_what_libcrypto_says_in_pieces_of_any_size(void **state)
{
	static const size_t pieces[] = { 16, 1, 48, 4096, 4112, TEXT_BYTES };
	const EVP_CIPHER *ciphers[] = { EVP_aes_128_ctr(), EVP_aes_192_ctr(), EVP_aes_256_ctr() };

	(void)state;
	for (size_t i = 0; i < COUNT_OF(ciphers); i++) {
		encrypt(ciphers[i], text, expected, TEXT_BYTES, 1);
		if (!ssh_cipher_use())
			skip(); /* an older libcrypto */
		for (size_t k = 0; k < COUNT_OF(pieces); k++) {
			encrypt(ciphers[i], text, got, pieces[k], 1);
			assert_memory_equal(got, expected, TEXT_BYTES);
			encrypt(ciphers[i], expected, got, pieces[k], 0);
			assert_memory_equal(got, text, TEXT_BYTES);
		}
		use_default();
	}
}

static void *find_providers(void *names)
{
	const char **providers = names;

	if (!ssh_cipher_use())
		return NULL;
	providers[0] = provider_of("AES-128-CTR");
	providers[1] = provider_of("AES-128-GCM");
	return names;
}

static void other_threads_and_other_ciphers_keep_their_own(void **state)
{
	const char *providers[2];
	pthread_t thread;
	void *outcome;

	(void)state;
	assert_int_equal(pthread_create(&thread, NULL, find_providers, providers), 0);
	pthread_join(thread, &outcome);
	if (outcome == NULL)
		skip();
	assert_string_equal(providers[0], "stoker");
	assert_string_equal(providers[1], "default");
	assert_string_equal(provider_of("AES-128-CTR"), "default");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(it_says_what_libcrypto_says_in_pieces_of_any_size),
		cmocka_unit_test(other_threads_and_other_ciphers_keep_their_own),
	};
	struct rng rng = rng_seeded(1);

	for (size_t i = 0; i < TEXT_BYTES; i++)
		text[i] = (uint8_t)rng_below(&rng, 256);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
