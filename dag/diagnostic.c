#include "dag/diagnostic.h"

#include <stdarg.h>
#include <string.h>

#include "common/buf.h"
#include "common/mem.h"
#include "common/scope.h"
#include "common/utf8.h"

enum {
	EXCERPT_CHARACTERS = 100, /* of a long line */
	EXCERPT_BEFORE = 60,      /* of these, at most so many before the column */
	TAB_COLUMNS = 8,
	REMEDY_BYTES = 500,
};

static const char *const severity_names[] = {
	[DIAGNOSTIC_ERROR] = "error", [DIAGNOSTIC_WARNING] = "warning"
};
static const char *const severity_colors[] = {
	[DIAGNOSTIC_ERROR] = "\033[1;31m", [DIAGNOSTIC_WARNING] = "\033[1;35m"
};

/* A terminal could obey it, or show something else than what the file says (the "Trojan Source" marks). */
static bool is_unsafe(uint32_t code)
{
	return code < 0x20 || (code >= 0x7f && code < 0xa0) || (code >= 0x200e && code <= 0x200f) ||
	       (code >= 0x2028 && code <= 0x202e) || (code >= 0x2066 && code <= 0x2069) || code == 0xfeff;
}

/* Two columns on a terminal: the blocks that Unicode's annex 11 calls wide, roughly. */
static bool is_wide(uint32_t code)
{
	return (code >= 0x1100 && code < 0x1160) || (code >= 0x2e80 && code < 0xa4d0) ||
	       (code >= 0xac00 && code < 0xd7a4) || (code >= 0xf900 && code < 0xfb00) ||
	       (code >= 0xfe30 && code < 0xfe70) || (code >= 0xff00 && code < 0xff61) ||
	       (code >= 0xffe0 && code < 0xffe7) || (code >= 0x1f300 && code < 0x1fb00) ||
	       (code >= 0x20000 && code < 0x3fffe);
}

/* Appends one character so that it is safe on a terminal; returns the columns it takes when `column` were
 * used before. */
static size_t append_character(struct buf *out, const char *text, size_t bytes, size_t column)
{
	uint32_t code;
	size_t length = utf8_decode(text, bytes, &code);
	size_t columns = 0;

	if (length == 1 && code == '\t') {
		do
			buf_append_byte(out, ' ');
		while ((column + ++columns) % TAB_COLUMNS != 0);
		return columns;
	}
	if (length > 0 && !is_unsafe(code)) {
		buf_append(out, text, length);
		return is_wide(code) ? 2 : 1;
	}
	for (size_t i = 0; i < (length == 0 ? 1 : length); i++, columns += 4)
		buf_printf(out, "\\x%02x", (unsigned char)text[i]);
	return columns;
}

static size_t append_safe(struct buf *out, const char *text, size_t bytes)
{
	size_t columns = 0;

	for (size_t at = 0; at < bytes; at += utf8_step(text + at, bytes - at))
		columns += append_character(out, text + at, bytes - at, columns);
	return columns;
}

/* Keeps of a long line what stands around the column, so that a line of a megabyte costs nothing. */
static void cut_line(struct arena *arena, struct diagnostic *item)
{
	const char *line = item->source;
	size_t bytes = item->source_bytes > 0 ? item->source_bytes : strlen(line);
	size_t from = 0, to;

	item->source_skipped = 0;
	if (item->at.column > EXCERPT_BEFORE && utf8_prefix(line, bytes, EXCERPT_CHARACTERS) < bytes) {
		size_t before = item->at.column - EXCERPT_BEFORE;

		from = utf8_prefix(line, bytes, before);
		item->source_skipped = (uint32_t)utf8_count(line, from);
	}
	to = from + utf8_prefix(line + from, bytes - from, EXCERPT_CHARACTERS);
	item->source_cut = to < bytes;
	item->source = arena_strndup(arena, line + from, to - from);
	item->source_bytes = 0;
}

static const char *kind_of(const struct diagnostic *diagnostic)
{
	return diagnostic->kind != NULL ? diagnostic->kind : diagnostic->message;
}

