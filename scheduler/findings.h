/*
 * findings.h - what a check found, a line each as it comes, or as JSON
 *
 *   ok   root folder  /home/ada/.stoker
 *   FAIL python3      there is none; install it
 *
 * Ownership: `steps` is the caller's when it asked for JSON, by json_decref.
 */
#ifndef SCHEDULER_FINDINGS_H
#define SCHEDULER_FINDINGS_H

#include <jansson.h>
#include <stdbool.h>

#include "executor/protocol.h"
#include "scheduler/terminal.h"

struct findings {
	struct terminal terminal;
	bool is_terminal;
	json_t *steps; /* NULL: they are printed at once */
	int problems;
	int warnings;
};

void findings_init(struct findings *findings, bool json);
void findings_add(struct findings *findings, const struct frame_finding *finding);

#endif
