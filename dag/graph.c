#include "dag/graph.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "common/mem.h"
#include "common/scope.h"

enum { WORD_BITS = 64 };

enum mark { UNSEEN, ON_PATH, DONE };

/* A depth-first search along `needs`, without recursion: a chain may be as long as there are steps. */
struct search {
	uint8_t *marks;
	size_t *path;
	size_t length;
	size_t *looked_at; /* how many needs of each step */
	struct arena *scratch;
	graph_on_cycle *on_cycle;
	void *context;
};

static void report_cycle(const size_t *cycle, size_t count, struct search *search)
{
	size_t *turned = arena_alloc(search->scratch, count * sizeof *turned);
	size_t first = 0;

	for (size_t i = 1; i < count; i++) {
		if (cycle[i] < cycle[first])
			first = i;
	}
	memcpy(turned, cycle + first, (count - first) * sizeof *turned);
	memcpy(turned + count - first, cycle, first * sizeof *turned);
	search->on_cycle(search->context, turned, count);
}

/* The steps on the path from `need` on are a circle; returns the length of the path before it. */
static size_t close_cycle(struct search *search, size_t need)
{
	size_t first = search->length - 1;

	while (search->path[first] != need)
		first--;
	report_cycle(search->path + first, search->length - first, search);
	for (size_t i = first; i < search->length; i++)
		search->marks[search->path[i]] =
		    DONE; /* Another circle through one of them has a step in common. */
	return first;
}

static void enter(struct search *search, size_t index)
{
	search->marks[index] = ON_PATH;
	search->path[search->length++] = index;
}

/* One step of the depth-first search: looks at the next need of the path's last step, or leaves that. */
static void advance(struct search *search, const struct dag *dag)
{
	const struct dag_step *step = &dag->steps[search->path[search->length - 1]];
	size_t need;

	if (search->looked_at[step->index] == step->needs_count) {
		search->marks[step->index] = DONE;
		search->length--;
		return;
	}
	need = step->needs[search->looked_at[step->index]++];
	if (search->marks[need] == UNSEEN)
		enter(search, need);
	else if (search->marks[need] == ON_PATH)
		search->length = close_cycle(search, need);
}

static int compare_others(const void *a, const void *b)
{
	const struct graph_query *left = a, *right = b;

	return left->other < right->other ? -1 : left->other > right->other;
}

/* Queries from `first` on that ask for at most 64 different others; their others get the bits of `bits`. */
static size_t take_batch(const struct graph_query *queries, size_t count, size_t first, uint64_t *bits)
{
	size_t end = first;
	unsigned others = 0;

	for (; end < count; end++) {
		bool another = end == first || queries[end].other != queries[end - 1].other;

		if (another && others == WORD_BITS)
			break;
		if (another)
			bits[queries[end].other] = UINT64_C(1) << others++;
	}
	return end;
}

void graph_link(struct dag *dag)
{
	for (size_t i = 0; i < dag->steps_count; i++) {
		for (size_t j = 0; j < dag->steps[i].needs_count; j++)
			dag->steps[dag->steps[i].needs[j]].dependents_count++;
	}
	for (size_t i = 0; i < dag->steps_count; i++) {
		struct dag_step *step = &dag->steps[i];

		if (step->dependents_count > 0)
			step->dependents =
			    arena_alloc(&dag->arena, step->dependents_count * sizeof *step->dependents);
		step->dependents_count = 0;
	}
	for (size_t i = 0; i < dag->steps_count; i++) {
		for (size_t j = 0; j < dag->steps[i].needs_count; j++) {
			struct dag_step *needed = &dag->steps[dag->steps[i].needs[j]];

			needed->dependents[needed->dependents_count++] = i;
		}
	}
}

/* `order` is its own queue: what lies behind `head` is ready and waits to be taken. */
bool graph_sort(struct dag *dag, size_t *sorted_out)
{
	autofree size_t *missing = mem_array(dag->steps_count, sizeof *missing);
	size_t tail = 0;

	dag->order = arena_alloc(&dag->arena, dag->steps_count * sizeof *dag->order);
	for (size_t i = 0; i < dag->steps_count; i++) {
		missing[i] = dag->steps[i].needs_count;
		if (missing[i] == 0)
			dag->order[tail++] = i;
	}
	for (size_t head = 0; head < tail; head++) {
		const struct dag_step *step = &dag->steps[dag->order[head]];

		for (size_t j = 0; j < step->dependents_count; j++) {
			if (--missing[step->dependents[j]] == 0)
				dag->order[tail++] = step->dependents[j];
		}
	}
	*sorted_out = tail;
	return tail == dag->steps_count;
}

void graph_find_cycles(const struct dag *dag, size_t sorted, struct arena *scratch, graph_on_cycle *on_cycle,
		       void *context)
{
	struct search search = { .scratch = scratch, .on_cycle = on_cycle, .context = context };

	search.marks = arena_alloc(scratch, dag->steps_count * sizeof *search.marks);
	search.path = arena_alloc(scratch, dag->steps_count * sizeof *search.path);
	search.looked_at = arena_alloc(scratch, dag->steps_count * sizeof *search.looked_at);
	for (size_t i = 0; i < sorted; i++)
		search.marks[dag->order[i]] = DONE;
	for (size_t start = 0; start < dag->steps_count; start++) {
		if (search.marks[start] == UNSEEN)
			enter(&search, start);
		while (search.length > 0)
			advance(&search, dag);
	}
}

void graph_answer(const struct dag *dag, struct graph_query *queries, size_t count, struct arena *scratch)
{
	uint64_t *bits =
	    arena_alloc(scratch, dag->steps_count * sizeof *bits); /* a step's own, when it is asked for */
	uint64_t *above =
	    arena_alloc(scratch, dag->steps_count * sizeof *above); /* those of all that it needs */

	qsort(queries, count, sizeof *queries, compare_others);
	for (size_t first = 0, end; first < count; first = end) {
		memset(bits, 0, dag->steps_count * sizeof *bits);
		end = take_batch(queries, count, first, bits);
		for (size_t i = 0; i < dag->steps_count; i++) {
			const struct dag_step *step = &dag->steps[dag->order[i]];

			above[step->index] = 0;
			for (size_t j = 0; j < step->needs_count; j++)
				above[step->index] |= above[step->needs[j]] | bits[step->needs[j]];
		}
		for (size_t i = first; i < end; i++)
			queries[i].needed = (above[queries[i].step] & bits[queries[i].other]) != 0;
	}
}
