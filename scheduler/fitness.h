/*
 * fitness.h - whether a DAG can run with the settings at hand
 *
 * What only both together tell: a step names a worker or a label that nobody has, a pool that nobody set up, a
 * machine where it would have no folder, more than this machine will ever have. Asked before a run is made, by
 * whoever makes one, so that nothing is begun that could not go on.
 *
 * Errors: ERR_INVALID: which step, what is wrong with it, what to do.
 */
#ifndef SCHEDULER_FITNESS_H
#define SCHEDULER_FITNESS_H

#include "common/err.h"
#include "dag/dag.h"
#include "scheduler/settings.h"

int fitness_check(const struct dag *dag, const struct settings *settings, struct err *err);

#endif
