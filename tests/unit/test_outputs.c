#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/mem.h"
#include "executor/agent/metrics.h"
#include "executor/agent/outputs.h"
#include "executor/protocol.h"

/* "key=value;" of each output and "!" of each note. */
static char *told(struct buf *journal)
{
	struct buf text = { 0 };
	struct arena arena;
	struct frame frame;
	size_t at = 0;

	arena_init(&arena);
	for (;
	     at < journal->bytes && protocol_next(journal->data + at, journal->bytes - at, &frame, NULL) == 1;
	     at += frame.whole_bytes) {
		struct record_output output;
		struct record_metric metric;

		if (frame.type == RECORD_OUTPUT && protocol_get_output(&frame, &arena, &output) == 0)
			buf_printf(&text, "%s=%s;", output.key, output.value);
		else if (frame.type == RECORD_METRIC && protocol_get_metric(&frame, &arena, &metric) == 0)
			buf_printf(&text, "%s;", metric.json);
		else
			buf_append_byte(&text, '!');
	}
	arena_fini(&arena);
	buf_fini(journal);
	return buf_take(&text);
}

static void expect(const char *text, size_t n, const char *expected)
{
	char *copy = mem_alloc(n + 1), *got;
	struct buf journal = { 0 };

	memcpy(copy, text, n);
	copy[n] = '\0';
	outputs_parse(copy, n, &journal);
	got = told(&journal);
	assert_string_equal(got, expected);
	free(got);
	free(copy);
}

static void the_last_line_of_a_key_counts(void **state)
{
	(void)state;
	expect("", 0, "");
	expect("a=1", 3, "a=1;");
	expect("a=1\nb=2\na=3\n", 12, "a=3;b=2;");
	expect("a=\n\n_x.y-z=a=b\r\n", 16, "a=;_x.y-z=a=b;");
}

static void bad_lines_are_told_and_left_out(void **state)
{
	(void)state;
	expect("nothing\n1a=x\na b=x\n=x\na=\0\nok=1\n", 31, "!!!!!ok=1;");
	expect("x\nx\nx\nx\nx\nx\nx\nok=1\n", 19, "!!!!!ok=1;!");
}

static void limits_hold(void **state)
{
	struct buf text = { 0 };
	char *value = mem_zalloc(OUTPUTS_VALUE_MAX + 2), *got;
	struct buf journal = { 0 };
	size_t outputs = 0;

	(void)state;
	memset(value, 'v', OUTPUTS_VALUE_MAX);
	buf_printf(&text, "fits=%s\n", value);
	value[OUTPUTS_VALUE_MAX] = 'v';
	buf_printf(&text, "big=%s\n", value);
	for (int i = 0; i < OUTPUTS_MAX + 3; i++)
		buf_printf(&text, "k%d=1\n", i);
	outputs_parse((char *)text.data, text.bytes, &journal);
	got = told(&journal);
	for (const char *at = got; *at != '\0'; at++)
		outputs += *at == ';';
	assert_int_equal(outputs, OUTPUTS_MAX);
	assert_null(strstr(got, "big="));
	free(got);
	free(value);
	buf_fini(&text);
}

static uint64_t feed(struct metrics *metrics, const char *text, int64_t now_ms, struct buf *journal)
{
	return metrics_feed(metrics, (const uint8_t *)text, strlen(text), now_ms, journal);
}

static void metric_lines_may_come_in_pieces(void **state)
{
	struct metrics metrics;
	struct buf journal = { 0 };
	char *got;

	(void)state;
	metrics_open(&metrics, -1, 0);
	assert_int_equal(feed(&metrics, "{\"a\":", 0, &journal), 0);
	assert_int_equal(feed(&metrics, "1}\n {\"b\":2} \nno\n\n[1]\n{", 0, &journal), 5);
	assert_int_equal(metrics.malformed, 2);
	got = told(&journal);
	assert_string_equal(got, "{\"a\":1}; {\"b\":2} ;");
	free(got);
	metrics_close(&metrics);
}

static void many_metrics_are_thinned_and_the_newest_arrives(void **state)
{
	struct metrics metrics;
	struct buf journal = { 0 };
	size_t lines = 0;
	char line[32], *got;

	(void)state;
	metrics_open(&metrics, -1, 0);
	for (int i = 0; i < 3000; i++) {
		snprintf(line, sizeof line, "{\"i\":%d}\n", i);
		feed(&metrics, line, 0, &journal);
	}
	assert_int_equal(metrics.thinned, 3000 - METRICS_BURST - 1);
	feed(&metrics, "", 1000, &journal); /* a second later the newest has its turn */
	got = told(&journal);
	for (const char *at = got; *at != '\0'; at++)
		lines += *at == ';';
	assert_int_equal(lines, METRICS_BURST + 1);
	assert_string_equal(got + strlen(got) - 11, "{\"i\":2999};");
	free(got);
	metrics_close(&metrics);
}

static void a_metric_line_has_a_limit(void **state)
{
	struct metrics metrics;
	struct buf journal = { 0 };
	char *long_line = mem_zalloc(METRICS_LINE_MAX + 10), *got;

	(void)state;
	memset(long_line, 'x', METRICS_LINE_MAX + 2);
	long_line[0] = '{';
	long_line[METRICS_LINE_MAX + 1] = '}';
	metrics_open(&metrics, -1, 0);
	feed(&metrics, long_line, 0, &journal);
	feed(&metrics, "more}\n{\"b\":1}\n", 0, &journal);
	assert_int_equal(metrics.malformed, 1);
	got = told(&journal);
	assert_string_equal(got, "{\"b\":1};");
	free(got);
	free(long_line);
	metrics_close(&metrics);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_last_line_of_a_key_counts),
		cmocka_unit_test(bad_lines_are_told_and_left_out),
		cmocka_unit_test(limits_hold),
		cmocka_unit_test(metric_lines_may_come_in_pieces),
		cmocka_unit_test(many_metrics_are_thinned_and_the_newest_arrives),
		cmocka_unit_test(a_metric_line_has_a_limit),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
