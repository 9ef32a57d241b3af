/*
 * store_outbox.h - the table of notices: who is to be told what, and who was
 *
 * A notice is written in the transaction of what it tells about (the end of a run: store_apply; due times that were
 * passed over and lateness: the functions below), and delivered by outbox.h afterwards. Each runs in the caller's
 * transaction where there is one (store_begin).
 */
#ifndef SCHEDULER_STORE_OUTBOX_H
#define SCHEDULER_STORE_OUTBOX_H

#include <stdbool.h>
#include <stdint.h>

#include "scheduler/late.h"
#include "scheduler/notice.h"
#include "scheduler/store.h"

enum {
	OUTBOX_CLAIM_MS = 6000, /* a notice is its deliverer's for so long, and longer when it says so in time */
	OUTBOX_TAKEN_MAX = 16,
};

/* --- when something happens ----------------------------------------------------------------------------- */

/* The end of a run, to one receiver who asked for `on`: a success becomes `recovered` where it is one. */
int store_save_notice(struct store *store, const struct notice *notice, const char *receiver, unsigned on,
		      struct err *err);

/* Due times of a DAG that were passed over (the ledger's missed and too_late), all of one settling as one notice. */
struct store_missed {
	const char *dag;
	const char *reason; /* "missed", "too_late" */
	const char *first_nominal, *last_nominal; /* "2026-10-25 02:30" */
	int64_t first_due_wall_ms, last_due_wall_ms;
	size_t count;
	const char *page;		    /* notice_terms.page */
	const struct notice_list *receivers; /* those that want DAG_ON_MISSED */
	int64_t wall_ms;
};
int store_notice_missed(struct store *store, const struct store_missed *missed, struct err *err);

/*
 * Looks whether a DAG is late in that window (late.h), after its due times up to now are settled. Once for a DAG and
 * a day it becomes an event (dag.late) and a notice; `told_out` (may be NULL) is true then.
 */
struct store_late {
	const char *dag;
	struct late_window window;
	const char *page;
	const struct notice_list *receivers; /* those that want DAG_ON_LATE */
	int64_t wall_ms;
};
int store_notice_late(struct store *store, const struct store_late *late, bool *told_out, struct err *err);

/* --- delivering ----------------------------------------------------------------------------------------- */

struct outbox_row {
	uint64_t id;
	uint64_t run; /* 0: none */
	const char *receiver;
	const char *body;
	const char *dag;
	const char *event;
	uint32_t attempts; /* this one included */
	int64_t created_wall_ms;
};

/* When the next one is due (it may be in the past); INT64_MAX: none is open. Only reads. */
int store_next_notice(struct store *store, int64_t now_wall_ms, int64_t *next_out, struct err *err);

/* Claims what is due, one of each receiver, `most` (to OUTBOX_TAKEN_MAX) in all; texts lie in `arena`. */
int store_take_notices(struct store *store, int64_t now_wall_ms, size_t most, struct arena *arena,
		       struct outbox_row rows[OUTBOX_TAKEN_MAX], size_t *count_out, struct err *err);

/* Goes on holding one that is on its way. */
int store_hold_notice(struct store *store, uint64_t id, int64_t now_wall_ms, struct err *err);

int store_sent_notice(struct store *store, uint64_t id, int64_t now_wall_ms, struct err *err);
int store_postpone_notice(struct store *store, uint64_t id, int64_t next_wall_ms, const char *error, struct err *err);

/* Given up: also an event (notice.failed). */
int store_failed_notice(struct store *store, const struct outbox_row *row, const char *error, int64_t now_wall_ms,
			struct err *err);

/* Of one run: how many were not tried yet or are on their way, how many are open in all. Only reads. */
struct outbox_left {
	size_t awaited;
	size_t open;
	const char *error; /* of one of them; "" */
};
int store_notices_left(struct store *store, uint64_t run, int64_t now_wall_ms, struct arena *arena,
		       struct outbox_left *out, struct err *err);

#endif
