/*
 * scope.h - locals released at the end of their scope
 *
 * `autofree char *name = ...;` frees on every way out; `return take(name);` hands the value over instead.
 */
#ifndef COMMON_SCOPE_H
#define COMMON_SCOPE_H

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "common/buf.h"

static inline void scope_free(void *slot)
{
	free(*(void **)slot);
}

static inline void scope_close(int *fd)
{
	if (*fd >= 0)
		close(*fd);
}

static inline void scope_fclose(FILE **file)
{
	if (*file != NULL)
		fclose(*file);
}

#define autofree   __attribute__((cleanup(scope_free)))
#define autoclose  __attribute__((cleanup(scope_close)))  /* int fd, -1 when none */
#define autofclose __attribute__((cleanup(scope_fclose))) /* FILE *, NULL when none */
#define autobuf    __attribute__((cleanup(buf_fini)))

/* Moves a pointer out of a variable that would release it. */
#define take(pointer)                          \
	({                                     \
		__typeof__(pointer) taken_ = (pointer); \
		(pointer) = NULL;              \
		taken_;                        \
	})

/* The same for a file descriptor. */
#define take_fd(fd)             \
	({                      \
		int taken_ = (fd); \
		(fd) = -1;      \
		taken_;         \
	})

#define COUNT_OF(array) (sizeof(array) / sizeof(array)[0])

#endif
