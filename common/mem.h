/*
 * mem.h - allocation that ends the process when memory is out
 *
 * A restart recovers everything (the state is on disk), so no caller carries a second path for a failed
 * malloc. Sizes that come from outside are checked against a limit before they reach this file.
 */
#ifndef COMMON_MEM_H
#define COMMON_MEM_H

#include <stdarg.h>
#include <stddef.h>

void *mem_alloc(size_t bytes) __attribute__((malloc, returns_nonnull)); /* uninitialised */
void *mem_zalloc(size_t bytes) __attribute__((malloc, returns_nonnull));
void *mem_realloc(void *old, size_t bytes) __attribute__((returns_nonnull));
void *mem_array(size_t count, size_t bytes) __attribute__((malloc, returns_nonnull)); /* zeroed; overflow is fatal */
char *mem_strdup(const char *text) __attribute__((malloc, returns_nonnull));
char *mem_strndup(const char *text, size_t bytes) __attribute__((malloc, returns_nonnull));
char *mem_printf(const char *format, ...) __attribute__((malloc, returns_nonnull, format(printf, 1, 2)));
char *mem_vprintf(const char *format, va_list args)
	__attribute__((malloc, returns_nonnull, format(printf, 1, 0)));

/* Grows `*items` (of `item_bytes` each) so that `count + 1` fit; `*room` is its capacity. */
void mem_grow(void *items, size_t *room, size_t count, size_t item_bytes);

#endif
