/*
 * why_parts.h - what the files of why share with each other, and with nobody else
 *
 * why.c knows the states of tasks and runs; why_ready.c what a task that is ready waits for: which limit is full, who
 * holds it, and who goes before.
 */
#ifndef SCHEDULER_WHY_PARTS_H
#define SCHEDULER_WHY_PARTS_H

#include "common/buf.h"
#include "scheduler/why.h"

enum { WHY_NAMES_MAX = 3 };

/* "a, b, c and 4 more" */
struct why_names {
	struct buf *out;
	size_t count;
};

void why_names_add(struct why_names *names, const char *format, ...) __attribute__((format(printf, 2, 3)));
void why_names_end(const struct why_names *names);

void why_append_ready(const struct why *why, const struct task *task, struct buf *out);

#endif
