/*
 * gc_rows.c - the turns of the gc with the store
 */
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/mem.h"
#include "common/scope.h"
#include "scheduler/gc_parts.h"
#include "scheduler/owner.h"
#include "scheduler/paths.h"
#include "scheduler/store_parts.h"

#define DAY_MS (INT64_C(24) * 3600 * 1000)

static const char doing[] = "remove what is old";

/* What happened before this is old; with no age, nothing is. */
static int64_t cutoff(const struct gc *gc, int64_t age_ms)
{
	return age_ms == 0 ? 0 : gc->plan.now_wall_ms - age_ms;
}

/* --- runs at hand --------------------------------------------------------------------------------------- */

/* Nobody takes it up while it is locked. False: a process drives it. */
static bool take_owner(struct gc *gc, struct gc_item *item)
{
	if (gc->plan.dry ? owner_has_own(gc->plan.home, item->dag, item->number, NULL)
			 : owner_take(gc->plan.home, item->dag, item->number, &item->owner, NULL) < 0) {
		gc->report.driven++;
		return false;
	}
	return true;
}

static bool has_folder(struct gc *gc, const struct gc_item *item)
{
	return access(paths_run_dir(&gc->arena, gc->plan.home, item->dag, item->number), F_OK) == 0;
}

/* Of the row of a statement: id, number, ended, swept. */
static struct gc_item read_item(struct gc *gc, sqlite3_stmt *stmt, const char *dag)
{
	struct gc_item item = {
		.run = (uint64_t)sqlite3_column_int64(stmt, 0),
		.number = (uint64_t)sqlite3_column_int64(stmt, 1),
		.ended_ms = sqlite3_column_int64(stmt, 2),
		.swept = sqlite3_column_int64(stmt, 3),
		.dag = arena_strdup(&gc->arena, dag),
		.owner = -1,
		.goes = true,
	};

	gc->last_run = sqlite3_column_int64(stmt, 0);
	gc->last_ms = item.ended_ms;
	gc->last_swept = item.swept;
	return item;
}

/* 1: the row is there and says what it did; 0: it does not, or (a dry run) nothing is changed. */
static int mark(struct gc *gc, struct store *store, const struct gc_item *item, int bit, struct err *err)
{
	sqlite3_stmt *stmt;
	int rc;

	if (gc->plan.dry)
		return 1;
	stmt = store_statement(store, STMT_gc_mark);
	sqlite3_bind_int64(stmt, 1, (int64_t)item->run);
	sqlite3_bind_int64(stmt, 2, item->ended_ms);
	sqlite3_bind_int(stmt, 3, bit);
	rc = store_step_done(store, stmt, doing, err);
	return rc < 0 ? rc : sqlite3_changes(store->db);
}

/* Locks and marks those that were picked, and forgets those that cannot be had. */
static int take_runs(struct gc *gc, struct store *store, struct err *err)
{
	size_t kept = 0;

	for (size_t i = 0; i < gc->count; i++) {
		struct gc_item *item = &gc->items[i];
		int rc = item->goes && take_owner(gc, item) ? mark(gc, store, item, GC_MARK_GONE, err) : 0;

		if (rc <= 0 && item->owner >= 0) {
			close(item->owner);
			item->owner = -1;
		}
		if (rc < 0)
			return rc;
		if (rc > 0)
			gc->items[kept++] = *item;
	}
	gc->count = kept;
	return 0;
}

/* What was picked is dealt with; then it is looked for more, until there is none. */
static void go_on(struct gc *gc, size_t picked, enum gc_step work, enum gc_step same, enum gc_step next)
{
	gc->at = 0;
	gc->then = picked == 0 ? next : same;
	gc->step = gc->count == 0 ? gc->then : work;
	if (picked == 0)
		gc->last_ms = gc->last_swept = gc->last_run = 0;
}

/* --- runs that go --------------------------------------------------------------------------------------- */

