/*
 * spec_step.h - reading the keys of one step, and `defaults`, which holds some of the same
 *
 * A step begins as a copy of what `defaults` made; its own keys then replace single members, so that its
 * `retry: {max: 5}` keeps the backoff of `defaults`.
 */
#ifndef DAG_SPEC_STEP_H
#define DAG_SPEC_STEP_H

#include "dag/field.h"

extern const struct field_level spec_step_level;
extern const struct field_level spec_defaults_level;
extern const struct field_level spec_retry_level;
extern const struct field_level spec_checkpoint_level;
extern const struct field_level spec_resources_level;
extern const struct field_level spec_log_level;

/* What a step is when nothing is said. */
struct dag_step spec_step_initial(void);

/* Reads spec->defaults into spec->default_step. */
void spec_step_read_defaults(struct spec *spec);

/* Reads the keys of `body` into `step`, which is a copy of the default step with its name and index. */
void spec_step_read(struct spec *spec, const struct node *body, struct dag_step *step);

#endif
