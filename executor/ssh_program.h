/*
 * ssh_program.h - the ssh program: is it there, and what does it answer when it is run to its end?
 *
 * Such a child asks nobody anything: it has no terminal, and nothing to read. Blocks: for a thread, or for a
 * command that does nothing else.
 */
#ifndef EXECUTOR_SSH_PROGRAM_H
#define EXECUTOR_SSH_PROGRAM_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/buf.h"
#include "common/err.h"

struct ssh_program_end {
	int status;	/* as waitpid has it */
	bool too_late;	/* it was killed at the end of its time */
	bool cancelled; /* it was killed because `cancel_fd` became readable */
};

bool ssh_program_is_installed(void);

/*
 * Runs it, up to `limit_ms`, then kills it and what it started. `out` and `complaint` are its stdout and
 * stderr, as much as their limits take. An error: it could not be run at all.
 */
int ssh_program_run(const char *const *argv, int64_t limit_ms, int cancel_fd, struct buf *out,
		    struct buf *complaint, struct ssh_program_end *end_out, struct err *err);

#endif
