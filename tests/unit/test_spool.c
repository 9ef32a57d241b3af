#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "agent_fixture.h"
#include "common/mem.h"
#include "common/rng.h"
#include "executor/agent/spool.h"

/* Everything of a shape, part by part. */
static uint64_t walk(const struct spool_shape *shape, uint64_t *parts_out)
{
	uint64_t offset = 0, at, n;

	*parts_out = 0;
	while (spool_shape_find(shape, offset, &at, &n) != SPOOL_END) {
		assert_true(n > 0);
		offset += n;
		(*parts_out)++;
	}
	return offset;
}

static void a_stream_is_head_mark_and_ring_in_order(void **state)
{
	struct spool_shape shape;
	uint64_t at, n, parts;

	(void)state;
	spool_shape_set(&shape, 0, 0, 0);
	assert_int_equal(spool_shape_bytes(&shape), 0);
	assert_int_equal(spool_shape_find(&shape, 0, &at, &n), SPOOL_END);
	spool_shape_set(&shape, 100, 50, 100); /* the ring is not full */
	assert_int_equal(spool_shape_bytes(&shape), 150);
	assert_int_equal(spool_shape_find(&shape, 100, &at, &n), SPOOL_TAIL);
	assert_true(at == 0 && n == 50);
	spool_shape_set(&shape, 100, 100, 100); /* full, and nothing lost */
	assert_int_equal(shape.left_out, 0);
	assert_int_equal(walk(&shape, &parts), 200);
	assert_int_equal(parts, 2);
	spool_shape_set(&shape, 100, 130, 100); /* gone round once and 30 bytes */
	assert_int_equal(shape.left_out, 30);
	assert_string_equal(shape.mark, "\n[stoker: 30 bytes left out here]\n");
	assert_int_equal(spool_shape_find(&shape, 100 + shape.mark_bytes, &at, &n), SPOOL_TAIL);
	assert_true(at == 30 && n == 70);
	assert_int_equal(spool_shape_find(&shape, 100 + shape.mark_bytes + 70, &at, &n), SPOOL_TAIL);
	assert_true(at == 0 && n == 30);
	assert_int_equal(walk(&shape, &parts), 200 + shape.mark_bytes);
	assert_int_equal(parts, 4);
}

/* What lies in the file at its own place is handed out as one; what goes beyond it is not. */
static void expect_log_file(const struct spool_shape *shape, const uint8_t *data, struct rng *rng)
{
	uint64_t at = rng_below(rng, shape->head_bytes + 1), n = rng_below(rng, shape->head_bytes + 1 - at);
	uint8_t *bytes = mem_alloc(n + 1);
	int fd = spool_log_file(folder, shape, at, n);

	assert_true(shape->head_bytes == 0 || fd >= 0);
	if (fd >= 0)
		assert_int_equal(pread(fd, bytes, n, (off_t)at), (ssize_t)n);
	assert_memory_equal(bytes, data + at, n);
	close(fd);
	assert_int_equal(spool_log_file(folder, shape, at, shape->head_bytes - at + 1), -1);
	free(bytes);
}

static void what_goes_in_comes_out(void **state)
{
	struct rng rng = rng_seeded(2);

	(void)state;
	for (int turn = 0; turn < 200; turn++) {
		uint64_t max = 2 + rng_below(&rng, 400), total = rng_below(&rng, 1000), head = (max + 1) / 2,
			 kept;
		uint8_t *data = mem_alloc(total + 1), back[2000];
		struct spool_shape shape;
		struct spool_log log;
		ssize_t got = 0;
		int ends[2];

		for (uint64_t i = 0; i < total; i++)
			data[i] = (uint8_t)rng_next(&rng);
		unlinkat(folder, "log", 0);
		unlinkat(folder, "log.tail", 0);
		assert_int_equal(pipe(ends), 0);
		spool_log_open(&log, folder, (int64_t)max);
		log.no_splice = turn % 2 == 1;
		for (uint64_t done = 0; done < total;) {
			uint64_t n = 1 + rng_below(&rng, 100);

			n = n < total - done ? n : total - done;
			assert_int_equal(write(ends[1], data + done, n), (ssize_t)n);
			for (uint64_t taken = 0; taken < n;) {
				ssize_t part = spool_log_take(&log, ends[0]);

				assert_true(part > 0);
				taken += (uint64_t)part;
			}
			done += n;
		}
		close(ends[1]);
		assert_int_equal(spool_log_take(&log, ends[0]), 0);
		close(ends[0]);
		spool_log_close(&log, false);
		spool_shape_read(folder, true, &shape);
		for (ssize_t n; (n = spool_log_read(folder, &shape, (uint64_t)got, back + got,
						    1 + rng_below(&rng, 50))) > 0;)
			got += n;
		assert_int_equal(got, spool_shape_bytes(&shape));
		expect_log_file(&shape, data, &rng);
		head = head < total ? head : total;
		kept = total - head < max / 2 ? total - head : max / 2;
		assert_memory_equal(back, data, head);
		if (kept > 0)
			assert_memory_equal(back + got - kept, data + total - kept, kept);
		assert_int_equal(shape.left_out, total - head - kept);
		free(data);
	}
}

