/*
 * retention.h - how long what has ended is kept: the `retention` of stoker.yaml
 *
 * A run goes when it ended longer than `age` ago and is not among the `keep` newest of its DAG; and whatever its age when
 * more than `most` of its DAG are newer. Its logs can go before it does. What has not ended never goes.
 *
 * Units: milliseconds; 0 is for ever.
 */
#ifndef SCHEDULER_RETENTION_H
#define SCHEDULER_RETENTION_H

#include <stdint.h>

struct retention_rule {
	int64_t age_ms;
	int keep; /* of each DAG, whatever their age; of runs at least one */
};

struct retention {
	struct retention_rule runs;
	int runs_most; /* of each DAG; 0: no limit */
	struct retention_rule logs;
	int64_t metrics_age_ms;	      /* all but the last of each task */
	int64_t events_age_ms;
	int64_t backups_age_ms; /* those made before an upgrade of the database */
	int64_t fetched_bytes;	/* artifacts on their way, oldest first */
	int64_t copies_bytes;	/* copies of checkpoints of runs that have not succeeded (kept.h) */
};

void retention_init(struct retention *retention);

#endif
