#include "dag/spec_webhook.h"

#include <ctype.h>
#include <string.h>
#include <strings.h>

#include "common/scope.h"
#include "dag/naming.h"
#include "dag/value.h"

enum { HEADERS_MAX = 32, HEADER_BYTES_MAX = 4096, URL_BYTES_MAX = 2048 };

static const char URL_EXAMPLE[] = "https://chat.example.org/hooks/42";
static const char *const format_words[] = { "json", "slack", NULL }; /* enum dag_notify_format */

/* What the request carries of its own accord; two of a kind would let every reader choose. */
static const char *const own_headers[] = { "Host",	     "Content-Length",	"Content-Type",	   "Transfer-Encoding",
					   "Connection",     "Expect",		"Content-Encoding", "X-Stoker-Event",
					   "X-Stoker-Delivery", "X-Stoker-Signature" };

/* --- the address ---------------------------------------------------------------------------------------- */

static size_t scheme_bytes(const char *url)
{
	return strncasecmp(url, "https://", 8) == 0 ? 8 : strncasecmp(url, "http://", 7) == 0 ? 7 : 0;
}

/* Blanks and control characters have no place in a URL; curl would take some of them. */
static const char *find_stray(const char *url)
{
	for (; *url != '\0'; url++)
		if ((unsigned char)*url <= ' ' || *url == 0x7f)
			return url;
	return NULL;
}

static void read_url(struct spec *spec, const struct field *field, const struct node *value, void *member)
{
	const char *text = NULL;

	value_path(spec, field, value, &text);
	if (text == NULL)
		return;
	if (scheme_bytes(text) == 0) {
		field_error(spec, value, "'%s' must be a URL with http or https, found '%.60s'", field->key, text);
		field_remedy(spec, "for example: %s: %s", field->key, URL_EXAMPLE);
	} else if (strchr("/?#:", text[scheme_bytes(text)]) != NULL) {
		field_error(spec, value, "'%s' names no host: '%.60s'", field->key, text);
		field_remedy(spec, "for example: %s: %s", field->key, URL_EXAMPLE);
	} else if (find_stray(text) != NULL) {
		field_error(spec, value, "'%s' holds a blank or a control character", field->key);
		field_remedy(spec, "write %%20 for a blank");
	} else if (value->count > URL_BYTES_MAX) {
		field_error(spec, value, "'%s' is longer than %d bytes", field->key, URL_BYTES_MAX);
	} else {
		*(const char **)member = text;
	}
}

/* --- what is not written down --------------------------------------------------------------------------- */

static void read_env_name(struct spec *spec, const struct field *field, const struct node *value, void *member)
{
	if (!value_is_text(spec, field->key, value, "the name of a variable", field->example))
		return;
	if (naming_valid_variable(value->text)) {
		*(const char **)member = value->text;
		return;
	}
	field_error(spec, value, "'%.60s' is no valid name of an environment variable", value->text);
	field_remedy(spec, "for example: %s: %s", field->key, field->example);
}

static void read_secret_path(struct spec *spec, const struct field *field, const struct node *value, void *member)
{
	const char *path = NULL;

	value_path(spec, field, value, &path);
	if (path == NULL)
		return;
	if (path[0] == '/' || strncmp(path, "~/", 2) == 0) {
		*(const char **)member = path;
		return;
	}
	field_error(spec, value, "'%s' must be an absolute path, found '%.60s'", field->key, path);
	field_remedy(spec, "for example: %s: %s", field->key, field->example);
}

static const struct field secret_fields[] = {
	{ "env", read_env_name, AT(struct dag_secret, env), .example = "HOOK_SECRET" },
	{ "file", read_secret_path, AT(struct dag_secret, file), .example = "/etc/stoker/hook.secret" },
};

const struct field_level spec_secret_level = { "'secret'", secret_fields, COUNT_OF(secret_fields) };

static void read_reference(struct spec *spec, const char *key, const struct node *value, struct dag_secret *secret)
{
	bool env = node_get(value, "env") != NULL, file = node_get(value, "file") != NULL;

	field_read_map(spec, &spec_secret_level, value, secret);
	if (env == file) {
		field_error(spec, value, "'%.60s' needs %s 'env' %s 'file'", key, env ? "either" : "one of",
			    env ? "or" : "and");
		field_remedy(spec, "for example: {env: HOOK_SECRET}");
	}
}

