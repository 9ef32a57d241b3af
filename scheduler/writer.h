/*
 * writer.h - the store's own thread: the loop never waits for the disk
 *
 * One batch at a time goes to the thread; when it is committed, or could not be, `on_done` is called on the
 * loop. The thread shares nothing but the batch it was given.
 *
 * A job is what else is to be written (a run is made, a DAG paused): a function of the store that runs on the
 * thread. Jobs gather while the thread is busy and share one commit, with each other and with a batch that
 * comes along; each is a part of its own, which can fail alone.
 */
#ifndef SCHEDULER_WRITER_H
#define SCHEDULER_WRITER_H

#include <uv.h>

#include "common/err.h"
#include "common/list.h"
#include "scheduler/core.h"
#include "scheduler/store.h"

typedef void writer_on_done(void *context, const struct err *err); /* err->code is ERR_OK when it is on disk */

struct writer;

/* In the caller's memory, untouched from writer_add until `done`. */
struct writer_job {
	int (*write)(struct store *store, void *context, struct err *err); /* on the thread; see store_begin */
	/* On the loop, exactly once: ERR_OK when it is on disk, else nothing of it is. May be NULL. */
	void (*done)(void *context, const struct err *err);
	void *context;
	struct err err; /* the writer's */
	struct list link;
};

/* The store belongs to the thread until writer_stop. */
struct writer *writer_start(uv_loop_t *loop, struct store *store, writer_on_done *on_done, void *context);

void writer_submit(struct writer *writer, const struct actions *batch);

void writer_add(struct writer *writer, struct writer_job *job);

/* Waits for what is at hand; jobs that were not begun are done with ERR_BUSY. Ends the thread and frees the writer once the loop has closed its handle. */
void writer_stop(struct writer *writer);

#endif
