/*
 * graph.h - which step comes after which
 *
 * Works on the `needs` of a DAG's steps; fills in what follows from them.
 *
 * Source: the order is Kahn, "Topological sorting of large networks", CACM 5(11), 1962; its queue begins in
 *         the order of the file, so the same file gives the same order always.
 */
#ifndef DAG_GRAPH_H
#define DAG_GRAPH_H

#include <stdbool.h>
#include <stddef.h>

#include "common/arena.h"
#include "dag/dag.h"

/* Fills in the steps' `dependents`, from their `needs`. */
void graph_link(struct dag *dag);

/* Fills in `order`. False when there is a circle: `order` then holds *sorted_out steps, those before any. */
bool graph_sort(struct dag *dag, size_t *sorted_out);

/* A circle: each step needs the next, the last needs the first, which comes before the others in the file. */
typedef void graph_on_cycle(void *context, const size_t *steps, size_t count);

/* After graph_sort said false: calls back for circles, until each other has a step in common with one. */
void graph_find_cycles(const struct dag *dag, size_t sorted, struct arena *scratch, graph_on_cycle *on_cycle,
		       void *context);

/* Does `step` need `other`, itself or through others? */
struct graph_query {
	size_t step, other;
	bool needed;     /* the answer */
	const void *tag; /* the caller's */
};

/*
 * Answers all at once; sorts them by `other`. The steps are walked in their order with a bit for each of 64
 * others, so it takes O(steps and edges) for each 64 different others. After graph_sort said true.
 */
void graph_answer(const struct dag *dag, struct graph_query *queries, size_t count, struct arena *scratch);

#endif
