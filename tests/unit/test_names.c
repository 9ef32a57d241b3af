#include "dag/names.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>

static void each_of_many_names_is_found_again(void **state)
{
	struct arena arena;
	struct names names;
	uint32_t number;

	(void)state;
	arena_init(&arena);
	names_init(&names, &arena, 0);
	for (uint32_t i = 0; i < 5000; i++)
		assert_true(names_add(&names, arena_printf(&arena, "step%u", i), i, NULL));
	for (uint32_t i = 0; i < 5000; i++) {
		char name[32];

		snprintf(name, sizeof name, "step%u", i);
		assert_true(names_find(&names, name, &number));
		assert_int_equal(number, i);
	}
	assert_false(names_find(&names, "step5000", &number));
	assert_int_equal(names.count, 5000);
	arena_fini(&arena);
}

static void second_of_a_name_is_told_the_first(void **state)
{
	struct arena arena;
	struct names names;
	uint32_t number = 0;

	(void)state;
	arena_init(&arena);
	names_init(&names, &arena, 2);
	assert_true(names_add(&names, "a", 7, &number));
	assert_false(names_add(&names, "a", 8, &number));
	assert_int_equal(number, 7);
	assert_true(names_find(&names, "a", &number));
	assert_int_equal(number, 7);
	arena_fini(&arena);
}

static void empty_table_finds_nothing(void **state)
{
	struct arena arena;
	struct names names;
	uint32_t number;

	(void)state;
	arena_init(&arena);
	names_init(&names, &arena, 0);
	assert_false(names_find(&names, "", &number));
	assert_true(names_add(&names, "", 1, NULL));
	assert_true(names_find(&names, "", &number));
	arena_fini(&arena);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(each_of_many_names_is_found_again),
		cmocka_unit_test(second_of_a_name_is_told_the_first),
		cmocka_unit_test(empty_table_finds_nothing),
	};

	return cmocka_run_group_tests_name("names", tests, NULL, NULL);
}
