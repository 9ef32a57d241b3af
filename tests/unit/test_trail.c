#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/mem.h"
#include "common/pack.h"
#include "executor/early.h"
#include "executor/trail.h"

enum { BIG_BYTES = EARLY_BYTES + 12345 };

static char root[64], path[96];
static uint8_t *bytes; /* of a parcel */
static size_t bytes_n;
static char digest[DIGEST_HEX_BYTES];
static uv_loop_t loop;
static int fd;

static void write_all(int to, const uint8_t *from, size_t n)
{
	assert_int_equal(write(to, from, n), n);
}

/* A parcel with one big file, in memory. */
static int make_parcel(void **state)
{
	struct err err;
	struct pack pack;
	struct parcel parcel;
	struct pack_reader reader;
	uint8_t *big = mem_alloc(BIG_BYTES);
	int dir, file;

	(void)state;
	snprintf(root, sizeof root, "/tmp/stoker-trail-XXXXXX");
	assert_non_null(mkdtemp(root));
	dir = open(root, O_RDONLY | O_DIRECTORY);
	file = openat(dir, "big", O_WRONLY | O_CREAT, 0600);
	for (size_t i = 0; i < BIG_BYTES; i++)
		big[i] = (uint8_t)(i * 2654435761u >> 13);
	write_all(file, big, BIG_BYTES);
	close(file);
	free(big);
	pack_init(&pack, dir);
	assert_int_equal(pack_add(&pack, "big", false, &err), 0);
	assert_int_equal(pack_seal(&pack, &parcel, &err), 0);
	pack_fini(&pack);
	memcpy(digest, parcel.digest, sizeof digest);
	bytes_n = (size_t)parcel.bytes;
	bytes = mem_alloc(bytes_n);
	pack_reader_init(&reader, &parcel, dir);
	for (size_t at = 0; at < bytes_n;) {
		ssize_t n = pack_read(&reader, at, bytes + at, bytes_n - at, &err);

		assert_true(n > 0);
		at += (size_t)n;
	}
	pack_reader_fini(&reader);
	parcel_fini(&parcel);
	unlinkat(dir, "big", 0);
	close(dir);
	snprintf(path, sizeof path, "%s/part", root);
	return 0;
}

static int remove_parcel(void **state)
{
	(void)state;
	free(bytes);
	return rmdir(root);
}

static int set_up(void **state)
{
	(void)state;
	fd = open(path, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
	return fd < 0 || uv_loop_init(&loop) != 0 ? -1 : 0;
}

static int tear_down(void **state)
{
	(void)state;
	close(fd);
	uv_run(&loop, UV_RUN_DEFAULT);
	return unlink(path) < 0 || uv_loop_close(&loop) != 0 ? -1 : 0;
}

/* As it comes in: piece by piece, with a look at the loop in between. */
static void receive(struct trail *trail, size_t n)
{
	for (size_t at = 0; at < n;) {
		size_t part = n - at < 1000003 ? n - at : 1000003;

		write_all(fd, bytes + at, part);
		at += part;
		trail_follow(trail, at);
		uv_run(&loop, UV_RUN_NOWAIT);
	}
}

static void what_came_whole_is_verified(void **state)
{
	struct trail *trail = trail_new(&loop, path, digest);
	struct err err;

	(void)state;
	receive(trail, bytes_n);
	assert_int_equal(trail_end(trail, &err), 0);
	trail_free(trail);
}

static void what_was_there_before_is_verified_too(void **state)
{
	struct trail *trail;
	struct err err;

	(void)state;
	write_all(fd, bytes, bytes_n);
	trail = trail_new(&loop, path, NULL);
	assert_int_equal(trail_end(trail, &err), 0);
	trail_free(trail);
}

static void a_byte_that_changed_is_noticed_wherever_it_is(void **state)
{
	const size_t places[] = { bytes_n / 4, bytes_n - 1 };

	(void)state;
	for (size_t i = 0; i < 2; i++) {
		struct trail *trail = trail_new(&loop, path, digest);
		struct err err;

		assert_int_equal(lseek(fd, 0, SEEK_SET), 0);
		bytes[places[i]] ^= 1;
		receive(trail, bytes_n);
		bytes[places[i]] ^= 1;
		assert_int_equal(trail_end(trail, &err), ERR_CORRUPT);
		assert_non_null(strstr(err.text, "big"));
		trail_free(trail);
	}
}

static void what_came_in_part_or_is_another_is_refused(void **state)
{
	struct trail *trail = trail_new(&loop, path, digest);
	char other[DIGEST_HEX_BYTES];
	struct err err;

	(void)state;
	receive(trail, bytes_n - 1);
	assert_int_equal(trail_end(trail, &err), ERR_CORRUPT);
	trail_free(trail);
	write_all(fd, bytes + bytes_n - 1, 1);
	memcpy(other, digest, sizeof other);
	other[0] = other[0] == '0' ? '1' : '0';
	trail = trail_new(&loop, path, other);
	assert_int_equal(trail_end(trail, &err), ERR_CORRUPT);
	trail_free(trail);
}

static void one_that_is_given_up_is_freed_when_its_thread_lets_go(void **state)
{
	struct trail *trail = trail_new(&loop, path, digest);

	(void)state;
	write_all(fd, bytes, bytes_n);
	trail_follow(trail, bytes_n);
	trail_free(trail); /* the loop runs on in tear_down */
}

static void a_file_that_is_not_there_is_told_in_the_end(void **state)
{
	struct trail *trail = trail_new(&loop, "/nonexistent/part", digest);
	struct err err;

	(void)state;
	trail_follow(trail, TRAIL_BYTES);
	assert_int_equal(trail_end(trail, &err), ERR_NOT_FOUND);
	trail_free(trail);
}

static void pieces_set_out_early_outlive_who_wrote_them(void **state)
{
	struct early early = { 0 };

	(void)state;
	write_all(fd, bytes, bytes_n);
	early_written(&early, &loop, fd, EARLY_BYTES - 1);
	assert_null(early.piece);
	early_written(&early, &loop, fd, bytes_n);
	assert_non_null(early.piece);
	assert_int_equal(early.begun, bytes_n);
	uv_run(&loop, UV_RUN_DEFAULT);
	assert_null(early.piece);
	early_written(&early, &loop, fd, 0); /* it was cut off */
	early_written(&early, &loop, fd, bytes_n);
	assert_non_null(early.piece);
	early_fini(&early);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(what_came_whole_is_verified, set_up, tear_down),
		cmocka_unit_test_setup_teardown(what_was_there_before_is_verified_too, set_up, tear_down),
		cmocka_unit_test_setup_teardown(a_byte_that_changed_is_noticed_wherever_it_is, set_up,
						tear_down),
		cmocka_unit_test_setup_teardown(what_came_in_part_or_is_another_is_refused, set_up, tear_down),
		cmocka_unit_test_setup_teardown(one_that_is_given_up_is_freed_when_its_thread_lets_go, set_up,
						tear_down),
		cmocka_unit_test_setup_teardown(a_file_that_is_not_there_is_told_in_the_end, set_up,
						tear_down),
		cmocka_unit_test_setup_teardown(pieces_set_out_early_outlive_who_wrote_them, set_up,
						tear_down),
	};

	return cmocka_run_group_tests(tests, make_parcel, remove_parcel);
}
