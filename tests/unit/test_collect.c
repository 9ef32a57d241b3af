#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/mem.h"
#include "executor/collect.h"

static const struct attempt_id id = { .run = 1, .task = 2, .number = 3 };
static char path[64];
static struct collect_table table;

static int set_up(void **state)
{
	(void)state;
	snprintf(path, sizeof path, "/tmp/stoker-collect-%d.log", (int)getpid());
	unlink(path);
	collect_table_init(&table);
	return 0;
}

static int tear_down(void **state)
{
	(void)state;
	collect_table_fini(&table);
	unlink(path);
	return 0;
}

static void assert_log(const char *expected)
{
	char text[256];
	FILE *file = fopen(path, "r");
	size_t n;

	assert_non_null(file);
	n = fread(text, 1, sizeof text - 1, file);
	fclose(file);
	text[n] = '\0';
	assert_string_equal(text, expected);
}

static int give(struct collect *collect, uint64_t offset, const char *text)
{
	bool blocked;
	struct err err;

	return collect_log(collect, offset, (const uint8_t *)text, strlen(text), &blocked, &err);
}

static void log_bytes_said_twice_are_written_once(void **state)
{
	struct collect *collect = collect_add(&table, &id, mem_strdup(path));

	(void)state;
	assert_int_equal(give(collect, 0, "hello "), 0);
	assert_int_equal(give(collect, 0, "hello "), 0);
	assert_int_equal(give(collect, 3, "lo world"), 0);
	assert_log("hello world");
}

static void a_gap_in_a_log_is_refused(void **state)
{
	struct collect *collect = collect_add(&table, &id, mem_strdup(path));

	(void)state;
	assert_int_equal(give(collect, 0, "abc"), 0);
	assert_int_equal(give(collect, 4, "e"), ERR_CORRUPT);
	assert_log("abc");
}

static void a_log_goes_on_at_the_size_of_its_file(void **state)
{
	struct collect *collect = collect_add(&table, &id, mem_strdup(path));

	(void)state;
	assert_int_equal(give(collect, 0, "abc"), 0);
	collect_remove(&table, collect);
	collect = collect_add(&table, &id, mem_strdup(path));
	assert_int_equal(collect_open_log(collect, NULL), 0);
	assert_int_equal(collect->log_stored, 3);
	assert_int_equal(give(collect, 0, "abcdef"), 0);
	assert_log("abcdef");
}

static void what_cannot_be_written_waits_and_comes_in_order(void **state)
{
	struct collect *collect = collect_add(&table, &id, mem_strdup("/nonexistent-folder/x.log"));
	bool blocked;
	struct err err;

	(void)state;
	assert_int_equal(collect_log(collect, 0, (const uint8_t *)"abc", 3, &blocked, &err), 0);
	assert_true(blocked);
	assert_int_equal(give(collect, 3, "def"), 0);
	assert_true(collect_retry_log(collect, &err) < 0);
	free(collect->log_path);
	collect->log_path = mem_strdup(path);
	assert_int_equal(collect_retry_log(collect, &err), 0);
	assert_log("abcdef");
	assert_int_equal(collect->log_stored, 6);
}

static void attempts_are_found_by_all_of_their_name(void **state)
{
	struct attempt_id other = { .run = 1, .task = 3, .number = 3 };
	struct collect *collect = collect_add(&table, &id, NULL);

	(void)state;
	assert_ptr_equal(collect_find(&table, &id), collect);
	assert_null(collect_find(&table, &other));
	assert_ptr_equal(collect_add(&table, &id, mem_strdup("x")), collect);
	assert_int_equal(table.count, 1);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(log_bytes_said_twice_are_written_once, set_up, tear_down),
		cmocka_unit_test_setup_teardown(a_gap_in_a_log_is_refused, set_up, tear_down),
		cmocka_unit_test_setup_teardown(a_log_goes_on_at_the_size_of_its_file, set_up, tear_down),
		cmocka_unit_test_setup_teardown(what_cannot_be_written_waits_and_comes_in_order, set_up,
						tear_down),
		cmocka_unit_test_setup_teardown(attempts_are_found_by_all_of_their_name, set_up, tear_down),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
