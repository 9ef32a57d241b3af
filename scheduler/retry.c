#include "scheduler/retry.h"

enum { EXIT_CHECKPOINTED = 85, EXIT_CANNOT_EXECUTE = 126, EXIT_NO_SUCH_COMMAND = 127 };

enum retry_class retry_class_of(const struct record_exit *exit, bool progress)
{
	/* Before it had begun or after: it was the machine that was in the way. */
	if (exit->reason == REASON_PREEMPTED || exit->reason == REASON_LEASE_EXPIRED)
		return RETRY_UNCOUNTED;
	switch (exit->kind) {
	case EXIT_LOST:
		return RETRY_UNCOUNTED;
	case EXIT_NOT_STARTED:
		return exit->transient ? RETRY_UNCOUNTED : RETRY_NEVER;
	case EXIT_CODE:
	case EXIT_SIGNAL:
		break;
	}
	if (exit->stopped || exit->kind == EXIT_SIGNAL)
		return RETRY_COUNTED; /* time limit, stall, out of memory */
	/* 85 without a new checkpoint is no progress: counted, so that it cannot go on for ever. */
	if (exit->code == EXIT_CHECKPOINTED)
		return progress ? RETRY_AT_ONCE : RETRY_COUNTED;
	if (exit->code == EXIT_CANNOT_EXECUTE || exit->code == EXIT_NO_SUCH_COMMAND)
		return RETRY_NEVER;
	return RETRY_COUNTED;
}

int64_t retry_delay_ms(const struct dag_retry *retry, uint32_t failures, struct rng *rng)
{
	int64_t delay_ms = retry->backoff_ms;

	for (uint32_t i = 1; i < failures && delay_ms < retry->max_backoff_ms; i++)
		delay_ms *= 2;
	if (delay_ms > retry->max_backoff_ms)
		delay_ms = retry->max_backoff_ms;
	return delay_ms - (int64_t)rng_below(rng, (uint64_t)delay_ms / 10 + 1);
}
