#include "dag/document.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <cmocka.h>

#include "common/buf.h"
#include "common/err.h"
#include "common/scope.h"

struct fixture {
	struct arena texts;
	struct document document;
	struct diagnostics diagnostics;
	int rc;
};

static void setup(struct fixture *fixture, const char *text)
{
	arena_init(&fixture->texts);
	diagnostics_init(&fixture->diagnostics);
	fixture->rc = document_parse(&fixture->document, &fixture->texts, "x.yaml", text, strlen(text),
				     &fixture->diagnostics);
}

static void teardown(struct fixture *fixture)
{
	document_fini(&fixture->document);
	diagnostics_fini(&fixture->diagnostics);
	arena_fini(&fixture->texts);
}

static const struct node *root_of(struct fixture *fixture)
{
	if (fixture->rc < 0 || fixture->diagnostics.errors > 0)
		fail_msg("%s", fixture->diagnostics.items[0].message);
	return fixture->document.root;
}

static void assert_text(const struct node *node, const char *text)
{
	assert_non_null(node);
	assert_int_equal(node->kind, NODE_SCALAR);
	assert_string_equal(node->text, text);
	assert_int_equal(node->count, strlen(text));
}

static void assert_at(const struct node *node, uint32_t line, uint32_t column)
{
	assert_non_null(node);
	assert_int_equal(node->at.line, line);
	assert_int_equal(node->at.column, column);
}

/* That the text gives one error at a place, whose message holds `words`. */
static void assert_error(const char *text, uint32_t line, uint32_t column, const char *words)
{
	struct fixture fixture;
	const struct diagnostic *item;

	setup(&fixture, text);
	assert_int_equal(fixture.diagnostics.errors, 1);
	item = &fixture.diagnostics.items[0];
	if (strstr(item->message, words) == NULL)
		fail_msg("'%s' does not hold '%s'", item->message, words);
	assert_int_equal(item->at.line, line);
	assert_int_equal(item->at.column, column);
	teardown(&fixture);
}

static void each_node_knows_where_it_stands(void **state)
{
	struct fixture fixture;
	const struct node *root;

	(void)state;
	setup(&fixture, "a: 1\nb:\n  - x\n  - {c: \"y z\"}\n");
	root = root_of(&fixture);
	assert_at(root, 1, 1);
	assert_at(node_get(root, "a"), 1, 4);
	assert_at(node_get(root, "b")->items[0], 3, 5);
	assert_at(node_get(node_get(root, "b")->items[1], "c"), 4, 9);
	assert_int_equal(node_width(node_get(node_get(root, "b")->items[1], "c")), 5);
	teardown(&fixture);
}

static void columns_count_characters_not_bytes(void **state)
{
	struct fixture fixture;

	(void)state;
	setup(&fixture, "{\xc3\xa4\xe6\x97\xa5: x, b: y}\n");
	assert_at(node_get(root_of(&fixture), "b"), 1, 12);
	teardown(&fixture);
}

static void scalars_keep_their_text_and_whether_they_were_plain(void **state)
{
	struct fixture fixture;
	const struct node *root;

	(void)state;
	setup(&fixture, "a: 1.10\nb: '1.10'\nc: |\n  two\n  lines\nd: no\ne: 012\n");
	root = root_of(&fixture);
	assert_text(node_get(root, "a"), "1.10");
	assert_true(node_get(root, "a")->plain);
	assert_text(node_get(root, "b"), "1.10");
	assert_false(node_get(root, "b")->plain);
	assert_text(node_get(root, "c"), "two\nlines\n");
	assert_text(node_get(root, "d"), "no");
	assert_text(node_get(root, "e"), "012");
	teardown(&fixture);
}

static void missing_value_stands_at_its_key(void **state)
{
	struct fixture fixture;
	const struct node *root;

	(void)state;
	setup(&fixture, "a:\n  b:\n  c: 1\n");
	root = root_of(&fixture);
	assert_true(node_is_null(node_get(node_get(root, "a"), "b")));
	assert_at(node_get(node_get(root, "a"), "b"), 2, 3);
	teardown(&fixture);
}

static void alias_is_the_node_it_names(void **state)
{
	struct fixture fixture;
	const struct node *root;

	(void)state;
	setup(&fixture, "a: &x {k: v}\nb: *x\nc: [*x, *x]\n");
	root = root_of(&fixture);
	assert_ptr_equal(node_get(root, "a"), node_get(root, "b"));
	assert_ptr_equal(node_get(root, "a"), node_get(root, "c")->items[1]);
	teardown(&fixture);
}

