/*
 * names.h - a table from names to numbers
 *
 * Grows by doubling; look-ups are O(1). What the numbers mean is the caller's: an index into an array of
 * steps, of anchors, of the entries of a map.
 *
 * Ownership: the table borrows the names and takes its memory from the arena it was given.
 * Source:    open addressing with linear probing, Knuth, TAOCP 3, section 6.4, algorithm L.
 */
#ifndef DAG_NAMES_H
#define DAG_NAMES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/arena.h"

struct name_slot {
	const char *name; /* NULL: free */
	uint32_t hash;
	uint32_t number;
};

struct names {
	struct arena *arena;
	struct name_slot *slots;
	size_t room; /* a power of two, or 0 */
	size_t count;
};

/* Room for `expected` names from the start; 0 is fine. */
void names_init(struct names *names, struct arena *arena, size_t expected);

/* False when the name is there already; the table stays as it is and *number_out (may be NULL) tells its
 * number. */
bool names_add(struct names *names, const char *name, uint32_t number, uint32_t *number_out);

bool names_find(const struct names *names, const char *name, uint32_t *number_out);

#endif
