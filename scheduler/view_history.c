#include "scheduler/view_history.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/mem.h"
#include "scheduler/run.h"
#include "scheduler/view_rows.h"

enum { KEPT_MS = 60 * 1000, MOVES_MAX = 1000 };

struct kept {
	int64_t dag;
	struct view_history history; /* its runs are of the heap */
	bool doubted;
};

struct view_histories {
	struct kept **items; /* by DAG */
	size_t count, room;
	uint64_t editions;
	int runs;
	int64_t settled_wall_ms; /* up to then each was doubted in its turn; 0: never */
	size_t turn;		 /* whose it is next */
	int64_t event;	      /* the last that was looked at */
};

/* --- reading ---------------------------------------------------------------------------------------------- */

static int bounded(int runs)
{
	return runs < 1 ? 1 : runs > VIEW_HISTORY_RUNS_MAX ? VIEW_HISTORY_RUNS_MAX : runs;
}

static void take_latest(const struct store *store, sqlite3_stmt *stmt, const char *dag,
			struct view_latest *out)
{
	out->number = sqlite3_column_int64(stmt, 0);
	snprintf(out->state, sizeof out->state, "%s", view_text(stmt, 1));
	snprintf(out->trigger, sizeof out->trigger, "%s", view_text(stmt, 2));
	out->created_wall_ms = sqlite3_column_int64(stmt, 3);
	out->started_wall_ms = sqlite3_column_int64(stmt, 4);
	out->ended_wall_ms = sqlite3_column_int64(stmt, 5);
	out->orphaned = view_is_orphaned(store, dag, (uint64_t)out->number, out->state);
}

/* `out->latest` has room for `runs`, and is zeroed. */
static int read_latest(struct store *store, int64_t dag, const char *name, int runs, struct view_history *out,
		       struct err *err)
{
	sqlite3_stmt *stmt = store_statement(store, STMT_web_dag_latest);
	int rc;

	sqlite3_bind_int64(stmt, 1, dag);
	sqlite3_bind_int64(stmt, 2, runs);
	while ((rc = view_next(store, stmt, err)) == 1) {
		struct view_latest *latest = &out->latest[out->latest_count++];

		take_latest(store, stmt, name, latest);
		if (out->last_success_wall_ms == 0 &&
		    strcmp(latest->state, run_states[RUN_SUCCEEDED].name) == 0)
			out->last_success_wall_ms = latest->ended_wall_ms;
	}
	return rc;
}

/* *number_out stays as it is where the statement has no row for the DAG. */
static int read_number(struct store *store, enum store_statement which, int64_t dag, int64_t *number_out,
		       struct err *err)
{
	sqlite3_stmt *stmt = store_statement(store, which);
	int rc;

	sqlite3_bind_int64(stmt, 1, dag);
	rc = view_next(store, stmt, err);
	if (rc == 1) {
		*number_out = sqlite3_column_int64(stmt, 0);
		sqlite3_reset(stmt);
	}
	return rc < 0 ? rc : 0;
}

/* Mostly one of the latest did succeed, and nothing else is asked. */
static int read_history(struct store *store, int64_t dag, const char *name, int runs,
			struct view_history *out, struct err *err)
{
	int64_t late_wall_ms = 0;
	int rc = read_latest(store, dag, name, runs, out, err);

	if (rc == 0 && out->last_success_wall_ms == 0)
		rc = read_number(store, STMT_web_dag_last_success, dag, &out->last_success_wall_ms, err);
	if (rc == 0)
		rc = read_number(store, STMT_web_dag_late, dag, &late_wall_ms, err);
	out->late_since_wall_ms = late_wall_ms > out->last_success_wall_ms ? late_wall_ms : 0;
	return rc;
}

/* --- what is kept ----------------------------------------------------------------------------------------- */

/* Where the DAG is, or would be. */
static size_t place_of(const struct view_histories *kept, int64_t dag)
{
	size_t from = 0, to = kept->count;

	while (from < to) {
		size_t middle = from + (to - from) / 2;

		if (kept->items[middle]->dag < dag)
			from = middle + 1;
		else
			to = middle;
	}
	return from;
}

static struct kept *find(struct view_histories *kept, int64_t dag)
{
	size_t at = place_of(kept, dag);

	return at < kept->count && kept->items[at]->dag == dag ? kept->items[at] : NULL;
}

static struct kept *add(struct view_histories *kept, int64_t dag)
{
	size_t at = place_of(kept, dag);

	mem_grow(&kept->items, &kept->room, kept->count, sizeof *kept->items);
	memmove(&kept->items[at + 1], &kept->items[at], (kept->count++ - at) * sizeof *kept->items);
	kept->items[at] = mem_zalloc(sizeof *kept->items[at]);
	kept->items[at]->dag = dag;
	return kept->items[at];
}

