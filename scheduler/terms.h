/*
 * terms.h - what a worker is configured for
 *
 * All zero: it takes what names it, and as much as it has.
 */
#ifndef SCHEDULER_TERMS_H
#define SCHEDULER_TERMS_H

#include <stdbool.h>
#include <stddef.h>

#include "dag/dag.h"

enum { CORE_WORKERS_MAX = 64 };

struct worker_terms {
	const char *const *labels;
	size_t labels_count;
	bool remote;   /* not this machine: a step needs `source` or an absolute `workdir` there */
	bool gpus_set; /* most.gpus is a limit, also when it is 0 */
	int slots;     /* attempts alive at a time; 0: no limit */
	struct dag_resources most; /* of what it has; 0: all */
};

#endif
