#include "dag/spec_notify.h"

#include <ctype.h>
#include <stdio.h>
#include <string.h>

#include "common/scope.h"
#include "dag/spec_webhook.h"
#include "dag/suggest.h"
#include "dag/value.h"

enum { RECEIVERS_MAX = 32, ADDRESSES_MAX = 32, ADDRESS_BYTES_MAX = 254 };

#define EVENTS_LISTED "succeeded, failed, canceled, recovered, late and missed"

static const struct {
	const char *word;
	unsigned bit;
} events[] = {
	{ "succeeded", DAG_ON_SUCCEEDED },
	{ "failed", DAG_ON_FAILED },
	{ "canceled", DAG_ON_CANCELED },
	{ "late", DAG_ON_LATE },
	{ "recovered", DAG_ON_RECOVERED },
	{ "missed", DAG_ON_MISSED },
};

static void read_event(struct spec *spec, const struct field *field, const struct node *value, unsigned *on)
{
	char found[VALUE_FOUND_BYTES];
	struct suggest near;

	if (!value_is_text(spec, field->key, value, "one of succeeded, failed, canceled, recovered, late, missed",
			   field->example))
		return;
	near = suggest_for(value->text);
	for (size_t i = 0; i < COUNT_OF(events); i++) {
		if (strcmp(value->text, events[i].word) == 0) {
			*on |= events[i].bit;
			return;
		}
		suggest_offer(&near, events[i].word, NULL);
	}
	field_error(spec, value, "'on' takes " EVENTS_LISTED ", found %s", value_found(value, found));
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

/* --- mail ----------------------------------------------------------------------------------------------- */

/* RFC 5322, section 3.4.1, without quoting, comments and what is not ASCII: a header then needs no escapes. */
static bool is_address(const char *text)
{
	const char *at = strchr(text, '@');
	size_t local = at == NULL ? strlen(text) : (size_t)(at - text);

	if (local == 0 || text[0] == '-' || strlen(text) > ADDRESS_BYTES_MAX)
		return false;
	for (size_t i = 0; i < local; i++)
		if (!isalnum((unsigned char)text[i]) && strchr(".!#$%&'*+/=?^_`{|}~-", text[i]) == NULL)
			return false;
	if (at == NULL)
		return true; /* somebody on this machine */
	for (const char *c = at + 1; *c != '\0'; c++)
		if (!isalnum((unsigned char)*c) && *c != '.' && *c != '-')
			return false;
	return at[1] != '\0' && at[1] != '.' && at[1] != '-';
}

static bool check_address(struct spec *spec, const struct node *value)
{
	if (is_address(value->text))
		return true;
	field_error(spec, value, "'%.60s' is no address of mail", value->text);
	field_remedy(spec, "a plain one, without a name, for example: ops@example.org");
	return false;
}

static void read_mail(struct spec *spec, const struct field *field, const struct node *value, void *member)
{
	struct dag_notify *notify = member;
	size_t count = value->kind == NODE_LIST ? value->count : 1;

	if (value->kind == NODE_MAP || node_is_null(value) || count == 0 || count > ADDRESSES_MAX) {
		value_wrong_type(spec, field->key, value, "an address or a list of these, at most 32", field->example);
		return;
	}
	notify->mail = arena_alloc(&spec->dag->arena, count * sizeof *notify->mail);
	for (size_t i = 0; i < count; i++) {
		const struct node *item = value->kind == NODE_LIST ? value->items[i] : value;

		if (value_is_text(spec, field->key, item, "an address", field->example) &&
		    check_address(spec, item))
			notify->mail[notify->mail_count++] = item->text;
	}
}

/* --- a receiver ----------------------------------------------------------------------------------------- */

static const struct field notify_fields[] = {
	{ "on", read_on, AT(struct dag_notify, on), .example = "[failed, late]" },
	{ "webhook", spec_webhook_read, 0, .example = "https://chat.example.org/hooks/42" },
	{ "run", value_path, AT(struct dag_notify, run), .example = "logger \"$STOKER_TEXT\"" },
	{ "mail", read_mail, 0, .example = "ops@example.org" },
};

const struct field_level spec_notify_level = { "'notify'", notify_fields, COUNT_OF(notify_fields) };

static void read_one(struct spec *spec, const struct field *field, const struct node *value,
		     struct dag_notify *notify)
{
	int ways;

	*notify = (struct dag_notify){ .on = DAG_ON_FAILED | DAG_ON_LATE, .at = value->at };
	if (!value_is_map(spec, field->key, value, field->example))
		return;
	field_read_map(spec, &spec_notify_level, value, notify);
	ways = (node_get(value, "webhook") != NULL) + (node_get(value, "run") != NULL) +
	       (node_get(value, "mail") != NULL);
	if (ways == 0) {
		field_error(spec, value, "'notify' needs one of 'webhook', 'run' and 'mail'");
		field_remedy(spec, "for example: notify: {on: [failed, late], webhook: "
				   "https://chat.example.org/hooks/42}");
	} else if (ways > 1) {
		field_error(spec, value, "'notify' takes only one of 'webhook', 'run' and 'mail'");
		field_remedy(spec, "write a list to have more: each item is a map of its own");
	}
}

static void read_list(struct spec *spec, const struct field *field, const struct node *value,
		      struct dag_notify **list_out, size_t *count_out)
{
	size_t count = value->kind == NODE_LIST ? value->count : 1;

	if (count > RECEIVERS_MAX) {
		field_error(spec, value, "%zu receivers are more than %d", count, RECEIVERS_MAX);
		return;
	}
	*list_out = arena_alloc(&spec->dag->arena, (count + 1) * sizeof **list_out);
	*count_out = count;
	for (size_t i = 0; i < count; i++)
		read_one(spec, field, value->kind == NODE_LIST ? value->items[i] : value, &(*list_out)[i]);
}

void spec_notify_read(struct spec *spec, const struct field *field, const struct node *value, void *member)
{
	struct dag *dag = member;

	dag->notify_given = true;
	read_list(spec, field, value, &dag->notify, &dag->notify_count);
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

void spec_notify_read_list(struct spec *spec, const struct field *field, const struct node *value,
			   struct dag_notify **list_out, size_t *count_out)
{
	read_list(spec, field, value, list_out, count_out);
}

bool spec_notify_is_address(struct spec *spec, const struct node *value)
{
	return check_address(spec, value);
}
