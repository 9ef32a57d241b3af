/*
 * lease.h - the right of an attempt to run on, as its supervisor holds it
 *
 * An agent leaves the newest number it was granted in the attempt's folder (`lease`: the number and its
 * complement, so that one read while it is written is not taken for another); the supervisor looks when the
 * last one it knows has run out. A number is the moment of asking by CLOCK_BOOTTIME, which goes on while the
 * machine sleeps: one that wakes up late finds its leases run out, and by how much.
 *
 * Source: Gray and Cheriton, "Leases", SOSP 1989.
 */
#ifndef EXECUTOR_AGENT_LEASE_H
#define EXECUTOR_AGENT_LEASE_H

#include <stdbool.h>
#include <stdint.h>

#include "executor/protocol.h"

/* Makes the file, while the folder is made: on a full disk it can be written over later. -1 with errno. */
int lease_make(int dir, int64_t number);

/* Leaves a newer number in it; an older one changes nothing. */
void lease_renew(int dir, int64_t number);

/* What the file holds; -1: nothing to go by. */
int64_t lease_read(int dir);

struct lease {
	int timer; /* readable when there is something to look at; -1: it has no lease */
	int64_t length_ms;
	int64_t renewed_ms;
};

int lease_open(struct lease *lease, const struct spec *spec, struct err *err);

/* True while it may run. Sets the timer to when to ask again. */
bool lease_holds(struct lease *lease, int dir);

/* Of one that has run out: how much is left of its grace (0: none). Sets the timer to the end of that. */
int64_t lease_left_ms(struct lease *lease, int64_t grace_ms);

#endif
