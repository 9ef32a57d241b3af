/*
 * spec_env.h - reading `env`, of the file, of `defaults` and of a step
 *
 * Values keep their exact text: `no`, 1.10 and 012 arrive as they were written. A step's own entries come
 * after those of `defaults` and replace entries of the same name.
 */
#ifndef DAG_SPEC_ENV_H
#define DAG_SPEC_ENV_H

#include "dag/field.h"

enum { SPEC_ENV_TOTAL_MAX = 200 * 1000 }; /* entries of all steps: those of `defaults` count for each step */

field_reader spec_env_read_dag;  /* fills in a struct dag */
field_reader spec_env_read_step; /* a struct dag_step */

#endif
