/*
 * ask.h - another program of this machine, run for what it prints, within a time limit
 *
 * For tools that know what the kernel does not tell: nvidia-smi, busctl, loginctl. One that hangs is killed,
 * and what cannot be killed (it hangs in a driver) is left behind; nobody waits for it.
 *
 * Ownership: texts are in the arena given.
 * Units:     milliseconds.
 */
#ifndef EXECUTOR_AGENT_ASK_H
#define EXECUTOR_AGENT_ASK_H

#include <stdint.h>

#include "common/arena.h"
#include "common/buf.h"

enum { ASK_WORDS_MAX = 24, ASK_ANSWER_BYTES_MAX = 256 * 1024 };

enum ask_outcome {
	ASK_DONE,   /* it ended with status 0 */
	ASK_FAILED, /* with another one, or by a signal */
	ASK_LATE,   /* it gave no answer in time, or too much of one */
	ASK_BROKEN, /* it could not be started */
};

/* Where a program lies in PATH, else among the usual folders; NULL: nowhere. */
const char *ask_find(struct arena *arena, const char *name);

/* `words`, NULL-terminated, begin with the path. What it prints is appended to `answer`. */
enum ask_outcome ask_program(const char *const words[], int64_t limit_ms, struct buf *answer);

#endif
