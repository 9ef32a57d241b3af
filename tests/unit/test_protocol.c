#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <string.h>

#include "common/rng.h"
#include "executor/protocol.h"

static const struct attempt_id id = { .run = 7, .task = 300, .number = 2 };

static struct frame only_frame(const struct buf *buf)
{
	struct frame frame;

	assert_int_equal(protocol_next(buf->data, buf->bytes, &frame, NULL), 1);
	assert_int_equal(frame.whole_bytes, buf->bytes);
	return frame;
}

static void put_full_spec(struct buf *out)
{
	const char *argv[] = { "python3", "", "train.py", NULL };
	const char *env[] = { "A=1", "B=", NULL };
	const char *devices[] = { "GPU-1", "GPU-2", NULL };
	struct spec_checkpoint candidates[] = { { "epoch-2", "abcd", 10, false },
						{ "epoch-1", "ef", 0, true } };
	const char *artifacts[] = { "model.bin", "out/logs" };
	struct spec_provision provisions[] = { { PROVISION_SOURCE, "0a", 77, 0, "", "" },
					       { PROVISION_CHECKPOINT, "0b", 1, 5, "out", "epoch-2" } };
	struct spec spec = {
		.id = id,
		.epoch = 9,
		.fence = 7000002,
		.argv = argv,
		.argc = 3,
		.workdir = "/data",
		.env = env,
		.env_count = 2,
		.timeout_ms = INT64_MAX,
		.stall_ms = 1,
		.grace_ms = 30000,
		.log_max_bytes = 1 << 30,
		.checkpoint_dir = "out",
		.checkpoint_declared = true,
		.settle_ms = 5000,
		.keep = 3,
		.resume_required = true,
		.fresh = true,
		.candidates = candidates,
		.candidates_count = 2,
		.devices = devices,
		.devices_count = 2,
		.provisions = provisions,
		.provisions_count = 2,
		.lease_ms = 1800000,
		.lease_from_ms = INT64_C(40) * 86400000,
		.artifacts = artifacts,
		.artifacts_count = 2,
	};

	protocol_put_spec(out, &spec);
}

static void spec_comes_back_as_it_was(void **state)
{
	struct buf buf = { 0 };
	struct arena arena = { 0 };
	struct frame frame;
	struct spec spec;

	(void)state;
	put_full_spec(&buf);
	frame = only_frame(&buf);
	assert_int_equal(frame.type, FRAME_START);
	assert_int_equal(protocol_get_spec(&frame, &arena, &spec), 0);
	assert_memory_equal(&spec.id, &id, sizeof id);
	assert_int_equal(spec.argc, 3);
	assert_string_equal(spec.argv[1], "");
	assert_string_equal(spec.argv[2], "train.py");
	assert_null(spec.argv[3]);
	assert_string_equal(spec.env[1], "B=");
	assert_null(spec.env[2]);
	assert_int_equal(spec.lease_ms, 1800000);
	assert_int_equal(spec.lease_from_ms, INT64_C(40) * 86400000);
	assert_true(spec.timeout_ms == INT64_MAX);
	assert_true(spec.resume_required && spec.fresh && !spec.resume_never && !spec.shell);
	assert_int_equal(spec.candidates_count, 2);
	assert_string_equal(spec.candidates[0].name, "epoch-2");
	assert_true(spec.candidates[1].quarantined);
	assert_string_equal(spec.devices[1], "GPU-2");
	assert_int_equal(spec.provisions_count, 2);
	assert_string_equal(spec.provisions[0].digest, "0a");
	assert_int_equal(spec.provisions[0].bytes, 77);
	assert_int_equal(spec.provisions[1].kind, PROVISION_CHECKPOINT);
	assert_int_equal(spec.provisions[1].task, 5);
	assert_string_equal(spec.provisions[1].path, "out");
	assert_string_equal(spec.provisions[1].name, "epoch-2");
	assert_int_equal(spec.artifacts_count, 2);
	assert_string_equal(spec.artifacts[1], "out/logs");
	buf_fini(&buf);
	arena_fini(&arena);
}

