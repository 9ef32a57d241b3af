/*
 * kept.h - how much is kept of the copies of checkpoints of runs that have ended
 *
 * They go when their run has succeeded (core_copy.c), or is removed (gc.h). After one that has not succeeded they
 * stay, for `stoker retry`; together they may take so many bytes, beyond that the oldest go. Those of a run that
 * goes on are never touched.
 *
 * A job for the writer's thread (writer.h): it removes files, and the ledger says afterwards what is there.
 */
#ifndef SCHEDULER_KEPT_H
#define SCHEDULER_KEPT_H

#include <stdint.h>

#include "scheduler/writer.h"

struct kept {
	struct writer_job job; /* add this to the writer */
	int64_t bytes_max;
	bool pending; /* from kept_prepare until it is done */
};

/* False when it is on its way already. In the caller's memory until it is done. */
bool kept_prepare(struct kept *kept, int64_t bytes_max);

/* What the job does. */
int kept_tidy(struct store *store, int64_t bytes_max, struct err *err);

#endif
