#include "executor/ssh_cipher.h"

#include <openssl/opensslv.h>

#if OPENSSL_VERSION_MAJOR >= 3
#include <openssl/core.h>
#include <openssl/core_dispatch.h>
#include <openssl/core_names.h>
#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <openssl/params.h>
#include <openssl/provider.h>
#include <pthread.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "common/mem.h"

enum { BLOCK_BYTES = 16 };

static pthread_once_t once = PTHREAD_ONCE_INIT;
static OSSL_LIB_CTX *library; /* NULL: it could not be made */

/* One direction of one connection. */
struct cipher {
	EVP_CIPHER_CTX *stream; /* libcrypto's own, which encrypts zeros */
	const char *name;
	size_t key_bytes;
	size_t used; /* of `ahead` */
	uint8_t ahead[SSH_CIPHER_AHEAD_BYTES];
};

/* --- the key stream ------------------------------------------------------------------------------------- */

static void *new_cipher(const char *name, size_t key_bytes)
{
	struct cipher *cipher = mem_zalloc(sizeof *cipher);

	cipher->name = name;
	cipher->key_bytes = key_bytes;
	cipher->stream = EVP_CIPHER_CTX_new();
	cipher->used = sizeof cipher->ahead;
	return cipher;
}

static void *new_cipher_128(void *provider)
{
	(void)provider;
	return new_cipher("AES-128-CTR", 16);
}

static void *new_cipher_192(void *provider)
{
	(void)provider;
	return new_cipher("AES-192-CTR", 24);
}

static void *new_cipher_256(void *provider)
{
	(void)provider;
	return new_cipher("AES-256-CTR", 32);
}

static void free_cipher(void *context)
{
	struct cipher *cipher = context;

	EVP_CIPHER_CTX_free(cipher->stream);
	OPENSSL_cleanse(cipher->ahead, sizeof cipher->ahead);
	free(cipher);
}

/* Encrypting and decrypting are the same. Key and counter may come one after the other. */
static int start(void *context, const unsigned char *key, size_t key_bytes, const unsigned char *counter,
		 size_t counter_bytes, const OSSL_PARAM params[])
{
	struct cipher *cipher = context;
	EVP_CIPHER *own = NULL;
	int done;

	(void)params;
	if ((key != NULL && key_bytes != cipher->key_bytes) ||
	    (counter != NULL && counter_bytes != BLOCK_BYTES))
		return 0;
	if (EVP_CIPHER_CTX_get0_cipher(cipher->stream) == NULL)
		own = EVP_CIPHER_fetch(library, cipher->name, "provider=default");
	done = EVP_EncryptInit_ex2(cipher->stream, own, key, counter, NULL);
	EVP_CIPHER_free(own); /* its user holds it */
	cipher->used = sizeof cipher->ahead;
	return done;
}

/* Seldom: it is kept out of the way of what happens for each block. */
__attribute__((noinline)) static int make_ahead(struct cipher *cipher)
{
	static const uint8_t zeros[SSH_CIPHER_AHEAD_BYTES];
	int made;

	cipher->used = 0;
	return EVP_EncryptUpdate(cipher->stream, cipher->ahead, &made, zeros, sizeof zeros);
}

/* A block at once: in halves it could not be loaded right after it was stored, as libssh2 does. */
static inline void mix_block(uint8_t *out, const uint8_t *in, const uint8_t *stream)
{
	typedef uint8_t block __attribute__((vector_size(BLOCK_BYTES)));
	block a, b;

	memcpy(&a, in, BLOCK_BYTES);
	memcpy(&b, stream, BLOCK_BYTES);
	a ^= b;
	memcpy(out, &a, BLOCK_BYTES);
}

/* Any number of bytes, in place or not. */
static int mix(struct cipher *cipher, uint8_t *out, const uint8_t *in, size_t n)
{
	for (; n >= BLOCK_BYTES && cipher->used % BLOCK_BYTES == 0; n -= BLOCK_BYTES) {
		if (cipher->used == sizeof cipher->ahead && make_ahead(cipher) != 1)
			return 0;
		mix_block(out, in, cipher->ahead + cipher->used);
		cipher->used += BLOCK_BYTES;
		out += BLOCK_BYTES;
		in += BLOCK_BYTES;
	}
	for (size_t i = 0; i < n; i++) {
		if (cipher->used == sizeof cipher->ahead && make_ahead(cipher) != 1)
			return 0;
		out[i] = in[i] ^ cipher->ahead[cipher->used++];
	}
	return 1;
}

static int add_bytes(void *context, unsigned char *out, size_t *n_out, size_t room, const unsigned char *in,
		     size_t n)
{
	struct cipher *cipher = context;

	if (room < n)
		return 0;
	*n_out = n;
	if (n != BLOCK_BYTES || cipher->used % BLOCK_BYTES != 0 || cipher->used == sizeof cipher->ahead)
		return mix(cipher, out, in, n);
	mix_block(out, in, cipher->ahead + cipher->used);
	cipher->used += BLOCK_BYTES;
	return 1;
}

static int finish(void *context, unsigned char *out, size_t *n_out, size_t room)
{
	(void)context;
	(void)out;
	(void)room;
	*n_out = 0;
	return 1;
}

/* --- the provider --------------------------------------------------------------------------------------- */

