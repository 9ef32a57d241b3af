/*
 * source.h - the text of a file as lines of characters
 *
 * Lines end where libyaml ends them: LF, CR LF, CR, and U+0085, U+2028, U+2029. Columns count characters,
 * from 1.
 *
 * Ownership: borrows path and text; the table of lines lies in the arena.
 */
#ifndef DAG_SOURCE_H
#define DAG_SOURCE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/arena.h"
#include "dag/dag.h"

struct source {
	const char *path;
	const char *text;
	size_t bytes;
	uint32_t *lines; /* offset of each line */
	size_t lines_count;
};

/* Always makes a usable source; false when a character may not stand in YAML, with its offset in *wrong_out.
 */
bool source_init(struct source *source, struct arena *arena, const char *path, const char *text, size_t bytes,
		 size_t *wrong_out);

/* The line (from 1) without its end, not NUL-terminated; NULL when there is none. */
const char *source_line(const struct source *source, uint32_t line, size_t *bytes_out);

size_t source_offset(const struct source *source, struct dag_position at);
struct dag_position source_position(const struct source *source, size_t offset);

#endif
