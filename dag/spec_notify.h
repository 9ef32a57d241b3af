/*
 * spec_notify.h - reading `notify` and `expect_by`: who is told about a run, and when it is late
 */
#ifndef DAG_SPEC_NOTIFY_H
#define DAG_SPEC_NOTIFY_H

#include "dag/field.h"

extern const struct field_level spec_notify_level;

field_reader spec_notify_read; /* fill in a struct dag */
field_reader spec_notify_read_expect_by;

/* The same list for whoever is no DAG: a map, a list of maps, or an empty list. It lies in the arena of spec->dag. */
void spec_notify_read_list(struct spec *spec, const struct field *field, const struct node *value,
			   struct dag_notify **list_out, size_t *count_out);

/* An address of mail as a header can carry it; tells when it is none. */
bool spec_notify_is_address(struct spec *spec, const struct node *value);

#endif
