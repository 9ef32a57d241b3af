/*
 * scalar.h - what a plain YAML scalar is
 *
 * As the core schema of YAML 1.2 has it, less octal and hexadecimal numbers, infinities and NaN: those are
 * strings here. A trap is a text that YAML 1.1 read as something else than it looks like; it is a string, and
 * named where that could surprise.
 *
 * Source: YAML 1.2.2, section 10.3.2; YAML 1.1, the type repository (bool, int, float).
 */
#ifndef DAG_SCALAR_H
#define DAG_SCALAR_H

#include <stdbool.h>
#include <stdint.h>

enum scalar_kind { SCALAR_NULL, SCALAR_BOOL, SCALAR_INT, SCALAR_FLOAT, SCALAR_STRING };

enum scalar_trap {
	SCALAR_NO_TRAP,
	SCALAR_TRAP_BOOL,         /* yes no on off y n */
	SCALAR_TRAP_LEADING_ZERO, /* 012: ten in YAML 1.1, twelve elsewhere */
	SCALAR_TRAP_SEXAGESIMAL,  /* 1:30: ninety in YAML 1.1 */
	SCALAR_TRAP_NOTATION,     /* 0x1f 0o17 0b11 1_000 .inf .nan */
};

enum scalar_kind scalar_kind(const char *text);
enum scalar_trap scalar_trap(const char *text);

/* Why such a text is not read as what it looks like: half a sentence for people; "" for none. */
const char *scalar_trap_reason(enum scalar_trap trap);

/* "true" or "false": what somebody who wrote SCALAR_TRAP_BOOL meant. */
const char *scalar_trap_truth(const char *text);

/* Each tells whether `text` is one, and which. An int fits into 64 bits, a float is finite. */
bool scalar_bool(const char *text, bool *out);
bool scalar_int(const char *text, int64_t *out);
bool scalar_float(const char *text, double *out); /* ints too */

#endif