static void later_anchor_of_a_name_takes_over(void **state)
{
	struct fixture fixture;
	const struct node *root;

	(void)state;
	setup(&fixture, "[&x a, *x, &x b, *x]");
	root = root_of(&fixture);
	assert_text(root->items[1], "a");
	assert_text(root->items[3], "b");
	teardown(&fixture);
}

static void merge_keeps_own_keys_and_earlier_maps_win(void **state)
{
	struct fixture fixture;
	const struct node *map;

	(void)state;
	setup(&fixture, "- &a {x: 1, y: 1}\n- &b {y: 2, z: 2}\n- {z: 3, <<: [*a, *b], w: 3}\n");
	map = root_of(&fixture)->items[2];
	assert_int_equal(map->count, 4);
	assert_text(node_get(map, "z"), "3");
	assert_text(node_get(map, "w"), "3");
	assert_text(node_get(map, "x"), "1");
	assert_text(node_get(map, "y"), "1");
	assert_string_equal(map->entries[0].key->text, "z");
	teardown(&fixture);
}

static void quoted_merge_key_is_a_key_like_any_other(void **state)
{
	struct fixture fixture;

	(void)state;
	setup(&fixture, "'<<': x\n");
	assert_text(node_get(root_of(&fixture), "<<"), "x");
	teardown(&fixture);
}

static void duplicate_keys_are_found_in_small_and_large_maps(void **state)
{
	autobuf struct buf large = { 0 };

	(void)state;
	assert_error("a: 1\nb: 2\na: 3\n", 3, 1, "duplicate key 'a'");
	for (int i = 0; i < 100; i++)
		buf_printf(&large, "k%d: 1\n", i);
	buf_append_text(&large, "k50: 2\n");
	assert_error(buf_text(&large), 101, 1, "duplicate key 'k50'");
}

static void several_mistakes_are_reported_together(void **state)
{
	struct fixture fixture;

	(void)state;
	setup(&fixture, "a: 1\na: 2\nb: !x 1\nb: 2\n<<: 3\n[q]: 4\n");
	assert_int_equal(fixture.rc, 0);
	assert_int_equal(fixture.diagnostics.errors, 5);
	assert_non_null(fixture.document.root);
	teardown(&fixture);
}

static void broken_yaml_is_explained(void **state)
{
	(void)state;
	assert_error("a:\n\tb: 1\n", 2, 1, "a tab is used");
	assert_error("a: 1\n b: 2\n", 2, 3, "makes a key where none can be");
	assert_error("a: \"x\n", 1, 4, "never closed");
	assert_error("a: [1, 2\n", 1, 9, "expected ',' or ']'");
	assert_error("cron: * * * * *\n", 1, 7, "begins with '*'");
	assert_error("a: *nope\n", 1, 4, "names no anchor");
	assert_error("a: &a [*a]\n", 1, 8, "inside the value it names");
	assert_error("a: @x\n", 1, 4, "cannot begin with");
	assert_error("a: 1\n---\nb: 1\n", 2, 1, "a second begins");
	assert_error("[a] b\n", 1, 5, "stands outside");
	assert_error("a: b: c\n", 1, 5, "makes a key");
	assert_error("a: \"\\d\"\n", 1, 5, "unknown escape");
}

static void end_mark_and_comments_may_follow(void **state)
{
	struct fixture fixture;

	(void)state;
	setup(&fixture, "\xef\xbb\xbf---\na: 1\n...\n# the end\n\n...\n");
	assert_at(node_get(root_of(&fixture), "a"), 2, 4);
	teardown(&fixture);
}

static void what_is_no_text_is_refused_with_its_place(void **state)
{
	(void)state;
	assert_error("a: x\nb: \xff\n", 2, 4, "byte 0xff is no valid UTF-8");
	assert_error("a: \x1b[1m\n", 1, 4, "U+001B");
	assert_error("a: \"\\0\"\n", 1, 4, "no NUL character");
}

static char *repeat(const char *before, const char *part, size_t times)
{
	struct buf text = { 0 };

	buf_append_text(&text, before);
	for (size_t i = 0; i < times; i++)
		buf_append_text(&text, part);
	return buf_take(&text);
}

static void nesting_is_refused_at_the_limit_at_once(void **state)
{
	autofree char *flow = repeat("", "[", 200000), *maps = repeat("", "{a: ", 100000);
	autofree char *allowed = repeat("", "[", DAG_DEPTH_MAX);
	struct timespec before, after;

	(void)state;
	clock_gettime(CLOCK_MONOTONIC, &before);
	assert_error(flow, 1, DAG_DEPTH_MAX + 1, "nested deeper than 64 levels");
	assert_error(maps, 1, 4 * DAG_DEPTH_MAX + 1, "nested deeper than 64 levels");
	clock_gettime(CLOCK_MONOTONIC, &after);
	assert_true(after.tv_sec - before.tv_sec < 5); /* Milliseconds; libyaml alone takes minutes. */
	assert_error(allowed, 1, DAG_DEPTH_MAX + 1, "expected a value");
}

