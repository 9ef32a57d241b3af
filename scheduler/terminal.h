/*
 * terminal.h - lines that a terminal shows and never obeys
 *
 * What comes from outside (messages, names, lines of logs) is made harmless on its way: control characters,
 * invalid UTF-8 and marks that reverse the writing direction appear as \xNN or \u{NNNN}. A line is cut where
 * the screen ends.
 *
 * Source: which characters take two columns or none: Unicode Standard Annex 11, by ranges; a rare one may be
 * off.
 */
#ifndef SCHEDULER_TERMINAL_H
#define SCHEDULER_TERMINAL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>

#include "common/buf.h"

struct terminal {
	bool cursor; /* it is a terminal whose cursor moves */
	bool color;
	bool utf8;	/* by LC_ALL, LC_CTYPE, LANG: may be sent more than ASCII */
	size_t rows;	/* 24 when it is no terminal */
	size_t columns; /* SIZE_MAX when it is no terminal: nothing is cut */
};

enum terminal_style {
	TERMINAL_PLAIN,
	TERMINAL_BOLD,
	TERMINAL_DIM,
	TERMINAL_RED,
	TERMINAL_GREEN,
	TERMINAL_YELLOW,
	TERMINAL_CYAN,
};

/* What `out` is now; asked again before each drawing, so that a resize is seen without a signal. */
struct terminal terminal_of(FILE *out);

/* A line that is being put together; `left` columns are free. */
struct terminal_line {
	const struct terminal *terminal;
	struct buf *out;
	size_t left;
};

/* `columns`: no more than so many, SIZE_MAX: as the terminal has. */
struct terminal_line terminal_line_start(const struct terminal *terminal, struct buf *out, size_t columns);

/* Appends text made harmless; what does not fit is cut, and the cut is marked. */
void terminal_put(struct terminal_line *line, enum terminal_style style, const char *text);
void terminal_printf(struct terminal_line *line, enum terminal_style style, const char *format, ...)
	__attribute__((format(printf, 3, 4)));

void terminal_blanks(struct terminal_line *line, size_t count);

/* Columns of `text` as terminal_put shows it. */
size_t terminal_columns(const char *text);

/* Appends text made harmless, whole. */
void terminal_escape(struct buf *out, const char *text);

/* The colour of a state of a run, a task, an attempt or a checkpoint. */
enum terminal_style terminal_style_of(const char *state);

#endif
