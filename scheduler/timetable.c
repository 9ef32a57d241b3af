#include "scheduler/timetable.h"

#include <stdlib.h>
#include <string.h>

#include "common/mem.h"

/*
 *   settled        what the ledger has, all of it until then
 *   done           what was decided by this clock: as `settled`, but after the clock went back it follows the clock
 *   cursor         what was given out
 */
struct entry {
	const struct dag *dag;
	const struct dag_schedule *definition;
	struct due_schedule schedule;
	int64_t id;
	int64_t settled_ms, done_ms, cursor_ms;
	struct due head; /* the first one after the cursor; none when over */
	bool over;
	struct due_plan plan; /* of what is being given out */
	bool planning;
	bool made_up; /* the plan makes up for something, with `catchup: all` */
};

struct timetable {
	struct zones *zones;
	struct entry *entries;
	size_t count, room;
};

static void move_cursor(struct entry *entry, int64_t cursor_ms)
{
	entry->cursor_ms = cursor_ms;
	entry->over = !due_next(&entry->schedule, cursor_ms, &entry->head);
}

static void start_from(struct entry *entry, int64_t cursor_ms)
{
	entry->planning = false;
	entry->done_ms = cursor_ms;
	move_cursor(entry, cursor_ms);
}

static struct entry *find_entry(struct timetable *timetable, int64_t id)
{
	for (size_t i = 0; i < timetable->count; i++)
		if (timetable->entries[i].id == id)
			return &timetable->entries[i];
	return NULL;
}

static int init_schedule(struct timetable *timetable, struct entry *entry, struct err *err)
{
	const struct zone *zone;
	int rc = zones_find(timetable->zones, entry->definition->timezone, &zone, err);

	return rc < 0 ? rc : due_schedule_init(&entry->schedule, entry->dag->name, entry->definition, zone, err);
}

static int make_entry(struct timetable *timetable, const struct dag *dag, size_t index,
		      const struct timetable_row *row, struct entry *entry, struct err *err)
{
	const struct entry *old = find_entry(timetable, row->schedule);
	int rc;

	*entry = (struct entry){
		.dag = dag,
		.definition = &dag->schedules[index],
		.id = row->schedule,
		.settled_ms = row->settled_ms,
	};
	rc = init_schedule(timetable, entry, err);
	if (rc < 0)
		return err_wrap(err, "schedule '%s'", entry->definition->cron);
	start_from(entry, row->settled_ms);
	if (old == NULL)
		return 0;
	/* The row was read before what is on its way to the ledger now came there. */
	if (old->settled_ms > entry->settled_ms)
		entry->settled_ms = old->settled_ms;
	if (old->done_ms > entry->done_ms)
		entry->done_ms = old->done_ms;
	if (old->cursor_ms > entry->cursor_ms)
		move_cursor(entry, old->cursor_ms);
	return 0;
}

/* After the clock was set: goes on from where it is now. */
static void follow_clock(struct entry *entry, int64_t now_ms)
{
	if (entry->cursor_ms > now_ms)
		start_from(entry, now_ms);
	else if (entry->cursor_ms < entry->settled_ms && now_ms >= entry->settled_ms)
		start_from(entry, entry->settled_ms);
}

/* Whose turn it is: the one that is to start first; of two at once the one that was put first. */
static struct entry *earliest(struct timetable *timetable)
{
	struct entry *best = NULL;

	for (size_t i = 0; i < timetable->count; i++) {
		struct entry *entry = &timetable->entries[i];

		if (!entry->over && (best == NULL || entry->head.start_ms < best->head.start_ms))
			best = entry;
	}
	return best;
}

static struct timetable_decision decide(struct entry *entry, int64_t now_ms)
{
	struct timetable_decision decision = {
		.dag = entry->dag,
		.definition = entry->definition,
		.zone = zone_name(entry->schedule.zone),
		.schedule = entry->id,
	};

