#include "scheduler/settings.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/mem.h"
#include "common/scope.h"
#include "dag/document.h"
#include "dag/field.h"
#include "dag/naming.h"
#include "dag/read.h"
#include "dag/scalar.h"
#include "dag/spec_notify.h"
#include "dag/spec_schedule.h"
#include "dag/spec_step.h"
#include "dag/spec_webhook.h"
#include "dag/value.h"
#include "scheduler/settings_daemon.h"
#include "scheduler/settings_notify.h"
#include "scheduler/settings_pools.h"
#include "scheduler/settings_retention.h"
#include "scheduler/settings_web.h"

#define SECOND_MS INT64_C(1000)

static const char LOCAL[] = "local";
static const char *const choice_words[] = { "auto", "libssh2", "openssh", NULL }; /* enum ssh_choice */

enum { LABELS_MAX = 32 };

/* What is read of one worker, before it is told whether it is remote. */
struct draft {
	struct settings_worker worker;
	const char *ssh;
	const char **labels;
	const char **identities;
};

/* --- keys of a worker ----------------------------------------------------------------------------------- */

/* One text or a list of them. */
static size_t read_list(struct spec *spec, const struct field *field, const struct node *value,
			const char *what, const char ***list_out)
{
	size_t count = value->kind == NODE_LIST ? value->count : 1, kept = 0;

	if (value->kind == NODE_MAP || node_is_null(value) || count > LABELS_MAX) {
		value_wrong_type(spec, field->key, value, what, field->example);
		return 0;
	}
	*list_out = arena_alloc(&spec->dag->arena, (count + 1) * sizeof **list_out);
	for (size_t i = 0; i < count; i++) {
		const struct node *item = value->kind == NODE_LIST ? value->items[i] : value;

		if (value_is_text(spec, field->key, item, what, field->example))
			(*list_out)[kept++] = item->text;
	}
	return kept;
}

static void read_labels(struct spec *spec, const struct field *field, const struct node *value, void *member)
{
	struct draft *draft = member;
	struct worker_terms *terms = &draft->worker.terms;

	terms->labels_count = read_list(spec, field, value, "a label or a list of these", &draft->labels);
	for (size_t i = 0; i < terms->labels_count; i++)
		if (!naming_valid(draft->labels[i])) {
			field_error(spec, value, "'%.60s' cannot be a label", draft->labels[i]);
			field_remedy(spec, "letters, digits, '_', '.' and '-', as in a name");
		}
	terms->labels = draft->labels;
}

static void read_identity(struct spec *spec, const struct field *field, const struct node *value,
			  void *member)
{
	struct draft *draft = member;

	draft->worker.target.identities_count =
		read_list(spec, field, value, "a key file or a list of these", &draft->identities);
	draft->worker.target.identities = draft->identities;
}

static void read_resources(struct spec *spec, const struct field *field, const struct node *value,
			   void *member)
{
	struct worker_terms *terms = &((struct draft *)member)->worker.terms;

	if (!value_is_map(spec, field->key, value, field->example))
		return;
	field_read_map(spec, &spec_resources_level, value, &terms->most);
	terms->gpus_set = node_get(value, "gpus") != NULL;
}

static const struct field worker_fields[] = {
	{ "ssh", value_path, AT(struct draft, ssh), .example = "alice@gpu1.lan" },
	{ "labels", read_labels, 0, .example = "[gpu]" },
	{ "root", value_path, AT(struct draft, worker.target.root), .example = "~/.stoker" },
	{ "resources", read_resources, 0, .example = "{cpus: 8, memory: 64G, gpus: 2}" },
	{ "slots", value_int, AT(struct draft, worker.terms.slots), .example = "8", .min = 1, .max = 10000 },
	{ "transport", value_choice, AT(struct draft, worker.target.choice), .words = choice_words },
	{ "identity", read_identity, 0, .example = "~/.ssh/id_ed25519" },
	{ "known_hosts", value_path, AT(struct draft, worker.target.known_hosts),
	  .example = "~/.ssh/known_hosts" },
	{ "jump", value_path, AT(struct draft, worker.target.jump), .example = "bastion.lan" },
	{ "ssh_config", value_path, AT(struct draft, worker.target.config_file), .example = "~/.ssh/config" },
	{ "connect_timeout", value_duration, AT(struct draft, worker.target.connect_timeout_ms),
	  .example = "15s", .min = SECOND_MS, .max = 600 * SECOND_MS },
};

