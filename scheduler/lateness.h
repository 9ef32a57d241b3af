/*
 * lateness.h - looks at each DAG's `expect_by` whether it has succeeded by then
 *
 * At each deadline, when DAGs change, and at a start: what was late while nobody was there is told, too. Once for a DAG
 * and a day (store_notice_late).
 *
 * Ownership: engine, registry and zones are the caller's and outlive it.
 */
#ifndef SCHEDULER_LATENESS_H
#define SCHEDULER_LATENESS_H

#include <uv.h>

#include "scheduler/engine.h"
#include "scheduler/registry.h"
#include "scheduler/zones.h"

struct lateness;

/* `on_told` (may be NULL): there is a notice to deliver. */
int lateness_new(uv_loop_t *loop, struct engine *engine, const struct registry *registry, struct zones *zones,
		 void (*on_told)(void *context, const char *dag), void *context, struct lateness **lateness_out,
		 struct err *err);

void lateness_look(struct lateness *lateness);

void lateness_stop(struct lateness *lateness);
void lateness_free(struct lateness *lateness); /* after the loop has run out; NULL is harmless */

#endif