static void parcels_come_back_as_they_were(void **state)
{
	struct frame_want want = { "0a", UINT64_MAX, true, id, PROVISION_ARTIFACTS, 4, "n" }, want_back;
	struct frame_get get = { "0b", 9, true, 1, 2, PROVISION_CHECKPOINT, "p", "n" }, get_back;
	struct frame_parcel parcel = { "0c", 5, 8, (const uint8_t *)"xyz", 3, "", false }, parcel_back;
	struct buf buf = { 0 };
	struct arena arena = { 0 };
	struct frame frame;

	(void)state;
	protocol_put_want(&buf, &want);
	frame = only_frame(&buf);
	assert_int_equal(protocol_get_want(&frame, &arena, &want_back), 0);
	assert_memory_equal(&want_back.id, &id, sizeof id);
	assert_string_equal(want_back.digest, "0a");
	assert_true(want_back.offset == UINT64_MAX && want_back.begin && want_back.task == 4);
	assert_int_equal(want_back.kind, PROVISION_ARTIFACTS);
	buf_clear(&buf);
	protocol_put_get(&buf, &get);
	frame = only_frame(&buf);
	assert_int_equal(protocol_get_get(&frame, &arena, &get_back), 0);
	assert_true(get_back.offset == 9 && get_back.begin && get_back.run == 1 && get_back.task == 2);
	assert_string_equal(get_back.path, "p");
	assert_string_equal(get_back.name, "n");
	buf_clear(&buf);
	protocol_put_parcel(&buf, FRAME_PARCEL_BACK, &parcel);
	frame = only_frame(&buf);
	assert_int_equal(frame.type, FRAME_PARCEL_BACK);
	assert_int_equal(protocol_get_parcel(&frame, &arena, &parcel_back), 0);
	assert_true(parcel_back.offset == 5 && parcel_back.total == 8 && parcel_back.n == 3);
	assert_memory_equal(parcel_back.bytes, "xyz", 3);
	assert_string_equal(parcel_back.text, "");
	buf_fini(&buf);
	arena_fini(&arena);
}

static void findings_come_back_as_they_were(void **state)
{
	struct frame_finding finding = { "root folder", FINDING_WARNING, "on nfs", "set `root:`", true }, back;
	struct buf buf = { 0 };
	struct frame frame;
	struct arena arena;

	(void)state;
	arena_init(&arena);
	protocol_put_finding(&buf, &finding);
	frame = only_frame(&buf);
	assert_int_equal(frame.type, FRAME_FINDING);
	assert_int_equal(protocol_get_finding(&frame, &arena, &back), 0);
	assert_string_equal(back.name, "root folder");
	assert_int_equal(back.verdict, FINDING_WARNING);
	assert_string_equal(back.text, "on nfs");
	assert_string_equal(back.remedy, "set `root:`");
	assert_true(back.last);

	buf_clear(&buf);
	protocol_put_check(&buf);
	frame = only_frame(&buf);
	assert_int_equal(frame.type, FRAME_CHECK);
	assert_int_equal(frame.body_bytes, 0);

	/* A verdict that is none of ours must not be taken for "ok". */
	buf_clear(&buf);
	finding.verdict = FINDING_VERDICTS;
	protocol_put_finding(&buf, &finding);
	frame = only_frame(&buf);
	assert_true(protocol_get_finding(&frame, &arena, &back) < 0);
	buf_fini(&buf);
	arena_fini(&arena);
}

static void exit_record_comes_back_as_it_was(void **state)
{
	struct record_exit in = { .kind = EXIT_SIGNAL,
				  .reason = REASON_OOM,
				  .code = -1,
				  .signal = 9,
				  .stopped = true,
				  .transient = true,
				  .started_wall_ms = 5,
				  .ended_wall_ms = 6,
				  .cpu_ms = 7,
				  .rss_peak_bytes = INT64_C(1) << 40,
				  .log_bytes = 9,
				  .log_dropped_bytes = 10,
				  .journal_bytes = 11,
				  .text = "text" };
	struct frame_exited out;
	struct buf buf = { 0 };
	struct arena arena = { 0 };
	struct frame frame;

	(void)state;
	protocol_put_exited(&buf, &(struct frame_exited){ .id = id, .exit = in });
	frame = only_frame(&buf);
	assert_int_equal(protocol_get_exited(&frame, &arena, &out), 0);
	assert_int_equal(out.exit.kind, in.kind);
	assert_int_equal(out.exit.reason, in.reason);
	assert_int_equal(out.exit.code, -1);
	assert_true(out.exit.stopped && out.exit.transient);
	assert_true(out.exit.rss_peak_bytes == in.rss_peak_bytes);
	assert_string_equal(out.exit.text, "text");
	buf_fini(&buf);
	arena_fini(&arena);
}

static void checkpoint_without_step_reads_minus_one(void **state)
{
	struct buf buf = { 0 };
	struct arena arena = { 0 };
	struct record_checkpoint record;
	struct frame frame;

	(void)state;
	for (int64_t step = -1; step < 3; step++) {
		buf_clear(&buf);
		protocol_put_checkpoint(&buf, &(struct record_checkpoint){ .name = "n", .step = step });
		frame = only_frame(&buf);
		assert_int_equal(protocol_get_checkpoint(&frame, &arena, &record), 0);
		assert_int_equal(record.step, step);
	}
	buf_fini(&buf);
	arena_fini(&arena);
}

