#include "dag/spec_schedule.h"

#include <stdio.h>
#include <string.h>

#include "common/scope.h"
#include "dag/cron.h"
#include "dag/timezone.h"
#include "dag/value.h"

#define DAY_MS (INT64_C(24) * 3600 * 1000)

const char *const dag_catchup_words[] = { "none", "latest", "all", NULL };
const char *const dag_overlap_words[] = { "skip", "queue", "replace", NULL };
const char *const dag_after_words[] = { "succeeded", "failed", "ended", NULL };

struct draft {
	struct dag_schedule schedule; /* all but its cron line */
	const struct node *cron, *from, *until;
};

/* A number of exactly `digits` digits in [min, max]. */
static bool take_digits(const char **text, int digits, int min, int max, int *out)
{
	int number = 0;

	for (int i = 0; i < digits; i++, (*text)++) {
		if (**text < '0' || **text > '9')
			return false;
		number = number * 10 + (**text - '0');
	}
	*out = number;
	return number >= min && number <= max;
}

static bool take_character(const char **text, char c)
{
	return *(*text)++ == c;
}

static bool take_date(const char **text)
{
	int year, month, day;

	return take_digits(text, 4, 1970, 9999, &year) && take_character(text, '-') &&
	       take_digits(text, 2, 1, 12, &month) && take_character(text, '-') &&
	       take_digits(text, 2, 1, 31, &day) && day <= cron_days_in_month(year, month);
}

/* "T02:30:00Z", "t02:30:00.5+01:00": the rest of RFC 3339, section 5.6. */
static bool take_time(const char **text)
{
	int number;

	if ((*text)[0] != 'T' && (*text)[0] != 't')
		return false;
	(*text)++;
	if (!take_digits(text, 2, 0, 23, &number) || !take_character(text, ':') ||
	    !take_digits(text, 2, 0, 59, &number) || !take_character(text, ':') ||
	    !take_digits(text, 2, 0, 59, &number))
		return false;
	if (**text == '.') {
		size_t digits = strspn(*text + 1, "0123456789");

		if (digits == 0)
			return false;
		*text += 1 + digits;
	}
	if (**text == 'Z' || **text == 'z')
		return take_character(text, **text);
	if (**text != '+' && **text != '-')
		return false;
	(*text)++;
	return take_digits(text, 2, 0, 23, &number) && take_character(text, ':') &&
	       take_digits(text, 2, 0, 59, &number);
}

static const char *read_instant(struct spec *spec, const char *key, const struct node *value)
{
	const char *rest;

	if (value == NULL || !value_is_text(spec, key, value, "a date or a time", "2026-12-01"))
		return NULL;
	rest = value->text;
	if (take_date(&rest) && (*rest == '\0' || (take_time(&rest) && *rest == '\0')))
		return value->text;
	field_error(spec, value, "'%s' must be a date or a time (RFC 3339), found '%.40s'", key, value->text);
	field_remedy(spec, "for example: %s: 2026-12-01, or %s: 2026-12-01T02:30:00Z", key, key);
	return NULL;
}

/* Only where the texts alone tell: two dates, or two times in UTC. */
static bool runs_backwards(const char *from, const char *until)
{
	bool dates = strlen(from) == 10 && strlen(until) == 10;
	bool times = strlen(from) == 20 && strlen(until) == 20 && from[19] == 'Z' && until[19] == 'Z';

	return (dates || times) && strcmp(until, from) < 0;
}

static bool check_cron(struct spec *spec, const struct node *value)
{
	struct cron cron;
	struct err err;
	size_t at;

	if (!value_is_text(spec, "cron", value, "a cron line", "\"30 2 * * *\""))
		return false;
	if (cron_parse(value->text, &cron, &at, &err) < 0) {
		value_error_from(spec, "cron line:", value, at, &err);
		return false;
	}
	if (cron_ever_fires(&cron))
		return true;
	field_error(spec, value, "'cron' never fires: no day of any year matches '%.60s'", value->text);
	return false;
}

static void add_schedule(struct spec *spec, const struct draft *draft, const struct node *cron)
{
	struct dag *dag = spec->dag;

	if (!check_cron(spec, cron))
		return;
	if (dag->schedules_count == SPEC_SCHEDULES_MAX) {
		field_error(spec, cron, "a DAG has at most %d schedules", SPEC_SCHEDULES_MAX);
		return;
	}
	for (size_t i = 0; i < dag->schedules_count; i++) {
		const struct dag_schedule *other = &dag->schedules[i];
		const char *zone = draft->schedule.timezone == NULL ? "" : draft->schedule.timezone;

		if (strcmp(other->cron, cron->text) == 0 &&
		    strcmp(other->timezone == NULL ? "" : other->timezone, zone) == 0) {
			field_error(spec, cron, "the schedule '%.60s' is given twice", cron->text);
			field_remedy(spec, "it was given first in line %u", other->at.line);
			return;
		}
	}
	dag->schedules[dag->schedules_count] = draft->schedule;
	dag->schedules[dag->schedules_count].cron = cron->text;
	dag->schedules[dag->schedules_count++].at = cron->at;
}

