#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <sys/stat.h>

#include "agent_fixture.h"
#include "common/rng.h"
#include "executor/agent/layout.h"

static struct layout judged(const char *entry)
{
	struct layout layout;

	layout_check(folder, entry, true, &layout);
	return layout;
}

static void put16(struct buf *out, unsigned value)
{
	buf_append_byte(out, (uint8_t)value);
	buf_append_byte(out, (uint8_t)(value >> 8));
}

static void put32(struct buf *out, uint32_t value)
{
	put16(out, value & 0xffff);
	put16(out, value >> 16);
}

/* A zip file of two stored members. */
static void make_zip(struct buf *out)
{
	static const char *const names[] = { "arr_0.npy", "arr_1.npy" };
	uint32_t offsets[2], crcs[2], directory;
	char data[300];

	for (int i = 0; i < 2; i++) {
		memset(data, 'a' + i, sizeof data);
		offsets[i] = (uint32_t)out->bytes;
		crcs[i] = files_crc32(0, data, sizeof data);
		put32(out, 0x04034b50);
		put16(out, 20);
		put16(out, 0);
		put16(out, 0);
		put32(out, 0);
		put32(out, crcs[i]);
		put32(out, sizeof data);
		put32(out, sizeof data);
		put16(out, (unsigned)strlen(names[i]));
		put16(out, 0);
		buf_append_text(out, names[i]);
		buf_append(out, data, sizeof data);
	}
	directory = (uint32_t)out->bytes;
	for (int i = 0; i < 2; i++) {
		put32(out, 0x02014b50);
		put16(out, 20);
		put16(out, 20);
		put16(out, 0);
		put16(out, 0);
		put32(out, 0);
		put32(out, crcs[i]);
		put32(out, sizeof data);
		put32(out, sizeof data);
		put16(out, (unsigned)strlen(names[i]));
		put16(out, 0);
		put16(out, 0);
		put16(out, 0);
		put16(out, 0);
		put32(out, 0);
		put32(out, offsets[i]);
		buf_append_text(out, names[i]);
	}
	put32(out, 0x06054b50);
	put16(out, 0);
	put16(out, 0);
	put16(out, 2);
	put16(out, 2);
	put32(out, (uint32_t)out->bytes - 12 - directory);
	put32(out, directory);
	put16(out, 0);
}

static void the_checksum_is_the_known_one(void **state)
{
	(void)state;
	assert_int_equal(files_crc32(0, "123456789", 9), 0xcbf43926);
	assert_int_equal(files_crc32(files_crc32(0, "1234", 4), "56789", 5), 0xcbf43926);
}

static void a_whole_zip_is_good_and_no_cut_one_is(void **state)
{
	struct buf zip = { 0 };

	(void)state;
	make_zip(&zip);
	put_file("a.npz", zip.data, zip.bytes);
	assert_int_equal(judged("a.npz").verdict, LAYOUT_GOOD);
	for (size_t n = 0; n < zip.bytes; n++) {
		put_file("a.npz", zip.data, n);
		if (judged("a.npz").verdict != LAYOUT_BAD)
			fail_msg("cut to %zu bytes it passes", n);
	}
	buf_append_text(&zip, "more");
	put_file("a.npz", zip.data, zip.bytes);
	assert_int_equal(judged("a.npz").verdict, LAYOUT_BAD);
	buf_fini(&zip);
}

/* What a flipped bit may hit without notice: versions, times, flags and sizes that nobody needs. */
static void no_flipped_byte_of_the_data_passes(void **state)
{
	struct buf zip = { 0 };

	(void)state;
	make_zip(&zip);
	for (size_t i = 39; i < 339; i++) {
		zip.data[i] ^= 1;
		put_file("a.npz", zip.data, zip.bytes);
		assert_int_equal(judged("a.npz").verdict, LAYOUT_BAD);
		zip.data[i] ^= 1;
	}
	buf_fini(&zip);
}

