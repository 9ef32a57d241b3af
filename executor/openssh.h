/*
 * openssh.h - a command on another machine, carried by the ssh program as a child
 *
 * For hosts that ask for what libssh2 cannot do. Everything of the person's ssh configuration holds, but for
 * what would be in the way: it asks nobody anything, forwards nothing, shares no connection with others, and
 * takes only host keys that are known.
 *
 * The child is in a session of its own, and is ended, with what it started, when the stream is closed.
 */
#ifndef EXECUTOR_OPENSSH_H
#define EXECUTOR_OPENSSH_H

#include <stdbool.h>
#include <uv.h>

#include "common/buf.h"
#include "common/err.h"
#include "executor/ssh_target.h"
#include "executor/stream.h"
#include "executor/transport.h"

/* What ssh_resolve found of a target and ssh is to be told. */
struct openssh_way {
	const char *jump;    /* what it is reached through; NULL: nothing */
	const char *settled; /* in place of all its configuration; NULL: that holds */
	const char *ciphers; /* that it would ask for; NULL: not known */
};

struct stream *openssh_new(uv_loop_t *loop, const struct ssh_target *target, const struct openssh_way *way,
			   const char *command, const struct stream_handler *handler, void *context);

/*
 * Pure. `ciphers` with AES-GCM first, where ssh's own order is the reason that it is not: it begins with chacha20,
 * of which an ssh for machines without AES instructions makes the most. With them AES-GCM takes half of a transfer's
 * time (both are authenticated, with keys of 128 bits and more). NULL: the order stays.
 */
const char *openssh_order(struct arena *arena, const char *ciphers);

/*
 * Pure. What ssh says on its stderr when it gets nowhere, as a fault and a sentence in `why_out`; false when
 * it says nothing that is known.
 */
bool openssh_judge(const struct ssh_target *target, const char *complaint, enum fault *fault_out,
		   struct buf *why_out);

/*
 * Blocks: appends the key that the host shows, in wire format, whether it is known or not; those of the jump
 * hosts must be known. `types` are the host key algorithms to ask for, as ssh names them; NULL: ssh's choice.
 * ERR_VERSION: it has none of them.
 */
int openssh_meet(const struct ssh_target *target, const char *jump, const char *types, struct buf *key_out,
		 enum fault *fault_out, struct err *err);

#endif
