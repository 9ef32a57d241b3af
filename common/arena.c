#include "common/arena.h"

#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/mem.h"

enum { FIRST_BYTES = 1024, LARGEST_BYTES = 256 * 1024, ALIGN = 16 };

struct arena_block {
	struct arena_block *older;
	size_t room;
	size_t used;
	_Alignas(ALIGN) unsigned char bytes[];
};

void arena_init(struct arena *arena)
{
	*arena = (struct arena){ 0 };
}

void arena_fini(struct arena *arena)
{
	while (arena->block != NULL) {
		struct arena_block *block = arena->block;

		arena->block = block->older;
		free(block);
	}
	arena->total_bytes = 0;
}

void arena_reset(struct arena *arena)
{
	struct arena_block *kept = arena->block;

	if (kept == NULL)
		return;
	arena->block = kept->older;
	arena_fini(arena);
	kept->older = NULL;
	kept->used = 0;
	arena->block = kept;
}

static struct arena_block *grow(struct arena *arena, size_t bytes)
{
	size_t room = arena->block == NULL ? FIRST_BYTES : arena->block->room * 2;
	struct arena_block *block;

	if (room > LARGEST_BYTES)
		room = LARGEST_BYTES;
	if (room < bytes)
		room = bytes;
	block = mem_alloc(sizeof *block + room);
	block->older = arena->block;
	block->room = room;
	block->used = 0;
	arena->block = block;
	return block;
}

void *arena_alloc(struct arena *arena, size_t bytes)
{
	struct arena_block *block = arena->block;
	size_t rounded = (bytes + ALIGN - 1) & ~(size_t)(ALIGN - 1);
	void *memory;

	if (block == NULL || block->room - block->used < rounded)
		block = grow(arena, rounded);
	memory = block->bytes + block->used;
	block->used += rounded;
	arena->total_bytes += rounded;
	return memset(memory, 0, bytes);
}

char *arena_strdup(struct arena *arena, const char *text)
{
	return arena_memdup(arena, text, strlen(text) + 1);
}

char *arena_strdup_if(struct arena *arena, const char *text)
{
	return text == NULL ? NULL : arena_strdup(arena, text);
}

char *arena_strndup(struct arena *arena, const char *text, size_t bytes)
{
	size_t n = strnlen(text, bytes);
	char *copy = arena_alloc(arena, n + 1);

	memcpy(copy, text, n);
	return copy;
}

void *arena_memdup(struct arena *arena, const void *bytes, size_t n)
{
	void *copy = arena_alloc(arena, n);

	if (n > 0)
		memcpy(copy, bytes, n);
	return copy;
}

char *arena_printf(struct arena *arena, const char *format, ...)
{
	va_list args, again;
	int n;
	char *text;

	va_start(args, format);
	va_copy(again, args);
	n = vsnprintf(NULL, 0, format, args);
	va_end(args);
	text = arena_alloc(arena, (size_t)(n < 0 ? 0 : n) + 1);
	vsnprintf(text, (size_t)(n < 0 ? 0 : n) + 1, format, again);
	va_end(again);
	return text;
}
