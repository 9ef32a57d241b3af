/*
 * held.h - what lies here for other steps of a run, made here or brought: how to read it, what is in place
 *
 *   runs/<home>-<run>/
 *       manifests/<digest>   of a parcel whose files lie here; `digest` is the name it is asked for by
 *       placed/<task>        digest of the artifacts of that step which lie here
 *       placed/c<task>       digest of the checkpoint that was brought for that step last
 *       placed/<mark>.lock   whoever puts the files in place holds it
 *
 * Both go with the folder of the run. A mark is written when the files are in place, and removed before they
 * may change.
 *
 * Paths: relative to the current folder, the agent's root.
 */
#ifndef EXECUTOR_AGENT_HELD_H
#define EXECUTOR_AGENT_HELD_H

#include <stdbool.h>
#include <stdint.h>

#include "common/parcel.h"
#include "executor/protocol.h"

struct held {
	const char *home;
	uint64_t run;
};

/* The folder that a path of the protocol names: absolute, or below the run's work (".": that). */
char *held_folder(struct held held, const char *path, struct arena *arena);

/* The checkpoint folder of a task; `path` is empty for its own. */
char *held_checkpoints(struct held held, uint64_t task, const char *path, struct arena *arena);

int held_put_manifest(struct held held, const char *digest, const struct parcel *parcel, struct err *err);

/* ERR_NOT_FOUND when there is none (any more). */
int held_get_manifest(struct held held, const char *digest, struct parcel *out, struct err *err);

/* Who puts files in place waits here for whoever is at it; a descriptor to close, or an error. */
int held_lock(struct held held, enum provision_kind kind, uint64_t task, struct err *err);

/* `kind`: ARTIFACTS or CHECKPOINT. */
int held_mark(struct held held, enum provision_kind kind, uint64_t task, const char *digest, struct err *err);
void held_unmark(struct held held, enum provision_kind kind, uint64_t task);
bool held_is_marked(struct held held, enum provision_kind kind, uint64_t task, const char *digest);

#endif
