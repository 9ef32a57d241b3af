#include "common/utf8.h"

static bool continues(const char *text, size_t i)
{
	return ((unsigned char)text[i] & 0xc0) == 0x80;
}

size_t utf8_decode(const char *text, size_t bytes, uint32_t *code_out)
{
	static const uint32_t smallest[] = { 0, 0, 0x80, 0x800, 0x10000 };
	unsigned char first = bytes > 0 ? (unsigned char)text[0] : 0;
	size_t length = first < 0x80   ? 1
			: first < 0xc0 ? 0
			: first < 0xe0 ? 2
			: first < 0xf0 ? 3
			: first < 0xf8 ? 4
				       : 0;
	uint32_t code = length == 1 ? first : first & (0x7fU >> length);

	if (length == 0 || length > bytes)
		return 0;
	for (size_t i = 1; i < length; i++) {
		if (!continues(text, i))
			return 0;
		code = code << 6 | ((unsigned char)text[i] & 0x3f);
	}
	if (code < smallest[length] || code > 0x10ffff || (code >= 0xd800 && code < 0xe000))
		return 0;
	*code_out = code;
	return length;
}

size_t utf8_step(const char *text, size_t bytes)
{
	uint32_t code;
	size_t length = utf8_decode(text, bytes, &code);

	return length == 0 && bytes > 0 ? 1 : length;
}

bool utf8_valid(const char *text, size_t bytes)
{
	uint32_t code;

	while (bytes > 0) {
		size_t length = utf8_decode(text, bytes, &code);

		if (length == 0)
			return false;
		text += length;
		bytes -= length;
	}
	return true;
}

size_t utf8_prefix(const char *text, size_t bytes, size_t characters)
{
	size_t at = 0;

	while (characters-- > 0 && at < bytes)
		at += utf8_step(text + at, bytes - at);
	return at;
}

size_t utf8_count(const char *text, size_t bytes)
{
	size_t characters = 0;

	for (size_t at = 0; at < bytes; at += utf8_step(text + at, bytes - at))
		characters++;
	return characters;
}
