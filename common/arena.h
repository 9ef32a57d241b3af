/*
 * arena.h - memory that dies together
 *
 * Blocks are chained and doubled; single allocations are never freed. A struct dag and all its strings, or
 * the actions of one batch, live in one arena and are freed at once.
 *
 * Source: the pools of D. R. Hanson, "Fast allocation and deallocation of memory based on object lifetimes",
 * 1990.
 */
#ifndef COMMON_ARENA_H
#define COMMON_ARENA_H

#include <stddef.h>

struct arena_block;

struct arena {
	struct arena_block *block; /* newest; NULL when empty */
	size_t total_bytes;        /* handed out so far */
};

void arena_init(struct arena *arena);
void arena_fini(struct arena *arena);  /* frees everything; the arena is empty and usable again */
void arena_reset(struct arena *arena); /* the same, but keeps one block for reuse */

void *arena_alloc(struct arena *arena, size_t bytes) __attribute__((returns_nonnull)); /* zeroed, aligned to 16 */
char *arena_strdup(struct arena *arena, const char *text) __attribute__((returns_nonnull));
char *arena_strdup_if(struct arena *arena, const char *text); /* NULL of NULL */
char *arena_strndup(struct arena *arena, const char *text, size_t bytes) __attribute__((returns_nonnull));
void *arena_memdup(struct arena *arena, const void *bytes, size_t n) __attribute__((returns_nonnull));
char *arena_printf(struct arena *arena, const char *format, ...)
	__attribute__((returns_nonnull, format(printf, 2, 3)));

#endif
