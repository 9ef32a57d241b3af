#include "dag/spec.h"

#include <string.h>

#include "common/scope.h"
#include "dag/field.h"
#include "dag/names.h"
#include "dag/naming.h"
#include "dag/spec_env.h"
#include "dag/spec_graph.h"
#include "dag/spec_notify.h"
#include "dag/spec_param.h"
#include "dag/spec_reference.h"
#include "dag/spec_schedule.h"
#include "dag/spec_step.h"
#include "dag/spec_webhook.h"
#include "dag/value.h"

enum { MILLION = 1000 * 1000 };

static void read_name(struct spec *spec, const struct field *field, const struct node *value, void *member)
{
	if (!value_is_text(spec, field->key, value, "a name", field->example))
		return;
	value_is_name(spec, "name of a DAG", value);
	*(const char **)member = value->text; /* Also when it is wrong: the file's name is not asked then. */
}

static void keep_defaults(struct spec *spec, const struct field *field, const struct node *value,
			  void *member)
{
	(void)field;
	(void)member;
	spec->defaults = value;
}

static void keep_steps(struct spec *spec, const struct field *field, const struct node *value, void *member)
{
	(void)field;
	(void)member;
	spec->steps = value;
}

static const struct field file_fields[] = {
	{ "name", read_name, AT(struct dag, name), .example = "nightly-churn" },
	{ "description", value_text, AT(struct dag, description), .example = "retrains the churn model" },
	{ "schedule", spec_schedule_read, 0, .example = "\"30 2 * * *\"" },
	{ "params", spec_param_read, 0, .example = "{lr: 0.01}" },
	{ "env", spec_env_read_dag, 0, .example = "{PYTHONUNBUFFERED: \"1\"}" },
	{ "source", value_path, AT(struct dag, source), .example = "." },
	{ "defaults", keep_defaults, 0, .example = "{retry: {max: 2}}" },
	{ "steps", keep_steps, 0, .example = "{train: {run: python3 train.py}}" },
	{ "concurrency", value_int, AT(struct dag, concurrency), .example = "8", .min = 1, .max = 10000 },
	{ "max_active_runs", value_int, AT(struct dag, max_active_runs), .example = "1", .min = 1,
	  .max = 1000 },
	{ "workdir", value_referable, AT(struct dag, workdir), .example = "/srv/models" },
	{ "priority", value_int, AT(struct dag, priority), .example = "10", .min = -MILLION, .max = MILLION },
	{ "pool", value_name, AT(struct dag, pool), .example = "database" },
	{ "expect_by", spec_notify_read_expect_by, 0, .example = "\"07:00\"" },
	{ "after", spec_schedule_read_after, 0, .example = "{dag: nightly-extract}" },
	{ "notify", spec_notify_read, 0,
	  .example = "{on: [failed], webhook: https://chat.example.org/hooks/42}" },
};

static const struct field_level file_level = { "this file", file_fields, COUNT_OF(file_fields) };

static const struct field_level *const levels[] = {
	&file_level,        &spec_step_level,       &spec_defaults_level,
	&spec_retry_level,  &spec_checkpoint_level, &spec_resources_level,
	&spec_log_level,    &spec_schedule_level,   &spec_after_level,
	&spec_notify_level, &spec_webhook_level,    &spec_secret_level,
	&spec_param_level,
};

/* Keys that begin with "x-" are the author's own, a place for anchors. */
static bool is_own_key(const struct node *key)
{
	return strncmp(key->text, "x-", 2) == 0;
}

static void read_file(struct spec *spec, const struct node *root)
{
	struct node_entry *entries = arena_alloc(&spec->scratch, root->count * sizeof *entries);
	struct node ours = *root;

	ours.count = 0;
	ours.entries = entries;
	for (size_t i = 0; i < root->count; i++) {
		if (!is_own_key(root->entries[i].key))
			entries[ours.count++] = root->entries[i];
	}
	field_read_map(spec, &file_level, &ours, spec->dag);
}

/* "steps: [{name: train, run: ...}]" is what other schedulers want. */
static bool check_steps(struct spec *spec)
{
	const struct node *steps = spec->steps;

	if (steps == NULL) {
		field_error_at(spec, (struct dag_position){ 0 }, 0, "a DAG needs 'steps', here are none");
		field_remedy(spec, "for example: steps: {train: {run: python3 train.py}}");
		return false;
	}
	if (steps->kind == NODE_LIST && steps->count > 0) {
		field_error(spec, steps, "'steps' must be a map, found a list");
		field_remedy(spec, "write the step's name as a key, 'train:' instead of '- name: train'");
		return false;
	}
	if (steps->kind != NODE_MAP || steps->count == 0) {
		field_error(spec, steps, "'steps' is empty: a DAG needs at least one step");
		field_remedy(spec, "for example: train: {run: python3 train.py}");
		return false;
	}
	if (steps->count > DAG_STEPS_MAX) {
		field_error(spec, steps, "%u steps are more than %d", steps->count, DAG_STEPS_MAX);
		return false;
	}
	return true;
}

