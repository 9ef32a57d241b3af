/*
 * tail.h - the last words of a log
 */
#ifndef SCHEDULER_TAIL_H
#define SCHEDULER_TAIL_H

#include "common/arena.h"

enum { TAIL_BYTES_MAX = 200 };

/* The last line that holds more than blanks, at most TAIL_BYTES_MAX of its bytes; NULL when there is none. */
const char *tail_last_line(const char *path, struct arena *arena);

#endif
