/*
 * zone_fixture.h - the time zones of this machine, for tests that look at each of them
 */
#ifndef TESTS_UNIT_ZONE_FIXTURE_H
#define TESTS_UNIT_ZONE_FIXTURE_H

#include <ftw.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "common/scope.h"

#define FIXTURE_ZONES "/usr/share/zoneinfo"

/* Skips the test where there are none. */
static inline void fixture_need_zones(void)
{
	if (access(FIXTURE_ZONES "/Europe/Berlin", R_OK) < 0)
		skip();
}

static void (*fixture_check_zone)(const char *name);
static int fixture_zones_seen;

static inline int fixture_on_zone_file(const char *path, const struct stat *status, int kind,
				       struct FTW *where)
{
	const char *name = path + strlen(FIXTURE_ZONES "/");
	char magic[4] = "";
	autofclose FILE *file = NULL;

	(void)status;
	(void)where;
	if (kind != FTW_F || strncmp(name, "right/", 6) == 0 || strncmp(name, "posix/", 6) == 0)
		return 0;
	file = fopen(path, "re");
	if (file != NULL && fread(magic, 1, 4, file) == 4 && memcmp(magic, "TZif", 4) == 0) {
		fixture_check_zone(name);
		fixture_zones_seen++;
	}
	return 0;
}

/* Calls it with the name of each zone; a machine has hundreds. */
static inline void fixture_each_zone(void (*check)(const char *name))
{
	fixture_need_zones();
	fixture_check_zone = check;
	fixture_zones_seen = 0;
	nftw(FIXTURE_ZONES, fixture_on_zone_file, 16, 0);
	print_message("# %d zones\n", fixture_zones_seen);
	assert_true(fixture_zones_seen > 100);
}

#endif
