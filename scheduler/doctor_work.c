/*
 * doctor_work.c - clocks, what goes on, the machines
 */
#include <inttypes.h>
#include <string.h>
#include <sys/timex.h>

#include "common/clock.h"
#include "common/scope.h"
#include "scheduler/checkup.h"
#include "scheduler/doctor_parts.h"
#include "scheduler/gc.h"
#include "scheduler/listing.h"
#include "scheduler/owner.h"
#include "scheduler/store_parts.h"
#include "scheduler/view.h"

#define MINUTE_MS (INT64_C(60) * 1000)
#define DAY_MS (INT64_C(24) * 60 * MINUTE_MS)
#define LONG_AGO_MS (INT64_C(1767225600) * 1000) /* 2026-01-01: no clock is right that shows less */

enum { TIMES_USUAL = 3, USUAL_RUNS = 3 };

/* The number in the first column of the first row; 0: there is none. */
static int64_t ask(struct doctor *doctor, enum store_statement which, int64_t argument)
{
	sqlite3_stmt *stmt = store_statement(doctor->store, which);
	int64_t number = 0;

	if (sqlite3_bind_parameter_count(stmt) > 0)
		sqlite3_bind_int64(stmt, 1, argument);
	if (store_step_row(doctor->store, stmt, "look", NULL) == 1)
		number = sqlite3_column_int64(stmt, 0);
	sqlite3_reset(stmt);
	return number;
}

/* --- clocks --------------------------------------------------------------------------------------------- */

void doctor_check_clock(struct doctor *doctor)
{
	int64_t now_ms = doctor->plan->now_wall_ms;
	int64_t last_ms = doctor->store == NULL ? 0 : ask(doctor, STMT_doctor_last_event, 0);
	struct timex state = { .modes = 0 };
	char span[CLOCK_SPAN_BYTES], at[CLOCK_RFC3339_BYTES];

	clock_rfc3339(now_ms, at);
	if (now_ms < LONG_AGO_MS)
		doctor_say(doctor, "clock", FINDING_PROBLEM, "set it, and let NTP keep it right", "it shows %s", at);
	else if (last_ms > now_ms + MINUTE_MS)
		doctor_say(doctor, "clock", FINDING_PROBLEM, "set it, and let NTP keep it right",
			   "it shows %s, and the last event is %s later: it went back", at,
			   clock_span(last_ms - now_ms, span));
	else if (adjtimex(&state) == TIME_ERROR || (state.status & STA_UNSYNC) != 0)
		doctor_say(doctor, "clock", FINDING_WARNING, "let NTP keep it right (systemd-timesyncd, chrony)",
			   "it shows %s, and the kernel does not know of anybody who sets it", at);
	else
		doctor_say(doctor, "clock", FINDING_OK, "", "it shows %s, and is kept right", at);
}

/* --- runs ----------------------------------------------------------------------------------------------- */

struct running {
	const char *dag;
	uint64_t number;
	int64_t started_ms;
	int64_t dag_id;
};

static bool takes_long(struct doctor *doctor, const struct running *run, int64_t *usual_out)
{
	sqlite3_stmt *stmt = store_statement(doctor->store, STMT_doctor_usual);
	int64_t longest = 0, count = 0;

	sqlite3_bind_int64(stmt, 1, run->dag_id);
	if (store_step_row(doctor->store, stmt, "look", NULL) == 1) {
		longest = sqlite3_column_int64(stmt, 0);
		count = sqlite3_column_int64(stmt, 1);
	}
	sqlite3_reset(stmt);
	*usual_out = longest;
	return count >= USUAL_RUNS && run->started_ms > 0 &&
	       doctor->plan->now_wall_ms - run->started_ms > TIMES_USUAL * longest + 10 * MINUTE_MS;
}

static size_t read_running(struct doctor *doctor, struct running **out)
{
	sqlite3_stmt *stmt = store_statement(doctor->store, STMT_doctor_running);
	struct running *runs = arena_alloc(&doctor->arena, 1000 * sizeof *runs);
	size_t count = 0;

	while (count < 1000 && store_step_row(doctor->store, stmt, "look", NULL) == 1)
		runs[count++] = (struct running){ store_column_text(stmt, 0, &doctor->arena),
						  (uint64_t)sqlite3_column_int64(stmt, 1),
						  sqlite3_column_int64(stmt, 2), sqlite3_column_int64(stmt, 3) };
	sqlite3_reset(stmt);
	*out = runs;
	return count;
}

void doctor_check_runs(struct doctor *doctor)
{
	struct running *runs;
	size_t count, told = 0;

	if (doctor->store == NULL)
		return;
	count = read_running(doctor, &runs);
	for (size_t i = 0; i < count; i++) {
		char now_span[CLOCK_SPAN_BYTES], usual_span[CLOCK_SPAN_BYTES];
		int64_t usual;

		if (!owner_is_alive(doctor->plan->home, runs[i].dag, runs[i].number, NULL))
			doctor_say(doctor, "runs", FINDING_PROBLEM,
				   arena_printf(&doctor->arena, "stoker run --resume %s/%" PRIu64, runs[i].dag,
						runs[i].number),
				   "%s/%" PRIu64 " is orphaned: its steps go on, and nobody drives it", runs[i].dag,
				   runs[i].number);
		else if (takes_long(doctor, &runs[i], &usual))
			doctor_say(doctor, "runs", FINDING_WARNING,
				   arena_printf(&doctor->arena, "stoker why %s/%" PRIu64, runs[i].dag, runs[i].number),
				   "%s/%" PRIu64 " runs for %s; the last ones took %s at most", runs[i].dag,
				   runs[i].number, clock_span(doctor->plan->now_wall_ms - runs[i].started_ms, now_span),
				   clock_span(usual, usual_span));
		else
			continue;
		told++;
	}
	if (told == 0)
		doctor_say(doctor, "runs", FINDING_OK, "", "%zu %s on, as %s should", count, count == 1 ? "goes" : "go",
			   count == 1 ? "it" : "they");
}

