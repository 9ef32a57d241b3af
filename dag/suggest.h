/*
 * suggest.h - the nearest of the known names
 *
 *   struct suggest near = suggest_for("tiemout");
 *   suggest_offer(&near, "timeout", NULL);
 *   suggest_best(&near)  ->  "timeout"
 *
 * Only a name that is really near counts: one edit in a short name, up to three in a long one; letter case
 * weighs nothing. Failing that, one that begins with the other ("int" for "integer"). Of names equally near
 * the first offered wins. After SUGGEST_OFFERS_MAX offers the rest is not looked at, so a file of 20,000
 * misspelt names costs no more than one of a thousand.
 *
 * Source: Damerau, "A technique for computer detection and correction of spelling errors", CACM 7(3), 1964,
 *         in the restricted form (optimal string alignment), within a band about the diagonal (Ukkonen 1985).
 */
#ifndef DAG_SUGGEST_H
#define DAG_SUGGEST_H

#include <stddef.h>

enum { SUGGEST_OFFERS_MAX = 2000, SUGGEST_BYTES_MAX = 64 };

struct suggest {
	const char *wanted;
	size_t wanted_bytes;
	unsigned distance_max;
	const char *best;
	unsigned best_distance;
	unsigned offers;
};

struct suggest suggest_for(const char *wanted);

/* Compares `name`; `answer` (NULL: the name itself) is what suggest_best gives when it is the nearest. Both
 * are borrowed. */
void suggest_offer(struct suggest *suggest, const char *name, const char *answer);

/* NULL: nothing is near. */
const char *suggest_best(const struct suggest *suggest);

#endif
