#include "dag/spec_step.h"

#include <string.h>

#include "common/scope.h"
#include "dag/names.h"
#include "dag/scalar.h"
#include "dag/spec_env.h"
#include "dag/value.h"

#define SECOND_MS INT64_C(1000)
#define DAY_MS (24 * 3600 * SECOND_MS)
#define LEASE_SHORT_MS (10 * SECOND_MS)

enum { UNSET = -1, CPUS_MAX = 4096, ARTIFACTS_MAX = 1000 };

static const char *const resume_words[] = { "preferred", "required", "never", NULL }; /* enum dag_resume */

/* --- retry, checkpoint, resources, log --- */

static const struct field retry_fields[] = {
	{ "max", value_int, AT(struct dag_retry, max), .example = "2", .min = 0, .max = 1000 },
	{ "backoff", value_duration, AT(struct dag_retry, backoff_ms), .example = "30s" },
	{ "max_backoff", value_duration, AT(struct dag_retry, max_backoff_ms), .example = "10m" },
};

const struct field_level spec_retry_level = { "'retry'", retry_fields, COUNT_OF(retry_fields) };

static void read_retry(struct spec *spec, const struct field *field, const struct node *value, void *member)
{
	struct dag_retry *retry = member;

	if (value->kind == NODE_MAP)
		field_read_map(spec, &spec_retry_level, value, retry);
	else if (value->kind == NODE_LIST || node_is_null(value))
		value_wrong_type(spec, field->key, value, "a number or a map", field->example);
	else
		value_int(spec, &(struct field){ .key = field->key, .example = "2", .min = 0, .max = 1000 },
			  value, &retry->max);
}

static const struct field checkpoint_fields[] = {
	{ "dir", value_path, AT(struct dag_checkpoint, dir), .example = "out/checkpoints" },
	{ "keep", value_int, AT(struct dag_checkpoint, keep), .example = "3", .min = 0, .max = 1000 * 1000 },
	{ "settle", value_duration, AT(struct dag_checkpoint, settle_ms), .example = "5s", .max = DAY_MS },
	{ "resume", value_choice, AT(struct dag_checkpoint, resume), .words = resume_words },
	{ "copy", value_bool, AT(struct dag_checkpoint, copy), .example = "true" },
};

const struct field_level spec_checkpoint_level = { "'checkpoint'", checkpoint_fields,
						   COUNT_OF(checkpoint_fields) };

static void read_checkpoint(struct spec *spec, const struct field *field, const struct node *value,
			    void *member)
{
	struct dag_checkpoint *checkpoint = member;

	if (value->kind == NODE_MAP) {
		checkpoint->declared = true;
		field_read_map(spec, &spec_checkpoint_level, value, checkpoint);
	} else if (value->kind != NODE_SCALAR || !value->plain ||
		   !scalar_bool(value->text, &checkpoint->declared)) {
		value_wrong_type(spec, field->key, value, "a map, true or false", field->example);
	}
}

/* 0.5, 2: in thousandths, of which there may be no parts. */
static void read_cpus(struct spec *spec, const struct field *field, const struct node *value, void *member)
{
	const double tiny = 1e-6;
	int64_t milli;
	double cpus;

	if (!value_is_text(spec, field->key, value, "a number", field->example))
		return;
	if (!value->plain || !scalar_float(value->text, &cpus)) {
		value_wrong_type(spec, field->key, value, "a number", field->example);
		return;
	}
	if (cpus < 0 || cpus > CPUS_MAX) {
		field_error(spec, value, "'%s' must be from 0 to %d, found %.40s", field->key, CPUS_MAX,
			    value->text);
		return;
	}
	milli = (int64_t)(cpus * 1000 + 0.5);
	if (cpus * 1000 - (double)milli > tiny || (double)milli - cpus * 1000 > tiny)
		field_error(spec, value, "'%s' takes at most three decimals, found %.40s", field->key,
			    value->text);
	else
		*(int64_t *)member = milli;
}

static const struct field resources_fields[] = {
	{ "cpus", read_cpus, AT(struct dag_resources, cpus_milli), .example = "0.5" },
	{ "memory", value_size, AT(struct dag_resources, memory_bytes), .example = "16G" },
	{ "gpus", value_int, AT(struct dag_resources, gpus), .example = "1", .min = 0, .max = 1024 },
};

