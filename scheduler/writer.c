#include "scheduler/writer.h"

#include <assert.h>
#include <stdbool.h>
#include <stdlib.h>

#include "common/mem.h"
#include "scheduler/crash.h"

struct writer {
	uv_thread_t thread;
	uv_mutex_t mutex;
	uv_cond_t wake;
	uv_async_t done;
	struct store *store;
	const struct actions *batch; /* NULL: nothing to do */
	bool batch_done;	     /* `err` is its outcome, to be told */
	struct list jobs;	     /* to be written */
	struct list jobs_done;	     /* to be told */
	bool stopping;
	struct err err;
	writer_on_done *on_done;
	void *context;
};

/* --- on the thread -------------------------------------------------------------------------------------- */

/* Each job is a part of the transaction that is open. A negative code: all of it is lost. */
static int write_jobs(struct store *store, struct list *jobs, struct err *err)
{
	list_each (at, jobs) {
		struct writer_job *job = list_entry(at, struct writer_job, link);

		job->err = (struct err){ .code = ERR_OK };
		if (store_begin(store, err) < 0)
			return err->code;
		if (job->write(store, job->context, &job->err) < 0)
			store_undo(store, 0);
		else if (store_commit(store, err) < 0)
			return err->code;
		if (sqlite3_get_autocommit(store->db) != 0) { /* a full disk took back what came before, too */
			*err = job->err;
			return err->code;
		}
	}
	return 0;
}

static int write_together(struct store *store, const struct actions *batch, struct list *jobs, struct err *err)
{
	int rc = store_begin(store, err);

	if (rc < 0)
		return rc;
	if (batch != NULL)
		rc = store_apply(store, batch->items, batch->count, err);
	if (rc == 0)
		rc = write_jobs(store, jobs, err);
	return rc < 0 ? store_undo(store, rc) : store_commit(store, err);
}

/* What the whole of it failed with, every job failed with. */
static void write_all(struct store *store, const struct actions *batch, struct list *jobs, struct err *err)
{
	*err = (struct err){ .code = ERR_OK };
	if (list_empty(jobs)) {
		store_apply(store, batch->items, batch->count, err);
		return;
	}
	if (write_together(store, batch, jobs, err) == 0)
		return;
	list_each (at, jobs)
		list_entry(at, struct writer_job, link)->err = *err;
}

static void write_batches(void *argument)
{
	struct writer *writer = argument;

	uv_mutex_lock(&writer->mutex);
	for (;;) {
		const struct actions *batch;
		struct list jobs;
		struct err err;

		while (writer->batch == NULL && list_empty(&writer->jobs) && !writer->stopping)
			uv_cond_wait(&writer->wake, &writer->mutex);
		if (writer->batch == NULL && (writer->stopping || list_empty(&writer->jobs)))
			break;
		batch = writer->batch;
		list_init(&jobs);
		if (!writer->stopping)
			list_take_all(&writer->jobs, &jobs);
		uv_mutex_unlock(&writer->mutex);
		write_all(writer->store, batch, &jobs, &err);
		uv_mutex_lock(&writer->mutex);
		list_take_all(&jobs, &writer->jobs_done);
		if (batch != NULL) {
			writer->batch = NULL;
			writer->batch_done = true;
			writer->err = err;
		}
		/* Not while it is locked: whoever wakes would have to wait for the lock at once. */
		uv_mutex_unlock(&writer->mutex);
		uv_async_send(&writer->done);
		uv_mutex_lock(&writer->mutex);
	}
	uv_mutex_unlock(&writer->mutex);
}

/* --- on the loop ---------------------------------------------------------------------------------------- */

static void tell_jobs(struct list *jobs)
{
	while (!list_empty(jobs)) {
		struct writer_job *job = list_entry(jobs->next, struct writer_job, link);
		struct err err = job->err;

		list_remove(&job->link);
		if (job->done != NULL)
			job->done(job->context, &err); /* may free it */
	}
}

static void on_written(uv_async_t *done)
{
	struct writer *writer = done->data;
	struct list jobs;
	bool batch_done;
	struct err err;

	list_init(&jobs);
	uv_mutex_lock(&writer->mutex);
	err = writer->err;
	batch_done = writer->batch_done;
	writer->batch_done = false;
	list_take_all(&writer->jobs_done, &jobs);
	uv_mutex_unlock(&writer->mutex);
	crash_at(CRASH_batch_committed);
	tell_jobs(&jobs);
	if (batch_done)
		writer->on_done(writer->context, &err);
}

static void on_closed(uv_handle_t *handle)
{
	struct writer *writer = handle->data;

	uv_cond_destroy(&writer->wake);
	uv_mutex_destroy(&writer->mutex);
	free(writer);
}

struct writer *writer_start(uv_loop_t *loop, struct store *store, writer_on_done *on_done, void *context)
{
	struct writer *writer = mem_zalloc(sizeof *writer);
	int rc;

	writer->store = store;
	writer->on_done = on_done;
	writer->context = context;
	writer->done.data = writer;
	list_init(&writer->jobs);
	list_init(&writer->jobs_done);
	rc = uv_mutex_init(&writer->mutex) | uv_cond_init(&writer->wake) |
	     uv_async_init(loop, &writer->done, on_written) |
	     uv_thread_create(&writer->thread, write_batches, writer);
	assert(rc == 0);
	return writer;
}

void writer_submit(struct writer *writer, const struct actions *batch)
{
	uv_mutex_lock(&writer->mutex);
	assert(writer->batch == NULL);
	writer->batch = batch;
	uv_mutex_unlock(&writer->mutex);
	uv_cond_signal(&writer->wake);
}

void writer_add(struct writer *writer, struct writer_job *job)
{
	uv_mutex_lock(&writer->mutex);
	list_append(&writer->jobs, &job->link);
	uv_mutex_unlock(&writer->mutex);
	uv_cond_signal(&writer->wake);
}

void writer_stop(struct writer *writer)
{
	uv_mutex_lock(&writer->mutex);
	writer->stopping = true;
	uv_cond_signal(&writer->wake);
	uv_mutex_unlock(&writer->mutex);
	uv_thread_join(&writer->thread);
	list_each (at, &writer->jobs)
		err_set(&list_entry(at, struct writer_job, link)->err, ERR_BUSY, "stoker is being stopped");
	list_take_all(&writer->jobs, &writer->jobs_done);
	tell_jobs(&writer->jobs_done);
	uv_close((uv_handle_t *)&writer->done, on_closed);
}