static const struct field_level worker_level = { "worker", worker_fields, COUNT_OF(worker_fields) };

static const struct field local_fields[] = {
	{ "labels", read_labels, 0, .example = "[gpu]" },
	{ "resources", read_resources, 0, .example = "{cpus: 8, memory: 64G, gpus: 2}" },
	{ "slots", value_int, AT(struct draft, worker.terms.slots), .example = "8", .min = 1, .max = 10000 },
};

static const struct field_level local_level = { "worker", local_fields, COUNT_OF(local_fields) };

/* --- the file ------------------------------------------------------------------------------------------- */

struct reading {
	struct settings *settings;
	size_t room;
	bool no_local;
	const char *timezone;
};

static void add_worker(struct reading *reading, const struct settings_worker *worker)
{
	struct settings *settings = reading->settings;

	mem_grow(&settings->workers, &reading->room, settings->workers_count, sizeof *settings->workers);
	settings->workers[settings->workers_count++] = *worker;
}

static void read_local(struct spec *spec, struct reading *reading, const struct node *value)
{
	struct draft draft = { .worker.name = LOCAL };
	bool wanted;

	if (value->kind == NODE_SCALAR && value->plain && scalar_bool(value->text, &wanted)) {
		reading->no_local = !wanted;
		return;
	}
	if (!value_is_map(spec, LOCAL, value, "{slots: 2}"))
		return;
	field_read_map(spec, &local_level, value, &draft);
	add_worker(reading, &draft.worker);
}

static void read_worker(struct spec *spec, struct reading *reading, const struct node *key,
			const struct node *value)
{
	struct draft draft = { .worker.name = key->text };

	value_is_name(spec, "name of a worker", key);
	if (value->kind == NODE_MAP)
		field_read_map(spec, &worker_level, value, &draft);
	else if (!node_is_null(value) && value_is_text(spec, key->text, value, "a map or an address", NULL))
		draft.ssh = value->text;
	draft.worker.terms.remote = true;
	draft.worker.target.worker = key->text;
	draft.worker.target.destination = draft.ssh != NULL ? draft.ssh : key->text;
	if (draft.worker.target.root == NULL)
		draft.worker.target.root = "~/.stoker";
	if (draft.worker.target.destination[0] == '-') {
		field_error(spec, value, "'%.60s' is no address: it begins with '-'",
			    draft.worker.target.destination);
		field_remedy(spec, "[user@]host[:port], or an alias of ~/.ssh/config");
	}
	add_worker(reading, &draft.worker);
}

static void read_workers(struct spec *spec, const struct field *field, const struct node *value, void *member)
{
	struct reading *reading = member;

	if (!value_is_map(spec, field->key, value, field->example))
		return;
	if (value->count >= CORE_WORKERS_MAX) {
		field_error(spec, value, "%u workers are more than %d", value->count, CORE_WORKERS_MAX - 1);
		return;
	}
	for (size_t i = 0; i < value->count; i++) {
		const struct node_entry *entry = &value->entries[i];

		spec->step_name = entry->key->text;
		spec->step_word = "worker";
		if (strcmp(entry->key->text, LOCAL) == 0)
			read_local(spec, reading, entry->value);
		else
			read_worker(spec, reading, entry->key, entry->value);
		spec->step_name = NULL;
	}
}

static void read_retention(struct spec *spec, const struct field *field, const struct node *value, void *member)
{
	settings_read_retention(spec, field, value, &((struct reading *)member)->settings->retention);
}

