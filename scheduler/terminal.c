#include "scheduler/terminal.h"

#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "common/mem.h"
#include "common/scope.h"
#include "common/utf8.h"

static const char *const style_starts[] = {
	[TERMINAL_PLAIN] = "",	      [TERMINAL_BOLD] = "\033[1m",   [TERMINAL_DIM] = "\033[2m",
	[TERMINAL_RED] = "\033[31m",  [TERMINAL_GREEN] = "\033[32m", [TERMINAL_YELLOW] = "\033[33m",
	[TERMINAL_CYAN] = "\033[36m",
};

/* --- characters ----------------------------------------------------------------------------------------- */

struct range {
	uint32_t first, last;
};

static const struct range no_column[] = {
	{ 0x0300, 0x036f }, { 0x0483, 0x0489 }, { 0x0591, 0x05bd }, { 0x0610, 0x061a },
	{ 0x064b, 0x065f }, { 0x093c, 0x093c }, { 0x0941, 0x0948 }, { 0x0e34, 0x0e3a },
	{ 0x0e47, 0x0e4e }, { 0x1ab0, 0x1aff }, { 0x1dc0, 0x1dff }, { 0x200b, 0x200d },
	{ 0x20d0, 0x20ff }, { 0xfe00, 0xfe0f }, { 0xfe20, 0xfe2f }, { 0xe0100, 0xe01ef },
};

static const struct range two_columns[] = {
	{ 0x1100, 0x115f },   { 0x231a, 0x231b },   { 0x23e9, 0x23ec },	  { 0x2614, 0x2615 },
	{ 0x26a1, 0x26a1 },   { 0x2705, 0x2705 },   { 0x2728, 0x2728 },	  { 0x274c, 0x274c },
	{ 0x2e80, 0x303e },   { 0x3041, 0xa4cf },   { 0xa960, 0xa97f },	  { 0xac00, 0xd7a3 },
	{ 0xf900, 0xfaff },   { 0xfe30, 0xfe6f },   { 0xff00, 0xff60 },	  { 0xffe0, 0xffe6 },
	{ 0x1f300, 0x1f64f }, { 0x1f680, 0x1f6ff }, { 0x1f900, 0x1faff }, { 0x20000, 0x3fffd },
};

/* Marks and overrides of the writing direction, line and paragraph separators, the byte order mark. */
static const struct range obeyed[] = {
	{ 0x0000, 0x001f }, { 0x007f, 0x009f }, { 0x061c, 0x061c }, { 0x200e, 0x200f },
	{ 0x2028, 0x202e }, { 0x2066, 0x2069 }, { 0xfeff, 0xfeff },
};

static bool is_in(const struct range *ranges, size_t count, uint32_t code)
{
	for (size_t i = 0; i < count && ranges[i].first <= code; i++)
		if (code <= ranges[i].last)
			return true;
	return false;
}

/* One character as it is shown. */
struct glyph {
	char text[16];
	size_t bytes;
	size_t columns;
};

/* Takes the first character of `text`; returns how many bytes of it that were. */
static size_t next_glyph(const char *text, size_t bytes, struct glyph *glyph)
{
	uint32_t code = 0;
	size_t n = utf8_decode(text, bytes, &code);

	if (n == 0) {
		glyph->bytes = (size_t)snprintf(glyph->text, sizeof glyph->text, "\\x%02x",
						(unsigned char)*text);
		glyph->columns = glyph->bytes;
		return 1;
	}
	if (is_in(obeyed, COUNT_OF(obeyed), code)) {
		glyph->bytes = (size_t)snprintf(glyph->text, sizeof glyph->text,
						code < 0x100 ? "\\x%02x" : "\\u{%04x}", (unsigned)code);
		glyph->columns = glyph->bytes;
		return n;
	}
	memcpy(glyph->text, text, n);
	glyph->bytes = n;
	glyph->columns = code < 0x300					   ? 1
			 : is_in(no_column, COUNT_OF(no_column), code)	   ? 0
			 : is_in(two_columns, COUNT_OF(two_columns), code) ? 2
									   : 1;
	return n;
}

size_t terminal_columns(const char *text)
{
	size_t columns = 0;

	for (size_t bytes = strlen(text), n; bytes > 0; text += n, bytes -= n) {
		struct glyph glyph;

		n = next_glyph(text, bytes, &glyph);
		columns += glyph.columns;
	}
	return columns;
}

void terminal_escape(struct buf *out, const char *text)
{
	for (size_t bytes = strlen(text), n; bytes > 0; text += n, bytes -= n) {
		struct glyph glyph;

		n = next_glyph(text, bytes, &glyph);
		buf_append(out, glyph.text, glyph.bytes);
	}
}

