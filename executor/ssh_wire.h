/*
 * ssh_wire.h - numbers and strings as ssh has them in its messages and keys
 *
 * Source: RFC 4251, section 5.
 */
#ifndef EXECUTOR_SSH_WIRE_H
#define EXECUTOR_SSH_WIRE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/buf.h"

/* What is left of something received. */
struct ssh_wire {
	const uint8_t *at;
	size_t left;
};

static inline void ssh_wire_put_u32(struct buf *out, size_t value)
{
	const uint8_t bytes[4] = { (uint8_t)(value >> 24), (uint8_t)(value >> 16), (uint8_t)(value >> 8),
				   (uint8_t)value };

	buf_append(out, bytes, sizeof bytes);
}

static inline void ssh_wire_put_string(struct buf *out, const void *bytes, size_t n)
{
	ssh_wire_put_u32(out, n);
	buf_append(out, bytes, n);
}

/* Each take answers false when what is left is too short for it. */
static inline bool ssh_wire_skip(struct ssh_wire *wire, size_t n)
{
	if (wire->left < n)
		return false;
	wire->at += n;
	wire->left -= n;
	return true;
}

static inline bool ssh_wire_take_u32(struct ssh_wire *wire, size_t *value_out)
{
	const uint8_t *at = wire->at;

	if (!ssh_wire_skip(wire, 4))
		return false;
	*value_out = (size_t)at[0] << 24 | (size_t)at[1] << 16 | (size_t)at[2] << 8 | at[3];
	return true;
}

static inline bool ssh_wire_take_string(struct ssh_wire *wire, struct ssh_wire *out)
{
	size_t n;

	if (!ssh_wire_take_u32(wire, &n))
		return false;
	*out = (struct ssh_wire){ wire->at, n };
	return ssh_wire_skip(wire, n);
}

#endif