static void depth_counts_through_aliases(void **state)
{
	autobuf struct buf text = { 0 };

	(void)state;
	buf_append_text(&text, "[&a0 [x]");
	for (int i = 1; i < 80; i++)
		buf_printf(&text, ", &a%d [*a%d]", i, i - 1);
	buf_append_text(&text, "]");
	assert_error(buf_text(&text), 1, (uint32_t)(strstr(buf_text(&text), "*a62") - buf_text(&text)) + 1,
		     "nested deeper than 64 levels");
}

static void billion_laughs_are_refused_as_events_come(void **state)
{
	autobuf struct buf text = { 0 };

	(void)state;
	buf_append_text(&text, "a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n");
	for (int i = 1; i < 10; i++) {
		buf_printf(&text, "a%d: &a%d [", i, i);
		for (int j = 0; j < 10; j++)
			buf_printf(&text, "%s*a%d", j == 0 ? "" : ", ", i - 1);
		buf_append_text(&text, "]\n");
	}
	assert_error(buf_text(&text), 6, 10, "aliases and merges make more than 200000 values");
}

static void merges_are_counted_too(void **state)
{
	autobuf struct buf text = { 0 };

	(void)state;
	buf_append_text(&text, "- &m {");
	for (int i = 0; i < 1000; i++)
		buf_printf(&text, "k%d: 1, ", i);
	buf_append_text(&text, "}\n");
	for (int i = 0; i < 1000; i++)
		buf_append_text(&text, "- {<<: *m}\n");
	assert_error(buf_text(&text), 67, 3, "aliases and merges make more than 200000 values");
}

static void references_are_placed_in_any_style(void **state)
{
	struct fixture fixture;
	const struct node *root;
	struct dag_position at;

	(void)state;
	setup(&fixture, "a: |\n  one\n  x ${{ y }} ${{ z }}\nb: \"q ${{ y }}\"\nc: \"\\x24{{ y }}\"\n");
	root = root_of(&fixture);
	at = node_position(&fixture.document, node_get(root, "a"), "${{", 1);
	assert_int_equal(at.line, 3);
	assert_int_equal(at.column, 14);
	at = node_position(&fixture.document, node_get(root, "b"), "${{", 0);
	assert_int_equal(at.line, 4);
	assert_int_equal(at.column, 7);
	at = node_position(&fixture.document, node_get(root, "c"), "${{", 0);
	assert_int_equal(at.line, 5);
	assert_int_equal(at.column, 4); /* Written with an escape: the scalar's own. */
	teardown(&fixture);
}

static void offsets_in_a_value_become_columns(void **state)
{
	struct fixture fixture;
	const struct node *root;

	(void)state;
	setup(&fixture, "[90x, \"90x\", \"9\\x30x\", |\n  90x]");
	teardown(&fixture);
	setup(&fixture, "[90x, \"90x\", \"9\\x30x\"]");
	root = root_of(&fixture);
	assert_int_equal(node_inside(root->items[0], 2).column, 4);
	assert_int_equal(node_inside(root->items[1], 2).column, 10);
	assert_int_equal(node_inside(root->items[2], 2).column, 14);
	teardown(&fixture);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(each_node_knows_where_it_stands),
		cmocka_unit_test(columns_count_characters_not_bytes),
		cmocka_unit_test(scalars_keep_their_text_and_whether_they_were_plain),
		cmocka_unit_test(missing_value_stands_at_its_key),
		cmocka_unit_test(alias_is_the_node_it_names),
		cmocka_unit_test(later_anchor_of_a_name_takes_over),
		cmocka_unit_test(merge_keeps_own_keys_and_earlier_maps_win),
		cmocka_unit_test(quoted_merge_key_is_a_key_like_any_other),
		cmocka_unit_test(duplicate_keys_are_found_in_small_and_large_maps),
		cmocka_unit_test(several_mistakes_are_reported_together),
		cmocka_unit_test(broken_yaml_is_explained),
		cmocka_unit_test(end_mark_and_comments_may_follow),
		cmocka_unit_test(what_is_no_text_is_refused_with_its_place),
		cmocka_unit_test(nesting_is_refused_at_the_limit_at_once),
		cmocka_unit_test(depth_counts_through_aliases),
		cmocka_unit_test(billion_laughs_are_refused_as_events_come),
		cmocka_unit_test(merges_are_counted_too),
		cmocka_unit_test(references_are_placed_in_any_style),
		cmocka_unit_test(offsets_in_a_value_become_columns),
	};

	return cmocka_run_group_tests_name("document", tests, NULL, NULL);
}