int gc_take_left(struct gc *gc, struct store *store, struct err *err)
{
	sqlite3_stmt *stmt = store_statement(store, STMT_gc_marked);
	size_t picked = 0;
	int rc;

	gc_put_down(gc);
	sqlite3_bind_int64(stmt, 1, gc->last_run);
	sqlite3_bind_int(stmt, 2, GC_HAND_MAX);
	while ((rc = store_step_row(store, stmt, doing, err)) == 1) {
		gc->items[gc->count++] = read_item(gc, stmt, (const char *)sqlite3_column_text(stmt, 4));
		picked++;
	}
	if (rc == 0)
		rc = take_runs(gc, store, err);
	if (rc == 0)
		go_on(gc, picked, gc->plan.dry ? GC_REMOVE_FOLDERS : GC_DROP_ROWS, GC_TAKE_LEFT, GC_NEXT_DAG);
	return rc;
}

/* The number up to which `newer` runs and more of the DAG come after; 0: there are not so many. */
static int find_rank(struct gc *gc, struct store *store, int newer, int64_t *number_out, struct err *err)
{
	sqlite3_stmt *stmt = store_statement(store, STMT_gc_rank);
	int rc;

	*number_out = 0;
	sqlite3_bind_int64(stmt, 1, gc->dag);
	sqlite3_bind_int(stmt, 2, newer);
	rc = store_step_row(store, stmt, doing, err);
	if (rc == 1) {
		*number_out = sqlite3_column_int64(stmt, 0);
		sqlite3_reset(stmt);
	}
	return rc < 0 ? rc : 0;
}

int gc_next_dag(struct gc *gc, struct store *store, struct err *err)
{
	const struct retention *keep = &gc->retention;
	sqlite3_stmt *stmt = store_statement(store, STMT_gc_next_dag);
	int rc;

	sqlite3_bind_int64(stmt, 1, gc->dag);
	rc = store_step_row(store, stmt, doing, err);
	if (rc <= 0) {
		gc->step = rc < 0 ? gc->step : GC_DROP_EVENTS;
		return rc;
	}
	gc->dag = sqlite3_column_int64(stmt, 0);
	free(gc->dag_name);
	gc->dag_name = mem_strdup((const char *)sqlite3_column_text(stmt, 1));
	sqlite3_reset(stmt);
	gc->beyond_most = 0;
	rc = find_rank(gc, store, keep->runs.keep, &gc->beyond_keep, err);
	if (rc == 0 && keep->runs_most > 0)
		rc = find_rank(gc, store, keep->runs_most, &gc->beyond_most, err);
	if (rc == 0)
		rc = find_rank(gc, store, keep->logs.keep, &gc->beyond_logs, err);
	if (rc < 0)
		return rc;
	gc->last_ms = gc->last_swept = gc->last_run = 0;
	gc->step = GC_PICK_OLD;
	return 0;
}

struct picking {
	int64_t before_ms, upto_number;
	int bit;
	bool beside_runs; /* not those that the rule for runs takes */
	int most;
};

static int pick_old(struct gc *gc, struct store *store, const struct picking *picking, size_t *picked_out,
		    struct err *err)
{
	sqlite3_stmt *stmt = store_statement(store, STMT_gc_old);
	int rc;

	gc_put_down(gc);
	sqlite3_bind_int64(stmt, 1, gc->dag);
	sqlite3_bind_int64(stmt, 2, picking->before_ms);
	sqlite3_bind_int64(stmt, 3, picking->upto_number);
	sqlite3_bind_int(stmt, 4, picking->bit);
	sqlite3_bind_int64(stmt, 5, gc->last_ms);
	sqlite3_bind_int64(stmt, 6, gc->last_swept);
	sqlite3_bind_int64(stmt, 7, gc->last_run);
	sqlite3_bind_int(stmt, 8, picking->most);
	sqlite3_bind_int64(stmt, 9, picking->beside_runs ? gc->beyond_most : 0);
	sqlite3_bind_int64(stmt, 10, picking->beside_runs ? cutoff(gc, gc->retention.runs.age_ms) : 0);
	sqlite3_bind_int64(stmt, 11, gc->beyond_keep);
	while ((rc = store_step_row(store, stmt, doing, err)) == 1)
		gc->items[gc->count++] = read_item(gc, stmt, gc->dag_name);
	*picked_out = gc->count;
	return rc;
}

