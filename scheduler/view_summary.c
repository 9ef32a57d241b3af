#include "scheduler/view_summary.h"

#include <stdlib.h>
#include <string.h>

#include "common/mem.h"
#include "common/scope.h"
#include "dag/dag.h"
#include "scheduler/view_dags.h"
#include "scheduler/view_due.h"
#include "scheduler/view_rows.h"

/* --- reading ---------------------------------------------------------------------------------------------- */

static void begin(const struct view_listing *listing, const char *name, const struct view_dag_facts *facts,
		  struct view_summary *summary)
{
	struct due next = { 0 };

	if (facts != NULL && facts->dag != NULL)
		view_next_due(listing->zones, facts->dag, listing->now_wall_ms, &next);
	*summary = (struct view_summary){ .name = name,
					  .facts = facts,
					  .paused_by = "",
					  .next_due_wall_ms = next.at_ms,
					  .next_start_wall_ms = next.start_ms };
}

/* Of a row of WEB_ONE_DAG. */
static void take_row(sqlite3_stmt *stmt, struct arena *arena, struct view_summary *summary)
{
	summary->id = sqlite3_column_int64(stmt, 0);
	if (view_text(stmt, 2)[0] == '\0')
		return;
	summary->paused_by = arena_strdup(arena, view_text(stmt, 2));
	summary->paused_wall_ms = sqlite3_column_int64(stmt, 3);
}

/* A history that is not kept. */
static int read_history(struct store *store, int runs, struct arena *arena, struct view_summary *summary,
			struct err *err)
{
	struct view_history *history = arena_alloc(arena, sizeof *history);

	summary->history = history;
	return view_history_read(store, summary->id, summary->name, runs, arena, history, err);
}

static int read_active(struct store *store, struct view_summary *summary, struct err *err)
{
	sqlite3_stmt *stmt = store_statement(store, STMT_web_dag_active);
	int rc;

	sqlite3_bind_int64(stmt, 1, summary->id);
	rc = view_next(store, stmt, err);
	if (rc != 1)
		return rc;
	summary->active = sqlite3_column_int64(stmt, 0);
	sqlite3_reset(stmt);
	return 0;
}

int view_summary_read(struct store *store, const struct view_listing *listing, const char *name,
		      const struct view_dag_facts *facts, struct arena *arena, struct view_summary *out,
		      struct err *err)
{
	sqlite3_stmt *stmt = store_statement(store, STMT_web_dag);
	int rc;

	begin(listing, name, facts, out);
	sqlite3_bind_text(stmt, 1, name, -1, SQLITE_STATIC);
	rc = view_next(store, stmt, err);
	if (rc != 1)
		return rc;
	take_row(stmt, arena, out);
	sqlite3_reset(stmt);
	rc = read_history(store, listing->runs, arena, out, err);
	return rc < 0 ? rc : read_active(store, out, err);
}

/* --- all of them ------------------------------------------------------------------------------------------ */

struct summaries {
	struct view_summary *items;
	size_t count, room;
};

static void summaries_fini(struct summaries *summaries)
{
	free(summaries->items);
}

static struct view_summary *add(struct summaries *summaries, const struct view_listing *listing,
				const char *name, const struct view_dag_facts *facts)
{
	mem_grow(&summaries->items, &summaries->room, summaries->count, sizeof *summaries->items);
	begin(listing, name, facts, &summaries->items[summaries->count]);
	return &summaries->items[summaries->count++];
}

/* Two sorted lists become one: what the files say, and what the database has. */
static int read_rows(struct store *store, const struct view_listing *listing, struct arena *arena,
		     struct summaries *summaries, struct err *err)
{
	sqlite3_stmt *stmt = store_statement(store, STMT_web_dags);
	const struct view_dag_facts *facts = listing->facts;
	size_t at = 0;
	int rc;

	while ((rc = view_next(store, stmt, err)) == 1) {
		const char *name = view_text(stmt, 1);
		bool known;

		for (; at < listing->count && strcmp(facts[at].name, name) < 0; at++)
			add(summaries, listing, facts[at].name, &facts[at]);
		known = at < listing->count && strcmp(facts[at].name, name) == 0;
		take_row(stmt, arena,
			 add(summaries, listing, arena_strdup(arena, name), known ? &facts[at] : NULL));
		at += known;
	}
	for (; at < listing->count; at++)
		add(summaries, listing, facts[at].name, &facts[at]);
	return rc;
}

