/*
 * listing.h - what the reading commands print: JSON as it is, or tables made of it
 *
 * The tables are made of the same JSON that scripts get, so that both tell the same.
 */
#ifndef SCHEDULER_LISTING_H
#define SCHEDULER_LISTING_H

#include <jansson.h>
#include <stdint.h>

#include "common/buf.h"
#include "scheduler/table.h"

/* A member of an object: its text ("" when it has none), its number (0), its time in milliseconds (0). */
const char *listing_text(const json_t *object, const char *key);
int64_t listing_number(const json_t *object, const char *key);
int64_t listing_time(const json_t *object, const char *key);

/* To stdout, indented. */
void listing_print_json(const json_t *value);

/* Up to three numbers of a metric: "epoch 31  loss 0.0812". Nothing when it is no object or holds none. */
void listing_append_metric(struct buf *out, json_t *metric);

/* "1.5 GiB" */
void listing_append_bytes(struct buf *out, int64_t bytes);

/* The state that a person should see: "orphaned" for a run without a driver, else as it is. */
const char *listing_run_state(const json_t *run);

/* Cells: the state in its colour; how long from "started" to "ended" or now; when. */
void listing_add_state(struct table *table, const char *state);
void listing_add_took(struct table *table, const json_t *object, int64_t now_wall_ms);
void listing_add_when(struct table *table, int64_t wall_ms, int64_t now_wall_ms);

/* How many columns listing_add_run fills, and their headings. */
enum { LISTING_RUN_COLUMNS = 6 };
extern const struct table_column listing_run_columns[LISTING_RUN_COLUMNS];

void listing_add_run(struct table *table, const json_t *run, int64_t now_wall_ms);

#endif