static int64_t runs_cutoff(const struct gc *gc)
{
	return cutoff(gc, gc->retention.runs.age_ms);
}

int gc_pick_old(struct gc *gc, struct store *store, struct err *err)
{
	const struct picking picking = { .before_ms = runs_cutoff(gc), .upto_number = gc->beyond_keep,
					 .bit = GC_MARK_GONE, .most = GC_HAND_MAX };
	size_t picked;
	int rc = pick_old(gc, store, &picking, &picked, err);

	if (rc == 0)
		rc = take_runs(gc, store, err);
	if (rc == 0)
		go_on(gc, picked, gc->plan.dry ? GC_REMOVE_FOLDERS : GC_DROP_ROWS, GC_PICK_OLD, GC_PICK_EXCESS);
	return rc;
}

/* By number; last_run holds the one of the last. */
int gc_pick_excess(struct gc *gc, struct store *store, struct err *err)
{
	sqlite3_stmt *stmt = store_statement(store, STMT_gc_excess);
	int64_t last = gc->last_run;
	size_t picked = 0;
	int rc;

	gc_put_down(gc);
	sqlite3_bind_int64(stmt, 1, gc->dag);
	sqlite3_bind_int64(stmt, 2, gc->beyond_most);
	sqlite3_bind_int64(stmt, 3, last);
	sqlite3_bind_int(stmt, 4, GC_HAND_MAX);
	while ((rc = store_step_row(store, stmt, doing, err)) == 1) {
		struct gc_item *item = &gc->items[gc->count++];

		*item = read_item(gc, stmt, gc->dag_name);
		/* In a dry run those that are old are there still, and were counted. */
		item->goes = item->ended_ms >= runs_cutoff(gc) || (int64_t)item->number > gc->beyond_keep;
		last = (int64_t)item->number;
		picked++;
	}
	gc->last_run = last;
	if (rc == 0)
		rc = take_runs(gc, store, err);
	if (rc == 0)
		go_on(gc, picked, gc->plan.dry ? GC_REMOVE_FOLDERS : GC_DROP_ROWS, GC_PICK_EXCESS, GC_PICK_LOGS);
	return rc;
}

/* 1: it is there and marked, 0: it is there and not marked, 2: it is gone. */
static int look_at(struct store *store, const struct gc_item *item, struct err *err)
{
	sqlite3_stmt *stmt = store_statement(store, STMT_gc_is_there);
	int rc;

	sqlite3_bind_int64(stmt, 1, (int64_t)item->run);
	rc = store_step_row(store, stmt, doing, err);
	if (rc != 1)
		return rc < 0 ? rc : 2;
	rc = sqlite3_column_int(stmt, 0);
	sqlite3_reset(stmt);
	return rc;
}

/* The last rows of a run, and the run: all in one transaction. */
static int drop_run(struct gc *gc, struct store *store, const struct gc_item *item, struct err *err)
{
	autofree char *told = mem_printf("%s/%" PRIu64 ", removed since, ", item->dag, item->number);
	sqlite3_stmt *stmt = store_statement(store, STMT_gc_drop_occurrences);
	int rc;

	sqlite3_bind_int64(stmt, 1, (int64_t)item->run);
	store_bind_text(stmt, 2, told);
	rc = store_step_done(store, stmt, doing, err);
	if (rc < 0)
		return rc;
	stmt = store_statement(store, STMT_gc_remember_run);
	sqlite3_bind_int64(stmt, 1, (int64_t)item->run);
	sqlite3_bind_int64(stmt, 2, gc->plan.now_wall_ms);
	rc = store_step_done(store, stmt, doing, err);
	if (rc < 0)
		return rc;
	stmt = store_statement(store, STMT_gc_drop_run);
	sqlite3_bind_int64(stmt, 1, (int64_t)item->run);
	return store_step_done(store, stmt, doing, err);
}