static void damaged_files_are_judged_and_not_believed(void **state)
{
	static const char *const names[] = { "a.npz", "a.ckpt", "a.safetensors", "a.h5", "a.keras" };
	struct rng rng = rng_seeded(1);
	struct buf zip = { 0 };

	(void)state;
	make_zip(&zip);
	for (int turn = 0; turn < 3000; turn++) {
		struct buf bytes = { 0 };

		buf_append(&bytes, zip.data, zip.bytes);
		for (uint64_t flips = 1 + rng_below(&rng, 6); flips > 0; flips--)
			bytes.data[rng_below(&rng, bytes.bytes)] = (uint8_t)rng_next(&rng);
		put_file(names[turn % 5], bytes.data,
			 rng_below(&rng, 3) == 0 ? rng_below(&rng, bytes.bytes) : bytes.bytes);
		judged(names[turn % 5]);
		buf_fini(&bytes);
	}
	buf_fini(&zip);
}

static void put_tensors(const char *name, const char *header, size_t data)
{
	struct buf bytes = { 0 };

	put32(&bytes, (uint32_t)strlen(header));
	put32(&bytes, 0);
	buf_append_text(&bytes, header);
	for (size_t i = 0; i < data; i++)
		buf_append_byte(&bytes, 1);
	put_file(name, bytes.data, bytes.bytes);
	buf_fini(&bytes);
}

static void tensors_cover_their_file_exactly(void **state)
{
	static const char two[] =
		"{\"__metadata__\":{\"a\":\"b\"},\"x\":{\"dtype\":\"F32\",\"shape\":[2],"
		"\"data_offsets\":[0,8]},\"y\":{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[8,12]}}";

	(void)state;
	put_tensors("m.safetensors", two, 12);
	assert_int_equal(judged("m.safetensors").verdict, LAYOUT_GOOD);
	put_tensors("m.safetensors", two, 11);
	assert_int_equal(judged("m.safetensors").verdict, LAYOUT_BAD);
	put_tensors("m.safetensors", two, 13);
	assert_int_equal(judged("m.safetensors").verdict, LAYOUT_BAD);
	put_tensors("m.safetensors", "{\"x\":{\"data_offsets\":[0,4]},\"y\":{\"data_offsets\":[8,12]}}", 12);
	assert_int_equal(judged("m.safetensors").verdict, LAYOUT_BAD);
	put_tensors("m.safetensors", "{\"x\":{\"data_offsets\":[0,4]}", 4);
	assert_int_equal(judged("m.safetensors").verdict, LAYOUT_BAD);
	put_file("m.safetensors", "\xff\xff\xff\xff\xff\xff\xff\xff{}", 10);
	assert_int_equal(judged("m.safetensors").verdict, LAYOUT_BAD);
}

static void an_hdf5_file_ends_where_it_says(void **state)
{
	uint8_t old[100] = "\x89HDF\r\n\x1a\n", new[100] = "\x89HDF\r\n\x1a\n";

	(void)state;
	old[13] = old[14] = 8;
	old[24 + 16] = 100;
	put_file("w.h5", old, sizeof old);
	assert_int_equal(judged("w.h5").verdict, LAYOUT_GOOD);
	put_file("w.h5", old, sizeof old - 1);
	assert_int_equal(judged("w.h5").verdict, LAYOUT_BAD);
	new[8] = 3;
	new[9] = new[10] = 8;
	new[12 + 16] = 100;
	put_file("w.h5", new, sizeof new);
	assert_int_equal(judged("w.h5").verdict, LAYOUT_GOOD);
	new[11] = 1; /* open for writing */
	put_file("w.h5", new, sizeof new);
	assert_int_equal(judged("w.h5").verdict, LAYOUT_UNKNOWN);
	put_text_file("w.h5", "no such file at all, but long enough for a superblock of one");
	assert_int_equal(judged("w.h5").verdict, LAYOUT_BAD);
}

static void what_has_no_rules_is_unknown(void **state)
{
	(void)state;
	put_text_file("weights.bin2", "x");
	assert_int_equal(judged("weights.bin2").verdict, LAYOUT_UNKNOWN);
	put_text_file("old.pt", "\x80\x02pickle");
	assert_int_equal(judged("old.pt").verdict, LAYOUT_UNKNOWN);
	put_file("zeros.pt", "\0\0\0\0\0\0\0\0", 8);
	assert_int_equal(judged("zeros.pt").verdict, LAYOUT_BAD);
	put_text_file("empty.pt", "");
	assert_int_equal(judged("empty.pt").verdict, LAYOUT_BAD);
	assert_int_equal(judged("nothing.pt").verdict, LAYOUT_INCOMPLETE);
}

