#include "scheduler/listing.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "common/clock.h"
#include "common/scope.h"
#include "scheduler/moment.h"

enum { METRIC_NUMBERS_MAX = 3 };

const struct table_column listing_run_columns[LISTING_RUN_COLUMNS] = {
	{ "RUN" }, { "STATE" }, { "STARTED" }, { "TOOK", .right = true }, { "TRIGGER" }, { "BY" },
};

const char *listing_text(const json_t *object, const char *key)
{
	const char *text = json_string_value(json_object_get(object, key));

	return text == NULL ? "" : text;
}

int64_t listing_number(const json_t *object, const char *key)
{
	return json_integer_value(json_object_get(object, key));
}

int64_t listing_time(const json_t *object, const char *key)
{
	return moment_parse(json_string_value(json_object_get(object, key)));
}

void listing_print_json(const json_t *value)
{
	json_dumpf(value, stdout, JSON_INDENT(2));
	putchar('\n');
}

static void append_number(struct buf *out, const json_t *value)
{
	if (json_is_integer(value))
		buf_printf(out, "%" JSON_INTEGER_FORMAT, json_integer_value(value));
	else
		buf_printf(out, "%.4g", json_real_value(value));
}

void listing_append_metric(struct buf *out, json_t *metric)
{
	const char *key;
	json_t *value;
	int count = 0;

	json_object_foreach(metric, key, value)
	{
		if (!json_is_number(value) || count == METRIC_NUMBERS_MAX)
			continue;
		buf_printf(out, "%s%s ", count++ == 0 ? "" : "  ", key);
		append_number(out, value);
	}
}

void listing_append_bytes(struct buf *out, int64_t bytes)
{
	static const char *const units[] = { "B", "KiB", "MiB", "GiB", "TiB", "PiB", "EiB" };
	double amount = (double)bytes;
	size_t unit = 0;

	for (; amount >= 1024 && unit + 1 < COUNT_OF(units); unit++)
		amount /= 1024;
	if (unit == 0)
		buf_printf(out, "%" PRId64 " B", bytes);
	else
		buf_printf(out, "%.*f %s", amount < 10 ? 1 : 0, amount, units[unit]);
}

const char *listing_run_state(const json_t *run)
{
	return json_is_true(json_object_get(run, "orphaned")) ? "orphaned" : listing_text(run, "state");
}

void listing_add_state(struct table *table, const char *state)
{
	table_text(table, terminal_style_of(state), state);
}

void listing_add_took(struct table *table, const json_t *object, int64_t now_wall_ms)
{
	int64_t started_ms = listing_time(object, "started"), ended_ms = listing_time(object, "ended");
	char span[CLOCK_SPAN_BYTES];

	if (started_ms == 0)
		table_text(table, TERMINAL_PLAIN, "-");
	else
		table_text(table, TERMINAL_PLAIN,
			   clock_span((ended_ms == 0 ? now_wall_ms : ended_ms) - started_ms, span));
}

void listing_add_when(struct table *table, int64_t wall_ms, int64_t now_wall_ms)
{
	char text[MOMENT_BYTES];

	table_text(table, TERMINAL_PLAIN, moment_ago(wall_ms, now_wall_ms, text));
}

void listing_add_run(struct table *table, const json_t *run, int64_t now_wall_ms)
{
	int64_t started_ms = listing_time(run, "started");

	table_text(table, TERMINAL_PLAIN, listing_text(run, "run"));
	listing_add_state(table, listing_run_state(run));
	listing_add_when(table, started_ms == 0 ? listing_time(run, "created") : started_ms, now_wall_ms);
	listing_add_took(table, run, now_wall_ms);
	table_text(table, TERMINAL_PLAIN, listing_text(run, "trigger"));
	table_text(table, TERMINAL_PLAIN, listing_text(run, "actor"));
}