/* Rows that belong to a run, children before those they belong to. 1: there is more, 0: none is left. */
static int drop_rows_of(struct store *store, uint64_t run, int *budget, struct err *err)
{
	static const enum store_statement drops[] = {
		STMT_gc_drop_metrics,	  STMT_gc_drop_outputs,	 STMT_gc_drop_artifacts,
		STMT_gc_drop_checkpoints, STMT_gc_drop_attempts, STMT_gc_drop_requests,
		STMT_gc_drop_notices_of_run, STMT_gc_drop_tasks,
	};

	for (size_t i = 0; i < COUNT_OF(drops); i++) {
		sqlite3_stmt *stmt = store_statement(store, drops[i]);
		int rc;

		sqlite3_bind_int64(stmt, 1, (int64_t)run);
		sqlite3_bind_int(stmt, 2, *budget);
		rc = store_step_done(store, stmt, doing, err);
		if (rc < 0)
			return rc;
		*budget -= sqlite3_changes(store->db);
		if (*budget <= 0)
			return 1;
	}
	return 0;
}

int gc_drop_rows(struct gc *gc, struct store *store, struct err *err)
{
	int budget = GC_ROWS_MAX;

	for (; gc->at < gc->count; gc->at++) {
		struct gc_item *item = &gc->items[gc->at];
		int rc = look_at(store, item, err);

		if (rc < 0)
			return rc;
		item->goes = rc != 0; /* its mark was lost: some other time */
		if (rc != 1)
			continue;
		rc = drop_rows_of(store, item->run, &budget, err);
		if (rc == 0)
			rc = drop_run(gc, store, item, err);
		if (rc != 0)
			return rc < 0 ? rc : 0;
	}
	gc->at = 0;
	gc->step = GC_CONFIRM;
	return 0;
}

int gc_confirm(struct gc *gc, struct store *store, struct err *err)
{
	for (size_t i = 0; i < gc->count; i++) {
		int rc = gc->items[i].goes ? look_at(store, &gc->items[i], err) : 2;

		if (rc < 0)
			return rc;
		if (rc != 2) {
			gc->at = 0;
			gc->step = GC_DROP_ROWS;
			return 0;
		}
	}
	gc->step = GC_REMOVE_FOLDERS;
	return 0;
}

/* --- what goes of a run that stays ---------------------------------------------------------------------- */

int gc_pick_logs(struct gc *gc, struct store *store, struct err *err)
{
	const struct picking picking = { .before_ms = cutoff(gc, gc->retention.logs.age_ms),
					 .upto_number = gc->beyond_logs, .bit = GC_MARK_LOGS,
					 .beside_runs = true, .most = GC_HAND_MAX };
	size_t picked;
	int rc = pick_old(gc, store, &picking, &picked, err);

	for (size_t i = 0; rc == 0 && i < gc->count; i++)
		gc->items[i].goes = !has_folder(gc, &gc->items[i]) || take_owner(gc, &gc->items[i]);
	if (rc == 0)
		go_on(gc, picked, GC_REMOVE_LOGS, GC_PICK_LOGS, GC_PICK_METRICS);
	return rc;
}

int gc_mark_runs(struct gc *gc, struct store *store, struct err *err)
{
	for (size_t i = 0; i < gc->count; i++)
		if (gc->items[i].goes && mark(gc, store, &gc->items[i], GC_MARK_LOGS, err) < 0)
			return err->code;
	gc_put_down(gc);
	gc->step = gc->then;
	return 0;
}

int gc_pick_metrics(struct gc *gc, struct store *store, struct err *err)
{
	const struct picking picking = { .before_ms = cutoff(gc, gc->retention.metrics_age_ms),
					 .upto_number = INT64_MAX, .bit = GC_MARK_METRICS,
					 .beside_runs = true, .most = GC_FILES_MAX };
	size_t picked;
	int rc = pick_old(gc, store, &picking, &picked, err);

	if (rc == 0)
		go_on(gc, picked, GC_THIN_METRICS, GC_PICK_METRICS, GC_NEXT_DAG);
	return rc;
}

