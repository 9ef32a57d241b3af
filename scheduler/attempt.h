/*
 * attempt.h - one try at a task: its states, and what is stored of it
 *
 *   intended --> running <--> unreachable        any live state --> succeeded | failed | canceled | lost
 *
 * An attempt is intended from the commit that decides on it until its first sign of life: nobody who restarts
 * can know whether the order to start reached the worker, so no state pretends to. The terminal states are
 * written once.
 *
 * Ownership: rows are values; their texts live in the arena of the run they belong to.
 * Units:     *_wall_ms are milliseconds since 1970 UTC, 0 for never.
 */
#ifndef SCHEDULER_ATTEMPT_H
#define SCHEDULER_ATTEMPT_H

#include "common/machine.h"
#include "executor/protocol.h"

enum attempt_state {
	ATTEMPT_INTENDED,
	ATTEMPT_RUNNING,
	ATTEMPT_UNREACHABLE,
	ATTEMPT_SUCCEEDED,
	ATTEMPT_FAILED,
	ATTEMPT_CANCELED,
	ATTEMPT_LOST,
	ATTEMPT_STATES,
};
extern const struct machine_state attempt_states[ATTEMPT_STATES];

struct attempt_row {
	struct attempt_id id; /* id.task is the step's index in its DAG */
	enum attempt_state state;
	enum reason reason;
	const char *worker;
	const char *boot_id; /* of the worker when the start was decided */
	uint64_t fence;
	int64_t intended_wall_ms;
	int64_t started_wall_ms;
	int64_t ended_wall_ms;
	int64_t unreachable_wall_ms; /* since when, in that state */
	int exit_code;               /* -1: none */
	int signal;
	int64_t cpu_ms;
	int64_t rss_peak_bytes;
	uint64_t log_bytes;
	uint64_t log_dropped_bytes;
	uint64_t journal_offset;  /* journal applied so far, in the same transaction as its effects */
	const char *resumed_from; /* checkpoint's name; empty: from zero */
	uint32_t began_seq;       /* the same in the ledger; 0: none, or not known */
	const char *devices;      /* UUIDs, comma-separated */
	const char *message;      /* for people */
};

/* The fence of an attempt: grows with each attempt of a task, and from run to run. */
uint64_t attempt_fence(const struct attempt_id *id);

static inline bool attempt_id_equal(const struct attempt_id *a, const struct attempt_id *b)
{
	return a->run == b->run && a->task == b->task && a->number == b->number;
}

#endif
