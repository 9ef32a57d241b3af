#include <string.h>
#include <unistd.h>

#include "common/clock.h"
#include "common/scope.h"
#include "scheduler/command.h"
#include "scheduler/listing.h"
#include "scheduler/view.h"

enum { NAMES_MAX = 3 };

/* "digits/3 train (2h10m), digits/4 fit (8m02s, with 7 like it) and 3 more" */
static void append_list(struct buf *out, const json_t *list, int64_t now_wall_ms)
{
	char span[CLOCK_SPAN_BYTES];

	for (size_t i = 0; i < json_array_size(list) && i < NAMES_MAX; i++) {
		const json_t *item = json_array_get(list, i);

		buf_printf(out, "%s%s %s (%s", i == 0 ? "" : ", ", listing_text(item, "run"),
			   listing_text(item, "task"), clock_span(now_wall_ms - listing_time(item, "since"), span));
		if (listing_number(item, "count") > 1)
			buf_printf(out, ", with %d like it", (int)listing_number(item, "count") - 1);
		buf_append_text(out, ")");
	}
	if (json_array_size(list) > NAMES_MAX)
		buf_printf(out, " and %zu more", json_array_size(list) - NAMES_MAX);
}

static void add_used(struct table *table, const json_t *pool)
{
	int64_t slots = listing_number(pool, "slots"), used = listing_number(pool, "used");

	if (json_is_null(json_object_get(pool, "slots")))
		table_printf(table, TERMINAL_RED, "%d of none", (int)used);
	else
		table_printf(table, used >= slots ? TERMINAL_YELLOW : TERMINAL_PLAIN, "%d of %d", (int)used,
			     (int)slots);
}

static void add_list(struct table *table, const json_t *list, int64_t now_wall_ms)
{
	autobuf struct buf text = { 0 };

	append_list(&text, list, now_wall_ms);
	table_text(table, TERMINAL_PLAIN, buf_text(&text));
}

static void print_table(const json_t *answer)
{
	static const struct table_column columns[] = { { "POOL", false },    { "USED", true },
						       { "WAITING", true },  { "HELD BY", false },
						       { "NEXT", false } };
	json_t *pools = json_object_get(answer, "pools"), *pool;
	int64_t now_wall_ms = clock_wall_ms();
	autotable struct table table;
	size_t i;

	table_init(&table, columns, COUNT_OF(columns));
	json_array_foreach(pools, i, pool) {
		table_text(&table, TERMINAL_BOLD, listing_text(pool, "pool"));
		add_used(&table, pool);
		table_printf(&table, TERMINAL_PLAIN, "%d", (int)listing_number(pool, "waiting"));
		add_list(&table, json_object_get(pool, "holders"), now_wall_ms);
		add_list(&table, json_object_get(pool, "next"), now_wall_ms);
	}
	table_print(&table, stdout);
}

static int pools(int argc, char **argv)
{
	static const struct option options[] = { { "config", required_argument, NULL, 'C' },
						 { "json", no_argument, NULL, 'j' },
						 { NULL, 0, NULL, 0 } };
	autosettings struct settings *settings = NULL;
	autojson json_t *answer = NULL;
	autostore struct store *store = NULL;
	const char *config = NULL;
	bool json = false;
	struct err err;
	int option, rc;

	while ((option = command_option(&command_pools, argc, argv, "", options)) != -1) {
		if (option == '?')
			return COMMAND_USAGE;
		if (option == 'C')
			config = optarg;
		else
			json = true;
	}
	if (optind < argc)
		return command_usage(&command_pools, "it takes no arguments");
	if (command_load_settings(config, &settings) != 0)
		return COMMAND_USAGE;
	rc = command_open_reader(&store, &err);
	if (rc == ERR_NOT_FOUND)
		answer = view_pools_unused(settings);
	else if (rc < 0 || view_pools(store, settings, &answer, &err) < 0)
		return command_fail(&err);
	if (json)
		listing_print_json(answer);
	else
		print_table(answer);
	return command_end_output();
}

const struct command command_pools = {
	.name = "pools",
	.synopsis = "[--json] [--config FILE]",
	.summary = "the pools: how many slots, who holds them, who waits",
	.help = "Lists the pools of stoker.yaml with the steps that hold their slots, the longest holder\n"
		"first, and those that wait for one, in the order in which they go.\n"
		"\n"
		"      --json          for scripts\n"
		"      --config FILE   the settings, in place of the usual stoker.yaml\n",
	.main = pools,
};
