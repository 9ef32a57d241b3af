#include "scheduler/backup.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "common/clock.h"
#include "common/mem.h"
#include "common/scope.h"
#include "scheduler/store_parts.h"

enum {
	STEP_PAGES = 256, /* a megabyte: between two looks at `stop` */
	PIECE_BYTES = 256 * 1024,
	FAR = 1000000, /* so many runs or connections cannot have been since the backup */
	/* Where SQLite keeps its locks: os_unix.c, "PENDING_BYTE" and what follows it. */
	SHARED_FIRST = 0x40000002,
	SHARED_BYTES = 510,
};

/* --- a database file ------------------------------------------------------------------------------------ */

static void close_database(sqlite3 **db)
{
	sqlite3_close(*db);
}

#define autodatabase __attribute__((cleanup(close_database)))

static int tell(sqlite3 *db, const char *path, struct err *err)
{
	int code = sqlite3_errcode(db) & 0xff, sys = sqlite3_system_errno(db);

	if (code == SQLITE_FULL || sys == ENOSPC || sys == EDQUOT)
		return err_set(err, ERR_FULL, "%s: the disk is full", path);
	if (code == SQLITE_CORRUPT || code == SQLITE_NOTADB)
		return err_set(err, ERR_CORRUPT, "%s is damaged, or no database at all: %s", path, sqlite3_errmsg(db));
	return err_set(err, ERR_IO, "%s: %s%s%s", path, sqlite3_errmsg(db), sys == 0 ? "" : ": ",
		       sys == 0 ? "" : strerror(sys));
}

static int open_database(const char *path, int flags, sqlite3 **out, struct err *err)
{
	int rc = sqlite3_open_v2(path, out, flags | SQLITE_OPEN_NOMUTEX, NULL);

	sqlite3_extended_result_codes(*out, 1);
	return rc == SQLITE_OK ? 0 : tell(*out, path, err);
}

/* The first value of the first row; the text is copied to the arena where one is wanted. */
static int ask(sqlite3 *db, const char *path, const char *sql, int64_t *number_out, const char **text_out,
	       struct arena *arena, struct err *err)
{
	sqlite3_stmt *stmt = NULL;
	int rc = sqlite3_prepare_v2(db, sql, -1, &stmt, NULL);

	*number_out = 0;
	if (rc == SQLITE_OK)
		rc = sqlite3_step(stmt);
	if (rc == SQLITE_ROW) {
		*number_out = sqlite3_column_int64(stmt, 0);
		if (text_out != NULL)
			*text_out = store_column_text(stmt, 0, arena);
	}
	if (rc != SQLITE_ROW && rc != SQLITE_DONE)
		rc = tell(db, path, err);
	else
		rc = rc == SQLITE_ROW ? 1 : 0;
	sqlite3_finalize(stmt);
	return rc;
}

/* Every page and every index, then every reference. */
static int check(sqlite3 *db, const char *path, struct arena *arena, struct err *err)
{
	const char *text = "";
	int64_t number;
	int rc = ask(db, path, store_sql(STMT_backup_check_pages), &number, &text, arena, err);

	if (rc == 1 && strcmp(text, "ok") != 0)
		return err_set(err, ERR_CORRUPT, "%s is damaged: %s", path, text);
	if (rc >= 0)
		rc = ask(db, path, store_sql(STMT_backup_check_references), &number, &text, arena, err);
	if (rc == 1)
		return err_set(err, ERR_CORRUPT, "%s is damaged: rows of %s refer to what is not there", path, text);
	return rc;
}

