/*
 * driver.h - the shell around the core: what was decided is committed before it is done
 *
 * Events go straight into the core. Its saves and orders gather in a batch; while one batch is being written
 * the next one gathers (group commit), and the orders of a batch are carried out only after its commit, in
 * the order in which they were given. Knows neither libuv nor SQLite: the engine and the simulator each bring
 * their own ends, so what the simulator shows of this file holds for the real program.
 *
 * Ownership: the core is the caller's. `write` gets a batch that stays untouched until driver_written.
 */
#ifndef SCHEDULER_DRIVER_H
#define SCHEDULER_DRIVER_H

#include <stdbool.h>

#include "scheduler/core.h"

struct driver_ends {
	/* Commit the saves of `batch`, then call driver_written (also from within). */
	void (*write)(void *context, const struct actions *batch);
	/* One order of a committed batch. */
	void (*carry_out)(void *context, const struct action *order);
	/*
	 * Nothing in what has gathered is to be done, only to be remembered (a step began, a metric came):
	 * call driver_flush within a moment, and whatever comes until then shares the commit. NULL: it never
	 * waits.
	 */
	void (*linger)(void *context);
	/* A save that was just decided (not yet committed), for those who look on. May be NULL. */
	void (*decided)(void *context, const struct action *save);
};

struct driver {
	struct core *core;
	const struct driver_ends *ends;
	void *context;
	struct actions batches[2];
	int gathering; /* index of the batch that takes what is decided now */
	bool writing;  /* the other one is with `write` */
	bool urgent;   /* what has gathered holds an order */
};

void driver_init(struct driver *driver, struct core *core, const struct driver_ends *ends, void *context);
void driver_fini(struct driver *driver);

void driver_event(struct driver *driver, const struct event *event);

/* Adds to the batch that is gathering (SAVE_REQUEST_DONE); it goes out with the next event at the latest. */
struct action *driver_add(struct driver *driver, enum action_kind kind);

/* The batch given to `write` is on disk: its orders are carried out and what has gathered goes out. */
void driver_written(struct driver *driver);

/* Hands out what has gathered, however little it is. */
void driver_flush(struct driver *driver);

/* False for a batch of orders alone: there is nothing to commit before they are carried out. */
bool driver_has_saves(const struct actions *batch);

/* How many batches hold something that is not on disk yet: 0, 1 or 2. */
int driver_batches(const struct driver *driver);

/* Nothing gathers and nothing is being written. */
bool driver_is_idle(const struct driver *driver);

#endif
