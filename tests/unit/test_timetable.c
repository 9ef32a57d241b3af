#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <ftw.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include "common/calendar.h"
#include "common/rng.h"
#include "tests/unit/nights_fixture.h"

#define ZONES "/usr/share/zoneinfo"

static const char steps[] = "steps: {a: {run: 'true'}}\n";

static bool quick(void)
{
	return getenv("STOKER_TEST_QUICK") != NULL;
}

/* A DAG `n` with one schedule of those keys. */
static struct dag *load(struct nights *nights, const char *keys)
{
	autofree char *yaml = mem_printf("name: n\nschedule: {%s}\nparams: {lr: 0.1}\n%s", keys, steps);

	return nights_load(nights, yaml);
}

static int64_t count_runs(struct nights *nights)
{
	return nights_number(nights, "SELECT count(*) FROM run");
}

/* --- on time -------------------------------------------------------------------------------------------- */

static void each_due_time_has_its_run_and_its_row(void **state)
{
	struct nights nights;

	(void)state;
	nights_open(&nights, "2026-03-01T12:00:00Z");
	load(&nights, "cron: '30 2 * * *', timezone: Europe/Berlin");
	for (int day = 0; day < 31; day++) {
		nights_pass(&nights, nights.now_ms + DAY_MS);
		nights_end_runs(&nights);
	}
	assert_ledger(&nights, "rrrrrrrrrrrrrrrrrrrrrrrrrrrrrrr");
	assert_int_equal(count_runs(&nights), 31);
	assert_int_equal(nights_number(&nights, "SELECT count(*) FROM occurrence JOIN run ON run.id = run"
						" WHERE scheduled_for_ms = due_ms AND created_ms = due_ms"
						" AND trigger = 'cron' AND actor = 'stoker'"
						" AND origin = 'schedule 30 2 * * * Europe/Berlin'"
						" AND params = '{\"lr\":\"0.1\"}'"),
			 31);
	assert_int_equal(nights_number(&nights, "SELECT due_ms FROM occurrence WHERE mark = 'moved'"
						" AND nominal = '2026-03-29 02:30'"),
			 ms("2026-03-29T01:00:00Z"));
	nights_close(&nights);
}

static void a_new_schedule_has_no_past(void **state)
{
	struct nights nights;

	(void)state;
	nights_open(&nights, "2026-03-01T12:00:00Z");
	load(&nights, "cron: '0 * * * *', catchup: all");
	nights_look(&nights);
	assert_ledger(&nights, "");
	assert_true(timetable_next_wall_ms(nights.timetable) == ms("2026-03-01T13:00:00Z"));
	nights_close(&nights);
}

static void what_is_due_is_given_oldest_first_and_in_pieces(void **state)
{
	struct timetable_decision decisions[7];
	struct nights nights;
	int64_t before_ms = 0;
	size_t count, total = 0;

	(void)state;
	nights_open(&nights, "2026-03-01T00:00:00Z");
	load(&nights, "cron: ['*/7 * * * *', '*/11 * * * *'], catchup: all");
	nights_load(&nights, "name: other\nschedule: {cron: '*/13 * * * *', catchup: all}\nsteps: {a: {run: x}}\n");
	nights.now_ms += DAY_MS;
	while ((count = timetable_due(nights.timetable, nights.now_ms, decisions, COUNT_OF(decisions))) > 0)
		for (size_t i = 0; i < count; i++, total++) {
			assert_true(decisions[i].due.at_ms >= before_ms);
			assert_int_equal(decisions[i].verdict, DUE_RUN);
			before_ms = decisions[i].due.at_ms;
		}
	assert_int_equal(total, 24 * (9 + 6 + 5));
	nights_close(&nights);
}

static void with_jitter_a_row_is_written_when_the_run_starts(void **state)
{
	struct nights nights;
	int64_t start_ms;

	(void)state;
	nights_open(&nights, "2026-03-01T12:00:00Z");
	load(&nights, "cron: '0 0 * * *', jitter: 8h");
	nights_look(&nights);
	start_ms = timetable_next_wall_ms(nights.timetable);
	assert_in_range(start_ms - ms("2026-03-02T00:00:00Z"), 60 * MINUTE_MS, 8 * HOUR_MS);
	nights_pass(&nights, start_ms - 1);
	assert_ledger(&nights, "");
	nights_stop(&nights);
	nights_start(&nights); /* the delay is the same after a restart */
	nights_pass(&nights, start_ms);
	assert_ledger(&nights, "r");
	assert_int_equal(nights_number(&nights, "SELECT decided_ms FROM occurrence"), start_ms);
	assert_int_equal(nights_number(&nights, "SELECT due_ms FROM occurrence"), ms("2026-03-02T00:00:00Z"));
	nights_close(&nights);
}

