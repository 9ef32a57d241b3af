#include "scheduler/settings_daemon.h"

#include <stdlib.h>
#include <string.h>

#include "common/scope.h"
#include "dag/value.h"
#include "scheduler/registry.h"
#include "scheduler/settings.h"

void settings_read_dags(struct spec *spec, const struct field *field, const struct node *value, void *member)
{
	struct settings_daemon *daemon = &(*(struct settings **)member)->daemon;
	size_t count = value->kind == NODE_LIST ? value->count : 1;
	const char **places;

	if (value->kind == NODE_MAP || node_is_null(value) || count > REGISTRY_PLACES_MAX) {
		field_error(spec, value, "'dags' is a folder, a DAG file, or a list of at most %d of these",
			    REGISTRY_PLACES_MAX);
		field_remedy(spec, "for example: dags: %s", field->example);
		return;
	}
	places = arena_alloc(&spec->dag->arena, (count + 1) * sizeof *places);
	for (size_t i = 0; i < count; i++)
		value_path(spec, field, value->kind == NODE_LIST ? value->items[i] : value, &places[daemon->places_count++]);
	daemon->places = places;
}

void settings_read_max_active_runs(struct spec *spec, const struct field *field, const struct node *value,
				   void *member)
{
	value_int(spec, field, value, &(*(struct settings **)member)->daemon.active_max);
}

void settings_read_realtime(struct spec *spec, const struct field *field, const struct node *value,
			    void *member)
{
	bool on = true;

	value_bool(spec, field, value, &on);
	(*(struct settings **)member)->daemon.realtime_off = !on;
}

static const char *folder_of(struct arena *arena, const char *path)
{
	const char *slash = strrchr(path, '/');

	return slash == NULL ? "." : slash == path ? "/" : arena_strndup(arena, path, (size_t)(slash - path));
}

static const char *usual_folder(struct arena *arena)
{
	const char *config = getenv("XDG_CONFIG_HOME"), *home = getenv("HOME");

	if (config != NULL && config[0] == '/')
		return arena_printf(arena, "%s/stoker", config);
	if (home != NULL && home[0] == '/')
		return arena_printf(arena, "%s/.config/stoker", home);
	return "/etc/stoker";
}

/* Where stoker.yaml is, absolute. */
static const char *base_folder(struct settings *settings)
{
	autofree char *real = settings->path == NULL ? NULL : realpath(settings->path, NULL);

	return real == NULL ? usual_folder(&settings->arena) : folder_of(&settings->arena, real);
}

void settings_place_dags(struct settings *settings)
{
	struct settings_daemon *daemon = &settings->daemon;
	const char *base = base_folder(settings), *home = getenv("HOME");

	if (daemon->places_count == 0) {
		daemon->places = arena_alloc(&settings->arena, sizeof *daemon->places);
		daemon->places[daemon->places_count++] = "dags";
	}
	for (size_t i = 0; i < daemon->places_count; i++) {
		const char *place = daemon->places[i] == NULL ? "" : daemon->places[i];

		if (place[0] == '~' && place[1] == '/' && home != NULL)
			place = arena_printf(&settings->arena, "%s%s", home, place + 1);
		if (place[0] != '/')
			place = arena_printf(&settings->arena, "%s/%s", base, place);
		daemon->places[i] = place;
	}
}
