/*
 * web.h - the HTTP server: the page, the API and the live streams, on the caller's loop
 *
 * Listens on the control socket (a unix socket: whoever may connect is known by the kernel's word) and, where
 * addresses are given, on TCP. Every answer comes from the table of source.h.
 *
 *   routes    which paths there are              auth      who asks, and what they may
 *   answer    JSON and problems as responses     logs      byte ranges of logs, and what still comes
 *   stream    live changes, resumable            openapi   all of it, described
 *
 * libmicrohttpd (0.9.75 and later) does HTTP. Its epoll descriptor is one handle of the loop and its time-out one
 * timer: it never blocks. What it has no limits for has them here: a deadline for each request as a whole (its own
 * time-out only ends silence), the size of bodies, how many streams there are.
 *
 * Ownership: `settings` are copied; `source` is the caller's and outlives the server.
 * Threads:   everything on the loop's.
 * Errors:    ERR_BUSY: somebody answers on the control socket; ERR_INVALID: an address, or an address that would be
 *            open to others without protection; ERR_DENIED, ERR_IO.
 */
#ifndef WEB_WEB_H
#define WEB_WEB_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>
#include <uv.h>

#include "common/err.h"
#include "web/source.h"

enum {
	WEB_CONNECTION_BYTES = 32 * 1024, /* of each; half of it is for the header of a request, cookies and all */
	WEB_BODY_BYTES_MAX = 1024 * 1024,
	WEB_CONNECTIONS_MAX = 1000, /* over TCP; and not more than the limit of open files leaves room for */
	WEB_CONNECTIONS_EACH_MAX = 64, /* of one address that is not this machine's */
	WEB_CONTROL_CONNECTIONS_MAX = 256,
	WEB_REQUEST_MS = 20000,
	WEB_STREAMS_MAX = 600, /* live streams and followed logs */
};

struct web_settings {
	const char *control_path;  /* of the control socket, the owner's and root's; absolute; NULL: none */
	const char *shared_path;   /* of a second one, that others may use; NULL: none */
	const char *shared_group;  /* whose members may use that, as operators */
	const char *const *listen; /* "127.0.0.1:8765", "[::1]:8765" */
	size_t listen_count;
	bool listen_optional; /* an address that somebody else has is left out, with a warning */
	const char *const *hosts; /* names by which browsers may call the server, besides those of this machine */
	size_t hosts_count;
	const char *certificate_path; /* PEM; NULL: without TLS */
	const char *key_path;
	bool behind_proxy; /* something in front does TLS; a connection from this machine may then be anybody's */
	int64_t request_ms; /* in which a request is to be here as a whole; 0: WEB_REQUEST_MS */
	bool have_tokens;  /* without any, only addresses of this machine may be listened on */
};

struct web;

int web_open(uv_loop_t *loop, const struct web_settings *settings, const struct web_source *source,
	     struct web **web_out, struct err *err);

/*
 * Tells every live stream of a change. `kind` is the event's name ("run.changed", "task.changed"), `event` an object
 * that is taken over; its "run" ("digits/3"), "dag" and "task" are what streams select by. Safe from anywhere on the
 * loop; it only notes it down.
 */
void web_publish(struct web *web, const char *kind, json_t *event);

/*
 * Whether somebody follows live changes, or did a short time ago and may come back. If not, nothing needs to be
 * published: whoever comes back begins anew.
 */
bool web_is_followed(struct web *web);

/* The port of the listen address `index`, for those who asked for port 0. */
int web_port(const struct web *web, size_t index);

/* Ends every connection and removes the socket; the memory goes when the loop has closed the handles. NULL is harmless. */
void web_close(struct web *web);

#endif
