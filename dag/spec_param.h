/*
 * spec_param.h - reading `params`
 *
 * A parameter is a value, which is its default and gives it its type, or a map that says more. A default is
 * checked as a value given for a run is (param.h).
 */
#ifndef DAG_SPEC_PARAM_H
#define DAG_SPEC_PARAM_H

#include "dag/field.h"

extern const struct field_level spec_param_level;

field_reader spec_param_read; /* fills in a struct dag */

#endif
