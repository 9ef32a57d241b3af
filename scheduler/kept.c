#include "scheduler/kept.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/log.h"
#include "common/mem.h"
#include "common/scope.h"
#include "scheduler/paths.h"
#include "scheduler/store_parts.h"

/* A copy of a run that has ended. */
struct spare_file {
	const char *path;
	int64_t bytes;
	int64_t used_ms; /* the end of its run */
	uint64_t run;	 /* its row in the ledger */
	int64_t step;
	int64_t seq;
};

struct spares {
	struct arena *arena;
	struct spare_file *items;
	size_t count;
	size_t room;
	int64_t bytes;
};

static void add_spare(struct spares *spares, const struct spare_file *file)
{
	mem_grow(&spares->items, &spares->room, spares->count, sizeof *spares->items);
	spares->items[spares->count++] = *file;
	spares->bytes += file->bytes;
}

static int oldest_first(const void *a, const void *b)
{
	const struct spare_file *left = a, *right = b;

	return left->used_ms < right->used_ms ? -1 : left->used_ms > right->used_ms;
}

static int list_copies(struct store *store, struct spares *spares, struct err *err)
{
	sqlite3_stmt *stmt = store_statement(store, STMT_kept_copies);
	int rc;

	while ((rc = store_step_row(store, stmt, "list copies", err)) == 1) {
		const char *dag = store_column_text(stmt, 5, spares->arena);
		const char *task = store_column_text(stmt, 7, spares->arena);
		struct spare_file file = {
			.run = (uint64_t)sqlite3_column_int64(stmt, 0),
			.step = sqlite3_column_int64(stmt, 1),
			.seq = sqlite3_column_int64(stmt, 2),
			.bytes = sqlite3_column_int64(stmt, 3),
			.used_ms = sqlite3_column_int64(stmt, 4),
		};

		file.path = paths_copy(spares->arena, store->home, dag,
				       (uint64_t)sqlite3_column_int64(stmt, 6), task, (uint32_t)file.seq);
		add_spare(spares, &file);
	}
	return rc;
}

static int forget_copy(struct store *store, const struct spare_file *file, struct err *err)
{
	sqlite3_stmt *stmt = store_statement(store, STMT_kept_forget);

	sqlite3_bind_int64(stmt, 1, (int64_t)file->run);
	sqlite3_bind_int64(stmt, 2, file->step);
	sqlite3_bind_int64(stmt, 3, file->seq);
	return store_step_done(store, stmt, "forget a copy", err);
}

static int remove_oldest(struct store *store, struct spares *spares, int64_t bytes_max, struct err *err)
{
	int rc = 0;

	if (spares->bytes > bytes_max)
		qsort(spares->items, spares->count, sizeof *spares->items, oldest_first);
	for (size_t i = 0; rc == 0 && i < spares->count && spares->bytes > bytes_max; i++) {
		const struct spare_file *file = &spares->items[i];

		rc = forget_copy(store, file, err);
		if (rc < 0)
			break;
		unlink(file->path);
		spares->bytes -= file->bytes;
		log_info("copy.removed", TEXT("path", file->path), NUMBER("bytes", file->bytes));
	}
	return rc;
}

int kept_tidy(struct store *store, int64_t bytes_max, struct err *err)
{
	__attribute__((cleanup(arena_fini))) struct arena arena = { 0 };
	struct spares spares = { .arena = &arena };
	int rc = store_begin(store, err);

	if (rc < 0)
		return rc;
	rc = list_copies(store, &spares, err);
	if (rc == 0)
		rc = remove_oldest(store, &spares, bytes_max, err);
	free(spares.items);
	return rc < 0 ? store_undo(store, rc) : store_commit(store, err);
}

static int write_job(struct store *store, void *context, struct err *err)
{
	const struct kept *kept = context;

	return kept_tidy(store, kept->bytes_max, err);
}

static void on_done(void *context, const struct err *err)
{
	struct kept *kept = context;

	kept->pending = false;
	if (err->code != ERR_OK && err->code != ERR_BUSY)
		log_warn("kept.failed", TEXT("err", err->text));
}

bool kept_prepare(struct kept *kept, int64_t bytes_max)
{
	if (kept->pending)
		return false;
	*kept = (struct kept){ .bytes_max = bytes_max, .pending = true };
	kept->job = (struct writer_job){ .write = write_job, .done = on_done, .context = kept };
	return true;
}