	if (!entry->planning) {
		due_plan_start(&entry->plan, &entry->schedule, entry->cursor_ms, now_ms);
		entry->planning = true;
		entry->made_up = false;
	}
	due_plan_next(&entry->plan, &decision.due, &decision.verdict);
	if (now_ms - decision.due.start_ms > DUE_PUNCTUAL_MS)
		decision.late_ms = now_ms - decision.due.start_ms;
	if (decision.late_ms > 0 && decision.verdict == DUE_RUN && entry->schedule.catchup == DAG_CATCHUP_ALL)
		entry->made_up = true;
	decision.made_up = entry->made_up;
	move_cursor(entry, decision.due.at_ms);
	if (entry->over || entry->head.start_ms > entry->plan.now_ms)
		entry->planning = false;
	return decision;
}

/* ------------------------------------------------------------------------------------------------------- */

struct timetable *timetable_new(struct zones *zones)
{
	struct timetable *timetable = mem_zalloc(sizeof *timetable);

	timetable->zones = zones;
	return timetable;
}

bool timetable_renew(struct timetable *timetable)
{
	if (!zones_renew(timetable->zones))
		return false;
	for (size_t i = 0; i < timetable->count; i++) {
		struct entry *entry = &timetable->entries[i];

		init_schedule(timetable, entry, NULL); /* as before, but for the zone: it cannot fail */
		entry->planning = false;
		move_cursor(entry, entry->cursor_ms);
	}
	return true;
}

void timetable_free(struct timetable *timetable)
{
	if (timetable == NULL)
		return;
	free(timetable->entries);
	free(timetable);
}

int timetable_put(struct timetable *timetable, const struct dag *dag, const struct timetable_row *rows,
		  struct err *err)
{
	struct entry *entries = mem_array(dag->schedules_count + 1, sizeof *entries);

	for (size_t i = 0; i < dag->schedules_count; i++)
		if (make_entry(timetable, dag, i, &rows[i], &entries[i], err) < 0) {
			free(entries);
			return err->code;
		}
	timetable_remove(timetable, dag->name);
	for (size_t i = 0; i < dag->schedules_count; i++) {
		mem_grow(&timetable->entries, &timetable->room, timetable->count, sizeof *entries);
		timetable->entries[timetable->count++] = entries[i];
	}
	free(entries);
	return 0;
}

void timetable_remove(struct timetable *timetable, const char *dag)
{
	size_t kept = 0;

	for (size_t i = 0; i < timetable->count; i++)
		if (strcmp(timetable->entries[i].dag->name, dag) != 0)
			timetable->entries[kept++] = timetable->entries[i];
	timetable->count = kept;
}

size_t timetable_due(struct timetable *timetable, int64_t now_wall_ms, struct timetable_decision *decisions,
		     size_t room)
{
	struct entry *entry;
	size_t count = 0;

	if (now_wall_ms < TIMETABLE_EPOCH_MS)
		return 0;
	for (size_t i = 0; i < timetable->count; i++)
		follow_clock(&timetable->entries[i], now_wall_ms);
	while (count < room && (entry = earliest(timetable)) != NULL && entry->head.start_ms <= now_wall_ms)
		decisions[count++] = decide(entry, now_wall_ms);
	return count;
}

void timetable_settled(struct timetable *timetable, int64_t schedule, int64_t due_ms)
{
	struct entry *entry = find_entry(timetable, schedule);

	if (entry == NULL)
		return;
	if (due_ms > entry->settled_ms)
		entry->settled_ms = due_ms;
	if (due_ms > entry->done_ms && due_ms <= entry->cursor_ms)
		entry->done_ms = due_ms;
}

void timetable_failed(struct timetable *timetable, int64_t schedule)
{
	struct entry *entry = find_entry(timetable, schedule);

	if (entry != NULL)
		start_from(entry, entry->done_ms);
}

int64_t timetable_next_wall_ms(const struct timetable *timetable)
{
	int64_t next_ms = INT64_MAX;

	for (size_t i = 0; i < timetable->count; i++)
		if (!timetable->entries[i].over && timetable->entries[i].head.start_ms < next_ms)
			next_ms = timetable->entries[i].head.start_ms;
	return next_ms;
}
