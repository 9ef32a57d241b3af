#include "scheduler/settings_retention.h"

#include <string.h>

#include "common/scope.h"
#include "dag/value.h"
#include "scheduler/retention.h"

#define HOUR_MS (INT64_C(3600) * 1000)
#define AGE_MAX_MS (INT64_C(36500) * 24 * HOUR_MS)

enum { COUNT_MAX = 1000000 };

/* A duration, or `never`. */
static void read_age(struct spec *spec, const struct field *field, const struct node *value, void *member)
{
	if (value->kind == NODE_SCALAR && strcmp(value->text, "never") == 0)
		*(int64_t *)member = 0;
	else
		value_duration(spec, field, value, member);
}

#define AGE(key, type, at) { key, read_age, AT(type, at), .example = "90d", .min = HOUR_MS, .max = AGE_MAX_MS }

static const struct field runs_fields[] = {
	AGE("age", struct retention, runs.age_ms),
	{ "keep", value_int, AT(struct retention, runs.keep), .example = "100", .min = 1, .max = COUNT_MAX },
	{ "most", value_int, AT(struct retention, runs_most), .example = "10000", .min = 1, .max = COUNT_MAX },
};

static const struct field rule_fields[] = {
	AGE("age", struct retention_rule, age_ms),
	{ "keep", value_int, AT(struct retention_rule, keep), .example = "20", .min = 0, .max = COUNT_MAX },
};

static const struct field_level runs_level = { "'runs'", runs_fields, COUNT_OF(runs_fields) };
static const struct field_level rule_level = { "a rule of 'retention'", rule_fields, COUNT_OF(rule_fields) };

/* `most` below `keep` would leave open which of the two is meant. */
static void read_runs(struct spec *spec, const struct field *field, const struct node *value, void *member)
{
	struct retention *retention = member;

	if (!value_is_map(spec, field->key, value, field->example))
		return;
	field_read_map(spec, &runs_level, value, retention);
	if (retention->runs_most < retention->runs.keep && node_get(value, "keep") == NULL)
		retention->runs.keep = retention->runs_most;
	if (retention->runs_most < retention->runs.keep && node_get(value, "most") == NULL)
		retention->runs_most = retention->runs.keep;
	if (retention->runs_most < retention->runs.keep) {
		field_error(spec, value, "'most' (%d) is less than 'keep' (%d)", retention->runs_most,
			    retention->runs.keep);
		field_remedy(spec, "'keep' runs of a DAG stay whatever their age, no more than 'most' of them do");
	}
}

static void read_rule(struct spec *spec, const struct field *field, const struct node *value, void *member)
{
	if (value_is_map(spec, field->key, value, field->example))
		field_read_map(spec, &rule_level, value, member);
}

static const struct field retention_fields[] = {
	{ "runs", read_runs, 0, .example = "{age: 365d, keep: 100, most: 10000}" },
	{ "logs", read_rule, AT(struct retention, logs), .example = "{age: 90d, keep: 20}" },
	AGE("metrics", struct retention, metrics_age_ms),
	AGE("events", struct retention, events_age_ms),
	AGE("backups", struct retention, backups_age_ms),
	{ "fetched", value_size, AT(struct retention, fetched_bytes), .example = "4G" },
	{ "copies", value_size, AT(struct retention, copies_bytes), .example = "20G" },
};

const struct field_level settings_retention_level = { "'retention'", retention_fields,
						       COUNT_OF(retention_fields) };

void settings_read_retention(struct spec *spec, const struct field *field, const struct node *value,
			     void *member)
{
	if (value_is_map(spec, field->key, value, field->example))
		field_read_map(spec, &settings_retention_level, value, member);
}
