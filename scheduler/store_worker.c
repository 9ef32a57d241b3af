/*
 * store_worker.c - what is stored of workers, beside what the core decides about them
 */
#include <stdlib.h>

#include "common/buf.h"
#include "common/mem.h"
#include "common/scope.h"
#include "scheduler/store_parts.h"

int store_put_worker_labels(struct store *store, const char *worker, const char *const *labels, size_t count,
			    struct err *err)
{
	sqlite3_stmt *stmt = store_statement(store, STMT_put_worker_labels);
	autobuf struct buf text = { 0 };

	for (size_t i = 0; i < count; i++)
		buf_printf(&text, "%s%s", i == 0 ? "" : " ", labels[i]);
	store_bind_text(stmt, 1, worker);
	store_bind_text(stmt, 2, buf_text(&text));
	return store_step_done(store, stmt, "save a worker's labels", err);
}

/* `by`: "" when it is drained no more. With its line in the audit trail. */
static int mark_drained(struct store *store, const char *worker, const char *by, const char *actor, const char *origin,
			int64_t wall_ms, struct err *err)
{
	sqlite3_stmt *stmt;
	int rc = store_begin(store, err);

	if (rc < 0)
		return rc;
	stmt = store_statement(store, STMT_drain_worker);
	store_bind_text(stmt, 1, worker);
	store_bind_text(stmt, 2, by);
	rc = store_step_done(store, stmt, "drain a worker", err);
	if (rc == 0)
		rc = store_put_event(store, 0, by[0] == '\0' ? "worker.undrained" : "worker.drained", actor, origin, worker,
				     wall_ms, err);
	return rc < 0 ? store_undo(store, rc) : store_commit(store, err);
}

int store_drain_worker(struct store *store, const char *worker, const char *actor, const char *origin,
		       int64_t wall_ms, struct err *err)
{
	return mark_drained(store, worker, actor, actor, origin, wall_ms, err);
}

int store_undrain_worker(struct store *store, const char *worker, const char *actor, const char *origin,
			 int64_t wall_ms, struct err *err)
{
	return mark_drained(store, worker, "", actor, origin, wall_ms, err);
}

int store_trust_worker(struct store *store, const char *worker, const char *keys, const char *actor,
		       const char *origin, int64_t wall_ms, struct err *err)
{
	autofree char *text = mem_printf("%s: %s", worker, keys);

	return store_add_event(store, "worker.trusted", actor, origin, text, wall_ms, err);
}

int store_drained_workers(struct store *store, struct arena *arena, const char ***names_out,
			  size_t *count_out, struct err *err)
{
	sqlite3_stmt *stmt = store_statement(store, STMT_drained_workers);
	const char **names = arena_alloc(arena, CORE_WORKERS_MAX * sizeof *names);
	size_t count = 0;
	int rc;

	while ((rc = store_step_row(store, stmt, "read workers", err)) == 1)
		if (count < CORE_WORKERS_MAX)
			names[count++] = store_column_text(stmt, 0, arena);
	*names_out = names;
	*count_out = count;
	return rc;
}
