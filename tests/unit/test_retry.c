#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "scheduler/retry.h"

static const struct dag_retry policy = { .max = 3, .backoff_ms = 30000, .max_backoff_ms = 600000 };

static void delay_doubles_to_its_cap_less_at_most_a_tenth(void **state)
{
	static const int64_t full[] = { 30000, 60000, 120000, 240000, 480000, 600000, 600000 };
	struct rng rng = rng_seeded(1);

	(void)state;
	for (uint32_t n = 1; n <= 7; n++)
		for (int i = 0; i < 200; i++)
			assert_in_range(retry_delay_ms(&policy, n, &rng), full[n - 1] * 9 / 10 - 1,
					full[n - 1]);
	assert_in_range(retry_delay_ms(&policy, 4000000000U, &rng), 540000 - 1, 600000);
}

static void no_backoff_means_at_once(void **state)
{
	struct dag_retry at_once = { .max = 1 };
	struct rng rng = rng_seeded(1);

	(void)state;
	assert_int_equal(retry_delay_ms(&at_once, 5, &rng), 0);
}

static void each_end_has_its_class(void **state)
{
	static const struct {
		struct record_exit exit;
		bool progress;
		enum retry_class class;
	} cases[] = {
		{ { .kind = EXIT_CODE, .code = 1, .reason = REASON_EXIT }, false, RETRY_COUNTED },
		{ { .kind = EXIT_CODE, .code = 1, .reason = REASON_EXIT }, true, RETRY_COUNTED },
		{ { .kind = EXIT_CODE, .code = 126, .reason = REASON_EXIT }, false, RETRY_NEVER },
		{ { .kind = EXIT_CODE, .code = 127, .reason = REASON_EXIT }, false, RETRY_NEVER },
		{ { .kind = EXIT_CODE, .code = 85, .reason = REASON_CHECKPOINTED }, true, RETRY_AT_ONCE },
		{ { .kind = EXIT_CODE, .code = 85, .reason = REASON_CHECKPOINTED }, false, RETRY_COUNTED },
		{ { .kind = EXIT_CODE, .code = 85, .reason = REASON_TIMEOUT, .stopped = true },
		  true,
		  RETRY_COUNTED },
		{ { .kind = EXIT_CODE, .code = 0, .reason = REASON_STALLED, .stopped = true },
		  false,
		  RETRY_COUNTED },
		{ { .kind = EXIT_SIGNAL, .signal = 9, .reason = REASON_OOM }, false, RETRY_COUNTED },
		{ { .kind = EXIT_SIGNAL, .signal = 15, .reason = REASON_PREEMPTED, .stopped = true },
		  false,
		  RETRY_UNCOUNTED },
		{ { .kind = EXIT_CODE, .code = 0, .reason = REASON_LEASE_EXPIRED, .stopped = true },
		  false,
		  RETRY_UNCOUNTED },
		{ { .kind = EXIT_NOT_STARTED, .reason = REASON_LEASE_EXPIRED, .stopped = true },
		  false,
		  RETRY_UNCOUNTED },
		{ { .kind = EXIT_NOT_STARTED, .reason = REASON_PREEMPTED, .stopped = true },
		  false,
		  RETRY_UNCOUNTED },
		{ { .kind = EXIT_LOST, .reason = REASON_WORKER_LOST }, false, RETRY_UNCOUNTED },
		{ { .kind = EXIT_LOST, .reason = REASON_WORKER_REBOOTED }, false, RETRY_UNCOUNTED },
		{ { .kind = EXIT_LOST, .reason = REASON_SUPERVISOR_LOST }, false, RETRY_UNCOUNTED },
		{ { .kind = EXIT_NOT_STARTED, .reason = REASON_NOT_STARTED }, false, RETRY_NEVER },
		{ { .kind = EXIT_NOT_STARTED, .reason = REASON_NOT_STARTED, .transient = true },
		  false,
		  RETRY_UNCOUNTED },
	};

	(void)state;
	for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++)
		assert_int_equal(retry_class_of(&cases[i].exit, cases[i].progress), cases[i].class);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(delay_doubles_to_its_cap_less_at_most_a_tenth),
		cmocka_unit_test(no_backoff_means_at_once),
		cmocka_unit_test(each_end_has_its_class),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
