#include "common/outlet.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/clock.h"

/* -1: there can be none, or none is needed. */
static int open_another(int fd, mode_t type)
{
	char path[64];

	if (S_ISREG(type) || S_ISSOCK(type))
		return -1;
	snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
	return open(path, O_WRONLY | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
}

static bool is_ready(const struct outlet *outlet, int timeout_ms)
{
	struct pollfd ready = { .fd = outlet->fd, .events = POLLOUT };

	return outlet->is_file || poll(&ready, 1, timeout_ms) == 1;
}

/* To a pipe or a socket that is ready, so much can be written at once. Cut between lines. */
static size_t next_bytes(const struct outlet *outlet, const uint8_t *text, size_t bytes)
{
	const uint8_t *newline;

	if (outlet->is_file || bytes <= PIPE_BUF)
		return bytes;
	newline = memrchr(text, '\n', PIPE_BUF);
	return newline == NULL ? PIPE_BUF : (size_t)(newline - text) + 1;
}

/* How many bytes are done with; 0: they are to be offered again. */
static size_t write_some(const struct outlet *outlet, const uint8_t *text, size_t bytes)
{
	ssize_t n;

	do
		n = write(outlet->fd, text, next_bytes(outlet, text, bytes));
	while (n < 0 && errno == EINTR);
	if (n > 0)
		return (size_t)n;
	return n < 0 && errno == EAGAIN ? 0 : bytes; /* else they cannot be written */
}

static void offer(struct outlet *outlet, int timeout_ms)
{
	struct buf *pending = &outlet->pending;
	size_t done = 0, n = 1;

	while (n > 0 && done < pending->bytes && is_ready(outlet, timeout_ms))
		done += n = write_some(outlet, pending->data + done, pending->bytes - done);
	if (done > 0)
		buf_consume(pending, done);
}

/* ---------------------------------------------------------------------------------------------------------- */

void outlet_open(struct outlet *outlet, int fd)
{
	struct stat status = { 0 };
	int another;

	fstat(fd, &status);
	another = open_another(fd, status.st_mode);
	*outlet = (struct outlet){ .fd = another < 0 ? fd : another,
				   .is_own = another >= 0,
				   .is_file = S_ISREG(status.st_mode) };
}

void outlet_flush(struct outlet *outlet)
{
	if (outlet->pending.bytes > 0)
		offer(outlet, 0);
}

bool outlet_has_room(struct outlet *outlet, size_t bytes_max)
{
	if (outlet->pending.bytes >= bytes_max)
		outlet_flush(outlet);
	if (outlet->pending.bytes < bytes_max)
		return true;
	outlet->left_out++;
	return false;
}

uint64_t outlet_left_out(struct outlet *outlet)
{
	uint64_t lines = outlet->left_out;

	outlet->left_out = 0;
	return lines;
}

void outlet_drain(struct outlet *outlet, int patience_ms)
{
	int64_t end_mono_ms = clock_mono_ms() + patience_ms;
	int left_ms = patience_ms;

	while (outlet->pending.bytes > 0 && (patience_ms < 0 || left_ms > 0)) {
		offer(outlet, left_ms);
		left_ms = patience_ms < 0 ? -1 : (int)(end_mono_ms - clock_mono_ms());
	}
}

void outlet_close(struct outlet *outlet)
{
	if (outlet->is_own)
		close(outlet->fd);
	buf_fini(&outlet->pending);
	*outlet = (struct outlet){ .fd = -1 };
}
