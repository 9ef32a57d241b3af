#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/mem.h"
#include "executor/agent/outbox.h"
#include "executor/protocol.h"

static void put_piece(struct outbox *outbox, uint64_t offset, size_t n)
{
	uint8_t *bytes = mem_zalloc(n);

	protocol_put_data(outbox_bulk(outbox),
			  &(struct frame_data){ .offset = offset, .bytes = bytes, .n = n });
	free(bytes);
}

static void control_overtakes_at_the_border_of_a_frame(void **state)
{
	struct outbox outbox = { 0 };
	struct buf got = { 0 };
	enum frame_type seen[8];
	size_t count = 0, at = 0;
	struct frame frame;
	uint8_t piece[1000];
	ssize_t n;
	int ends[2];

	(void)state;
	assert_int_equal(pipe2(ends, O_NONBLOCK), 0);
	fcntl(ends[0], F_SETPIPE_SZ, 4096);
	put_piece(&outbox, 0, 20000);
	put_piece(&outbox, 20000, 20000);
	assert_int_equal(outbox_write(&outbox, ends[1]), 0); /* stuck within the first */
	protocol_put_ping(outbox_control(&outbox), FRAME_PONG, &(struct frame_ping){ .number = 9 });
	while (!outbox_empty(&outbox) || count == 0) {
		while ((n = read(ends[0], piece, sizeof piece)) > 0)
			buf_append(&got, piece, (size_t)n);
		assert_int_equal(outbox_write(&outbox, ends[1]), 0);
		count++;
	}
	while ((n = read(ends[0], piece, sizeof piece)) > 0)
		buf_append(&got, piece, (size_t)n);
	for (count = 0; protocol_next(got.data + at, got.bytes - at, &frame, NULL) == 1;
	     at += frame.whole_bytes)
		seen[count++] = frame.type;
	assert_int_equal(at, got.bytes);
	assert_int_equal(count, 3);
	assert_true(seen[0] == FRAME_DATA && seen[1] == FRAME_PONG && seen[2] == FRAME_DATA);
	close(ends[0]);
	protocol_put_ping(outbox_control(&outbox), FRAME_PONG, &(struct frame_ping){ .number = 9 });
	assert_int_equal(outbox_write(&outbox, ends[1]), -1);
	close(ends[1]);
	buf_fini(&got);
	outbox_fini(&outbox);
}

static void both_lanes_know_when_they_are_full(void **state)
{
	struct outbox outbox = { 0 };

	(void)state;
	assert_true(outbox_bulk_has_room(&outbox) && outbox_control_has_room(&outbox) &&
		    outbox_empty(&outbox));
	put_piece(&outbox, 0, OUTBOX_BULK_MAX);
	assert_false(outbox_bulk_has_room(&outbox));
	assert_true(outbox_control_has_room(&outbox));
	outbox_fini(&outbox);
}

static int set_up(void **state)
{
	(void)state;
	signal(SIGPIPE, SIG_IGN);
	return 0;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(control_overtakes_at_the_border_of_a_frame),
		cmocka_unit_test(both_lanes_know_when_they_are_full),
	};

	return cmocka_run_group_tests(tests, set_up, NULL);
}
