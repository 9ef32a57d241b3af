/*
 * read.h - a file of ours, read as a whole
 *
 * Errors: as diagnostics about the file as a whole.
 * Limits: DAG_FILE_BYTES_MAX.
 */
#ifndef DAG_READ_H
#define DAG_READ_H

#include <stddef.h>

#include "common/arena.h"
#include "common/err.h"
#include "dag/diagnostic.h"

/* NUL-terminated text in `arena`; a negative enum err_code after the error was reported. */
int read_file(const char *path, struct arena *arena, const char **text_out, size_t *bytes_out,
	      struct diagnostics *diagnostics);

/* The same limit, for a text that is in memory. */
int read_check_size(size_t bytes, const char *path, struct diagnostics *diagnostics);

/* Adds `err` as a diagnostic about the file; returns its code. */
int read_report(struct diagnostics *diagnostics, const char *path, const struct err *err);

#endif
