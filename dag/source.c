#include "dag/source.h"

#include <string.h>

#include "common/utf8.h"

static bool ends_line(uint32_t code)
{
	return code == '\n' || code == '\r' || code == 0x85 || code == 0x2028 || code == 0x2029;
}

/* The set c-printable of YAML 1.2.2, section 5.1. */
static bool may_stand(uint32_t code)
{
	if (code < 0x20)
		return code == '\t' || code == '\n' || code == '\r';
	if (code < 0xa0)
		return code < 0x7f || code == 0x85;
	return code < 0xd800 || (code >= 0xe000 && code <= 0xfffd && code != 0xfeff) || code >= 0x10000;
}

/* At least one line a line end, and one more. */
static size_t count_lines(const char *text, size_t bytes)
{
	size_t lines = 1;

	for (size_t i = 0; i < bytes; i++)
		lines += text[i] == '\n' || text[i] == '\r' || (unsigned char)text[i] >= 0xc2;
	return lines;
}

bool source_init(struct source *source, struct arena *arena, const char *path, const char *text, size_t bytes,
		 size_t *wrong_out)
{
	bool clean = true;
	size_t at = 0;

	*source = (struct source){ .path = path, .text = text, .bytes = bytes };
	source->lines = arena_alloc(arena, count_lines(text, bytes) * sizeof *source->lines);
	source->lines[source->lines_count++] = 0;
	while (at < bytes) {
		unsigned char byte = (unsigned char)text[at];
		uint32_t code = byte;
		size_t length = 1;

		if (byte >= 0x20 && byte < 0x7f) {
			at++;
			continue;
		}
		length = utf8_decode(text + at, bytes - at, &code);
		if (clean && (length == 0 || !may_stand(code))) {
			clean = false;
			*wrong_out = at;
		}
		if (length == 0) {
			at++;
			continue;
		}
		at += length;
		if (code == '\r' && at < bytes && text[at] == '\n')
			at++;
		if (ends_line(code))
			source->lines[source->lines_count++] = (uint32_t)at;
	}
	return clean;
}

const char *source_line(const struct source *source, uint32_t line, size_t *bytes_out)
{
	size_t from, to;

	if (line == 0 || line > source->lines_count)
		return NULL;
	from = source->lines[line - 1];
	to = line < source->lines_count ? source->lines[line] : source->bytes;
	if (line < source->lines_count) { /* All but the last have an end of one to three bytes. */
		unsigned char last = (unsigned char)source->text[to - 1];

		to -= last == '\n' || last == '\r' ? 1 : last == 0x85 ? 2 : 3;
		if (last == '\n' && to > from && source->text[to - 1] == '\r')
			to--;
	}
	*bytes_out = to - from;
	return source->text + from;
}

size_t source_offset(const struct source *source, struct dag_position at)
{
	size_t bytes;
	const char *line = source_line(source, at.line, &bytes);

	if (line == NULL)
		return source->bytes;
	return (size_t)(line - source->text) + utf8_prefix(line, bytes, at.column == 0 ? 0 : at.column - 1);
}

struct dag_position source_position(const struct source *source, size_t offset)
{
	size_t low = 0, high = source->lines_count;

	while (high - low > 1) {
		size_t middle = low + (high - low) / 2;

		if (source->lines[middle] <= offset)
			low = middle;
		else
			high = middle;
	}
	return (struct dag_position){
		.line = (uint32_t)low + 1,
		.column =
		    (uint32_t)utf8_count(source->text + source->lines[low], offset - source->lines[low]) + 1,
	};
}
