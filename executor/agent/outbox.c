#include "executor/agent/outbox.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/sendfile.h>
#include <unistd.h>

#include "executor/agent/awake.h"
#include "executor/protocol.h"

enum { COPY_BYTES = 16 * 1024 };
enum {
	REST_MS = 1,
	PIPE_BYTES_MAX = 1024 * 1024, /* as much as anybody may have */
};

void outbox_fini(struct outbox *outbox)
{
	buf_fini(&outbox->control.bytes);
	buf_fini(&outbox->bulk.bytes);
	if (outbox->file.left > 0)
		close(outbox->file.fd);
	*outbox = (struct outbox){ 0 };
}

static size_t unsent(const struct lane *lane)
{
	return lane->bytes.bytes - lane->sent;
}

/* Forgets what was sent, when that costs little. */
static struct buf *tidy(struct lane *lane)
{
	if (lane->sent == lane->bytes.bytes) {
		buf_clear(&lane->bytes);
		lane->sent = 0;
	} else if (lane->sent > unsent(lane)) {
		buf_consume(&lane->bytes, lane->sent);
		lane->sent = 0;
	}
	return &lane->bytes;
}

struct buf *outbox_control(struct outbox *outbox)
{
	return tidy(&outbox->control);
}

struct buf *outbox_bulk(struct outbox *outbox)
{
	return tidy(&outbox->bulk);
}

void outbox_bulk_from_file(struct outbox *outbox, int fd, off_t at, size_t n)
{
	outbox->bulk.bytes.bytes -= n;
	outbox->file.fd = fd;
	outbox->file.at = at;
	outbox->file.left = n;
}

bool outbox_control_has_room(const struct outbox *outbox)
{
	return unsent(&outbox->control) < OUTBOX_CONTROL_MAX;
}

bool outbox_bulk_has_room(const struct outbox *outbox)
{
	return unsent(&outbox->bulk) < OUTBOX_BULK_MAX && outbox->file.left == 0;
}

bool outbox_empty(const struct outbox *outbox)
{
	return unsent(&outbox->control) == 0 && unsent(&outbox->bulk) == 0 && outbox->file.left == 0;
}

/* At a border: all of the control lane may go at once, of the bulk lane one frame. */
static bool choose(struct outbox *outbox)
{
	struct frame frame;

	if (unsent(&outbox->control) > 0) {
		outbox->current = &outbox->control;
		outbox->current_left = unsent(&outbox->control);
		return true;
	}
	if (unsent(&outbox->bulk) == 0)
		return false;
	outbox->current = &outbox->bulk;
	outbox->current_left = unsent(&outbox->bulk);
	if (protocol_next(outbox->bulk.bytes.data + outbox->bulk.sent, unsent(&outbox->bulk), &frame, NULL) == 1)
		outbox->current_left = frame.whole_bytes;
	return true;
}

static bool in_file(const struct outbox *outbox)
{
	return outbox->current == &outbox->bulk && outbox->file.left > 0 && unsent(&outbox->bulk) == 0;
}

/* Where the kernel can't hand its pages on (to a pipe, before Linux 5.12), and beyond the end of the file. */
static ssize_t copy_from_file(struct outbox *outbox, int fd)
{
	uint8_t bytes[COPY_BYTES];
	size_t n = outbox->file.left < sizeof bytes ? outbox->file.left : sizeof bytes;
	ssize_t got = pread(outbox->file.fd, bytes, n, outbox->file.at), sent;

	if (got > 0)
		return write(fd, bytes, (size_t)got);
	memset(bytes, 0, n);
	sent = write(fd, bytes, n);
	if (sent > 0)
		outbox->made_up += (uint64_t)sent;
	return sent;
}

static ssize_t write_file(struct outbox *outbox, int fd)
{
	off_t at = outbox->file.at;
	ssize_t n = sendfile(fd, outbox->file.fd, &at, outbox->file.left);

	if (n == 0 || (n < 0 && errno != EAGAIN && errno != EINTR))
		n = copy_from_file(outbox, fd);
	if (n <= 0)
		return n;
	outbox->file.at += n;
	outbox->file.left -= (size_t)n;
	if (outbox->file.left == 0) {
		close(outbox->file.fd);
		outbox->current = NULL;
	}
	return n;
}

static ssize_t write_lane(struct outbox *outbox, int fd)
{
	struct lane *lane = outbox->current;
	ssize_t n = write(fd, lane->bytes.data + lane->sent, outbox->current_left);

	if (n < 0)
		return n;
	lane->sent += (size_t)n;
	outbox->current_left -= (size_t)n;
	if (outbox->current_left == 0 && !in_file(outbox))
		outbox->current = NULL;
	return n;
}

/* When all of the pipe was read in that time, its reader had to wait: a longer one is called for. */
static void end_rest(struct outbox *outbox, int fd)
{
	int left, bytes;

	outbox->rest.until_ms = 0;
	if (ioctl(fd, FIONREAD, &left) == 0 && left > 0)
		return;
	bytes = fcntl(fd, F_GETPIPE_SZ);
	if (bytes < PIPE_BYTES_MAX)
		outbox->rest.of_no_use = bytes < 0 || fcntl(fd, F_SETPIPE_SZ, 2 * bytes) < 0;
}

int64_t outbox_rests_until_ms(const struct outbox *outbox)
{
	return outbox->rest.until_ms == 0 ? AWAKE_NEVER : outbox->rest.until_ms;
}

int outbox_write(struct outbox *outbox, int fd, int64_t now_ms)
{
	bool moved = false;

	if (outbox->rest.until_ms != 0) {
		if (now_ms < outbox->rest.until_ms)
			return 0;
		end_rest(outbox, fd);
	}
	while (outbox->current != NULL || choose(outbox)) {
		ssize_t n = in_file(outbox) ? write_file(outbox, fd) : write_lane(outbox, fd);

		if (n < 0 && errno == EAGAIN) {
			/* Where nothing moved, the link may be down: who rests again and again then is never at rest. */
			if (moved && in_file(outbox) && !outbox->rest.of_no_use)
				outbox->rest.until_ms = now_ms + REST_MS;
			return 0;
		}
		if (n < 0 && errno != EINTR)
			return -1;
		moved = moved || n > 0;
	}
	return 0;
}
