#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/sendfile.h>
#include <sys/socket.h>
#include <unistd.h>

#include "common/mem.h"
#include "executor/agent/awake.h"
#include "executor/agent/outbox.h"
#include "executor/protocol.h"

/* Of the time that passes here, nothing else is asked. */
static int64_t later_ms(void)
{
	static int64_t now_ms = 1;

	return now_ms += 2;
}

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
	assert_int_equal(outbox_write(&outbox, ends[1], later_ms()), 0); /* stuck within the first */
	protocol_put_ping(outbox_control(&outbox), FRAME_PONG, &(struct frame_ping){ .number = 9 });
	while (!outbox_empty(&outbox) || count == 0) {
		while ((n = read(ends[0], piece, sizeof piece)) > 0)
			buf_append(&got, piece, (size_t)n);
		assert_int_equal(outbox_write(&outbox, ends[1], later_ms()), 0);
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
	assert_int_equal(outbox_write(&outbox, ends[1], later_ms()), -1);
	close(ends[1]);
	buf_fini(&got);
	outbox_fini(&outbox);
}

/* A file of `n` bytes, each of which tells its place. */
static int make_file(size_t n)
{
	int fd = open("/tmp", O_TMPFILE | O_RDWR, 0600);
	uint8_t *bytes = mem_zalloc(n);

	for (size_t i = 0; i < n; i++)
		bytes[i] = (uint8_t)(i % 251);
	assert_true(fd >= 0 && write(fd, bytes, n) == (ssize_t)n);
	free(bytes);
	return fd;
}

static void put_from_file(struct outbox *outbox, int fd, size_t at, size_t n)
{
	protocol_put_data_room(outbox_bulk(outbox), &(struct frame_data){ .offset = at, .n = n });
	outbox_bulk_from_file(outbox, dup(fd), (off_t)at, n);
}

/* Reads one end while the other is written, until all has come. */
static void drain(struct outbox *outbox, const int ends[2], struct buf *got)
{
	uint8_t piece[5000];
	ssize_t n;

	for (int rounds = 0; !outbox_empty(outbox); rounds++) {
		assert_true(rounds < 10000);
		assert_int_equal(outbox_write(outbox, ends[1], later_ms()), 0);
		while ((n = read(ends[0], piece, sizeof piece)) > 0)
			buf_append(got, piece, (size_t)n);
	}
}

static void expect_piece(struct buf *got, uint64_t offset, size_t n, size_t zeros_from)
{
	struct frame_data data;
	struct frame frame;

	assert_int_equal(protocol_next(got->data, got->bytes, &frame, NULL), 1);
	assert_int_equal(protocol_get_data(&frame, &data), 0);
	assert_int_equal(data.offset, offset);
	assert_int_equal(data.n, n);
	for (size_t i = 0; i < n; i++)
		assert_int_equal(data.bytes[i], offset + i < zeros_from ? (offset + i) % 251 : 0);
	buf_consume(got, frame.whole_bytes);
}

static void a_frame_ends_with_a_piece_of_a_file(void **state)
{
	enum { FILE_BYTES = 300000 };
	int file = make_file(FILE_BYTES);

	(void)state;
	for (int kind = 0; kind < 2; kind++) {
		struct outbox outbox = { 0 };
		struct buf got = { 0 };
		struct frame frame;
		int ends[2];

		assert_int_equal(kind == 0 ? pipe2(ends, O_NONBLOCK)
					   : socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, ends),
				 0);
		setsockopt(ends[1], SOL_SOCKET, SO_SNDBUF, &(int){ 16384 }, sizeof(int)); /* of a pair */
		put_piece(&outbox, 7, 10);
		put_from_file(&outbox, file, 1000, 200000);
		assert_false(outbox_bulk_has_room(&outbox));
		assert_int_equal(outbox_write(&outbox, ends[1], later_ms()), 0); /* stuck within it */
		assert_false(outbox_bulk_has_room(&outbox));
		protocol_put_ping(outbox_control(&outbox), FRAME_PONG, &(struct frame_ping){ .number = 9 });
		drain(&outbox, ends, &got);
		assert_int_equal(protocol_next(got.data, got.bytes, &frame, NULL), 1);
		buf_consume(&got, frame.whole_bytes);
		expect_piece(&got, 1000, 200000, FILE_BYTES);
		assert_int_equal(protocol_next(got.data, got.bytes, &frame, NULL), 1);
		assert_true(frame.type == FRAME_PONG && frame.whole_bytes == got.bytes);
		buf_clear(&got);
		assert_true(outbox_bulk_has_room(&outbox));
		put_from_file(&outbox, file, 250000, 100000); /* more than it has */
		drain(&outbox, ends, &got);
		expect_piece(&got, 250000, 100000, FILE_BYTES);
		assert_int_equal(outbox.made_up, 100000 - (FILE_BYTES - 250000));
		assert_int_equal(got.bytes, 0);
		put_from_file(&outbox, file, 0, 200000);
		outbox_fini(&outbox); /* with a piece on its way */
		close(ends[0]);
		close(ends[1]);
		buf_fini(&got);
	}
	close(file);
}

