#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <fcntl.h>
#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/buf.h"
#include "common/mem.h"
#include "common/pack.h"
#include "common/rng.h"
#include "common/scope.h"
#include "common/unpack.h"

#define HEX "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"
#define MANIFEST(entries) ("stoker-parcel 1\n" entries), sizeof("stoker-parcel 1\n" entries) - 1

static char root[64];
static int from, to;

static int remove_one(const char *path, const struct stat *st, int type, struct FTW *ftw)
{
	(void)st, (void)type, (void)ftw;
	return remove(path);
}

static int set_up(void **state)
{
	char path[80];

	(void)state;
	snprintf(root, sizeof root, "/tmp/stoker-parcel-XXXXXX");
	if (mkdtemp(root) == NULL)
		return -1;
	snprintf(path, sizeof path, "%s/from", root);
	mkdir(path, 0700);
	from = open(path, O_RDONLY | O_DIRECTORY);
	snprintf(path, sizeof path, "%s/to", root);
	mkdir(path, 0700);
	to = open(path, O_RDONLY | O_DIRECTORY);
	return from < 0 || to < 0 ? -1 : 0;
}

static int tear_down(void **state)
{
	(void)state;
	close(from);
	close(to);
	return nftw(root, remove_one, 16, FTW_DEPTH | FTW_PHYS);
}

static void write_file(const char *path, const char *text, mode_t mode)
{
	int fd = openat(from, path, O_WRONLY | O_CREAT | O_TRUNC, mode);

	assert_true(fd >= 0);
	assert_int_equal(write(fd, text, strlen(text)), strlen(text));
	fchmod(fd, mode);
	close(fd);
}

static void make_link(const char *target, const char *path)
{
	assert_int_equal(symlinkat(target, from, path), 0);
}

static void assert_file(const char *path, const char *expected)
{
	char text[256];
	int fd = openat(to, path, O_RDONLY | O_NOFOLLOW);
	ssize_t n;

	assert_true(fd >= 0);
	n = read(fd, text, sizeof text - 1);
	close(fd);
	assert_true(n >= 0);
	text[n] = '\0';
	assert_string_equal(text, expected);
}

/* A folder with a bit of everything. */
static void make_files(void)
{
	mkdirat(from, "a", 0755);
	mkdirat(from, "a/empty", 0755);
	mkdirat(from, "a/deep", 0755);
	write_file("a/deep/file", "deep\n", 0644);
	write_file("a-b", "between\n", 0644);
	write_file("nothing", "", 0600);
	write_file("run.sh", "#!/bin/sh\n", 0755);
	write_file("odd \n name", "odd\n", 0644);
	make_link("a/deep/file", "link");
	make_link("../../run.sh", "a/deep/up");
}

static void pack_all(struct parcel *out)
{
	struct err err = { 0 };
	struct pack pack;

	pack_init(&pack, from);
	assert_int_equal(pack_add_all(&pack, &err), 0);
	assert_int_equal(pack_seal(&pack, out, &err), 0);
	pack_fini(&pack);
}

/* Its stream, read in pieces of that size. */
static void read_stream(const struct parcel *parcel, size_t piece, struct buf *out)
{
	struct pack_reader reader;
	struct err err = { 0 };
	uint8_t *bytes = mem_alloc(piece);
	ssize_t n;

	pack_reader_init(&reader, parcel, from);
	while ((n = pack_read(&reader, out->bytes, bytes, piece, &err)) > 0)
		buf_append(out, bytes, (size_t)n);
	assert_int_equal(n, 0);
	pack_reader_fini(&reader);
	free(bytes);
}

static int feed_in_pieces(const struct buf *stream, size_t piece, int dir, const char *digest, struct err *err)
{
	struct unpack unpack;
	int rc = 0;

	unpack_init(&unpack, dir, digest);
	for (size_t at = 0; rc == 0 && at < stream->bytes; at += piece)
		rc = unpack_feed(&unpack, stream->data + at,
				 piece < stream->bytes - at ? piece : stream->bytes - at, err);
	if (rc == 0)
		rc = unpack_end(&unpack, err);
	unpack_fini(&unpack);
	return rc;
}