static void jitter_never_reaches_the_next_due_time(void **state)
{
	struct nights nights;

	(void)state;
	nights_open(&nights, "2026-03-01T12:00:00Z");
	load(&nights, "cron: '*/5 * * * *', jitter: 1d, overlap: queue, catchup: none");
	nights_pass(&nights, nights.now_ms + DAY_MS);
	assert_int_equal(nights_number(&nights, "SELECT count(*) FROM occurrence WHERE state = 'ran'"
						" AND decided_ms >= due_ms AND decided_ms < due_ms + 300000"),
			 count_runs(&nights));
	assert_in_range(count_runs(&nights), 287, 288);
	nights_close(&nights);
}

/* --- down ----------------------------------------------------------------------------------------------- */

static void check_downtime(const char *keys, const char *expected, int runs)
{
	struct nights nights;

	nights_open(&nights, "2026-03-01T12:00:00Z");
	load(&nights, keys);
	nights_pass(&nights, ms("2026-03-02T12:00:00Z"));
	nights_end_runs(&nights);
	nights_stop(&nights);
	nights.now_ms = ms("2026-03-05T12:00:00Z");
	nights_start(&nights);
	nights_look(&nights);
	assert_ledger(&nights, expected);
	nights_stop(&nights);
	nights_start(&nights);
	nights_look(&nights);
	assert_ledger(&nights, expected);
	assert_int_equal(count_runs(&nights), runs);
	nights_end_runs(&nights);
	nights_pass(&nights, ms("2026-03-06T12:00:00Z"));
	assert_int_equal(count_runs(&nights), runs + 1);
	nights_close(&nights);
}

static void what_was_missed_while_down_is_for_catchup(void **state)
{
	(void)state;
	check_downtime("cron: '30 2 * * *', catchup: none", "rmmm", 1);
	check_downtime("cron: '30 2 * * *'", "rssr", 2);
	check_downtime("cron: '30 2 * * *', catchup: all", "rrrr", 4);
	check_downtime("cron: '30 2 * * *', catchup: all, start_deadline: 2d", "rlrr", 3);
	check_downtime("cron: '30 2 * * *', start_deadline: 2h", "rlll", 1);
	check_downtime("cron: '30 2 * * *', catchup: all, overlap: replace", "rrrr", 4);
}

static void a_late_run_says_how_late(void **state)
{
	struct nights nights;

	(void)state;
	nights_open(&nights, "2026-03-01T12:00:00Z");
	load(&nights, "cron: '0 2 * * *'");
	nights_set_clock(&nights, ms("2026-03-02T04:00:00Z"));
	assert_ledger(&nights, "r");
	assert_int_equal(nights_number(&nights, "SELECT count(*) FROM occurrence WHERE detail = '2h00m late'"), 1);
	nights_close(&nights);
}

/* --- clocks --------------------------------------------------------------------------------------------- */

static void a_clock_set_back_an_hour_runs_nothing_twice(void **state)
{
	struct nights nights;

	(void)state;
	nights_open(&nights, "2026-03-01T00:30:00Z");
	load(&nights, "cron: '*/15 * * * *', overlap: queue, catchup: all");
	nights_pass(&nights, ms("2026-03-01T02:05:00Z"));
	assert_ledger(&nights, "rrrrrr");
	nights_set_clock(&nights, ms("2026-03-01T01:05:00Z"));
	nights_pass(&nights, ms("2026-03-01T01:40:00Z"));
	nights_stop(&nights);
	nights_start(&nights); /* a start in the repeated hour */
	nights_pass(&nights, ms("2026-03-01T02:30:00Z"));
	assert_ledger(&nights, "rrrrrrrr");
	assert_int_equal(count_runs(&nights), 8);
	nights_close(&nights);
}

static void a_clock_set_forward_a_day_misses_for_catchup(void **state)
{
	struct nights nights;

	(void)state;
	nights_open(&nights, "2026-03-01T00:10:00Z");
	load(&nights, "cron: '0 */6 * * *', overlap: queue");
	nights_pass(&nights, ms("2026-03-01T07:00:00Z"));
	nights_set_clock(&nights, ms("2026-03-02T07:00:00Z"));
	assert_ledger(&nights, "rsssr");
	nights_pass(&nights, ms("2026-03-02T12:00:00Z"));
	assert_ledger(&nights, "rsssrr");
	nights_close(&nights);
}

/* Nobody who mends a clock loses a night by it. */
static void what_a_clock_ahead_skipped_runs_when_it_is_due(void **state)
{
	struct nights nights;

	(void)state;
	nights_open(&nights, "2026-03-01T00:10:00Z");
	load(&nights, "cron: '0 */6 * * *', overlap: queue");
	nights_pass(&nights, ms("2026-03-01T07:00:00Z"));
	nights_set_clock(&nights, ms("2026-03-02T07:00:00Z"));
	assert_ledger(&nights, "rsssr");
	nights_set_clock(&nights, ms("2026-03-01T07:01:00Z"));
	nights_pass(&nights, ms("2026-03-01T13:00:00Z"));
	assert_ledger(&nights, "rrssr");
	nights_stop(&nights);
	nights_start(&nights);
	nights_pass(&nights, ms("2026-03-02T13:00:00Z"));
	assert_ledger(&nights, "rrrrrr");
	assert_int_equal(count_runs(&nights), 6);
	nights_close(&nights);
}

