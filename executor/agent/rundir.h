/*
 * rundir.h - the folder of a run on this machine: where its steps work together
 *
 *   runs/<home>-<run>/
 *       work/       the copy of the run's source; made once, whole, by a rename
 *       released    the run ended, but may be taken up again; since its modification time
 *   runs/.gone-*    on the way out
 *
 * It goes when the run succeeded, and some days after one that did not.
 *
 * Paths: relative to the current folder, the agent's root.
 */
#ifndef EXECUTOR_AGENT_RUNDIR_H
#define EXECUTOR_AGENT_RUNDIR_H

#include <stdbool.h>
#include <stdint.h>

#include "common/arena.h"
#include "executor/agent/place.h"

enum { RUNDIR_PATH_BYTES = PLACE_NAME_BYTES + 16, RUNDIR_KEPT_DAYS = 7 };

const char *rundir_path(char path[RUNDIR_PATH_BYTES], const char *home, uint64_t run);

/* Folders of a spec that are relative lie in the run's copy of its source: makes them absolute. */
void rundir_resolve(struct spec *spec, const char *root, const char *home, struct arena *arena);

/* The run is claimed: what it left here is in use again. */
void rundir_claim(const char *home, uint64_t run);

/* The run is over: its folder goes, now or (`keep`) later. It stays while attempts of the run are here. */
void rundir_release(const char *home, uint64_t run, bool keep, struct arena *arena);

/* Those that nobody came back to, and what is half removed. For a child of the agent: it takes a while. */
void rundir_remove_stale(struct arena *arena);

#endif
