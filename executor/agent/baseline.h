/*
 * baseline.h - what a program's own checkpoint folder held before the task's first attempt
 *
 * Such entries do not count for as long as they stay as they were. They are written down in the task's
 * folder, once: one line for each, the hash of its signature, a blank, its name, a zero byte.
 *
 * Ownership: names live in the arena given; the array is the caller's to free.
 */
#ifndef EXECUTOR_AGENT_BASELINE_H
#define EXECUTOR_AGENT_BASELINE_H

#include "executor/agent/seal.h"

struct baseline {
	struct seal_known *known;
	size_t count;
};

/* Reads it, if there is one. */
void baseline_read(const char *task_folder, struct arena *arena, struct baseline *out);

/* The same, but on the first attempt (and where there is none) writes down what `dir` holds now. */
int baseline_take(const char *task_folder, int dir, const struct spec *spec, struct arena *arena,
		  struct baseline *out, struct err *err);

#endif