static void files_survive_the_journey(void **state)
{
	autobuf struct buf stream = { 0 };
	struct parcel parcel;
	struct err err = { 0 };
	struct stat st;
	char target[64] = "";

	(void)state;
	make_files();
	pack_all(&parcel);
	assert_int_equal(parcel.files, 5);
	read_stream(&parcel, 7, &stream);
	assert_int_equal(stream.bytes, parcel.bytes);
	assert_int_equal(feed_in_pieces(&stream, 3, to, parcel.digest, &err), 0);
	assert_file("a/deep/file", "deep\n");
	assert_file("a-b", "between\n");
	assert_file("nothing", "");
	assert_file("odd \n name", "odd\n");
	assert_int_equal(fstatat(to, "run.sh", &st, 0), 0);
	assert_true((st.st_mode & S_IXUSR) != 0);
	assert_int_equal(fstatat(to, "a/empty", &st, 0), 0);
	assert_true(readlinkat(to, "a/deep/up", target, sizeof target - 1) > 0);
	assert_string_equal(target, "../../run.sh");
	parcel_fini(&parcel);
}

static void the_same_files_have_the_same_name(void **state)
{
	struct parcel one, two, three;

	(void)state;
	make_files();
	pack_all(&one);
	pack_all(&two);
	assert_string_equal(one.digest, two.digest);
	write_file("a-b", "Between\n", 0644);
	pack_all(&three);
	assert_string_not_equal(one.digest, three.digest);
	parcel_fini(&one);
	parcel_fini(&two);
	parcel_fini(&three);
}

/* 1 where these bytes lie in one file, which holds the same ones. */
static int read_whole(struct pack_reader *reader, size_t at, size_t n, const struct buf *stream)
{
	uint8_t bytes[16];
	off_t place;
	int fd = pack_file(reader, at, n, &place);

	if (fd < 0)
		return 0;
	assert_int_equal(pread(fd, bytes, n, place), (ssize_t)n);
	assert_memory_equal(bytes, stream->data + at, n);
	close(fd);
	return 1;
}

static void a_stream_is_read_from_any_byte_on(void **state)
{
	autobuf struct buf stream = { 0 };
	struct pack_reader reader;
	struct parcel parcel;
	struct err err = { 0 };
	uint8_t bytes[11];
	int whole = 0;

	(void)state;
	make_files();
	pack_all(&parcel);
	read_stream(&parcel, 4096, &stream);
	pack_reader_init(&reader, &parcel, from);
	for (size_t at = stream.bytes + 2; at-- > 0;) {
		size_t left = at < stream.bytes ? stream.bytes - at : 0;
		ssize_t n = pack_read(&reader, at, bytes, sizeof bytes, &err);

		assert_int_equal(n, left < sizeof bytes ? left : sizeof bytes);
		if (n > 0)
			assert_memory_equal(bytes, stream.data + at, (size_t)n);
		whole += read_whole(&reader, at, 4, &stream);
	}
	assert_int_equal(whole, (5 - 3) + (8 - 3) + (10 - 3) + (4 - 3)); /* "deep\n", "between\n", ... */
	pack_reader_fini(&reader);
	parcel_fini(&parcel);
}

static void a_file_that_changed_is_noticed(void **state)
{
	autobuf struct buf stream = { 0 };
	struct pack_reader reader;
	struct parcel parcel;
	struct err err = { 0 };
	uint8_t bytes[4096];

	(void)state;
	make_files();
	pack_all(&parcel);
	write_file("a-b", "befween\n", 0644);
	read_stream(&parcel, 4096, &stream);
	assert_int_equal(feed_in_pieces(&stream, 100, -1, parcel.digest, &err), ERR_CORRUPT);
	assert_non_null(strstr(err.text, "a-b"));
	write_file("a-b", "be", 0644);
	pack_reader_init(&reader, &parcel, from);
	assert_int_equal(pack_read(&reader, 0, bytes, sizeof bytes, &err), ERR_BUSY);
	pack_reader_fini(&reader);
	parcel_fini(&parcel);
}

static void links_that_lead_out_are_left_out(void **state)
{
	struct parcel parcel;
	struct pack pack;
	struct err err = { 0 };

	(void)state;
	mkdirat(from, "d", 0755);
	make_link("/etc/passwd", "absolute");
	make_link("../x", "up");
	make_link("..", "d/top"); /* stays inside by itself ... */
	make_link("d/top/..", "detour"); /* ... but not what goes through it */
	make_link("d/top/d", "good");
	mkfifoat(from, "fifo", 0600);
	pack_init(&pack, from);
	assert_int_equal(pack_add_all(&pack, &err), 0);
	assert_int_equal(pack_seal(&pack, &parcel, &err), 0);
	assert_int_equal(pack.left_out_count, 4);
	assert_non_null(parcel_find(&parcel, "good"));
	assert_non_null(parcel_find(&parcel, "d/top"));
	assert_null(parcel_find(&parcel, "detour"));
	assert_null(parcel_find(&parcel, "fifo"));
	parcel_fini(&parcel);
	pack_fini(&pack);
}

