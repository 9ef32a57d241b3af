/*
 * retry.h - after a failure: again, when, or not at all
 *
 * Pure. The step's own failures (exit, signal, oom, timeout, stalled) are counted against retry.max since the
 * task last made progress; what machines did is never counted. Both wait: backoff doubled with each failure,
 * at most max_backoff, and up to a tenth of it less, so that many tasks failing together do not come back
 * together.
 */
#ifndef SCHEDULER_RETRY_H
#define SCHEDULER_RETRY_H

#include <stdbool.h>
#include <stdint.h>

#include "common/rng.h"
#include "dag/dag.h"
#include "executor/protocol.h"

enum retry_class {
	RETRY_NEVER,       /* trying again cannot help: not found, bad workdir, exit 126 and 127 */
	RETRY_COUNTED,     /* the step's own failure */
	RETRY_UNCOUNTED,   /* the machine's */
	RETRY_AT_ONCE,     /* it checkpointed and asked for it */
};

/* What an ended attempt calls for; `progress` tells whether it left a newer checkpoint than it began from. */
enum retry_class retry_class_of(const struct record_exit *exit, bool progress);

/* Milliseconds to wait before the attempt after the `failures`th failure in a row (from 1). */
int64_t retry_delay_ms(const struct dag_retry *retry, uint32_t failures, struct rng *rng);

#endif
