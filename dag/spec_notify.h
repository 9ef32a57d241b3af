/*
 * spec_notify.h - reading `notify` and `expect_by`: who is told about a run, and when it is late
 */
#ifndef DAG_SPEC_NOTIFY_H
#define DAG_SPEC_NOTIFY_H

#include "dag/field.h"

extern const struct field_level spec_notify_level;

field_reader spec_notify_read; /* fill in a struct dag */
field_reader spec_notify_read_expect_by;

#endif