static void a_path_brings_its_folders_along(void **state)
{
	struct parcel parcel;
	struct pack pack;
	struct err err = { 0 };

	(void)state;
	make_files();
	make_link("a/deep", "newest");
	pack_init(&pack, from);
	assert_int_equal(pack_add(&pack, "a/deep/file", false, &err), 0);
	assert_int_equal(pack_add(&pack, "newest", true, &err), 0);
	assert_int_equal(pack_add(&pack, "missing", false, &err), ERR_NOT_FOUND);
	assert_int_equal(pack_seal(&pack, &parcel, &err), 0);
	assert_int_equal(parcel_find(&parcel, "a")->type, PARCEL_FOLDER);
	assert_int_equal(parcel_find(&parcel, "a/deep/file")->type, PARCEL_FILE);
	assert_int_equal(parcel_find(&parcel, "newest")->type, PARCEL_FOLDER);
	assert_int_equal(parcel_find(&parcel, "newest/file")->type, PARCEL_FILE);
	assert_null(parcel_find(&parcel, "a-b"));
	parcel_fini(&parcel);
	pack_fini(&pack);
}

struct bad {
	const char *manifest;
	size_t bytes;
};

static void hostile_manifests_are_refused(void **state)
{
	static const struct bad cases[] = {
		{ MANIFEST("f 1 " HEX " /etc/passwd\0") },
		{ MANIFEST("f 1 " HEX " ../x\0") },
		{ MANIFEST("d a\0f 1 " HEX " a/../../x\0") },
		{ MANIFEST("f 1 " HEX " a//b\0") },
		{ MANIFEST("f 1 " HEX " ./a\0") },
		{ MANIFEST("d a/\0") },
		{ MANIFEST("d \0") },
		{ MANIFEST("d .\0") },
		{ MANIFEST("f 1 " HEX " a/b\0") },			 /* in no folder */
		{ MANIFEST("f 1 " HEX " a\0f 1 " HEX " a/b\0") },	 /* in a file */
		{ MANIFEST("l a\0b\0f 1 " HEX " a/b\0d b\0") },		 /* through a link */
		{ MANIFEST("d a\0d a\0") },				 /* twice */
		{ MANIFEST("d b\0d a\0") },				 /* out of order */
		{ MANIFEST("l a\0/etc\0") },
		{ MANIFEST("l a\0..\0") },
		{ MANIFEST("d d\0l d/l\0..\0l m\0d/l/../x\0") },	 /* out by a detour */
		{ MANIFEST("l a\0b\0l b\0c\0l c\0../x\0") },
		{ MANIFEST("l a\0a/x\0") },				 /* a ring that grows */
		{ MANIFEST("l a\0\0") },
		{ MANIFEST("f 01 " HEX " a\0") },
		{ MANIFEST("f -1 " HEX " a\0") },
		{ MANIFEST("f 99999999999999999999 " HEX " a\0") },
		{ MANIFEST("f 9999999999999999 " HEX " a\0f 9999999999999999 " HEX " b\0") },
		{ MANIFEST("f 1 " HEX "0 a\0") },
		{ MANIFEST("f 1 0123 a\0") },
		{ MANIFEST("q a\0") },
		{ MANIFEST("d a") },
		{ MANIFEST("f 1 " HEX " a") },
		{ "stoker-parcel 2\n", 16 },
		{ "", 0 },
	};

	(void)state;
	for (size_t i = 0; i < COUNT_OF(cases); i++) {
		struct parcel parcel;
		struct err err = { 0 };

		if (parcel_parse(cases[i].manifest, cases[i].bytes, &parcel, &err) == 0)
			fail_msg("case %zu was taken", i);
		assert_true(err.text[0] != '\0');
	}
}

static void many_tangled_links_cost_little(void **state)
{
	autobuf struct buf manifest = { 0 };
	struct parcel parcel;
	struct err err = { 0 };

	(void)state;
	/* Each leads through the one before it, twice: by brute force 2^60 parts. */
	buf_append_text(&manifest, "stoker-parcel 1\n");
	buf_append(&manifest, "l l00\0.\0", 8);
	for (int i = 1; i < 60; i++) {
		buf_printf(&manifest, "l l%02d", i);
		buf_append_byte(&manifest, 0);
		buf_printf(&manifest, "l%02d/l%02d", i - 1, i - 1);
		buf_append_byte(&manifest, 0);
	}
	assert_int_equal(parcel_parse(manifest.data, manifest.bytes, &parcel, &err), ERR_CORRUPT);
}