static void artifacts_survive(void **state)
{
	struct buf buf = { 0 };
	struct arena arena = { 0 };
	struct record_artifacts record;
	struct frame frame;

	(void)state;
	protocol_put_artifacts(&buf,
			       &(struct record_artifacts){ .digest = "0a", .bytes = 1ULL << 40, .files = 3 });
	frame = only_frame(&buf);
	assert_int_equal(frame.type, RECORD_ARTIFACTS);
	assert_int_equal(protocol_get_artifacts(&frame, &arena, &record), 0);
	assert_string_equal(record.digest, "0a");
	assert_true(record.bytes == 1ULL << 40 && record.files == 3);
	buf_fini(&buf);
	arena_fini(&arena);
}

static void loads_come_back_as_they_were(void **state)
{
	struct buf buf = { 0 };
	struct frame_pong pong;
	struct frame frame;

	(void)state;
	protocol_put_pong(&buf, &(struct frame_pong){ .number = 42,
						      .load = { 0, 1LL << 36, 1LL << 35, 1LL << 40, -1 } });
	frame = only_frame(&buf);
	assert_int_equal(frame.type, FRAME_PONG);
	assert_int_equal(protocol_get_pong(&frame, &pong), 0);
	assert_int_equal(pong.number, 42);
	assert_true(pong.load.load1_milli == 0 && pong.load.memory_bytes == 1LL << 36);
	assert_true(pong.load.memory_available_bytes == 1LL << 35 && pong.load.disk_bytes == 1LL << 40);
	assert_int_equal(pong.load.disk_free_bytes, -1);
	buf_fini(&buf);
}

static void a_pong_of_an_older_agent_tells_no_load(void **state)
{
	struct buf buf = { 0 };
	struct frame_pong pong;
	struct frame_ping ping;
	struct frame frame;

	(void)state;
	protocol_put_ping(&buf, FRAME_PONG, &(struct frame_ping){ .number = 7 });
	frame = only_frame(&buf);
	assert_int_equal(protocol_get_pong(&frame, &pong), 0);
	assert_int_equal(pong.number, 7);
	assert_true(pong.load.load1_milli == -1 && pong.load.memory_bytes == -1 &&
		    pong.load.disk_bytes == -1);
	assert_true(pong.load.memory_available_bytes == -1 && pong.load.disk_free_bytes == -1);
	buf_clear(&buf);
	/* and the other way round */
	protocol_put_pong(&buf, &(struct frame_pong){ .number = 8, .load = { 1, 2, 3, 4, 5 } });
	frame = only_frame(&buf);
	assert_int_equal(protocol_get_ping(&frame, &ping), 0);
	assert_int_equal(ping.number, 8);
	buf_fini(&buf);
}

static void unknown_fields_are_passed_over(void **state)
{
	uint8_t bytes[] = { 0, 0, 0, 0, FRAME_PING, 200, 3, 1, 2, 3, 1, 1, 42 };
	struct frame_ping ping;
	struct frame frame;

	(void)state;
	bytes[0] = sizeof bytes - 4;
	assert_int_equal(protocol_next(bytes, sizeof bytes, &frame, NULL), 1);
	assert_int_equal(protocol_get_ping(&frame, &ping), 0);
	assert_int_equal(ping.number, 42);
}

static void every_cut_of_a_frame_asks_for_more(void **state)
{
	struct buf buf = { 0 };
	struct frame frame;

	(void)state;
	put_full_spec(&buf);
	for (size_t n = 0; n < buf.bytes; n++)
		assert_int_equal(protocol_next(buf.data, n, &frame, NULL), 0);
	buf_fini(&buf);
}

static void what_is_missing_of_a_frame_never_reaches_into_the_next(void **state)
{
	struct buf buf = { 0 };

	(void)state;
	put_full_spec(&buf);
	assert_int_equal(protocol_missing_bytes(buf.data, 0), 4);
	assert_int_equal(protocol_missing_bytes(buf.data, 3), 1);
	for (size_t n = 4; n < buf.bytes; n++)
		assert_int_equal(protocol_missing_bytes(buf.data, n), buf.bytes - n);
	buf_fini(&buf);
}