static void doubt_all(struct view_histories *kept)
{
	for (size_t i = 0; i < kept->count; i++)
		kept->items[i]->doubted = true;
}

static void drop_all(struct view_histories *kept)
{
	for (size_t i = 0; i < kept->count; i++) {
		free(kept->items[i]->history.latest);
		free(kept->items[i]);
	}
	kept->count = 0;
}

/* What events have told since. One that is of no run, or of one that is gone, may be of any DAG. */
static int doubt_moved(struct view_histories *kept, struct store *store, struct err *err)
{
	sqlite3_stmt *stmt = store_statement(store, STMT_web_moved_dags);
	int moves = 0, rc;

	sqlite3_bind_int64(stmt, 1, kept->event);
	sqlite3_bind_int(stmt, 2, MOVES_MAX);
	while ((rc = view_next(store, stmt, err)) == 1) {
		struct kept *moved = find(kept, sqlite3_column_int64(stmt, 1));

		kept->event = sqlite3_column_int64(stmt, 0);
		if (sqlite3_column_int64(stmt, 1) == 0 || ++moves == MOVES_MAX)
			doubt_all(kept);
		else if (moved != NULL)
			moved->doubted = true;
	}
	return rc;
}

static int start_anew(struct view_histories *kept, struct store *store, int runs, int64_t now_wall_ms,
		      struct err *err)
{
	sqlite3_stmt *stmt = store_statement(store, STMT_web_last_event);
	int rc = view_next(store, stmt, err);

	if (rc < 0)
		return rc;
	kept->event = sqlite3_column_int64(stmt, 0);
	sqlite3_reset(stmt);
	if (runs != kept->runs)
		drop_all(kept);
	doubt_all(kept);
	kept->runs = runs;
	kept->settled_wall_ms = now_wall_ms;
	return 0;
}

/* Each within KEPT_MS, but not all at once: whoever asks then would wait for it. */
static void doubt_in_turn(struct view_histories *kept, int64_t age_ms)
{
	int64_t due = (int64_t)kept->count * age_ms / KEPT_MS;

	if (due == 0)
		return;
	kept->settled_wall_ms += due * KEPT_MS / (int64_t)kept->count;
	for (; due > 0; due--)
		kept->items[kept->turn++ % kept->count]->doubted = true;
}

static bool same(const struct view_history *one, const struct view_history *other)
{
	return one->last_success_wall_ms == other->last_success_wall_ms &&
	       one->late_since_wall_ms == other->late_since_wall_ms &&
	       one->latest_count == other->latest_count &&
	       memcmp(one->latest, other->latest, one->latest_count * sizeof *one->latest) == 0;
}

static void replace(struct view_histories *kept, struct kept *item, struct view_history *history)
{
	item->doubted = false;
	if (item->history.latest != NULL && same(&item->history, history)) {
		free(history->latest);
		return;
	}
	free(item->history.latest);
	item->history = *history;
	item->history.latest = mem_realloc(history->latest, (history->latest_count + 1) *
								    sizeof *history->latest); /* never none */
	item->history.edition = ++kept->editions;
}

/* ---------------------------------------------------------------------------------------------------------- */

int view_history_read(struct store *store, int64_t dag, const char *name, int runs, struct arena *arena,
		      struct view_history *out, struct err *err)
{
	*out = (struct view_history){ .latest = arena_alloc(arena,
							    (size_t)bounded(runs) * sizeof *out->latest) };
	return read_history(store, dag, name, bounded(runs), out, err);
}

struct view_histories *view_histories_new(void)
{
	return mem_zalloc(sizeof(struct view_histories));
}

void view_histories_free(struct view_histories *kept)
{
	if (kept == NULL)
		return;
	drop_all(kept);
	free(kept->items);
	free(kept);
}

int view_histories_settle(struct view_histories *kept, struct store *store, int runs, int64_t now_wall_ms,
			  struct err *err)
{
	int64_t age_ms = now_wall_ms - kept->settled_wall_ms;

	if (bounded(runs) != kept->runs || age_ms < 0 || age_ms >= KEPT_MS)
		return start_anew(kept, store, bounded(runs), now_wall_ms, err);
	doubt_in_turn(kept, age_ms);
	return doubt_moved(kept, store, err);
}

int view_histories_find(struct view_histories *kept, struct store *store, int64_t dag, const char *name,
			bool active, const struct view_history **out, struct err *err)
{
	struct kept *item = find(kept, dag);
	struct view_history history = { 0 };
	int rc;

	if (item == NULL || item->doubted || active) {
		history.latest = mem_zalloc((size_t)kept->runs * sizeof *history.latest);
		rc = read_history(store, dag, name, kept->runs, &history, err);
		if (rc < 0) {
			free(history.latest);
			return rc;
		}
		if (item == NULL)
			item = add(kept, dag);
		replace(kept, item, &history);
	}
	*out = &item->history;
	return 0;
}
