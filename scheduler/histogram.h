/*
 * histogram.h - how long things took, counted by bounds, for /metrics
 *
 * Bounds in seconds, from a millisecond to a day: one set for all, so that they can be compared.
 */
#ifndef SCHEDULER_HISTOGRAM_H
#define SCHEDULER_HISTOGRAM_H

#include <stddef.h>
#include <stdint.h>

struct metrics;

enum { HISTOGRAM_BOUNDS = 14 };

struct histogram {
	uint64_t counts[HISTOGRAM_BOUNDS + 1]; /* up to each bound and above the one before; the last: above all */
	int64_t sum_ms;
};

void histogram_add(struct histogram *histogram, int64_t ms);

/* The family `name`_seconds: its samples _bucket, _sum and _count. */
void histogram_write(const struct histogram *histogram, struct metrics *out, const char *name, const char *help);

#endif
