/*
 * base64.h - bytes as text, RFC 4648 section 4
 */
#ifndef EXECUTOR_BASE64_H
#define EXECUTOR_BASE64_H

#include <stdbool.h>
#include <stddef.h>

#include "common/buf.h"

/* Appends the text; without the '=' at its end unless `padded`. */
void base64_encode(struct buf *out, const void *bytes, size_t n, bool padded);

/* Appends the bytes; false when the text is none of base64 (white space inside is none either). */
bool base64_decode(struct buf *out, const char *text, size_t n);

#endif
