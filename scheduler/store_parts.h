/*
 * store_parts.h - what the files of the store share with each other, and with nobody else
 *
 * store.c opens and keeps the database and its transactions; store_save.c writes what the core decided; store_run.c
 * makes runs and loads them.
 */
#ifndef SCHEDULER_STORE_PARTS_H
#define SCHEDULER_STORE_PARTS_H

#include "scheduler/store.h"

/* Steps a statement that answers with no row, or with one of no interest, and resets it. */
int store_step_done(struct store *store, sqlite3_stmt *stmt, const char *doing, struct err *err);

/* 1: a row, 0: no more (and it is reset), negative: an error. */
int store_step_row(struct store *store, sqlite3_stmt *stmt, const char *doing, struct err *err);

void store_bind_text(sqlite3_stmt *stmt, int at, const char *text); /* NULL is ""; it must outlive the step */
const char *store_column_text(sqlite3_stmt *stmt, int at, struct arena *arena);

/* Keeps a version of a DAG; its id. */
int store_put_version(struct store *store, const struct dag *dag, int64_t dag_id, int64_t wall_ms,
		      int64_t *id_out, struct err *err);

/* A version that was kept. ERR_CORRUPT. */
int store_parse_dag(const char *path, const char *text, size_t bytes, struct dag **out, struct err *err);

int store_save_event(struct store *store, const struct action *action, struct err *err);

/* One about a run (0: about none), in the caller's transaction; store_add_event has its own. */
int store_put_event(struct store *store, uint64_t run, const char *kind, const char *actor, const char *origin,
		    const char *detail, int64_t wall_ms, struct err *err);

#endif
