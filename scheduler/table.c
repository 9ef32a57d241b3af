#include "scheduler/table.h"

#include <assert.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "common/mem.h"
#include "common/scope.h"

enum { GAP = 2, NARROWEST = 6 };

void table_init(struct table *table, const struct table_column *columns, size_t count)
{
	assert(count > 0 && count <= TABLE_COLUMNS_MAX);
	*table = (struct table){ .columns = columns, .columns_count = count };
}

void table_fini(struct table *table)
{
	free(table->cells);
	arena_fini(&table->arena);
	*table = (struct table){ 0 };
}

void table_text(struct table *table, enum terminal_style style, const char *text)
{
	mem_grow(&table->cells, &table->cells_room, table->cells_count, sizeof *table->cells);
	table->cells[table->cells_count++] = (struct table_cell){
		.text = arena_strdup(&table->arena, text),
		.style = style,
		.columns = terminal_columns(text),
	};
}

void table_printf(struct table *table, enum terminal_style style, const char *format, ...)
{
	autofree char *text = NULL;
	va_list args;

	va_start(args, format);
	text = mem_vprintf(format, args);
	va_end(args);
	table_text(table, style, text);
}

static void measure(const struct table *table, size_t widths[TABLE_COLUMNS_MAX])
{
	for (size_t i = 0; i < table->columns_count; i++)
		widths[i] = strlen(table->columns[i].heading);
	for (size_t i = 0; i < table->cells_count; i++)
		if (table->cells[i].columns > widths[i % table->columns_count])
			widths[i % table->columns_count] = table->cells[i].columns;
}

static size_t total(const size_t *widths, size_t count)
{
	size_t sum = GAP * (count - 1);

	for (size_t i = 0; i < count; i++)
		sum += widths[i];
	return sum;
}

static size_t shrink(size_t width, size_t over)
{
	return width < NARROWEST + over ? (width < NARROWEST ? width : NARROWEST) : width - over;
}

static void fit(size_t *widths, size_t count, size_t columns)
{
	if (total(widths, count) > columns)
		widths[count - 1] = shrink(widths[count - 1], total(widths, count) - columns);
	while (total(widths, count) > columns) {
		size_t widest = 0, before;

		for (size_t i = 1; i < count; i++)
			if (widths[i] > widths[widest])
				widest = i;
		before = widths[widest];
		widths[widest] = shrink(before, 1);
		if (widths[widest] == before)
			return; /* the screen cuts the rest */
	}
}

static void render_row(const struct table *table, const struct table_cell *cells, const size_t *widths,
		       const struct terminal *terminal, struct buf *out)
{
	size_t left = terminal->columns;

	for (size_t i = 0; i < table->columns_count; i++) {
		struct terminal_line line = terminal_line_start(terminal, out,
								widths[i] < left ? widths[i] : left);
		size_t shown = cells[i].columns < widths[i] ? cells[i].columns : widths[i];
		size_t blanks = widths[i] - shown;
		bool last = i + 1 == table->columns_count;

		if (table->columns[i].right)
			terminal_blanks(&line, blanks);
		terminal_put(&line, cells[i].style, cells[i].text);
		if (last)
			break;
		if (!table->columns[i].right)
			terminal_blanks(&line, blanks);
		if (left != SIZE_MAX)
			left -= widths[i] < left ? widths[i] : left;
		line = terminal_line_start(terminal, out, GAP < left ? GAP : left);
		terminal_blanks(&line, GAP);
		if (left != SIZE_MAX)
			left -= GAP < left ? GAP : left;
	}
	while (out->bytes > 0 && out->data[out->bytes - 1] == ' ')
		out->bytes--;
	buf_append_byte(out, '\n');
}

void table_render(const struct table *table, const struct terminal *terminal, struct buf *out)
{
	struct table_cell headings[TABLE_COLUMNS_MAX];
	size_t widths[TABLE_COLUMNS_MAX];

	assert(table->cells_count % table->columns_count == 0);
	measure(table, widths);
	if (terminal->columns != SIZE_MAX)
		fit(widths, table->columns_count, terminal->columns);
	for (size_t i = 0; i < table->columns_count; i++)
		headings[i] = (struct table_cell){
			.text = table->columns[i].heading,
			.style = TERMINAL_BOLD,
			.columns = strlen(table->columns[i].heading),
		};
	render_row(table, headings, widths, terminal, out);
	for (size_t i = 0; i < table->cells_count; i += table->columns_count)
		render_row(table, table->cells + i, widths, terminal, out);
}

void table_print(const struct table *table, FILE *out)
{
	struct terminal terminal = terminal_of(out);
	autobuf struct buf text = { 0 };

	table_render(table, &terminal, &text);
	fwrite(text.data, 1, text.bytes, out);
}