/* --- the terminal --------------------------------------------------------------------------------------- */

static bool is_utf8_locale(void)
{
	static const char *const names[] = { "LC_ALL", "LC_CTYPE", "LANG" };

	for (size_t i = 0; i < COUNT_OF(names); i++) {
		const char *value = getenv(names[i]);

		if (value != NULL && value[0] != '\0')
			return strcasestr(value, "utf-8") != NULL || strcasestr(value, "utf8") != NULL;
	}
	return false;
}

struct terminal terminal_of(FILE *out)
{
	const char *term = getenv("TERM"), *no_color = getenv("NO_COLOR");
	int fd = fileno(out);
	bool is_terminal = fd >= 0 && isatty(fd);
	struct terminal terminal = { .utf8 = is_utf8_locale(), .rows = 24, .columns = SIZE_MAX };
	struct winsize size = { 0 };

	if (!is_terminal)
		return terminal;
	terminal.cursor = term != NULL && term[0] != '\0' && strcmp(term, "dumb") != 0;
	terminal.color = terminal.cursor && (no_color == NULL || no_color[0] == '\0');
	terminal.columns = 80;
	if (ioctl(fd, TIOCGWINSZ, &size) == 0 && size.ws_col > 0 && size.ws_row > 0) {
		terminal.rows = size.ws_row;
		terminal.columns = size.ws_col;
	}
	return terminal;
}

/* --- lines ---------------------------------------------------------------------------------------------- */

struct terminal_line terminal_line_start(const struct terminal *terminal, struct buf *out, size_t columns)
{
	return (struct terminal_line){
		.terminal = terminal,
		.out = out,
		.left = columns < terminal->columns ? columns : terminal->columns,
	};
}

static void put_cut(struct terminal_line *line, const char *text)
{
	size_t room = line->left;

	for (size_t bytes = strlen(text), n; bytes > 0; text += n, bytes -= n) {
		struct glyph glyph;

		n = next_glyph(text, bytes, &glyph);
		if (glyph.columns >= room)
			break; /* the last column is the mark's */
		buf_append(line->out, glyph.text, glyph.bytes);
		room -= glyph.columns;
	}
	buf_append_text(line->out, line->terminal->utf8 ? "…" : "~");
	line->left = 0;
}

void terminal_put(struct terminal_line *line, enum terminal_style style, const char *text)
{
	size_t columns = terminal_columns(text);
	bool styled = line->terminal->color && style != TERMINAL_PLAIN;

	if (columns == 0 || line->left == 0)
		return;
	if (styled)
		buf_append_text(line->out, style_starts[style]);
	if (columns > line->left) {
		put_cut(line, text);
	} else {
		terminal_escape(line->out, text);
		if (line->left != SIZE_MAX)
			line->left -= columns;
	}
	if (styled)
		buf_append_text(line->out, "\033[0m");
}

void terminal_printf(struct terminal_line *line, enum terminal_style style, const char *format, ...)
{
	autofree char *text = NULL;
	va_list args;

	va_start(args, format);
	text = mem_vprintf(format, args);
	va_end(args);
	terminal_put(line, style, text);
}

void terminal_blanks(struct terminal_line *line, size_t count)
{
	for (; count > 0 && line->left > 0; count--) {
		buf_append_byte(line->out, ' ');
		if (line->left != SIZE_MAX)
			line->left--;
	}
}

enum terminal_style terminal_style_of(const char *state)
{
	static const struct {
		const char *state;
		enum terminal_style style;
	} styles[] = {
		{ "succeeded", TERMINAL_GREEN }, { "good", TERMINAL_GREEN },
		{ "failed", TERMINAL_RED },	 { "lost", TERMINAL_RED },
		{ "broken", TERMINAL_RED },	 { "quarantined", TERMINAL_RED },
		{ "orphaned", TERMINAL_RED },	 { "running", TERMINAL_CYAN },
		{ "starting", TERMINAL_CYAN },	 { "retrying", TERMINAL_YELLOW },
		{ "stopping", TERMINAL_YELLOW }, { "unreachable", TERMINAL_YELLOW },
		{ "canceled", TERMINAL_YELLOW }, { "waiting", TERMINAL_DIM },
		{ "queued", TERMINAL_DIM },	 { "upstream_failed", TERMINAL_DIM },
		{ "skipped", TERMINAL_DIM },	 { "removed", TERMINAL_DIM },
		{ "replaced", TERMINAL_DIM },
	};

	for (size_t i = 0; i < COUNT_OF(styles); i++)
		if (strcmp(styles[i].state, state) == 0)
			return styles[i].style;
	return TERMINAL_PLAIN;
}
