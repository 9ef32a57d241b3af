#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <sys/stat.h>

#include "agent_fixture.h"
#include "executor/agent/spare.h"

static struct spares spares;
static char path[SPARE_PATH_BYTES];

static int enter(void **state)
{
	spares = (struct spares){ 0 };
	return set_up_folder(state) < 0 || chdir(folder_path) < 0 || mkdir("attempts", 0700) < 0 ||
	       mkdir("tasks", 0700) < 0;
}

static void make_attempt(void)
{
	assert_int_equal(mkdir("attempts/a", 0700), 0);
	put_text_file("attempts/a/spec", "spec");
	put_text_file("attempts/a/journal", "records");
	put_text_file("attempts/a/exit", "record");
}

static int open_path(const char *name)
{
	int dir = open(name, O_RDONLY | O_DIRECTORY);

	assert_true(dir >= 0);
	return dir;
}

static void a_kept_attempt_has_no_exit_and_no_journal(void **state)
{
	struct stat st;
	int dir;

	(void)state;
	make_attempt();
	assert_true(spare_keep_attempt(&spares, "a", true, path));
	assert_int_equal(access("attempts/a", F_OK), -1);
	spare_take_attempt(&spares, path);
	dir = open_path(path);
	assert_true(spare_is_fit(dir));
	assert_int_equal(faccessat(dir, "exit", F_OK, 0), -1);
	assert_int_equal(fstatat(dir, "journal", &st, 0), 0);
	assert_int_equal(st.st_size, 0);
	close(dir);
	spare_take_attempt(&spares, path);
	assert_string_equal(path, "");
}

static void an_attempt_with_anything_else_in_it_is_not_kept(void **state)
{
	(void)state;
	make_attempt();
	put_text_file("attempts/a/log", "hello");
	assert_false(spare_keep_attempt(&spares, "a", true, path));
	assert_int_equal(access(path, F_OK), 0); /* for the caller to remove */
	spare_take_attempt(&spares, path);
	assert_string_equal(path, "");
}

static void one_that_may_be_written_to_yet_is_not_kept(void **state)
{
	(void)state;
	make_attempt();
	assert_false(spare_keep_attempt(&spares, "a", false, path));
	assert_int_equal(access("attempts/a", F_OK), -1);
	assert_int_equal(access(path, F_OK), 0); /* for the caller to remove */
	spare_take_attempt(&spares, path);
	assert_string_equal(path, "");
}

static void a_folder_with_an_exit_or_records_is_not_fit(void **state)
{
	int dir;

	(void)state;
	make_attempt();
	dir = open_path("attempts/a");
	assert_false(spare_is_fit(dir));
	assert_int_equal(unlinkat(dir, "exit", 0), 0);
	assert_false(spare_is_fit(dir));
	assert_int_equal(unlinkat(dir, "journal", 0), 0);
	assert_true(spare_is_fit(dir));
	close(dir);
}

static void no_more_than_a_few_are_kept(void **state)
{
	(void)state;
	for (int i = 0; i < SPARES_MAX; i++) {
		make_attempt();
		assert_true(spare_keep_attempt(&spares, "a", true, path));
	}
	make_attempt();
	assert_false(spare_keep_attempt(&spares, "a", true, path));
	spare_drop_all(&spares);
	assert_int_equal(files_remove(AT_FDCWD, path), 0);
	assert_int_equal(rmdir("attempts"), 0); /* nothing is left in it */
}

static void a_task_is_kept_only_when_it_holds_nothing(void **state)
{
	(void)state;
	assert_int_equal(mkdir("tasks/t", 0700), 0);
	assert_int_equal(mkdir("tasks/t/checkpoints", 0700), 0);
	put_text_file("tasks/t/checkpoints/epoch-1", "weights");
	spare_keep_task(&spares, "t");
	assert_int_equal(access("tasks/t/checkpoints/epoch-1", F_OK), 0);
	assert_int_equal(unlink("tasks/t/checkpoints/epoch-1"), 0);
	put_text_file("tasks/t/baseline", "");
	spare_keep_task(&spares, "t");
	assert_int_equal(access("tasks/t", F_OK), 0);
	assert_int_equal(unlink("tasks/t/baseline"), 0);
	spare_keep_task(&spares, "t");
	assert_int_equal(access("tasks/t", F_OK), -1);
	spare_take_task(&spares, path);
	assert_string_not_equal(path, "");
}

static void only_spares_of_dead_processes_are_left_over(void **state)
{
	char name[64];

	(void)state;
	snprintf(name, sizeof name, ".spare-%d-1", (int)getpid());
	assert_false(spare_is_left_over(name));
	snprintf(name, sizeof name, ".spare-%d-1", (int)getppid());
	assert_false(spare_is_left_over(name));
	assert_true(spare_is_left_over(".spare-999999999-1"));
	assert_false(spare_is_left_over("0123456789ab-1-1-1"));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(a_kept_attempt_has_no_exit_and_no_journal, enter,
						tear_down_folder),
		cmocka_unit_test_setup_teardown(an_attempt_with_anything_else_in_it_is_not_kept, enter,
						tear_down_folder),
		cmocka_unit_test_setup_teardown(one_that_may_be_written_to_yet_is_not_kept, enter, tear_down_folder),
		cmocka_unit_test_setup_teardown(a_folder_with_an_exit_or_records_is_not_fit, enter,
						tear_down_folder),
		cmocka_unit_test_setup_teardown(no_more_than_a_few_are_kept, enter, tear_down_folder),
		cmocka_unit_test_setup_teardown(a_task_is_kept_only_when_it_holds_nothing, enter,
						tear_down_folder),
		cmocka_unit_test_setup_teardown(only_spares_of_dead_processes_are_left_over, enter,
						tear_down_folder),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