/* sendfile fails there with EINVAL, as it does on a pipe before Linux 5.12. */
static void it_is_copied_where_the_kernel_cannot_send_it(void **state)
{
	enum { FILE_BYTES = 100000 };
	char path[] = "/tmp/outbox.XXXXXX";
	int made = mkstemp(path), out = open(path, O_RDWR | O_APPEND), file = make_file(FILE_BYTES);
	struct outbox outbox = { 0 };
	struct buf got = { 0 };
	off_t at = 0;

	(void)state;
	assert_int_equal(sendfile(out, file, &at, 1), -1);
	put_from_file(&outbox, file, 20000, 90000);
	assert_int_equal(outbox_write(&outbox, out, later_ms()), 0);
	assert_true(outbox_empty(&outbox));
	buf_reserve(&got, 200000);
	got.bytes = (size_t)pread(out, got.data, 200000, 0);
	expect_piece(&got, 20000, 90000, FILE_BYTES);
	assert_int_equal(got.bytes, 0);
	buf_fini(&got);
	outbox_fini(&outbox);
	unlink(path);
	close(made);
	close(out);
	close(file);
}

static void read_away(int fd, size_t n)
{
	uint8_t piece[4096];

	while (n > 0) {
		ssize_t got = read(fd, piece, n < sizeof piece ? n : sizeof piece);

		assert_true(got > 0);
		n -= (size_t)got;
	}
}

static void a_pipe_filled_by_a_file_is_left_alone_and_as_long_as_its_reader_is_fast(void **state)
{
	enum { FILE_BYTES = 4 * 1024 * 1024, SHORT_BYTES = 64 * 1024 };
	int file = make_file(FILE_BYTES), ends[2], left;
	struct outbox outbox = { 0 };
	int64_t now_ms = 1000;

	(void)state;
	assert_int_equal(pipe2(ends, O_NONBLOCK), 0);
	assert_int_equal(fcntl(ends[1], F_GETPIPE_SZ), SHORT_BYTES);
	put_from_file(&outbox, file, 0, FILE_BYTES);
	assert_true(outbox_rests_until_ms(&outbox) == AWAKE_NEVER);
	assert_int_equal(outbox_write(&outbox, ends[1], now_ms), 0);
	assert_true(outbox_rests_until_ms(&outbox) == now_ms + 1);

	/* Half of it is read in time: it is long enough. */
	read_away(ends[0], SHORT_BYTES / 2);
	assert_int_equal(outbox_write(&outbox, ends[1], now_ms), 0); /* still at rest */
	assert_true(ioctl(ends[1], FIONREAD, &left) == 0 && left <= SHORT_BYTES / 2);
	assert_int_equal(outbox_write(&outbox, ends[1], ++now_ms), 0);
	assert_true(ioctl(ends[1], FIONREAD, &left) == 0 && left > SHORT_BYTES / 2);
	assert_int_equal(fcntl(ends[1], F_GETPIPE_SZ), SHORT_BYTES);
	assert_true(outbox_rests_until_ms(&outbox) == now_ms + 1);

	/* Nothing is read: whose link is down is not asked time and again. */
	assert_int_equal(outbox_write(&outbox, ends[1], ++now_ms), 0);
	assert_true(outbox_rests_until_ms(&outbox) == AWAKE_NEVER);

	/* All of it is read in time, each time: it is made longer. */
	for (int rounds = 0; !outbox_empty(&outbox); rounds++) {
		assert_true(rounds < 100);
		ioctl(ends[1], FIONREAD, &left);
		read_away(ends[0], (size_t)left);
		assert_int_equal(outbox_write(&outbox, ends[1], ++now_ms), 0);
	}
	assert_true(fcntl(ends[1], F_GETPIPE_SZ) >= 4 * SHORT_BYTES);
	close(ends[0]);
	close(ends[1]);
	close(file);
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
		cmocka_unit_test(a_frame_ends_with_a_piece_of_a_file),
		cmocka_unit_test(it_is_copied_where_the_kernel_cannot_send_it),
		cmocka_unit_test(a_pipe_filled_by_a_file_is_left_alone_and_as_long_as_its_reader_is_fast),
		cmocka_unit_test(both_lanes_know_when_they_are_full),
	};

	return cmocka_run_group_tests(tests, set_up, NULL);
}
