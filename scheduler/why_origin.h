/*
 * why_origin.h - how a task's newest checkpoint keeps it from starting: where it lies, and what is in the way
 *
 * Pure, as why.h is: said of the ledger and of what is known of the workers, as origin.h decides it.
 */
#ifndef SCHEDULER_WHY_ORIGIN_H
#define SCHEDULER_WHY_ORIGIN_H

#include "common/buf.h"
#include "scheduler/why.h"

/* Of a ready task: "; it waits for ...". False: its checkpoint is not what it waits for. */
bool why_origin_ready(const struct why *why, const struct task *task, struct buf *out);

/* Of one that is being started: "; it waits for its checkpoint ...". False: none is brought to it. */
bool why_origin_starting(const struct task *task, struct buf *out);

#endif