static void read_steps(struct spec *spec)
{
	const struct node *steps = spec->steps;
	struct dag *dag = spec->dag;

	dag->steps = arena_alloc(&dag->arena, steps->count * sizeof *dag->steps);
	spec->step_bodies = arena_alloc(&spec->scratch, steps->count * sizeof *spec->step_bodies);
	spec->step_needs = arena_alloc(&spec->scratch, steps->count * sizeof *spec->step_needs);
	names_init(dag->steps_by_name, &dag->arena, steps->count);
	for (size_t i = 0; i < steps->count; i++) {
		const struct node_entry *entry = &steps->entries[i];
		struct dag_step *step = &dag->steps[i];

		*step = spec->default_step;
		step->name = entry->key->text;
		step->index = i;
		step->at = entry->key->at;
		spec->step_bodies[i] = entry->value;
		value_is_name(spec, "name of a step", entry->key);
		names_add(dag->steps_by_name, step->name, (uint32_t)i, NULL);
		dag->steps_count++;
		spec_step_read(spec, entry->value, step);
	}
}

/* The file's name without folder and ending; of a link, that of what it leads to, as dag->path is. */
static void name_by_path(struct spec *spec)
{
	struct dag *dag = spec->dag;
	const char *slash = strrchr(dag->path, '/');
	char *name = arena_strdup(&dag->arena, slash == NULL ? dag->path : slash + 1);
	char *dot = strrchr(name, '.');

	if (dot != NULL && (strcmp(dot, ".yaml") == 0 || strcmp(dot, ".yml") == 0))
		*dot = '\0';
	dag->name = name;
	if (naming_valid(name))
		return;
	field_error_at(spec, (struct dag_position){ 0 }, 0, "the file's name '%.80s' cannot be the DAG's",
		       name);
	field_remedy(spec, "add for example: name: nightly-churn");
}

/* What one key says and another contradicts. */
static void check_relations(struct spec *spec)
{
	struct dag *dag = spec->dag;

	if (spec->expect_by != NULL && dag->schedules == NULL)
		field_warning(spec, spec->expect_by,
			      "'expect_by' has no effect on a DAG that has no 'schedule'");
	for (size_t i = 0; i < dag->params_count && dag->schedules_count > 0; i++) {
		const struct dag_param *param = &dag->params[i];

		if (param->fallback != NULL)
			continue;
		field_error_at(spec, param->at, (uint32_t)strlen(param->name),
			       "parameter '%s' has no default, but a scheduled run is given none",
			       param->name);
		field_remedy(spec, "give it a default, or remove 'schedule'");
	}
	for (size_t i = 0; i < dag->after_count; i++) {
		if (dag->after[i].dag != NULL && strcmp(dag->after[i].dag, dag->name) == 0)
			field_error_at(spec, dag->after[i].at, 1, "DAG '%s' would wait for itself",
				       dag->name);
	}
}

void spec_read(struct dag *dag, const struct document *document, struct diagnostics *diagnostics)
{
	struct spec spec = {
		.dag = dag,
		.document = document,
		.diagnostics = diagnostics,
		.levels = levels,
		.levels_count = COUNT_OF(levels),
		.step = SIZE_MAX,
	};
	const struct node *root = document->root;

	if (node_is_null(root)) {
		field_error_at(&spec, (struct dag_position){ 0 }, 0, "the file is empty");
		return;
	}
	if (root->kind != NODE_MAP) {
		field_error(&spec, root, "a DAG file is a map, this is a %s",
			    root->kind == NODE_LIST ? "list" : "single value");
		field_remedy(&spec, "it begins for example with 'steps:'");
		return;
	}
	arena_init(&spec.scratch);
	dag->concurrency = 8;
	dag->max_active_runs = 1;
	dag->expect_by_minute = -1;
	read_file(&spec, root);
	if (dag->name == NULL)
		name_by_path(&spec);
	spec_step_read_defaults(&spec);
	if (check_steps(&spec)) {
		read_steps(&spec);
		spec_reference_check(&spec, spec_graph_link(&spec));
	}
	check_relations(&spec);
	free(spec.sites);
	arena_fini(&spec.scratch);
}
