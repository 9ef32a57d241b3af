/*
 * artifacts.h - what a step was to leave for others: looked up when it ended well, and written down
 *
 * A helper (helper.h) reads the files, makes their manifest and keeps it (held.h), so that they can be
 * fetched from here under its digest for as long as the run has its folder. What is not there, or cannot be
 * read, is a failure of the attempt, in words.
 */
#ifndef EXECUTOR_AGENT_ARTIFACTS_H
#define EXECUTOR_AGENT_ARTIFACTS_H

#include <stdbool.h>
#include <sys/types.h>

#include "executor/agent/helper.h"
#include "executor/protocol.h"

struct artifacts {
	struct helper helper;
	enum { ARTIFACTS_NONE, ARTIFACTS_BUSY, ARTIFACTS_TAKEN, ARTIFACTS_FAILED } state;
	char text[400]; /* of FAILED */
};

void artifacts_init(struct artifacts *artifacts);

/* `root` is absolute. */
void artifacts_take(struct artifacts *artifacts, const struct spec *spec, const char *root, const char *home);

int artifacts_fd(const struct artifacts *artifacts); /* to poll for reading; -1: none */

/* What the helper said; records go to `journal`. */
void artifacts_on_helper(struct artifacts *artifacts, struct buf *journal);

void artifacts_abandon(struct artifacts *artifacts, const char *why);

#endif
