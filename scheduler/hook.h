/*
 * hook.h - a short program on this machine: fed with a text, watched, and ended after a time
 *
 * It leads a process group of its own. At its time limit the group is killed; so is what it left behind when it has
 * ended, which would otherwise keep its output open. Nothing of it is waited for on the loop.
 *
 * Ownership: a hook frees itself after `done`, which is called once, on the loop; what hook_start is given need only
 *            live until it returns.
 */
#ifndef SCHEDULER_HOOK_H
#define SCHEDULER_HOOK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <uv.h>

struct hook_end {
	int status;	  /* exit code; -1: a signal, the time limit, or it could not be started */
	const char *said; /* the end of what it printed, on either output, without blanks around it */
	char why[200];	  /* "exit code 3", "killed after 30s", "cannot be started: no such file" */
};

struct hook_task {
	const char *const *argv; /* NULL at the end; argv[0] is a path */
	const char *const *env;
	const char *dir; /* NULL: the root */
	const char *input;
	int64_t limit_ms;
	void (*done)(void *context, const struct hook_end *end);
	void *context;
};

struct hook;

struct hook *hook_start(uv_loop_t *loop, const struct hook_task *task);

/* Kills it; `done` is not called any more. */
void hook_abandon(struct hook *hook);

#endif
