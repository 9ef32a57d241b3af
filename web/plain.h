/*
 * plain.h - the page for those without JavaScript: what there is, as HTML that the server makes, for reading
 *
 *   /plain                     the DAGs and their last runs       /plain/runs/digits/3         a run and its tasks
 *   /plain/dags/digits         a DAG                              /plain/runs/digits/3/train   a task, with links to its logs
 *   /plain/runs                the latest runs                    /plain/workers, /plain/events
 *
 * It shows the same answers of the source as the API, by tables of columns: which member of an object, under which head,
 * written how. All of it is escaped; a member that is not there is an empty cell.
 */
#ifndef WEB_PLAIN_H
#define WEB_PLAIN_H

#include <stdbool.h>

#include "web/source.h"

#define PLAIN_TYPE "text/html; charset=utf-8"

struct exchange;

enum plain_page { PLAIN_DAGS, PLAIN_DAG, PLAIN_RUNS, PLAIN_RUN, PLAIN_TASK, PLAIN_WORKERS, PLAIN_EVENTS };

void plain_answer(struct exchange *exchange);

/* Of a path as it was asked for. */
bool plain_is_below(const char *uri);

/* What could not be done, as a page; text of the heap. */
char *plain_problem(const char *title, const char *detail);

/* What such a page is made of, in the first place. */
enum web_read plain_reads(enum plain_page page);

/* As in struct web_source and struct web_aside. */
typedef int plain_read(void *context, enum web_read what, const struct web_query *query, json_t **out, struct err *err);

/* The page, as text of the heap. Touches nothing of the server, so a thread may do it. */
int plain_make(enum plain_page page, const struct web_query *query, plain_read *read, void *context, char **text_out,
	       struct err *err);

#endif
