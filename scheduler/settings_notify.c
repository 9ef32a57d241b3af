#include "scheduler/settings_notify.h"

#include <string.h>

#include "dag/spec_notify.h"
#include "dag/value.h"
#include "scheduler/settings.h"

static struct notice_terms *terms_of(void *member)
{
	return &(*(struct settings **)member)->notices;
}

static const char *folder_of(const char *path, struct arena *arena)
{
	const char *slash = path == NULL ? NULL : strrchr(path, '/');

	return slash == NULL ? "." : slash == path ? "/" : arena_strndup(arena, path, (size_t)(slash - path));
}

void settings_notify_read(struct spec *spec, const struct field *field, const struct node *value, void *member)
{
	struct notice_terms *terms = terms_of(member);
	struct dag_notify *receivers = NULL;

	spec_notify_read_list(spec, field, value, &receivers, &terms->receivers_count);
	terms->receivers = receivers;
	terms->dir = folder_of((*(struct settings **)member)->path, &spec->dag->arena);
}

void settings_notify_read_sendmail(struct spec *spec, const struct field *field, const struct node *value,
				   void *member)
{
	const char *path = NULL;

	value_path(spec, field, value, &path);
	if (path == NULL)
		return;
	if (path[0] == '/') {
		terms_of(member)->sendmail = path;
		return;
	}
	field_error(spec, value, "'%s' must be the absolute path of a program, found '%.60s'", field->key, path);
	field_remedy(spec, "for example: %s: %s", field->key, field->example);
}

void settings_notify_read_from(struct spec *spec, const struct field *field, const struct node *value, void *member)
{
	if (value_is_text(spec, field->key, value, "an address", field->example) &&
	    spec_notify_is_address(spec, value))
		terms_of(member)->mail_from = value->text;
}

/* Links are the address and a path behind it: a slash at its end would come twice. */
void settings_notify_read_url(struct spec *spec, const struct field *field, const struct node *value, void *member)
{
	const char *url = NULL;
	size_t bytes;

	value_path(spec, field, value, &url);
	if (url == NULL)
		return;
	if ((strncmp(url, "https://", 8) != 0 && strncmp(url, "http://", 7) != 0) || strpbrk(url, " <>|\"\t\r\n") != NULL) {
		field_error(spec, value, "'%s' must be a URL with http or https, found '%.60s'", field->key, url);
		field_remedy(spec, "for example: %s: %s", field->key, field->example);
		return;
	}
	for (bytes = strlen(url); bytes > 0 && url[bytes - 1] == '/';)
		bytes--;
	terms_of(member)->page = arena_strndup(&spec->dag->arena, url, bytes);
}
