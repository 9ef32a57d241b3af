/*
 * machine.h - states have names, moves are declared, every move is checked
 *
 * A table holds, for each state, its name and the set of states it may move to (a bit each, so at most 32
 * states). machine_check asserts a move before it is made; a move that the table does not know is a bug of
 * ours and ends the process, after which recovery starts from what is on disk.
 */
#ifndef COMMON_MACHINE_H
#define COMMON_MACHINE_H

#include <stdbool.h>
#include <stdint.h>

struct machine_state {
	const char *name;
	uint32_t to;
};

#define TO(state) (UINT32_C(1) << (state))

static inline bool machine_allows(const struct machine_state *table, unsigned from, unsigned to)
{
	return (table[from].to & TO(to)) != 0;
}

/* Terminal: no way out. */
static inline bool machine_ended(const struct machine_state *table, unsigned state)
{
	return table[state].to == 0;
}

void machine_check(const char *kind, const struct machine_state *table, unsigned from, unsigned to);

/* The index of the state called `name`, or -1. */
int machine_find(const struct machine_state *table, unsigned count, const char *name);

#endif