static int read_facts(sqlite3 *db, const char *path, struct arena *arena, struct backup_facts *out, struct err *err)
{
	int64_t id, version, runs, latest;
	struct stat st;

	if (ask(db, path, store_sql(STMT_backup_application), &id, NULL, arena, err) < 0 ||
	    ask(db, path, store_sql(STMT_backup_version), &version, NULL, arena, err) < 0)
		return err->code;
	if (id != STORE_APPLICATION_ID || version < 1)
		return err_set(err, ERR_CORRUPT, "%s is not a database of stoker's", path);
	if (version > STORE_SCHEMA_VERSION)
		return err_set(err, ERR_VERSION,
			       "%s was made by a newer stoker (its schema is version %" PRId64
			       ", this program knows %d)",
			       path, version, STORE_SCHEMA_VERSION);
	if (ask(db, path, store_sql(STMT_backup_count), &runs, NULL, arena, err) < 0 ||
	    ask(db, path, store_sql(STMT_backup_latest), &latest, NULL, arena, err) < 0)
		return err->code;
	*out = (struct backup_facts){ .path = arena_strdup(arena, path),
				      .bytes = stat(path, &st) == 0 ? (uint64_t)st.st_size : 0,
				      .version = (int)version,
				      .runs = (uint64_t)runs,
				      .latest_wall_ms = latest };
	return 0;
}

/* --- copying -------------------------------------------------------------------------------------------- */

/* In steps; whoever writes meanwhile is not waited for, because the read transaction of `from` shows one moment. */
static int copy_pages(sqlite3 *from, sqlite3 *to, const char *path, const volatile bool *stop, struct err *err)
{
	sqlite3_backup *backup = sqlite3_backup_init(to, "main", from, "main");
	int rc = SQLITE_OK;

	if (backup == NULL)
		return tell(to, path, err);
	while (rc == SQLITE_OK && !(stop != NULL && *stop))
		rc = sqlite3_backup_step(backup, STEP_PAGES);
	sqlite3_backup_finish(backup);
	if (rc == SQLITE_OK)
		return err_set(err, ERR_BUSY, "interrupted: no backup was made");
	return rc == SQLITE_DONE ? 0 : tell(to, path, err);
}

static int execute(sqlite3 *db, const char *path, const char *sql, struct err *err)
{
	return sqlite3_exec(db, sql, NULL, NULL, NULL) == SQLITE_OK ? 0 : tell(db, path, err);
}

/* No journal of its own: what is half written when something goes wrong is thrown away. */
static int copy_to(sqlite3 *from, const char *path, const volatile bool *stop, struct arena *arena,
		   struct backup_facts *facts, struct err *err)
{
	autodatabase sqlite3 *to = NULL;
	int rc = open_database(path, SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE, &to, err);

	if (rc == 0)
		rc = execute(to, path, store_sql(STMT_backup_no_journal), err);
	if (rc == 0)
		rc = execute(to, path, store_sql(STMT_backup_no_sync), err);
	if (rc == 0)
		rc = copy_pages(from, to, path, stop, err);
	if (rc == 0) /* the copy says WAL, as the database does: one file is to be all there is of it */
		rc = execute(to, path, store_sql(STMT_backup_one_file), err);
	if (rc == 0)
		rc = check(to, path, arena, err);
	return rc < 0 ? rc : read_facts(to, path, arena, facts, err);
}

static int sync_path(const char *path, int flags, struct err *err)
{
	autoclose int fd = open(path, flags | O_CLOEXEC);

	return fd < 0 || fsync(fd) < 0 ? err_errno(err, "sync %s", path) : 0;
}

static const char *folder_of(const char *path, struct arena *arena)
{
	const char *slash = strrchr(path, '/');

	if (slash == NULL)
		return ".";
	return slash == path ? "/" : arena_strndup(arena, path, (size_t)(slash - path));
}

/* A link where nothing may be overwritten: it is refused when something is there by now. */
static int put_in_place(const char *made, const char *path, bool force, struct err *err)
{
	if (force)
		return rename(made, path) < 0 ? err_errno(err, "rename %s to %s", made, path) : 0;
	if (link(made, path) == 0) {
		unlink(made);
		return 0;
	}
	if (errno == EEXIST)
		return err_set(err, ERR_EXISTS, "%s is there already; --force overwrites it", path);
	if (errno != EPERM && errno != EOPNOTSUPP && errno != ENOSYS)
		return err_errno(err, "make %s", path);
	/* A file system without links. */
	return rename(made, path) < 0 ? err_errno(err, "rename %s to %s", made, path) : 0;
}

