/*
 * spec_graph.h - what is known only when all steps are: `needs` by index, their order, circles
 */
#ifndef DAG_SPEC_GRAPH_H
#define DAG_SPEC_GRAPH_H

#include "dag/field.h"

/* Turns names into indexes and orders the steps. False when there is no order, after reporting why. */
bool spec_graph_link(struct spec *spec);

#endif