static bool is_known(const struct diagnostics *diagnostics, const struct diagnostic *diagnostic)
{
	for (size_t i = 0; i < diagnostics->count; i++) {
		const struct diagnostic *item = &diagnostics->items[i];

		if (item->at.line == diagnostic->at.line && item->at.column == diagnostic->at.column &&
		    item->severity == diagnostic->severity &&
		    strcmp(kind_of(item), kind_of(diagnostic)) == 0 &&
		    strcmp(item->path, diagnostic->path) == 0)
			return true;
	}
	return false;
}

/* Without bytes that are no UTF-8: a value cut for the message may have been cut inside a character. */
static const char *copy_text(struct arena *arena, const char *text)
{
	size_t bytes = text == NULL ? 0 : strlen(text), kept = 0;
	char *copy;
	uint32_t code;

	if (text == NULL)
		return NULL;
	copy = arena_alloc(arena, bytes + 1);
	for (size_t at = 0; at < bytes; at += utf8_step(text + at, bytes - at)) {
		size_t length = utf8_decode(text + at, bytes - at, &code);

		memcpy(copy + kept, text + at, length);
		kept += length;
	}
	return copy;
}

/* Orders by file, then by place. */
static int compare(const struct diagnostic *a, const struct diagnostic *b)
{
	int paths = strcmp(a->path, b->path);

	if (paths != 0)
		return paths;
	if (a->at.line != b->at.line)
		return a->at.line < b->at.line ? -1 : 1;
	return a->at.column < b->at.column ? -1 : a->at.column > b->at.column;
}

struct span {
	size_t from, to; /* columns on the terminal */
};

/* Appends the line and tells where the characters in question came to stand. */
static struct span append_source(struct buf *out, const struct diagnostic *item)
{
	uint32_t column = item->source_skipped + 1;
	size_t bytes = strlen(item->source), columns = 0;
	struct span span = { 0 };

	if (item->source_skipped > 0) {
		buf_append_text(out, "...");
		columns = 3;
	}
	for (size_t at = 0; at < bytes; at += utf8_step(item->source + at, bytes - at), column++) {
		if (column == item->at.column)
			span.from = columns;
		columns += append_character(out, item->source + at, bytes - at, columns);
		if (column >= item->at.column && column - item->at.column < item->width)
			span.to = columns;
	}
	if (column <= item->at.column) /* What is wrong is that the line ends. */
		span.from = columns;
	if (span.to <= span.from)
		span.to = span.from + 1;
	if (item->source_cut)
		buf_append_text(out, "...");
	return span;
}

static void append_caret(struct buf *out, struct span span)
{
	for (size_t column = 0; column < span.from; column++)
		buf_append_byte(out, ' ');
	buf_append_byte(out, '^');
	for (size_t column = span.from + 1; column < span.to; column++)
		buf_append_byte(out, '~');
}

static void append_item(struct buf *out, const struct diagnostic *item, bool color)
{
	const char *tint = color ? severity_colors[item->severity] : "";
	const char *plain = color ? "\033[0m" : "";

	buf_append_text(out, color ? "\033[1m" : "");
	append_safe(out, item->path, strlen(item->path));
	if (item->at.line > 0)
		buf_printf(out, ":%u:%u", item->at.line, item->at.column);
	buf_printf(out, ":%s %s%s:%s ", plain, tint, severity_names[item->severity], plain);
	append_safe(out, item->message, strlen(item->message));
	buf_append_byte(out, '\n');
	if (item->source != NULL) {
		struct span span;

		buf_printf(out, "%5u | ", item->at.line);
		span = append_source(out, item);
		buf_printf(out, "\n      | %s", tint);
		append_caret(out, span);
		buf_printf(out, "%s\n", plain);
	}
	if (item->remedy != NULL) {
		buf_append_text(out, "      = ");
		append_safe(out, item->remedy, strlen(item->remedy));
		buf_append_byte(out, '\n');
	}
}

