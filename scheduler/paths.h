/*
 * paths.h - where things lie below the state folder
 *
 *   <home>/daemon.lock                               held by the daemon; see owner.h
 *   <home>/control.sock                              where it listens
 *   <home>/runs/<dag>/<number>/owner                 who drives the run; see owner.h
 *   <home>/runs/<dag>/<number>/<task>.<attempt>.log  what the attempt printed
 *   <home>/checkpoints/<dag>/<number>/<task>.<seq>   the copy of a checkpoint; see copies.h
 *   <home>/parcels/<digest>                          snapshots of sources
 *   <home>/parcels/fetched/<digest>                  artifacts on their way from worker to worker
 */
#ifndef SCHEDULER_PATHS_H
#define SCHEDULER_PATHS_H

#include <stdint.h>

#include "common/arena.h"

const char *paths_run_dir(struct arena *arena, const char *home, const char *dag, uint64_t number);
const char *paths_owner(struct arena *arena, const char *home, const char *dag, uint64_t number);
const char *paths_parcels(struct arena *arena, const char *home);
const char *paths_fetched(struct arena *arena, const char *home, const char *digest);
const char *paths_copies(struct arena *arena, const char *home, const char *dag, uint64_t number);
const char *paths_copy(struct arena *arena, const char *home, const char *dag, uint64_t number,
		       const char *task, uint32_t seq);
const char *paths_log(struct arena *arena, const char *home, const char *dag, uint64_t number,
		      const char *task, uint32_t attempt);
const char *paths_daemon_lock(struct arena *arena, const char *home);
const char *paths_control(struct arena *arena, const char *home);

#endif
