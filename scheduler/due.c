#include "scheduler/due.h"

#include <string.h>

#include "common/calendar.h"
#include "common/rng.h"
#include "scheduler/instant.h"

enum { MINUTE_S = 60, MINUTES_PER_DAY = 1440, YEAR_MIN = 1900, YEAR_MAX = 9999 };

#define NEVER INT64_MAX

/* --- local times ---------------------------------------------------------------------------------------- */

static struct calendar_date month_after(struct calendar_date date)
{
	return date.month == 12 ? (struct calendar_date){ date.year + 1, 1, 1 }
				: (struct calendar_date){ date.year, date.month + 1, 1 };
}

static struct calendar_date day_after(struct calendar_date date)
{
	if (date.day == cron_days_in_month((int)date.year, date.month))
		return month_after(date);
	date.day++;
	return date;
}

/* The first local time after `after_local_s` that the line names. Other months cost nothing. */
static int64_t next_local_s(const struct cron *cron, int64_t after_local_s)
{
	int64_t minutes = calendar_floor(after_local_s, MINUTE_S) + 1;
	int64_t days = calendar_floor(minutes, MINUTES_PER_DAY);
	int minute = (int)(minutes - days * MINUTES_PER_DAY);
	struct calendar_date date = calendar_date(days);

	for (; date.year <= YEAR_MAX; minute = 0) {
		if ((cron->months >> date.month & 1) == 0) {
			date = month_after(date);
			continue;
		}
		if (cron_matches_day(cron, (int)date.year, date.month, date.day)) {
			minute = cron_next_minute(cron, minute);
			if (minute >= 0)
				return calendar_days(date.year, date.month, date.day) * CALENDAR_DAY_S +
				       minute * MINUTE_S;
		}
		date = day_after(date);
	}
	return NEVER;
}

/* --- the two rules -------------------------------------------------------------------------------------- */

/* At `at_s` the clock comes to `local_s`: is that the only time, or does it not show it at all? */
static enum due_mark mark_of(const struct zone *zone, int64_t local_s, int64_t at_s)
{
	int64_t instants_s[ZONE_INSTANTS_MAX];
	int count = zone_instants(zone, local_s, instants_s);

	for (int i = 0; i < count; i++)
		if (instants_s[i] == at_s)
			return count == 1 ? DUE_PLAIN : i == 0 ? DUE_FIRST : DUE_SECOND;
	return DUE_MOVED;
}

/*
 * More local times that lie in the same gap are due at its end as well, which is one due time. The one that
 * the clock shows there gives it its name, if the line names that too.
 */
static void gather_skipped(const struct due_schedule *schedule, int64_t at_s, struct due *due)
{
	int64_t local_s = due->nominal_local_s;

	for (;;) {
		local_s = next_local_s(&schedule->cron, local_s);
		if (local_s >= schedule->until_local_s || zone_reach(schedule->zone, local_s) != at_s)
			return;
		due->skipped++;
		if (local_s == at_s + due->offset_s) {
			due->nominal_local_s = local_s;
			due->mark = mark_of(schedule->zone, local_s, at_s);
		}
	}
}

/* Local times are come to in their order, so their due times are in order too. */
static int64_t next_at_fixed_hours(const struct due_schedule *schedule, int64_t after_s, struct due *due)
{
	int64_t local_s = zone_latest_shown(schedule->zone, after_s), at_s;

	if (local_s < schedule->from_local_s - 1)
		local_s = schedule->from_local_s - 1;
	local_s = next_local_s(&schedule->cron, local_s);
	if (local_s == NEVER || local_s >= schedule->until_local_s)
		return NEVER;
	at_s = zone_reach(schedule->zone, local_s);
	due->nominal_local_s = local_s;
	due->offset_s = zone_span_at(schedule->zone, at_s).offset_s;
	due->mark = mark_of(schedule->zone, local_s, at_s);
	if (due->mark == DUE_MOVED)
		gather_skipped(schedule, at_s, due);
	return at_s;
}

/* Within a span the local clock runs evenly; each span is looked through by itself. */
static int64_t next_by_elapsed_time(const struct due_schedule *schedule, int64_t after_s, struct due *due)
{
	struct zone_span span = zone_span_at(schedule->zone, after_s);
	int64_t local_s = next_local_s(&schedule->cron, after_s + span.offset_s);

	while (local_s != NEVER && local_s - span.offset_s >= span.until_s) {
		span = zone_span_at(schedule->zone, span.until_s);
		local_s = next_local_s(&schedule->cron, span.from_s + span.offset_s - 1);
	}
	if (local_s == NEVER)
		return NEVER;
	due->nominal_local_s = local_s;
	due->offset_s = span.offset_s;
	due->mark = mark_of(schedule->zone, local_s, local_s - span.offset_s);
	return local_s - span.offset_s;
}

