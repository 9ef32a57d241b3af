#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdio.h>

#include "scheduler/checkpoint.h"

static struct arena arena;
static struct ledger ledger;
static struct checkpoint_row *replaced;
static bool contents_new;

static int set_up(void **state)
{
	(void)state;
	arena_init(&arena);
	ledger = (struct ledger){ 0 };
	return 0;
}

static int tear_down(void **state)
{
	(void)state;
	ledger_fini(&ledger);
	arena_fini(&arena);
	return 0;
}

static struct checkpoint_row *record_on(const char *worker, const char *name, const char *digest,
					int64_t step)
{
	struct record_checkpoint checkpoint = {
		.name = name, .digest = digest, .step = step, .format = "file"
	};

	return ledger_record(&ledger, &checkpoint, 1, 2, 3, worker, &arena, &replaced, &contents_new);
}

static struct checkpoint_row *record(const char *name, const char *digest, int64_t step)
{
	return record_on("local", name, digest, step);
}

static void the_last_recorded_good_one_is_newest(void **state)
{
	struct checkpoint_row *row;

	(void)state;
	assert_null(ledger_newest(&ledger));
	record("e1", "a", 1);
	row = record("e2", "b", 2);
	assert_string_equal(ledger_newest(&ledger)->name, "e2");
	row->state = CHECKPOINT_IS_BROKEN;
	assert_string_equal(ledger_newest(&ledger)->name, "e1");
	assert_null(ledger_find(&ledger, "local", "e2"));
}

static void a_name_written_again_replaces_the_old_entry(void **state)
{
	(void)state;
	record("last", "a", -1);
	assert_true(contents_new);
	record("last", "b", -1);
	assert_non_null(replaced);
	assert_int_equal(replaced->state, CHECKPOINT_REPLACED);
	assert_true(contents_new);
	record("last", "a", -1);
	assert_false(contents_new); /* seen before, if under an entry that is gone */
	assert_int_equal(ledger.count, 3);
	assert_string_equal(ledger_newest(&ledger)->digest, "a");
}

static void contents_that_attempts_died_on_stay_quarantined(void **state)
{
	struct checkpoint_row *row = record("e1", "poison", 1);

	(void)state;
	row->deaths = LEDGER_DEATHS_MAX;
	row->state = CHECKPOINT_QUARANTINED;
	assert_int_equal(record("e1", "poison", 1)->state, CHECKPOINT_QUARANTINED);
	assert_int_equal(record("e1", "fresh", 1)->state, CHECKPOINT_GOOD);
}

static void candidates_come_newest_first_with_quarantined_ones_marked(void **state)
{
	struct spec_checkpoint *candidates;

	(void)state;
	record("e1", "a", 1);
	record("e2", "b", 2)->state = CHECKPOINT_QUARANTINED;
	record("e3", "c", 3)->state = CHECKPOINT_IS_REMOVED;
	record("e4", "d", 4);
	assert_int_equal(ledger_candidates(&ledger, "local", NULL, &arena, &candidates), 3);
	assert_string_equal(candidates[0].name, "e4");
	assert_string_equal(candidates[1].name, "e2");
	assert_true(candidates[1].quarantined);
	assert_string_equal(candidates[2].name, "e1");
	assert_false(candidates[2].quarantined);
}

static void a_worker_is_offered_only_what_lies_there(void **state)
{
	struct spec_checkpoint *candidates;

	(void)state;
	record_on("gpu1", "e1", "a", 1);
	record_on("gpu2", "e2", "b", 2);
	assert_int_equal(ledger_candidates(&ledger, "gpu1", NULL, &arena, &candidates), 1);
	assert_string_equal(candidates[0].name, "e1");
	assert_int_equal(ledger_candidates(&ledger, "gpu3", NULL, &arena, &candidates), 0);
}

static void what_is_brought_is_the_newest_that_can_be_had(void **state)
{
	struct spec_checkpoint *candidates;

	(void)state;
	record_on("gpu1", "e1", "a", 1);
	record_on("gpu1", "e2", "b", 2);
	record_on("gpu2", "e1", "c", 3);
	assert_null(ledger_brought(&ledger, "gpu2"));
	assert_null(ledger_brought(&ledger, "gpu3"));
	ledger.rows[1].copy = "parcel";
	ledger.rows[1].state = CHECKPOINT_IS_REMOVED; /* there, not here */
	assert_ptr_equal(ledger_brought(&ledger, "gpu3"), &ledger.rows[1]);
	assert_ptr_equal(ledger_brought(&ledger, "gpu1"), &ledger.rows[1]);
	assert_null(ledger_brought(&ledger, "gpu2"));
	assert_int_equal(ledger_candidates(&ledger, "gpu3", &ledger.rows[1], &arena, &candidates), 1);
	assert_int_equal(ledger_candidates(&ledger, "gpu1", &ledger.rows[1], &arena, &candidates), 2);
	assert_string_equal(candidates[0].name, "e2");
	ledger.rows[1].state = CHECKPOINT_QUARANTINED;
	assert_null(ledger_brought(&ledger, "gpu3"));
	ledger.rows[0].brought = "gpu3";
	assert_int_equal(ledger_candidates(&ledger, "gpu3", NULL, &arena, &candidates), 1);
	assert_string_equal(candidates[0].name, "e1");
}

static void names_on_two_workers_are_two_checkpoints(void **state)
{
	(void)state;
	record_on("gpu1", "e1", "a", 1);
	record_on("gpu2", "e1", "b", 1);
	assert_null(replaced);
	assert_string_equal(ledger_find(&ledger, "gpu1", "e1")->digest, "a");
	assert_string_equal(ledger_find_begin(&ledger, "gpu1", "e1", "")->digest, "a");
	assert_string_equal(ledger_find_begin(&ledger, "gpu3", "e1", "")->digest, "b"); /* brought there */
}

static void numbers_grow_also_past_many_entries(void **state)
{
	char name[16];

	(void)state;
	for (int i = 1; i <= 100; i++) {
		snprintf(name, sizeof name, "e%d", i);
		assert_int_equal(record(name, name, i)->seq, i);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(the_last_recorded_good_one_is_newest, set_up,
						tear_down),
		cmocka_unit_test_setup_teardown(a_name_written_again_replaces_the_old_entry, set_up,
						tear_down),
		cmocka_unit_test_setup_teardown(contents_that_attempts_died_on_stay_quarantined, set_up,
						tear_down),
		cmocka_unit_test_setup_teardown(candidates_come_newest_first_with_quarantined_ones_marked, set_up,
						tear_down),
		cmocka_unit_test_setup_teardown(a_worker_is_offered_only_what_lies_there, set_up,
						tear_down),
		cmocka_unit_test_setup_teardown(what_is_brought_is_the_newest_that_can_be_had, set_up, tear_down),
		cmocka_unit_test_setup_teardown(names_on_two_workers_are_two_checkpoints, set_up,
						tear_down),
		cmocka_unit_test_setup_teardown(numbers_grow_also_past_many_entries, set_up,
						tear_down),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
