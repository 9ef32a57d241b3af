#include "executor/agent/json.h"

#include <string.h>

struct walk {
	const char *at;
	const char *stop;
	json_visitor *visit;
	void *context;
};

bool json_text_is(struct json_text text, const char *word)
{
	return text.at != NULL && text.n == strlen(word) && memcmp(text.at, word, text.n) == 0;
}

static void skip_space(struct walk *walk)
{
	while (walk->at < walk->stop && memchr(" \t\r\n", *walk->at, 4) != NULL)
		walk->at++;
}

static bool take(struct walk *walk, char c)
{
	skip_space(walk);
	if (walk->at == walk->stop || *walk->at != c)
		return false;
	walk->at++;
	return true;
}

static bool take_string(struct walk *walk, struct json_text *out)
{
	if (!take(walk, '"'))
		return false;
	out->at = walk->at;
	for (; walk->at < walk->stop && *walk->at != '"'; walk->at++) {
		if ((unsigned char)*walk->at < ' ')
			return false;
		if (*walk->at == '\\' && ++walk->at == walk->stop)
			return false;
	}
	if (walk->at == walk->stop)
		return false;
	out->n = (size_t)(walk->at - out->at);
	walk->at++;
	return true;
}

static bool is_number(struct json_text text)
{
	size_t digits = 0;

	for (size_t i = 0; i < text.n; i++) {
		if (text.at[i] >= '0' && text.at[i] <= '9')
			digits++;
		else if (memchr("+-.eE", text.at[i], 5) == NULL)
			return false;
	}
	return digits > 0;
}

static bool take_word(struct walk *walk, struct json_text *out)
{
	static const char *const words[] = { "true", "false", "null", "NaN", "Infinity", "-Infinity" };

	skip_space(walk);
	out->at = walk->at;
	while (walk->at < walk->stop && memchr(",]} \t\r\n:", *walk->at, 8) == NULL)
		walk->at++;
	out->n = (size_t)(walk->at - out->at);
	for (size_t i = 0; i < sizeof words / sizeof words[0]; i++)
		if (json_text_is(*out, words[i]))
			return true;
	return is_number(*out);
}

/* A value that stands where `place` says; calls itself for what is inside. */
static bool take_value(struct walk *walk, struct json_scalar place, int depth)
{
	struct json_scalar inner = place;

	if (depth > JSON_DEPTH_MAX)
		return false;
	skip_space(walk);
	if (take(walk, '{')) {
		inner.in = place.key;
		inner.index = 0;
		if (take(walk, '}'))
			return true;
		do {
			if (!take_string(walk, &inner.key) || !take(walk, ':') ||
			    !take_value(walk, inner, depth + 1))
				return false;
		} while (take(walk, ','));
		return take(walk, '}');
	}
	if (take(walk, '[')) {
		inner.index = 0;
		if (take(walk, ']'))
			return true;
		do {
			if (!take_value(walk, inner, depth + 1))
				return false;
			inner.index++;
		} while (take(walk, ','));
		return take(walk, ']');
	}
	place.quoted = walk->at < walk->stop && *walk->at == '"';
	if (!(place.quoted ? take_string(walk, &place.text) : take_word(walk, &place.text)))
		return false;
	if (walk->visit != NULL)
		walk->visit(walk->context, &place);
	return true;
}

bool json_walk(const char *text, size_t n, json_visitor *visit, void *context)
{
	struct walk walk = { .at = text, .stop = text + n, .visit = visit, .context = context };

	if (!take_value(&walk, (struct json_scalar){ 0 }, 0))
		return false;
	skip_space(&walk);
	return walk.at == walk.stop;
}
