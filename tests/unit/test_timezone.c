#include "dag/timezone.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <unistd.h>

#include <cmocka.h>

static void known_zones_exist(void **state)
{
	(void)state;
	assert_true(timezone_exists("UTC"));
	assert_true(timezone_exists("Europe/Berlin"));
	assert_true(timezone_exists("America/Argentina/Buenos_Aires"));
}

static void other_files_and_places_are_no_zones(void **state)
{
	(void)state;
	assert_false(timezone_exists(""));
	assert_false(timezone_exists("Europe"));
	assert_false(timezone_exists("Europe/Berlim"));
	assert_false(timezone_exists("zone.tab"));
	assert_false(timezone_exists("tzdata.zi"));
	assert_false(timezone_exists("../../../etc/localtime"));
	assert_false(timezone_exists("/usr/share/zoneinfo/UTC"));
	assert_false(timezone_exists("Europe//Berlin"));
}

static void nearest_zone_is_suggested(void **state)
{
	struct arena arena;

	(void)state;
	arena_init(&arena);
	assert_string_equal(timezone_suggest(&arena, "Europe/Berlim"), "Europe/Berlin");
	assert_string_equal(timezone_suggest(&arena, "europe/berlin"), "Europe/Berlin");
	assert_string_equal(timezone_suggest(&arena, "Berlin"), "Europe/Berlin");
	assert_null(timezone_suggest(&arena, "Nowhere/Qqqqqq"));
	arena_fini(&arena);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(known_zones_exist),
		cmocka_unit_test(other_files_and_places_are_no_zones),
		cmocka_unit_test(nearest_zone_is_suggested),
	};

	if (access("/usr/share/zoneinfo/Europe/Berlin", R_OK) < 0)
		return getenv("STOKER_TEST_STRICT") != NULL ? 1 : 77; /* Nothing to look at. */
	return cmocka_run_group_tests_name("timezone", tests, NULL, NULL);
}
