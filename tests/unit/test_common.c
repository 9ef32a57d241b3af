#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/arena.h"
#include "common/buf.h"
#include "common/clock.h"
#include "common/digest.h"
#include "common/err.h"
#include "common/list.h"
#include "common/log.h"
#include "common/machine.h"
#include "common/mem.h"
#include "common/rng.h"
#include "common/scope.h"

static void err_from_errno_keeps_code_and_cause(void **state)
{
	struct err err;

	(void)state;
	errno = ENOSPC;
	assert_int_equal(err_errno(&err, "write %s", "x"), ERR_FULL);
	assert_int_equal(err.sys_errno, ENOSPC);
	assert_string_equal(err.text, "write x: No space left on device");
	assert_int_equal(err_wrap(&err, "run %d", 3), ERR_FULL);
	assert_string_equal(err.text, "run 3: write x: No space left on device");
}

static void err_wrap_never_overflows(void **state)
{
	struct err err;
	char long_text[2 * sizeof err.text];

	(void)state;
	memset(long_text, 'a', sizeof long_text);
	long_text[sizeof long_text - 1] = '\0';
	err_set(&err, ERR_INVALID, "%s", long_text);
	assert_int_equal(err_wrap(&err, "%s", long_text), ERR_INVALID);
	assert_true(strlen(err.text) < sizeof err.text);
}

static void buf_stops_at_its_limit_and_says_so(void **state)
{
	struct buf buf;

	(void)state;
	buf_init(&buf, 10);
	buf_append(&buf, "12345678", 8);
	assert_false(buf.overflow);
	buf_append(&buf, "90a", 3);
	assert_true(buf.overflow);
	assert_int_equal(buf.bytes, 8);
	buf_append(&buf, "9", 1); /* once it overflowed it takes nothing: a part of a message is worse than none */
	assert_int_equal(buf.bytes, 8);
	buf_fini(&buf);
}

static void buf_consumes_from_the_front(void **state)
{
	struct buf buf = { 0 };

	(void)state;
	buf_printf(&buf, "%s-%d", "hello", 42);
	buf_consume(&buf, 6);
	assert_string_equal(buf_text(&buf), "42");
	buf_consume(&buf, 99);
	assert_int_equal(buf.bytes, 0);
	assert_string_equal(buf_text(&buf), "");
	buf_fini(&buf);
}

static void buf_printf_takes_long_texts(void **state)
{
	struct buf buf = { 0 };
	char *taken;

	(void)state;
	buf_printf(&buf, "%2000d", 7);
	assert_int_equal(buf.bytes, 2000);
	taken = buf_take(&buf);
	assert_int_equal(strlen(taken), 2000);
	free(taken);
}

static void arena_memory_is_zeroed_aligned_and_reusable(void **state)
{
	struct arena arena;

	(void)state;
	arena_init(&arena);
	for (size_t n = 1; n < 5000; n += 37) {
		unsigned char *memory = arena_alloc(&arena, n);

		assert_int_equal((uintptr_t)memory % 16, 0);
		for (size_t i = 0; i < n; i++)
			assert_int_equal(memory[i], 0);
		memset(memory, 0xff, n);
	}
	assert_string_equal(arena_printf(&arena, "%d/%s", 3, "x"), "3/x");
	assert_string_equal(arena_strndup(&arena, "abcdef", 3), "abc");
	arena_reset(&arena);
	assert_int_equal(*(unsigned char *)arena_alloc(&arena, 1), 0);
	arena_fini(&arena);
}

static void list_keeps_order_and_survives_removal_while_walking(void **state)
{
	struct item {
		struct list link;
		int value;
	} items[5];
	struct list head;
	int seen = 0;

	(void)state;
	list_init(&head);
	for (int i = 0; i < 5; i++) {
		items[i].value = i;
		list_init(&items[i].link);
		list_append(&head, &items[i].link);
	}
	list_each (at, &head) {
		struct item *item = list_entry(at, struct item, link);

		assert_int_equal(item->value, seen++);
		if (item->value % 2 == 0)
			list_remove(at);
	}
	list_remove(&items[0].link); /* twice is harmless */
	assert_int_equal(list_entry(head.next, struct item, link)->value, 1);
	assert_int_equal(list_entry(head.prev, struct item, link)->value, 3);
}

static const char *hex_of(const char *text, size_t n, char out[DIGEST_HEX_BYTES])
{
	struct digest digest;
	uint8_t bytes[DIGEST_BYTES];

	digest_init(&digest);
	digest_add(&digest, text, n);
	digest_end(&digest, bytes);
	return digest_hex(bytes, out);
}

