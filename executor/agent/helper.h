/*
 * helper.h - a forked child that does what may take long, and answers through a pipe
 *
 * A supervisor must answer a stop while a hundred gigabytes are read or a network disk hangs, so it reads no
 * big file itself. A helper gives way to the step (nice), dies with its supervisor, and answers in records of
 * the protocol.
 */
#ifndef EXECUTOR_AGENT_HELPER_H
#define EXECUTOR_AGENT_HELPER_H

#include <stdbool.h>
#include <sys/types.h>

#include "common/buf.h"
#include "common/err.h"

struct helper {
	pid_t pid;  /* 0: none, or waited for */
	pid_t past; /* the one before, when a new one was started before it was waited for */
	int pipe;   /* -1: none at work */
	struct buf answer;
};

enum { HELPER_ANSWER_MAX = 16 * 1024 * 1024 };

void helper_init(struct helper *helper);

/*
 * `work` runs in the child and writes its answer to `out`. Of all descriptors it keeps only that and the
 * folder `dir`, which it finds as HELPER_DIR.
 */
enum { HELPER_DIR = 4 };
int helper_start(struct helper *helper, void (*work)(void *context, int out), void *context, int dir,
		 struct err *err);

/*
 * Takes what has come: 1 when that was the end (the answer is whole; the helper may be started again), else
 * 0.
 */
int helper_read(struct helper *helper);

/* Ends it at once; its answer is lost. */
void helper_kill(struct helper *helper);

/* To be called with each pid that was waited for: whether it was a helper. */
bool helper_reaped(struct helper *helper, pid_t pid);

#endif
