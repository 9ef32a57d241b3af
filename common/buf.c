#include "common/buf.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/mem.h"

void buf_init(struct buf *buf, size_t limit_bytes)
{
	*buf = (struct buf){ .limit_bytes = limit_bytes };
}

void buf_fini(struct buf *buf)
{
	free(buf->data);
	*buf = (struct buf){ .limit_bytes = buf->limit_bytes };
}

void buf_clear(struct buf *buf)
{
	buf->bytes = 0;
	buf->overflow = false;
	if (buf->data != NULL)
		buf->data[0] = '\0';
}

void buf_reserve(struct buf *buf, size_t more)
{
	size_t need = buf->bytes + more + 1;

	if (need <= buf->room)
		return;
	if (buf->room == 0)
		buf->room = 64;
	while (buf->room < need)
		buf->room *= 2;
	buf->data = mem_realloc(buf->data, buf->room);
}

void buf_append(struct buf *buf, const void *bytes, size_t n)
{
	if (buf->limit_bytes > 0 && (buf->overflow || n > buf->limit_bytes - buf->bytes)) {
		buf->overflow = true;
		return;
	}
	buf_reserve(buf, n);
	if (n > 0)
		memcpy(buf->data + buf->bytes, bytes, n);
	buf->bytes += n;
	buf->data[buf->bytes] = '\0';
}

void buf_append_text(struct buf *buf, const char *text)
{
	buf_append(buf, text, strlen(text));
}

void buf_append_byte(struct buf *buf, uint8_t byte)
{
	buf_append(buf, &byte, 1);
}

void buf_printf(struct buf *buf, const char *format, ...)
{
	char small[256];
	va_list args, again;
	int n;

	va_start(args, format);
	va_copy(again, args);
	n = vsnprintf(small, sizeof small, format, args);
	va_end(args);
	if (n >= 0 && (size_t)n < sizeof small) {
		buf_append(buf, small, (size_t)n);
	} else if (n >= 0) {
		char *large = mem_alloc((size_t)n + 1);

		vsnprintf(large, (size_t)n + 1, format, again);
		buf_append(buf, large, (size_t)n);
		free(large);
	}
	va_end(again);
}

void buf_consume(struct buf *buf, size_t n)
{
	if (n >= buf->bytes) {
		buf_clear(buf);
		return;
	}
	memmove(buf->data, buf->data + n, buf->bytes - n + 1);
	buf->bytes -= n;
}

const char *buf_text(const struct buf *buf)
{
	return buf->data == NULL ? "" : (const char *)buf->data;
}

char *buf_take(struct buf *buf)
{
	char *text;

	buf_reserve(buf, 0);
	buf->data[buf->bytes] = '\0';
	text = (char *)buf->data;
	*buf = (struct buf){ .limit_bytes = buf->limit_bytes };
	return text;
}
