#include "executor/early.h"

#include <fcntl.h>
#include <stdlib.h>
#include <unistd.h>

#include "common/mem.h"

struct early_piece {
	uv_work_t work;
	struct early *early; /* NULL: nobody wants to know any more */
	int fd;
	uint64_t from;
	uint64_t n;
};

static void set_going(uv_work_t *work)
{
	struct early_piece *piece = work->data;

	/* What goes wrong, who syncs will hear. */
	sync_file_range(piece->fd, (off_t)piece->from, (off_t)piece->n, SYNC_FILE_RANGE_WRITE);
}

static void on_gone(uv_work_t *work, int status)
{
	struct early_piece *piece = work->data;

	(void)status;
	if (piece->early != NULL)
		piece->early->piece = NULL;
	close(piece->fd);
	free(piece);
}

void early_written(struct early *early, uv_loop_t *loop, int fd, uint64_t end)
{
	struct early_piece *piece;

	if (end < early->begun)
		early->begun = end;
	if (early->piece != NULL || end - early->begun < EARLY_BYTES)
		return;
	piece = mem_zalloc(sizeof *piece);
	piece->fd = fcntl(fd, F_DUPFD_CLOEXEC, 0);
	piece->early = early;
	piece->from = early->begun;
	piece->n = end - early->begun;
	piece->work.data = piece;
	if (piece->fd < 0 || uv_queue_work(loop, &piece->work, set_going, on_gone) != 0) {
		if (piece->fd >= 0)
			close(piece->fd);
		free(piece);
		return;
	}
	early->piece = piece;
	early->begun = end;
}

void early_fini(struct early *early)
{
	if (early->piece != NULL)
		early->piece->early = NULL;
	early->piece = NULL;
}
