#include "scheduler/histogram.h"

#include <stdio.h>

#include "web/metrics.h"

static const int64_t bounds_ms[HISTOGRAM_BOUNDS] = { 1,	    5,	    10,	     50,	100,	  500,	   1000,
						     5000, 30000, 120000, 600000, 3600000, 21600000, 86400000 };

void histogram_add(struct histogram *histogram, int64_t ms)
{
	size_t i = 0;

	while (i < HISTOGRAM_BOUNDS && ms > bounds_ms[i])
		i++;
	histogram->counts[i]++;
	histogram->sum_ms += ms < 0 ? 0 : ms;
}

void histogram_write(const struct histogram *histogram, struct metrics *out, const char *name, const char *help)
{
	char family[100], text[120];
	uint64_t total = 0;

	snprintf(family, sizeof family, "%s_seconds", name);
	metrics_family(out, family, "histogram", help);
	snprintf(text, sizeof text, "%s_bucket", family);
	out->name = text;
	for (size_t i = 0; i <= HISTOGRAM_BOUNDS; i++) {
		char bound[32] = "+Inf";

		total += histogram->counts[i];
		if (i < HISTOGRAM_BOUNDS)
			snprintf(bound, sizeof bound, "%g", (double)bounds_ms[i] / 1000);
		metrics_sample(out, (double)total, "le", bound, NULL);
	}
	snprintf(text, sizeof text, "%s_sum", family);
	metrics_sample(out, (double)histogram->sum_ms / 1000, NULL);
	snprintf(text, sizeof text, "%s_count", family);
	metrics_sample(out, (double)total, NULL);
	out->name = NULL;
}
