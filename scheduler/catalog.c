#include "scheduler/catalog.h"

#include <stdlib.h>
#include <string.h>

#include "common/clock.h"
#include "common/log.h"
#include "common/mem.h"
#include "common/scope.h"
#include "scheduler/store_due.h"

enum { RETRY_MS = 1000 };

/* A file, as it is to be written. */
struct entry {
	char *path;
	char *error; /* NULL: good */
	struct registry_dag *good;
	struct timetable_row *rows;
};

/* What is being written, or is in force. */
struct edition {
	struct entry *entries;
	size_t count;
};

struct catalog {
	struct engine *engine;
	struct trigger *trigger;
	struct registry *registry;
	char *local_zone;
	void (*on_changed)(void *context);
	void *context;
	uv_timer_t retry;
	uv_timer_cb on_again; /* its callback */
	struct writer_job job;
	struct edition writing; /* no entries: nothing is */
	struct edition in_force;
	bool is_writing;
	bool again; /* there was a change since it was begun */
	bool stopping;
};

/* --- editions ------------------------------------------------------------------------------------------- */

static void edition_fini(struct edition *edition)
{
	for (size_t i = 0; i < edition->count; i++) {
		free(edition->entries[i].path);
		free(edition->entries[i].error);
		free(edition->entries[i].rows);
		registry_release(edition->entries[i].good);
	}
	free(edition->entries);
	*edition = (struct edition){ 0 };
}

static void edition_take(struct edition *edition, const struct registry *registry)
{
	const struct registry_file *files = registry_files(registry, &edition->count);

	edition->entries = mem_array(edition->count + 1, sizeof *edition->entries);
	for (size_t i = 0; i < edition->count; i++) {
		struct entry *entry = &edition->entries[i];

		entry->path = mem_strdup(files[i].path);
		entry->error = files[i].error == NULL ? NULL : mem_strdup(files[i].error);
		if (files[i].good == NULL)
			continue;
		entry->good = registry_hold(files[i].good);
		entry->rows = mem_array(entry->good->dag->schedules_count + 1, sizeof *entry->rows);
	}
}

static const struct entry *find_dag(const struct edition *edition, const char *name)
{
	for (size_t i = 0; i < edition->count; i++)
		if (edition->entries[i].good != NULL && strcmp(edition->entries[i].good->dag->name, name) == 0)
			return &edition->entries[i];
	return NULL;
}

static bool has_path(const struct edition *edition, const char *path)
{
	for (size_t i = 0; i < edition->count; i++)
		if (strcmp(edition->entries[i].path, path) == 0)
			return true;
	return false;
}

/* --- writing -------------------------------------------------------------------------------------------- */

/* "digits" of "/x/digits.yaml": all there is to call a DAG by whose file was never good. */
static const char *name_of_file(const char *path, struct arena *arena)
{
	const char *slash = strrchr(path, '/'), *base = slash == NULL ? path : slash + 1;
	const char *dot = strrchr(base, '.');

	return arena_strndup(arena, base, dot == NULL ? strlen(base) : (size_t)(dot - base));
}

static int write_entry(struct store *store, const struct catalog *catalog, const struct entry *entry,
		       struct arena *arena, int64_t wall_ms, struct err *err)
{
	const struct dag *dag = entry->good == NULL ? NULL : entry->good->dag;
	const struct store_dag_file file = {
		.path = entry->path,
		.name = dag != NULL ? dag->name : name_of_file(entry->path, arena),
		.digest = dag != NULL ? dag->digest : "",
		.error = entry->error == NULL ? "" : entry->error,
		.seen_ms = wall_ms,
	};

	if (dag != NULL && store_put_dag(store, dag, catalog->local_zone, wall_ms, entry->rows, err) < 0)
		return err->code;
	return store_put_dag_file(store, &file, err);
}

static int drop_gone(struct store *store, const struct edition *edition, struct arena *arena, int64_t wall_ms,
		     struct err *err)
{
	struct store_schedule *schedules;
	struct store_dag_file *files;
	size_t count;

	if (store_load_schedules(store, arena, &schedules, &count, err) < 0)
		return err->code;
	for (size_t i = 0; i < count; i++)
		if (find_dag(edition, schedules[i].dag) == NULL &&
		    store_drop_dag(store, schedules[i].dag, wall_ms, err) < 0)
			return err->code;
	if (store_load_dag_files(store, arena, &files, &count, err) < 0)
		return err->code;
	for (size_t i = 0; i < count; i++)
		if (!has_path(edition, files[i].path) && store_drop_dag_file(store, files[i].path, err) < 0)
			return err->code;
	return 0;
}

