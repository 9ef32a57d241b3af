#include "dag/value.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "common/mem.h"
#include "common/scope.h"
#include "dag/duration.h"
#include "dag/naming.h"
#include "dag/scalar.h"
#include "dag/suggest.h"

enum { SUBJECT_BYTES = 64 }; /* of a key of ours */

/* A plain scalar, as a number or a truth value must be; says how to make it one. */
static bool is_plain(struct spec *spec, const struct field *field, const struct node *value, const char *what)
{
	if (value->kind == NODE_SCALAR && value->plain && !node_is_null(value))
		return true;
	if (value->kind == NODE_SCALAR && !value->plain) {
		char found[VALUE_FOUND_BYTES];

		field_error(spec, value, "'%s' must be %s, found %s", field->key, what,
			    value_found(value, found));
		field_remedy(spec, "remove the quotes: what is quoted is a string");
	} else {
		value_wrong_type(spec, field->key, value, what, field->example);
	}
	return false;
}

static void report_trap(struct spec *spec, const char *text)
{
	enum scalar_trap trap = scalar_trap(text);

	if (trap != SCALAR_NO_TRAP)
		field_remedy(spec, "%s", scalar_trap_reason(trap));
}

static void report_parse(struct spec *spec, const char *key, const struct node *value, size_t offset,
			 const struct err *err)
{
	char subject[SUBJECT_BYTES];

	snprintf(subject, sizeof subject, "'%s'", key);
	value_error_from(spec, subject, value, offset, err);
}

static bool in_range(struct spec *spec, const struct field *field, const struct node *value, int64_t number,
		     const char *(*to_text)(int64_t number, char text[DURATION_TEXT_BYTES]))
{
	char least[DURATION_TEXT_BYTES], most[DURATION_TEXT_BYTES];

	if ((field->min == 0 && field->max == 0) ||
	    (number >= field->min && (field->max == 0 || number <= field->max)))
		return true;
	if (number < field->min)
		field_error(spec, value, "'%s' must be at least %s, found %.40s", field->key,
			    to_text(field->min, least), value->text);
	else
		field_error(spec, value, "'%s' must be at most %s, found %.40s", field->key,
			    to_text(field->max, most), value->text);
	return false;
}

static bool is_filled(struct spec *spec, const struct field *field, const struct node *value)
{
	if (!value_is_text(spec, field->key, value, "a text", field->example))
		return false;
	if (value->count > 0)
		return true;
	field_error(spec, value, "'%s' is empty", field->key);
	field_remedy(spec, "for example: %s: %s", field->key, field->example);
	return false;
}

void value_error_from(struct spec *spec, const char *subject, const struct node *value, size_t offset,
		      const struct err *err)
{
	const char *remedy = strstr(err->text, "; ");
	int message_bytes = remedy == NULL ? (int)strlen(err->text) : (int)(remedy - err->text);
	struct dag_position at = node_inside(value, offset);
	uint32_t width = at.column == value->at.column ? node_width(value) : 1;

	field_error_at(spec, at, width, "%s %.*s", subject, message_bytes, err->text);
	if (remedy != NULL)
		field_remedy(spec, "%s", remedy + 2);
}

const char *value_found(const struct node *node, char text[VALUE_FOUND_BYTES])
{
	if (node->kind == NODE_LIST)
		return node->count == 0 ? "an empty list" : "a list";
	if (node->kind == NODE_MAP)
		return node->count == 0 ? "an empty map" : "a map";
	if (!node->plain) {
		snprintf(text, VALUE_FOUND_BYTES, "the string \"%.40s\"", node->text);
		return text;
	}
	switch (scalar_kind(node->text)) {
	case SCALAR_NULL:
		return "nothing";
	case SCALAR_BOOL:
		snprintf(text, VALUE_FOUND_BYTES, "%.10s", node->text);
		break;
	case SCALAR_INT:
	case SCALAR_FLOAT:
		snprintf(text, VALUE_FOUND_BYTES, "the number %.40s", node->text);
		break;
	case SCALAR_STRING:
		snprintf(text, VALUE_FOUND_BYTES, "'%.40s'", node->text);
		break;
	}
	return text;
}

void value_wrong_type(struct spec *spec, const char *key, const struct node *value, const char *what,
		      const char *example)
{
	char found[VALUE_FOUND_BYTES];

	if (node_is_null(value))
		field_error(spec, value, "'%s' has no value; it must be %s", key, what);
	else
		field_error(spec, value, "'%s' must be %s, found %s", key, what, value_found(value, found));
	if (example != NULL)
		field_remedy(spec, "for example: %s: %s", key, example);
}

bool value_is_text(struct spec *spec, const char *key, const struct node *value, const char *what,
		   const char *example)
{
	if (value->kind == NODE_SCALAR && !node_is_null(value))
		return true;
	value_wrong_type(spec, key, value, what, example);
	return false;
}

bool value_is_map(struct spec *spec, const char *key, const struct node *value, const char *example)
{
	if (value->kind == NODE_MAP)
		return true;
	value_wrong_type(spec, key, value, "a map", example);
	return false;
}

bool value_has_no_reference(struct spec *spec, const char *key, const struct node *value)
{
	const char *reference = strstr(value->text, "${{");

	if (reference == NULL)
		return true;
	field_error_at(spec, node_inside(value, (size_t)(reference - value->text)), 3,
		       "${{ ... }} is not replaced in '%s'", key);
	field_remedy(spec, "references may stand in 'run', 'env' and 'workdir' only");
	return false;
}

