/*
 * claim.h - which driver may start attempts of a run
 *
 * Each driver claims a run with an epoch before it starts anything; a greater epoch takes the run over.
 * Starting holds the run's epoch (a shared lock) from the check to the rename that makes the attempt, and
 * claiming holds it alone: so once a claim was answered, nothing that an older driver asked for can begin,
 * however late its agent wakes.
 *
 *   epochs/<home>         the greatest epoch ever claimed with; its lock orders claims and releases
 *   epochs/<home>.<run>   the run's epoch; emptied before it is removed, so a late holder reads none
 *
 * Both are written in place (their locks belong to the inode) and synced, for a power cut must not bring back
 * the right of a driver that was replaced.
 *
 * Paths: relative to the current folder, the agent's root.
 */
#ifndef EXECUTOR_AGENT_CLAIM_H
#define EXECUTOR_AGENT_CLAIM_H

#include <stddef.h>
#include <stdint.h>

#include "common/arena.h"
#include "common/err.h"

/* All three: ERR_BUSY when a process that was frozen in the middle of one of them holds the lock. */

/* ERR_DENIED when a later driver has the run, or the epoch is older than what was claimed with before. */
int claim_take(const char *home, uint64_t run, uint64_t epoch, struct err *err);

/* Ends the run's claim. ERR_DENIED when a later driver has it; a run that nobody claimed is fine. */
int claim_release(const char *home, uint64_t run, uint64_t epoch, struct err *err);

enum { CLAIM_LIST_MAX = 1000 };

struct claim_left {
	uint64_t run;
	uint64_t epoch;
};

/* The runs of `home` that are claimed and not released, CLAIM_LIST_MAX of them at most; in `arena`. */
size_t claim_list(const char *home, struct arena *arena, struct claim_left **left_out);

/*
 * Holds the run while `epoch` is its epoch: a descriptor to close when the attempt is in place, or
 * ERR_DENIED.
 */
int claim_hold(const char *home, uint64_t run, uint64_t epoch, int *held_out, struct err *err);

#endif
