/*
 * store.h - all there is on disk: one SQLite database below the state folder
 *
 * WAL, synchronous=FULL: what a function of this file has returned 0 for survives the loss of power. One
 * function is one transaction, or, inside of store_begin and store_commit, a part of that one (a savepoint): what
 * fails takes only its own part back. A store opened for writing belongs to one thread at a time (writer.h hands it
 * to the writer's); readers open their own, and neither waits for the other. Several drivers may write to one
 * database: each transaction is short, and a busy database is waited for (STORE_BUSY_MS).
 *
 * The state folder (`home`) is $STOKER_HOME, else $XDG_STATE_HOME/stoker, else ~/.local/state/stoker; it is
 * made with mode 0700. It must lie on a local file system: WAL needs shared memory and real locks.
 *
 * Errors: ERR_FULL (disk), ERR_DENIED (read-only), ERR_CORRUPT, ERR_VERSION (made by a newer stoker),
 * ERR_NOT_FOUND
 *         (reader, and there is no state yet), ERR_BUSY. Each text names the file and the remedy.
 */
#ifndef SCHEDULER_STORE_H
#define SCHEDULER_STORE_H

#include <sqlite3.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "common/arena.h"
#include "common/err.h"
#include "scheduler/core.h"

enum { STORE_SCHEMA_VERSION = 2, STORE_BUSY_MS = 10000, STORE_APPLICATION_ID = 0x53746b72 /* "Stkr" */ };

enum store_statement {
#define STATEMENT(name, sql) STMT_##name,
#include "scheduler/statements.def"
#undef STATEMENT
	STMT_COUNT
};

enum { STORE_JOURNAL_BYTES = 48 };

struct store {
	sqlite3 *db;
	char *home;   /* the state folder, absolute */
	char *path;   /* of the database */
	char name[13]; /* 12 hexadecimal digits, made once: see protocol.h */
	bool writable;
	int depth;       /* of transactions */
	int64_t version;      /* as store_version told it last */
	int64_t version_seen; /* by store_has_changed */
	uint8_t journal[STORE_JOURNAL_BYTES]; /* as it was before `version` was asked for */
	ino_t wal_inode; /* to notice that somebody removed the journal beneath us */
	sqlite3_stmt *statements[STMT_COUNT];
};

/* The state folder by the rules above; 0 or ERR_NOT_FOUND when no home directory is known. */
int store_home(struct arena *arena, const char **home_out, struct err *err);

/* mkdir -p, 0700; ERR_INVALID when it is on a network file system. */
int store_make_home(const char *home, struct err *err);

int store_open(const char *home, struct store **store_out, struct err *err);        /* makes and migrates */
int store_open_reader(const char *home, struct store **store_out, struct err *err); /* changes nothing */
int store_open_memory(struct store **store_out, struct err *err);                   /* for the simulator */
void store_close(struct store *store); /* NULL is harmless */

/* A statement, prepared on first use and reset: bind, step, and reset it again when done. */
sqlite3_stmt *store_statement(struct store *store, enum store_statement which);

/* Its text, for a database that is no store. */
const char *store_sql(enum store_statement which);

/* Turns the last failure of the database into an error with its remedy. */
int store_error(struct store *store, struct err *err, const char *doing);

/* Writes all SAVE_ actions in one transaction; orders are passed over. */
int store_apply(struct store *store, const struct action *actions, size_t count, struct err *err);

/* To make several functions one transaction. */
int store_begin(struct store *store, struct err *err);
int store_commit(struct store *store, struct err *err);
int store_undo(struct store *store, int rc); /* after a failure: takes it back, returns `rc` */

struct store_new_run {
	const struct dag *dag;
	const char *params; /* JSON object */
	const char *trigger;
	const char *actor;
	const char *origin;
	const char *source; /* digest of the snapshot; NULL: none, or still to be taken */
	bool at_once;       /* without what the DAG waits for (`after`) */
	uint64_t source_bytes;
	int64_t scheduled_for_wall_ms;
	int64_t wall_ms;
	/* Called before anybody can see the run; NULL: nothing. What it returns below 0 undoes it all. */
	int (*before_commit)(void *context, const char *dag, uint64_t number, struct err *err);
	void *context;
};

/* Makes a run with all its tasks; its number is the DAG's next. */
int store_create_run(struct store *store, const struct store_new_run *new_run, uint64_t *run_out,
		     struct err *err);

/* A run as the core takes it: rows, ledger, outputs, live attempts, its DAG as it was. ERR_NOT_FOUND. */
int store_load_run(struct store *store, uint64_t id, struct run **run_out, struct err *err);

/* The id of "dag/number"; ERR_INVALID for a malformed name, ERR_NOT_FOUND. */
int store_find_run(struct store *store, const char *name, uint64_t *id_out, struct err *err);

/* The name of a run in its parts; the DAG's is copied to `arena`. ERR_NOT_FOUND. */
int store_name_run(struct store *store, uint64_t id, struct arena *arena, const char **dag_out,
		   uint64_t *number_out, struct err *err);

/* The state that a run is stored in; the name of one of its steps. ERR_NOT_FOUND. */
int store_run_state(struct store *store, uint64_t id, enum run_state *state_out, struct err *err);
int store_name_step(struct store *store, uint64_t run, uint64_t step, struct arena *arena,
		    const char **name_out, struct err *err);

/* A number for the next connection to `worker`, greater than all before. */
int store_next_epoch(struct store *store, const char *worker, uint64_t *epoch_out, struct err *err);

/* What the configuration says of a worker, for those who only read the state. */
int store_put_worker_labels(struct store *store, const char *worker, const char *const *labels, size_t count,
			    struct err *err);

/* The pools and the workers' slots that the settings name, for the same. */
struct settings;
int store_put_limits(struct store *store, const struct settings *settings, struct err *err);

/* Marks a worker as being emptied by somebody, or ("") not any more; and who is marked so. */
int store_drain_worker(struct store *store, const char *worker, const char *actor, const char *origin,
		       int64_t wall_ms, struct err *err);
int store_undrain_worker(struct store *store, const char *worker, const char *actor, const char *origin,
			 int64_t wall_ms, struct err *err);
/* Somebody did something that has no row of its own. */
int store_add_event(struct store *store, const char *kind, const char *actor, const char *origin,
		    const char *detail, int64_t wall_ms, struct err *err);
/* Somebody accepted the key of a worker's host: a line in the audit trail. */
int store_trust_worker(struct store *store, const char *worker, const char *keys, const char *actor,
		       const char *origin, int64_t wall_ms, struct err *err);
int store_drained_workers(struct store *store, struct arena *arena, const char ***names_out,
			  size_t *count_out, struct err *err);

/* Asks the driver of a run for something; the driver marks it done in the batch that does it. */
int store_add_request(struct store *store, uint64_t run, const char *verb, const char *actor,
		      const char *origin, int64_t wall_ms, struct err *err);

struct store_request {
	uint64_t id;
	uint64_t run;
	bool queued; /* the run is: nobody drives it yet */
	const char *verb;
	const char *actor;
	const char *origin;
};

/* Open requests, oldest first. */
int store_requests(struct store *store, struct arena *arena, struct store_request **out, size_t *count_out,
		   struct err *err);

/*
 * Another number whenever somebody else has committed; what this connection commits does not count. -1: it cannot be read.
 * As long as nobody has, it costs a look into memory.
 */
int64_t store_version(struct store *store);

/* True when somebody else has written since this was last asked, and the first time. */
bool store_has_changed(struct store *store);

#endif
