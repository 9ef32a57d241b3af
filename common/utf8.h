/*
 * utf8.h - characters of a UTF-8 text
 *
 * Source: RFC 3629, section 4: overlong forms, surrogates and codes past U+10FFFF are invalid.
 */
#ifndef COMMON_UTF8_H
#define COMMON_UTF8_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* The character `text` begins with: its length in bytes, or 0 when that is no valid UTF-8 (or `bytes` is 0).
 */
size_t utf8_decode(const char *text, size_t bytes, uint32_t *code_out);

/* The same for people: an invalid byte counts as one character. At least 1 unless `bytes` is 0. */
size_t utf8_step(const char *text, size_t bytes);

bool utf8_valid(const char *text, size_t bytes);

/* Bytes of the first `characters` characters of `text`; all of it when it has fewer. */
size_t utf8_prefix(const char *text, size_t bytes, size_t characters);

/* Characters in `text`. */
size_t utf8_count(const char *text, size_t bytes);

#endif
