/*
 * spec_reference.h - checking each ${{ ... }} of a file before anything runs
 *
 * The parameter must exist, the step too, and be needed by the one that refers to it; a parameter in a script
 * must have a default (and choices) that may stand there.
 */
#ifndef DAG_SPEC_REFERENCE_H
#define DAG_SPEC_REFERENCE_H

#include "dag/field.h"

enum { SPEC_REFERENCES_MAX = 100 * 1000 };

/* `ordered`: the steps have an order; without it nobody can say which step comes before which. */
void spec_reference_check(struct spec *spec, bool ordered);

#endif
