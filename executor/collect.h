/*
 * collect.h - what an attempt left on its worker, brought home: its journal in records, its log in a file
 *
 * One struct collect per attached attempt. Log bytes are written in place, in pieces of at most
 * PROTOCOL_DATA_BYTES_MAX, at the offset that the file already has: after a crash of the scheduler the size
 * of the file says how far we were. What cannot be written (a full disk) is kept, up to the window, and tried
 * again.
 */
#ifndef EXECUTOR_COLLECT_H
#define EXECUTOR_COLLECT_H

#include <stdbool.h>
#include <stdint.h>

#include "common/buf.h"
#include "common/err.h"
#include "common/list.h"
#include "executor/early.h"
#include "executor/protocol.h"

struct collect {
	struct list link; /* in its bucket */
	struct attempt_id id;
	struct buf journal;      /* the record not yet whole */
	uint64_t journal_offset; /* behind the last whole record */
	char *log_path;          /* NULL: not wanted */
	int log_fd;              /* -1: not opened yet */
	uint64_t log_stored;     /* bytes in the file */
	uint64_t log_told;       /* the last offset acknowledged to the agent */
	struct early log_early;
	struct buf log_waiting;  /* received, could not be written yet */
	bool exited;
	bool reported;           /* as collected, or on the way there */
	uint64_t log_total;      /* once exited */
};

enum { COLLECT_BUCKETS = 256 };

struct collect_table {
	struct list buckets[COLLECT_BUCKETS];
	size_t count;
};

void collect_table_init(struct collect_table *table);
void collect_table_fini(struct collect_table *table);

struct collect *collect_find(struct collect_table *table, const struct attempt_id *id);

/* The one for `id`, made when there is none; takes over `log_path` (heap; NULL: drop the log). */
struct collect *collect_add(struct collect_table *table, const struct attempt_id *id, char *log_path);

void collect_remove(struct collect_table *table, struct collect *collect);

/* A new connection: what was received and not stored will be sent again. */
void collect_rewind(struct collect *collect, uint64_t journal_offset);

/* Opens the log, when there is one already, and learns its size. */
int collect_open_log(struct collect *collect, struct err *err);

/*
 * Takes log bytes at `offset`; those we have are passed over, a gap is ERR_CORRUPT. 0 also when some had to
 * be kept for later; then *blocked_out says so and `err` why.
 */
int collect_log(struct collect *collect, uint64_t offset, const uint8_t *bytes, size_t n, bool *blocked_out,
		struct err *err);

/* Tries to write what is waiting: 0, or the error it meets again. */
int collect_retry_log(struct collect *collect, struct err *err);

#endif
