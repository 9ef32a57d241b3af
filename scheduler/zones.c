#include "scheduler/zones.h"

#include <stdlib.h>
#include <string.h>

#include "common/mem.h"

struct zones {
	struct zone *local;
	struct zone **items;
	size_t count, room;
};

int zones_new(const char *local, struct zones **zones_out, struct err *err)
{
	struct zone *zone;
	int rc = local == NULL ? zone_open_local(&zone, err) : zone_open(local, &zone, err);

	if (rc < 0)
		return rc;
	*zones_out = mem_zalloc(sizeof **zones_out);
	(*zones_out)->local = zone;
	return 0;
}

void zones_free(struct zones *zones)
{
	if (zones == NULL)
		return;
	for (size_t i = 0; i < zones->count; i++)
		zone_free(zones->items[i]);
	zone_free(zones->local);
	free(zones->items);
	free(zones);
}

const struct zone *zones_local(const struct zones *zones)
{
	return zones->local;
}

int zones_find(struct zones *zones, const char *name, const struct zone **zone_out, struct err *err)
{
	int rc;

	if (name == NULL || name[0] == '\0') {
		*zone_out = zones->local;
		return 0;
	}
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
