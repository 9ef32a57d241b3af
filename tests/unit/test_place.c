#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <string.h>

#include "executor/agent/place.h"

static const char home[] = "0123456789ab";

static void a_name_is_read_back(void **state)
{
	struct attempt_id id = { .run = UINT64_MAX, .task = 7, .number = UINT32_MAX }, again;
	char name[PLACE_NAME_BYTES];

	(void)state;
	assert_string_equal(place_attempt(name, home, &id), "0123456789ab-18446744073709551615-7-4294967295");
	assert_true(place_parse(name, home, &again));
	assert_true(again.run == id.run && again.task == id.task && again.number == id.number);
	assert_string_equal(place_task(name, home, &id), "0123456789ab-18446744073709551615-7");
}

static void other_names_are_none(void **state)
{
	static const char *const names[] = {
		"",
		"0123456789ab",
		"0123456789ab-1-2",
		"0123456789ab-1-2-3-4",
		"0123456789ab-01-2-3",
		"0123456789ab-1-2-",
		"0123456789ab-1-2-3 ",
		"0123456789ab--1-2-3",
		"0123456789ab-+1-2-3",
		".new-0123456789ab-1-2-3",
		"ba9876543210-1-2-3",
		"0123456789ab-1-2-4294967296",
		"0123456789ab-99999999999999999999-2-3",
	};
	struct attempt_id id;

	(void)state;
	for (size_t i = 0; i < sizeof names / sizeof names[0]; i++)
		assert_false(place_parse(names[i], home, &id));
}

static void a_home_cannot_lead_out_of_its_folder(void **state)
{
	(void)state;
	assert_true(place_home_valid(home));
	assert_false(place_home_valid(""));
	assert_false(place_home_valid("0123456789a"));
	assert_false(place_home_valid("0123456789abc"));
	assert_false(place_home_valid("../../../etc"));
	assert_false(place_home_valid("0123456789AB"));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_name_is_read_back),
		cmocka_unit_test(other_names_are_none),
		cmocka_unit_test(a_home_cannot_lead_out_of_its_folder),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
