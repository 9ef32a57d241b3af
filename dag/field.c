#include "dag/field.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "common/scope.h"
#include "dag/suggest.h"

enum { MESSAGE_BYTES = 600, KEYS_LISTED_MAX = 9 };

/* What other schedulers call it. */
static const struct {
	const char *foreign, *ours;
} synonyms[] = {
	{ "command", "run" },         { "cmd", "run" },
	{ "script", "run" },          { "exec", "run" },
	{ "depends", "needs" },       { "depends_on", "needs" },
	{ "dependencies", "needs" },  { "requires", "needs" },
	{ "retries", "retry" },       { "environment", "env" },
	{ "variables", "env" },       { "vars", "env" },
	{ "parameters", "params" },   { "inputs", "params" },
	{ "arguments", "params" },    { "tasks", "steps" },
	{ "jobs", "steps" },          { "tz", "timezone" },
	{ "time_zone", "timezone" },  { "cwd", "workdir" },
	{ "working_dir", "workdir" }, { "working_directory", "workdir" },
	{ "dir", "workdir" },         { "host", "worker" },
	{ "machine", "worker" },      { "runs_on", "worker" },
	{ "runs-on", "worker" },      { "mem", "memory" },
	{ "ram", "memory" },          { "id", "name" },
	{ "title", "name" },          { "doc", "description" },
	{ "outputs", "artifacts" },   { "delay", "backoff" },
	{ "attempts", "max" },        { "max_attempts", "max" },
	{ "choices", "enum" },        { "options", "enum" },
	{ "values", "enum" },         { "value", "default" },
};

static bool belongs(const struct field_level *level, const struct field *field)
{
	return !level->defaults_only || field->defaultable;
}

static const struct field *find_field(const struct field_level *level, const char *key)
{
	for (size_t i = 0; i < level->count; i++) {
		const struct field *field = &level->fields[i];

		if (field->key[0] == key[0] && strcmp(field->key, key) == 0 && belongs(level, field))
			return field;
	}
	return NULL;
}

/* "step 'train'", "'retry' of step 'train'", "this file". */
static const char *describe_level(const struct spec *spec, const struct field_level *level,
				  char text[MESSAGE_BYTES])
{
	if (spec->step_name == NULL)
		snprintf(text, MESSAGE_BYTES, "%s", level->title);
	else if (level->title[0] == '\'')
		snprintf(text, MESSAGE_BYTES, "%s of %s '%s'", level->title,
			 spec->step_word == NULL ? "step" : spec->step_word, spec->step_name);
	else
		snprintf(text, MESSAGE_BYTES, "%s '%s'", level->title, spec->step_name);
	return text;
}

/* The other levels that know the key, as "in a step and in 'defaults'"; false when there are none. */
static bool list_levels_with(const struct spec *spec, const char *key, struct buf *out)
{
	for (size_t i = 0; i < spec->levels_count; i++) {
		const struct field_level *level = spec->levels[i];

		if (find_field(level, key) == NULL)
			continue;
		buf_printf(out, "%sin %s%s", out->bytes > 0 ? " and " : "",
			   strcmp(level->title, "step") == 0 ? "a " : "", level->title);
	}
	return out->bytes > 0;
}

static void list_keys(const struct field_level *level, struct buf *out)
{
	for (size_t i = 0; i < level->count; i++) {
		if (belongs(level, &level->fields[i]))
			buf_printf(out, "%s%s", out->bytes > 0 ? ", " : "", level->fields[i].key);
	}
}

static void offer_keys(const struct field_level *level, struct suggest *near)
{
	for (size_t i = 0; i < level->count; i++) {
		if (belongs(level, &level->fields[i]))
			suggest_offer(near, level->fields[i].key, NULL);
	}
}

static void report_unknown_key(struct spec *spec, const struct field_level *level, const struct node *key)
{
	struct suggest near = suggest_for(key->text);
	autobuf struct buf list = { 0 };
	char where[MESSAGE_BYTES];

	field_error(spec, key, "unknown key '%.60s' in %s", key->text, describe_level(spec, level, where));
	if (!spec->diagnostics->last_kept)
		return;
	if (list_levels_with(spec, key->text, &list)) {
		field_remedy(spec, "'%s' is valid %s, not here", key->text, buf_text(&list));
		return;
	}
	for (size_t i = 0; i < COUNT_OF(synonyms); i++) {
		if (strcmp(synonyms[i].foreign, key->text) == 0 &&
		    find_field(level, synonyms[i].ours) != NULL) {
			field_remedy(spec, "here it is called '%s'", synonyms[i].ours);
			return;
		}
	}
	offer_keys(level, &near);
	if (suggest_best(&near) != NULL) {
		field_remedy(spec, "did you mean '%s'?", suggest_best(&near));
		return;
	}
	for (size_t i = 0; i < spec->levels_count; i++)
		offer_keys(spec->levels[i], &near);
	if (suggest_best(&near) != NULL && list_levels_with(spec, suggest_best(&near), &list)) {
		field_remedy(spec, "did you mean '%s'? that is valid %s", suggest_best(&near),
			     buf_text(&list));
	} else if (level->count <= KEYS_LISTED_MAX) {
		list_keys(level, &list);
		field_remedy(spec, "the keys are %s", buf_text(&list));
	}
}

void field_read_map(struct spec *spec, const struct field_level *level, const struct node *map, void *target)
{
	for (size_t i = 0; i < map->count; i++) {
		const struct node_entry *entry = &map->entries[i];
		const struct field *field = find_field(level, entry->key->text);

		if (field == NULL)
			report_unknown_key(spec, level, entry->key);
		else
			field->read(spec, field, entry->value, (char *)target + field->offset);
	}
}

void field_error(struct spec *spec, const struct node *node, const char *format, ...)
{
	va_list args;

	va_start(args, format);
	document_vreport(spec->document, spec->diagnostics, DIAGNOSTIC_ERROR, node->at, node_width(node),
			 format, args);
	va_end(args);
}

void field_error_at(struct spec *spec, struct dag_position at, uint32_t width, const char *format, ...)
{
	va_list args;

	va_start(args, format);
	document_vreport(spec->document, spec->diagnostics, DIAGNOSTIC_ERROR, at, width, format, args);
	va_end(args);
}

void field_warning(struct spec *spec, const struct node *node, const char *format, ...)
{
	va_list args;

	va_start(args, format);
	document_vreport(spec->document, spec->diagnostics, DIAGNOSTIC_WARNING, node->at, node_width(node),
			 format, args);
	va_end(args);
}

void field_remedy(struct spec *spec, const char *format, ...)
{
	char remedy[MESSAGE_BYTES];
	va_list args;

	va_start(args, format);
	vsnprintf(remedy, sizeof remedy, format, args);
	va_end(args);
	diagnostics_remedy(spec->diagnostics, "%s", remedy);
}
