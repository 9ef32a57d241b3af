/*
 * view_rows.h - rows of the database to JSON values: what view.c and view_find.c share
 */
#ifndef SCHEDULER_VIEW_ROWS_H
#define SCHEDULER_VIEW_ROWS_H

#include <jansson.h>
#include <sqlite3.h>
#include <stdbool.h>
#include <stdint.h>

#include "common/err.h"
#include "scheduler/store.h"

int view_clamp_limit(int limit); /* of a list: 1 to VIEW_LIMIT_MAX */

/* 1: a row, 0: no more, negative: an error. */
int view_next(struct store *store, sqlite3_stmt *stmt, struct err *err);

/* All that is read until view_end is of one moment. */
int view_begin(struct store *store, struct err *err);
void view_end(struct store *store);

const char *view_text(sqlite3_stmt *stmt, int column); /* "" for NULL; valid until the next step */

/* A string, with U+FFFD for what is no UTF-8. */
json_t *view_string(const char *text);
json_t *view_string_or_null(const char *text); /* null for NULL */

void view_set_text(json_t *object, const char *key, const char *text);
void view_set_word(json_t *object, const char *key, const char *text); /* null when empty */
void view_set_number(json_t *object, const char *key, int64_t number);
void view_set_time(json_t *object, const char *key, int64_t wall_ms); /* null for 0 */

/* A run that goes on, and whose driver is gone. False in a store in memory, as nobody can own a run of it. */
bool view_is_orphaned(const struct store *store, const char *dag, uint64_t number, const char *state);

/* A run as in lists, of a row of VIEW_RUN (statements_view.def). */
json_t *view_run_object(const struct store *store, sqlite3_stmt *stmt);

#endif
