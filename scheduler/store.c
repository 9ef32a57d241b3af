#include "scheduler/store.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <sys/vfs.h>

#include "common/clock.h"
#include "common/mem.h"
#include "common/scope.h"
#include "scheduler/migrate.h"
#include "scheduler/store_parts.h"

enum {
	FS_NFS = 0x6969,
	FS_SMB = 0x517b,
	FS_CIFS = (int)0xff534d42,
	FS_SMB2 = (int)0xfe534d42,
	FS_AFS = 0x5346414f,
	FS_CEPH = 0x00c36400
};

static const char *const statement_sql[STMT_COUNT] = {
#define STATEMENT(name, sql) [STMT_##name] = sql,
#include "scheduler/statements.def"
#undef STATEMENT
};

/* --- opening -------------------------------------------------------------------------------------------- */

int store_home(struct arena *arena, const char **home_out, struct err *err)
{
	const char *named = getenv("STOKER_HOME");
	const char *state = getenv("XDG_STATE_HOME");
	const char *user = getenv("HOME");

	if (named != NULL && named[0] == '/')
		*home_out = arena_strdup(arena, named);
	else if (named != NULL && named[0] != '\0')
		return err_set(err, ERR_INVALID, "STOKER_HOME is '%s': it must be an absolute path", named);
	else if (state != NULL && state[0] == '/')
		*home_out = arena_printf(arena, "%s/stoker", state);
	else if (user != NULL && user[0] == '/')
		*home_out = arena_printf(arena, "%s/.local/state/stoker", user);
	else
		return err_set(err, ERR_NOT_FOUND,
			       "no place for the state: set STOKER_HOME to a folder's path");
	return 0;
}

int store_error(struct store *store, struct err *err, const char *doing)
{
	int code = sqlite3_errcode(store->db);
	int sys = sqlite3_system_errno(store->db);
	const char *path = store->path == NULL ? "the database" : store->path;

	switch (code & 0xff) {
	case SQLITE_FULL:
		return err_set(err, ERR_FULL,
			       "%s: %s: the disk is full; free some space, nothing acknowledged is lost",
			       doing, path);
	case SQLITE_READONLY:
	case SQLITE_PERM:
	case SQLITE_AUTH:
		return err_set(err, ERR_DENIED,
			       "%s: %s cannot be written; check its owner and that its file system is"
			       " not read-only, or set STOKER_HOME to another folder",
			       doing, path);
	case SQLITE_CORRUPT:
	case SQLITE_NOTADB:
		return err_set(err, ERR_CORRUPT,
			       "%s: %s is damaged (%s); move it away and restore a backup in its place"
			       " (`sqlite3 %s .recover` may save what is left)",
			       doing, path, sqlite3_errmsg(store->db), path);
	case SQLITE_BUSY:
	case SQLITE_LOCKED:
		return err_set(err, ERR_BUSY, "%s: %s is locked by another process for more than %d s", doing,
			       path, STORE_BUSY_MS / 1000);
	case SQLITE_CANTOPEN:
	case SQLITE_IOERR:
		if (sys == ENOSPC || sys == EDQUOT)
			return err_set(err, ERR_FULL,
				       "%s: %s: the disk is full; free some space, nothing acknowledged"
				       " is lost",
				       doing, path);
		if (sys == EACCES || sys == EROFS || sys == EPERM)
			return err_set(err, ERR_DENIED,
				       "%s: %s cannot be opened: %s; check its owner and mode, or set"
				       " STOKER_HOME to another folder",
				       doing, path, strerror(sys));
		return err_set(err, ERR_IO, "%s: %s: %s (%s)", doing, path, sqlite3_errmsg(store->db),
			       strerror(sys));
	default:
		return err_set(err, ERR_IO, "%s: %s: %s", doing, path, sqlite3_errmsg(store->db));
	}
}

static int run_sql(struct store *store, const char *sql, const char *doing, struct err *err)
{
	if (sqlite3_exec(store->db, sql, NULL, NULL, NULL) != SQLITE_OK)
		return store_error(store, err, doing);
	return 0;
}

