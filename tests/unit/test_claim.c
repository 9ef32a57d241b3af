#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <fcntl.h>
#include <sys/stat.h>

#include "agent_fixture.h"
#include "executor/agent/claim.h"

static const char home[] = "0123456789ab";

static int enter(void **state)
{
	return set_up_folder(state) < 0 || chdir(folder_path) < 0 || mkdir("epochs", 0700) < 0;
}

static void a_greater_epoch_takes_over(void **state)
{
	struct err err;
	int held;

	(void)state;
	assert_int_equal(claim_take(home, 1, 5, &err), 0);
	assert_int_equal(claim_take(home, 1, 5, &err), 0); /* said twice */
	assert_int_equal(claim_hold(home, 1, 5, &held, &err), 0);
	close(held);
	assert_int_equal(claim_take(home, 1, 7, &err), 0);
	assert_int_equal(claim_take(home, 1, 6, &err), ERR_DENIED);
	assert_int_equal(claim_hold(home, 1, 5, &held, &err), ERR_DENIED);
	assert_int_equal(claim_hold(home, 1, 8, &held, &err), ERR_DENIED);
}

static void an_old_driver_gets_no_new_run_but_keeps_its_own(void **state)
{
	struct err err;

	(void)state;
	assert_int_equal(claim_take(home, 10, 20, &err), 0);
	assert_int_equal(claim_take(home, 11, 30, &err), 0);
	assert_int_equal(claim_take(home, 12, 20, &err), ERR_DENIED);
	assert_int_equal(access("epochs/0123456789ab.12", F_OK), -1);
	assert_int_equal(claim_take(home, 10, 20, &err), 0);
	assert_int_equal(claim_take("ffffffffffff", 12, 1, &err), 0); /* another scheduler's */
}

static void what_was_not_released_is_listed_by_its_owner_only(void **state)
{
	struct claim_left *left;
	struct arena arena;
	struct err err;

	(void)state;
	arena_init(&arena);
	assert_int_equal(claim_take("aaaaaaaaaaaa", 1, 5, &err), 0);
	assert_int_equal(claim_take("aaaaaaaaaaaa", 2, 6, &err), 0);
	assert_int_equal(claim_take("aaaaaaaaaaaa", 3, 7, &err), 0);
	assert_int_equal(claim_take("bbbbbbbbbbbb", 4, 8, &err), 0);
	assert_int_equal(claim_release("aaaaaaaaaaaa", 2, 6, &err), 0);
	assert_int_equal(close(creat("epochs/aaaaaaaaaaaa.x", 0600)), 0);
	assert_int_equal(claim_list("aaaaaaaaaaaa", &arena, &left), 2);
	assert_int_equal(left[0].run, 1);
	assert_int_equal(left[0].epoch, 5);
	assert_int_equal(left[1].run, 3);
	assert_int_equal(left[1].epoch, 7);
	assert_int_equal(claim_list("cccccccccccc", &arena, &left), 0);
	arena_fini(&arena);
}

static void a_release_ends_the_right_to_start(void **state)
{
	struct err err;
	int held;

	(void)state;
	assert_int_equal(claim_take(home, 21, 40, &err), 0);
	assert_int_equal(claim_release(home, 21, 39, &err), ERR_DENIED);
	assert_int_equal(claim_release(home, 21, 40, &err), 0);
	assert_int_equal(claim_release(home, 21, 40, &err), 0);
	assert_int_equal(claim_hold(home, 21, 40, &held, &err), ERR_DENIED);
	assert_int_equal(claim_take(home, 21, 39, &err), ERR_DENIED);
}

static void a_cut_epoch_gives_no_right(void **state)
{
	struct err err;
	int held;

	(void)state;
	assert_int_equal(claim_take(home, 31, 50, &err), 0);
	put_text_file("epochs/0123456789ab.31", "");
	assert_int_equal(claim_hold(home, 31, 50, &held, &err), ERR_DENIED);
	assert_int_equal(claim_take(home, 31, 50, &err), 0);
	assert_int_equal(claim_hold(home, 31, 50, &held, &err), 0);
	close(held);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_greater_epoch_takes_over),
		cmocka_unit_test(an_old_driver_gets_no_new_run_but_keeps_its_own),
		cmocka_unit_test(what_was_not_released_is_listed_by_its_owner_only),
		cmocka_unit_test(a_release_ends_the_right_to_start),
		cmocka_unit_test(a_cut_epoch_gives_no_right),
	};

	return cmocka_run_group_tests(tests, enter, tear_down_folder);
}