static void another_parcel_than_asked_for_is_refused(void **state)
{
	autobuf struct buf stream = { 0 };
	struct parcel parcel;
	struct err err = { 0 };

	(void)state;
	make_files();
	pack_all(&parcel);
	read_stream(&parcel, 4096, &stream);
	assert_int_equal(feed_in_pieces(&stream, 4096, -1, HEX, &err), ERR_CORRUPT);
	parcel_fini(&parcel);
}

static void one_that_is_cut_or_goes_on_is_refused(void **state)
{
	autobuf struct buf stream = { 0 };
	struct parcel parcel;
	struct err err = { 0 };
	size_t whole;

	(void)state;
	make_files();
	pack_all(&parcel);
	read_stream(&parcel, 4096, &stream);
	whole = stream.bytes;
	for (stream.bytes = 0; stream.bytes < whole; stream.bytes++)
		assert_int_equal(feed_in_pieces(&stream, 64, -1, parcel.digest, &err), ERR_CORRUPT);
	buf_append_byte(&stream, 0);
	assert_int_equal(feed_in_pieces(&stream, 64, -1, parcel.digest, &err), ERR_CORRUPT);
	parcel_fini(&parcel);
}

static void damaged_streams_never_get_out_of_their_folder(void **state)
{
	autobuf struct buf stream = { 0 };
	struct rng rng = rng_seeded(20261124);
	struct parcel parcel;
	char path[80];

	(void)state;
	make_files();
	pack_all(&parcel);
	read_stream(&parcel, 4096, &stream);
	parcel_fini(&parcel);
	snprintf(path, sizeof path, "%s/to/x", root);
	for (int i = 0; i < 3000; i++) {
		size_t n = rng_below(&rng, 4) == 0 ? 1 + rng_below(&rng, stream.bytes) : stream.bytes;
		struct buf copy = { 0 };
		struct err err = { 0 };
		int dir;

		buf_append(&copy, stream.data, n);
		for (uint64_t k = 1 + rng_below(&rng, 5); k > 0; k--)
			copy.data[rng_below(&rng, n)] =
				rng_below(&rng, 3) == 0 ? "./\0\n dflx"[rng_below(&rng, 9)] : (uint8_t)rng_next(&rng);
		mkdir(path, 0700);
		dir = open(path, O_RDONLY | O_DIRECTORY);
		if (feed_in_pieces(&copy, 1 + rng_below(&rng, 300), dir, NULL, &err) < 0)
			assert_true(err.text[0] != '\0');
		close(dir);
		nftw(path, remove_one, 16, FTW_DEPTH | FTW_PHYS);
		buf_fini(&copy);
	}
	/* Nothing but what was there before. */
	assert_int_equal(rmdir(path), -1);
	snprintf(path, sizeof path, "%s/to", root);
	assert_int_equal(rmdir(path), 0);
	mkdir(path, 0700);
}

static void a_stored_parcel_is_read_and_verified(void **state)
{
	autobuf struct buf stream = { 0 };
	struct parcel parcel, again;
	struct err err = { 0 };
	int fd;

	(void)state;
	make_files();
	pack_all(&parcel);
	read_stream(&parcel, 4096, &stream);
	fd = openat(to, "stored", O_RDWR | O_CREAT, 0600);
	assert_int_equal(write(fd, stream.data, stream.bytes), stream.bytes);
	assert_int_equal(unpack_manifest(fd, &again, &err), 0);
	assert_string_equal(again.digest, parcel.digest);
	parcel_fini(&again);
	lseek(fd, 0, SEEK_SET);
	assert_int_equal(unpack_file(fd, -1, parcel.digest, &err), 0);
	assert_int_equal(ftruncate(fd, (off_t)stream.bytes - 1), 0);
	assert_int_equal(unpack_manifest(fd, &again, &err), ERR_CORRUPT);
	lseek(fd, 0, SEEK_SET);
	assert_int_equal(unpack_file(fd, -1, parcel.digest, &err), ERR_CORRUPT);
	close(fd);
	parcel_fini(&parcel);
}

#define STORY(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		STORY(files_survive_the_journey),
		STORY(the_same_files_have_the_same_name),
		STORY(a_stream_is_read_from_any_byte_on),
		STORY(a_file_that_changed_is_noticed),
		STORY(links_that_lead_out_are_left_out),
		STORY(a_path_brings_its_folders_along),
		STORY(hostile_manifests_are_refused),
		STORY(many_tangled_links_cost_little),
		STORY(another_parcel_than_asked_for_is_refused),
		STORY(one_that_is_cut_or_goes_on_is_refused),
		STORY(damaged_streams_never_get_out_of_their_folder),
		STORY(a_stored_parcel_is_read_and_verified),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