static void read_secret(struct spec *spec, const struct field *field, const struct node *value, void *member)
{
	if (value->kind == NODE_MAP) {
		read_reference(spec, field->key, value, member);
	} else if (value->kind == NODE_SCALAR && !node_is_null(value)) {
		field_error(spec, value, "'%s' must not stand in the file, which is kept with every run", field->key);
		field_remedy(spec, "name a variable or a file of the scheduler's: %s: %s", field->key, field->example);
	} else {
		value_wrong_type(spec, field->key, value, "a map", field->example);
	}
}

/* --- headers -------------------------------------------------------------------------------------------- */

/* RFC 9110, section 5.6.2: token. */
static bool is_token(const char *text)
{
	for (const char *at = text; *at != '\0'; at++)
		if (!isalnum((unsigned char)*at) && strchr("!#$%&'*+-.^_`|~", *at) == NULL)
			return false;
	return *text != '\0' && strlen(text) <= 100;
}

static bool check_name(struct spec *spec, const struct node *map, uint32_t index)
{
	const struct node *key = map->entries[index].key;

	if (!is_token(key->text)) {
		field_error(spec, key, "'%.60s' cannot be the name of a header", key->text);
		return false;
	}
	for (size_t i = 0; i < COUNT_OF(own_headers); i++)
		if (strcasecmp(key->text, own_headers[i]) == 0) {
			field_error(spec, key, "'%s' cannot be set: stoker sets it itself", own_headers[i]);
			return false;
		}
	for (uint32_t i = 0; i < index; i++)
		if (strcasecmp(key->text, map->entries[i].key->text) == 0) {
			field_error(spec, key, "header '%.60s' is there already", key->text);
			return false;
		}
	return true;
}

/* A line break would begin a header of its own. */
static bool check_text(struct spec *spec, const struct node *key, const struct node *value)
{
	if (!value_is_text(spec, "headers", value, "a text, {env: NAME} or {file: PATH}", NULL))
		return false;
	if (!value_has_no_reference(spec, "headers", value))
		return false;
	if (value->count > HEADER_BYTES_MAX) {
		field_error(spec, value, "header '%.60s' is longer than %d bytes", key->text, HEADER_BYTES_MAX);
		return false;
	}
	for (const char *at = value->text; *at != '\0'; at++)
		if (iscntrl((unsigned char)*at) && *at != '\t') {
			field_error(spec, value, "header '%.60s' holds a line break or a control character", key->text);
			return false;
		}
	return true;
}

static void read_headers(struct spec *spec, const struct field *field, const struct node *value, void *member)
{
	struct dag_notify *notify = member;

	if (!value_is_map(spec, field->key, value, field->example))
		return;
	if (value->count > HEADERS_MAX) {
		field_error(spec, value, "%u headers are more than %d", value->count, HEADERS_MAX);
		return;
	}
	notify->headers = arena_alloc(&spec->dag->arena, (value->count + 1) * sizeof *notify->headers);
	for (uint32_t i = 0; i < value->count; i++) {
		const struct node_entry *entry = &value->entries[i];
		struct dag_header header = { .name = entry->key->text };

		if (!check_name(spec, value, i))
			continue;
		if (entry->value->kind == NODE_MAP)
			read_reference(spec, entry->key->text, entry->value, &header.value);
		else if (check_text(spec, entry->key, entry->value))
			header.value.text = entry->value->text;
		notify->headers[notify->headers_count++] = header;
	}
}

static const struct field webhook_fields[] = {
	{ "url", read_url, AT(struct dag_notify, webhook), .example = URL_EXAMPLE },
	{ "format", value_choice, AT(struct dag_notify, format), .words = format_words },
	{ "secret", read_secret, AT(struct dag_notify, secret), .example = "{env: HOOK_SECRET}" },
	{ "headers", read_headers, 0, .example = "{Authorization: {env: HOOK_TOKEN}}" },
};

const struct field_level spec_webhook_level = { "'webhook'", webhook_fields, COUNT_OF(webhook_fields) };

void spec_webhook_read(struct spec *spec, const struct field *field, const struct node *value, void *member)
{
	struct dag_notify *notify = member;

	if (value->kind != NODE_MAP) {
		read_url(spec, field, value, &notify->webhook);
		return;
	}
	field_read_map(spec, &spec_webhook_level, value, notify);
	if (node_get(value, "url") == NULL) {
		field_error(spec, value, "'webhook' needs 'url', where to post to");
		field_remedy(spec, "for example: webhook: {url: %s, format: slack}", URL_EXAMPLE);
	}
}