/* mkdir -p, 0700 for what is made. */
static int make_folders(const char *path, struct err *err)
{
	autofree char *copy = mem_strdup(path);

	for (char *at = copy + 1;; at++) {
		char was = *at;

		if (was != '/' && was != '\0')
			continue;
		*at = '\0';
		if (mkdir(copy, 0700) < 0 && errno != EEXIST) {
			err_errno(err, "%s", copy);
			if (err->code == ERR_NOT_FOUND) /* that is for readers: there is no state yet */
				err->code = ERR_IO;
			return err_wrap(err, "make the state folder %s", path);
		}
		if (was == '\0')
			return 0;
		*at = was;
	}
}

static int refuse_network(const char *home, struct err *err)
{
	struct statfs fs;

	if (statfs(home, &fs) < 0)
		return err_errno(err, "look at the file system of %s", home);
	switch ((int)fs.f_type) {
	case FS_NFS:
	case FS_SMB:
	case FS_CIFS:
	case FS_SMB2:
	case FS_AFS:
	case FS_CEPH:
		return err_set(err, ERR_INVALID,
			       "%s is on a network file system, where a database cannot be kept"
			       " safely; set STOKER_HOME to a folder on a local disk",
			       home);
	default:
		return 0;
	}
}

static struct store *store_new(const char *home)
{
	struct store *store = mem_zalloc(sizeof *store);

	if (home != NULL) {
		store->home = mem_strdup(home);
		store->path = mem_printf("%s/stoker.db", home);
	}
	return store;
}

const char *store_sql(enum store_statement which)
{
	return statement_sql[which];
}

sqlite3_stmt *store_statement(struct store *store, enum store_statement which)
{
	sqlite3_stmt **slot = &store->statements[which];

	if (*slot == NULL && sqlite3_prepare_v3(store->db, statement_sql[which], -1,
						SQLITE_PREPARE_PERSISTENT, slot, NULL) != SQLITE_OK)
		return NULL;
	sqlite3_reset(*slot);
	return *slot;
}

/* SQLite's own NULL statement calls answer SQLITE_MISUSE, so a failed prepare shows up at the first step. */
int store_step_done(struct store *store, sqlite3_stmt *stmt, const char *doing, struct err *err)
{
	int rc = stmt == NULL ? SQLITE_ERROR : sqlite3_step(stmt);

	if (stmt != NULL)
		sqlite3_reset(stmt);
	return rc == SQLITE_DONE || rc == SQLITE_ROW ? 0 : store_error(store, err, doing);
}

/* 1: a row, 0: no more, negative: an error. */
int store_step_row(struct store *store, sqlite3_stmt *stmt, const char *doing, struct err *err)
{
	int rc = stmt == NULL ? SQLITE_ERROR : sqlite3_step(stmt);

	if (rc == SQLITE_ROW)
		return 1;
	if (rc == SQLITE_DONE) {
		sqlite3_reset(stmt);
		return 0;
	}
	return store_error(store, err, doing);
}

void store_bind_text(sqlite3_stmt *stmt, int at, const char *text)
{
	sqlite3_bind_text(stmt, at, text == NULL ? "" : text, -1, SQLITE_STATIC);
}

const char *store_column_text(sqlite3_stmt *stmt, int at, struct arena *arena)
{
	const unsigned char *text = sqlite3_column_text(stmt, at);

	return text == NULL ? "" : arena_strdup(arena, (const char *)text);
}

/* 1: it has one, 0: none yet, negative: an error. */
static int read_name(struct store *store, struct err *err)
{
	sqlite3_stmt *stmt = store_statement(store, STMT_home_name);
	int rc = store_step_row(store, stmt, "open", err);

	if (rc == 1) {
		strncpy(store->name, (const char *)sqlite3_column_text(stmt, 0), sizeof store->name - 1);
		sqlite3_reset(stmt);
	}
	return rc;
}

/*
 * A state folder gets its name once, at random, so that two schedulers never mistake each other's attempts.
 */
static int make_name(struct store *store, struct err *err)
{
	uint8_t bytes[6];
	sqlite3_stmt *stmt;

	if (getrandom(bytes, sizeof bytes, 0) != (ssize_t)sizeof bytes)
		return err_errno(err, "draw random numbers");
	for (size_t i = 0; i < sizeof bytes; i++)
		snprintf(store->name + 2 * i, 3, "%02x", bytes[i]);
	stmt = store_statement(store, STMT_add_home);
	store_bind_text(stmt, 1, store->name);
	sqlite3_bind_int64(stmt, 2, clock_wall_ms());
	return store_step_done(store, stmt, "open", err);
}

