/*
 * outputs.h - the key=value lines a step leaves for the steps after it
 *
 * A key is a letter or underscore, then letters, digits, "_", "." and "-"; a value goes to the end of its
 * line. The last line of a key counts. What breaks a rule or a limit is told in a note and left out.
 */
#ifndef EXECUTOR_AGENT_OUTPUTS_H
#define EXECUTOR_AGENT_OUTPUTS_H

#include "common/buf.h"

enum { OUTPUTS_MAX = 256, OUTPUTS_KEY_MAX = 128, OUTPUTS_VALUE_MAX = 64 * 1024 };

/* Pure: appends a RECORD_OUTPUT for each key of `text` (it is changed), and notes. */
void outputs_parse(char *text, size_t n, struct buf *journal);

/* The same for the file `output` in `dir`, if there is one. */
void outputs_read(int dir, struct buf *journal);

#endif
