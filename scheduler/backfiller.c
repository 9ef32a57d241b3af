#include "scheduler/backfiller.h"

#include <stdlib.h>

#include "common/clock.h"
#include "common/log.h"
#include "common/mem.h"
#include "scheduler/store_backfill.h"

enum { STEPS_MAX = 16 }; /* in one transaction */

struct backfiller {
	struct engine *engine;
	char *local_zone;
	void (*on_made)(void *context);
	void *context;
	struct writer_job job;
	bool writing;
	int made;
};

static int step_one(struct store *store, struct backfiller *backfiller, int64_t id, struct err *err)
{
	struct store_backfill_step step = { .more = true };

	for (int i = 0; i < STEPS_MAX && step.more; i++) {
		if (store_backfill_step(store, id, backfiller->local_zone, clock_wall_ms(), &step, err) < 0)
			return err->code;
		backfiller->made += step.made;
	}
	return 0;
}

static int write_steps(struct store *store, void *context, struct err *err)
{
	struct backfiller *backfiller = context;
	struct arena arena;
	int64_t *ids;
	size_t count = 0;
	int rc;

	arena_init(&arena);
	rc = store_open_backfills(store, &arena, &ids, &count, err);
	for (size_t i = 0; rc == 0 && i < count; i++)
		rc = step_one(store, backfiller, ids[i], err);
	arena_fini(&arena);
	return rc;
}

static void on_written(void *context, const struct err *err)
{
	struct backfiller *backfiller = context;

	backfiller->writing = false;
	if (err->code != ERR_OK)
		log_error("backfill.failed", TEXT("err", err->text));
	else if (backfiller->made > 0)
		backfiller->on_made(backfiller->context);
}

static bool has_open(struct backfiller *backfiller)
{
	struct arena arena;
	int64_t *ids;
	size_t count = 0;

	arena_init(&arena);
	if (store_open_backfills(engine_reader(backfiller->engine), &arena, &ids, &count, NULL) < 0)
		count = 0;
	arena_fini(&arena);
	return count > 0;
}

struct backfiller *backfiller_new(struct engine *engine, const char *local_zone, void (*on_made)(void *context),
				  void *context)
{
	struct backfiller *backfiller = mem_zalloc(sizeof *backfiller);

	backfiller->engine = engine;
	backfiller->local_zone = local_zone == NULL ? NULL : mem_strdup(local_zone);
	backfiller->on_made = on_made;
	backfiller->context = context;
	return backfiller;
}

void backfiller_look(struct backfiller *backfiller)
{
	if (backfiller->writing || !has_open(backfiller))
		return;
	backfiller->writing = true;
	backfiller->made = 0;
	backfiller->job = (struct writer_job){ .write = write_steps, .done = on_written, .context = backfiller };
	engine_write(backfiller->engine, &backfiller->job);
}

void backfiller_free(struct backfiller *backfiller)
{
	if (backfiller == NULL)
		return;
	free(backfiller->local_zone);
	free(backfiller);
}
