#include "dag/timezone.h"

#include <dirent.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "common/scope.h"
#include "dag/suggest.h"

#define ZONES "/usr/share/zoneinfo"

enum { NAME_BYTES_MAX = 64, LEVELS_MAX = 3 };

static bool is_folder(const char *path)
{
	struct stat status;

	return stat(path, &status) == 0 && S_ISDIR(status.st_mode);
}

/* A relative path of plain components: nothing that could lead out of the folder. */
static bool is_well_formed(const char *name)
{
	static const char characters[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_+-/";
	size_t bytes = strlen(name);

	return bytes > 0 && bytes <= NAME_BYTES_MAX && strspn(name, characters) == bytes && name[0] != '/' &&
	       name[bytes - 1] != '/' && strstr(name, "//") == NULL;
}

/* The folder also holds tables and, under two names, everything once more. */
static bool is_no_zone(const char *name)
{
	return name[0] == '.' || strchr(name, '.') != NULL || strcmp(name, "posix") == 0 ||
	       strcmp(name, "right") == 0;
}

/* Offers all names below `folder` (relative, "" at the top), whole and by their last part. */
static void offer_folder(const char *folder, int level, struct arena *arena, struct suggest *whole,
			 struct suggest *city)
{
	char path[sizeof ZONES + 2 * NAME_BYTES_MAX];
	struct dirent *entry;
	DIR *dir;

	snprintf(path, sizeof path, ZONES "/%s", folder);
	dir = opendir(path);
	while (dir != NULL && (entry = readdir(dir)) != NULL) {
		const char *name;

		if (is_no_zone(entry->d_name) || strlen(folder) + strlen(entry->d_name) + 2 > NAME_BYTES_MAX)
			continue;
		name = arena_printf(arena, "%s%s%s", folder, *folder == '\0' ? "" : "/", entry->d_name);
		snprintf(path, sizeof path, ZONES "/%s", name);
		if (entry->d_type == DT_DIR || (entry->d_type == DT_UNKNOWN && is_folder(path))) {
			if (level < LEVELS_MAX)
				offer_folder(name, level + 1, arena, whole, city);
			continue;
		}
		suggest_offer(whole, name, NULL);
		suggest_offer(city, entry->d_name, name);
	}
	if (dir != NULL)
		closedir(dir);
}

bool timezone_exists(const char *name)
{
	char path[sizeof ZONES + 2 * NAME_BYTES_MAX], magic[4];
	autofclose FILE *file = NULL;

	if (!is_well_formed(name))
		return false;
	if (!is_folder(ZONES))
		return true;
	snprintf(path, sizeof path, ZONES "/%s", name);
	file = fopen(path, "re");
	return file != NULL && fread(magic, 1, sizeof magic, file) == sizeof magic &&
	       memcmp(magic, "TZif", 4) == 0;
}

const char *timezone_suggest(struct arena *arena, const char *name)
{
	struct suggest whole = suggest_for(name), city = suggest_for(name);

	offer_folder("", 1, arena, &whole, &city);
	return suggest_best(&whole) != NULL ? suggest_best(&whole) : suggest_best(&city);
}
