#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdio.h>

#include "common/scope.h"
#include "executor/agent/load.h"

static void averages_are_thousandths(void **state)
{
	(void)state;
	assert_int_equal(load_parse_average("1.25 0.80 0.55 2/345 6789\n"), 1250);
	assert_int_equal(load_parse_average("0.00 0.01 0.05 1/1 1\n"), 0);
	assert_int_equal(load_parse_average("1024.5"), 1024500);
	assert_int_equal(load_parse_average("0.1239 1"), 123);
}

static void what_is_no_average_is_not_known(void **state)
{
	static const char *const odd[] = {
		"", "\n", "x", ".5", "1", "1.", "1. 5", "-1.00 0 0", "1,25 0,80", "99999999999999999999.00", "nan",
	};

	(void)state;
	for (size_t i = 0; i < COUNT_OF(odd); i++)
		assert_int_equal(load_parse_average(odd[i]), -1);
}

static const char meminfo[] = "MemTotal:       25325268 kB\n"
			      "MemFree:          512000 kB\n"
			      "MemAvailable:   20000001 kB\n"
			      "HugePages_Total:       3\n";

static void memory_is_found_by_its_whole_name(void **state)
{
	(void)state;
	assert_int_equal(load_parse_memory(meminfo, "MemTotal"), 25325268LL * 1024);
	assert_int_equal(load_parse_memory(meminfo, "MemAvailable"), 20000001LL * 1024);
	assert_int_equal(load_parse_memory(meminfo, "Mem"), -1);
	assert_int_equal(load_parse_memory("xMemTotal: 1 kB\nMemTotal:2 kB\n", "MemTotal"), 2048);
}

static void what_is_no_memory_is_not_known(void **state)
{
	static const char *const odd[] = {
		"",
		"MemTotal",
		"MemTotal:",
		"MemTotal: kB\n",
		"MemTotal: 5 MB\n",
		"MemTotal: -5 kB\n",
		"MemTotal: 9999999999999999 kB\n",
		"MemFree: 1 kB\n",
	};

	(void)state;
	for (size_t i = 0; i < COUNT_OF(odd); i++)
		assert_int_equal(load_parse_memory(odd[i], "MemTotal"), -1);
	assert_int_equal(load_parse_memory(meminfo, "HugePages_Total"), -1);
}

/* A number that was cut would be a wrong one. */
static void text_that_is_cut_off_is_never_misread(void **state)
{
	char text[sizeof meminfo];

	(void)state;
	for (size_t n = 0; n < sizeof meminfo; n++) {
		int64_t total, available;

		snprintf(text, n + 1, "%s", meminfo);
		total = load_parse_memory(text, "MemTotal");
		available = load_parse_memory(text, "MemAvailable");
		assert_true(total == -1 || total == 25325268LL * 1024);
		assert_true(available == -1 || available == 20000001LL * 1024);
	}
}

static void this_machine_is_measured(void **state)
{
	struct load load;

	(void)state;
	load_measure("/", &load);
	assert_true(load.load1_milli >= 0);
	assert_true(load.memory_bytes > 0 && load.memory_available_bytes <= load.memory_bytes);
	assert_true(load.disk_bytes > 0 && load.disk_free_bytes <= load.disk_bytes);
	load_measure("/no/such/folder", &load);
	assert_true(load.disk_bytes == -1 && load.disk_free_bytes == -1);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(averages_are_thousandths),
		cmocka_unit_test(what_is_no_average_is_not_known),
		cmocka_unit_test(memory_is_found_by_its_whole_name),
		cmocka_unit_test(what_is_no_memory_is_not_known),
		cmocka_unit_test(text_that_is_cut_off_is_never_misread),
		cmocka_unit_test(this_machine_is_measured),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