static void a_huggingface_folder_needs_its_parts(void **state)
{
	struct layout layout;

	(void)state;
	mkdirat(folder, "checkpoint-5", 0700);
	assert_int_equal(judged("checkpoint-5").verdict, LAYOUT_INCOMPLETE);
	put_text_file("checkpoint-5/config.json", "{}");
	layout = judged("checkpoint-5");
	assert_string_equal(layout.text, "trainer_state.json is missing");
	put_text_file("checkpoint-5/trainer_state.json", "{\"loss\": NaN");
	assert_int_equal(judged("checkpoint-5").verdict, LAYOUT_BAD);
	put_text_file("checkpoint-5/trainer_state.json", "{\"loss\": NaN}");
	layout = judged("checkpoint-5");
	assert_string_equal(layout.text, "its weights are missing");
	put_tensors("checkpoint-5/model.safetensors", "{\"x\":{\"data_offsets\":[0,4]}}", 4);
	layout = judged("checkpoint-5");
	assert_int_equal(layout.verdict, LAYOUT_GOOD);
	assert_string_equal(layout.format, "huggingface");
	put_tensors("checkpoint-5/model.safetensors", "{\"x\":{\"data_offsets\":[0,4]}}", 3);
	assert_int_equal(judged("checkpoint-5").verdict, LAYOUT_BAD);
}

static void a_folder_with_a_broken_file_is_broken(void **state)
{
	(void)state;
	mkdirat(folder, "step_3", 0700);
	put_text_file("step_3/notes", "x");
	assert_int_equal(judged("step_3").verdict, LAYOUT_UNKNOWN);
	put_text_file("step_3/a.npz", "PK");
	assert_int_equal(judged("step_3").verdict, LAYOUT_BAD);
	mkdirat(folder, "dcp", 0700);
	put_text_file("dcp/__0_0.distcp", "x");
	assert_int_equal(judged("dcp").verdict, LAYOUT_INCOMPLETE);
	put_text_file("dcp/.metadata", "x");
	assert_int_equal(judged("dcp").verdict, LAYOUT_GOOD);
}

static void groups_need_all_their_files(void **state)
{
	struct layout layout;

	(void)state;
	put_text_file("ckpt-3.data-00000-of-00002", "x");
	assert_string_equal(judged("ckpt-3").text, "ckpt-3.index is missing");
	put_file("ckpt-3.index", "1234\x57\xfb\x80\x8b\x24\x75\x47\xdb", 12);
	assert_string_equal(judged("ckpt-3").text, "1 of its 2 data files are there");
	put_text_file("ckpt-3.data-00001-of-00002", "x");
	assert_int_equal(judged("ckpt-3").verdict, LAYOUT_GOOD);
	put_file("ckpt-3.index", "1234\x57\xfb\x80\x8b\x24\x75\x47", 11);
	assert_int_equal(judged("ckpt-3").verdict, LAYOUT_BAD);
	put_text_file("training_metadata.json", "{\"epoch\": 12, \"batch\": 0}");
	assert_int_equal(judged("latest.weights.h5").verdict, LAYOUT_INCOMPLETE);
	{
		uint8_t weights[100] = "\x89HDF\r\n\x1a\n";

		weights[13] = weights[14] = 8;
		weights[24 + 16] = 100;
		put_file("latest.weights.h5", weights, sizeof weights);
	}
	layout = judged("latest.weights.h5");
	assert_int_equal(layout.verdict, LAYOUT_GOOD);
	assert_int_equal(layout.step, 12);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_checksum_is_the_known_one),
		cmocka_unit_test(a_whole_zip_is_good_and_no_cut_one_is),
		cmocka_unit_test(no_flipped_byte_of_the_data_passes),
		cmocka_unit_test(damaged_files_are_judged_and_not_believed),
		cmocka_unit_test(tensors_cover_their_file_exactly),
		cmocka_unit_test(an_hdf5_file_ends_where_it_says),
		cmocka_unit_test(what_has_no_rules_is_unknown),
		cmocka_unit_test(a_huggingface_folder_needs_its_parts),
		cmocka_unit_test(a_folder_with_a_broken_file_is_broken),
		cmocka_unit_test(groups_need_all_their_files),
	};

	return cmocka_run_group_tests(tests, set_up_folder, tear_down_folder);
}