static void a_clock_years_ahead_does_not_end_a_schedule(void **state)
{
	struct nights nights;

	(void)state;
	nights_open(&nights, "2036-03-01T00:10:00Z");
	load(&nights, "cron: '30 2 * * *'");
	nights_set_clock(&nights, ms("2026-03-01T07:00:00Z"));
	nights_pass(&nights, ms("2026-03-02T07:00:00Z"));
	assert_ledger(&nights, "r");
	nights_close(&nights);
}

static void a_clock_that_was_never_set_starts_nothing(void **state)
{
	struct nights nights;

	(void)state;
	nights_open(&nights, "2026-03-01T00:10:00Z");
	load(&nights, "cron: '* * * * *', catchup: all");
	nights_stop(&nights);
	nights.now_ms = ms("1970-01-01T00:00:05Z");
	nights_start(&nights);
	nights_set_clock(&nights, ms("1970-01-01T01:00:05Z"));
	assert_ledger(&nights, "");
	nights_set_clock(&nights, ms("2026-03-01T00:12:30Z"));
	assert_ledger(&nights, "rr");
	nights_close(&nights);
}

static void check_sleep(const char *catchup, const char *expected)
{
	struct nights nights;
	autofree char *keys = mem_printf("cron: '0 * * * *', overlap: queue, catchup: %s", catchup);

	nights_open(&nights, "2026-03-01T00:10:00Z");
	load(&nights, keys);
	nights_pass(&nights, ms("2026-03-01T02:20:00Z"));
	nights_set_clock(&nights, ms("2026-03-01T08:20:00Z"));
	nights_pass(&nights, ms("2026-03-01T09:20:00Z"));
	assert_ledger(&nights, expected);
	nights_close(&nights);
}

static void six_hours_of_sleep_are_for_catchup(void **state)
{
	(void)state;
	check_sleep("none", "rrmmmmmmr");
	check_sleep("latest", "rrsssssrr");
	check_sleep("all", "rrrrrrrrr");
}

/* --- overlap -------------------------------------------------------------------------------------------- */

static void overlap_skip_names_the_run_that_goes_on(void **state)
{
	struct nights nights;

	(void)state;
	nights_open(&nights, "2026-03-01T00:10:00Z");
	load(&nights, "cron: '0 * * * *'");
	nights_pass(&nights, ms("2026-03-01T03:10:00Z"));
	assert_ledger(&nights, "roo");
	assert_int_equal(nights_number(&nights, "SELECT count(*) FROM occurrence WHERE detail = 'n/1 still went on'"),
			 2);
	nights_end_runs(&nights);
	nights_pass(&nights, ms("2026-03-01T04:10:00Z"));
	assert_ledger(&nights, "roor");
	/* A backfill's runs do not count. */
	nights_exec(&nights, "UPDATE run SET backfill = 1");
	nights_pass(&nights, ms("2026-03-01T05:10:00Z"));
	assert_ledger(&nights, "roorr");
	nights_close(&nights);
}

static void overlap_queue_is_bounded(void **state)
{
	struct nights nights;

	(void)state;
	nights_open(&nights, "2026-03-01T00:10:00Z");
	load(&nights, "cron: '* * * * *', overlap: queue");
	nights_pass(&nights, nights.now_ms + (STORE_QUEUE_MAX + 5) * MINUTE_MS);
	assert_int_equal(count_runs(&nights), STORE_QUEUE_MAX);
	assert_int_equal(nights_number(&nights, "SELECT count(*) FROM occurrence WHERE reason = 'overlap'"
						" AND detail LIKE '1000 runs%'"),
			 5);
	nights_close(&nights);
}

static void overlap_replace_cancels_what_goes_on_once(void **state)
{
	struct nights nights;

	(void)state;
	nights_open(&nights, "2026-03-01T00:10:00Z");
	load(&nights, "cron: '0 * * * *', overlap: replace");
	nights_pass(&nights, ms("2026-03-01T01:10:00Z"));
	nights_exec(&nights, "UPDATE run SET state = 'running'");
	nights_pass(&nights, ms("2026-03-01T03:10:00Z"));
	assert_ledger(&nights, "rrr");
	assert_int_equal(nights_number(&nights, "SELECT count(*) FROM request WHERE verb = 'cancel'"
						" AND origin LIKE 'schedule 0 %'"),
			 2);
	assert_int_equal(nights_number(&nights, "SELECT count(DISTINCT run) FROM request"), 2);
	assert_int_equal(nights_number(&nights, "SELECT max(run) FROM request"), 2);
	nights_close(&nights);
}

/* --- pause ---------------------------------------------------------------------------------------------- */

static void pause_it(struct nights *nights, bool expected)
{
	bool changed;

	assert_int_equal(store_pause(nights->store, "n", "ada", "cli box", nights->now_ms, &changed, NULL), 0);
	assert_int_equal(changed, expected);
}

static void unpause_it(struct nights *nights, bool expected)
{
	bool changed;

	assert_int_equal(store_unpause(nights->store, "n", "ada", "cli box", nights->now_ms, &changed, NULL), 0);
	assert_int_equal(changed, expected);
}

