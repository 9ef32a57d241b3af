/*
 * backup.h - a copy of the database, made while others write to it, checked, and whole or not there
 *
 * It shows one moment: a read transaction is held while pages are copied in small steps, so writers go on meanwhile, and
 * all that was acknowledged before the start is in it. The copy is one file without a journal beside it. It is made under
 * a name of its own next to its place, checked (every page, every index, every reference), synced, and only then renamed.
 *
 * In it: DAGs as they were, runs, tasks, attempts, checkpoints' names and digests, metrics, outputs, schedules with their
 * ledger, workers, the audit trail. Not in it: logs, snapshots of sources, checkpoints.
 *
 * Putting one back is more than a copy of a file, because the workers and the folders remember what came after it:
 * numbers of runs, ids, and connections that were given out since must not be given out twice. So the restored database
 * goes on counting far behind them.
 *
 * Errors: ERR_EXISTS: it would overwrite; ERR_CORRUPT: the copy or the file is damaged, and says where; ERR_BUSY: a process
 * uses the state (restore); ERR_FULL and the like.
 */
#ifndef SCHEDULER_BACKUP_H
#define SCHEDULER_BACKUP_H

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

#include "common/arena.h"
#include "common/err.h"

struct backup_facts {
	const char *path; /* where it is; in the arena */
	uint64_t bytes;
	int version;	  /* of the schema */
	uint64_t runs;
	int64_t latest_wall_ms; /* of the audit trail; 0: it is empty */
};

struct backup_plan {
	const char *home;
	const char *path;  /* a file; in a folder it gets a name with the time; NULL: `out` */
	FILE *out;
	bool force;	   /* takes the place of a file that is there */
	int64_t now_wall_ms;
	const volatile bool *stop; /* set by a signal: ends early with ERR_BUSY, and nothing is left */
};

int backup_make(const struct backup_plan *plan, struct arena *arena, struct backup_facts *out, struct err *err);

/* Opens it for reading only, and reads all of it. */
int backup_verify(const char *path, struct arena *arena, struct backup_facts *out, struct err *err);

/*
 * Puts a backup in the place of the database, which is kept as stoker.db.before-<time>. ERR_BUSY when any process drives
 * a run or has the database open.
 */
int backup_restore(const char *home, const char *path, int64_t now_wall_ms, struct arena *arena,
		   const char **kept_out, struct backup_facts *out, struct err *err);

#endif
