#include "executor/agent/place.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

bool place_home_valid(const char *home)
{
	return strlen(home) == PLACE_HOME_CHARS && strspn(home, "0123456789abcdef") == PLACE_HOME_CHARS;
}

const char *place_attempt(char name[PLACE_NAME_BYTES], const char *home, const struct attempt_id *id)
{
	snprintf(name, PLACE_NAME_BYTES, "%s-%" PRIu64 "-%" PRIu64 "-%" PRIu32, home, id->run, id->task,
		 id->number);
	return name;
}

const char *place_task(char name[PLACE_NAME_BYTES], const char *home, const struct attempt_id *id)
{
	snprintf(name, PLACE_NAME_BYTES, "%s-%" PRIu64 "-%" PRIu64, home, id->run, id->task);
	return name;
}

bool place_parse(const char *name, const char *home, struct attempt_id *id_out)
{
	char again[PLACE_NAME_BYTES];
	struct attempt_id id = { 0 };
	char *stop;

	if (strncmp(name, home, PLACE_HOME_CHARS) != 0 || name[PLACE_HOME_CHARS] != '-')
		return false;
	id.run = strtoull(name + PLACE_HOME_CHARS + 1, &stop, 10);
	if (*stop != '-')
		return false;
	id.task = strtoull(stop + 1, &stop, 10);
	if (*stop != '-')
		return false;
	id.number = (uint32_t)strtoul(stop + 1, &stop, 10);
	/* Only the spelling that place_attempt gives: no signs, no leading zeros, nothing behind. */
	if (*stop != '\0' || strcmp(place_attempt(again, home, &id), name) != 0)
		return false;
	*id_out = id;
	return true;
}