/* "stoker-20261126-083000.db": UTC, so that they sort. */
static const char *name_in(const char *folder, int64_t now_wall_ms, struct arena *arena)
{
	time_t seconds = (time_t)(now_wall_ms / 1000);
	char stamp[32];
	struct tm tm;

	gmtime_r(&seconds, &tm);
	strftime(stamp, sizeof stamp, "%Y%m%d-%H%M%S", &tm);
	return arena_printf(arena, "%s/stoker-%s.db", folder, stamp);
}

static bool is_folder(const char *path)
{
	struct stat st;

	return stat(path, &st) == 0 && S_ISDIR(st.st_mode);
}

/* A file of nobody else's, 0600, beside `path`. */
static int make_temporary(const char *path, struct arena *arena, char **made_out, struct err *err)
{
	char *made = arena_printf(arena, "%s.XXXXXX", path);
	autoclose int fd = mkostemp(made, O_CLOEXEC);

	if (fd < 0)
		return err_errno(err, "make %s", made);
	*made_out = made;
	return 0;
}

static int pour(const char *path, FILE *out, struct err *err)
{
	autofclose FILE *file = fopen(path, "re");
	autofree char *piece = mem_alloc(PIECE_BYTES);
	size_t n;

	if (file == NULL)
		return err_errno(err, "open %s", path);
	while ((n = fread(piece, 1, PIECE_BYTES, file)) > 0)
		if (fwrite(piece, 1, n, out) != n)
			return err_errno(err, "write the backup");
	if (ferror(file))
		return err_errno(err, "read %s", path);
	return fflush(out) == 0 ? 0 : err_errno(err, "write the backup");
}

static int copy_and_place(const struct backup_plan *plan, sqlite3 *from, const char *made, const char *path,
			  struct arena *arena, struct backup_facts *facts, struct err *err)
{
	int rc = copy_to(from, made, plan->stop, arena, facts, err);

	if (rc == 0 && plan->path == NULL)
		return pour(made, plan->out, err);
	if (rc == 0)
		rc = sync_path(made, O_RDONLY, err);
	if (rc == 0)
		rc = put_in_place(made, path, plan->force, err);
	return rc < 0 ? rc : sync_path(folder_of(path, arena), O_RDONLY | O_DIRECTORY, err);
}

/* --- restoring ------------------------------------------------------------------------------------------ */

/* Whoever has a database open in WAL mode holds a shared lock on it, also while it does nothing. */
static bool is_in_use(const char *path)
{
	struct flock lock = { .l_type = F_WRLCK, .l_whence = SEEK_SET, .l_start = SHARED_FIRST, .l_len = SHARED_BYTES };
	autoclose int fd = open(path, O_RDWR | O_CLOEXEC);

	return fd >= 0 && fcntl(fd, F_OFD_GETLK, &lock) == 0 && lock.l_type != F_UNLCK;
}

static int bind_and_step(struct store *store, enum store_statement which, const char *name, int64_t number,
			 struct err *err)
{
	sqlite3_stmt *stmt = store_statement(store, which);
	int at = 0;

	if (name != NULL)
		store_bind_text(stmt, ++at, name);
	if (number != 0)
		sqlite3_bind_int64(stmt, at + 1, number);
	return store_step_done(store, stmt, "restore", err);
}

static uint64_t greatest_number(const char *folder)
{
	DIR *dir = opendir(folder);
	uint64_t greatest = 0;

	for (struct dirent *entry; dir != NULL && (entry = readdir(dir)) != NULL;) {
		char *end;
		uint64_t number = strtoull(entry->d_name, &end, 10);

		if (*end == '\0' && number > greatest && number < INT64_MAX)
			greatest = number;
	}
	if (dir != NULL)
		closedir(dir);
	return greatest;
}

