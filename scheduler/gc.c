#include "scheduler/gc.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/mem.h"
#include "common/scope.h"
#include "scheduler/gc_parts.h"
#include "scheduler/listing.h"
#include "scheduler/store_parts.h"

static const char NOTHING[] = "nothing";

static const struct turn {
	int (*store)(struct gc *gc, struct store *store, struct err *err);
	void (*files)(struct gc *gc);
} turns[GC_END] = {
	[GC_TAKE_LEFT] = { .store = gc_take_left },
	[GC_NEXT_DAG] = { .store = gc_next_dag },
	[GC_PICK_OLD] = { .store = gc_pick_old },
	[GC_PICK_EXCESS] = { .store = gc_pick_excess },
	[GC_DROP_ROWS] = { .store = gc_drop_rows },
	[GC_CONFIRM] = { .store = gc_confirm },
	[GC_REMOVE_FOLDERS] = { .files = gc_remove_folders },
	[GC_PICK_LOGS] = { .store = gc_pick_logs },
	[GC_REMOVE_LOGS] = { .files = gc_remove_logs },
	[GC_MARK_RUNS] = { .store = gc_mark_runs },
	[GC_PICK_METRICS] = { .store = gc_pick_metrics },
	[GC_THIN_METRICS] = { .store = gc_thin_metrics },
	[GC_DROP_EVENTS] = { .store = gc_drop_events },
	[GC_DROP_REMOVED] = { .store = gc_drop_removed },
	[GC_DROP_NOTICES] = { .store = gc_drop_notices },
	[GC_DROP_VERSIONS] = { .store = gc_drop_versions },
	[GC_LIST_FOLDERS] = { .files = gc_list_folders },
	[GC_JUDGE_FOLDERS] = { .store = gc_judge_folders },
	[GC_REMOVE_STRAYS] = { .files = gc_remove_strays },
	[GC_LIST_SOURCES] = { .files = gc_list_sources },
	[GC_JUDGE_SOURCES] = { .store = gc_judge_sources },
	[GC_REMOVE_SOURCES] = { .files = gc_remove_sources },
	[GC_READ_ARTIFACTS] = { .store = gc_read_artifacts },
	[GC_REMOVE_FETCHED] = { .files = gc_remove_fetched },
	[GC_GIVE_BACK] = { .store = gc_give_back },
};

/* --- in words ------------------------------------------------------------------------------------------- */

static void describe(struct buf *out, const struct gc_tally *tally, const char *one, const char *many)
{
	if (tally->count == 0)
		return;
	buf_printf(out, "%s%" PRIu64 " %s", out->bytes == 0 ? "" : ", ", tally->count,
		   tally->count == 1 ? one : many);
	if (tally->bytes > 0) {
		buf_append_text(out, " (");
		listing_append_bytes(out, (int64_t)tally->bytes);
		buf_append_byte(out, ')');
	}
}

/* --- public --------------------------------------------------------------------------------------------- */

struct gc *gc_new(const struct gc_plan *plan)
{
	struct gc *gc = mem_zalloc(sizeof *gc);

	gc->plan = *plan;
	gc->retention = *plan->retention;
	arena_init(&gc->arena);
	return gc;
}

void gc_put_down(struct gc *gc)
{
	for (size_t i = 0; i < gc->count; i++)
		if (gc->items[i].owner >= 0)
			close(gc->items[i].owner);
	gc->count = gc->at = 0;
	arena_reset(&gc->arena);
}

void gc_free(struct gc *gc)
{
	if (gc == NULL)
		return;
	gc_put_down(gc);
	if (gc->dags != NULL)
		closedir(gc->dags);
	if (gc->numbers != NULL)
		closedir(gc->numbers);
	if (gc->parcels != NULL)
		closedir(gc->parcels);
	free(gc->walked);
	free(gc->dag_name);
	arena_fini(&gc->arena);
	free(gc);
}

enum gc_need gc_need(const struct gc *gc)
{
	if (gc->step == GC_END)
		return GC_DONE;
	return turns[gc->step].store != NULL ? GC_STORE : GC_FILES;
}

/* What is lost with its transaction is done again: the step and where it began are put back. */
int gc_store(struct gc *gc, struct store *store, struct err *err)
{
	const struct gc_report report = gc->report;
	const enum gc_step step = gc->step;
	const int64_t last[] = { gc->last_ms, gc->last_swept, gc->last_run };
	int rc;

	if (gc->plan.dry)
		return turns[step].store(gc, store, err);
	rc = store_begin(store, err);
	if (rc < 0)
		return rc;
	rc = turns[step].store(gc, store, err);
	rc = rc < 0 ? store_undo(store, rc) : store_commit(store, err);
	if (rc < 0) {
		gc->report = report;
		gc->step = step;
		gc->last_ms = last[0];
		gc->last_swept = last[1];
		gc->last_run = last[2];
	}
	return rc;
}

void gc_files(struct gc *gc)
{
	turns[gc->step].files(gc);
}

const struct gc_report *gc_report(const struct gc *gc)
{
	return &gc->report;
}

int gc_record(const struct gc *gc, struct store *store, const char *actor, const char *origin, struct err *err)
{
	autobuf struct buf text = { 0 };

	gc_describe(&gc->report, &text);
	if (strcmp(buf_text(&text), NOTHING) == 0)
		return 0;
	return store_add_event(store, "gc.done", actor, origin, buf_text(&text), gc->plan.now_wall_ms, err);
}

void gc_describe(const struct gc_report *report, struct buf *out)
{
	size_t before = out->bytes;

	describe(out, &report->runs, "run", "runs");
	describe(out, &report->logs, "log", "logs");
	describe(out, &report->metrics, "metric", "metrics");
	describe(out, &report->events, "event", "events");
	describe(out, &report->folders, "folder without a run", "folders without a run");
	describe(out, &report->sources, "source", "sources");
	describe(out, &report->fetched, "fetched artifact", "fetched artifacts");
	describe(out, &report->backups, "old backup", "old backups");
	describe(out, &report->left_over, "leftover file", "leftover files");
	if (out->bytes == before)
		buf_append_text(out, NOTHING);
}