static int by_id(const void *a, const void *b)
{
	int64_t left = (*(struct view_summary *const *)a)->id, right = (*(struct view_summary *const *)b)->id;

	return (left > right) - (left < right);
}

/* Few DAGs have any: one question for all of them. */
static int read_all_active(struct store *store, struct arena *arena, struct view_summary *summaries, size_t count,
		       struct err *err)
{
	sqlite3_stmt *stmt = store_statement(store, STMT_web_dags_active);
	struct view_summary **sorted = arena_alloc(arena, (count + 1) * sizeof *sorted);
	int rc;

	for (size_t i = 0; i < count; i++)
		sorted[i] = &summaries[i];
	qsort(sorted, count, sizeof *sorted, by_id);
	while ((rc = view_next(store, stmt, err)) == 1) {
		struct view_summary wanted = { .id = sqlite3_column_int64(stmt, 0) }, *key = &wanted;
		struct view_summary **found = bsearch(&key, sorted, count, sizeof *sorted, by_id);

		if (found != NULL)
			(*found)->active = sqlite3_column_int64(stmt, 1);
	}
	return rc;
}

/* Of those that are in the database. */
static int read_histories(struct store *store, const struct view_listing *listing, struct view_histories *kept,
			  struct arena *arena, struct summaries *summaries, struct err *err)
{
	int rc = kept == NULL ? 0 : view_histories_settle(kept, store, listing->runs, listing->now_wall_ms, err);

	for (size_t i = 0; rc == 0 && i < summaries->count; i++) {
		struct view_summary *summary = &summaries->items[i];

		if (summary->id == 0)
			continue;
		rc = kept == NULL ? read_history(store, listing->runs, arena, summary, err)
				  : view_histories_find(kept, store, summary->id, summary->name, summary->active > 0,
							&summary->history, err);
	}
	return rc;
}

int view_summaries(struct store *store, const struct view_listing *listing, struct view_histories *kept,
		   struct arena *arena, struct view_summary **out, size_t *count_out, struct err *err)
{
	__attribute__((cleanup(summaries_fini))) struct summaries summaries = { 0 };
	int rc = view_begin(store, err);

	if (rc < 0)
		return rc;
	rc = read_rows(store, listing, arena, &summaries, err);
	if (rc == 0)
		rc = read_all_active(store, arena, summaries.items, summaries.count, err);
	if (rc == 0)
		rc = read_histories(store, listing, kept, arena, &summaries, err);
	view_end(store);
	if (rc < 0)
		return rc;
	*out = arena_memdup(arena, summaries.items, summaries.count * sizeof **out);
	*count_out = summaries.count;
	return 0;
}

/* --- telling ---------------------------------------------------------------------------------------------- */

/* A zone that cannot be read now is told as it was written. */
static const char *timezone_of(const struct dag_schedule *schedule, struct zones *zones)
{
	const struct zone *zone;

	return zones_find(zones, schedule->timezone, &zone, NULL) == 0 ? zone_name(zone) : schedule->timezone;
}

static json_t *schedule_object(const struct dag_schedule *schedule, struct zones *zones)
{
	return json_pack("{s:o, s:o, s:s, s:s}", "cron", view_string(schedule->cron), "timezone",
			 view_string_or_null(timezone_of(schedule, zones)), "catchup",
			 dag_catchup_words[schedule->catchup], "overlap",
			 dag_overlap_words[schedule->overlap]);
}

static json_t *schedules_array(const struct dag *dag, struct zones *zones)
{
	json_t *list = json_array();

	for (size_t i = 0; dag != NULL && i < dag->schedules_count; i++)
		json_array_append_new(list, schedule_object(&dag->schedules[i], zones));
	return list;
}

