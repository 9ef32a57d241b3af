#include "scheduler/libcurl.h"

#include <dlfcn.h>
#include <stdbool.h>
#include <stddef.h>
#include <string.h>

#include "common/scope.h"

#define SYMBOL(name) { "curl_" #name, offsetof(struct libcurl, name) }

static const struct {
	const char *name;
	size_t offset;
} symbols[] = {
	SYMBOL(global_init),	   SYMBOL(easy_init),		SYMBOL(easy_cleanup),	     SYMBOL(easy_setopt),
	SYMBOL(easy_getinfo),	   SYMBOL(easy_strerror),	SYMBOL(multi_init),	     SYMBOL(multi_cleanup),
	SYMBOL(multi_setopt),	   SYMBOL(multi_add_handle),	SYMBOL(multi_remove_handle), SYMBOL(multi_socket_action),
	SYMBOL(multi_assign),	   SYMBOL(multi_info_read),	SYMBOL(slist_append),	     SYMBOL(slist_free_all),
	SYMBOL(version_info),	   SYMBOL(easy_perform),	SYMBOL(easy_reset),
};

/* The flavours differ in who does the TLS; the name of the file ends in the version of the interface. */
static const char *const files[] = { "libcurl.so.4", "libcurl-gnutls.so.4" };

static void *open_library(struct err *err)
{
	for (size_t i = 0; i < COUNT_OF(files); i++) {
		void *library = dlopen(files[i], RTLD_NOW | RTLD_LOCAL);

		if (library != NULL)
			return library;
	}
	err_set(err, ERR_NOT_FOUND, "libcurl cannot be loaded (%s); install it: apt-get install libcurl4", dlerror());
	return NULL;
}

static int find_symbols(void *library, struct libcurl *out, struct err *err)
{
	for (size_t i = 0; i < COUNT_OF(symbols); i++) {
		void *symbol = dlsym(library, symbols[i].name);

		if (symbol == NULL)
			return err_set(err, ERR_NOT_FOUND, "libcurl is too old: it has no %s", symbols[i].name);
		/* POSIX promises that this is a function's address. */
		memcpy((char *)out + symbols[i].offset, &symbol, sizeof symbol);
	}
	return 0;
}

const struct libcurl *libcurl_load(struct err *err)
{
	static struct libcurl curl;
	static bool is_loaded;
	void *library;

	if (is_loaded)
		return &curl;
	library = open_library(err);
	if (library == NULL || find_symbols(library, &curl, err) < 0)
		return NULL;
	curl.global_init(CURL_GLOBAL_DEFAULT);
	is_loaded = true;
	return &curl;
}
