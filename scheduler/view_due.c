#include "scheduler/view_due.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "common/calendar.h"
#include "common/mem.h"
#include "common/scope.h"
#include "scheduler/agenda.h"
#include "scheduler/instant.h"
#include "scheduler/store_due.h"
#include "scheduler/view.h"
#include "scheduler/view_rows.h"

/* --- what is to come ------------------------------------------------------------------------------------ */

static const char *or_null(const char *text)
{
	return text[0] == '\0' ? NULL : text;
}

static int add_coming(struct agenda *coming, struct zones *zones, const char *dag, sqlite3_stmt *stmt,
		      int64_t after_ms, struct err *err)
{
	const struct dag_schedule definition = {
		.cron = view_text(stmt, 0),
		.timezone = or_null(view_text(stmt, 1)),
		.from = or_null(view_text(stmt, 2)),
		.until = or_null(view_text(stmt, 3)),
		.jitter_ms = sqlite3_column_int64(stmt, 4),
	};
	const struct zone *zone;
	int rc = zones_find(zones, definition.timezone, &zone, err);

	return rc < 0 ? rc : agenda_add(coming, dag, &definition, zone, after_ms, err);
}

/* The schedules in force of a DAG. */
static int read_schedules(struct store *store, struct zones *zones, int64_t dag_id, const char *dag,
			  int64_t after_ms, struct agenda *coming, struct err *err)
{
	sqlite3_stmt *stmt = store_statement(store, STMT_view_schedules);
	int rc;

	sqlite3_bind_int64(stmt, 1, dag_id);
	while ((rc = view_next(store, stmt, err)) == 1) {
		rc = add_coming(coming, zones, dag, stmt, after_ms, err);
		if (rc < 0) {
			sqlite3_reset(stmt);
			return rc;
		}
	}
	return rc;
}

static json_t *list_coming(const struct agenda *coming, const struct view_occurrences *page, int64_t now_ms)
{
	json_t *list = json_array();
	struct agenda_line *line;

	if (page->before != 0)
		return list;
	for (int n = 0; n < page->limit && (line = agenda_earliest(coming)) != NULL; n++) {
		if (line->due.at_ms >= page->to_wall_ms)
			break;
		json_array_append_new(list, view_due_object(&line->due, line->cron, line->zone, now_ms));
		agenda_step(line);
	}
	return list;
}

static void set_paused(json_t *object, const char *by, int64_t since_ms)
{
	view_set_word(object, "paused_by", by);
	view_set_time(object, "paused_since", by[0] == '\0' ? 0 : since_ms);
}

/* --- the ledger ----------------------------------------------------------------------------------------- */

struct past {
	int64_t due_ms;
	json_t *object;
};

struct pasts {
	struct past *items;
	size_t count, room;
};

static void pasts_fini(struct pasts *pasts)
{
	for (size_t i = 0; i < pasts->count; i++)
		json_decref(pasts->items[i].object);
	free(pasts->items);
}

static json_t *past_object(const char *dag, const char *cron, const char *zone, sqlite3_stmt *stmt)
{
	json_t *object = json_object();
	bool has_run = sqlite3_column_type(stmt, 7) != SQLITE_NULL;
	autofree char *run = mem_printf("%s/%" PRId64, dag, (int64_t)sqlite3_column_int64(stmt, 7));

	view_set_time(object, "due", sqlite3_column_int64(stmt, 0));
	view_set_text(object, "nominal", view_text(stmt, 1));
	view_set_word(object, "mark", view_text(stmt, 2));
	view_set_text(object, "cron", cron);
	view_set_text(object, "timezone", zone);
	view_set_text(object, "state", view_text(stmt, 3));
	view_set_word(object, "reason", view_text(stmt, 4));
	view_set_word(object, "detail", view_text(stmt, 5));
	view_set_word(object, "run", has_run ? run : "");
	view_set_word(object, "run_state", view_text(stmt, 8));
	view_set_time(object, "decided", sqlite3_column_int64(stmt, 6));
	return object;
}