static const struct field file_fields[] = {
	{ "timezone", spec_schedule_read_timezone, AT(struct reading, timezone), .example = "Europe/Berlin" },
	{ "retention", read_retention, 0, .example = "{runs: {age: 365d, keep: 100}}" },
	{ "workers", read_workers, 0, .example = "{gpu1: {ssh: alice@gpu1.lan, labels: [gpu]}}" },
	{ "dags", settings_read_dags, AT(struct reading, settings), .example = "[~/churn/dags]" },
	{ "max_active_runs", settings_read_max_active_runs, AT(struct reading, settings), .example = "64", .min = 1,
	  .max = 10000 },
	{ "realtime", settings_read_realtime, AT(struct reading, settings), .example = "false" },
	{ "web", settings_read_web, AT(struct reading, settings), .example = "{listen: [\"127.0.0.1:8765\"]}" },
	{ "pools", settings_read_pools, AT(struct reading, settings), .example = "{gpu-jobs: 2, database: 1}" },
	{ "notify", settings_notify_read, AT(struct reading, settings), .example = "{on: [failed, late], mail: ops@example.org}" },
	{ "sendmail", settings_notify_read_sendmail, AT(struct reading, settings), .example = "/usr/sbin/sendmail" },
	{ "mail_from", settings_notify_read_from, AT(struct reading, settings), .example = "stoker@example.org" },
	{ "url", settings_notify_read_url, AT(struct reading, settings), .example = "https://stoker.example.org" },
};

static const struct field_level file_level = { "this file", file_fields, COUNT_OF(file_fields) };
static const struct field_level *const levels[] = {
	&file_level,	    &worker_level,	&spec_resources_level,	 &settings_pool_level,
	&spec_notify_level, &spec_webhook_level, &spec_secret_level,	 &settings_web_level,
	&settings_web_tls_level, &settings_web_shared_level, &settings_retention_level,
};

static void read_root(struct reading *reading, struct dag *holder, const struct document *document,
		      struct diagnostics *diagnostics)
{
	struct spec spec = {
		.dag = holder,
		.document = document,
		.diagnostics = diagnostics,
		.levels = levels,
		.levels_count = COUNT_OF(levels),
		.step = SIZE_MAX,
	};
	const struct node *root = document->root;

	if (node_is_null(root))
		return; /* a file of comments */
	arena_init(&spec.scratch);
	if (root->kind == NODE_MAP) {
		field_read_map(&spec, &file_level, root, reading);
	} else {
		field_error(&spec, root, "the settings are a map, this is a %s",
			    root->kind == NODE_LIST ? "list" : "single value");
		field_remedy(&spec, "it begins for example with 'workers:'");
	}
	free(spec.sites);
	arena_fini(&spec.scratch);
}

static const char *home_folder(void)
{
	const char *home = getenv("HOME");

	return home != NULL && home[0] == '/' ? home : NULL;
}

/* "~/x" is meant for this machine; the remote root is for the other one and stays as it is. */
static const char *expand_home(struct arena *arena, const char *path)
{
	if (path == NULL || path[0] != '~' || path[1] != '/' || home_folder() == NULL)
		return path;
	return arena_printf(arena, "%s%s", home_folder(), path + 1);
}

static void expand_paths(struct settings *settings)
{
	for (size_t i = 0; i < settings->workers_count; i++) {
		struct ssh_target *target = &settings->workers[i].target;
		const char **keys = arena_alloc(&settings->arena, (target->identities_count + 1) * sizeof *keys);

		for (size_t k = 0; k < target->identities_count; k++)
			keys[k] = expand_home(&settings->arena, target->identities[k]);
		target->identities = keys;
		target->known_hosts = expand_home(&settings->arena, target->known_hosts);
		target->config_file = expand_home(&settings->arena, target->config_file);
	}
}

static const char *find_file(struct arena *arena, const char *named)
{
	const char *config = getenv("XDG_CONFIG_HOME"), *path = NULL;

	if (named == NULL)
		named = getenv("STOKER_CONFIG");
	if (named != NULL && named[0] != '\0')
		return named;
	if (config != NULL && config[0] == '/')
		path = arena_printf(arena, "%s/stoker/stoker.yaml", config);
	else if (home_folder() != NULL)
		path = arena_printf(arena, "%s/.config/stoker/stoker.yaml", home_folder());
	if (path != NULL && access(path, F_OK) == 0)
		return path;
	return access("/etc/stoker/stoker.yaml", F_OK) == 0 ? "/etc/stoker/stoker.yaml" : NULL;
}