static json_t *latest_object(const struct view_latest *latest)
{
	json_t *run = json_object();

	view_set_number(run, "number", latest->number);
	view_set_text(run, "state", latest->state);
	view_set_text(run, "trigger", latest->trigger);
	json_object_set_new_nocheck(run, "orphaned", json_boolean(latest->orphaned != 0));
	view_set_time(run, "created", latest->created_wall_ms);
	view_set_time(run, "started", latest->started_wall_ms);
	view_set_time(run, "ended", latest->ended_wall_ms);
	return run;
}

static const struct view_dag_facts *facts_of(const struct view_summary *summary)
{
	static const struct view_dag_facts none;

	return summary->facts == NULL ? &none : summary->facts;
}

static const struct view_history *history_of(const struct view_summary *summary)
{
	static const struct view_history none;

	return summary->history == NULL ? &none : summary->history;
}

/* What is added here is added to view_summary_digest. */
json_t *view_summary_object(const struct view_summary *summary, struct zones *zones)
{
	const struct view_dag_facts *facts = facts_of(summary);
	const struct view_history *history = history_of(summary);
	json_t *object = json_object(), *latest = json_array();

	view_set_text(object, "dag", summary->name);
	json_object_set_new_nocheck(object, "description",
				    view_string_or_null(facts->dag == NULL ? NULL : facts->dag->description));
	json_object_set_new_nocheck(object, "file", view_string_or_null(facts->path));
	json_object_set_new_nocheck(object, "problem", view_string_or_null(facts->problem));
	json_object_set_new_nocheck(object, "in_force", json_boolean(facts->dag != NULL));
	json_object_set_new_nocheck(object, "paused", json_boolean(summary->paused_by[0] != '\0'));
	view_set_word(object, "paused_by", summary->paused_by);
	view_set_time(object, "paused_since", summary->paused_wall_ms);
	json_object_set_new_nocheck(object, "schedules", schedules_array(facts->dag, zones));
	view_set_time(object, "next_due", summary->next_due_wall_ms);
	view_set_time(object, "next_start", summary->next_start_wall_ms);
	view_set_time(object, "last_success", history->last_success_wall_ms);
	view_set_time(object, "late_since", history->late_since_wall_ms);
	view_set_number(object, "active", summary->active);
	for (size_t i = 0; i < history->latest_count; i++)
		json_array_append_new(latest, latest_object(&history->latest[i]));
	json_object_set_new_nocheck(object, "latest", latest);
	return object;
}

/* With its end, so that no two of them read as one; NULL is not "". */
static void add_text(struct digest *digest, const char *text)
{
	if (text == NULL)
		digest_add(digest, "\1", 2);
	else
		digest_add(digest, text, strlen(text) + 1);
}

static void add_numbers(struct digest *digest, const int64_t *numbers, size_t count)
{
	digest_add(digest, numbers, count * sizeof *numbers);
}

static void add_schedules(struct digest *digest, const struct dag *dag, struct zones *zones)
{
	for (size_t i = 0; dag != NULL && i < dag->schedules_count; i++) {
		const struct dag_schedule *schedule = &dag->schedules[i];

		add_text(digest, schedule->cron);
		add_text(digest, timezone_of(schedule, zones));
		add_numbers(digest, (const int64_t[]){ schedule->catchup, schedule->overlap }, 2);
	}
}

void view_summary_digest(const struct view_summary *summary, struct zones *zones, uint8_t out[DIGEST_BYTES])
{
	const struct view_dag_facts *facts = facts_of(summary);
	const int64_t numbers[] = {
		facts->dag != NULL,
		facts->dag == NULL ? 0 : (int64_t)facts->dag->schedules_count,
		summary->paused_wall_ms,
		summary->next_due_wall_ms,
		summary->next_start_wall_ms,
		summary->active,
		(int64_t)history_of(summary)->edition,
	};
	struct digest digest;

	digest_init(&digest);
	add_numbers(&digest, numbers, COUNT_OF(numbers));
	add_text(&digest, summary->name);
	add_text(&digest, facts->dag == NULL ? NULL : facts->dag->description);
	add_text(&digest, facts->path);
	add_text(&digest, facts->problem);
	add_text(&digest, summary->paused_by);
	add_schedules(&digest, facts->dag, zones);
	digest_end(&digest, out);
}