/* --- jitter --------------------------------------------------------------------------------------------- */

/* FNV-1a, with the NUL so that "a" "bc" is not "ab" "c". */
static uint64_t add_to_seed(uint64_t seed, const char *text)
{
	const size_t bytes = strlen(text) + 1;

	for (size_t i = 0; i < bytes; i++)
		seed = (seed ^ (uint8_t)text[i]) * UINT64_C(0x100000001b3);
	return seed;
}

/* Below `gap_ms`, so that runs start in the order of their due times. */
static int64_t jitter_ms(const struct due_schedule *schedule, int64_t at_ms, int64_t gap_ms)
{
	struct rng rng = rng_seeded(schedule->seed ^ (uint64_t)at_ms);
	int64_t most_ms = schedule->jitter_ms < gap_ms ? schedule->jitter_ms : gap_ms - 1;

	return (int64_t)rng_below(&rng, (uint64_t)most_ms + 1);
}

/* --- from and until ------------------------------------------------------------------------------------- */

enum bound { FROM, UNTIL };

static void narrow(enum bound bound, int64_t to_s, int64_t *bound_s)
{
	if (bound == FROM ? to_s > *bound_s : to_s < *bound_s)
		*bound_s = to_s;
}

/* A date is one of the local calendar; it and an instant are still meant when they are the last ones. */
static int read_bound(struct due_schedule *schedule, enum bound bound, const char *text, struct err *err)
{
	struct instant instant;
	int rc;

	if (text == NULL)
		return 0;
	rc = instant_parse(text, &instant, err);
	if (rc < 0)
		return rc;
	if (bound == UNTIL)
		instant.seconds += instant.kind == INSTANT_DATE ? CALENDAR_DAY_S : 1;
	if (instant.kind == INSTANT_EXACT || schedule->cron.elapsed)
		narrow(bound, instant_in(&instant, schedule->zone),
		       bound == FROM ? &schedule->from_s : &schedule->until_s);
	else
		narrow(bound, instant.seconds,
		       bound == FROM ? &schedule->from_local_s : &schedule->until_local_s);
	return 0;
}

/* --- after downtime ------------------------------------------------------------------------------------- */

static bool is_punctual(const struct due *due, int64_t now_ms)
{
	return now_ms - due->start_ms <= DUE_PUNCTUAL_MS;
}

static bool is_too_late(const struct due_schedule *schedule, const struct due *due, int64_t now_ms)
{
	return schedule->start_deadline_ms > 0 && now_ms - due->start_ms > schedule->start_deadline_ms;
}

/* The newest of those missed; none when one in time comes after it. */
static int64_t find_latest(const struct due_plan *plan)
{
	int64_t after_ms = plan->last_ms, latest_ms = INT64_MIN;
	struct due due;

	while (due_next(plan->schedule, after_ms, &due) && due.at_ms <= plan->now_ms) {
		latest_ms = is_punctual(&due, plan->now_ms) ? INT64_MIN : due.at_ms;
		after_ms = due.at_ms;
	}
	return latest_ms;
}

static enum due_verdict verdict_on(const struct due_plan *plan, const struct due *due)
{
	if (is_too_late(plan->schedule, due, plan->now_ms))
		return DUE_TOO_LATE;
	if (is_punctual(due, plan->now_ms))
		return DUE_RUN;
	switch (plan->schedule->catchup) {
	case DAG_CATCHUP_NONE:
		return DUE_MISSED;
	case DAG_CATCHUP_LATEST:
		return due->at_ms == plan->latest_ms ? DUE_RUN : DUE_SUPERSEDED;
	case DAG_CATCHUP_ALL:
		break;
	}
	return DUE_RUN;
}

/* The first due time after `after_s`, within from and until; NEVER: there is none. */
static int64_t next_instant(const struct due_schedule *schedule, int64_t after_s, struct due *due)
{
	int64_t at_s;

	if (after_s < schedule->from_s - 1)
		after_s = schedule->from_s - 1;
	at_s = schedule->cron.elapsed ? next_by_elapsed_time(schedule, after_s, due)
				      : next_at_fixed_hours(schedule, after_s, due);
	return at_s < schedule->until_s ? at_s : NEVER;
}

/* ------------------------------------------------------------------------------------------------------- */

