#include "scheduler/zones.h"

#include <stdlib.h>
#include <string.h>

#include "common/mem.h"

struct zones {
	char *local_name; /* NULL: this machine's */
	struct zone *local;
	struct zone **items;
	size_t count, room;
};

static int find_local(struct zones *zones, const struct zone **zone_out, struct err *err)
{
	int rc = 0;

	if (zones->local == NULL)
		rc = zones->local_name == NULL ? zone_open_local(&zones->local, err)
					       : zone_open(zones->local_name, &zones->local, err);
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
	zone_free(zones->local);
	free(zones->local_name);
	free(zones->items);
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
