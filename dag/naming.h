/*
 * naming.h - what a DAG, a step, a worker, a pool, a parameter and a variable may be called
 *
 * Names stand in URLs, paths and logs as they are, so their characters are safe in all three.
 */
#ifndef DAG_NAMING_H
#define DAG_NAMING_H

#include <stdbool.h>

/* Of a DAG, step, worker or pool: [A-Za-z0-9_][A-Za-z0-9_.-]{0,63}. */
bool naming_valid(const char *name);

/* Of a parameter: [A-Za-z_][A-Za-z0-9_-]{0,63}. */
bool naming_valid_param(const char *name);

/* Of an environment variable: [A-Za-z_][A-Za-z0-9_]*. */
bool naming_valid_variable(const char *name);

/* Of an output: [A-Za-z_][A-Za-z0-9_.-]{0,63}. */
bool naming_valid_output(const char *name);

#endif
