#include "common/mem.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void *checked(void *memory)
{
	if (memory == NULL) {
		fputs("stoker: out of memory\n", stderr);
		abort();
	}
	return memory;
}

void *mem_alloc(size_t bytes)
{
	return checked(malloc(bytes > 0 ? bytes : 1));
}

void *mem_zalloc(size_t bytes)
{
	return checked(calloc(1, bytes > 0 ? bytes : 1));
}

void *mem_realloc(void *old, size_t bytes)
{
	return checked(realloc(old, bytes > 0 ? bytes : 1));
}

void *mem_array(size_t count, size_t bytes)
{
	return checked(calloc(count > 0 ? count : 1, bytes > 0 ? bytes : 1));
}

char *mem_strdup(const char *text)
{
	return checked(strdup(text));
}

char *mem_strndup(const char *text, size_t bytes)
{
	return checked(strndup(text, bytes));
}

char *mem_vprintf(const char *format, va_list args)
{
	char *text = NULL;

	if (vasprintf(&text, format, args) < 0)
		text = NULL;
	return checked(text);
}

char *mem_printf(const char *format, ...)
{
	va_list args;
	char *text;

	va_start(args, format);
	text = mem_vprintf(format, args);
	va_end(args);
	return text;
}

void mem_grow(void *items, size_t *room, size_t count, size_t item_bytes)
{
	void **slot = items;

	if (count < *room)
		return;
	*room = *room == 0 ? 8 : *room * 2;
	*slot = mem_realloc(*slot, *room * item_bytes);
}