static int tell_size(OSSL_PARAM params[], const char *key, size_t value)
{
	OSSL_PARAM *param = OSSL_PARAM_locate(params, key);

	return param == NULL || OSSL_PARAM_set_size_t(param, value);
}

static int tell_sizes(OSSL_PARAM params[], size_t key_bytes)
{
	return tell_size(params, OSSL_CIPHER_PARAM_KEYLEN, key_bytes) &&
	       tell_size(params, OSSL_CIPHER_PARAM_IVLEN, BLOCK_BYTES);
}

static int tell_kind(OSSL_PARAM params[], size_t key_bytes)
{
	OSSL_PARAM *mode = OSSL_PARAM_locate(params, OSSL_CIPHER_PARAM_MODE);

	return tell_sizes(params, key_bytes) && tell_size(params, OSSL_CIPHER_PARAM_BLOCK_SIZE, 1) &&
	       (mode == NULL || OSSL_PARAM_set_uint(mode, EVP_CIPH_CTR_MODE));
}

static int tell_kind_128(OSSL_PARAM params[])
{
	return tell_kind(params, 16);
}

static int tell_kind_192(OSSL_PARAM params[])
{
	return tell_kind(params, 24);
}

static int tell_kind_256(OSSL_PARAM params[])
{
	return tell_kind(params, 32);
}

static int tell_state(void *context, OSSL_PARAM params[])
{
	const struct cipher *cipher = context;

	return tell_sizes(params, cipher->key_bytes);
}

/* Padding is what libcrypto asks for here; a stream has none. */
static int set_state(void *context, const OSSL_PARAM params[])
{
	(void)context;
	(void)params;
	return 1;
}

#define FUNCTION(id, function) { id, (void (*)(void))(function) }
#define CIPHER(bits)                                                                                         \
	static const OSSL_DISPATCH cipher_##bits[] = {                                                       \
		FUNCTION(OSSL_FUNC_CIPHER_NEWCTX, new_cipher_##bits),                                        \
		FUNCTION(OSSL_FUNC_CIPHER_FREECTX, free_cipher),                                             \
		FUNCTION(OSSL_FUNC_CIPHER_ENCRYPT_INIT, start),                                              \
		FUNCTION(OSSL_FUNC_CIPHER_DECRYPT_INIT, start),                                              \
		FUNCTION(OSSL_FUNC_CIPHER_UPDATE, add_bytes),                                                \
		FUNCTION(OSSL_FUNC_CIPHER_FINAL, finish),                                                    \
		FUNCTION(OSSL_FUNC_CIPHER_CIPHER, add_bytes),                                                \
		FUNCTION(OSSL_FUNC_CIPHER_GET_PARAMS, tell_kind_##bits),                                     \
		FUNCTION(OSSL_FUNC_CIPHER_GET_CTX_PARAMS, tell_state),                                       \
		FUNCTION(OSSL_FUNC_CIPHER_SET_CTX_PARAMS, set_state),                                        \
		{ 0, NULL },                                                                                 \
	}
CIPHER(128);
CIPHER(192);
CIPHER(256);

static const OSSL_ALGORITHM *tell_algorithms(void *provider, int operation, int *no_store)
{
	static const OSSL_ALGORITHM ciphers[] = {
		{ "AES-128-CTR", "provider=stoker", cipher_128, "key stream made ahead" },
		{ "AES-192-CTR", "provider=stoker", cipher_192, "key stream made ahead" },
		{ "AES-256-CTR", "provider=stoker", cipher_256, "key stream made ahead" },
		{ NULL, NULL, NULL, NULL },
	};

	(void)provider;
	*no_store = 0;
	return operation == OSSL_OP_CIPHER ? ciphers : NULL;
}

static int begin_provider(const OSSL_CORE_HANDLE *handle, const OSSL_DISPATCH *core, const OSSL_DISPATCH **out,
			  void **provider)
{
	static const OSSL_DISPATCH functions[] = {
		FUNCTION(OSSL_FUNC_PROVIDER_QUERY_OPERATION, tell_algorithms),
		{ 0, NULL },
	};
	static char nothing;

	(void)handle;
	(void)core;
	*out = functions;
	*provider = &nothing;
	return 1;
}

/*
 * Kept until the process ends, and longer than that: connections may last as long. Where only certified ciphers
 * are allowed, ours is none.
 */
static void make_library(void)
{
	OSSL_LIB_CTX *made;

	OPENSSL_init_crypto(OPENSSL_INIT_NO_ATEXIT, NULL);
	if (EVP_default_properties_is_fips_enabled(NULL))
		return;
	made = OSSL_LIB_CTX_new();
	if (made != NULL && OSSL_PROVIDER_add_builtin(made, "stoker", begin_provider) == 1 &&
	    OSSL_PROVIDER_load(made, "default") != NULL && OSSL_PROVIDER_load(made, "stoker") != NULL &&
	    EVP_set_default_properties(made, "?provider=stoker") == 1)
		library = made;
	else
		OSSL_LIB_CTX_free(made);
}

bool ssh_cipher_use(void)
{
	pthread_once(&once, make_library);
	if (library == NULL)
		return false;
	OSSL_LIB_CTX_set0_default(library);
	return true;
}

#else

bool ssh_cipher_use(void)
{
	return false;
}

#endif
