#include "dag/names.h"

#include <string.h>

enum { FIRST_ROOM = 16 };

/* FNV-1a with a final mix, so that the low bits of short names differ. */
static uint32_t hash_name(const char *name)
{
	uint32_t hash = 2166136261U;

	for (; *name != '\0'; name++)
		hash = (hash ^ (unsigned char)*name) * 16777619U;
	return hash ^ hash >> 15;
}

/* Where the name is, or the free slot where it would go. */
static struct name_slot *probe(const struct names *names, const char *name, uint32_t hash)
{
	size_t i = hash & (names->room - 1);

	while (names->slots[i].name != NULL &&
	       (names->slots[i].hash != hash || strcmp(names->slots[i].name, name) != 0))
		i = (i + 1) & (names->room - 1);
	return &names->slots[i];
}

static void resize(struct names *names, size_t room)
{
	struct names old = *names;

	names->room = room;
	names->slots = arena_alloc(names->arena, room * sizeof *names->slots);
	for (size_t i = 0; i < old.room; i++) {
		if (old.slots[i].name != NULL)
			*probe(names, old.slots[i].name, old.slots[i].hash) = old.slots[i];
	}
}

void names_init(struct names *names, struct arena *arena, size_t expected)
{
	size_t room = FIRST_ROOM;

	*names = (struct names){ .arena = arena };
	while (room / 2 < expected)
		room *= 2;
	if (expected > 0)
		resize(names, room);
}

bool names_add(struct names *names, const char *name, uint32_t number, uint32_t *number_out)
{
	uint32_t hash = hash_name(name);
	struct name_slot *slot;

	if (names->room / 2 <= names->count)
		resize(names, names->room == 0 ? FIRST_ROOM : names->room * 2);
	slot = probe(names, name, hash);
	if (slot->name != NULL) {
		if (number_out != NULL)
			*number_out = slot->number;
		return false;
	}
	*slot = (struct name_slot){ name, hash, number };
	names->count++;
	return true;
}

bool names_find(const struct names *names, const char *name, uint32_t *number_out)
{
	const struct name_slot *slot;

	if (names->count == 0)
		return false;
	slot = probe(names, name, hash_name(name));
	if (slot->name == NULL)
		return false;
	*number_out = slot->number;
	return true;
}
