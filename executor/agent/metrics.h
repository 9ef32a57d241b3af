/*
 * metrics.h - follows the file a step appends its metrics to
 *
 * Each complete line that looks like a JSON object becomes a record. A program that writes thousands a second
 * is thinned: a burst passes whole, then a steady rate; of what is left out the newest waits for its turn, so
 * the last values always arrive. Reading is bounded for each look.
 *
 * Units: milliseconds of whichever clock the caller waits by.
 */
#ifndef EXECUTOR_AGENT_METRICS_H
#define EXECUTOR_AGENT_METRICS_H

#include <stdbool.h>
#include <stdint.h>

#include "common/buf.h"

enum { METRICS_LINE_MAX = 4096, METRICS_BURST = 500, METRICS_PER_SECOND = 20 };

struct metrics {
	int dir;
	int fd; /* -1 until the file is there */
	uint64_t offset;
	struct buf line;   /* an incomplete one */
	bool skipping;	   /* within a line that is too long */
	struct buf newest; /* left out so far, waiting for its turn */
	int64_t credit;	   /* thousandths of a line */
	int64_t credited_ms;
	uint64_t thinned;
	uint64_t malformed;
};

void metrics_open(struct metrics *metrics, int dir, int64_t now_ms);
void metrics_close(struct metrics *metrics);

/* Reads what is new and appends records to `journal`: the number of lines seen. */
uint64_t metrics_read(struct metrics *metrics, int64_t now_ms, struct buf *journal);

/* At the end: the last line need not end in a newline; a note tells what was left out. */
void metrics_finish(struct metrics *metrics, int64_t now_ms, struct buf *journal);

/* Pure: takes bytes as they come. */
uint64_t metrics_feed(struct metrics *metrics, const uint8_t *bytes, size_t n, int64_t now_ms,
		      struct buf *journal);

#endif