/* A number whose folder is there belongs to a run that was, also when the backup does not know it. */
static int pass_folders(struct store *store, const char *home, struct err *err)
{
	autofree char *runs = mem_printf("%s/runs", home);
	DIR *dir = opendir(runs);
	int rc = 0;

	for (struct dirent *entry; rc == 0 && dir != NULL && (entry = readdir(dir)) != NULL;) {
		autofree char *path = mem_printf("%s/%s", runs, entry->d_name);
		uint64_t greatest = entry->d_name[0] == '.' ? 0 : greatest_number(path);

		if (greatest > 0)
			rc = bind_and_step(store, STMT_restore_number, entry->d_name, (int64_t)greatest, err);
	}
	if (dir != NULL)
		closedir(dir);
	return rc;
}

static int go_far(struct store *store, const char *home, const char *path, int64_t now_wall_ms, struct err *err)
{
	int rc = store_begin(store, err);

	if (rc < 0)
		return rc;
	rc = pass_folders(store, home, err);
	if (rc == 0)
		rc = bind_and_step(store, STMT_restore_worker, NULL, 0, err);
	if (rc == 0)
		rc = bind_and_step(store, STMT_restore_epochs, NULL, FAR, err);
	if (rc == 0)
		rc = bind_and_step(store, STMT_restore_sequence, NULL, FAR, err);
	if (rc == 0)
		rc = bind_and_step(store, STMT_restore_new_sequence, NULL, FAR, err);
	if (rc == 0)
		rc = store_put_event(store, 0, "state.restored", "stoker", "", path, now_wall_ms, err);
	return rc < 0 ? store_undo(store, rc) : store_commit(store, err);
}

/* A state folder of its own, in which the backup is brought up to date and made to count on. */
static int prepare(const char *home, const char *making, const char *path, int64_t now_wall_ms, struct arena *arena,
		   struct backup_facts *facts, struct err *err)
{
	const char *copy = arena_printf(arena, "%s/stoker.db", making);
	autodatabase sqlite3 *from = NULL;
	struct store *store = NULL;
	int rc = open_database(path, SQLITE_OPEN_READONLY, &from, err);

	if (rc == 0)
		rc = copy_to(from, copy, NULL, arena, facts, err);
	if (rc == 0)
		rc = store_open(making, &store, err);
	if (rc == 0)
		rc = go_far(store, home, path, now_wall_ms, err);
	store_close(store); /* which empties its journal */
	return rc < 0 ? rc : sync_path(copy, O_RDONLY, err);
}

static void remove_preparation(const char *making, struct arena *arena)
{
	DIR *dir = opendir(making);

	for (struct dirent *entry; dir != NULL && (entry = readdir(dir)) != NULL;)
		if (entry->d_name[0] != '.')
			unlink(arena_printf(arena, "%s/%s", making, entry->d_name));
	if (dir != NULL)
		closedir(dir);
	rmdir(making);
}

/* The journal of a sound database goes into it; that of a damaged one stays beside it under its new name. */
static int move_aside(const char *database, const char *kept, struct arena *arena, struct err *err)
{
	static const char *const beside[] = { "-wal", "-shm", "" };
	sqlite3 *old = NULL;

	if (open_database(database, SQLITE_OPEN_READWRITE, &old, NULL) == 0)
		execute(old, database, store_sql(STMT_backup_one_file), NULL);
	sqlite3_close(old);
	for (size_t i = 0; i < COUNT_OF(beside); i++) {
		const char *from = arena_printf(arena, "%s%s", database, beside[i]);

		if (rename(from, arena_printf(arena, "%s%s", kept, beside[i])) < 0 && errno != ENOENT)
			return err_errno(err, "rename %s", from);
	}
	return 0;
}

