#include "common/machine.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

void machine_check(const char *kind, const struct machine_state *table, unsigned from, unsigned to)
{
	if (machine_allows(table, from, to))
		return;
	fprintf(stderr, "stoker: bug: %s may not move from %s to %s\n", kind, table[from].name,
		table[to].name);
	abort();
}

int machine_find(const struct machine_state *table, unsigned count, const char *name)
{
	for (unsigned i = 0; i < count; i++)
		if (table[i].name != NULL && strcmp(table[i].name, name) == 0)
			return (int)i;
	return -1;
}