int due_schedule_init(struct due_schedule *schedule, const char *dag_name,
		      const struct dag_schedule *definition, const struct zone *zone, struct err *err)
{
	const char *timezone = definition->timezone == NULL ? "" : definition->timezone;
	int rc;

	*schedule = (struct due_schedule){
		.zone = zone,
		.from_s = calendar_days(YEAR_MIN, 1, 1) * CALENDAR_DAY_S,
		.until_s = NEVER,
		.from_local_s = INT64_MIN + 1,
		.until_local_s = NEVER,
		.seed = UINT64_C(0xcbf29ce484222325),
		.jitter_ms = definition->jitter_ms,
		.start_deadline_ms = definition->start_deadline_ms,
		.catchup = definition->catchup,
	};
	schedule->seed = add_to_seed(schedule->seed, dag_name);
	schedule->seed = add_to_seed(schedule->seed, definition->cron);
	schedule->seed = add_to_seed(schedule->seed, timezone);
	rc = cron_parse(definition->cron, &schedule->cron, NULL, err);
	return rc < 0 ? rc : due_schedule_narrow(schedule, definition->from, definition->until, err);
}

int due_schedule_narrow(struct due_schedule *schedule, const char *from, const char *until, struct err *err)
{
	int rc = read_bound(schedule, FROM, from, err);

	return rc < 0 ? rc : read_bound(schedule, UNTIL, until, err);
}

bool due_next(const struct due_schedule *schedule, int64_t after_ms, struct due *due_out)
{
	struct due due = { 0 }, following = { 0 };
	int64_t at_s = next_instant(schedule, calendar_floor(after_ms, 1000), &due), following_s;

	if (at_s == NEVER)
		return false;
	due.at_ms = due.start_ms = at_s * 1000;
	if (schedule->jitter_ms > 0) {
		following_s = next_instant(schedule, at_s, &following);
		due.start_ms += jitter_ms(schedule, due.at_ms,
					  following_s == NEVER ? NEVER : (following_s - at_s) * 1000);
	}
	*due_out = due;
	return true;
}

size_t due_between(const struct due_schedule *schedule, int64_t after_ms, int64_t upto_ms, struct due *dues,
		   size_t room)
{
	size_t count = 0;

	while (count < room && due_next(schedule, after_ms, &dues[count]) && dues[count].at_ms <= upto_ms)
		after_ms = dues[count++].at_ms;
	return count;
}

void due_plan_start(struct due_plan *plan, const struct due_schedule *schedule, int64_t since_ms,
		    int64_t now_ms)
{
	*plan = (struct due_plan){ .schedule = schedule, .last_ms = since_ms, .now_ms = now_ms };
	plan->latest_ms = schedule->catchup == DAG_CATCHUP_LATEST ? find_latest(plan) : INT64_MIN;
}

bool due_plan_next(struct due_plan *plan, struct due *due_out, enum due_verdict *verdict_out)
{
	if (!due_next(plan->schedule, plan->last_ms, due_out) || due_out->at_ms > plan->now_ms)
		return false;
	plan->last_ms = due_out->at_ms;
	*verdict_out = verdict_on(plan, due_out);
	return true;
}

const char *due_verdict_name(enum due_verdict verdict)
{
	static const char *const names[] = {
		[DUE_RUN] = "run",
		[DUE_MISSED] = "missed",
		[DUE_SUPERSEDED] = "superseded",
		[DUE_TOO_LATE] = "too_late",
	};

	return names[verdict];
}

const char *due_mark_name(enum due_mark mark)
{
	static const char *const names[] = {
		[DUE_MOVED] = "moved",
		[DUE_FIRST] = "first_of_two",
		[DUE_SECOND] = "second_of_two",
	};

	return mark == DUE_PLAIN ? NULL : names[mark];
}

bool due_note(const struct due *due, struct buf *out)
{
	char label[INSTANT_LABEL_BYTES];
	const char *clock = instant_label(due->nominal_local_s, label) + strlen("2026-03-29 ");

	switch (due->mark) {
	case DUE_PLAIN:
		break;
	case DUE_MOVED:
		/* With its date where the day itself is not the one that the clock shows. */
		if (calendar_floor(due->nominal_local_s, CALENDAR_DAY_S) ==
		    calendar_floor(due->at_ms / 1000 + due->offset_s, CALENDAR_DAY_S))
			buf_printf(out, "%s does not exist that day", clock);
		else
			buf_printf(out, "%s does not exist", label);
		break;
	case DUE_FIRST:
		buf_printf(out, "%s comes twice: the first", clock);
		break;
	case DUE_SECOND:
		buf_printf(out, "%s comes twice: the second", clock);
		break;
	}
	if (due->skipped > 0)
		buf_printf(out, "%sstands for %d more that the clock skips",
			   due->mark == DUE_PLAIN ? "" : "; ", due->skipped);
	return due->mark != DUE_PLAIN || due->skipped > 0;
}
