/*
 * yaml_problem.h - what libyaml complains of, in words for whoever wrote the file
 *
 * libyaml says which rule of its grammar broke. Here that becomes what was probably done: a tab, a colon in
 * an unquoted value, a quote that was never closed, an unquoted cron line.
 */
#ifndef DAG_YAML_PROBLEM_H
#define DAG_YAML_PROBLEM_H

#include <yaml.h>

#include "dag/diagnostic.h"
#include "dag/document.h"

/* After yaml_parser_parse failed. */
void yaml_problem_report(const yaml_parser_t *parser, const struct document *document,
			 struct diagnostics *diagnostics);

#endif