static void only_whole_records_are_read(void **state)
{
	struct spool_journal journal;
	struct buf records = { 0 }, back = { 0 };
	size_t one;
	int fd;

	(void)state;
	protocol_put_sample(&records, &(struct record_sample){ .wall_ms = 5, .processes = 1 });
	one = records.bytes;
	protocol_put_metric(&records, &(struct record_metric){ .json = "{}" });
	for (size_t n = 0; n <= records.bytes; n++)
		assert_int_equal(spool_whole_records(records.data, n), n < one		   ? 0
								       : n < records.bytes ? one
											   : n);
	assert_int_equal(spool_journal_read(folder, 0, 1000, &back), 0); /* none is there */
	put_file("journal", records.data, records.bytes - 1);
	assert_int_equal(spool_journal_read(folder, 0, 1000, &back), (ssize_t)one);
	/* Whoever takes it over cuts the half record off, and appends. */
	assert_int_equal(spool_journal_reopen(&journal, folder), 0);
	assert_int_equal(journal.bytes, one);
	protocol_put_metric(&journal.pending, &(struct record_metric){ .json = "{\"a\":1}" });
	spool_journal_flush(&journal);
	assert_true(journal.bytes > one && !journal.full);
	buf_clear(&back);
	assert_int_equal(spool_journal_read(folder, 0, 1000, &back), (ssize_t)journal.bytes);
	spool_journal_close(&journal);
	fd = openat(folder, "journal", O_RDONLY);
	assert_int_equal(lseek(fd, 0, SEEK_END), (off_t)back.bytes);
	close(fd);
	buf_fini(&records);
	buf_fini(&back);
}

static void the_first_exit_stands(void **state)
{
	struct record_exit exit = { .kind = EXIT_CODE, .code = 3, .text = "exit 3" }, back;
	struct arena arena;
	struct err err;
	struct buf bytes = { 0 };

	(void)state;
	arena_init(&arena);
	assert_int_equal(spool_exit_read(folder, &arena, &back), 0);
	assert_int_equal(spool_exit_write(folder, &exit, &err), 0);
	exit.code = 4;
	assert_int_equal(spool_exit_write(folder, &exit, &err), ERR_EXISTS);
	assert_int_equal(spool_exit_read(folder, &arena, &back), 1);
	assert_int_equal(back.code, 3);
	assert_string_equal(back.text, "exit 3");
	/* No damage passes for a record. */
	assert_int_equal(files_read(folder, "exit", 1000, &bytes), 0);
	for (size_t i = 0; i < bytes.bytes; i++) {
		bytes.data[i] ^= 4;
		put_file("exit", bytes.data, bytes.bytes);
		assert_int_equal(spool_exit_read(folder, &arena, &back), ERR_CORRUPT);
		bytes.data[i] ^= 4;
		put_file("exit", bytes.data, i);
		assert_int_equal(spool_exit_read(folder, &arena, &back), ERR_CORRUPT);
	}
	buf_fini(&bytes);
	arena_fini(&arena);
}

static void a_spec_is_whole_or_none(void **state)
{
	const char *argv[] = { "true", NULL };
	struct spec spec = { .id = { 1, 2, 3 }, .argv = argv, .argc = 1, .workdir = "/" }, back;
	struct record_identity identity = { .boot_id = "boot", .pid = 7, .start_ticks = 9 }, who;
	struct buf frame = { 0 }, bytes = { 0 };
	struct arena arena;
	struct err err;

	(void)state;
	arena_init(&arena);
	protocol_put_spec(&frame, &spec);
	assert_int_equal(spool_spec_write(folder, frame.data, frame.bytes, &identity, &err), 0);
	assert_int_equal(spool_spec_read(folder, &arena, &back, &who, &err), 0);
	assert_true(back.id.task == 2 && back.argc == 1 && who.pid == 7 && who.start_ticks == 9);
	assert_int_equal(files_read(folder, "spec", 10000, &bytes), 0);
	for (size_t n = 0; n < bytes.bytes; n++) {
		put_file("spec", bytes.data, n);
		assert_int_equal(spool_spec_read(folder, &arena, &back, &who, &err), ERR_CORRUPT);
	}
	buf_fini(&frame);
	buf_fini(&bytes);
	arena_fini(&arena);
}