static void digest_agrees_with_fips_vectors(void **state)
{
	char hex[DIGEST_HEX_BYTES];
	static const char two_blocks[] = "abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq";

	(void)state;
	for (int extensions = 0; extensions < 2; extensions++) {
		digest_use_extensions(extensions);
		assert_string_equal(hex_of("", 0, hex),
				    "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
		assert_string_equal(hex_of("abc", 3, hex),
				    "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
		assert_string_equal(hex_of(two_blocks, sizeof two_blocks - 1, hex),
				    "248d6a61d20638b8e5c026930c3e6039a33ce45964ff2167f6ecedd419db06c1");
	}
}

static void digest_does_not_depend_on_how_bytes_come(void **state)
{
	enum { BYTES = 1000 };
	uint8_t bytes[BYTES], whole[DIGEST_BYTES], plain[DIGEST_BYTES], pieces[DIGEST_BYTES];
	struct rng rng = rng_seeded(1);
	struct digest digest;

	(void)state;
	for (size_t i = 0; i < BYTES; i++)
		bytes[i] = (uint8_t)rng_next(&rng);
	for (size_t n = 0; n < BYTES; n += 7) {
		digest_use_extensions(1);
		digest_init(&digest);
		digest_add(&digest, bytes, n);
		digest_end(&digest, whole);
		digest_init(&digest);
		for (size_t at = 0; at < n;) {
			size_t part = 1 + rng_below(&rng, n - at);

			digest_add(&digest, bytes + at, part);
			at += part;
		}
		digest_end(&digest, pieces);
		digest_use_extensions(0);
		digest_init(&digest);
		digest_add(&digest, bytes, n);
		digest_end(&digest, plain);
		assert_memory_equal(whole, pieces, DIGEST_BYTES);
		assert_memory_equal(whole, plain, DIGEST_BYTES);
	}
	digest_use_extensions(1);
}

static void clock_writes_rfc3339(void **state)
{
	char text[CLOCK_RFC3339_BYTES];

	(void)state;
	assert_string_equal(clock_rfc3339(0, text), "1970-01-01T00:00:00.000Z");
	assert_string_equal(clock_rfc3339(1774746000125, text), "2026-03-29T01:00:00.125Z");
	assert_string_equal(clock_rfc3339(-1, text), "1969-12-31T23:59:59.999Z");
	assert_string_equal(clock_rfc3339(951782400000 - 1, text), "2000-02-28T23:59:59.999Z");
	assert_string_equal(clock_rfc3339(253402300799999, text), "9999-12-31T23:59:59.999Z");
	assert_string_equal(clock_rfc3339(253402300800000, text), "253402300800000");
	assert_string_equal(clock_rfc3339(INT64_MIN, text), "-9223372036854775808");
}

static void clock_writes_spans_for_people(void **state)
{
	char text[CLOCK_SPAN_BYTES];

	(void)state;
	assert_string_equal(clock_span(340, text), "340ms");
	assert_string_equal(clock_span(12440, text), "12.4s");
	assert_string_equal(clock_span(187000, text), "3m07s");
	assert_string_equal(clock_span(7500000, text), "2h05m");
	assert_string_equal(clock_span((3 * 24 + 4) * INT64_C(3600000), text), "3d04h");
}

static void machine_knows_its_moves(void **state)
{
	static const struct machine_state table[] = { { "off", TO(1) },
						      { "on", TO(0) | TO(2) },
						      { "gone", 0 } };

	(void)state;
	assert_true(machine_allows(table, 0, 1));
	assert_false(machine_allows(table, 0, 2));
	assert_true(machine_ended(table, 2));
	assert_int_equal(machine_find(table, 3, "on"), 1);
	assert_int_equal(machine_find(table, 3, "elsewhere"), -1);
}

static void log_escapes_what_comes_from_outside(void **state)
{
	char path[] = "/tmp/stoker-log-XXXXXX";
	int fd = mkstemp(path);
	char line[512] = "";

	(void)state;
	assert_true(fd >= 0);
	assert_int_equal(log_open(path, LOG_INFO, false), 0);
	log_debug("not.written", NUMBER("n", 1));
	log_info("attempt.exited", TEXT("run", "digits/3"), NUMBER("exit_code", 137),
		 TEXT("err", "a \"b\"\n\x1b[31m"));
	log_close();
	assert_true(read(fd, line, sizeof line - 1) > 0);
	close(fd);
	unlink(path);
	assert_non_null(strstr(line, "level=info event=attempt.exited run=digits/3 exit_code=137 "
				     "err=\"a \\\"b\\\"\\n\\u001b[31m\"\n"));
	assert_null(strstr(line, "not.written"));
}

/* Up to an empty pipe. */
static void read_on(int fd, struct buf *out)
{
	char bytes[8192];
	ssize_t n;

	while ((n = read(fd, bytes, sizeof bytes)) > 0)
		buf_append(out, bytes, (size_t)n);
}

static size_t count_lines(const struct buf *text)
{
	size_t lines = 0;

	for (size_t i = 0; i < text->bytes; i++)
		lines += text->data[i] == '\n';
	return lines;
}

/* A reader that has stopped, and goes on later. */
static void log_waits_for_nobody_and_tells_what_it_left_out(void **state)
{
	enum { LINES = 40000 };
	autobuf struct buf text = { 0 };
	int ends[2], kept = dup(STDERR_FILENO);
	size_t told;
	unsigned dropped = 0;
	const char *line;

	(void)state;
	assert_int_equal(pipe2(ends, O_CLOEXEC), 0);
	fcntl(ends[0], F_SETFL, O_NONBLOCK);
	fcntl(ends[1], F_SETPIPE_SZ, 4096);
	dup2(ends[1], STDERR_FILENO);
	assert_int_equal(log_open(NULL, LOG_INFO, false), 0);
	for (int i = 0; i < LINES; i++)
		log_info("line.written", NUMBER("n", i));
	for (int i = 0; i < 1000; i++) {
		read_on(ends[0], &text);
		log_flush();
	}
	read_on(ends[0], &text);
	log_info("line.written", NUMBER("n", LINES));
	log_close();
	read_on(ends[0], &text);
	told = count_lines(&text);
	dup2(kept, STDERR_FILENO);
	close(kept);
	close(ends[0]);
	close(ends[1]);

	line = strstr(buf_text(&text), "level=warn event=log.dropped lines=");
	assert_non_null(line);
	assert_int_equal(sscanf(line, "level=warn event=log.dropped lines=%u\n", &dropped), 1);
	assert_int_equal(told + dropped, LINES + 2);
	assert_in_range(dropped, 1, LINES - 1);
	line = buf_text(&text);
	for (size_t i = 0; i < told - 2; i++, line = strchr(line, '\n') + 1) {
		int n = -1;

		assert_int_equal(sscanf(line, "ts=%*s level=info event=line.written n=%d\n", &n), 1);
		assert_int_equal(n, i);
	}
	assert_non_null(strstr(line, "n=40000\n"));
}

static void log_of_a_reader_that_has_gone_is_no_error(void **state)
{
	int ends[2], kept = dup(STDERR_FILENO);

	(void)state;
	signal(SIGPIPE, SIG_IGN);
	assert_int_equal(pipe2(ends, O_CLOEXEC), 0);
	dup2(ends[1], STDERR_FILENO);
	close(ends[1]);
	assert_int_equal(log_open(NULL, LOG_INFO, false), 0);
	assert_false(fcntl(STDERR_FILENO, F_GETFL) & O_NONBLOCK); /* children have it too */
	close(ends[0]);
	log_warn("line.written", NUMBER("n", 1));
	log_close();
	dup2(kept, STDERR_FILENO);
	close(kept);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(err_from_errno_keeps_code_and_cause),
		cmocka_unit_test(err_wrap_never_overflows),
		cmocka_unit_test(buf_stops_at_its_limit_and_says_so),
		cmocka_unit_test(buf_consumes_from_the_front),
		cmocka_unit_test(buf_printf_takes_long_texts),
		cmocka_unit_test(arena_memory_is_zeroed_aligned_and_reusable),
		cmocka_unit_test(list_keeps_order_and_survives_removal_while_walking),
		cmocka_unit_test(digest_agrees_with_fips_vectors),
		cmocka_unit_test(digest_does_not_depend_on_how_bytes_come),
		cmocka_unit_test(clock_writes_rfc3339),
		cmocka_unit_test(clock_writes_spans_for_people),
		cmocka_unit_test(machine_knows_its_moves),
		cmocka_unit_test(log_escapes_what_comes_from_outside),
		cmocka_unit_test(log_waits_for_nobody_and_tells_what_it_left_out),
		cmocka_unit_test(log_of_a_reader_that_has_gone_is_no_error),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
