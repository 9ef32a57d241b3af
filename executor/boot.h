/*
 * boot.h - from a fresh channel to a running agent: pure, over any stream of bytes
 *
 * The command is one that sh, bash, zsh, csh, tcsh and fish all understand: exec /bin/sh -c '...', without
 * newline, backslash, ! or a single quote inside. What it prints are lines that begin with a mark of their
 * own, after whatever the login shell printed before (which is passed over, up to BOOT_NOISE_BYTES):
 *
 *   stoker-boot-<nonce> ready              all that follows is the agent's
 *   stoker-boot-<nonce> send MACHINE N     the agent is not there: send its N bytes; `ready` follows
 *   stoker-boot-<nonce> error KIND TEXT    KIND says at what it failed, TEXT what the system said
 *
 * An agent that is there is started without any answer of ours, so a reconnect costs one round trip. A new
 * one is written under a name of its own, tried, and renamed into place.
 *
 *   WAITING --> SENDING --> READY         either may end in FAILED
 *      +--------------------> READY
 *
 * Errors: each failure has a fault and a sentence that says what to do about it.
 */
#ifndef EXECUTOR_BOOT_H
#define EXECUTOR_BOOT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/buf.h"
#include "executor/deploy.h"
#include "executor/transport.h"

enum { BOOT_NOISE_BYTES = 64 * 1024, BOOT_LINE_BYTES = 1024, BOOT_SAID_BYTES = 200, BOOT_MARK_BYTES = 40 };

enum boot_state { BOOT_WAITING, BOOT_SENDING, BOOT_READY, BOOT_FAILED, BOOT_STATES };

struct boot {
	const struct deploy *deploy;
	const char *root;
	enum boot_state state;
	const struct deploy_agent *agent; /* SENDING: its bytes are to be sent now */
	enum fault fault;		  /* FAILED */
	char why[800];
	char mark[BOOT_MARK_BYTES];
	char line[BOOT_LINE_BYTES]; /* the one at hand, its beginning */
	size_t line_bytes;
	size_t heard_bytes;
	char said[BOOT_SAID_BYTES]; /* the last line that was not ours, for people */
};

/*
 * NULL, or what is wrong with a root folder: it must be absolute or below "~/", and plain enough for a
 * shell.
 */
const char *boot_root_fault(const char *root);

/* `root` and `deploy` must outlive the boot; `nonce` is another one each time. */
void boot_init(struct boot *boot, const char *root, const struct deploy *deploy, uint64_t nonce);

/* The command for the login shell, appended. */
void boot_command(const struct boot *boot, struct buf *out);

/*
 * Takes what the channel yields, up to the end of the bootstrap; `used_out` says how many bytes: the rest
 * is the agent's. Answers the state.
 */
enum boot_state boot_feed(struct boot *boot, const uint8_t *bytes, size_t n, size_t *used_out);

/* The channel ended, or time ran out (`late`), while it was WAITING or SENDING; `complaint` is its stderr. */
void boot_give_up(struct boot *boot, bool late, const char *complaint);

/* What an agent that ended said last on its stderr, as a fault: the disk became full or read-only, say. */
enum fault boot_fault_of(const char *complaint);

#endif
