/*
 * table.h - rows in aligned columns
 *
 *   static const struct table_column columns[] = { { "RUN" }, { "TOOK", .right = true }, { "MESSAGE" } };
 *   struct table table;
 *
 *   table_init(&table, columns, COUNT_OF(columns));
 *   table_text(&table, TERMINAL_PLAIN, "digits/1");      a cell after the other, row by row
 *   ...
 *   table_print(&table, stdout);
 *
 * On a terminal that is too narrow the last column is cut first, then the widest one; elsewhere nothing is
 * ever cut.
 * Ownership: cells are copied; table_fini frees them.
 */
#ifndef SCHEDULER_TABLE_H
#define SCHEDULER_TABLE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>

#include "common/arena.h"
#include "scheduler/terminal.h"

enum { TABLE_COLUMNS_MAX = 12 };

struct table_column {
	const char *heading;
	bool right; /* numbers stand at its right edge */
};

struct table_cell {
	const char *text;
	enum terminal_style style;
	size_t columns;
};

struct table {
	struct arena arena;
	const struct table_column *columns;
	size_t columns_count;
	struct table_cell *cells;
	size_t cells_count;
	size_t cells_room;
};

void table_init(struct table *table, const struct table_column *columns, size_t count);
void table_fini(struct table *table);

#define autotable __attribute__((cleanup(table_fini)))

/* The next cell. What is in it is made harmless when it is shown. */
void table_text(struct table *table, enum terminal_style style, const char *text);
void table_printf(struct table *table, enum terminal_style style, const char *format, ...)
	__attribute__((format(printf, 3, 4)));

void table_print(const struct table *table, FILE *out);

/* The same for a terminal that is told, into memory. */
void table_render(const struct table *table, const struct terminal *terminal, struct buf *out);

#endif
