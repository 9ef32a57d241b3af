#include "scheduler/migrate.h"

#include <sqlite3.h>
#include <stdbool.h>

#include "common/buf.h"
#include "common/mem.h"
#include "common/scope.h"
#include "scheduler/store.h"

static const char schema_sql[] =
#include "scheduler/schema_sql.inc"
	;
static const char schema_2_sql[] =
#include "scheduler/schema_2_sql.inc"
	;

/* migrations[N] leads from version N to N + 1. */
static const char *const migrations[STORE_SCHEMA_VERSION] = {
	[0] = schema_sql,
	[1] = schema_2_sql,
};

static int read_pragma(struct store *store, const char *sql, int *value_out, struct err *err)
{
	sqlite3_stmt *stmt = NULL;
	int rc = sqlite3_prepare_v2(store->db, sql, -1, &stmt, NULL);

	if (rc == SQLITE_OK)
		rc = sqlite3_step(stmt);
	if (rc == SQLITE_ROW)
		*value_out = sqlite3_column_int(stmt, 0);
	sqlite3_finalize(stmt);
	return rc == SQLITE_ROW ? 0 : store_error(store, err, "open");
}

static int read_version(struct store *store, int *version_out, struct err *err)
{
	int id;

	/* In this order: both are written in one transaction, and it may end between the two looks. */
	if (read_pragma(store, "PRAGMA user_version", version_out, err) < 0 ||
	    read_pragma(store, "PRAGMA application_id", &id, err) < 0)
		return err->code;
	if (*version_out > 0 && id != STORE_APPLICATION_ID)
		return err_set(err, ERR_CORRUPT, "open: %s is not a database of stoker's; move it away",
			       store->path);
	if (*version_out > STORE_SCHEMA_VERSION)
		return err_set(err, ERR_VERSION,
			       "open: %s was made by a newer stoker (its schema is version %d, this program "
			       "knows %d);"
			       " use that one, or restore a backup made before the upgrade",
			       store->path, *version_out, STORE_SCHEMA_VERSION);
	return 0;
}

static int back_up(struct store *store, int version, struct err *err)
{
	autofree char *path = mem_printf("%s.v%d.backup", store->path, version);
	sqlite3 *copy = NULL;
	sqlite3_backup *backup;
	int rc = sqlite3_open(path, &copy);

	backup = rc == SQLITE_OK ? sqlite3_backup_init(copy, "main", store->db, "main") : NULL;
	if (backup != NULL) {
		sqlite3_backup_step(backup, -1);
		rc = sqlite3_backup_finish(backup);
	}
	sqlite3_close(copy);
	return backup != NULL && rc == SQLITE_OK
		       ? 0
		       : err_set(err, ERR_IO, "back up %s before an upgrade to %s failed", store->path, path);
}

/* All steps in one transaction: whoever looks meanwhile sees the old version or the new one. */
static int migrate_from(struct store *store, int version, struct err *err)
{
	autobuf struct buf sql = { 0 };

	buf_append_text(&sql, "BEGIN EXCLUSIVE; ");
	for (; version < STORE_SCHEMA_VERSION; version++)
		buf_append_text(&sql, migrations[version]);
	buf_printf(&sql, "; PRAGMA application_id = %d; PRAGMA user_version = %d; COMMIT;", STORE_APPLICATION_ID,
		   STORE_SCHEMA_VERSION);
	if (sqlite3_exec(store->db, buf_text(&sql), NULL, NULL, NULL) == SQLITE_OK)
		return 0;
	store_error(store, err, "make the schema");
	sqlite3_exec(store->db, "ROLLBACK", NULL, NULL, NULL);
	return err->code;
}

int migrate(struct store *store, struct err *err)
{
	int version;

	if (read_version(store, &version, err) < 0)
		return err->code;
	if (version == STORE_SCHEMA_VERSION)
		return 0;
	if (version > 0 && store->path != NULL && back_up(store, version, err) < 0)
		return err->code;
	return migrate_from(store, version, err);
}

int migrate_check(struct store *store, struct err *err)
{
	int version;

	if (read_version(store, &version, err) < 0)
		return err->code;
	if (version == 0) /* its maker is at it this very moment */
		return err_set(err, ERR_NOT_FOUND, "nothing has run here yet: %s is empty", store->path);
	if (version < STORE_SCHEMA_VERSION)
		return err_set(err, ERR_VERSION,
			       "open: %s has the schema of an older stoker (version %d); it is brought"
			       " up to date by the next `stoker run`",
			       store->path, version);
	return 0;
}