static int restore_locked(const char *home, const char *path, int64_t now_wall_ms, struct arena *arena,
			  const char **kept_out, struct backup_facts *out, struct err *err)
{
	const char *database = arena_printf(arena, "%s/stoker.db", home);
	const char *making = arena_printf(arena, "%s/.restore", home);
	const char *kept = NULL;
	int rc;

	if (is_in_use(database))
		return err_set(err, ERR_BUSY,
			       "a process of stoker's uses %s; stop the daemon and all `stoker run` first (steps go on)",
			       database);
	remove_preparation(making, arena);
	if (mkdir(making, 0700) < 0)
		return err_errno(err, "make %s", making);
	rc = prepare(home, making, path, now_wall_ms, arena, out, err);
	out->path = path;
	if (rc == 0 && access(database, F_OK) == 0) {
		kept = arena_printf(arena, "%s.before-%" PRId64, database, now_wall_ms / 1000);
		rc = move_aside(database, kept, arena, err);
	}
	if (rc == 0 && rename(arena_printf(arena, "%s/stoker.db", making), database) < 0)
		rc = err_errno(err, "put %s in place", database);
	remove_preparation(making, arena);
	if (rc == 0)
		rc = sync_path(home, O_RDONLY | O_DIRECTORY, err);
	*kept_out = kept;
	return rc;
}

/* --- public --------------------------------------------------------------------------------------------- */

int backup_make(const struct backup_plan *plan, struct arena *arena, struct backup_facts *out, struct err *err)
{
	const char *temporary = getenv("TMPDIR"), *path = plan->path;
	struct store *store = NULL;
	char *made = NULL;
	int rc;

	if (path != NULL && is_folder(path))
		path = name_in(path, plan->now_wall_ms, arena);
	if (path != NULL && !plan->force && access(path, F_OK) == 0)
		return err_set(err, ERR_EXISTS, "%s is there already; --force overwrites it", path);
	rc = store_open_reader(plan->home, &store, err);
	if (rc == 0)
		rc = make_temporary(path != NULL ? path
						 : arena_printf(arena, "%s/stoker-backup",
								temporary != NULL ? temporary : P_tmpdir),
				    arena, &made, err);
	if (rc < 0) {
		store_close(store);
		return rc;
	}
	rc = store_step_done(store, store_statement(store, STMT_view_begin), "back up", err);
	if (rc == 0)
		rc = copy_and_place(plan, store->db, made, path, arena, out, err);
	if (rc == 0 && path != NULL)
		out->path = path;
	unlink(made); /* not there any more when it was put in place */
	store_close(store);
	return rc;
}

int backup_verify(const char *path, struct arena *arena, struct backup_facts *out, struct err *err)
{
	autodatabase sqlite3 *db = NULL;
	int rc;

	if (access(path, R_OK) < 0)
		return err_errno(err, "open %s", path);
	rc = open_database(path, SQLITE_OPEN_READONLY, &db, err);
	if (rc == 0)
		rc = read_facts(db, path, arena, out, err);
	return rc < 0 ? rc : check(db, path, arena, err);
}

int backup_restore(const char *home, const char *path, int64_t now_wall_ms, struct arena *arena,
		   const char **kept_out, struct backup_facts *out, struct err *err)
{
	int rc = backup_verify(path, arena, out, err);
	autoclose int lock = -1;

	if (rc == 0)
		rc = store_make_home(home, err);
	if (rc < 0)
		return rc;
	lock = open(arena_printf(arena, "%s/lock", home), O_RDWR | O_CREAT | O_CLOEXEC, 0600);
	if (lock < 0 || flock(lock, LOCK_EX) < 0) /* nobody opens it for writing meanwhile */
		return err_errno(err, "lock %s/lock", home);
	return restore_locked(home, path, now_wall_ms, arena, kept_out, out, err);
}