const struct field_level spec_resources_level = { "'resources'", resources_fields,
						  COUNT_OF(resources_fields) };

static void read_resources(struct spec *spec, const struct field *field, const struct node *value,
			   void *member)
{
	if (value_is_map(spec, field->key, value, field->example))
		field_read_map(spec, &spec_resources_level, value, member);
}

static const struct field log_fields[] = {
	{ "max", value_size, AT(struct dag_step, log_max_bytes), .example = "1G", .min = 64 * 1024 },
};

const struct field_level spec_log_level = { "'log'", log_fields, COUNT_OF(log_fields) };

static void read_log(struct spec *spec, const struct field *field, const struct node *value, void *member)
{
	if (value_is_map(spec, field->key, value, field->example))
		field_read_map(spec, &spec_log_level, value, member);
}

/* --- run, needs, artifacts --- */

static bool check_word(struct spec *spec, const struct field *field, const struct node *word, bool list)
{
	if (!value_is_text(spec, field->key, word, list ? "a list of words" : "a script or a list of words",
			   field->example))
		return false;
	if (word->count <= DAG_SCRIPT_BYTES_MAX)
		return true;
	field_error(spec, word, "'%s' is longer than %d bytes", field->key, DAG_SCRIPT_BYTES_MAX);
	field_remedy(spec, "put it into a file and run that");
	return false;
}

/* Nothing but blanks and line ends. */
static bool is_blank(const struct node *script)
{
	return script->text[strspn(script->text, " \t\r\n")] == '\0';
}

static void read_run(struct spec *spec, const struct field *field, const struct node *value, void *member)
{
	struct dag_step *step = member;
	bool shell = value->kind == NODE_SCALAR;
	size_t count = shell ? 1 : value->count;
	const char **argv;

	step->run_at = value->at;
	if (value->kind == NODE_MAP || (!shell && count == 0)) {
		value_wrong_type(spec, field->key, value, "a script or a list of words", field->example);
		return;
	}
	argv = arena_alloc(&spec->dag->arena, (count + 1) * sizeof *argv);
	for (size_t i = 0; i < count; i++) {
		const struct node *word = shell ? value : value->items[i];

		if (!check_word(spec, field, word, !shell))
			return;
		value_note_site(spec, word, shell ? PARAM_IN_SCRIPT : PARAM_IN_WORD);
		argv[i] = word->text;
	}
	if (is_blank(shell ? value : value->items[0])) {
		field_error(spec, value, "'%s' is empty", field->key);
		field_remedy(spec, "for example: %s: %s", field->key, field->example);
	}
	step->shell = shell;
	step->argv = argv;
	step->argc = count;
}

/* Keeps the names; they become indexes when all steps are known (spec_graph.h). */
static void read_needs(struct spec *spec, const struct field *field, const struct node *value, void *member)
{
	struct dag_step *step = member;
	size_t count = value->kind == NODE_LIST ? value->count : 1;
	const struct node **names;

	if (value->kind == NODE_MAP || node_is_null(value)) {
		value_wrong_type(spec, field->key, value, "a list of steps", field->example);
		return;
	}
	names = arena_alloc(&spec->scratch, count * sizeof *names);
	for (size_t i = 0; i < count; i++) {
		const struct node *name = value->kind == NODE_LIST ? value->items[i] : value;

		if (value_is_text(spec, field->key, name, "a step's name or a list of these", field->example))
			names[step->needs_count++] = name;
	}
	spec->step_needs[step->index] = names;
}

static bool leads_out(const char *path)
{
	for (const char *part = path; part != NULL; part = strchr(part, '/')) {
		part += *part == '/';
		if (strncmp(part, "..", 2) == 0 && (part[2] == '/' || part[2] == '\0'))
			return true;
	}
	return false;
}

