/*
 * transport.h - how bytes reach an agent and come back: local (a child process), later ssh
 *
 * A link (link.h) speaks the protocol; beneath it a transport only moves bytes. Everything happens on the
 * loop.
 *
 * Life: open starts; then any number of link_received; then exactly one link_broken, after which the
 * transport is
 *       closed and may be opened again. close asks for that link_broken. Bytes given to send are copied.
 */
#ifndef EXECUTOR_TRANSPORT_H
#define EXECUTOR_TRANSPORT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct transport;

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
