#include "dag/spec_notify.h"

#include <stdio.h>
#include <string.h>

#include "common/scope.h"
#include "dag/suggest.h"
#include "dag/value.h"

static const struct {
	const char *word;
	unsigned bit;
} events[] = {
	{ "succeeded", DAG_ON_SUCCEEDED },
	{ "failed", DAG_ON_FAILED },
	{ "canceled", DAG_ON_CANCELED },
	{ "late", DAG_ON_LATE },
};

static void read_event(struct spec *spec, const struct field *field, const struct node *value, unsigned *on)
{
	char found[VALUE_FOUND_BYTES];
	struct suggest near;

	if (!value_is_text(spec, field->key, value, "succeeded, failed, canceled or late", field->example))
		return;
	near = suggest_for(value->text);
	for (size_t i = 0; i < COUNT_OF(events); i++) {
		if (strcmp(value->text, events[i].word) == 0) {
			*on |= events[i].bit;
			return;
		}
		suggest_offer(&near, events[i].word, NULL);
	}
	field_error(spec, value, "'on' takes succeeded, failed, canceled and late, found %s",
		    value_found(value, found));
	if (suggest_best(&near) != NULL)
		field_remedy(spec, "did you mean '%s'?", suggest_best(&near));
}

static void read_on(struct spec *spec, const struct field *field, const struct node *value, void *member)
{
	unsigned *on = member;

	*on = 0;
	if (value->kind != NODE_LIST) {
		read_event(spec, field, value, on);
		return;
	}
	for (size_t i = 0; i < value->count; i++)
		read_event(spec, field, value->items[i], on);
}

static void read_webhook(struct spec *spec, const struct field *field, const struct node *value, void *member)
{
	value_path(spec, field, value, member);
	if (*(const char **)member != NULL && strncmp(value->text, "https://", 8) != 0 &&
	    strncmp(value->text, "http://", 7) != 0) {
		field_error(spec, value, "'webhook' must be a URL with http or https, found '%.60s'",
			    value->text);
		field_remedy(spec, "for example: webhook: %s", field->example);
	}
}

static const struct field notify_fields[] = {
	{ "on", read_on, AT(struct dag_notify, on), .example = "[failed, late]" },
	{ "webhook", read_webhook, AT(struct dag_notify, webhook),
	  .example = "https://chat.example.org/hooks/42" },
	{ "run", value_path, AT(struct dag_notify, run),
	  .example = "mail -s \"$STOKER_RUN\" team@example.org" },
};

const struct field_level spec_notify_level = { "'notify'", notify_fields, COUNT_OF(notify_fields) };

static void read_one(struct spec *spec, const struct field *field, const struct node *value,
		     struct dag_notify *notify)
{
	bool webhook, run;

	*notify = (struct dag_notify){ .on = DAG_ON_FAILED | DAG_ON_LATE, .at = value->at };
	if (!value_is_map(spec, field->key, value, field->example))
		return;
	field_read_map(spec, &spec_notify_level, value, notify);
	webhook = node_get(value, "webhook") != NULL;
	run = node_get(value, "run") != NULL;
	if (webhook == run) {
		field_error(spec, value, "'notify' needs %s 'webhook' %s 'run'",
			    webhook ? "either" : "one of", webhook ? "or" : "and");
		field_remedy(spec, webhook ? "write a list to have both: each item is a map of its own"
					   : "for example: notify: {on: [failed, late], webhook: "
					     "https://chat.example.org/hooks/42}");
	}
}

void spec_notify_read(struct spec *spec, const struct field *field, const struct node *value, void *member)
{
	struct dag *dag = member;

	dag->notify_count = value->kind == NODE_LIST ? value->count : 1;
	dag->notify = arena_alloc(&dag->arena, dag->notify_count * sizeof *dag->notify);
	for (size_t i = 0; i < dag->notify_count; i++)
		read_one(spec, field, value->kind == NODE_LIST ? value->items[i] : value, &dag->notify[i]);
}

void spec_notify_read_expect_by(struct spec *spec, const struct field *field, const struct node *value,
				void *member)
{
	struct dag *dag = member;
	int hour, minute, used = 0;

	spec->expect_by = value;
	if (!value_is_text(spec, field->key, value, "a time of the day", field->example))
		return;
	if (sscanf(value->text, "%2d:%2d%n", &hour, &minute, &used) == 2 && used == 5 &&
	    value->text[used] == '\0' && strspn(value->text, "0123456789:") == 5 && hour < 24 &&
	    minute < 60) {
		dag->expect_by_minute = hour * 60 + minute;
		return;
	}
	field_error(spec, value, "'expect_by' must be a time of the day, found '%.40s'", value->text);
	field_remedy(spec, "hours and minutes, two digits each, for example: expect_by: %s", field->example);
}
