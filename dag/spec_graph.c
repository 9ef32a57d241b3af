#include "dag/spec_graph.h"

#include <string.h>

#include "common/scope.h"
#include "dag/graph.h"
#include "dag/names.h"
#include "dag/suggest.h"

enum { CYCLE_NAMES_MAX = 12 };

static void report_unknown(struct spec *spec, const struct dag_step *step, const struct node *name)
{
	struct suggest near = suggest_for(name->text);

	field_error(spec, name, "step '%s' needs '%.80s', which does not exist", step->name, name->text);
	if (!spec->diagnostics->last_kept)
		return;
	for (size_t i = 0; i < spec->dag->steps_count; i++) {
		if (i != step->index)
			suggest_offer(&near, spec->dag->steps[i].name, NULL);
	}
	if (suggest_best(&near) != NULL)
		field_remedy(spec, "did you mean '%s'?", suggest_best(&near));
}

/* `given_by[i]` is 1 + the last step that named step i. What is wrong is left out of the graph. */
static void link_step(struct spec *spec, struct dag_step *step, size_t *given_by)
{
	const struct node *const *names = spec->step_needs[step->index];
	size_t count = step->needs_count;

	step->needs_count = 0;
	if (count > 0)
		step->needs = arena_alloc(&spec->dag->arena, count * sizeof *step->needs);
	for (size_t i = 0; i < count; i++) {
		uint32_t index;

		if (!names_find(spec->dag->steps_by_name, names[i]->text, &index)) {
			report_unknown(spec, step, names[i]);
		} else if (index == step->index) {
			field_error(spec, names[i], "step '%s' needs itself", step->name);
		} else if (given_by[index] == step->index + 1) {
			field_error(spec, names[i], "step '%s' needs '%s' twice", step->name, names[i]->text);
			field_remedy(spec, "remove one of the two");
		} else {
			given_by[index] = step->index + 1;
			step->needs[step->needs_count++] = index;
		}
	}
}

static const struct node *find_need(const struct spec *spec, size_t step, const char *name)
{
	const struct node *value = node_get(spec->step_bodies[step], "needs");

	for (size_t i = 0; value->kind == NODE_LIST && i < value->count; i++) {
		if (value->items[i]->kind == NODE_SCALAR && strcmp(value->items[i]->text, name) == 0)
			return value->items[i];
	}
	return value;
}

/* a -> b -> c -> a, with the middle left out when it is long. */
static void on_cycle(void *context, const size_t *steps, size_t count)
{
	struct spec *spec = context;
	const struct dag_step *all = spec->dag->steps;
	autobuf struct buf path = { 0 };

	for (size_t i = 0; i < count; i++) {
		if (count > CYCLE_NAMES_MAX && i == CYCLE_NAMES_MAX - 2)
			buf_printf(&path, "... (%zu more) -> ", count - CYCLE_NAMES_MAX + 1);
		if (count <= CYCLE_NAMES_MAX || i < CYCLE_NAMES_MAX - 2 || i == count - 1)
			buf_printf(&path, "%s -> ", all[steps[i]].name);
	}
	field_error(spec, find_need(spec, steps[0], all[steps[1]].name),
		    "steps need each other in a circle: %s%s", buf_text(&path), all[steps[0]].name);
	field_remedy(spec, "an arrow reads 'needs'; one of them has to go");
}

bool spec_graph_link(struct spec *spec)
{
	struct dag *dag = spec->dag;
	size_t *given_by = arena_alloc(&spec->scratch, dag->steps_count * sizeof *given_by);
	size_t sorted;

	for (size_t i = 0; i < dag->steps_count; i++)
		link_step(spec, &dag->steps[i], given_by);
	graph_link(dag);
	if (graph_sort(dag, &sorted))
		return true;
	graph_find_cycles(dag, sorted, &spec->scratch, on_cycle, spec);
	return false;
}
