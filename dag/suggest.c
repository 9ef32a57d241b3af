#include "dag/suggest.h"

#include <ctype.h>
#include <stdbool.h>
#include <string.h>
#include <strings.h>

enum { EDITS_MAX = 3 };

static unsigned least(unsigned a, unsigned b)
{
	return a < b ? a : b;
}

static int fold(char c)
{
	return tolower((unsigned char)c);
}

/*
 * Edits between `a` and `b`, or `most` + 1 when there are more. Three rows of the matrix are kept; cells
 * further than `most` from the diagonal cannot lead to an answer and hold `most` + 1.
 */
static unsigned distance(const char *a, size_t a_bytes, const char *b, size_t b_bytes, unsigned most)
{
	unsigned rows[3][SUGGEST_BYTES_MAX + 1];
	unsigned *before = rows[0], *last = rows[1], *row = rows[2];

	for (size_t j = 0; j <= b_bytes; j++)
		last[j] = least((unsigned)j, most + 1);
	for (size_t i = 1; i <= a_bytes; i++) {
		size_t from = i > most ? i - most : 1;
		size_t to = i + most < b_bytes ? i + most : b_bytes;
		unsigned *oldest = before;
		unsigned nearest = most + 1;

		for (size_t j = 0; j <= b_bytes; j++)
			row[j] = most + 1;
		row[0] = least((unsigned)i, most + 1);
		for (size_t j = from; j <= to; j++) {
			unsigned edits = last[j - 1] + (fold(a[i - 1]) != fold(b[j - 1]));

			edits = least(edits, least(last[j], row[j - 1]) + 1);
			if (i > 1 && j > 1 && fold(a[i - 1]) == fold(b[j - 2]) &&
			    fold(a[i - 2]) == fold(b[j - 1]))
				edits = least(edits, before[j - 2] + 1);
			row[j] = least(edits, most + 1);
			nearest = least(nearest, row[j]);
		}
		if (nearest > most && row[0] > most)
			return most + 1;
		before = last;
		last = row;
		row = oldest;
	}
	return last[b_bytes];
}

/* "int" and "integer": at least three characters, and all of the shorter one. */
static bool is_short_form(const struct suggest *suggest, const char *name, size_t bytes)
{
	size_t common = bytes < suggest->wanted_bytes ? bytes : suggest->wanted_bytes;

	return common >= 3 && strncasecmp(name, suggest->wanted, common) == 0;
}

struct suggest suggest_for(const char *wanted)
{
	size_t bytes = strlen(wanted);
	unsigned most = bytes < 2 ? 0 : bytes < 5 ? 1 : bytes < 9 ? 2 : EDITS_MAX;

	return (struct suggest){
		.wanted = wanted, .wanted_bytes = bytes, .distance_max = most, .best_distance = most + 1
	};
}

void suggest_offer(struct suggest *suggest, const char *name, const char *answer)
{
	size_t bytes = strlen(name);
	unsigned found;

	if (suggest->best_distance == 0 || suggest->wanted_bytes > SUGGEST_BYTES_MAX ||
	    bytes > SUGGEST_BYTES_MAX || suggest->offers++ >= SUGGEST_OFFERS_MAX)
		return;
	if (suggest->best == NULL && is_short_form(suggest, name, bytes))
		suggest->best = answer == NULL ? name : answer; /* Until something is near by its letters. */
	/* Only something nearer than the best so far is of interest: the band becomes narrower each time. */
	if (bytes + suggest->best_distance <= suggest->wanted_bytes ||
	    suggest->wanted_bytes + suggest->best_distance <= bytes)
		return;
	found = distance(suggest->wanted, suggest->wanted_bytes, name, bytes, suggest->best_distance - 1);
	if (found < suggest->best_distance) {
		suggest->best_distance = found;
		suggest->best = answer == NULL ? name : answer;
	}
}

const char *suggest_best(const struct suggest *suggest)
{
	return suggest->best;
}