static void bytes_put_in_place_are_the_same_as_copied_ones(void **state)
{
	struct frame_data data = { .id = { 1, 2, 3 }, .stream = STREAM_LOG, .offset = 70000 };
	struct frame_parcel parcel = { .digest = "0123", .offset = 128, .total = 1 << 20 };
	struct buf copied = { 0 }, in_place = { 0 };
	uint8_t bytes[300];

	(void)state;
	memset(bytes, 'x', sizeof bytes);
	data.bytes = bytes;
	parcel.bytes = bytes;
	for (data.n = 1; data.n <= sizeof bytes; data.n += 13) {
		parcel.n = data.n;
		protocol_put_parcel(&copied, FRAME_PARCEL_BACK, &parcel);
		memset(protocol_put_parcel_room(&in_place, FRAME_PARCEL_BACK, &parcel), 'x', parcel.n);
		protocol_put_data(&copied, &data);
		memset(protocol_put_data_room(&in_place, &data), 'x', data.n);
	}
	assert_int_equal(in_place.bytes, copied.bytes);
	assert_memory_equal(in_place.data, copied.data, copied.bytes);
	buf_fini(&copied);
	buf_fini(&in_place);
}

static void absurd_lengths_are_refused(void **state)
{
	static const uint8_t none[] = { 0, 0, 0, 0, 1 }, huge[] = { 0xff, 0xff, 0xff, 0x7f, 1 };
	struct frame frame;
	struct err err;

	(void)state;
	assert_int_equal(protocol_next(none, sizeof none, &frame, &err), ERR_CORRUPT);
	assert_int_equal(protocol_next(huge, sizeof huge, &frame, &err), ERR_CORRUPT);
}

static void a_text_with_a_nul_is_refused(void **state)
{
	struct buf buf = { 0 };
	struct arena arena = { 0 };
	struct frame_hello hello;
	struct frame frame;
	uint8_t *at;

	(void)state;
	protocol_put_hello(&buf, &(struct frame_hello){ .version = 1, .home = "abcdef", .scheduler = "s" });
	at = memmem(buf.data, buf.bytes, "abcdef", 6);
	assert_non_null(at);
	at[3] = '\0';
	frame = only_frame(&buf);
	assert_int_equal(protocol_get_hello(&frame, &arena, &hello), ERR_CORRUPT);
	buf_fini(&buf);
	arena_fini(&arena);
}

/* Flipping any byte of a body must never crash; the decoder answers 0 or ERR_CORRUPT. */
static void damaged_frames_never_crash(void **state)
{
	struct buf buf = { 0 };
	struct rng rng = rng_seeded(3);

	(void)state;
	put_full_spec(&buf);
	for (int round = 0; round < 20000; round++) {
		struct buf copy = { 0 };
		struct arena arena = { 0 };
		struct frame frame;
		struct spec spec;
		struct frame_exited exited;
		struct frame_welcome welcome;

		buf_append(&copy, buf.data, buf.bytes);
		for (int i = 0; i < 3; i++)
			copy.data[5 + rng_below(&rng, copy.bytes - 5)] = (uint8_t)rng_next(&rng);
		frame = only_frame(&copy);
		assert_in_range((unsigned)-protocol_get_spec(&frame, &arena, &spec), 0, -ERR_CORRUPT);
		assert_in_range((unsigned)-protocol_get_exited(&frame, &arena, &exited), 0, -ERR_CORRUPT);
		assert_in_range((unsigned)-protocol_get_welcome(&frame, &arena, &welcome), 0, -ERR_CORRUPT);
		buf_fini(&copy);
		arena_fini(&arena);
	}
	buf_fini(&buf);
}

static void every_reason_has_a_name(void **state)
{
	(void)state;
	for (int i = 0; i < REASONS; i++)
		assert_non_null(reason_names[i]);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(spec_comes_back_as_it_was),
		cmocka_unit_test(parcels_come_back_as_they_were),
		cmocka_unit_test(findings_come_back_as_they_were),
		cmocka_unit_test(exit_record_comes_back_as_it_was),
		cmocka_unit_test(checkpoint_without_step_reads_minus_one),
		cmocka_unit_test(artifacts_survive),
		cmocka_unit_test(loads_come_back_as_they_were),
		cmocka_unit_test(a_pong_of_an_older_agent_tells_no_load),
		cmocka_unit_test(unknown_fields_are_passed_over),
		cmocka_unit_test(every_cut_of_a_frame_asks_for_more),
		cmocka_unit_test(what_is_missing_of_a_frame_never_reaches_into_the_next),
		cmocka_unit_test(bytes_put_in_place_are_the_same_as_copied_ones),
		cmocka_unit_test(absurd_lengths_are_refused),
		cmocka_unit_test(a_text_with_a_nul_is_refused),
		cmocka_unit_test(damaged_frames_never_crash),
		cmocka_unit_test(every_reason_has_a_name),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
