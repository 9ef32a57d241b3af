/*
 * trust.h - accepting the key of a worker's host, after a person has compared it
 *
 * The keys are shown with their fingerprints and what our known hosts say to them. One that changed is
 * refused unless it is to be replaced; a revoked one always. What is accepted is a line in the person's own
 * known_hosts, or in the file that the worker's settings name, so that ssh and stoker trust the same hosts. A
 * jump host on the way comes first.
 */
#ifndef SCHEDULER_TRUST_H
#define SCHEDULER_TRUST_H

#include <stdbool.h>

#include "common/err.h"
#include "executor/ssh_target.h"

enum { TRUST_TEXT_BYTES = 400 };

struct trust_plan {
	const struct ssh_target *target; /* its worker is named in messages */
	bool yes;			 /* do not ask */
	const char *fingerprint;	 /* only this key, and do not ask; NULL: whatever is shown */
	bool replace;			 /* a changed key takes the place of the old one */
};

enum trust_outcome { TRUST_KNOWN_ALREADY, TRUST_ADDED, TRUST_DECLINED };

/*
 * Talks to the person on stderr and stdin. Blocks. `text_out` says what was added, for the audit trail:
 * "h1 ssh-ed25519 SHA256:...".
 */
int trust_run(const struct trust_plan *plan, enum trust_outcome *outcome_out, char text_out[TRUST_TEXT_BYTES],
	      struct err *err);

#endif