static const struct field schedule_fields[] = {
	{ "cron", value_keep, AT(struct draft, cron), .example = "\"30 2 * * *\"" },
	{ "timezone", spec_schedule_read_timezone, AT(struct draft, schedule.timezone), .example = "Europe/Berlin" },
	{ "catchup", value_choice, AT(struct draft, schedule.catchup), .words = dag_catchup_words },
	{ "overlap", value_choice, AT(struct draft, schedule.overlap), .words = dag_overlap_words },
	{ "start_deadline", value_duration, AT(struct draft, schedule.start_deadline_ms), .example = "2h" },
	{ "jitter", value_duration, AT(struct draft, schedule.jitter_ms), .example = "5m", .max = DAY_MS },
	{ "from", value_keep, AT(struct draft, from), .example = "2026-12-01" },
	{ "until", value_keep, AT(struct draft, until), .example = "2027-01-31" },
};

const struct field_level spec_schedule_level = { "'schedule'", schedule_fields, COUNT_OF(schedule_fields) };

static void read_schedule(struct spec *spec, const struct node *value)
{
	struct draft draft = { .schedule = { .catchup = DAG_CATCHUP_LATEST, .overlap = DAG_OVERLAP_SKIP } };

	if (value->kind == NODE_SCALAR) {
		add_schedule(spec, &draft, value);
		return;
	}
	field_read_map(spec, &spec_schedule_level, value, &draft);
	draft.schedule.from = read_instant(spec, "from", draft.from);
	draft.schedule.until = read_instant(spec, "until", draft.until);
	if (draft.schedule.from != NULL && draft.schedule.until != NULL &&
	    runs_backwards(draft.schedule.from, draft.schedule.until))
		field_error(spec, draft.until, "'until' is before 'from': the schedule never fires");
	if (draft.cron == NULL) {
		field_error(spec, value, "a schedule needs 'cron'");
		field_remedy(spec, "for example: cron: \"30 2 * * *\"");
	} else if (draft.cron->kind == NODE_LIST && draft.cron->count > 0) {
		for (size_t i = 0; i < draft.cron->count; i++)
			add_schedule(spec, &draft, draft.cron->items[i]);
	} else {
		add_schedule(spec, &draft, draft.cron);
	}
}

void spec_schedule_read(struct spec *spec, const struct field *field, const struct node *value, void *member)
{
	struct dag *dag = member;

	dag->schedules = arena_alloc(&dag->arena, SPEC_SCHEDULES_MAX * sizeof *dag->schedules);
	if (node_is_null(value)) {
		value_wrong_type(spec, field->key, value, "a cron line, a map, or a list of these",
				 field->example);
		return;
	}
	if (value->kind != NODE_LIST) {
		read_schedule(spec, value);
		return;
	}
	for (size_t i = 0; i < value->count; i++) {
		if (value->items[i]->kind == NODE_LIST)
			value_wrong_type(spec, field->key, value->items[i], "a cron line or a map", NULL);
		else
			read_schedule(spec, value->items[i]);
	}
}

/* --- after --- */

static const struct field after_fields[] = {
	{ "dag", value_name, AT(struct dag_after, dag), .example = "nightly-extract" },
	{ "state", value_choice, AT(struct dag_after, state), .words = dag_after_words },
	{ "within", value_duration, AT(struct dag_after, within_ms), .example = "6h" },
};

const struct field_level spec_after_level = { "'after'", after_fields, COUNT_OF(after_fields) };

static void read_after(struct spec *spec, const struct field *field, const struct node *value,
		       struct dag_after *after)
{
	*after = (struct dag_after){ .at = value->at };
	if (!value_is_map(spec, field->key, value, field->example))
		return;
	field_read_map(spec, &spec_after_level, value, after);
	if (after->dag == NULL && node_get(value, "dag") == NULL) {
		field_error(spec, value, "'after' needs 'dag', the name of the DAG to wait for");
		field_remedy(spec, "for example: after: %s", field->example);
	}
}

void spec_schedule_read_after(struct spec *spec, const struct field *field, const struct node *value,
			      void *member)
{
	struct dag *dag = member;

	dag->after_count = value->kind == NODE_LIST ? value->count : 1;
	dag->after = arena_alloc(&dag->arena, dag->after_count * sizeof *dag->after);
	for (size_t i = 0; i < dag->after_count; i++)
		read_after(spec, field, value->kind == NODE_LIST ? value->items[i] : value, &dag->after[i]);
}

/* --- timezone --- */

void spec_schedule_read_timezone(struct spec *spec, const struct field *field, const struct node *value,
				 void *member)
{
	const char *near;

	if (!value_is_text(spec, field->key, value, "the name of a time zone", field->example))
		return;
	*(const char **)member = value->text;
	if (timezone_exists(value->text))
		return;
	field_error(spec, value, "there is no time zone '%.60s'", value->text);
	if (!spec->diagnostics->last_kept)
		return;
	near = timezone_suggest(&spec->scratch, value->text);
	if (near != NULL)
		field_remedy(spec, "did you mean '%s'?", near);
	else
		field_remedy(spec, "names are those of the tz database, for example Europe/Berlin or UTC");
}