static void append_rest(struct buf *out, const struct diagnostics *diagnostics)
{
	size_t kept[] = { [DIAGNOSTIC_ERROR] = 0, [DIAGNOSTIC_WARNING] = 0 };
	size_t all[] = {
		[DIAGNOSTIC_ERROR] = diagnostics->errors, [DIAGNOSTIC_WARNING] = diagnostics->warnings
	};

	for (size_t i = 0; i < diagnostics->count; i++)
		kept[diagnostics->items[i].severity]++;
	for (size_t i = 0; i < COUNT_OF(kept); i++) {
		if (all[i] > kept[i])
			buf_printf(out, "and %zu more %s%s\n", all[i] - kept[i], severity_names[i],
				   all[i] - kept[i] == 1 ? "" : "s");
	}
}

void diagnostics_init(struct diagnostics *diagnostics)
{
	*diagnostics = (struct diagnostics){ 0 };
	arena_init(&diagnostics->arena);
}

void diagnostics_fini(struct diagnostics *diagnostics)
{
	arena_fini(&diagnostics->arena);
	free(diagnostics->items);
	*diagnostics = (struct diagnostics){ 0 };
}

void diagnostics_add(struct diagnostics *diagnostics, const struct diagnostic *diagnostic)
{
	bool full = diagnostics_full(diagnostics, diagnostic->severity);
	struct diagnostic *item;

	diagnostics->last_kept = false;
	if (is_known(diagnostics, diagnostic))
		return;
	*(diagnostic->severity == DIAGNOSTIC_ERROR ? &diagnostics->errors : &diagnostics->warnings) += 1;
	if (full)
		return;
	mem_grow(&diagnostics->items, &diagnostics->room, diagnostics->count, sizeof *diagnostics->items);
	item = &diagnostics->items[diagnostics->count++];
	*item = *diagnostic;
	item->path = arena_strdup(&diagnostics->arena, diagnostic->path);
	item->kind = copy_text(&diagnostics->arena, diagnostic->kind);
	item->message = copy_text(&diagnostics->arena, diagnostic->message);
	item->remedy = copy_text(&diagnostics->arena, diagnostic->remedy);
	if (item->source != NULL)
		cut_line(&diagnostics->arena, item);
	diagnostics->last_kept = true;
}

void diagnostics_remedy(struct diagnostics *diagnostics, const char *format, ...)
{
	struct diagnostic *last =
	    diagnostics->count == 0 ? NULL : &diagnostics->items[diagnostics->count - 1];
	char text[REMEDY_BYTES];
	va_list args;

	if (!diagnostics->last_kept || last->remedy != NULL)
		return;
	va_start(args, format);
	vsnprintf(text, sizeof text, format, args);
	va_end(args);
	last->remedy = copy_text(&diagnostics->arena, text);
}

bool diagnostics_full(const struct diagnostics *diagnostics, enum diagnostic_severity severity)
{
	return (severity == DIAGNOSTIC_ERROR ? diagnostics->errors : diagnostics->warnings) >=
	       DIAGNOSTICS_MAX;
}

static void append_all(struct buf *text, struct diagnostics *diagnostics, bool color)
{
	diagnostics_sort(diagnostics);
	for (size_t i = 0; i < diagnostics->count; i++)
		append_item(text, &diagnostics->items[i], color);
	append_rest(text, diagnostics);
}

void diagnostics_print(struct diagnostics *diagnostics, FILE *out, bool color)
{
	autobuf struct buf text = { 0 };

	append_all(&text, diagnostics, color);
	fputs(buf_text(&text), out);
}

char *diagnostics_text(struct diagnostics *diagnostics)
{
	struct buf text = { 0 };

	append_all(&text, diagnostics, false);
	return buf_take(&text);
}

/* By insertion: stable, and there are at most two hundred. */
void diagnostics_sort(struct diagnostics *diagnostics)
{
	for (size_t i = 1; i < diagnostics->count; i++) {
		struct diagnostic item = diagnostics->items[i];
		size_t to = i;

		for (; to > 0 && compare(&item, &diagnostics->items[to - 1]) < 0; to--)
			diagnostics->items[to] = diagnostics->items[to - 1];
		diagnostics->items[to] = item;
	}
	diagnostics->last_kept = false;
}