static bool check_artifact(struct spec *spec, const struct field *field, const struct node *value,
			   struct names *known)
{
	if (!value_is_text(spec, field->key, value, "a path or a list of these", field->example) ||
	    !value_has_no_reference(spec, field->key, value))
		return false;
	if (value->count == 0)
		field_error(spec, value, "an artifact's path is empty");
	else if (value->text[0] == '/')
		field_error(spec, value,
			    "an artifact's path is relative to the step's folder, '%.60s' is absolute",
			    value->text);
	else if (leads_out(value->text))
		field_error(spec, value, "an artifact lies in the step's folder, '%.60s' leads out of it",
			    value->text);
	else if (!names_add(known, value->text, 0, NULL))
		field_error(spec, value, "the artifact '%.60s' is named twice", value->text);
	else
		return true;
	return false;
}

static void read_artifacts(struct spec *spec, const struct field *field, const struct node *value,
			   void *member)
{
	struct dag_step *step = member;
	size_t count = value->kind == NODE_LIST ? value->count : 1;
	struct names known;

	if (value->kind == NODE_MAP || node_is_null(value)) {
		value_wrong_type(spec, field->key, value, "a list of paths", field->example);
		return;
	}
	if (count > ARTIFACTS_MAX) {
		field_error(spec, value, "a step has at most %d artifacts", ARTIFACTS_MAX);
		field_remedy(spec, "name the folder they are in");
		return;
	}
	names_init(&known, &spec->scratch, count);
	step->artifacts = arena_alloc(&spec->dag->arena, count * sizeof *step->artifacts);
	for (size_t i = 0; i < count; i++) {
		const struct node *path = value->kind == NODE_LIST ? value->items[i] : value;

		if (check_artifact(spec, field, path, &known))
			step->artifacts[step->artifacts_count++] = path->text;
	}
}

/* --- the step --- */

static const struct field step_fields[] = {
	{ "run", read_run, 0, .example = "python3 train.py" },
	{ "needs", read_needs, 0, .example = "[extract]" },
	{ "description", value_text, AT(struct dag_step, description), .example = "trains the model" },
	{ "env", spec_env_read_step, 0, .example = "{OMP_NUM_THREADS: 4}", .defaultable = true },
	{ "retry", read_retry, AT(struct dag_step, retry), .example = "{max: 2, backoff: 30s}",
	  .defaultable = true },
	{ "timeout", value_duration, AT(struct dag_step, timeout_ms), .example = "10h", .defaultable = true },
	{ "stall", value_duration, AT(struct dag_step, stall_ms), .example = "20m", .defaultable = true },
	{ "grace", value_duration, AT(struct dag_step, grace_ms), .example = "30s", .max = DAY_MS,
	  .defaultable = true },
	{ "checkpoint", read_checkpoint, AT(struct dag_step, checkpoint), .example = "{keep: 3}",
	  .defaultable = true },
	{ "resources", read_resources, AT(struct dag_step, resources),
	  .example = "{cpus: 2, memory: 16G, gpus: 1}", .defaultable = true },
	{ "workdir", value_referable, AT(struct dag_step, workdir), .example = "/srv/models",
	  .defaultable = true },
	{ "worker", value_name, AT(struct dag_step, worker), .example = "gpu", .defaultable = true },
	{ "move_after", value_duration, AT(struct dag_step, move_after_ms), .example = "30m",
	  .defaultable = true },
	{ "artifacts", read_artifacts, 0, .example = "[model.bin]" },
	{ "log", read_log, 0, .example = "{max: 1G}", .defaultable = true },
	{ "pool", value_name, AT(struct dag_step, pool), .example = "database", .defaultable = true },
};

const struct field_level spec_step_level = { "step", step_fields, COUNT_OF(step_fields) };
const struct field_level spec_defaults_level = { "'defaults'", step_fields, COUNT_OF(step_fields),
						 .defaults_only = true };

