/*
 * client.h - the command line's side of the API: HTTP over the daemon's control socket
 *
 * The socket is $STOKER_SOCKET, else control.sock in the state folder. It is tried before libcurl is loaded (libcurl.h),
 * so a command that does without a daemon when there is none loses no time.
 *
 *   for those that need a daemon       status = client_connect(&client);
 *   for those that can do without      rc = client_try(home, "/api/v1/dags/digits/pause", NULL, &answer, &err);
 *
 * Answers that are problems become errors: the daemon's sentence, and the code that it had there.
 *
 * Errors: client_open: ERR_NOT_FOUND: nobody answers; ERR_DENIED: the socket is somebody else's. All others: those of
 *         the daemon; ERR_IO: the connection broke.
 */
#ifndef SCHEDULER_CLIENT_H
#define SCHEDULER_CLIENT_H

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/arena.h"
#include "common/buf.h"
#include "common/err.h"

struct client;

int client_open(const char *home, struct client **client_out, struct err *err);
void client_close(struct client *client); /* NULL is harmless */

/* The same for a command: tells what is wrong, and returns its exit status (COMMAND_UNREACHABLE), or 0. */
int client_connect(struct client **client_out);

/* An answer is waited for so long at most, by those who can do without it. */
void client_limit(struct client *client, int64_t wait_ms);

/* `path` with what stands behind `?`; its parts escaped (client_escape) where they may hold anything. */
int client_get(struct client *client, const char *path, json_t **out, struct err *err);

/* `body` is the caller's; NULL: none. */
int client_post(struct client *client, const char *path, const json_t *body, json_t **out, struct err *err);

/* Bytes, appended to `out`: of logs. */
int client_fetch(struct client *client, const char *path, struct buf *out, struct err *err);

/* Bytes as they come, until the daemon ends the answer or `taker` returns false. */
int client_stream(struct client *client, const char *path, bool (*taker)(void *context, const void *bytes, size_t n),
		  void *context, struct err *err);

/* A change that a daemon makes when there is one: 1 it did, 0 there is none, negative: it refused. */
int client_try(const char *home, const char *path, const json_t *body, json_t **out, struct err *err);

/* What may stand as one part of a path. */
const char *client_escape(struct arena *arena, const char *text);

/* "/api/v1/runs/digits/3" and `rest`, for the run "digits/3"; also when that is no name of a run, which is answered. */
const char *client_run_path(struct arena *arena, const char *run, const char *rest);

static inline void scope_client_close(struct client **client)
{
	client_close(*client);
}

#define autoclient __attribute__((cleanup(scope_client_close)))

#endif