/* Of each schedule as many as may be asked for: by its key, newest first. */
static int read_past(struct store *store, const struct view_occurrences *page, int64_t schedule,
		     const char *cron, const char *zone, struct pasts *pasts, struct err *err)
{
	sqlite3_stmt *stmt = store_statement(store, STMT_view_occurrences);
	int rc;

	sqlite3_bind_int64(stmt, 1, schedule);
	sqlite3_bind_int64(stmt, 2, page->before != 0 && page->before < page->to_wall_ms ? page->before : page->to_wall_ms);
	sqlite3_bind_int64(stmt, 3, page->from_wall_ms);
	sqlite3_bind_int(stmt, 4, page->limit + 1);
	while ((rc = view_next(store, stmt, err)) == 1) {
		mem_grow(&pasts->items, &pasts->room, pasts->count, sizeof *pasts->items);
		pasts->items[pasts->count++] = (struct past){
			.due_ms = sqlite3_column_int64(stmt, 0),
			.object = past_object(page->dag, cron, zone, stmt),
		};
	}
	return rc;
}

static int read_pasts(struct store *store, const struct view_occurrences *page, int64_t dag_id,
		      struct pasts *pasts, struct err *err)
{
	sqlite3_stmt *stmt = store_statement(store, STMT_view_all_schedules);
	int rc;

	sqlite3_bind_int64(stmt, 1, dag_id);
	while ((rc = view_next(store, stmt, err)) == 1) {
		rc = read_past(store, page, sqlite3_column_int64(stmt, 0), view_text(stmt, 1),
			       view_text(stmt, 2), pasts, err);
		if (rc < 0) {
			sqlite3_reset(stmt);
			return rc;
		}
	}
	return rc;
}

static int compare_pasts(const void *a, const void *b)
{
	int64_t x = ((const struct past *)a)->due_ms, y = ((const struct past *)b)->due_ms;

	return (x < y) - (x > y);
}

/* A page ends between two instants, so that the next one begins with an instant. */
static void set_pasts(json_t *answer, struct pasts *pasts, int limit)
{
	json_t *list = json_array();
	size_t count = pasts->count;
	int64_t next = 0;

	if (pasts->count > 0)
		qsort(pasts->items, pasts->count, sizeof *pasts->items, compare_pasts);
	if (count > (size_t)limit) {
		for (count = (size_t)limit; count > 1 && pasts->items[count - 1].due_ms ==
								 pasts->items[count].due_ms;)
			count--;
		next = pasts->items[count - 1].due_ms;
	}
	for (size_t i = 0; i < count; i++)
		json_array_append(list, pasts->items[i].object);
	json_object_set_new(answer, "past", list);
	json_object_set_new(answer, "next", next == 0 ? json_null() : json_integer(next));
}

static int find_dag(struct store *store, const char *name, json_t *answer, int64_t *id_out, struct err *err)
{
	sqlite3_stmt *stmt = store_statement(store, STMT_find_dag);
	int rc;

	sqlite3_bind_text(stmt, 1, name, -1, SQLITE_STATIC);
	rc = view_next(store, stmt, err);
	if (rc < 0)
		return rc;
	if (rc == 0)
		return view_find_dag(store, name, err);
	*id_out = sqlite3_column_int64(stmt, 0);
	view_set_text(answer, "dag", name);
	set_paused(answer, view_text(stmt, 1), sqlite3_column_int64(stmt, 2));
	sqlite3_reset(stmt);
	return 0;
}

static int read_occurrences(struct store *store, struct zones *zones, const struct view_occurrences *page,
			    int64_t now_ms, json_t *answer, struct err *err)
{
	__attribute__((cleanup(pasts_fini))) struct pasts pasts = { 0 };
	autoagenda struct agenda coming = { 0 };
	int64_t dag_id = 0, after_ms = page->from_wall_ms > now_ms ? page->from_wall_ms - 1 : now_ms;
	int rc = find_dag(store, page->dag, answer, &dag_id, err);

	if (rc == 0)
		rc = read_schedules(store, zones, dag_id, page->dag, after_ms, &coming, err);
	if (rc == 0)
		rc = read_pasts(store, page, dag_id, &pasts, err);
	if (rc < 0)
		return rc;
	json_object_set_new(answer, "coming", list_coming(&coming, page, now_ms));
	set_pasts(answer, &pasts, page->limit);
	return 0;
}

/* --- backfills ------------------------------------------------------------------------------------------ */

