#include "dag/spec_env.h"

#include <string.h>

#include "dag/names.h"
#include "dag/naming.h"
#include "dag/value.h"

static bool check_name(struct spec *spec, const struct node *key)
{
	if (!naming_valid_variable(key->text)) {
		field_error(spec, key, "'%.60s' is no valid name of an environment variable", key->text);
		field_remedy(spec, "it is letters, digits and '_', and begins with no digit");
		return false;
	}
	if (strncmp(key->text, "STOKER_", 7) == 0) {
		field_error(spec, key,
			    "'%.60s' cannot be set: variables that begin with STOKER_ are stoker's own",
			    key->text);
		field_remedy(spec, "choose another name");
		return false;
	}
	if (strcmp(key->text, "CUDA_VISIBLE_DEVICES") == 0) {
		field_warning(
		    spec, key,
		    "stoker sets CUDA_VISIBLE_DEVICES itself, to the devices that the step was given");
		field_remedy(spec, "ask for devices with resources: {gpus: 1}");
	}
	return true;
}

static bool check_value(struct spec *spec, const struct node_entry *entry)
{
	if (node_is_null(entry->value)) {
		field_error(spec, entry->value, "'%.60s' has no value", entry->key->text);
		field_remedy(spec, "write \"\" for an empty one");
		return false;
	}
	if (!value_is_text(spec, entry->key->text, entry->value, "a text", NULL))
		return false;
	if (entry->value->count > DAG_SCRIPT_BYTES_MAX) {
		field_error(spec, entry->value, "the value of '%.60s' is longer than %d bytes",
			    entry->key->text, DAG_SCRIPT_BYTES_MAX);
		field_remedy(spec, "put it into a file and pass the file's name");
		return false;
	}
	return true;
}

/* What `base` has and `map` does not, then what `map` has. */
static void read_env(struct spec *spec, const struct node *map, struct dag_env **env, size_t *count)
{
	struct dag_env *entries = arena_alloc(&spec->dag->arena, (*count + map->count) * sizeof *entries);
	struct names own;
	size_t n = 0;

	names_init(&own, &spec->scratch, *count == 0 ? 0 : map->count);
	for (size_t i = 0; *count > 0 && i < map->count; i++)
		names_add(&own, map->entries[i].key->text, (uint32_t)i, NULL);
	for (size_t i = 0; i < *count; i++) {
		uint32_t index;

		if (!names_find(&own, (*env)[i].name, &index))
			entries[n++] = (*env)[i];
	}
	for (size_t i = 0; i < map->count; i++) {
		const struct node_entry *entry = &map->entries[i];

		if (!check_name(spec, entry->key) || !check_value(spec, entry))
			continue;
		value_note_site(spec, entry->value, PARAM_IN_WORD);
		entries[n++] = (struct dag_env){ entry->key->text, entry->value->text, entry->key->at };
	}
	*env = entries;
	*count = n;
}

/* Without this a long `env` in `defaults` would be copied for each of thousands of steps. */
static bool within_total(struct spec *spec, const struct node *value, size_t more)
{
	bool was_within = spec->env_total <= SPEC_ENV_TOTAL_MAX;

	spec->env_total += more;
	if (spec->env_total <= SPEC_ENV_TOTAL_MAX)
		return true;
	if (was_within)
		field_error(spec, value,
			    "with those of 'defaults' all steps together have more than %d variables",
			    SPEC_ENV_TOTAL_MAX);
	return false;
}

void spec_env_read_dag(struct spec *spec, const struct field *field, const struct node *value, void *member)
{
	struct dag *dag = member;

	if (value_is_map(spec, field->key, value, field->example))
		read_env(spec, value, &dag->env, &dag->env_count);
}

void spec_env_read_step(struct spec *spec, const struct field *field, const struct node *value, void *member)
{
	struct dag_step *step = member;

	if (value_is_map(spec, field->key, value, field->example) &&
	    within_total(spec, value, step->env_count + value->count))
		read_env(spec, value, &step->env, &step->env_count);
}
