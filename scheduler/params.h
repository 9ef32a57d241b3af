/*
 * params.h - the values of a run's parameters, as they are stored
 *
 * Errors: ERR_INVALID, as param_bind tells it.
 */
#ifndef SCHEDULER_PARAMS_H
#define SCHEDULER_PARAMS_H

#include <stddef.h>

#include "common/err.h"
#include "dag/dag.h"

/* From `NAME=VALUE` and defaults: a JSON object of all parameters, for store_new_run.params; the caller frees it. */
int params_json(const struct dag *dag, const char *const *assignments, size_t count, char **json_out,
		struct err *err);

#endif
