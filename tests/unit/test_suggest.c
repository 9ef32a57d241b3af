#include "dag/suggest.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "common/scope.h"

static const char *const keys[] = { "timeout", "retry", "needs", "run", "env", "stall", "string", "int" };

static const char *nearest(const char *wanted)
{
	struct suggest near = suggest_for(wanted);

	for (size_t i = 0; i < COUNT_OF(keys); i++)
		suggest_offer(&near, keys[i], NULL);
	return suggest_best(&near);
}

static void typing_errors_are_undone(void **state)
{
	(void)state;
	assert_string_equal(nearest("tiemout"), "timeout"); /* two neighbours swapped */
	assert_string_equal(nearest("timout"), "timeout");  /* one left out */
	assert_string_equal(nearest("timeoout"), "timeout");
	assert_string_equal(nearest("rety"), "retry");
	assert_string_equal(nearest("rum"), "run");
	assert_string_equal(nearest("NEEDS"), "needs");
}

static void what_is_far_is_not_suggested(void **state)
{
	(void)state;
	assert_null(nearest("schedule"));
	assert_null(nearest("x"));
	assert_null(nearest("ruin_everything"));
	assert_null(nearest(""));
}

static void short_forms_are_known_when_nothing_is_nearer(void **state)
{
	(void)state;
	assert_string_equal(nearest("integer"), "int");
	assert_string_equal(nearest("str"), "string");
	assert_string_equal(nearest("timeout_seconds"), "timeout");
	assert_string_equal(nearest("inta"), "int");
}

static void nearest_wins_then_the_first(void **state)
{
	struct suggest near = suggest_for("trains");

	(void)state;
	suggest_offer(&near, "tran", NULL);
	suggest_offer(&near, "train", NULL);
	suggest_offer(&near, "brains", "second of one edit");
	assert_string_equal(suggest_best(&near), "train");
}

static void answer_may_differ_from_what_is_compared(void **state)
{
	struct suggest near = suggest_for("berlin");

	(void)state;
	suggest_offer(&near, "Berlin", "Europe/Berlin");
	assert_string_equal(suggest_best(&near), "Europe/Berlin");
}

static void long_names_and_many_offers_cost_nothing(void **state)
{
	char longer[SUGGEST_BYTES_MAX * 4], name[32];
	struct suggest near;

	(void)state;
	memset(longer, 'a', sizeof longer - 1);
	longer[sizeof longer - 1] = '\0';
	near = suggest_for(longer);
	suggest_offer(&near, longer, NULL);
	assert_null(suggest_best(&near));

	near = suggest_for("step_number_1000000");
	for (int i = 0; i < SUGGEST_OFFERS_MAX; i++) {
		snprintf(name, sizeof name, "other%d", i);
		suggest_offer(&near, name, NULL);
	}
	suggest_offer(&near, "step_number_100000", NULL);
	assert_null(suggest_best(&near));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(typing_errors_are_undone),
		cmocka_unit_test(what_is_far_is_not_suggested),
		cmocka_unit_test(short_forms_are_known_when_nothing_is_nearer),
		cmocka_unit_test(nearest_wins_then_the_first),
		cmocka_unit_test(answer_may_differ_from_what_is_compared),
		cmocka_unit_test(long_names_and_many_offers_cost_nothing),
	};

	return cmocka_run_group_tests_name("suggest", tests, NULL, NULL);
}
