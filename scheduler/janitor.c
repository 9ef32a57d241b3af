#include "scheduler/janitor.h"

#include <stdlib.h>

#include "common/buf.h"
#include "common/clock.h"
#include "common/log.h"
#include "common/mem.h"
#include "common/scope.h"
#include "scheduler/gc.h"
#include "scheduler/settings.h"

struct janitor {
	uv_loop_t *loop;
	struct engine *engine;
	char *home;
	uv_timer_t timer;
	struct gc *gc; /* at work; NULL: resting */
	struct writer_job job;
	uv_work_t work;
	uv_work_cb do_files; /* a turn of each kind begins the next one */
	uv_after_work_cb on_files;
	bool stopping;
};

static void rest(struct janitor *janitor)
{
	gc_free(take(janitor->gc));
}

static void say_what_went(struct janitor *janitor)
{
	autobuf struct buf text = { 0 };

	gc_describe(gc_report(janitor->gc), &text);
	log_info("gc.done", TEXT("removed", buf_text(&text)));
}

static int write_turn(struct store *store, void *context, struct err *err)
{
	struct janitor *janitor = context;

	return gc_store(janitor->gc, store, err);
}

static int write_record(struct store *store, void *context, struct err *err)
{
	struct janitor *janitor = context;

	return gc_record(janitor->gc, store, "stoker", "daemon", err);
}

static void on_recorded(void *context, const struct err *err)
{
	struct janitor *janitor = context;

	if (err->code != ERR_OK)
		log_error("gc.failed", TEXT("err", err->text));
	rest(janitor);
}

static void submit(struct janitor *janitor, int (*write)(struct store *, void *, struct err *),
		   void (*done)(void *, const struct err *))
{
	janitor->job = (struct writer_job){ .write = write, .done = done, .context = janitor };
	engine_write(janitor->engine, &janitor->job);
}

/* `on_turn` is told how the turn at hand went, and calls this again. */
static void take_turn(struct janitor *janitor, void (*on_turn)(void *, const struct err *))
{
	if (janitor->stopping) {
		rest(janitor);
		return;
	}
	switch (gc_need(janitor->gc)) {
	case GC_STORE:
		submit(janitor, write_turn, on_turn);
		break;
	case GC_FILES:
		janitor->work.data = janitor;
		uv_queue_work(janitor->loop, &janitor->work, janitor->do_files, janitor->on_files);
		break;
	case GC_DONE:
		say_what_went(janitor);
		submit(janitor, write_record, on_recorded);
		break;
	}
}

static void on_turn_written(void *context, const struct err *err)
{
	struct janitor *janitor = context;

	if (err->code == ERR_OK) {
		take_turn(janitor, on_turn_written);
		return;
	}
	log_error("gc.failed", TEXT("err", err->text));
	rest(janitor);
}

static void do_files(uv_work_t *work)
{
	struct janitor *janitor = work->data;

	gc_files(janitor->gc);
}

static void on_files(uv_work_t *work, int status)
{
	(void)status;
	take_turn(work->data, on_turn_written);
}

static void on_due(uv_timer_t *timer)
{
	struct janitor *janitor = timer->data;

	if (janitor->gc != NULL || janitor->stopping)
		return;
	janitor->gc = gc_new(&(struct gc_plan){
		.home = janitor->home,
		.retention = &engine_settings(janitor->engine)->retention,
		.now_wall_ms = clock_wall_ms(),
	});
	take_turn(janitor, on_turn_written);
}

struct janitor *janitor_new(uv_loop_t *loop, struct engine *engine, const char *home, uint64_t first_ms)
{
	struct janitor *janitor = mem_zalloc(sizeof *janitor);

	janitor->loop = loop;
	janitor->engine = engine;
	janitor->home = mem_strdup(home);
	janitor->do_files = do_files;
	janitor->on_files = on_files;
	uv_timer_init(loop, &janitor->timer);
	janitor->timer.data = janitor;
	uv_timer_start(&janitor->timer, on_due, first_ms, JANITOR_EVERY_MS);
	return janitor;
}

void janitor_stop(struct janitor *janitor)
{
	janitor->stopping = true;
	uv_close((uv_handle_t *)&janitor->timer, NULL);
}

void janitor_free(struct janitor *janitor)
{
	if (janitor == NULL)
		return;
	gc_free(janitor->gc);
	free(janitor->home);
	free(janitor);
}
