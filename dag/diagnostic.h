/*
 * diagnostic.h - what is wrong with a file, where, and what to do
 *
 * Collected while a file is read, printed in the order of the file:
 *
 *   digits.yaml:14:5: error: unknown key 'need' in step 'train'
 *      14 |     need: [prepare]
 *         |     ^~~~
 *         = did you mean 'needs'?
 *
 * A long line is cut around the column, tabs are shown as blanks up to the next multiple of eight, and bytes
 * that a terminal might obey (control characters, invalid UTF-8, marks that reverse the writing direction) as
 * \xNN.
 *
 * Message and remedy are valid UTF-8 once added; path and source are as they were.
 *
 * Ownership: a struct diagnostics owns its texts; diagnostics_fini frees them.
 * Limits:    after DIAGNOSTICS_MAX errors, or as many warnings, the rest is counted, not kept. What is of one
 *            kind and about one place (an alias that two steps use) is kept and counted once.
 */
#ifndef DAG_DIAGNOSTIC_H
#define DAG_DIAGNOSTIC_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include "common/arena.h"
#include "dag/dag.h"

enum { DIAGNOSTICS_MAX = 100 };

enum diagnostic_severity { DIAGNOSTIC_ERROR, DIAGNOSTIC_WARNING };

struct diagnostic {
	enum diagnostic_severity severity;
	const char *path;
	struct dag_position at; /* line 0: the file as a whole */
	uint32_t width;         /* characters to underline; 0 or 1: just the caret */
	const char *kind;        /* what messages of one kind have in common; NULL: the message itself */
	const char *message;
	const char *remedy;      /* NULL: none */
	const char *source;      /* the line of the file; NULL: none. Once added: what is shown of it */
	size_t source_bytes;     /* of `source` when no NUL ends it; 0: one does */
	uint32_t source_skipped; /* set when added: characters of the line left out before `source` */
	bool source_cut;         /* set when added: characters were left out after it */
};

struct diagnostics {
	struct arena arena;
	struct diagnostic *items; /* sorted by position once printed */
	size_t count;
	size_t room;
	size_t errors;   /* all of them, also those not kept */
	size_t warnings;
	bool last_kept; /* what was added last is the last item */
};

void diagnostics_init(struct diagnostics *diagnostics);
void diagnostics_fini(struct diagnostics *diagnostics);

#define autodiagnostics __attribute__((cleanup(diagnostics_fini)))

/* Copies all texts. */
void diagnostics_add(struct diagnostics *diagnostics, const struct diagnostic *diagnostic);

/* Says what to do about what was added last; nothing happens when that was not kept, or has a remedy. */
void diagnostics_remedy(struct diagnostics *diagnostics, const char *format, ...)
	__attribute__((format(printf, 2, 3)));

/* Nothing more of this severity will be kept: the caller may save itself the trouble of wording it. */
bool diagnostics_full(const struct diagnostics *diagnostics, enum diagnostic_severity severity);

/* Sorts by position and prints all; bold and red where `color`. */
void diagnostics_print(struct diagnostics *diagnostics, FILE *out, bool color);

/* The same as text, without colour; the caller frees it. */
char *diagnostics_text(struct diagnostics *diagnostics);

/* Sorts by position, for those who walk items themselves. */
void diagnostics_sort(struct diagnostics *diagnostics);

#endif