static int thin(struct gc *gc, struct store *store, const struct gc_item *item, int budget, struct err *err)
{
	sqlite3_stmt *stmt = store_statement(store, gc->plan.dry ? STMT_gc_count_thin : STMT_gc_thin_metrics);
	int rc, count = 0;

	sqlite3_bind_int64(stmt, 1, (int64_t)item->run);
	if (!gc->plan.dry)
		sqlite3_bind_int(stmt, 2, budget);
	rc = store_step_row(store, stmt, doing, err);
	if (rc < 0)
		return rc;
	count = rc == 1 ? sqlite3_column_int(stmt, 0) : sqlite3_changes(store->db);
	sqlite3_reset(stmt);
	gc->report.metrics.count += (uint64_t)count;
	return count;
}

int gc_thin_metrics(struct gc *gc, struct store *store, struct err *err)
{
	int budget = GC_ROWS_MAX;

	for (; gc->at < gc->count; gc->at++) {
		const struct gc_item *item = &gc->items[gc->at];
		int rc = thin(gc, store, item, budget, err);

		if (rc < 0)
			return rc;
		if (!gc->plan.dry)
			budget -= rc + 1;
		if (budget <= 0)
			return 0;
		rc = mark(gc, store, item, GC_MARK_METRICS, err);
		if (rc < 0)
			return rc;
	}
	gc_put_down(gc);
	gc->step = gc->then;
	return 0;
}

/* --- what belongs to no run ----------------------------------------------------------------------------- */

/* Rows that a statement drops, at most so many and older than that. */
static int drop(struct store *store, enum store_statement which, int64_t before_ms, int *dropped_out,
		struct err *err)
{
	sqlite3_stmt *stmt = store_statement(store, which);
	int rc;

	sqlite3_bind_int64(stmt, 1, before_ms);
	sqlite3_bind_int(stmt, 2, GC_ROWS_MAX);
	rc = store_step_done(store, stmt, doing, err);
	*dropped_out = rc < 0 ? 0 : sqlite3_changes(store->db);
	return rc;
}

static int count_events(struct gc *gc, struct store *store, struct err *err)
{
	sqlite3_stmt *stmt = store_statement(store, STMT_gc_count_events);
	int rc;

	sqlite3_bind_int64(stmt, 1, cutoff(gc, gc->retention.events_age_ms));
	rc = store_step_row(store, stmt, doing, err);
	if (rc == 1) {
		gc->report.events.count = (uint64_t)sqlite3_column_int64(stmt, 0);
		sqlite3_reset(stmt);
	}
	gc->step = GC_LIST_FOLDERS;
	return rc < 0 ? rc : 0;
}

int gc_drop_events(struct gc *gc, struct store *store, struct err *err)
{
	int dropped, rc;

	if (gc->plan.dry)
		return count_events(gc, store, err);
	rc = drop(store, STMT_gc_drop_events, cutoff(gc, gc->retention.events_age_ms), &dropped, err);
	if (rc < 0)
		return rc;
	gc->report.events.count += (uint64_t)dropped;
	if (dropped == 0)
		gc->step = GC_DROP_REMOVED;
	return 0;
}

int gc_drop_removed(struct gc *gc, struct store *store, struct err *err)
{
	int dropped;
	int rc = drop(store, STMT_gc_drop_removed, cutoff(gc, gc->retention.events_age_ms), &dropped, err);

	if (rc == 0 && dropped == 0)
		gc->step = GC_DROP_NOTICES;
	return rc;
}

int gc_drop_notices(struct gc *gc, struct store *store, struct err *err)
{
	int dropped;
	int rc = drop(store, STMT_gc_drop_notices, cutoff(gc, gc->retention.events_age_ms), &dropped, err);

	if (rc == 0 && dropped == 0)
		gc->step = GC_DROP_VERSIONS;
	return rc;
}

int gc_drop_versions(struct gc *gc, struct store *store, struct err *err)
{
	int dropped;
	int rc = drop(store, STMT_gc_drop_versions, gc->plan.now_wall_ms - DAY_MS, &dropped, err);

	if (rc == 0 && dropped == 0)
		gc->step = GC_LIST_FOLDERS;
	return rc;
}

