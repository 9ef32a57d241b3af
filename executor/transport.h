/*
 * transport.h - how bytes reach an agent and come back: local (a child process), ssh, openssh
 *
 * A link (link.h) speaks the protocol; beneath it a transport only moves bytes. Everything happens on the
 * loop; what must block (name look-ups, authentication) has a thread of the transport's own.
 *
 * Life: open starts to connect, within time limits of the transport's own; then link_opened once, when an
 *       agent listens at the other end; then any number of link_received; then, at any time, exactly one
 *       link_broken, after which the transport is closed and may be opened again. close asks for that
 *       link_broken. Bytes given to send are copied; they are given only between link_opened and link_broken.
 *       When some of them were taken by the system, the transport says link_drained.
 */
#ifndef EXECUTOR_TRANSPORT_H
#define EXECUTOR_TRANSPORT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct transport;

/* Why there is no connection (any more): what is shown for it, and whether waiting can mend it. */
enum fault {
	FAULT_BROKEN,      /* it stood, and ended */
	FAULT_CONFIG,      /* what was configured for it makes no sense: an unknown alias, a missing key file */
	FAULT_NAME,        /* the host name has no address */
	FAULT_REFUSED,     /* nobody listens there */
	FAULT_UNREACHABLE, /* no route, or no answer in time */
	FAULT_PROTOCOL,    /* no ssh server, or none that we can speak with */
	FAULT_HOSTKEY_UNKNOWN,
	FAULT_HOSTKEY_CHANGED,
	FAULT_HOSTKEY_REVOKED,
	FAULT_AUTH,   /* it lets us in with none of our keys */
	FAULT_SHELL,  /* no home, a login shell that does not run our command, or ends it */
	FAULT_DEPLOY, /* the agent could not be put there or run: disk full, noexec, read-only, machine type */
	FAULTS
};
extern const char *const fault_names[FAULTS]; /* "broken", "config", ...: for logs, --json and tests */

/* True when only a person can mend it: it is tried again all the same, but seldom. */
bool fault_needs_person(enum fault fault);

struct transport_ops {
	void (*open)(struct transport *transport);
	void (*send)(struct transport *transport, const uint8_t *bytes, size_t n);
	size_t (*queued_bytes)(const struct transport *transport); /* given to send, not yet taken by the system */
	void (*close)(struct transport *transport, bool at_once); /* else what was sent is delivered first */
	void (*free)(struct transport *transport); /* after its last link_broken */
};

/* Embedded first in each kind of transport. */
struct transport {
	const struct transport_ops *ops;
	struct link *link;
};

#endif