static void while_paused_due_times_pass_for_good(void **state)
{
	struct nights nights;
	struct err err;

	(void)state;
	nights_open(&nights, "2026-03-01T00:10:00Z");
	load(&nights, "cron: '0 * * * *', catchup: all, overlap: queue");
	nights_pass(&nights, ms("2026-03-01T01:10:00Z"));
	pause_it(&nights, true);
	pause_it(&nights, false);
	nights_pass(&nights, ms("2026-03-01T03:10:00Z"));
	unpause_it(&nights, true);
	unpause_it(&nights, false);
	nights_pass(&nights, ms("2026-03-01T04:10:00Z"));
	assert_ledger(&nights, "rppr");
	assert_int_equal(nights_number(&nights, "SELECT count(*) FROM occurrence WHERE detail = 'paused by ada'"), 2);
	assert_int_equal(nights_number(&nights, "SELECT count(*) FROM event WHERE kind IN ('dag.paused',"
						" 'dag.unpaused') AND actor = 'ada' AND detail = 'n'"),
			 2);
	assert_int_equal(store_pause(nights.store, "m", "ada", "", 1, NULL, &err), ERR_NOT_FOUND);
	nights_close(&nights);
}

/* Also where stoker itself was down when the pause began and ended. */
static void a_pause_counts_while_nobody_was_there(void **state)
{
	struct nights nights;

	(void)state;
	nights_open(&nights, "2026-03-01T00:10:00Z");
	load(&nights, "cron: '0 * * * *', catchup: all, overlap: queue");
	nights_pass(&nights, ms("2026-03-01T01:10:00Z"));
	nights_stop(&nights);
	nights.now_ms = ms("2026-03-01T02:30:00Z");
	pause_it(&nights, true);
	nights.now_ms = ms("2026-03-01T04:30:00Z");
	unpause_it(&nights, true);
	nights.now_ms = ms("2026-03-01T05:30:00Z");
	nights_start(&nights);
	nights_look(&nights);
	assert_ledger(&nights, "rrppr");
	nights_close(&nights);
}

/* --- files that change ---------------------------------------------------------------------------------- */

static void a_schedule_goes_on_when_other_keys_change(void **state)
{
	struct nights nights;

	(void)state;
	nights_open(&nights, "2026-03-01T00:10:00Z");
	load(&nights, "cron: '0 * * * *', overlap: queue, catchup: none");
	nights_pass(&nights, ms("2026-03-01T01:10:00Z"));
	nights_stop(&nights);
	nights.now_ms = ms("2026-03-01T03:10:00Z");
	nights_start(&nights);
	load(&nights, "cron: '0 * * * *', overlap: queue, catchup: all");
	nights_look(&nights);
	assert_ledger(&nights, "rrr");
	assert_int_equal(nights_number(&nights, "SELECT count(*) FROM schedule"), 1);
	nights_close(&nights);
}

static void one_that_was_gone_begins_anew(void **state)
{
	struct nights nights;

	(void)state;
	nights_open(&nights, "2026-03-01T00:10:00Z");
	load(&nights, "cron: '0 * * * *', overlap: queue, catchup: all");
	nights_pass(&nights, ms("2026-03-01T01:10:00Z"));
	load(&nights, "cron: '30 * * * *', overlap: queue, catchup: all");
	nights_pass(&nights, ms("2026-03-01T04:10:00Z"));
	assert_ledger(&nights, "rrrr");
	load(&nights, "cron: '0 * * * *', overlap: queue, catchup: all");
	nights_pass(&nights, ms("2026-03-01T05:10:00Z"));
	assert_ledger(&nights, "rrrrr");
	assert_int_equal(store_drop_dag(nights.store, "n", nights.now_ms, NULL), 0);
	timetable_remove(nights.timetable, "n");
	nights_pass(&nights, ms("2026-03-01T09:10:00Z"));
	load(&nights, "cron: '0 * * * *', overlap: queue, catchup: all");
	nights_pass(&nights, ms("2026-03-01T10:10:00Z"));
	assert_ledger(&nights, "rrrrrr");
	assert_int_equal(store_drop_dag(nights.store, "unknown", nights.now_ms, NULL), 0);
	nights_close(&nights);
}

static void an_until_that_is_put_off_makes_up_for_nothing(void **state)
{
	struct nights nights;

	(void)state;
	nights_open(&nights, "2026-03-01T00:10:00Z");
	load(&nights, "cron: '0 12 * * *', until: 2026-03-02, overlap: queue, catchup: all");
	nights_pass(&nights, ms("2026-03-10T00:00:00Z"));
	assert_ledger(&nights, "rr");
	assert_true(timetable_next_wall_ms(nights.timetable) == INT64_MAX);
	load(&nights, "cron: '0 12 * * *', until: 2026-03-20, overlap: queue, catchup: all");
	nights_pass(&nights, ms("2026-03-10T13:00:00Z"));
	assert_ledger(&nights, "rrr");
	nights_close(&nights);
}

