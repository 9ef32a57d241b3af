/*
 * install.h - a parcel unpacked, verified and renamed into the place where an attempt looks for it
 *
 * Done in a helper (helper.h): it may take a while. Doing it twice, or in two processes at a time, does no
 * harm: whoever is second finds it done.
 */
#ifndef EXECUTOR_AGENT_INSTALL_H
#define EXECUTOR_AGENT_INSTALL_H

#include <stdbool.h>
#include <stdint.h>

#include "common/arena.h"
#include "executor/protocol.h"

struct install {
	const char *home;
	uint64_t run;
	uint64_t epoch;
	struct spec_provision what;
};

/* What the helper writes in the end. */
struct install_answer {
	int code;
	int sys_errno;
	bool damaged; /* the parcel is not what its name says */
	char text[400];
};

/* That provision of a spec; its texts are borrowed. */
struct install install_of(const char *home, const struct spec *spec, size_t index);

/* Why a provision makes no sense, or NULL. */
const char *install_check(const struct spec_provision *what);

void install_copy(const struct install *install, struct arena *arena, struct install *out);
bool install_is_same(const struct install *a, const struct install *b);

/* "the artifacts of train": for people. */
enum { INSTALL_TITLE_BYTES = 300 };
const char *install_title(const struct install *install, char title[INSTALL_TITLE_BYTES]);

bool install_is_there(const struct install *install);

/* `context` is a struct install. For helper_start. */
void install_work(void *context, int out);

#endif