/* --- what went wrong lately ----------------------------------------------------------------------------- */

void doctor_check_troubles(struct doctor *doctor)
{
	sqlite3_stmt *stmt;
	char at[CLOCK_RFC3339_BYTES];

	if (doctor->store == NULL)
		return;
	stmt = store_statement(doctor->store, STMT_doctor_full);
	sqlite3_bind_int64(stmt, 1, doctor->plan->now_wall_ms - 7 * DAY_MS);
	if (store_step_row(doctor->store, stmt, "look", NULL) == 1)
		doctor_say(doctor, "lately", FINDING_WARNING, "see that it does not come again: stoker gc, a larger disk",
			   "a disk was full at %s: %s", clock_rfc3339(sqlite3_column_int64(stmt, 0), at),
			   store_column_text(stmt, 1, &doctor->arena));
	sqlite3_reset(stmt);
}

/* Whether there is much to take away, and nobody does. */
void doctor_check_retention(struct doctor *doctor)
{
	struct gc_plan plan = { .home = doctor->plan->home, .now_wall_ms = doctor->plan->now_wall_ms, .dry = true };
	autobuf struct buf text = { 0 };
	struct gc *gc;
	bool nothing;

	if (doctor->store == NULL || doctor->settings == NULL)
		return;
	plan.retention = &doctor->settings->retention;
	gc = gc_new(&plan);
	while (gc_need(gc) != GC_DONE)
		if (gc_need(gc) == GC_FILES)
			gc_files(gc);
		else if (gc_store(gc, doctor->store, NULL) < 0)
			break;
	gc_describe(gc_report(gc), &text);
	nothing = gc_report(gc)->runs.count + gc_report(gc)->logs.count + gc_report(gc)->events.count == 0;
	gc_free(gc);
	if (nothing || ask(doctor, STMT_doctor_last_gc, 0) > doctor->plan->now_wall_ms - 7 * DAY_MS)
		doctor_say(doctor, "retention", FINDING_OK, "", "%s to be removed",
			   nothing ? "nothing is" : "some more is");
	else
		doctor_say(doctor, "retention", FINDING_WARNING, "stoker gc", "to be removed: %s", buf_text(&text));
}

/* --- machines ------------------------------------------------------------------------------------------- */

struct try {
	struct doctor *doctor;
	const char *worker;
};

static void on_step(void *context, const struct frame_finding *step)
{
	struct try *try = context;
	struct doctor *doctor = try->doctor;

	doctor_say(doctor, arena_printf(&doctor->arena, "worker %s", try->worker), step->verdict, step->remedy, "%s: %s",
		   step->name, step->text);
}

static void try_worker(struct doctor *doctor, const struct settings_worker *worker)
{
	const struct checkup_plan plan = { .settings = doctor->settings,
					   .worker = worker,
					   .home = doctor->plan->home,
					   .home_name = doctor->store == NULL ? "000000000000" : doctor->store->name };
	struct try try = { doctor, worker->name };
	struct err err;
	bool good;

	if (checkup_run(&plan, on_step, &try, &good, &err) < 0)
		doctor_say(doctor, arena_printf(&doctor->arena, "worker %s", worker->name), FINDING_PROBLEM, "", "%s",
			   err.text);
}

/* As it was seen last; nobody is connected to. */
static void judge_worker(struct doctor *doctor, const json_t *worker)
{
	const char *name = listing_text(worker, "worker"), *state = listing_text(worker, "state");
	const char *check = arena_printf(&doctor->arena, "stoker workers check %s", name);
	const char *title = arena_printf(&doctor->arena, "worker %s", name);

	if (strcmp(state, "ok") == 0)
		doctor_say(doctor, title, FINDING_OK, "", "was well when it was seen last");
	else if (strcmp(state, "failing") == 0)
		doctor_say(doctor, title, FINDING_PROBLEM, check, "%s", listing_text(worker, "trouble"));
	else if (strcmp(state, "set aside") == 0)
		doctor_say(doctor, title, FINDING_WARNING, check, "is left alone for a while: %s",
			   listing_text(worker, "aside"));
	else if (strcmp(state, "draining") == 0)
		doctor_say(doctor, title, FINDING_WARNING,
			   arena_printf(&doctor->arena, "stoker workers undrain %s", name), "is drained by %s",
			   listing_text(worker, "drained_by"));
	else if (strcmp(state, "never connected") == 0 && strcmp(name, "local") != 0)
		doctor_say(doctor, title, FINDING_WARNING, check, "was never connected to");
}

void doctor_check_workers(struct doctor *doctor)
{
	autojson json_t *answer = NULL;
	json_t *worker;
	size_t i;

	if (doctor->settings == NULL)
		return;
	for (i = 0; doctor->plan->workers && i < doctor->settings->workers_count; i++)
		try_worker(doctor, &doctor->settings->workers[i]);
	if (doctor->plan->workers)
		return;
	if (doctor->store == NULL)
		answer = view_workers_unseen(doctor->settings);
	else if (view_workers(doctor->store, doctor->settings, doctor->plan->now_wall_ms, &answer, NULL) < 0)
		return;
	json_array_foreach(json_object_get(answer, "workers"), i, worker) judge_worker(doctor, worker);
}