static json_t *backfill_object(sqlite3_stmt *stmt)
{
	json_t *object = json_object(), *params = json_loads(view_text(stmt, 7), 0, NULL);
	int64_t at_ms = sqlite3_column_int64(stmt, 10);

	view_set_number(object, "backfill", sqlite3_column_int64(stmt, 0));
	view_set_text(object, "dag", view_text(stmt, 1));
	view_set_text(object, "state", view_text(stmt, 2));
	view_set_text(object, "from", view_text(stmt, 3));
	view_set_text(object, "to", view_text(stmt, 4));
	view_set_number(object, "max_active", sqlite3_column_int64(stmt, 5));
	json_object_set_new(object, "again", json_boolean(sqlite3_column_int(stmt, 6)));
	json_object_set_new(object, "params", params == NULL ? json_object() : params);
	view_set_number(object, "made", sqlite3_column_int64(stmt, 8));
	view_set_number(object, "left_out", sqlite3_column_int64(stmt, 9));
	view_set_time(object, "at", at_ms == INT64_MIN ? 0 : at_ms);
	view_set_text(object, "actor", view_text(stmt, 11));
	view_set_text(object, "origin", view_text(stmt, 12));
	view_set_time(object, "created", sqlite3_column_int64(stmt, 13));
	view_set_time(object, "ended", sqlite3_column_int64(stmt, 14));
	return object;
}

static int add_backfill_runs(struct store *store, json_t *backfill, struct err *err)
{
	sqlite3_stmt *stmt = store_statement(store, STMT_view_backfill_runs);
	json_t *runs = json_object();
	int rc;

	json_object_set_new(backfill, "runs", runs);
	sqlite3_bind_int64(stmt, 1, json_integer_value(json_object_get(backfill, "backfill")));
	while ((rc = view_next(store, stmt, err)) == 1)
		view_set_number(runs, view_text(stmt, 0), sqlite3_column_int64(stmt, 1));
	return rc;
}

static int read_backfills(struct store *store, const char *dag, int limit, json_t *list, struct err *err)
{
	sqlite3_stmt *stmt =
		store_statement(store, dag == NULL ? STMT_view_backfills : STMT_view_backfills_of_dag);
	int rc;

	sqlite3_bind_int(stmt, 1, limit);
	if (dag != NULL)
		sqlite3_bind_text(stmt, 2, dag, -1, SQLITE_STATIC);
	while ((rc = view_next(store, stmt, err)) == 1)
		json_array_append_new(list, backfill_object(stmt));
	for (size_t i = 0; i < json_array_size(list) && rc == 0; i++)
		rc = add_backfill_runs(store, json_array_get(list, i), err);
	if (rc == 0 && dag != NULL && json_array_size(list) == 0)
		rc = view_find_dag(store, dag, err);
	return rc;
}

static json_t *planned_object(const struct due *due, const char *cron, const char *dag,
			      enum store_backfill_fate fate, uint64_t number)
{
	const char *mark = due_mark_name(due->mark);
	char text[INSTANT_TEXT_BYTES], label[INSTANT_LABEL_BYTES];
	autofree char *run = mem_printf("%s/%" PRIu64, dag, number);
	json_t *object = json_object();

	view_set_time(object, "due", due->at_ms);
	view_set_text(object, "local", instant_text(due->at_ms / 1000, due->offset_s, text));
	view_set_text(object, "nominal", instant_label(due->nominal_local_s, label));
	view_set_word(object, "mark", mark == NULL ? "" : mark);
	view_set_text(object, "cron", cron);
	view_set_text(object, "does", fate == BACKFILL_RUN ? "run" : "leave out");
	view_set_word(object, "run", number == 0 ? "" : run);
	return object;
}

static int plan_dues(struct store *store, const struct backfill *backfill, int64_t dag_id, bool again,
		     int limit, json_t *answer, struct err *err)
{
	const struct dag *dag = backfill->dag;
	int64_t after_ms = INT64_MIN, runs = 0, left_out = 0;
	json_t *list = json_array();
	enum store_backfill_fate fate;
	uint64_t number;
	struct due due;
	size_t i;
	bool more;

	json_object_set_new(answer, "due", list);
	while ((more = backfill_next(backfill, after_ms, &due, &i)) && limit-- > 0) {
		int rc = store_backfill_fate(store, backfill, dag_id, &due, i, again, &fate, &number, err);

		if (rc < 0)
			return rc;
		json_array_append_new(list, planned_object(&due, dag->schedules[i].cron, dag->name, fate,
							   number));
		*(fate == BACKFILL_RUN ? &runs : &left_out) += 1;
		after_ms = due.at_ms;
	}
	view_set_number(answer, "runs", runs);
	view_set_number(answer, "left_out", left_out);
	json_object_set_new(answer, "more", json_boolean(more));
	return 0;
}