static void who_made_the_session_is_noted_behind_the_spec(void **state)
{
	const char *argv[] = { "true", NULL };
	struct spec spec = { .id = { 1, 2, 3 }, .argv = argv, .argc = 1, .workdir = "/" }, back;
	struct record_identity leader = { .boot_id = "boot", .pid = 7, .start_ticks = 9 }, who;
	struct record_identity maker = { .boot_id = "boot", .pid = 8, .start_ticks = 10 };
	struct record_started started = { .pid = 9, .wall_ms = 1, .resumed_from = "", .resumed_digest = "" }, step;
	struct buf frame = { 0 }, bytes = { 0 };
	struct arena arena;
	size_t before, noted;
	int notes;
	struct err err;

	(void)state;
	arena_init(&arena);
	protocol_put_spec(&frame, &spec);
	assert_int_equal(spool_spec_write(folder, frame.data, frame.bytes, &leader, &err), 0);
	assert_int_equal(spool_session_read(folder, &arena, &who, &step, &err), ERR_NOT_FOUND);
	assert_int_equal(files_read(folder, "spec", 10000, &bytes), 0);
	before = bytes.bytes;
	notes = spool_notes_open(folder);
	assert_true(notes >= 0);
	assert_int_equal(spool_session_write(notes, &maker), 0);
	assert_int_equal(spool_session_read(folder, &arena, &who, &step, &err), 0);
	assert_true(who.pid == 8 && who.start_ticks == 10 && step.pid == 0);
	assert_int_equal(spool_spec_read(folder, &arena, &back, &who, &err), 0);
	assert_true(back.id.task == 2 && who.pid == 7);
	buf_clear(&bytes);
	assert_int_equal(files_read(folder, "spec", 10000, &bytes), 0);
	noted = bytes.bytes;
	assert_int_equal(spool_step_write(notes, &started), 0);
	close(notes);
	assert_int_equal(spool_session_read(folder, &arena, &who, &step, &err), 0);
	assert_true(who.pid == 8 && step.pid == 9);
	buf_clear(&bytes);
	assert_int_equal(files_read(folder, "spec", 10000, &bytes), 0);
	for (size_t n = before; n < bytes.bytes; n++) {
		put_file("spec", bytes.data, n);
		assert_int_equal(spool_session_read(folder, &arena, &who, &step, &err),
				 n < noted ? ERR_NOT_FOUND : 0);
		assert_true(n < noted || step.pid == 0);
		assert_int_equal(spool_spec_read(folder, &arena, &back, &who, &err), 0);
	}
	buf_fini(&frame);
	buf_fini(&bytes);
	arena_fini(&arena);
}

static void a_request_replaces_the_one_before(void **state)
{
	struct frame_stop stop = { .id = { 1, 2, 3 }, .reason = REASON_CANCELED, .grace_ms = 30000 }, back;

	(void)state;
	assert_false(spool_request_read(folder, &back));
	assert_int_equal(spool_request_write(folder, &stop), 0);
	stop.grace_ms = 0;
	stop.reason = REASON_PREEMPTED;
	assert_int_equal(spool_request_write(folder, &stop), 0);
	assert_true(spool_request_read(folder, &back));
	assert_true(back.grace_ms == 0 && back.reason == REASON_PREEMPTED);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_stream_is_head_mark_and_ring_in_order),
		cmocka_unit_test(what_goes_in_comes_out),
		cmocka_unit_test(only_whole_records_are_read),
		cmocka_unit_test(the_first_exit_stands),
		cmocka_unit_test(a_spec_is_whole_or_none),
		cmocka_unit_test(who_made_the_session_is_noted_behind_the_spec),
		cmocka_unit_test(a_request_replaces_the_one_before),
	};

	return cmocka_run_group_tests(tests, set_up_folder, tear_down_folder);
}
