/*
 * queue.h - bytes that wait to be sent: appended behind, taken from the front
 *
 * What was taken is moved over seldom, so that taking little by little from a long queue stays cheap.
 */
#ifndef EXECUTOR_QUEUE_H
#define EXECUTOR_QUEUE_H

#include "common/buf.h"

enum { QUEUE_KEEP_BYTES = 1024 * 1024 }; /* memory that an empty queue may hold on to */

struct queue {
	struct buf buf;
	size_t taken;
};

static inline size_t queue_bytes(const struct queue *queue)
{
	return queue->buf.bytes - queue->taken;
}

static inline const uint8_t *queue_front(const struct queue *queue)
{
	return queue->buf.data + queue->taken;
}

static inline void queue_append(struct queue *queue, const void *bytes, size_t n)
{
	buf_append(&queue->buf, bytes, n);
}

static inline void queue_clear(struct queue *queue)
{
	if (queue->buf.room > QUEUE_KEEP_BYTES)
		buf_fini(&queue->buf);
	else
		buf_clear(&queue->buf);
	queue->taken = 0;
}

static inline void queue_fini(struct queue *queue)
{
	buf_fini(&queue->buf);
	queue->taken = 0;
}

static inline void queue_take(struct queue *queue, size_t n)
{
	queue->taken += n;
	if (queue->taken == queue->buf.bytes) {
		queue_clear(queue);
	} else if (queue->taken > queue->buf.bytes / 2) {
		buf_consume(&queue->buf, queue->taken);
		queue->taken = 0;
	}
}

#endif