/* Where `body` says one of the two: what the other one is may come from `defaults`. */
static void check_retry(struct spec *spec, const struct node *body, const struct dag_retry *retry)
{
	const struct node *own = node_get(body, "retry");
	const struct node *backoff = node_get(own, "backoff"), *most = node_get(own, "max_backoff");

	if (retry->backoff_ms >= 0 && retry->max_backoff_ms >= 0 &&
	    retry->backoff_ms > retry->max_backoff_ms && (backoff != NULL || most != NULL)) {
		if (backoff != NULL && most != NULL)
			field_error(spec, backoff, "'backoff' is longer than 'max_backoff', %s", most->text);
		else
			field_error(spec, backoff != NULL ? backoff : most,
				    "'%s' is %s than '%s' in 'defaults'",
				    backoff != NULL ? "backoff" : "max_backoff",
				    backoff != NULL ? "longer" : "shorter",
				    backoff != NULL ? "max_backoff" : "backoff");
		field_remedy(spec, "waits double from 'backoff' up to 'max_backoff'");
	}
}

/* What was not said follows from what was. */
static void settle_retry(struct dag_retry *retry)
{
	const int64_t backoff_ms = 30 * SECOND_MS, max_backoff_ms = 600 * SECOND_MS;

	if (retry->max_backoff_ms == UNSET)
		retry->max_backoff_ms =
		    retry->backoff_ms > max_backoff_ms ? retry->backoff_ms : max_backoff_ms;
	if (retry->backoff_ms == UNSET)
		retry->backoff_ms = retry->max_backoff_ms < backoff_ms ? retry->max_backoff_ms : backoff_ms;
}

static void check_relations(struct spec *spec, const struct node *body, const struct dag_step *step)
{
	const struct node *stall = node_get(body, "stall"), *timeout = node_get(body, "timeout");
	const struct node *move_after = node_get(body, "move_after");

	check_retry(spec, body, &step->retry);
	if ((stall != NULL || timeout != NULL) && step->stall_ms > 0 && step->timeout_ms > 0 &&
	    step->stall_ms >= step->timeout_ms) {
		field_warning(spec, stall != NULL ? stall : timeout,
			      "'stall' is not shorter than 'timeout': it never acts");
		field_remedy(spec, "'stall' stops a step that shows no progress for so long, 'timeout' one "
				   "that takes so long");
	}
	if (move_after != NULL && step->move_after_ms > 0 && step->move_after_ms < LEASE_SHORT_MS) {
		field_warning(spec, move_after,
			      "'move_after' is so short that an ordinary reconnection can stop the step");
		field_remedy(spec, "its worker stops the step when it has not heard from here for so long;"
				   " let it be 10s or more");
	}
}

struct dag_step spec_step_initial(void)
{
	return (struct dag_step){
		.retry = { .max = 0, .backoff_ms = UNSET, .max_backoff_ms = UNSET },
		.grace_ms = 30 * SECOND_MS,
		.log_max_bytes = INT64_C(1) << 30,
		.checkpoint = { .keep = 3, .settle_ms = 5 * SECOND_MS, .resume = DAG_RESUME_PREFERRED },
	};
}

void spec_step_read_defaults(struct spec *spec)
{
	static const struct field field = { "defaults", NULL, 0, .example = "{timeout: 10h}" };

	spec->default_step = spec_step_initial();
	if (spec->defaults == NULL || !value_is_map(spec, field.key, spec->defaults, field.example))
		return;
	field_read_map(spec, &spec_defaults_level, spec->defaults, &spec->default_step);
	check_relations(spec, spec->defaults, &spec->default_step);
}

void spec_step_read(struct spec *spec, const struct node *body, struct dag_step *step)
{
	spec->step = step->index;
	spec->step_name = step->name;
	if (body->kind == NODE_MAP) {
		field_read_map(spec, &spec_step_level, body, step);
		check_relations(spec, body, step);
		if (node_get(body, "run") == NULL) {
			field_error_at(spec, step->at, (uint32_t)strlen(step->name), "step '%s' has no 'run'",
				       step->name);
			field_remedy(spec, "for example: run: python3 %s.py", step->name);
		}
	} else {
		char found[VALUE_FOUND_BYTES];

		field_error(spec, body, "step '%s' must be a map, found %s", step->name,
			    value_found(body, found));
		field_remedy(spec, "for example: %s: {run: python3 %s.py}", step->name, step->name);
	}
	settle_retry(&step->retry);
	if (step->pool == NULL)
		step->pool = spec->dag->pool;
	spec->step = SIZE_MAX;
	spec->step_name = NULL;
}