/* The readers of values keep what they make in the arena of a DAG: one that is lent the settings' own. */
static int read_settings(struct settings *settings, struct reading *reading, struct diagnostics *diagnostics)
{
	autodocument struct document document = { 0 };
	struct dag holder = { .arena = settings->arena };
	size_t errors_before = diagnostics->errors;
	size_t bytes;
	const char *text;
	int rc = read_file(settings->path, &holder.arena, &text, &bytes, diagnostics);

	if (rc == 0)
		rc = document_parse(&document, &holder.arena, settings->path, text, bytes, diagnostics);
	if (rc == 0)
		read_root(reading, &holder, &document, diagnostics);
	settings->arena = holder.arena;
	if (rc == 0 && diagnostics->errors > errors_before)
		rc = ERR_INVALID;
	return rc;
}

static void add_local(struct reading *reading)
{
	if (settings_find(reading->settings, LOCAL) == NULL && !reading->no_local)
		add_worker(reading, &(struct settings_worker){ .name = LOCAL });
}

static bool same_text(const char *a, const char *b)
{
	return a == b || (a != NULL && b != NULL && strcmp(a, b) == 0);
}

static bool same_list(const char *const *a, size_t a_count, const char *const *b, size_t b_count)
{
	if (a_count != b_count)
		return false;
	for (size_t i = 0; i < a_count; i++)
		if (!same_text(a[i], b[i]))
			return false;
	return true;
}

int settings_load(const char *named, struct settings **settings_out, struct diagnostics *diagnostics)
{
	autosettings struct settings *settings = mem_zalloc(sizeof *settings);
	struct reading reading = { .settings = settings };
	int rc = 0;

	arena_init(&settings->arena);
	retention_init(&settings->retention);
	settings->path = find_file(&settings->arena, named);
	if (settings->path != NULL)
		rc = read_settings(settings, &reading, diagnostics);
	if (rc < 0)
		return rc;
	add_local(&reading);
	settings_place_dags(settings);
	settings->timezone = reading.timezone;
	settings_place_web(settings);
	expand_paths(settings);
	*settings_out = take(settings);
	return 0;
}

void settings_free(struct settings *settings)
{
	if (settings == NULL)
		return;
	free(settings->workers);
	arena_fini(&settings->arena);
	free(settings);
}

const struct settings_worker *settings_find(const struct settings *settings, const char *name)
{
	for (size_t i = 0; i < settings->workers_count; i++)
		if (strcmp(settings->workers[i].name, name) == 0)
			return &settings->workers[i];
	return NULL;
}

bool settings_same_terms(const struct settings_worker *a, const struct settings_worker *b)
{
	const struct worker_terms *x = &a->terms, *y = &b->terms;

	return same_list(x->labels, x->labels_count, y->labels, y->labels_count) && x->remote == y->remote &&
	       x->gpus_set == y->gpus_set && x->slots == y->slots && x->most.cpus_milli == y->most.cpus_milli &&
	       x->most.memory_bytes == y->most.memory_bytes && x->most.gpus == y->most.gpus;
}

bool settings_same_target(const struct settings_worker *a, const struct settings_worker *b)
{
	const struct ssh_target *x = &a->target, *y = &b->target;

	return a->terms.remote == b->terms.remote && same_text(x->destination, y->destination) &&
	       same_text(x->root, y->root) && same_text(x->jump, y->jump) &&
	       same_text(x->config_file, y->config_file) && same_text(x->known_hosts, y->known_hosts) &&
	       same_list((const char *const *)x->identities, x->identities_count,
			 (const char *const *)y->identities, y->identities_count) &&
	       x->choice == y->choice && x->connect_timeout_ms == y->connect_timeout_ms;
}
