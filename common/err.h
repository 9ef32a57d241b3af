/*
 * err.h - one error as a value: a code callers branch on, and a sentence for people
 *
 * A function that can fail returns 0 or a negative enum err_code and takes a `struct err *` last. The text
 * says what was attempted, with names and numbers. It lives in a fixed buffer, so reporting an error never
 * needs memory.
 *
 * Ownership: the caller's; nothing here allocates.
 * Errors:    each function returns the code it stored, so `return err_set(...)` reads naturally.
 */
#ifndef COMMON_ERR_H
#define COMMON_ERR_H

enum err_code {
	ERR_OK = 0,
	ERR_INVALID = -1,   /* bad input: it will not get better by trying again */
	ERR_NOT_FOUND = -2, /* no such thing */
	ERR_EXISTS = -3,    /* already there */
	ERR_BUSY = -4,      /* somebody else holds it */
	ERR_FULL = -5,      /* no space left on a disk, or a quota is used up */
	ERR_DENIED = -6,    /* permission, or a read-only place */
	ERR_CORRUPT = -7,   /* what was read back is not what was written */
	ERR_VERSION = -8,   /* made by a newer stoker */
	ERR_LIMIT = -9,     /* a limit of ours was reached */
	ERR_IO = -10,       /* any other failure of the system beneath */
};

struct err {
	enum err_code code;
	int sys_errno; /* errno behind it, or 0 */
	char text[1000];
};

/* Stores `code` and the formatted text. `err` may be NULL: then only the code is returned. */
int err_set(struct err *err, enum err_code code, const char *format, ...)
	__attribute__((format(printf, 3, 4)));

/* The same from errno: the text is followed by ": <strerror>", the code derived from errno. */
int err_errno(struct err *err, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* Puts "<text>: " before what is there already and returns its code. */
int err_wrap(struct err *err, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* The code that stands for an errno. */
enum err_code err_code_of(int sys_errno);

#endif
