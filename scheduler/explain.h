/*
 * explain.h - how an attempt ended, in words for people
 */
#ifndef SCHEDULER_EXPLAIN_H
#define SCHEDULER_EXPLAIN_H

#include "common/arena.h"
#include "dag/dag.h"
#include "executor/protocol.h"

/* "exit code 3", "killed by signal 11 (SIGSEGV)", "stopped after its timeout of 10h00m", ... */
const char *explain_exit(const struct record_exit *exit, const struct dag_step *step, struct arena *arena);

#endif
