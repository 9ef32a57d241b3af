#include "executor/trail.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdlib.h>
#include <unistd.h>

#include "common/mem.h"
#include "common/unpack.h"
#include "executor/early.h"

enum { PIECE_BYTES = 256 * 1024 };

struct trail {
	uv_loop_t *loop;
	uv_work_t work;
	bool busy;  /* `work` is under way */
	bool freed; /* meanwhile */
	uint64_t asked;

	pthread_mutex_t mutex; /* of what follows */
	int fd;
	struct unpack unpack;
	uint64_t read;
	uint64_t gone; /* set going for the disk */
	struct err err; /* what was found already */
	bool ended;
	uint8_t piece[PIECE_BYTES];
};

/* Up to `end`, or to the end of the file. */
static void read_on(struct trail *trail, uint64_t end)
{
	while (trail->err.code == ERR_OK && trail->read < end) {
		size_t left = end - trail->read < PIECE_BYTES ? (size_t)(end - trail->read) : PIECE_BYTES;
		ssize_t n = pread(trail->fd, trail->piece, left, (off_t)trail->read);

		if (n == 0)
			return;
		if (n > 0)
			unpack_feed(&trail->unpack, trail->piece, (size_t)n, &trail->err);
		else if (errno != EINTR)
			err_errno(&trail->err, "read the parcel");
		trail->read += n > 0 ? (uint64_t)n : 0;
	}
}

/* In pieces that a file system likes. */
static void set_going(struct trail *trail)
{
	if (trail->asked - trail->gone < EARLY_BYTES)
		return;
	sync_file_range(trail->fd, (off_t)trail->gone, (off_t)(trail->asked - trail->gone),
			SYNC_FILE_RANGE_WRITE);
	trail->gone = trail->asked;
}

static void follow(uv_work_t *work)
{
	struct trail *trail = work->data;

	pthread_mutex_lock(&trail->mutex);
	if (!trail->ended) {
		read_on(trail, trail->asked);
		set_going(trail);
	}
	pthread_mutex_unlock(&trail->mutex);
}

static void free_trail(struct trail *trail)
{
	unpack_fini(&trail->unpack);
	if (trail->fd >= 0)
		close(trail->fd);
	pthread_mutex_destroy(&trail->mutex);
	free(trail);
}

static void on_followed(uv_work_t *work, int status)
{
	struct trail *trail = work->data;

	(void)status;
	trail->busy = false;
	if (trail->freed)
		free_trail(trail);
}

struct trail *trail_new(uv_loop_t *loop, const char *path, const char *digest)
{
	struct trail *trail = mem_zalloc(sizeof *trail);

	trail->loop = loop;
	trail->work.data = trail;
	pthread_mutex_init(&trail->mutex, NULL);
	unpack_init(&trail->unpack, -1, digest);
	trail->fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
	if (trail->fd < 0)
		err_errno(&trail->err, "open %s", path);
	return trail;
}

void trail_free(struct trail *trail)
{
	if (trail == NULL)
		return;
	trail->freed = true;
	if (!trail->busy)
		free_trail(trail);
}

void trail_follow(struct trail *trail, uint64_t have)
{
	if (trail->busy || have < trail->asked + TRAIL_BYTES)
		return;
	trail->asked = have;
	trail->busy = uv_queue_work(trail->loop, &trail->work, follow, on_followed) == 0;
}

int trail_end(struct trail *trail, struct err *err)
{
	pthread_mutex_lock(&trail->mutex);
	read_on(trail, UINT64_MAX);
	if (trail->err.code == ERR_OK)
		unpack_end(&trail->unpack, &trail->err);
	trail->ended = true;
	*err = trail->err;
	pthread_mutex_unlock(&trail->mutex);
	return err->code;
}