static void a_decision_about_a_schedule_that_went_is_void(void **state)
{
	struct timetable_decision decision;
	struct store_settled settled;
	struct nights nights;

	(void)state;
	nights_open(&nights, "2026-03-01T00:10:00Z");
	load(&nights, "cron: '0 * * * *'");
	nights.now_ms = ms("2026-03-01T01:00:00Z");
	assert_int_equal(timetable_due(nights.timetable, nights.now_ms, &decision, 1), 1);
	store_drop_dag(nights.store, "n", nights.now_ms, NULL);
	assert_int_equal(store_settle(nights.store, &decision, 1, nights.now_ms, &settled, NULL), 0);
	assert_string_equal(settled.reason, "gone");
	assert_ledger(&nights, "");
	nights_close(&nights);
}

/* --- failures ------------------------------------------------------------------------------------------- */

static void what_could_not_be_written_is_given_again(void **state)
{
	struct timetable_decision first[4], again[4];
	struct nights nights;
	size_t count;

	(void)state;
	nights_open(&nights, "2026-03-01T00:10:00Z");
	load(&nights, "cron: '0 * * * *', catchup: all");
	nights.now_ms = ms("2026-03-01T03:10:00Z");
	count = timetable_due(nights.timetable, nights.now_ms, first, 4);
	assert_int_equal(count, 3);
	assert_int_equal(timetable_due(nights.timetable, nights.now_ms, again, 4), 0);
	timetable_settled(nights.timetable, first[0].schedule, first[0].due.at_ms);
	timetable_failed(nights.timetable, first[1].schedule);
	timetable_failed(nights.timetable, first[2].schedule);
	assert_int_equal(timetable_due(nights.timetable, nights.now_ms, again, 4), 2);
	assert_true(again[0].due.at_ms == first[1].due.at_ms && again[1].due.at_ms == first[2].due.at_ms);
	assert_true(again[0].made_up && again[1].made_up);
	nights_close(&nights);
}

static void the_same_decision_twice_is_one_run(void **state)
{
	struct timetable_decision decision;
	struct store_settled settled, same;
	struct nights nights;

	(void)state;
	nights_open(&nights, "2026-03-01T00:10:00Z");
	load(&nights, "cron: '0 * * * *'");
	nights.now_ms = ms("2026-03-01T01:00:00Z");
	assert_int_equal(timetable_due(nights.timetable, nights.now_ms, &decision, 1), 1);
	assert_int_equal(store_settle(nights.store, &decision, 1, nights.now_ms, &settled, NULL), 0);
	assert_int_equal(store_settle(nights.store, &decision, 1, nights.now_ms, &same, NULL), 0);
	assert_true(settled.ran && !settled.before && same.ran && same.before && same.run == settled.run);
	assert_int_equal(count_runs(&nights), 1);
	nights_close(&nights);
}

/* --- a year in every zone ------------------------------------------------------------------------------- */

static struct rng dice;
static char (*zone_names)[64];
static size_t zone_count, zone_room;

static int on_file(const char *path, const struct stat *status, int kind, struct FTW *where)
{
	const char *name = path + strlen(ZONES "/");
	char magic[4] = "";
	autofclose FILE *file = NULL;

	(void)status;
	(void)where;
	if (kind != FTW_F || strncmp(name, "right/", 6) == 0 || strncmp(name, "posix/", 6) == 0 ||
	    strcmp(name, "localtime") == 0 || strlen(name) >= sizeof *zone_names)
		return 0;
	file = fopen(path, "re");
	if (file == NULL || fread(magic, 1, 4, file) != 4 || memcmp(magic, "TZif", 4) != 0)
		return 0;
	mem_grow(&zone_names, &zone_room, zone_count, sizeof *zone_names);
	snprintf(zone_names[zone_count++], sizeof *zone_names, "%s", name);
	return 0;
}

/* A nightly schedule in each of up to 100 zones. */
static void load_zones(struct nights *nights, size_t first)
{
	autobuf struct buf yaml = { 0 };

	buf_printf(&yaml, "name: z%zu\nmax_active_runs: 100\nschedule:\n", first);
	for (size_t i = first; i < first + 100 && i < zone_count; i++)
		buf_printf(&yaml, "  - {cron: '%d %d * * *', timezone: %s, catchup: all}\n", (int)(i % 60),
			   (int)(i % 4), zone_names[i]);
	buf_append_text(&yaml, steps);
	nights_load(nights, buf_text(&yaml));
}

/* Looks at the clock and is killed sometimes: before the commit, or after it and before anybody was told. */
static void look_and_die(struct nights *nights)
{
	struct timetable_decision decisions[NIGHTS_ROOM];
	struct err err;
	size_t count;

	while ((count = timetable_due(nights->timetable, nights->now_ms, decisions, NIGHTS_ROOM)) > 0) {
		uint64_t fate = rng_below(&dice, 500);

		assert_int_equal(store_begin(nights->store, &err), 0);
		if (store_settle(nights->store, decisions, count, nights->now_ms, NULL, &err) < 0)
			fail_msg("%s", err.text);
		if (fate == 0)
			store_undo(nights->store, 0);
		else
			assert_int_equal(store_commit(nights->store, &err), 0);
		if (fate <= 1) {
			nights_stop(nights);
			nights_start(nights);
			continue;
		}
		for (size_t i = 0; i < count; i++)
			timetable_settled(nights->timetable, decisions[i].schedule, decisions[i].due.at_ms);
	}
}