static int configure(struct store *store, struct err *err)
{
	if (!store->writable)
		return run_sql(store, "PRAGMA query_only = on", "open", err);
	return run_sql(store,
		       "PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL; PRAGMA foreign_keys = on;"
		       "PRAGMA wal_autocheckpoint = 2000; PRAGMA journal_size_limit = 33554432;",
		       "open", err);
}

/* Before anything is asked: also the first question waits while the database is locked. */
static int open_database(struct store *store, int flags, struct err *err)
{
	const char *path = store->path == NULL ? ":memory:" : store->path;

	if (sqlite3_open_v2(path, &store->db, flags | SQLITE_OPEN_NOMUTEX, NULL) != SQLITE_OK)
		return store_error(store, err, "open");
	sqlite3_busy_timeout(store->db, STORE_BUSY_MS);
	sqlite3_extended_result_codes(store->db, 1);
	return 0;
}

static bool is_new(const struct store *store)
{
	struct stat st;

	return store->path == NULL || stat(store->path, &st) < 0 || st.st_size == 0;
}

static int open_writer(struct store *store, struct err *err)
{
	bool new = is_new(store);
	int rc;

	store->writable = true;
	if (open_database(store, SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE, err) < 0)
		return err->code;
	/* What gc frees can be given back; it can be said to an empty database alone. */
	if (new && run_sql(store, "PRAGMA auto_vacuum = INCREMENTAL", "open", err) < 0)
		return err->code;
	if (configure(store, err) < 0 || migrate(store, err) < 0)
		return err->code;
	rc = read_name(store, err);
	if (rc == 0)
		return make_name(store, err);
	return rc < 0 ? rc : 0;
}

int store_make_home(const char *home, struct err *err)
{
	int rc = make_folders(home, err);

	return rc < 0 ? rc : refuse_network(home, err);
}

