/*
 * listen.h - sockets to listen on
 *
 * The control socket is made under another name and moved into place when its mode is right, so that nobody connects
 * to one that is open to all, and nobody finds none while a new one takes over. One that a dead server left is
 * replaced; one on which somebody answers is not. Its path may be longer than the 107 bytes that the system takes.
 *
 * Addresses are numbers: no name is looked up. "localhost" stands for 127.0.0.1.
 *
 * Errors: ERR_BUSY: somebody answers there; ERR_INVALID: no address; ERR_DENIED, ERR_IO.
 */
#ifndef WEB_LISTEN_H
#define WEB_LISTEN_H

#include <stdbool.h>
#include <sys/socket.h>
#include <sys/types.h>

#include "common/err.h"

/* `group`: (gid_t)-1: the owner's alone, mode 0600; else 0660 and that group's. */
int listen_control(const char *path, gid_t group, int *fd_out, struct err *err);

struct listen_address {
	struct sockaddr_storage address;
	socklen_t bytes;
	bool loopback;
	int port;
	char host[64]; /* as it would stand in a Host header, without brackets */
};

/* "127.0.0.1:8765", "[::1]:8765", "localhost:8765", "0.0.0.0:8765" */
int listen_parse(const char *text, struct listen_address *out, struct err *err);

/* *port_out is what was taken where 0 was asked for. */
int listen_tcp(const struct listen_address *address, int *fd_out, int *port_out, struct err *err);

#endif
