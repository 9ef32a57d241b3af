#include "web/library.h"

#include <dlfcn.h>
#include <stddef.h>
#include <string.h>

#include "common/scope.h"

#define LIBRARY_FILE "libmicrohttpd.so.12" /* ends in the version of the interface */

static const struct {
	const char *name;
	size_t offset;
} functions[] = {
#define LIBRARY_ROW(name) { "MHD_" #name, offsetof(struct library, name) },
	LIBRARY_FUNCTIONS(LIBRARY_ROW)
#undef LIBRARY_ROW
};

const struct library *http;

static int find_functions(void *library, struct library *out, struct err *err)
{
	for (size_t i = 0; i < COUNT_OF(functions); i++) {
		void *function = dlsym(library, functions[i].name);

		if (function == NULL)
			return err_set(err, ERR_NOT_FOUND, "libmicrohttpd is too old: it has no %s", functions[i].name);
		/* POSIX promises that this is a function's address. */
		memcpy((char *)out + functions[i].offset, &function, sizeof function);
	}
	return 0;
}

int library_load(struct err *err)
{
	static struct library loaded;
	void *library;

	if (http != NULL)
		return 0;
	library = dlopen(LIBRARY_FILE, RTLD_NOW | RTLD_LOCAL);
	if (library == NULL)
		return err_set(err, ERR_NOT_FOUND,
			       "libmicrohttpd cannot be loaded (%s); install it: apt-get install libmicrohttpd12",
			       dlerror());
	if (find_functions(library, &loaded, err) < 0)
		return err->code;
	http = &loaded;
	return 0;
}
