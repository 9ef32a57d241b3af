/*
 * catalog.h - keeps the database and the trigger in step with the DAG files
 *
 *   registry (files) --> one job of the writer: versions, schedules, errors of files --> trigger (schedules in force)
 *
 * A change that comes while one is being written is written after it, as it is then. What cannot be written is tried
 * again; until then the schedules of before are in force.
 *
 * Ownership: engine and trigger are the caller's and outlive it.
 */
#ifndef SCHEDULER_CATALOG_H
#define SCHEDULER_CATALOG_H

#include <uv.h>

#include "scheduler/engine.h"
#include "scheduler/registry.h"
#include "scheduler/trigger.h"

struct catalog;

/* `local_zone`: the name of the scheduler's zone. `on_changed`: what is in force is another; may be NULL. */
struct catalog *catalog_new(uv_loop_t *loop, struct engine *engine, struct trigger *trigger, const char *local_zone,
			    void (*on_changed)(void *context), void *context);

/* Reads the files at these places, now and whenever they change. */
void catalog_start(struct catalog *catalog, const char *const *places, size_t count);

struct registry *catalog_registry(struct catalog *catalog);

void catalog_stop(struct catalog *catalog);
void catalog_free(struct catalog *catalog); /* after the loop has run out; NULL is harmless */

#endif
