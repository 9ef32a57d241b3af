#include "scheduler/writer.h"

#include <assert.h>
#include <stdbool.h>
#include <stdlib.h>

#include "common/mem.h"

struct writer {
	uv_thread_t thread;
	uv_mutex_t mutex;
	uv_cond_t wake;
	uv_async_t done;
	struct store *store;
	const struct actions *batch; /* NULL: nothing to do */
	bool stopping;
	struct err err;
	writer_on_done *on_done;
	void *context;
};

static void write_batches(void *argument)
{
	struct writer *writer = argument;

	uv_mutex_lock(&writer->mutex);
	for (;;) {
		const struct actions *batch;
		struct err err = { .code = ERR_OK };

		while (writer->batch == NULL && !writer->stopping)
			uv_cond_wait(&writer->wake, &writer->mutex);
		if (writer->batch == NULL)
			break;
		batch = writer->batch;
		uv_mutex_unlock(&writer->mutex);
		store_apply(writer->store, batch->items, batch->count, &err);
		uv_mutex_lock(&writer->mutex);
		writer->batch = NULL;
		writer->err = err;
		/* Not while it is locked: whoever wakes would have to wait for the lock at once. */
		uv_mutex_unlock(&writer->mutex);
		uv_async_send(&writer->done);
		uv_mutex_lock(&writer->mutex);
	}
	uv_mutex_unlock(&writer->mutex);
}

static void on_batch_done(uv_async_t *done)
{
	struct writer *writer = done->data;
	struct err err;

	uv_mutex_lock(&writer->mutex);
	err = writer->err;
	uv_mutex_unlock(&writer->mutex);
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
	rc = uv_mutex_init(&writer->mutex) | uv_cond_init(&writer->wake) |
	     uv_async_init(loop, &writer->done, on_batch_done) |
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

void writer_stop(struct writer *writer)
{
	uv_mutex_lock(&writer->mutex);
	writer->stopping = true;
	uv_cond_signal(&writer->wake);
	uv_mutex_unlock(&writer->mutex);
	uv_thread_join(&writer->thread);
	uv_close((uv_handle_t *)&writer->done, on_closed);
}