/* Each local day from the first to the last has one row, and it is `count` in all. */
static void check_year(struct nights *nights, int64_t days)
{
	assert_int_equal(nights_number(nights, "SELECT count(*) FROM occurrence"), (int64_t)zone_count * days);
	assert_int_equal(nights_number(nights, "SELECT count(*) FROM (SELECT DISTINCT schedule,"
					       " substr(nominal, 1, 10) FROM occurrence)"),
			 (int64_t)zone_count * days);
	assert_int_equal(nights_number(nights, "SELECT count(*) FROM (SELECT schedule FROM occurrence"
					       " GROUP BY schedule HAVING count(*) = "
					       " 1 + julianday(max(substr(nominal, 1, 10)))"
					       " - julianday(min(substr(nominal, 1, 10))))"),
			 (int64_t)zone_count);
	assert_int_equal(nights_number(nights, "SELECT count(*) FROM run"),
			 nights_number(nights, "SELECT count(DISTINCT run) FROM occurrence WHERE state = 'ran'"));
	assert_int_equal(nights_number(nights, "SELECT count(*) FROM occurrence WHERE reason NOT IN ('', 'overlap')"),
			 0);
	/* The zones of Europe go forward at 01:00 UTC: 02:xx is moved to 03:00. */
	assert_true(quick() || nights_number(nights, "SELECT count(*) FROM occurrence WHERE mark = 'moved'"
						     " AND nominal LIKE '2026-03-29 02:%'") > 5);
	assert_true(quick() ||
		    nights_number(nights, "SELECT count(*) FROM occurrence WHERE mark = 'first_of_two'") > 5);
	assert_int_equal(nights_number(nights, "SELECT count(*) FROM occurrence WHERE mark = 'second_of_two'"), 0);
}

static void a_year_of_nights_in_every_zone_with_kills(void **state)
{
	struct nights nights;
	int64_t days = 365, end_ms;

	(void)state;
	if (access(ZONES "/Europe/Berlin", R_OK) < 0)
		skip();
	dice = rng_seeded(20261126);
	nftw(ZONES, on_file, 16, 0);
	if (quick()) {
		for (size_t i = 0; i < zone_count / 6; i++)
			memcpy(zone_names[i], zone_names[i * 6], sizeof *zone_names);
		zone_count /= 6;
	}
	nights_open(&nights, "2026-01-01T12:00:00Z"); /* the same local day nearly everywhere, and no night yet */
	for (size_t i = 0; i < zone_count; i += 100)
		load_zones(&nights, i);
	end_ms = nights.now_ms + days * DAY_MS;
	while (nights.now_ms < end_ms) {
		int64_t next_ms;

		look_and_die(&nights);
		next_ms = timetable_next_wall_ms(nights.timetable);
		nights.now_ms = next_ms < end_ms ? next_ms : end_ms;
		if (rng_below(&dice, 50) == 0) /* it was down, or the machine slept */
			nights.now_ms += (int64_t)rng_below(&dice, 20 * HOUR_MS);
		if (nights.now_ms > end_ms)
			nights.now_ms = end_ms;
		if (rng_below(&dice, 50) == 0)
			nights_end_runs(&nights);
	}
	look_and_die(&nights);
	check_year(&nights, days);
	nights_close(&nights);
	free(zone_names);
}

/* --- a new tz database ---------------------------------------------------------------------------------- */

/* As packages do it: the new file takes the place of the old one. */
static void copy_zone(const char *name, const char *path)
{
	autofree char *from = mem_printf(ZONES "/%s", name), *beside = mem_printf("%s.new", path);
	autofclose FILE *in = fopen(from, "re");
	FILE *out = fopen(beside, "we");
	char bytes[8192];
	size_t n;

	assert_non_null(in);
	assert_non_null(out);
	while ((n = fread(bytes, 1, sizeof bytes, in)) > 0)
		assert_int_equal(fwrite(bytes, 1, n, out), n);
	assert_int_equal(fclose(out), 0);
	assert_int_equal(rename(beside, path), 0);
}

/* This machine's zone is a file of the test's. */
static void open_at_home(struct nights *nights, const char *now, const char *zone, char path[])
{
	if (access(ZONES "/Asia/Tokyo", R_OK) < 0)
		skip(); /* there is no tz database */
	close(mkstemp(path));
	copy_zone(zone, path);
	setenv("TZ", path, 1);
	nights_open(nights, now);
	nights_stop(nights);
	zones_free(nights->zones);
	nights->zones = zones_new(NULL);
	nights_start(nights);
}

