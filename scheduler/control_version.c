/*
 * control_version.c - when what was told is no longer true (web/cache.h)
 *
 * After each commit, to be safe. But a run of 10,000 tasks commits a thousand times a second, and the lists of runs and of
 * DAGs, which everybody looks at, tell nothing of tasks: they hold until a run or a DAG itself has moved. What they can
 * see of that is in the audit trail (submitted, ended, retried, paused, late), in the runs that go on (taken up, to be
 * canceled), and in the files. Only gc removes runs without a word; the half second of the cache is enough for that.
 */
#include "scheduler/control_parts.h"
#include "scheduler/view_rows.h"

enum { OPEN_RUNS_MAX = 500 };

int64_t control_number(struct store *store, enum store_statement which, int64_t argument)
{
	sqlite3_stmt *stmt = store_statement(store, which);
	int64_t number = 0;

	if (stmt == NULL)
		return 0;
	if (sqlite3_bind_parameter_count(stmt) > 0)
		sqlite3_bind_int64(stmt, 1, argument);
	if (sqlite3_step(stmt) == SQLITE_ROW)
		number = sqlite3_column_int64(stmt, 0);
	sqlite3_reset(stmt);
	return number;
}

/* FNV-1a, by words. */
static uint64_t mix(uint64_t hash, int64_t word)
{
	return (hash ^ (uint64_t)word) * 0x100000001b3ULL;
}

/* Of what goes on; of too much of it, each commit makes another one. */
static uint64_t picture_of(struct control *control, int64_t commit)
{
	sqlite3_stmt *stmt = store_statement(control->reader, STMT_web_open_runs);
	uint64_t hash = 0xcbf29ce484222325ULL;
	int count = 0;

	control->last_move = control_number(control->reader, STMT_web_last_move, control->last_move);
	hash = mix(hash, control->last_move);
	hash = mix(hash, control_number(control->reader, STMT_web_last_run, 0));
	hash = mix(hash, control_number(control->reader, STMT_web_last_version, 0));
	if (stmt == NULL)
		return mix(hash, commit);
	sqlite3_bind_int(stmt, 1, OPEN_RUNS_MAX);
	for (; sqlite3_step(stmt) == SQLITE_ROW; count++)
		for (int i = 0; i < sqlite3_column_count(stmt); i++)
			hash = mix(hash, sqlite3_column_int64(stmt, i));
	sqlite3_reset(stmt);
	return count < OPEN_RUNS_MAX ? hash : mix(hash, commit);
}

int64_t control_version(void *context, enum web_read what)
{
	struct control *control = context;
	int64_t commit = store_version(control->reader); /* this connection makes none */
	uint64_t picture;

	if (what != WEB_DAGS && what != WEB_RUNS)
		return commit < 0 ? commit : (int64_t)control->files << 32 | commit;
	if (commit == control->pictured_commit)
		return control->lists;
	view_begin(control->reader, NULL); /* four statements, one transaction */
	picture = picture_of(control, commit);
	view_end(control->reader);
	control->pictured_commit = commit;
	if (picture != control->picture)
		control->lists++;
	control->picture = picture;
	return control->lists;
}

void control_files_changed(struct control *control)
{
	control->files++;
	control->lists++;
}
