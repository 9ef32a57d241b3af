/*
 * deploy.h - the agents at hand, one for each type of machine, to be put on workers
 *
 * The one that serves this machine, and what lies beside it under the names stoker-agent-<machine>. They are
 * held in memory: what is sent is what its digest was taken of, whatever an upgrade does to the files.
 *
 * Ownership: the struct owns everything; it must outlive the transports that were given it.
 */
#ifndef EXECUTOR_DEPLOY_H
#define EXECUTOR_DEPLOY_H

#include <stddef.h>
#include <stdint.h>

#include "common/err.h"

enum { DEPLOY_AGENTS_MAX = 4, DEPLOY_DIGEST_CHARS = 16, DEPLOY_AGENT_BYTES_MAX = 64 * 1024 * 1024 };

struct deploy_agent {
	const char *machine;		      /* as uname -m says: "x86_64", "aarch64" */
	char digest[DEPLOY_DIGEST_CHARS + 1]; /* the first digits of its SHA-256 */
	char *path;
	uint8_t *data;
	size_t bytes;
};

struct deploy {
	struct deploy_agent agents[DEPLOY_AGENTS_MAX];
	size_t count;
};

/* `native_agent` is the path of the agent for this machine; not finding others is no error. */
int deploy_find(struct deploy *deploy_out, const char *native_agent, struct err *err);
void deploy_fini(struct deploy *deploy);

/* NULL when there is none for that type. */
const struct deploy_agent *deploy_for(const struct deploy *deploy, const char *machine);

/* What makes an agent for that type, as packages of Debian; NULL: stoker has none for it. */
const char *deploy_compiler(const char *machine);

#endif