bool value_is_name(struct spec *spec, const char *what, const struct node *value)
{
	if (naming_valid(value->text))
		return true;
	field_error(spec, value, "'%.80s' is no valid %s", value->text, what);
	if (value->count > DAG_NAME_BYTES_MAX)
		field_remedy(spec, "a name has at most %d characters", DAG_NAME_BYTES_MAX);
	else
		field_remedy(
		    spec,
		    "a name is letters, digits, '_', '.' and '-', and begins with a letter, a digit or '_'");
	return false;
}

void value_int(struct spec *spec, const struct field *field, const struct node *value, void *member)
{
	int64_t number;

	if (!is_plain(spec, field, value, "a whole number"))
		return;
	if (!scalar_int(value->text, &number)) {
		char found[VALUE_FOUND_BYTES];

		field_error(spec, value, "'%s' must be a whole number, found %s", field->key,
			    value_found(value, found));
		report_trap(spec, value->text);
		field_remedy(spec, "for example: %s: %s", field->key, field->example);
	} else if (number < field->min || number > field->max) {
		field_error(spec, value, "'%s' must be from %" PRId64 " to %" PRId64 ", found %.40s",
			    field->key, field->min, field->max, value->text);
	} else {
		*(int *)member = (int)number;
	}
}

void value_bool(struct spec *spec, const struct field *field, const struct node *value, void *member)
{
	if (!is_plain(spec, field, value, "true or false"))
		return;
	if (!scalar_bool(value->text, member)) {
		char found[VALUE_FOUND_BYTES];

		field_error(spec, value, "'%s' must be true or false, found %s", field->key,
			    value_found(value, found));
		if (scalar_trap(value->text) == SCALAR_TRAP_BOOL)
			field_remedy(spec, "write %s: readers of YAML disagree about '%s'",
				     scalar_trap_truth(value->text), value->text);
	}
}

void value_duration(struct spec *spec, const struct field *field, const struct node *value, void *member)
{
	struct err err;
	int64_t ms;
	size_t at;

	if (!value_is_text(spec, field->key, value, "a duration", field->example))
		return;
	if (duration_parse(value->text, &ms, &at, &err) < 0)
		report_parse(spec, field->key, value, at, &err);
	else if (in_range(spec, field, value, ms, duration_text))
		*(int64_t *)member = ms;
}

void value_size(struct spec *spec, const struct field *field, const struct node *value, void *member)
{
	struct err err;
	int64_t bytes;
	size_t at;

	if (!value_is_text(spec, field->key, value, "a size", field->example))
		return;
	if (size_parse(value->text, &bytes, &at, &err) < 0)
		report_parse(spec, field->key, value, at, &err);
	else if (in_range(spec, field, value, bytes, size_text))
		*(int64_t *)member = bytes;
}

void value_choice(struct spec *spec, const struct field *field, const struct node *value, void *member)
{
	struct suggest near;
	autobuf struct buf words = { 0 };
	char found[VALUE_FOUND_BYTES];

	for (int i = 0; value->kind == NODE_SCALAR && field->words[i] != NULL; i++) {
		if (strcmp(value->text, field->words[i]) == 0) {
			*(int *)member = i; /* Enums are ints in the ABIs we build for; the tables are checked
					       by the tests. */
			return;
		}
	}
	for (int i = 0; field->words[i] != NULL; i++)
		buf_printf(&words, "%s%s",
			   i == 0                        ? ""
			   : field->words[i + 1] == NULL ? " or "
							 : ", ",
			   field->words[i]);
	if (value->kind != NODE_SCALAR || node_is_null(value)) {
		value_wrong_type(spec, field->key, value, buf_text(&words), field->words[0]);
		return;
	}
	field_error(spec, value, "'%s' must be %s, found %s", field->key, buf_text(&words),
		    value_found(value, found));
	near = suggest_for(value->text);
	for (int i = 0; field->words[i] != NULL; i++)
		suggest_offer(&near, field->words[i], NULL);
	if (suggest_best(&near) != NULL)
		field_remedy(spec, "did you mean '%s'?", suggest_best(&near));
}

void value_text(struct spec *spec, const struct field *field, const struct node *value, void *member)
{
	if (value_is_text(spec, field->key, value, "a text", field->example))
		*(const char **)member = value->text;
}

void value_path(struct spec *spec, const struct field *field, const struct node *value, void *member)
{
	if (is_filled(spec, field, value) && value_has_no_reference(spec, field->key, value))
		*(const char **)member = value->text;
}

void value_name(struct spec *spec, const struct field *field, const struct node *value, void *member)
{
	if (is_filled(spec, field, value) && value_has_no_reference(spec, field->key, value) &&
	    value_is_name(spec, "name", value))
		*(const char **)member = value->text;
}

void value_referable(struct spec *spec, const struct field *field, const struct node *value, void *member)
{
	if (!is_filled(spec, field, value))
		return;
	value_note_site(spec, value, PARAM_IN_WORD);
	*(const char **)member = value->text;
}

void value_keep(struct spec *spec, const struct field *field, const struct node *value, void *member)
{
	(void)spec;
	(void)field;
	*(const struct node **)member = value;
}

void value_note_site(struct spec *spec, const struct node *value, enum param_context in)
{
	if (!param_has_reference(value->text))
		return;
	mem_grow(&spec->sites, &spec->sites_room, spec->sites_count, sizeof *spec->sites);
	spec->sites[spec->sites_count++] = (struct reference_site){ value, spec->step, in };
}
