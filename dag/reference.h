/*
 * reference.h - finding ${{ ... }} in a text and saying what it names
 *
 *   python3 train.py --lr ${{ params.lr }}     a reference: params.lr
 *   echo '$${{ not replaced }}'                an escape: stands for ${{
 *
 * Errors: ERR_INVALID with what is wrong; the reference found so far tells where.
 */
#ifndef DAG_REFERENCE_H
#define DAG_REFERENCE_H

#include <stdbool.h>
#include <stddef.h>

#include "common/err.h"

enum { REFERENCE_BYTES_MAX = 256 };

struct reference {
	size_t from; /* offset of its '$' in the text */
	size_t to;   /* just behind its braces */
	bool escape; /* `$${{`: nothing but these characters, no name */
	char name[REFERENCE_BYTES_MAX];
};

/* The first at or after `offset`: 1 when there is one, 0 when there is none, negative when it is broken. */
int reference_next(const char *text, size_t offset, struct reference *reference, struct err *err);

enum reference_kind { REFERENCE_PARAM, REFERENCE_OUTPUT, REFERENCE_RUN };

struct reference_parts {
	enum reference_kind kind;
	char first[REFERENCE_BYTES_MAX];  /* the parameter, the step, or the field of the run */
	char second[REFERENCE_BYTES_MAX]; /* the output */
};

/* Takes a name apart; also fails for a field that a run does not have. */
int reference_split(const char *name, struct reference_parts *parts, struct err *err);

#endif
