/*
 * local.h - the transport to this machine: the agent as a child process, frames on its stdin and stdout
 *
 * The child leads a session of its own, so that a Ctrl-C on the terminal does not reach it.
 */
#ifndef EXECUTOR_LOCAL_H
#define EXECUTOR_LOCAL_H

#include <uv.h>

#include "executor/transport.h"

/* `agent` is the program, `root` the folder it keeps everything in. */
struct transport *local_new(uv_loop_t *loop, const char *agent, const char *root);

#endif