int store_open(const char *home, struct store **store_out, struct err *err)
{
	struct store *store;
	autofree char *lock_path = mem_printf("%s/lock", home);
	autoclose int lock = -1;
	int rc;

	if (store_make_home(home, err) < 0)
		return err->code;
	lock = open(lock_path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
	if (lock < 0)
		return err_errno(err, "open %s", lock_path);
	if (flock(lock, LOCK_EX) < 0) /* held for the moment of opening: one process makes or migrates at a time */
		return err_errno(err, "lock %s", lock_path);
	store = store_new(home);
	rc = open_writer(store, err);
	if (rc < 0) {
		store_close(store);
		return rc;
	}
	*store_out = store;
	return 0;
}

int store_open_reader(const char *home, struct store **store_out, struct err *err)
{
	struct store *store = store_new(home);
	struct stat st;
	int rc;

	if (stat(store->path, &st) < 0) {
		rc = errno == ENOENT ? err_set(err, ERR_NOT_FOUND, "nothing has run here yet: there is no %s",
					       store->path)
				     : err_errno(err, "open %s", store->path);
	} else {
		rc = open_database(store, SQLITE_OPEN_READONLY, err);
		if (rc == 0)
			rc = configure(store, err);
		if (rc == 0)
			rc = migrate_check(store, err);
		if (rc == 0)
			rc = read_name(store, err);
		if (rc == 0) /* its maker is at it this very moment */
			rc = err_set(err, ERR_NOT_FOUND, "nothing has run here yet: %s has no name", store->path);
	}
	if (rc < 0) {
		store_close(store);
		return rc;
	}
	*store_out = store;
	return 0;
}

int store_open_memory(struct store **store_out, struct err *err)
{
	struct store *store = store_new(NULL);
	int rc = open_writer(store, err);

	if (rc < 0) {
		store_close(store);
		return rc;
	}
	*store_out = store;
	return 0;
}

void store_close(struct store *store)
{
	if (store == NULL)
		return;
	for (size_t i = 0; i < STMT_COUNT; i++)
		sqlite3_finalize(store->statements[i]);
	sqlite3_close(store->db);
	free(store->home);
	free(store->path);
	free(store);
}

/* --- transactions --------------------------------------------------------------------------------------- */

int store_begin(struct store *store, struct err *err)
{
	int rc = store_step_done(store, store_statement(store, store->depth == 0 ? STMT_begin : STMT_savepoint),
				 "begin", err);

	if (rc == 0)
		store->depth++;
	return rc;
}

/* A full disk ends the whole transaction by itself: then there is nothing left to take back. */
int store_undo(struct store *store, int rc)
{
	bool open = sqlite3_get_autocommit(store->db) == 0;

	store->depth--;
	if (!open)
		return rc;
	if (store->depth == 0) {
		store_step_done(store, store_statement(store, STMT_rollback), "roll back", NULL);
	} else {
		store_step_done(store, store_statement(store, STMT_rollback_to), "roll back", NULL);
		store_step_done(store, store_statement(store, STMT_release), "roll back", NULL);
	}
	return rc;
}

/*
 * SQLite goes on writing to a journal that was removed beneath it, without an error, and all that it
 * acknowledged since is gone with the process. So each commit looks whether the journal is still the file of
 * that name.
 */
static int check_journal(struct store *store, struct err *err)
{
	autofree char *path = NULL;
	struct stat st;

	if (store->path == NULL)
		return 0;
	path = mem_printf("%s-wal", store->path);
	if (stat(path, &st) < 0 || (store->wal_inode != 0 && st.st_ino != store->wal_inode))
		return err_set(err, ERR_CORRUPT,
			       "%s was removed or replaced while stoker was using it; stop all stoker"
			       " processes and restore a backup",
			       path);
	store->wal_inode = st.st_ino;
	return 0;
}

int store_commit(struct store *store, struct err *err)
{
	bool whole = store->depth == 1;
	int rc = store_step_done(store, store_statement(store, whole ? STMT_commit : STMT_release), "commit", err);

	if (rc < 0)
		return store_undo(store, rc);
	store->depth--;
	return whole ? check_journal(store, err) : 0;
}

/* --- small things --------------------------------------------------------------------------------------- */

int store_next_epoch(struct store *store, const char *worker, uint64_t *epoch_out, struct err *err)
{
	sqlite3_stmt *stmt;
	int rc = store_begin(store, err);

	if (rc < 0)
		return rc;
	stmt = store_statement(store, STMT_next_epoch);
	store_bind_text(stmt, 1, worker);
	rc = store_step_row(store, stmt, "count a connection", err);
	if (rc < 0)
		return store_undo(store, rc);
	*epoch_out = (uint64_t)sqlite3_column_int64(stmt, 0);
	sqlite3_reset(stmt);
	return store_commit(store, err);
}

int store_add_request(struct store *store, uint64_t run, const char *verb, const char *actor,
		      const char *origin, int64_t wall_ms, struct err *err)
{
	sqlite3_stmt *stmt = store_statement(store, STMT_add_request);

	sqlite3_bind_int64(stmt, 1, (int64_t)run);
	store_bind_text(stmt, 2, verb);
	store_bind_text(stmt, 3, actor);
	store_bind_text(stmt, 4, origin);
	sqlite3_bind_int64(stmt, 5, wall_ms);
	return store_step_done(store, stmt, "ask the run's driver", err);
}

int store_requests(struct store *store, struct arena *arena, struct store_request **out, size_t *count_out,
		   struct err *err)
{
	sqlite3_stmt *stmt = store_statement(store, STMT_open_requests);
	struct store_request *list = NULL;
	size_t count = 0, room = 0;
	int rc;

	while ((rc = store_step_row(store, stmt, "read requests", err)) == 1) {
		mem_grow(&list, &room, count, sizeof *list);
		list[count++] = (struct store_request){
			.id = (uint64_t)sqlite3_column_int64(stmt, 0),
			.run = (uint64_t)sqlite3_column_int64(stmt, 1),
			.verb = store_column_text(stmt, 2, arena),
			.actor = store_column_text(stmt, 3, arena),
			.origin = store_column_text(stmt, 4, arena),
			.queued = strcmp((const char *)sqlite3_column_text(stmt, 5),
					 run_states[RUN_QUEUED].name) == 0,
		};
	}
	*out = arena_memdup(arena, list, count * sizeof *list);
	*count_out = count;
	free(list);
	return rc;
}

/*
 * The head of the journal's index, in memory that all who have the database open share: each commit writes it, with a
 * counter and checksums (https://www.sqlite.org/walformat.html, section 2.1). False: there is none, or none yet.
 */
static bool read_journal(const struct store *store, uint8_t out[STORE_JOURNAL_BYTES])
{
	enum { FORMAT = 3007000, REGION_BYTES = 32 * 1024, IS_READY_AT = 12 };
	sqlite3_file *file = NULL;
	void volatile *region = NULL;
	uint32_t format;

	if (sqlite3_file_control(store->db, "main", SQLITE_FCNTL_FILE_POINTER, &file) != SQLITE_OK || file == NULL ||
	    file->pMethods == NULL || file->pMethods->iVersion < 2 || file->pMethods->xShmMap == NULL ||
	    file->pMethods->xShmMap(file, 0, REGION_BYTES, 0, &region) != SQLITE_OK || region == NULL)
		return false;
	for (size_t i = 0; i < STORE_JOURNAL_BYTES; i++)
		out[i] = ((const uint8_t volatile *)region)[i];
	memcpy(&format, out, sizeof format);
	return format == FORMAT && out[IS_READY_AT] != 0;
}

static int64_t read_version(struct store *store)
{
	sqlite3_stmt *stmt = store_statement(store, STMT_data_version);
	int64_t version = -1;

	if (store_step_row(store, stmt, "look for changes", NULL) == 1)
		version = sqlite3_column_int64(stmt, 0);
	sqlite3_reset(stmt);
	return version;
}

/*
 * The number takes a transaction, and is asked for with every request. What is read while somebody writes it is unlike
 * what was there before, or is of before: that commit has not ended. Within a transaction the number is of its beginning.
 */
int64_t store_version(struct store *store)
{
	uint8_t journal[STORE_JOURNAL_BYTES] = { 0 };
	bool known = sqlite3_txn_state(store->db, "main") == SQLITE_TXN_NONE && read_journal(store, journal);

	if (known && store->version > 0 && memcmp(journal, store->journal, sizeof journal) == 0)
		return store->version;
	/* Of before the number: what is committed between the two is seen the next time. */
	memcpy(store->journal, journal, sizeof journal);
	store->version = read_version(store);
	return store->version;
}

bool store_has_changed(struct store *store)
{
	int64_t version = store_version(store);

	if (version == store->version_seen)
		return false;
	store->version_seen = version;
	return true;
}

int store_find_run(struct store *store, const char *name, uint64_t *id_out, struct err *err)
{
	const char *slash = strrchr(name, '/');
	autofree char *dag = NULL;
	sqlite3_stmt *stmt;
	char *end;
	long long number;
	int rc;

	errno = 0;
	number = slash == NULL ? 0 : strtoll(slash + 1, &end, 10);
	if (slash == NULL || slash == name || number <= 0 || *end != '\0' || errno != 0)
		return err_set(err, ERR_INVALID, "'%s' is not the name of a run: it looks like digits/3",
			       name);
	dag = mem_strndup(name, (size_t)(slash - name));
	stmt = store_statement(store, STMT_find_run);
	store_bind_text(stmt, 1, dag);
	sqlite3_bind_int64(stmt, 2, number);
	rc = store_step_row(store, stmt, "find a run", err);
	if (rc < 0)
		return rc;
	if (rc == 0)
		return err_set(err, ERR_NOT_FOUND, "there is no run %s", name);
	*id_out = (uint64_t)sqlite3_column_int64(stmt, 0);
	sqlite3_reset(stmt);
	return 0;
}

int store_name_run(struct store *store, uint64_t id, struct arena *arena, const char **dag_out,
		   uint64_t *number_out, struct err *err)
{
	sqlite3_stmt *stmt = store_statement(store, STMT_name_run);
	int rc;

	sqlite3_bind_int64(stmt, 1, (int64_t)id);
	rc = store_step_row(store, stmt, "find a run", err);
	if (rc <= 0)
		return rc < 0 ? rc : err_set(err, ERR_NOT_FOUND, "there is no run with id %" PRIu64, id);
	*dag_out = store_column_text(stmt, 0, arena);
	*number_out = (uint64_t)sqlite3_column_int64(stmt, 1);
	sqlite3_reset(stmt);
	return 0;
}
