/*
 * held.h - what lies here for other steps of a run, made here or brought: how to read it, what is in place
 *
 *   runs/<home>-<run>/
 *       manifests/<name>     of a parcel whose files lie here: the digest of artifacts, else as in links/
 *       links/c<task>-<key>  the files of a checkpoint that is asked for, linked: they stay when `keep` or the
 *                            program removes them meanwhile; of each step the last one
 *       placed/<task>        digest of the artifacts of that step which lie here
 *       placed/c<task>       digest of the checkpoint that was brought for that step last, and how its files
 *                            looked then
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

int held_put_manifest(struct held held, const char *name, const struct parcel *parcel, struct err *err);

/* ERR_NOT_FOUND when there is none (any more). */
int held_get_manifest(struct held held, const char *name, struct parcel *out, struct err *err);

/* The name of a checkpoint's manifest and links. */
enum { HELD_NAME_BYTES = 64 };
void held_name_checkpoint(uint64_t task, const char *name, const char *digest, char out[HELD_NAME_BYTES]);

/* Where the links of that name are. */
char *held_links(struct held held, const char *name, struct arena *arena);

/* Removes manifests and links of the step's other checkpoints. */
void held_drop_others(struct held held, uint64_t task, const char *name, struct arena *arena);

/* Who puts files in place waits here for whoever is at it; a descriptor to close, or an error. */
int held_lock(struct held held, enum provision_kind kind, uint64_t task, struct err *err);

/* `kind`: ARTIFACTS or CHECKPOINT. A mark is a digest, or begins with one. */
enum { HELD_MARK_BYTES = DIGEST_HEX_BYTES + 24 };
int held_mark(struct held held, enum provision_kind kind, uint64_t task, const char *mark, struct err *err);
void held_unmark(struct held held, enum provision_kind kind, uint64_t task);
bool held_is_marked(struct held held, enum provision_kind kind, uint64_t task, const char *mark);

#endif
