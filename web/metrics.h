/*
 * metrics.h - samples in Prometheus' text format, for /metrics
 *
 *   metrics_family(out, "stoker_runs", "gauge", "Runs, by their state.");
 *   metrics_sample(out, 3, "state", "running", NULL);
 *
 * All samples of a family follow it. Names say what and in which base unit (_seconds, _bytes), counters end with
 * _total; values of labels may be any text.
 *
 * Source: Prometheus, "Text-based format", version 0.0.4.
 */
#ifndef WEB_METRICS_H
#define WEB_METRICS_H

#include "common/buf.h"

struct metrics {
	struct buf text;
	const char *name; /* of the family at hand */
};

void metrics_family(struct metrics *metrics, const char *name, const char *type, const char *help);

/* Labels and their values, by turns, and NULL. */
void metrics_sample(struct metrics *metrics, double value, ...) __attribute__((sentinel));

/* A family of one sample without labels. */
void metrics_single(struct metrics *metrics, const char *name, const char *type, const char *help, double value);

#endif
