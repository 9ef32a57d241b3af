#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <poll.h>

#include "common/clock.h"
#include "executor/agent/lease.h"
#include "tests/unit/agent_fixture.h"

static struct lease open_lease(int64_t length_ms, int64_t from_ms)
{
	struct spec spec = { .lease_ms = length_ms, .lease_from_ms = from_ms };
	struct lease lease;
	struct err err;

	assert_int_equal(lease_make(folder, from_ms), 0);
	assert_int_equal(lease_open(&lease, &spec, &err), 0);
	return lease;
}

static bool fires_within(const struct lease *lease, int ms)
{
	return poll(&(struct pollfd){ .fd = lease->timer, .events = POLLIN }, 1, ms) == 1;
}

static void only_a_newer_number_is_left(void **state)
{
	(void)state;
	assert_int_equal(lease_read(folder), -1);
	lease_renew(folder, 5); /* of one that has no lease: nothing is made */
	assert_int_equal(lease_read(folder), -1);
	assert_int_equal(lease_make(folder, 100), 0);
	lease_renew(folder, 99);
	assert_int_equal(lease_read(folder), 100);
	lease_renew(folder, 101);
	assert_int_equal(lease_read(folder), 101);
}

static void a_damaged_number_is_none_and_is_mended_by_the_next(void **state)
{
	(void)state;
	assert_int_equal(lease_make(folder, 100), 0);
	put_file("lease", "0123456789abcdef", 16);
	assert_int_equal(lease_read(folder), -1);
	lease_renew(folder, 7);
	assert_int_equal(lease_read(folder), 7);
	put_file("lease", "0123", 4);
	assert_int_equal(lease_read(folder), -1);
}

static void without_a_lease_it_holds_for_ever(void **state)
{
	struct lease lease;
	struct spec spec = { 0 };
	struct err err;

	(void)state;
	assert_int_equal(lease_open(&lease, &spec, &err), 0);
	assert_int_equal(lease.timer, -1);
	assert_true(lease_holds(&lease, folder));
}

static void it_ends_with_its_length_unless_it_was_renewed(void **state)
{
	int64_t now = clock_mono_ms();
	struct lease lease = open_lease(10000, now - 8500);

	(void)state;
	assert_true(lease_holds(&lease, folder));
	assert_true(fires_within(&lease, 10000));
	lease_renew(folder, now - 7000);
	assert_true(lease_holds(&lease, folder)); /* renewed late, and that is no harm */
	assert_false(fires_within(&lease, 0));
	assert_true(fires_within(&lease, 10000));
	assert_true(clock_mono_ms() >= now + 3000);
	assert_false(lease_holds(&lease, folder));
	close(lease.timer);
}

static void one_that_has_run_out_tells_what_is_left_of_its_grace(void **state)
{
	int64_t now = clock_mono_ms();
	struct lease lease = open_lease(1000, now - 1500);

	(void)state;
	assert_false(lease_holds(&lease, folder));
	assert_in_range(lease_left_ms(&lease, 60000), 50000, 59500);
	assert_false(fires_within(&lease, 0));
	assert_int_equal(lease_left_ms(&lease, 100), 0);
	assert_false(fires_within(&lease, 0));
	close(lease.timer);
}

static void one_from_the_future_does_not_hold(void **state)
{
	struct lease lease = open_lease(1000, clock_mono_ms() + 3600000);

	(void)state;
	assert_false(lease_holds(&lease, folder));
	assert_int_equal(lease_left_ms(&lease, 60000), 0);
	close(lease.timer);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up_folder, tear_down_folder)
	const struct CMUnitTest tests[] = {
		TEST(only_a_newer_number_is_left),
		TEST(a_damaged_number_is_none_and_is_mended_by_the_next),
		TEST(without_a_lease_it_holds_for_ever),
		TEST(it_ends_with_its_length_unless_it_was_renewed),
		TEST(one_that_has_run_out_tells_what_is_left_of_its_grace),
		TEST(one_from_the_future_does_not_hold),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
