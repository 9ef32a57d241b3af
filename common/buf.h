/*
 * buf.h - growing bytes with a limit
 *
 * Zero-initialise, or buf_init with a limit. Appending past the limit sets `overflow` and appends nothing
 * more, so a writer may append blindly and check once at the end. A buffer fed from outside always carries a
 * limit.
 *
 * Ownership: the buffer owns `data`; buf_fini frees it, buf_take hands it over.
 */
#ifndef COMMON_BUF_H
#define COMMON_BUF_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct buf {
	uint8_t *data; /* NULL when empty; always followed by a NUL that does not count */
	size_t bytes;
	size_t room;
	size_t limit_bytes; /* 0: none */
	bool overflow;
};

void buf_init(struct buf *buf, size_t limit_bytes);
void buf_fini(struct buf *buf);
void buf_clear(struct buf *buf); /* keeps the memory */
void buf_reserve(struct buf *buf, size_t more);

void buf_append(struct buf *buf, const void *bytes, size_t n);
void buf_append_text(struct buf *buf, const char *text);
void buf_append_byte(struct buf *buf, uint8_t byte);
void buf_printf(struct buf *buf, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* Removes `n` bytes from the front. */
void buf_consume(struct buf *buf, size_t n);

/* The contents as a C string ("" when empty); valid until the next change. */
const char *buf_text(const struct buf *buf);

/* Hands the heap memory over (never NULL, NUL-terminated); the buffer is empty afterwards. */
char *buf_take(struct buf *buf);

#endif
