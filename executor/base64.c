#include "executor/base64.h"

static const char letters[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

static int value_of(char c)
{
	if (c >= 'A' && c <= 'Z')
		return c - 'A';
	if (c >= 'a' && c <= 'z')
		return c - 'a' + 26;
	if (c >= '0' && c <= '9')
		return c - '0' + 52;
	return c == '+' ? 62 : c == '/' ? 63 : -1;
}

void base64_encode(struct buf *out, const void *bytes, size_t n, bool padded)
{
	const uint8_t *at = bytes;

	buf_reserve(out, n / 3 * 4 + 4);
	for (size_t i = 0; i < n; i += 3) {
		size_t have = n - i < 3 ? n - i : 3;
		uint32_t bits = (uint32_t)at[i] << 16;

		if (have > 1)
			bits |= (uint32_t)at[i + 1] << 8;
		if (have > 2)
			bits |= at[i + 2];
		for (size_t k = 0; k < 4; k++) {
			if (k <= have)
				buf_append_byte(out, (uint8_t)letters[bits >> (18 - 6 * k) & 63]);
			else if (padded)
				buf_append_byte(out, '=');
		}
	}
}

bool base64_decode(struct buf *out, const char *text, size_t n)
{
	uint32_t bits = 0;
	size_t count = 0;

	while (n > 0 && text[n - 1] == '=' && count < 2) {
		n--;
		count++;
	}
	if (n % 4 == 1 || (count > 0 && (n + count) % 4 != 0))
		return false;
	count = 0;
	for (size_t i = 0; i < n; i++) {
		int value = value_of(text[i]);

		if (value < 0)
			return false;
		bits = bits << 6 | (uint32_t)value;
		count += 6;
		if (count >= 8) {
			count -= 8;
			buf_append_byte(out, (uint8_t)(bits >> count));
		}
	}
	return true;
}
