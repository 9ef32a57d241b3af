/*
 * view_workers.c - the workers: as configured, as they were seen last, and who holds them
 */
#include <inttypes.h>
#include <string.h>

#include "common/mem.h"
#include "common/scope.h"
#include "scheduler/settings.h"
#include "scheduler/view.h"
#include "scheduler/view_rows.h"

/* "set aside" is over when its time is. */
static const char *state_of(sqlite3_stmt *stmt, bool configured, int64_t now_wall_ms)
{
	if (!configured)
		return "not configured";
	if (view_text(stmt, 9)[0] != '\0')
		return "draining";
	if (sqlite3_column_int64(stmt, 8) > now_wall_ms)
		return "set aside";
	if (view_text(stmt, 5)[0] != '\0')
		return "failing";
	return sqlite3_column_int64(stmt, 12) == 0 ? "never connected" : "ok";
}

static json_t *labels_array(const struct settings_worker *worker)
{
	json_t *labels = json_array();

	for (size_t i = 0; worker != NULL && i < worker->terms.labels_count; i++)
		json_array_append_new(labels, view_string(worker->terms.labels[i]));
	return labels;
}

/* As the database has them: separated by commas. */
static json_t *devices_array(const char *text)
{
	json_t *list = json_array();

	while (*text != '\0') {
		size_t bytes = strcspn(text, ",");

		json_array_append_new(list, json_stringn(text, bytes));
		text += bytes;
		text += *text == ',';
	}
	return list;
}

static int add_holders(struct store *store, json_t *object, const char *worker, struct err *err)
{
	sqlite3_stmt *stmt = store_statement(store, STMT_view_worker_holders);
	json_t *holders = json_array();
	int rc;

	json_object_set_new(object, "running", holders);
	if (stmt != NULL)
		sqlite3_bind_text(stmt, 1, worker, -1, SQLITE_STATIC);
	while ((rc = view_next(store, stmt, err)) == 1) {
		json_t *holder = json_object();
		autofree char *run = mem_printf("%s/%" PRId64, view_text(stmt, 0),
						 (int64_t)sqlite3_column_int64(stmt, 1));

		view_set_text(holder, "run", run);
		view_set_text(holder, "task", view_text(stmt, 2));
		view_set_number(holder, "attempt", sqlite3_column_int64(stmt, 3));
		view_set_text(holder, "state", view_text(stmt, 4));
		json_object_set_new(holder, "devices", devices_array(view_text(stmt, 5)));
		json_array_append_new(holders, holder);
	}
	return rc;
}

static json_t *worker_object(const char *name, const struct settings_worker *worker)
{
	json_t *object = json_object();

	view_set_text(object, "worker", name);
	json_object_set_new(object, "address",
			    worker == NULL || !worker->terms.remote ? json_null()
								    : view_string(worker->target.destination));
	json_object_set_new(object, "labels", labels_array(worker));
	json_object_set_new(object, "slots",
			    worker == NULL || worker->terms.slots == 0 ? json_null()
								       : json_integer(worker->terms.slots));
	return object;
}

static void fill_seen(json_t *object, sqlite3_stmt *stmt, bool configured, int64_t now_wall_ms)
{
	int64_t aside_wall_ms = sqlite3_column_int64(stmt, 8);
	bool aside = aside_wall_ms > now_wall_ms;

	view_set_text(object, "state", state_of(stmt, configured, now_wall_ms));
	view_set_word(object, "host", view_text(stmt, 10));
	view_set_word(object, "machine", view_text(stmt, 11));
	json_object_set_new(object, "cpus", json_real((double)sqlite3_column_int64(stmt, 1) / 1000));
	view_set_number(object, "memory_bytes", sqlite3_column_int64(stmt, 2));
	view_set_number(object, "gpus", sqlite3_column_int64(stmt, 3));
	view_set_time(object, "seen", sqlite3_column_int64(stmt, 12));
	view_set_word(object, "trouble", view_text(stmt, 5));
	view_set_word(object, "fault", view_text(stmt, 13));
	view_set_time(object, "trouble_since", sqlite3_column_int64(stmt, 6));
	view_set_word(object, "aside", aside ? view_text(stmt, 7) : "");
	view_set_time(object, "aside_until", aside ? aside_wall_ms : 0);
	view_set_word(object, "drained_by", view_text(stmt, 9));
	json_object_set_new(object, "load", json_null());
}

static void fill_unseen(json_t *object)
{
	static const char *const nulls[] = { "host", "machine", "cpus", "memory_bytes", "gpus", "seen", "trouble",
					     "fault", "trouble_since", "aside", "aside_until", "drained_by", "load" };

	view_set_text(object, "state", "never connected");
	for (size_t i = 0; i < COUNT_OF(nulls); i++)
		json_object_set_new(object, nulls[i], json_null());
	json_object_set_new(object, "running", json_array());
}

/* In the order of the settings; then those that are known from before only, while something is there. */
static json_t *sort_workers(const struct settings *settings, json_t *seen)
{
	json_t *sorted = json_array(), *object;
	const char *name;

	for (size_t i = 0; i < settings->workers_count; i++) {
		const struct settings_worker *worker = &settings->workers[i];

		object = json_object_get(seen, worker->name);
		if (object == NULL) {
			object = worker_object(worker->name, worker);
			fill_unseen(object);
			json_array_append_new(sorted, object);
		} else {
			json_array_append(sorted, object);
			json_object_del(seen, worker->name);
		}
	}
	json_object_foreach(seen, name, object) {
		if (json_array_size(json_object_get(object, "running")) > 0)
			json_array_append(sorted, object);
	}
	return sorted;
}

int view_workers(struct store *store, const struct settings *settings, int64_t now_wall_ms, json_t **out,
		 struct err *err)
{
	autojson json_t *seen = json_object();
	sqlite3_stmt *stmt = store_statement(store, STMT_view_workers);
	const char *name;
	json_t *object;
	int rc;

	while ((rc = view_next(store, stmt, err)) == 1) {
		const struct settings_worker *worker = settings_find(settings, view_text(stmt, 0));

		object = worker_object(view_text(stmt, 0), worker);
		fill_seen(object, stmt, worker != NULL, now_wall_ms);
		json_object_set_new_nocheck(seen, view_text(stmt, 0), object);
	}
	json_object_foreach(seen, name, object) {
		if (rc == 0)
			rc = add_holders(store, object, name, err);
	}
	if (rc < 0)
		return rc;
	*out = json_object();
	json_object_set_new(*out, "workers", sort_workers(settings, seen));
	return 0;
}

json_t *view_workers_unseen(const struct settings *settings)
{
	autojson json_t *seen = json_object();
	json_t *answer = json_object();

	json_object_set_new(answer, "workers", sort_workers(settings, seen));
	return answer;
}

static void set_bytes(json_t *object, const char *key, int64_t bytes)
{
	json_object_set_new(object, key, bytes < 0 ? json_null() : json_integer(bytes));
}

json_t *view_load(const struct load *load, int64_t told_wall_ms)
{
	json_t *object = json_object();

	view_set_time(object, "at", told_wall_ms);
	json_object_set_new(object, "load1",
			    load->load1_milli < 0 ? json_null() : json_real((double)load->load1_milli / 1000));
	set_bytes(object, "memory_bytes", load->memory_bytes);
	set_bytes(object, "memory_available_bytes", load->memory_available_bytes);
	set_bytes(object, "disk_bytes", load->disk_bytes);
	set_bytes(object, "disk_free_bytes", load->disk_free_bytes);
	return object;
}
