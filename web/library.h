/*
 * library.h - libmicrohttpd, loaded when a server is opened
 *
 * It brings GnuTLS and ten more libraries along, and linking them would cost every start of stoker 1.3 ms, a third of
 * what `stoker status` takes. So it is opened by name, by the only command that serves. (scheduler/libcurl.h does the
 * same for the other side.)
 *
 *   http->queue_response(connection, 200, response);     // MHD_queue_response
 *
 * Errors: ERR_NOT_FOUND, which names the package.
 */
#ifndef WEB_LIBRARY_H
#define WEB_LIBRARY_H

#include <microhttpd.h>

#include "common/err.h"

/* Each is the library's MHD_<name>, of its type. */
#define LIBRARY_FUNCTIONS(DO)                                                                                  \
	DO(add_response_header)                                                                                \
	DO(create_response_from_buffer)                                                                        \
	DO(create_response_from_callback)                                                                      \
	DO(create_response_from_fd_at_offset64)                                                                \
	DO(destroy_response)                                                                                   \
	DO(get_connection_info)                                                                                \
	DO(get_connection_values)                                                                              \
	DO(get_daemon_info)                                                                                    \
	DO(get_timeout)                                                                                        \
	DO(lookup_connection_value)                                                                            \
	DO(queue_response)                                                                                     \
	DO(resume_connection)                                                                                  \
	DO(run)                                                                                                \
	DO(start_daemon)                                                                                       \
	DO(stop_daemon)                                                                                        \
	DO(suspend_connection)

struct library {
#define LIBRARY_MEMBER(name) __typeof__(MHD_##name) *name;
	LIBRARY_FUNCTIONS(LIBRARY_MEMBER)
#undef LIBRARY_MEMBER
};

/* NULL until library_load has returned 0. It stays until the process ends. */
extern const struct library *http;

int library_load(struct err *err);

#endif
