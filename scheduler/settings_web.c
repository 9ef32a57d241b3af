#include "scheduler/settings_web.h"

#include <stdlib.h>
#include <string.h>

#include "common/scope.h"
#include "dag/scalar.h"
#include "dag/value.h"
#include "scheduler/settings.h"
#include "web/auth.h"
#include "web/listen.h"

enum { LIST_MAX = 16 };

/* --- lists ------------------------------------------------------------------------------------------------ */

/* Tells what is wrong with an item; false then. */
typedef bool check_item(struct spec *spec, const struct node *item);

static bool is_address(struct spec *spec, const struct node *item)
{
	struct listen_address address;
	struct err err;

	if (listen_parse(item->text, &address, &err) == 0)
		return true;
	field_error(spec, item, "'%.80s' is no address to listen on", item->text);
	field_remedy(spec, "numbers and a port, as in 127.0.0.1:8765 or \"[::1]:8765\"");
	return false;
}

static bool is_host(struct spec *spec, const struct node *item)
{
	char name[256];

	if (auth_host_name(item->text, name) && strcmp(name, item->text) == 0)
		return true;
	field_error(spec, item, "'%.80s' is no host name", item->text);
	field_remedy(spec, "the name that browsers use, without scheme and port, as in gpu-head.lan");
	return false;
}

static size_t read_list(struct spec *spec, const struct field *field, const struct node *value, check_item *check,
			const char ***list_out)
{
	size_t count = value->kind == NODE_LIST ? value->count : 1, kept = 0;

	if (value->kind == NODE_MAP || node_is_null(value) || count > LIST_MAX) {
		value_wrong_type(spec, field->key, value, "one of these or a list of at most 16", field->example);
		return 0;
	}
	*list_out = arena_alloc(&spec->dag->arena, (count + 1) * sizeof **list_out);
	for (size_t i = 0; i < count; i++) {
		const struct node *item = value->kind == NODE_LIST ? value->items[i] : value;

		if (value_is_text(spec, field->key, item, "a text", field->example) && check(spec, item))
			(*list_out)[kept++] = item->text;
	}
	return kept;
}

static void read_listen(struct spec *spec, const struct field *field, const struct node *value, void *member)
{
	struct settings_web *web = member;

	web->listen_given = true;
	web->listen_count = read_list(spec, field, value, is_address, &web->listen);
}

static void read_hosts(struct spec *spec, const struct field *field, const struct node *value, void *member)
{
	struct settings_web *web = member;

	web->hosts_count = read_list(spec, field, value, is_host, &web->hosts);
}

/* --- maps ------------------------------------------------------------------------------------------------- */

static const struct field tls_fields[] = {
	{ "certificate", value_path, AT(struct settings_web, certificate_path), .example = "/etc/stoker/cert.pem" },
	{ "key", value_path, AT(struct settings_web, key_path), .example = "/etc/stoker/key.pem" },
};

static const struct field shared_fields[] = {
	{ "socket", value_path, AT(struct settings_web, shared_path), .example = "/run/stoker/stoker.sock" },
	{ "group", value_text, AT(struct settings_web, shared_group), .example = "ops" },
};

const struct field_level settings_web_tls_level = { "'tls'", tls_fields, COUNT_OF(tls_fields) };
const struct field_level settings_web_shared_level = { "'shared'", shared_fields, COUNT_OF(shared_fields) };

/* Half of a pair is of no use. */
static void read_pair(struct spec *spec, const struct field *field, const struct node *value, void *member,
		      const struct field_level *level)
{
	if (!value_is_map(spec, field->key, value, field->example))
		return;
	field_read_map(spec, level, value, member);
	for (size_t i = 0; i < level->count; i++)
		if (node_get(value, level->fields[i].key) == NULL) {
			field_error(spec, value, "'%s' lacks '%s'", field->key, level->fields[i].key);
			field_remedy(spec, "for example: %s: %s", field->key, field->example);
		}
}

static void read_tls(struct spec *spec, const struct field *field, const struct node *value, void *member)
{
	read_pair(spec, field, value, member, &settings_web_tls_level);
}

static void read_shared(struct spec *spec, const struct field *field, const struct node *value, void *member)
{
	struct settings_web *web = member;

	read_pair(spec, field, value, member, &settings_web_shared_level);
	if (web->shared_path != NULL && web->shared_path[0] != '/' && web->shared_path[0] != '~') {
		field_error(spec, node_get(value, "socket"), "'socket' is an absolute path");
		field_remedy(spec, "in a folder that the group can enter, as in /run/stoker/stoker.sock");
	}
}

static const struct field web_fields[] = {
	{ "listen", read_listen, 0, .example = "[\"127.0.0.1:8765\"]" },
	{ "hosts", read_hosts, 0, .example = "[gpu-head.lan]" },
	{ "tls", read_tls, 0, .example = "{certificate: /etc/stoker/cert.pem, key: /etc/stoker/key.pem}" },
	{ "behind_proxy", value_bool, AT(struct settings_web, behind_proxy), .example = "true" },
	{ "shared", read_shared, 0, .example = "{socket: /run/stoker/stoker.sock, group: ops}" },
};

const struct field_level settings_web_level = { "'web'", web_fields, COUNT_OF(web_fields) };

void settings_read_web(struct spec *spec, const struct field *field, const struct node *value, void *member)
{
	struct settings_web *web = &(*(struct settings **)member)->web;
	bool wanted;

	if (value->kind == NODE_SCALAR && value->plain && scalar_bool(value->text, &wanted))
		web->off = !wanted;
	else if (value_is_map(spec, field->key, value, field->example))
		field_read_map(spec, &settings_web_level, value, web);
}

/* --- what follows ----------------------------------------------------------------------------------------- */

static void expand(struct arena *arena, const char **path)
{
	const char *home = getenv("HOME");

	if (*path != NULL && (*path)[0] == '~' && (*path)[1] == '/' && home != NULL && home[0] == '/')
		*path = arena_printf(arena, "%s%s", home, *path + 1);
}

void settings_place_web(struct settings *settings)
{
	struct settings_web *web = &settings->web;

	expand(&settings->arena, &web->certificate_path);
	expand(&settings->arena, &web->key_path);
	expand(&settings->arena, &web->shared_path);
	if (web->off || web->listen_given)
		return;
	web->listen = arena_alloc(&settings->arena, sizeof *web->listen);
	web->listen[0] = SETTINGS_WEB_LISTEN;
	web->listen_count = 1;
}