static void close_at_home(struct nights *nights, const char *path)
{
	nights_close(nights);
	unsetenv("TZ");
	unlink(path);
}

static void a_new_tz_database_counts_for_what_is_to_come(void **state)
{
	char path[] = "/tmp/stoker-zone.XXXXXX";
	struct nights nights;
	const struct zone *before, *after;

	(void)state;
	open_at_home(&nights, "2026-01-10T12:00:00Z", "Europe/Berlin", path);
	load(&nights, "cron: '30 2 * * *', overlap: replace");
	nights_pass(&nights, ms("2026-01-12T12:00:00Z"));
	assert_true(timetable_next_wall_ms(nights.timetable) == ms("2026-01-13T01:30:00Z"));
	assert_int_equal(zones_find(nights.zones, NULL, &before, NULL), 0);
	assert_false(timetable_renew(nights.timetable));

	copy_zone("Asia/Tokyo", path);
	assert_true(timetable_renew(nights.timetable));
	assert_true(timetable_next_wall_ms(nights.timetable) == ms("2026-01-12T17:30:00Z"));
	assert_int_equal(zones_find(nights.zones, NULL, &after, NULL), 0);
	assert_ptr_not_equal(before, after);
	assert_false(zone_is_same(before, after));
	assert_string_equal(zone_name(before), zone_name(after)); /* who still has it, has it whole */
	assert_false(timetable_renew(nights.timetable));
	nights_pass(&nights, ms("2026-01-14T12:00:00Z"));
	assert_ledger(&nights, "rrrr");
	close_at_home(&nights, path);
}

static void a_zone_that_cannot_be_read_any_more_stays_as_it_was(void **state)
{
	char path[] = "/tmp/stoker-zone.XXXXXX";
	struct nights nights;

	(void)state;
	open_at_home(&nights, "2026-01-10T12:00:00Z", "Asia/Tokyo", path);
	load(&nights, "cron: '30 2 * * *'");
	assert_int_equal(truncate(path, 100), 0);
	assert_false(timetable_renew(nights.timetable));
	assert_int_equal(unlink(path), 0);
	assert_false(timetable_renew(nights.timetable));
	assert_true(timetable_next_wall_ms(nights.timetable) == ms("2026-01-10T17:30:00Z"));
	close_at_home(&nights, path);
}

/* --- anything at all ------------------------------------------------------------------------------------ */

/* Every due time that the schedule has since it is known has one row, and none runs twice. */
static void check_ledger(struct nights *nights, const struct dag *dag, int64_t since_ms, int64_t seed)
{
	struct due_schedule schedule;
	int64_t after_ms = since_ms, settled_ms = nights_number(nights, "SELECT settled_ms FROM schedule");
	int64_t expected = 0;
	const struct zone *zone;
	struct due due;

	assert_int_equal(zones_find(nights->zones, NULL, &zone, NULL), 0);
	assert_int_equal(due_schedule_init(&schedule, "n", dag->schedules, zone, NULL), 0);
	while (due_next(&schedule, after_ms, &due) && due.at_ms <= settled_ms) {
		after_ms = due.at_ms;
		expected++;
	}
	if (nights_number(nights, "SELECT count(*) FROM occurrence JOIN schedule ON id = schedule"
				  " WHERE due_ms > since_ms AND due_ms <= settled_ms") != expected)
		fail_msg("seed %" PRId64 ": not every due time has its row", seed);
	if (nights_number(nights, "SELECT count(*) FROM run") !=
	    nights_number(nights, "SELECT count(DISTINCT scheduled_for_ms) FROM run"))
		fail_msg("seed %" PRId64 ": a due time ran twice", seed);
}

static void no_kill_and_no_clock_makes_a_twin_or_a_gap(void **state)
{
	static const char *const lines[] = { "* * * * *", "*/7 * * * *", "0 * * * *", "30 2 * * *", "0 0 * * mon" };
	static const char *const more[] = { "catchup: none", "catchup: latest", "catchup: all, overlap: queue",
					    "jitter: 20m", "start_deadline: 1h, overlap: replace" };

	(void)state;
	for (int64_t seed = 1; seed <= (quick() ? 20 : 100); seed++) {
		struct nights nights;
		autofree char *keys = NULL;
		struct dag *dag;
		int64_t since_ms;

		dice = rng_seeded((uint64_t)seed);
		keys = mem_printf("cron: '%s', %s", lines[rng_below(&dice, COUNT_OF(lines))],
				  more[rng_below(&dice, COUNT_OF(more))]);
		nights_open(&nights, "2026-05-01T00:10:00Z");
		dag = load(&nights, keys);
		since_ms = nights.now_ms;
		for (int i = 0; i < 40; i++) {
			int64_t leap_ms = (int64_t)rng_below(&dice, 3 * HOUR_MS);

			nights.now_ms += rng_below(&dice, 4) == 0 ? -leap_ms : leap_ms;
			look_and_die(&nights);
			if (rng_below(&dice, 4) == 0)
				nights_end_runs(&nights);
			if (rng_below(&dice, 8) == 0)
				nights_pass(&nights, nights.now_ms + 30 * MINUTE_MS);
		}
		check_ledger(&nights, dag, since_ms, seed);
		nights_close(&nights);
	}
}

