#include "dag/graph.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "common/mem.h"
#include "common/rng.h"
#include "common/scope.h"

enum { STEPS_MAX = 300 };

struct fixture {
	struct dag dag;
	struct arena scratch;
};

static void with_steps(struct fixture *fixture, size_t count)
{
	*fixture = (struct fixture){ 0 };
	arena_init(&fixture->dag.arena);
	arena_init(&fixture->scratch);
	fixture->dag.steps = arena_alloc(&fixture->dag.arena, count * sizeof *fixture->dag.steps);
	fixture->dag.steps_count = count;
	for (size_t i = 0; i < count; i++) {
		fixture->dag.steps[i].index = i;
		fixture->dag.steps[i].needs = arena_alloc(&fixture->dag.arena, STEPS_MAX * sizeof(size_t));
	}
}

static void need(struct fixture *fixture, size_t step, size_t other)
{
	struct dag_step *from = &fixture->dag.steps[step];

	from->needs[from->needs_count++] = other;
}

static void teardown(struct fixture *fixture)
{
	arena_fini(&fixture->dag.arena);
	arena_fini(&fixture->scratch);
}

static bool sorts(struct fixture *fixture, size_t *sorted_out)
{
	graph_link(&fixture->dag);
	return graph_sort(&fixture->dag, sorted_out);
}

static void dependents_mirror_needs(void **state)
{
	struct fixture fixture;
	size_t sorted;

	(void)state;
	with_steps(&fixture, 3);
	need(&fixture, 1, 0);
	need(&fixture, 2, 0);
	need(&fixture, 2, 1);
	assert_true(sorts(&fixture, &sorted));
	assert_int_equal(fixture.dag.steps[0].dependents_count, 2);
	assert_int_equal(fixture.dag.steps[0].dependents[0], 1);
	assert_int_equal(fixture.dag.steps[0].dependents[1], 2);
	assert_int_equal(fixture.dag.steps[1].dependents_count, 1);
	assert_int_equal(fixture.dag.steps[2].dependents_count, 0);
	teardown(&fixture);
}

static void order_puts_needs_first_and_is_always_the_same(void **state)
{
	static const size_t expected[] = { 1, 3, 0, 2 };
	struct fixture fixture;
	size_t sorted;

	(void)state;
	with_steps(&fixture, 4);
	need(&fixture, 0, 1);
	need(&fixture, 2, 0);
	assert_true(sorts(&fixture, &sorted));
	assert_int_equal(sorted, 4);
	assert_memory_equal(fixture.dag.order, expected, sizeof expected);
	teardown(&fixture);
}

struct found {
	size_t cycles[8][8];
	size_t counts[8];
	size_t count;
};

static void on_cycle(void *context, const size_t *steps, size_t count)
{
	struct found *found = context;

	assert_true(found->count < 8 && count <= 8);
	memcpy(found->cycles[found->count], steps, count * sizeof *steps);
	found->counts[found->count++] = count;
}

static void circles_without_a_common_step_are_all_found(void **state)
{
	static const size_t first[] = { 0, 2, 1 }, second[] = { 4, 5 };
	struct found found = { 0 };
	struct fixture fixture;
	size_t sorted;

	(void)state;
	with_steps(&fixture, 8);
	need(&fixture, 0, 2); /* 0 -> 2 -> 1 -> 0, entered from 3 */
	need(&fixture, 2, 1);
	need(&fixture, 1, 0);
	need(&fixture, 3, 1);
	need(&fixture, 4, 3); /* 4 -> 5 -> 4, beside a way that leads to the first */
	need(&fixture, 4, 5);
	need(&fixture, 5, 4);
	need(&fixture, 6, 7);
	assert_false(sorts(&fixture, &sorted));
	assert_int_equal(sorted, 2);
	graph_find_cycles(&fixture.dag, sorted, &fixture.scratch, on_cycle, &found);
	assert_int_equal(found.count, 2);
	assert_int_equal(found.counts[0], 3);
	assert_memory_equal(found.cycles[0], first, sizeof first);
	assert_int_equal(found.counts[1], 2);
	assert_memory_equal(found.cycles[1], second, sizeof second);
	teardown(&fixture);
}

static void circle_begins_with_its_first_step_in_the_file(void **state)
{
	static const size_t expected[] = { 1, 3, 2 };
	struct found found = { 0 };
	struct fixture fixture;
	size_t sorted;

	(void)state;
	with_steps(&fixture, 4);
	need(&fixture, 0, 2); /* Leads into it. */
	need(&fixture, 2, 1);
	need(&fixture, 1, 3);
	need(&fixture, 3, 2);
	assert_false(sorts(&fixture, &sorted));
	graph_find_cycles(&fixture.dag, sorted, &fixture.scratch, on_cycle, &found);
	assert_int_equal(found.count, 1);
	assert_memory_equal(found.cycles[0], expected, sizeof expected);
	teardown(&fixture);
}

/* By the plain definition, for the answers to be compared with. */
static bool reaches(const struct dag *dag, size_t from, size_t to)
{
	const struct dag_step *step = &dag->steps[from];

	for (size_t i = 0; i < step->needs_count; i++) {
		if (step->needs[i] == to || reaches(dag, step->needs[i], to))
			return true;
	}
	return false;
}

static void answers_are_those_of_the_plain_definition(void **state)
{
	enum { STEPS = 200, QUERIES = 5000 };
	struct graph_query *queries = mem_array(QUERIES, sizeof *queries);
	struct rng rng = rng_seeded(7);
	struct fixture fixture;
	size_t sorted, needed = 0;

	(void)state;
	with_steps(&fixture, STEPS);
	for (size_t i = 1; i < STEPS; i++) { /* Sparse, and in chunks, so that both answers occur. */
		if (i % 20 != 0)
			need(&fixture, i, i - 1 - rng_below(&rng, i % 20));
	}
	assert_true(sorts(&fixture, &sorted));
	for (size_t i = 0; i < QUERIES; i++)
		queries[i] =
		    (struct graph_query){ .step = rng_below(&rng, STEPS), .other = rng_below(&rng, STEPS) };
	graph_answer(&fixture.dag, queries, QUERIES, &fixture.scratch);
	for (size_t i = 0; i < QUERIES; i++) {
		assert_int_equal(queries[i].needed, reaches(&fixture.dag, queries[i].step, queries[i].other));
		needed += queries[i].needed;
	}
	assert_true(needed > 0 && needed < QUERIES);
	free(queries);
	teardown(&fixture);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(dependents_mirror_needs),
		cmocka_unit_test(order_puts_needs_first_and_is_always_the_same),
		cmocka_unit_test(circles_without_a_common_step_are_all_found),
		cmocka_unit_test(circle_begins_with_its_first_step_in_the_file),
		cmocka_unit_test(answers_are_those_of_the_plain_definition),
	};

	return cmocka_run_group_tests_name("graph", tests, NULL, NULL);
}
