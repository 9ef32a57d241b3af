#include "executor/agent/outbox.h"

#include <errno.h>
#include <string.h>
#include <unistd.h>

#include "executor/protocol.h"

void outbox_fini(struct outbox *outbox)
{
	buf_fini(&outbox->control.bytes);
	buf_fini(&outbox->bulk.bytes);
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

bool outbox_control_has_room(const struct outbox *outbox)
{
	return unsent(&outbox->control) < OUTBOX_CONTROL_MAX;
}

bool outbox_bulk_has_room(const struct outbox *outbox)
{
	return unsent(&outbox->bulk) < OUTBOX_BULK_MAX;
}

bool outbox_empty(const struct outbox *outbox)
{
	return unsent(&outbox->control) == 0 && unsent(&outbox->bulk) == 0;
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
	if (protocol_next(outbox->bulk.bytes.data + outbox->bulk.sent, unsent(&outbox->bulk), &frame, NULL) !=
	    1)
		return false;
	outbox->current = &outbox->bulk;
	outbox->current_left = frame.whole_bytes;
	return true;
}

int outbox_write(struct outbox *outbox, int fd)
{
	while (outbox->current != NULL || (!outbox_empty(outbox) && choose(outbox))) {
		struct lane *lane = outbox->current;
		ssize_t n = write(fd, lane->bytes.data + lane->sent, outbox->current_left);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return errno == EAGAIN ? 0 : -1;
		lane->sent += (size_t)n;
		outbox->current_left -= (size_t)n;
		if (outbox->current_left == 0)
			outbox->current = NULL;
	}
	return 0;
}
