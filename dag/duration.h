/*
 * duration.h - "1d12h" to milliseconds, "16G" to bytes
 *
 * A duration is whole numbers with units w d h m s ms, from large to small, each at most once: "90s",
 * "1h30m", "250ms". A size is one whole number with K, M, G or T (powers of 1024): "512M". Neither has a
 * default unit: a bare number is refused, since half of its readers would guess wrong.
 *
 * Errors: ERR_INVALID with what is wrong and what to write; *at_out (may be NULL): the offset of the mistake.
 */
#ifndef DAG_DURATION_H
#define DAG_DURATION_H

#include <stddef.h>
#include <stdint.h>

#include "common/err.h"

#define DURATION_MAX_MS (INT64_C(3660) * 24 * 3600 * 1000) /* ten years */
#define SIZE_MAX_BYTES  (INT64_C(1) << 60)

int duration_parse(const char *text, int64_t *ms_out, size_t *at_out, struct err *err);
int size_parse(const char *text, int64_t *bytes_out, size_t *at_out, struct err *err);

enum { DURATION_TEXT_BYTES = 48 };

/* The shortest text that duration_parse reads as `ms`: "1h30m", "0s". */
const char *duration_text(int64_t ms, char text[DURATION_TEXT_BYTES]);

/* The same for size_parse; bytes that are no multiple of 1024 are rounded down: "64K". */
const char *size_text(int64_t bytes, char text[DURATION_TEXT_BYTES]);

#endif