/* ------------------------------------------------------------------------------------------------------- */

bool view_next_due(struct zones *zones, const struct dag *dag, int64_t now_wall_ms, struct due *out)
{
	autoagenda struct agenda agenda = { 0 };
	const struct agenda_line *next;

	agenda_add_dag(&agenda, dag, zones, now_wall_ms);
	next = agenda_earliest(&agenda);
	if (next != NULL)
		*out = next->due;
	return next != NULL;
}

json_t *view_due_object(const struct due *due, const char *cron, const struct zone *zone, int64_t now_wall_ms)
{
	const char *mark = due_mark_name(due->mark);
	char text[INSTANT_TEXT_BYTES], label[INSTANT_LABEL_BYTES], offset[ZONE_OFFSET_BYTES];
	int64_t at_s = calendar_floor(due->at_ms, 1000);
	autobuf struct buf note = { 0 };
	json_t *object = json_object();

	due_note(due, &note);
	view_set_time(object, "due", due->at_ms);
	view_set_text(object, "local", instant_text(at_s, due->offset_s, text));
	view_set_text(object, "utc_offset", zone_offset_text(due->offset_s, offset));
	view_set_text(object, "timezone", zone_name(zone));
	view_set_text(object, "nominal", instant_label(due->nominal_local_s, label));
	view_set_text(object, "cron", cron);
	view_set_number(object, "in_ms", due->at_ms - now_wall_ms);
	view_set_time(object, "start", due->start_ms);
	view_set_number(object, "jitter_ms", due->start_ms - due->at_ms);
	json_object_set_new(object, "mark", view_string_or_null(mark));
	view_set_number(object, "skipped", due->skipped);
	view_set_word(object, "note", buf_text(&note));
	return object;
}

int view_occurrences(struct store *store, struct zones *zones, const struct view_occurrences *page,
		     int64_t now_wall_ms, json_t **out, struct err *err)
{
	struct view_occurrences bounded = *page;
	autojson json_t *answer = json_object();
	int rc = view_begin(store, err);

	if (rc < 0)
		return rc;
	if (bounded.to_wall_ms == 0)
		bounded.to_wall_ms = INT64_MAX;
	bounded.limit = view_clamp_limit(bounded.limit);
	rc = read_occurrences(store, zones, &bounded, now_wall_ms, answer, err);
	view_end(store);
	if (rc == 0)
		*out = take(answer);
	return rc;
}

int view_backfills(struct store *store, const char *dag, int limit, json_t **out, struct err *err)
{
	autojson json_t *answer = json_object();
	json_t *list = json_array();
	int rc = view_begin(store, err);

	json_object_set_new(answer, "backfills", list);
	if (rc < 0)
		return rc;
	rc = read_backfills(store, dag, limit, list, err);
	view_end(store);
	if (rc == 0)
		*out = take(answer);
	return rc;
}

int view_backfill_plan(struct store *store, struct zones *zones, const struct store_new_backfill *wanted,
		       int limit, json_t **out, struct err *err)
{
	autobackfill struct backfill backfill = { 0 };
	autojson json_t *answer = json_object();
	autodag struct dag *dag = NULL;
	int64_t dag_id, version;
	int rc = store_load_dag_ids(store, wanted->dag, &dag, &dag_id, &version, err);

	view_set_text(answer, "dag", wanted->dag);
	view_set_text(answer, "from", wanted->from);
	view_set_text(answer, "to", wanted->to);
	if (rc == 0)
		rc = backfill_init(&backfill, dag, zones, wanted->from, wanted->to, wanted->wall_ms, err);
	if (rc == 0)
		rc = plan_dues(store, &backfill, dag_id, wanted->again, limit, answer, err);
	if (rc < 0)
		return rc;
	*out = take(answer);
	return 0;
}
