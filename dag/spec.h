/*
 * spec.h - the document becomes a struct dag, field by field
 *
 *   spec            the keys of the file itself, and the order of reading
 *   spec_param      params          spec_schedule   schedule, after
 *   spec_env        env             spec_notify     notify, expect_by
 *   spec_step       defaults and the keys of a step                 spec_webhook    notify.webhook
 *   spec_graph      needs, circles  spec_reference  ${{ ... }}
 *   field, value    what they share
 *
 * Errors: as diagnostics; the DAG is complete when none was added.
 */
#ifndef DAG_SPEC_H
#define DAG_SPEC_H

#include "dag/dag.h"
#include "dag/diagnostic.h"
#include "dag/document.h"

/* `dag` has its arena, its two tables of names and its path; texts of `document` lie in the arena. */
void spec_read(struct dag *dag, const struct document *document, struct diagnostics *diagnostics);

#endif
