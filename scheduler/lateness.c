#include "scheduler/lateness.h"

#include <stdlib.h>
#include <string.h>

#include "common/clock.h"
#include "common/list.h"
#include "common/log.h"
#include "common/mem.h"
#include "scheduler/alarm.h"
#include "scheduler/late.h"
#include "scheduler/store_outbox.h"

/* Asked again by then, whatever the clock does. */
#define LOOK_MS (INT64_C(10) * 60 * 1000)

struct lateness {
	struct engine *engine;
	const struct registry *registry;
	struct zones *zones;
	void (*on_told)(void *context, const char *dag);
	void *context;
	struct alarm alarm;
	struct list looks;
	bool stopping;
};

/* One DAG, whose deadline has passed. */
struct look {
	struct lateness *lateness;
	struct arena arena;
	struct store_late late;
	struct notice_list receivers;
	struct writer_job job;
	bool told;
	struct list link;
};

static int write_look(struct store *store, void *context, struct err *err)
{
	struct look *look = context;

	return store_notice_late(store, &look->late, &look->told, err);
}

static void on_looked(void *context, const struct err *err)
{
	struct look *look = context;
	struct lateness *lateness = look->lateness;

	if (err->code != ERR_OK)
		log_error("lateness.failed", TEXT("dag", look->late.dag), TEXT("err", err->text));
	else if (look->told) {
		log_warn("dag.late", TEXT("dag", look->late.dag), TEXT("day", look->late.window.day),
			 TEXT("expected_by", look->late.window.label));
		lateness->on_told(lateness->context, look->late.dag);
	}
	list_remove(&look->link);
	arena_fini(&look->arena);
	free(look);
}

static void look_at(struct lateness *lateness, const struct dag *dag, const struct late_window *window,
		    int64_t now_ms)
{
	const struct notice_terms *terms = &engine_settings(lateness->engine)->notices;
	struct look *look = mem_zalloc(sizeof *look);

	look->lateness = lateness;
	arena_init(&look->arena);
	notice_list(terms, dag, DAG_ON_LATE, &look->arena, &look->receivers);
	look->late = (struct store_late){
		.dag = arena_strdup(&look->arena, dag->name),
		.window = *window,
		.page = arena_strdup_if(&look->arena, terms->page),
		.receivers = &look->receivers,
		.wall_ms = now_ms,
	};
	look->job = (struct writer_job){ .write = write_look, .done = on_looked, .context = look };
	list_append(&lateness->looks, &look->link);
	engine_write(lateness->engine, &look->job);
}

/* When it is to be looked at next. */
static int64_t look_at_dag(struct lateness *lateness, const struct dag *dag, int64_t now_ms)
{
	const char *name = dag->schedules_count > 0 ? dag->schedules[0].timezone : NULL;
	const struct zone *zone;
	struct late_window window;

	if (dag->expect_by_minute < 0 || zones_find(lateness->zones, name, &zone, NULL) < 0)
		return INT64_MAX;
	if (late_window(zone, dag->expect_by_minute, now_ms, &window))
		look_at(lateness, dag, &window, now_ms);
	return late_next_wall_ms(zone, dag->expect_by_minute, now_ms);
}

static void look_at_all(struct lateness *lateness)
{
	size_t count;
	const struct registry_file *files = registry_files(lateness->registry, &count);
	int64_t now_ms = clock_wall_ms(), next_ms = now_ms + LOOK_MS;

	if (lateness->stopping || !list_empty(&lateness->looks))
		return; /* the alarm comes again */
	for (size_t i = 0; i < count; i++) {
		int64_t dag_ms = files[i].good == NULL ? INT64_MAX
						       : look_at_dag(lateness, files[i].good->dag, now_ms);

		if (dag_ms < next_ms)
			next_ms = dag_ms;
	}
	alarm_set(&lateness->alarm, next_ms);
}

static void on_alarm(void *context)
{
	struct lateness *lateness = context;

	alarm_set(&lateness->alarm, clock_wall_ms() + LOOK_MS);
	look_at_all(lateness);
}

int lateness_new(uv_loop_t *loop, struct engine *engine, const struct registry *registry, struct zones *zones,
		 void (*on_told)(void *context, const char *dag), void *context, struct lateness **lateness_out,
		 struct err *err)
{
	struct lateness *lateness = mem_zalloc(sizeof *lateness);

	lateness->engine = engine;
	lateness->registry = registry;
	lateness->zones = zones;
	lateness->on_told = on_told;
	lateness->context = context;
	list_init(&lateness->looks);
	if (alarm_open(loop, &lateness->alarm, on_alarm, lateness, err) < 0) {
		free(lateness);
		return err->code;
	}
	*lateness_out = lateness;
	return 0;
}

void lateness_look(struct lateness *lateness)
{
	look_at_all(lateness);
}

void lateness_stop(struct lateness *lateness)
{
	lateness->stopping = true;
	alarm_close(&lateness->alarm);
}

void lateness_free(struct lateness *lateness)
{
	free(lateness);
}
