#include "scheduler/view_limits.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "common/clock.h"
#include "common/mem.h"
#include "common/scope.h"
#include "scheduler/settings.h"
#include "scheduler/view.h"
#include "scheduler/view_rows.h"

enum { ROWS_MAX = 4096, HOLDERS_SHOWN_MAX = 100 };

/* --- rows ----------------------------------------------------------------------------------------------- */

static const char *keep_text(struct arena *arena, sqlite3_stmt *stmt, int column)
{
	return arena_strdup(arena, view_text(stmt, column));
}

/* The columns that limits_holders and limits_ready begin with. */
static struct why_ask read_ask(struct arena *arena, sqlite3_stmt *stmt)
{
	return (struct why_ask){
		.run_name = arena_printf(arena, "%s/%" PRId64, view_text(stmt, 0),
					 (int64_t)sqlite3_column_int64(stmt, 1)),
		.run = (uint64_t)sqlite3_column_int64(stmt, 2),
		.step = (uint32_t)sqlite3_column_int64(stmt, 3),
		.task = keep_text(arena, stmt, 4),
		.pool = keep_text(arena, stmt, 5),
		.worker = keep_text(arena, stmt, 6),
		.resources = { .cpus_milli = sqlite3_column_int64(stmt, 7),
			       .memory_bytes = sqlite3_column_int64(stmt, 8),
			       .gpus = sqlite3_column_int(stmt, 9) },
	};
}

/* Of a list of UUIDs, comma-separated. */
static int count_devices(const char *list)
{
	int count = list[0] != '\0';

	for (; *list != '\0'; list++)
		count += *list == ',';
	return count;
}

/* What a read gathers before it goes to the arena. */
struct rows {
	void *items;
	size_t count, room;
};

static int read_pools(struct store *store, struct arena *arena, struct rows *rows, struct err *err)
{
	sqlite3_stmt *stmt = store_statement(store, STMT_limits_pools);
	int rc;

	while ((rc = view_next(store, stmt, err)) == 1) {
		mem_grow(&rows->items, &rows->room, rows->count, sizeof(struct why_pool));
		((struct why_pool *)rows->items)[rows->count++] =
			(struct why_pool){ keep_text(arena, stmt, 0), sqlite3_column_int(stmt, 1) };
	}
	return rc;
}

static int read_holders(struct store *store, struct arena *arena, struct rows *rows, struct err *err)
{
	sqlite3_stmt *stmt = store_statement(store, STMT_limits_holders);
	int rc;

	sqlite3_bind_int(stmt, 1, ROWS_MAX);
	while ((rc = view_next(store, stmt, err)) == 1) {
		mem_grow(&rows->items, &rows->room, rows->count, sizeof(struct why_holder));
		((struct why_holder *)rows->items)[rows->count++] = (struct why_holder){
			.ask = read_ask(arena, stmt),
			.number = (uint32_t)sqlite3_column_int64(stmt, 10),
			.state = keep_text(arena, stmt, 11),
			.worker = keep_text(arena, stmt, 12),
			.since_wall_ms = sqlite3_column_int64(stmt, 13),
			.devices = count_devices(view_text(stmt, 14)),
		};
	}
	return rc;
}

static int read_waiting(struct store *store, struct arena *arena, struct rows *rows, struct err *err)
{
	sqlite3_stmt *stmt = store_statement(store, STMT_limits_ready);
	int rc;

	sqlite3_bind_int(stmt, 1, ROWS_MAX);
	while ((rc = view_next(store, stmt, err)) == 1) {
		mem_grow(&rows->items, &rows->room, rows->count, sizeof(struct why_waiting));
		((struct why_waiting *)rows->items)[rows->count++] = (struct why_waiting){
			.ask = read_ask(arena, stmt),
			.priority = sqlite3_column_int(stmt, 10),
			.count = (size_t)sqlite3_column_int64(stmt, 11),
			.since_wall_ms = sqlite3_column_int64(stmt, 12),
		};
	}
	return rc;
}

static const void *settle(struct arena *arena, const struct rows *rows, size_t item_bytes)
{
	return rows->count == 0 ? NULL : arena_memdup(arena, rows->items, rows->count * item_bytes);
}

int view_limits_read(struct store *store, struct arena *arena, struct why *out, struct err *err)
{
	struct rows pools = { 0 }, holders = { 0 }, waiting = { 0 };
	int rc = view_begin(store, err);

	if (rc < 0)
		return rc;
	rc = read_pools(store, arena, &pools, err);
	if (rc == 0)
		rc = read_holders(store, arena, &holders, err);
	if (rc == 0)
		rc = read_waiting(store, arena, &waiting, err);
	view_end(store);
	if (rc == 0) {
		out->pools = settle(arena, &pools, sizeof *out->pools);
		out->pools_count = pools.count;
		out->holders = settle(arena, &holders, sizeof *out->holders);
		out->holders_count = holders.count;
		why_rank(out, waiting.items, waiting.count);
		out->waiting = settle(arena, &waiting, sizeof *out->waiting);
		out->waiting_count = waiting.count;
	}
	free(pools.items);
	free(holders.items);
	free(waiting.items);
	return rc;
}