static int write_edition(struct store *store, void *context, struct err *err)
{
	__attribute__((cleanup(arena_fini))) struct arena arena = { 0 };
	struct catalog *catalog = context;
	int64_t wall_ms = clock_wall_ms();
	int rc = drop_gone(store, &catalog->writing, &arena, wall_ms, err);

	for (size_t i = 0; rc == 0 && i < catalog->writing.count; i++)
		rc = write_entry(store, catalog, &catalog->writing.entries[i], &arena, wall_ms, err);
	return rc;
}

/* --- in force ------------------------------------------------------------------------------------------- */

static void put_in_force(struct catalog *catalog)
{
	struct edition *now = &catalog->writing, *before = &catalog->in_force;
	struct err err;

	for (size_t i = 0; i < before->count; i++)
		if (before->entries[i].good != NULL && find_dag(now, before->entries[i].good->dag->name) == NULL)
			trigger_remove(catalog->trigger, before->entries[i].good->dag->name);
	for (size_t i = 0; i < now->count; i++) {
		struct entry *entry = &now->entries[i];
		const struct entry *old = entry->good == NULL ? NULL : find_dag(before, entry->good->dag->name);

		if (entry->good == NULL || (old != NULL && old->good == entry->good))
			continue;
		if (trigger_put(catalog->trigger, entry->good, entry->rows, &err) < 0)
			log_error("schedule.refused", TEXT("dag", entry->good->dag->name), TEXT("err", err.text));
	}
	edition_fini(before);
	*before = *now;
	*now = (struct edition){ 0 };
	trigger_look(catalog->trigger);
	if (catalog->on_changed != NULL)
		catalog->on_changed(catalog->context);
}

static void on_edition_written(void *context, const struct err *err)
{
	struct catalog *catalog = context;

	catalog->is_writing = false;
	if (err->code == ERR_OK && !catalog->stopping)
		put_in_force(catalog);
	edition_fini(&catalog->writing);
	if (catalog->stopping)
		return;
	if (err->code != ERR_OK)
		log_error("catalog.failed", TEXT("err", err->text));
	if (err->code != ERR_OK || catalog->again)
		uv_timer_start(&catalog->retry, catalog->on_again, err->code == ERR_OK ? 0 : RETRY_MS, 0);
}

static void write_it(struct catalog *catalog)
{
	catalog->again = catalog->is_writing;
	if (catalog->is_writing || catalog->stopping)
		return;
	catalog->is_writing = true;
	edition_take(&catalog->writing, catalog->registry);
	catalog->job = (struct writer_job){ .write = write_edition, .done = on_edition_written, .context = catalog };
	engine_write(catalog->engine, &catalog->job);
}

static void on_again(uv_timer_t *timer)
{
	write_it(timer->data);
}

static void on_registry_changed(void *context)
{
	write_it(context);
}

/* --- what an earlier daemon knew ------------------------------------------------------------------------ */

static struct dag *recall(void *context, const char *path)
{
	__attribute__((cleanup(arena_fini))) struct arena arena = { 0 };
	struct catalog *catalog = context;
	struct store *store = engine_reader(catalog->engine);
	struct store_dag_file *files;
	struct dag *dag = NULL;
	size_t count;

	if (store_load_dag_files(store, &arena, &files, &count, NULL) < 0)
		return NULL;
	for (size_t i = 0; i < count && dag == NULL; i++)
		if (strcmp(files[i].path, path) == 0 && files[i].digest[0] != '\0')
			store_load_dag(store, files[i].name, &dag, NULL);
	return dag;
}

static const struct registry_handler registry_handler = { .on_changed = on_registry_changed, .recall = recall };

/* --- life ----------------------------------------------------------------------------------------------- */

struct catalog *catalog_new(uv_loop_t *loop, struct engine *engine, struct trigger *trigger, const char *local_zone,
			    void (*on_changed)(void *context), void *context)
{
	struct catalog *catalog = mem_zalloc(sizeof *catalog);

	catalog->engine = engine;
	catalog->trigger = trigger;
	catalog->local_zone = mem_strdup(local_zone);
	catalog->on_changed = on_changed;
	catalog->context = context;
	catalog->registry = registry_new(loop, &registry_handler, catalog);
	uv_timer_init(loop, &catalog->retry);
	catalog->retry.data = catalog;
	catalog->on_again = on_again;
	return catalog;
}

void catalog_start(struct catalog *catalog, const char *const *places, size_t count)
{
	registry_start(catalog->registry, places, count);
	write_it(catalog); /* also when there is no file: those of before may be gone */
}

struct registry *catalog_registry(struct catalog *catalog)
{
	return catalog->registry;
}

void catalog_stop(struct catalog *catalog)
{
	catalog->stopping = true;
	uv_close((uv_handle_t *)&catalog->retry, NULL);
	registry_stop(catalog->registry);
}

void catalog_free(struct catalog *catalog)
{
	if (catalog == NULL)
		return;
	edition_fini(&catalog->writing);
	edition_fini(&catalog->in_force);
	registry_free(catalog->registry);
	free(catalog->local_zone);
	free(catalog);
}
