#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <sys/stat.h>

#include "agent_fixture.h"
#include "executor/agent/entry.h"

static void the_step_is_read_from_the_name(void **state)
{
	static const struct {
		const char *name;
		int64_t step;
	} cases[] = {
		{ "epoch=2-step=1500.ckpt", 1500 },
		{ "epoch=2-step=1500-v1.ckpt", 1500 },
		{ "checkpoint-500", 500 },
		{ "epoch-12.npz", 12 },
		{ "epoch-0012.npz", 12 },
		{ "ckpt-7", 7 },
		{ "step_250.pt", 250 },
		{ "Step-30_loss-7.pt", 30 },
		{ "global_steps9.pt", 9 },
		{ "model.h5", -1 },
		{ "last-v1.ckpt", -1 },
		{ "last.ckpt", -1 },
		{ "stepwise.pt", -1 },
		{ "hpc_ckpt_3.ckpt", 3 },
		{ "99999999999999999999999", -1 },
		{ "", -1 },
	};

	(void)state;
	for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++)
		if (entry_step(cases[i].name) != cases[i].step)
			fail_msg("%s: %lld", cases[i].name, (long long)entry_step(cases[i].name));
}

static void unfinished_names_never_count(void **state)
{
	static const char *const names[] = { "a.tmp",
					     "a.partial",
					     "a.incomplete",
					     ".a",
					     "tmp-a",
					     "a.tmp.1234",
					     "1.orbax-checkpoint-tmp-7",
					     "checkpoint",
					     "_latest.weights.h5",
					     "ckpt-7_temp",
					     "",
					     "..",
					     "a/b" };
	char entry[ENTRY_NAME_BYTES];

	(void)state;
	for (size_t i = 0; i < sizeof names / sizeof names[0]; i++)
		assert_int_equal(entry_of(names[i], entry), ENTRY_NONE);
}

static void files_of_one_checkpoint_are_one_entry(void **state)
{
	static const struct {
		const char *name, *entry;
		enum entry_kind kind;
	} cases[] = {
		{ "ckpt-7.index", "ckpt-7", ENTRY_TENSORFLOW },
		{ "ckpt-7.data-00001-of-00002", "ckpt-7", ENTRY_TENSORFLOW },
		{ "model.ckpt.index", "model.ckpt", ENTRY_TENSORFLOW },
		{ "cp.data-00000-of-00001", "cp", ENTRY_TENSORFLOW },
		{ "faiss.index", "faiss.index", ENTRY_SINGLE },
		{ "a.data-1-of", "a.data-1-of", ENTRY_SINGLE },
		{ "latest.weights.h5", "latest.weights.h5", ENTRY_KERAS },
		{ "training_metadata.json", "latest.weights.h5", ENTRY_KERAS },
		{ "epoch-1.npz", "epoch-1.npz", ENTRY_SINGLE },
	};
	char entry[ENTRY_NAME_BYTES];

	(void)state;
	for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
		assert_int_equal(entry_of(cases[i].name, entry), cases[i].kind);
		assert_string_equal(entry, cases[i].entry);
	}
}

static void a_digest_depends_on_names_and_bytes_only(void **state)
{
	struct entry_digest one, two, three;
	struct err err;

	(void)state;
	put_text_file("a", "abc");
	assert_int_equal(entry_digest(folder, "a", &one, &err), 0);
	assert_string_equal(one.hex, "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
	assert_int_equal(one.bytes, 3);
	mkdirat(folder, "x", 0700);
	mkdirat(folder, "x/inner", 0700);
	put_text_file("x/b", "1");
	put_text_file("x/inner/a", "2");
	assert_int_equal(entry_digest(folder, "x", &one, &err), 0);
	assert_int_equal(one.bytes, 2);
	put_text_file("x/b", "1");
	assert_int_equal(entry_digest(folder, "x", &two, &err), 0);
	assert_string_equal(one.hex, two.hex);
	renameat(folder, "x/b", folder, "x/c");
	assert_int_equal(entry_digest(folder, "x", &three, &err), 0);
	assert_string_not_equal(one.hex, three.hex);
	assert_int_equal(entry_digest(folder, "nothing", &one, &err), ERR_NOT_FOUND);
	assert_int_equal(symlinkat("a", folder, "link"), 0);
	assert_true(entry_digest(folder, "link", &one, &err) < 0);
}

static void a_signature_notices_every_change(void **state)
{
	struct entry_signature before;
	struct timespec times[2] = { { .tv_sec = 1 }, { .tv_sec = 1 } };

	(void)state;
	assert_int_equal(entry_sign(folder, "s").hash, 0);
	mkdirat(folder, "s", 0700);
	assert_int_not_equal(entry_sign(folder, "s").hash, 0);
	put_text_file("s/a", "1");
	before = entry_sign(folder, "s");
	assert_true(before.is_folder && before.bytes == 1);
	assert_true(entry_sign(folder, "s").hash == before.hash);
	utimensat(folder, "s/a", times, 0);
	assert_true(entry_sign(folder, "s").hash != before.hash);
	before = entry_sign(folder, "s");
	put_text_file("s/b", "");
	assert_true(entry_sign(folder, "s").hash != before.hash);
}

static void all_files_of_an_entry_are_removed(void **state)
{
	struct err err;

	(void)state;
	put_text_file("ckpt-9.index", "x");
	put_text_file("ckpt-9.data-00000-of-00001", "x");
	put_text_file("ckpt-90.index", "x");
	assert_int_equal(entry_remove(folder, "ckpt-9", &err), 0);
	assert_int_equal(faccessat(folder, "ckpt-9.index", F_OK, 0), -1);
	assert_int_equal(faccessat(folder, "ckpt-9.data-00000-of-00001", F_OK, 0), -1);
	assert_int_equal(faccessat(folder, "ckpt-90.index", F_OK, 0), 0);
	mkdirat(folder, "d", 0700);
	mkdirat(folder, "d/e", 0700);
	put_text_file("d/e/f", "x");
	assert_int_equal(entry_remove(folder, "d", &err), 0);
	assert_int_equal(faccessat(folder, "d", F_OK, 0), -1);
	assert_int_equal(entry_remove(folder, "d", &err), ERR_NOT_FOUND);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_step_is_read_from_the_name),
		cmocka_unit_test(unfinished_names_never_count),
		cmocka_unit_test(files_of_one_checkpoint_are_one_entry),
		cmocka_unit_test(a_digest_depends_on_names_and_bytes_only),
		cmocka_unit_test(a_signature_notices_every_change),
		cmocka_unit_test(all_files_of_an_entry_are_removed),
	};

	return cmocka_run_group_tests(tests, set_up_folder, tear_down_folder);
}