const char *view_limits_waits_for(struct store *store, uint64_t run, struct arena *arena)
{
	sqlite3_stmt *stmt = store_statement(store, STMT_limits_waits_for);
	const char *text = "";

	sqlite3_bind_int64(stmt, 1, (int64_t)run);
	if (view_next(store, stmt, NULL) == 1)
		text = keep_text(arena, stmt, 0);
	if (stmt != NULL)
		sqlite3_reset(stmt);
	return text;
}

/* --- the pools, for people ------------------------------------------------------------------------------ */

static json_t *pool_object(const char *name, const struct settings_pool *pool)
{
	json_t *object = json_object();

	view_set_text(object, "pool", name);
	json_object_set_new(object, "slots", pool == NULL ? json_null() : json_integer(pool->slots));
	json_object_set_new(object, "description",
			    pool == NULL || pool->description == NULL ? json_null() : view_string(pool->description));
	json_object_set_new(object, "used", json_integer(0));
	json_object_set_new(object, "holders", json_array());
	json_object_set_new(object, "waiting", json_integer(0));
	json_object_set_new(object, "next", json_array());
	return object;
}

/* The pool of that name, which becomes one when the settings do not name it (any more). */
static json_t *find_pool(json_t *pools, const char *name)
{
	json_t *pool;
	size_t i;

	json_array_foreach(pools, i, pool) {
		if (strcmp(json_string_value(json_object_get(pool, "pool")), name) == 0)
			return pool;
	}
	pool = pool_object(name, NULL);
	json_array_append_new(pools, pool);
	return pool;
}

static void add_to(json_t *pool, const char *key, json_int_t more)
{
	json_t *number = json_object_get(pool, key);

	json_integer_set(number, json_integer_value(number) + more);
}

static void append_shown(json_t *pool, const char *key, json_t *object)
{
	json_t *list = json_object_get(pool, key);

	if (json_array_size(list) < HOLDERS_SHOWN_MAX)
		json_array_append_new(list, object);
	else
		json_decref(object);
}

static void add_holders(json_t *pools, const struct why *why)
{
	for (size_t i = 0; i < why->holders_count; i++) {
		const struct why_holder *holder = &why->holders[i];
		json_t *object, *pool;

		if (holder->ask.pool[0] == '\0')
			continue;
		pool = find_pool(pools, holder->ask.pool);
		object = json_object();
		view_set_text(object, "run", holder->ask.run_name);
		view_set_text(object, "task", holder->ask.task);
		view_set_number(object, "attempt", holder->number);
		view_set_text(object, "state", holder->state);
		view_set_text(object, "worker", holder->worker);
		view_set_time(object, "since", holder->since_wall_ms);
		append_shown(pool, "holders", object);
		add_to(pool, "used", 1);
	}
}

static void add_waiting(json_t *pools, const struct why *why)
{
	for (size_t i = 0; i < why->waiting_count; i++) {
		const struct why_waiting *waiting = &why->waiting[i];
		json_t *object, *pool;

		if (waiting->ask.pool[0] == '\0')
			continue;
		pool = find_pool(pools, waiting->ask.pool);
		object = json_object();
		view_set_text(object, "run", waiting->ask.run_name);
		view_set_text(object, "task", waiting->ask.task);
		view_set_number(object, "count", (int64_t)waiting->count);
		view_set_number(object, "priority", waiting->priority);
		view_set_time(object, "since", waiting->since_wall_ms);
		append_shown(pool, "next", object);
		add_to(pool, "waiting", (json_int_t)waiting->count);
	}
}

static json_t *list_pools(const struct settings *settings)
{
	json_t *answer = json_object(), *pools = json_array();

	json_object_set_new(answer, "pools", pools);
	for (size_t i = 0; i < settings->pools_count; i++)
		json_array_append_new(pools, pool_object(settings->pools[i].name, &settings->pools[i]));
	return answer;
}

int view_pools(struct store *store, const struct settings *settings, json_t **out, struct err *err)
{
	__attribute__((cleanup(arena_fini))) struct arena arena = { 0 };
	struct why why = { .wall_ms = clock_wall_ms() };
	int rc = view_limits_read(store, &arena, &why, err);

	if (rc < 0)
		return rc;
	*out = list_pools(settings);
	add_holders(json_object_get(*out, "pools"), &why);
	add_waiting(json_object_get(*out, "pools"), &why);
	return 0;
}

json_t *view_pools_unused(const struct settings *settings)
{
	return list_pools(settings);
}
