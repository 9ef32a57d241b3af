/*
 * source.h - the snapshot of a DAG's `source`, taken when a run is made
 *
 * What git tracks there or does not ignore; all of the folder where it is in no work tree of git. Never .git,
 * nor stoker's own state. Symbolic links are kept when they stay inside.
 *
 * It is stored as a parcel (common/parcel.h), <home>/parcels/<digest>, before the run that names it exists: a
 * run works with the same files for ever, and a second run with the same files needs nothing new.
 *
 * Errors: ERR_LIMIT: it is too large; the text names the largest of it. ERR_NOT_FOUND and the like: of files.
 */
#ifndef SCHEDULER_SOURCE_H
#define SCHEDULER_SOURCE_H

#include <stddef.h>
#include <stdint.h>

#include "common/arena.h"
#include "common/digest.h"
#include "common/err.h"

#define SOURCE_BYTES_MAX (INT64_C(256) << 20) /* unless $STOKER_SOURCE_MAX says otherwise */

struct source {
	char digest[DIGEST_HEX_BYTES];
	uint64_t bytes; /* of the parcel */
	size_t files;
	const char **notes; /* for people: what was left out, and why */
	size_t notes_count;
};

/* `folder` is absolute; texts go to `arena`. May take seconds. */
int source_take(const char *folder, const char *home, struct arena *arena, struct source *out,
		struct err *err);

#endif
