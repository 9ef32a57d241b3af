#include "scheduler/zones.h"

#include <stdlib.h>
#include <string.h>

#include "common/mem.h"

struct zones {
	char *local_name; /* NULL: this machine's */
	struct zone *local;
	struct zone **items;
	size_t count, room;
	struct zone **old; /* somebody may point to them */
	size_t old_count, old_room;
};

static int open_local(const struct zones *zones, struct zone **zone_out, struct err *err)
{
	return zones->local_name == NULL ? zone_open_local(zone_out, err)
					 : zone_open(zones->local_name, zone_out, err);
}

static int find_local(struct zones *zones, const struct zone **zone_out, struct err *err)
{
	int rc = 0;

	if (zones->local == NULL)
		rc = open_local(zones, &zones->local, err);
	if (rc == 0)
		*zone_out = zones->local;
	return rc;
}

struct zones *zones_new(const char *local)
{
	struct zones *zones = mem_zalloc(sizeof *zones);

	zones->local_name = local == NULL ? NULL : mem_strdup(local);
	return zones;
}

void zones_free(struct zones *zones)
{
	if (zones == NULL)
		return;
	for (size_t i = 0; i < zones->count; i++)
		zone_free(zones->items[i]);
	for (size_t i = 0; i < zones->old_count; i++)
		zone_free(zones->old[i]);
	zone_free(zones->local);
	free(zones->local_name);
	free(zones->items);
	free(zones->old);
	free(zones);
}

int zones_find(struct zones *zones, const char *name, const struct zone **zone_out, struct err *err)
{
	int rc;

	if (name == NULL || name[0] == '\0')
		return find_local(zones, zone_out, err);
	for (size_t i = 0; i < zones->count; i++)
		if (strcmp(zone_name(zones->items[i]), name) == 0) {
			*zone_out = zones->items[i];
			return 0;
		}
	mem_grow(&zones->items, &zones->room, zones->count, sizeof *zones->items);
	rc = zone_open(name, &zones->items[zones->count], err);
	if (rc < 0)
		return rc;
	*zone_out = zones->items[zones->count++];
	return 0;
}

/* Takes `read` over. */
static bool replace(struct zones *zones, struct zone **place, struct zone *read)
{
	if (strcmp(zone_name(read), zone_name(*place)) != 0 || zone_is_same(read, *place)) {
		zone_free(read);
		return false;
	}
	mem_grow(&zones->old, &zones->old_room, zones->old_count, sizeof *zones->old);
	zones->old[zones->old_count++] = *place;
	*place = read;
	return true;
}

bool zones_renew(struct zones *zones)
{
	struct zone *read;
	bool changed = false;

	if (zones->local != NULL && open_local(zones, &read, NULL) == 0)
		changed = replace(zones, &zones->local, read);
	for (size_t i = 0; i < zones->count; i++)
		if (zone_open(zone_name(zones->items[i]), &read, NULL) == 0)
			changed |= replace(zones, &zones->items[i], read);
	return changed;
}
