#include "scheduler/settings_pools.h"

#include <string.h>

#include "common/scope.h"
#include "dag/value.h"
#include "scheduler/settings.h"

static const struct field pool_fields[] = {
	{ "slots", value_int, AT(struct settings_pool, slots), .example = "2", .min = 0,
	  .max = SETTINGS_SLOTS_MAX },
	{ "description", value_text, AT(struct settings_pool, description),
	  .example = "what writes to the warehouse" },
};

const struct field_level settings_pool_level = { "pool", pool_fields, COUNT_OF(pool_fields) };

/* A pool is its number of slots, or a map that says more. */
static void read_pool(struct spec *spec, const struct node *key, const struct node *value,
		      struct settings_pool *pool)
{
	const struct field slots = { key->text, value_int, 0, .example = "2", .min = 0, .max = SETTINGS_SLOTS_MAX };
	size_t errors = spec->diagnostics->errors;

	pool->name = key->text;
	value_is_name(spec, "name of a pool", key);
	if (value->kind != NODE_MAP) {
		value_int(spec, &slots, value, &pool->slots);
		return;
	}
	field_read_map(spec, &settings_pool_level, value, pool);
	if (node_get(value, "slots") == NULL && spec->diagnostics->errors == errors) {
		field_error(spec, key, "pool '%s' has no 'slots'", key->text);
		field_remedy(spec, "how many of its steps may run at a time, for example: %s: 2", key->text);
	}
}

void settings_read_pools(struct spec *spec, const struct field *field, const struct node *value, void *member)
{
	struct settings *settings = *(struct settings **)member;
	struct settings_pool *pools;

	if (!value_is_map(spec, field->key, value, field->example))
		return;
	if (value->count > SETTINGS_POOLS_MAX) {
		field_error(spec, value, "%u pools are more than %d", value->count, SETTINGS_POOLS_MAX);
		return;
	}
	pools = arena_alloc(&spec->dag->arena, (value->count + 1) * sizeof *pools);
	for (size_t i = 0; i < value->count; i++) {
		const struct node_entry *entry = &value->entries[i];

		spec->step_name = entry->key->text;
		spec->step_word = "pool";
		pools[i] = (struct settings_pool){ 0 };
		read_pool(spec, entry->key, entry->value, &pools[i]);
		spec->step_name = NULL;
	}
	settings->pools = pools;
	settings->pools_count = value->count;
}

const struct settings_pool *settings_find_pool(const struct settings *settings, const char *name)
{
	for (size_t i = 0; i < settings->pools_count; i++)
		if (strcmp(settings->pools[i].name, name) == 0)
			return &settings->pools[i];
	return NULL;
}