/* A process that lets time pass as fast as it can, telling each step, until it is killed. */
static void live(const char *home, int told)
{
	struct nights nights;
	int64_t settled_ms;

	nights_open_at(&nights, home, "2026-05-01T00:10:00Z");
	settled_ms = nights_number(&nights, "SELECT max(settled_ms) FROM schedule");
	if (settled_ms > 0) /* it was down for a while, too */
		nights.now_ms = settled_ms + (int64_t)rng_below(&dice, 3 * HOUR_MS);
	load(&nights, "cron: '*/15 * * * *', catchup: all, overlap: queue");
	for (;;) {
		nights_pass(&nights, nights.now_ms + (int64_t)rng_below(&dice, HOUR_MS));
		nights_end_runs(&nights);
		assert_true(write(told, "", 1) == 1);
	}
}

/* It is killed somewhere in what comes after `count` of them. */
static void live_and_die(const char *home, uint64_t count)
{
	int told[2];
	char step;
	pid_t pid;

	assert_int_equal(pipe(told), 0);
	pid = fork();
	if (pid == 0)
		live(home, told[1]);
	close(told[1]);
	while (count-- > 0)
		assert_true(read(told[0], &step, 1) == 1);
	usleep((unsigned)rng_below(&dice, 3000));
	kill(pid, SIGKILL);
	assert_true(waitpid(pid, NULL, 0) == pid);
	close(told[0]);
}

static void a_killed_process_leaves_no_twin_and_no_gap(void **state)
{
	char home[] = "/tmp/stoker-nights-XXXXXX";
	autofree char *remove = NULL;
	struct nights nights;
	struct dag *dag;

	(void)state;
	dice = rng_seeded(7);
	assert_non_null(mkdtemp(home));
	remove = mem_printf("rm -rf %s", home);
	for (int i = 0; i < (quick() ? 10 : 40); i++)
		live_and_die(home, 1 + rng_below(&dice, 15));
	nights_open_at(&nights, home, "2026-05-01T00:10:00Z");
	dag = nights_parse("name: n\nschedule: '*/15 * * * *'\nsteps: {a: {run: x}}\n");
	check_ledger(&nights, dag, nights_number(&nights, "SELECT since_ms FROM schedule"), 7);
	assert_int_equal(nights_number(&nights, "SELECT count(*) FROM run"),
			 nights_number(&nights, "SELECT count(*) FROM occurrence"));
	assert_true(nights_number(&nights, "SELECT count(*) FROM run") > (quick() ? 50 : 200));
	dag_free(dag);
	nights_close(&nights);
	assert_int_equal(system(remove), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(each_due_time_has_its_run_and_its_row),
		cmocka_unit_test(a_new_schedule_has_no_past),
		cmocka_unit_test(what_is_due_is_given_oldest_first_and_in_pieces),
		cmocka_unit_test(with_jitter_a_row_is_written_when_the_run_starts),
		cmocka_unit_test(jitter_never_reaches_the_next_due_time),
		cmocka_unit_test(what_was_missed_while_down_is_for_catchup),
		cmocka_unit_test(a_late_run_says_how_late),
		cmocka_unit_test(a_clock_set_back_an_hour_runs_nothing_twice),
		cmocka_unit_test(a_clock_set_forward_a_day_misses_for_catchup),
		cmocka_unit_test(what_a_clock_ahead_skipped_runs_when_it_is_due),
		cmocka_unit_test(a_clock_years_ahead_does_not_end_a_schedule),
		cmocka_unit_test(a_clock_that_was_never_set_starts_nothing),
		cmocka_unit_test(six_hours_of_sleep_are_for_catchup),
		cmocka_unit_test(overlap_skip_names_the_run_that_goes_on),
		cmocka_unit_test(overlap_queue_is_bounded),
		cmocka_unit_test(overlap_replace_cancels_what_goes_on_once),
		cmocka_unit_test(while_paused_due_times_pass_for_good),
		cmocka_unit_test(a_pause_counts_while_nobody_was_there),
		cmocka_unit_test(a_schedule_goes_on_when_other_keys_change),
		cmocka_unit_test(one_that_was_gone_begins_anew),
		cmocka_unit_test(an_until_that_is_put_off_makes_up_for_nothing),
		cmocka_unit_test(a_decision_about_a_schedule_that_went_is_void),
		cmocka_unit_test(what_could_not_be_written_is_given_again),
		cmocka_unit_test(the_same_decision_twice_is_one_run),
		cmocka_unit_test(a_new_tz_database_counts_for_what_is_to_come),
		cmocka_unit_test(a_zone_that_cannot_be_read_any_more_stays_as_it_was),
		cmocka_unit_test(a_year_of_nights_in_every_zone_with_kills),
		cmocka_unit_test(no_kill_and_no_clock_makes_a_twin_or_a_gap),
		cmocka_unit_test(a_killed_process_leaves_no_twin_and_no_gap),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
