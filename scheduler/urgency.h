/*
 * urgency.h - who goes first: the priority of a run, which rises for what waits
 *
 * A task waits from the moment it is ready, or from the last start of one of its kind: its run's ready tasks
 * that ask for the same are served in turn, and a kind that is being served does not starve, however many
 * there are of it. For each URGENCY_STEP_MS of waiting its priority rises by one, and after URGENCY_FIRST_MS it
 * goes before all others, whatever their priority: nobody waits for ever.
 *
 * One that finds no room on any worker for URGENCY_RESERVE_MS has one kept for it: of what it asks for there,
 * those behind it may take only what it leaves, until it fits.
 *
 * Pure, for the core that decides by it and for `why`, which tells it.
 * Units: milliseconds.
 */
#ifndef SCHEDULER_URGENCY_H
#define SCHEDULER_URGENCY_H

#include <stdint.h>

#define URGENCY_STEP_MS    (INT64_C(5) * 60 * 1000)
#define URGENCY_RESERVE_MS (INT64_C(10) * 60 * 1000)
#define URGENCY_FIRST_MS   (INT64_C(24) * 3600 * 1000)

/* Higher goes first; INT64_MAX: before all others. */
int64_t urgency_of(int priority, int64_t waited_ms);

#endif
