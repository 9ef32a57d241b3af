/*
 * writer.h - the store's own thread: the loop never waits for the disk
 *
 * One batch at a time goes to the thread; when it is committed, or could not be, `on_done` is called on the
 * loop. The thread shares nothing but the batch it was given.
 */
#ifndef SCHEDULER_WRITER_H
#define SCHEDULER_WRITER_H

#include <uv.h>

#include "common/err.h"
#include "scheduler/core.h"
#include "scheduler/store.h"

typedef void writer_on_done(void *context, const struct err *err); /* err->code is ERR_OK when it is on disk */

struct writer;

/* The store belongs to the thread until writer_stop. */
struct writer *writer_start(uv_loop_t *loop, struct store *store, writer_on_done *on_done, void *context);

void writer_submit(struct writer *writer, const struct actions *batch);

/* Waits for the batch at hand, ends the thread and frees the writer once the loop has closed its handle. */
void writer_stop(struct writer *writer);

#endif
