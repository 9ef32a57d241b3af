#include "scheduler/retention.h"

#define DAY_MS (INT64_C(24) * 3600 * 1000)

/* Who says nothing loses nothing that is of use: a year of runs, and the newest of each DAG for ever. */
void retention_init(struct retention *retention)
{
	*retention = (struct retention){
		.runs = { .age_ms = 365 * DAY_MS, .keep = 100 },
		.runs_most = 10000,
		.logs = { .age_ms = 90 * DAY_MS, .keep = 20 },
		.metrics_age_ms = 180 * DAY_MS,
		.events_age_ms = 730 * DAY_MS,
		.backups_age_ms = 90 * DAY_MS,
		.fetched_bytes = INT64_C(4) << 30,
		.copies_bytes = INT64_C(20) << 30,
	};
}