/* --- files: is there a row that needs them? ------------------------------------------------------------- */

/*
 * A folder whose run is gone by our doing goes. One that this database never heard of, because it was restored or
 * begun anew, is treated as logs are; gc_list_folders has looked at its age.
 */
int gc_judge_folders(struct gc *gc, struct store *store, struct err *err)
{
	for (size_t i = 0; i < gc->count; i++) {
		struct gc_item *item = &gc->items[i];
		sqlite3_stmt *stmt = store_statement(store, STMT_gc_find_run);
		bool is_old = item->goes;
		int rc;

		store_bind_text(stmt, 1, item->dag);
		sqlite3_bind_int64(stmt, 2, (int64_t)item->number);
		rc = store_step_row(store, stmt, doing, err);
		if (rc < 0)
			return rc;
		item->goes = is_old;
		if (rc == 1) {
			item->goes = sqlite3_column_type(stmt, 0) == SQLITE_NULL &&
				     (is_old || sqlite3_column_type(stmt, 1) != SQLITE_NULL);
			sqlite3_reset(stmt);
		}
	}
	gc->step = GC_REMOVE_STRAYS;
	return 0;
}

int gc_judge_sources(struct gc *gc, struct store *store, struct err *err)
{
	for (size_t i = 0; i < gc->count; i++) {
		sqlite3_stmt *stmt = store_statement(store, STMT_gc_source_in_use);
		int rc;

		store_bind_text(stmt, 1, gc->items[i].dag);
		rc = store_step_row(store, stmt, doing, err);
		if (rc < 0)
			return rc;
		gc->items[i].goes = rc == 0;
		sqlite3_reset(stmt);
	}
	gc->step = GC_REMOVE_SOURCES;
	return 0;
}

static int by_text(const void *a, const void *b)
{
	return strcmp(*(const char *const *)a, *(const char *const *)b);
}

int gc_read_artifacts(struct gc *gc, struct store *store, struct err *err)
{
	sqlite3_stmt *stmt = store_statement(store, STMT_gc_artifacts_in_use);
	const char **needed = NULL;
	size_t count = 0, room = 0;
	int rc;

	gc_put_down(gc);
	while ((rc = store_step_row(store, stmt, doing, err)) == 1) {
		mem_grow(&needed, &room, count, sizeof *needed);
		needed[count++] = store_column_text(stmt, 0, &gc->arena);
	}
	if (count > 0)
		qsort(needed, count, sizeof *needed, by_text);
	gc->needed = arena_memdup(&gc->arena, needed, count * sizeof *needed);
	gc->needed_count = count;
	free(needed);
	if (rc == 0)
		gc->step = GC_REMOVE_FETCHED;
	return rc;
}

/* --- room ----------------------------------------------------------------------------------------------- */

static int ask(struct store *store, enum store_statement which, int64_t *out, struct err *err)
{
	sqlite3_stmt *stmt = store_statement(store, which);
	int rc = store_step_row(store, stmt, doing, err);

	*out = rc == 1 ? sqlite3_column_int64(stmt, 0) : 0;
	sqlite3_reset(stmt);
	return rc < 0 ? rc : 0;
}

/* One that was made by an older stoker keeps its free pages, and uses them again. */
int gc_give_back(struct gc *gc, struct store *store, struct err *err)
{
	int64_t before, after, page_bytes;
	sqlite3_stmt *stmt;
	int rc = ask(store, STMT_gc_free_pages, &before, err);

	if (rc == 0)
		rc = ask(store, STMT_gc_page_bytes, &page_bytes, err);
	if (rc < 0)
		return rc;
	stmt = store_statement(store, STMT_gc_give_back);
	while ((rc = store_step_row(store, stmt, doing, err)) == 1)
		;
	if (rc == 0)
		rc = ask(store, STMT_gc_free_pages, &after, err);
	if (rc < 0)
		return rc;
	gc->report.database.count += (uint64_t)(before - after);
	gc->report.database.bytes += (uint64_t)((before - after) * page_bytes);
	if (after == 0 || after == before)
		gc->step = GC_END;
	return 0;
}
