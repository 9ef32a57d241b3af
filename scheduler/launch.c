#include "scheduler/launch.h"

#include <ctype.h>
#include <inttypes.h>
#include <string.h>

#include "common/clock.h"
#include "common/mem.h"
#include "common/scope.h"
#include "dag/param.h"
#include "scheduler/placement.h"

/* What stands behind a reference, while one text is expanded. */
struct scope {
	const struct run *run;
	struct arena *arena;
};

static const char *run_name(const struct run *run, struct arena *arena)
{
	return arena_printf(arena, "%s/%" PRIu64, run->row.dag, run->row.number);
}

static const char *scheduled_for(const struct run *run, struct arena *arena)
{
	char text[CLOCK_RFC3339_BYTES] = "";

	if (run->row.scheduled_for_wall_ms > 0)
		clock_rfc3339(run->row.scheduled_for_wall_ms, text);
	return arena_strdup(arena, text);
}

/* STOKER_OUTPUT_<STEP>_<KEY>, the environment's name for an output. */
static const char *output_variable(struct arena *arena, const char *step, const char *key)
{
	char *name = arena_printf(arena, "STOKER_OUTPUT_%s_%s", step, key);

	for (char *at = name; *at != '\0'; at++)
		*at = isalnum((unsigned char)*at) ? (char)toupper((unsigned char)*at) : '_';
	return name;
}

static const char *look_up_param(const struct scope *scope, const char *name, const char **variable_out)
{
	const struct dag_param *param = dag_find_param(scope->run->dag, name);

	if (param == NULL)
		return NULL;
	*variable_out = param_variable(scope->arena, name);
	return scope->run->values[param - scope->run->dag->params];
}

/* `rest` is "STEP.outputs.KEY"; step names may hold dots, so the middle is looked for. */
static const char *look_up_output(const struct scope *scope, const char *rest, const char **variable_out)
{
	const char *middle = strstr(rest, ".outputs.");
	const struct dag_step *step;
	const struct task *task;
	const char *key;

	if (middle == NULL)
		return NULL;
	key = middle + strlen(".outputs.");
	step = dag_find_step(scope->run->dag, arena_strndup(scope->arena, rest, (size_t)(middle - rest)));
	if (step == NULL)
		return NULL;
	task = &scope->run->tasks[step->index];
	for (size_t i = task->outputs_count; i > 0; i--) {
		if (strcmp(task->outputs[i - 1].key, key) != 0)
			continue;
		*variable_out = output_variable(scope->arena, step->name, key);
		return task->outputs[i - 1].value;
	}
	return NULL;
}

static const char *look_up(void *context, const char *name, const char **variable_out)
{
	const struct scope *scope = context;

	*variable_out = NULL;
	if (strncmp(name, "params.", 7) == 0)
		return look_up_param(scope, name + 7, variable_out);
	if (strncmp(name, "steps.", 6) == 0)
		return look_up_output(scope, name + 6, variable_out);
	if (strcmp(name, "run.name") == 0)
		return run_name(scope->run, scope->arena);
	if (strcmp(name, "run.number") == 0)
		return arena_printf(scope->arena, "%" PRIu64, scope->run->row.number);
	if (strcmp(name, "run.dag") == 0)
		return scope->run->row.dag;
	if (strcmp(name, "run.scheduled_for") == 0)
		return scheduled_for(scope->run, scope->arena);
	return NULL;
}

static int expand(const char *text, enum param_context in, struct scope *scope, const char **out,
		  struct err *err)
{
	autobuf struct buf expanded = { 0 };

	if (!param_has_reference(text) && strstr(text, "$${{") == NULL) {
		*out = text;
		return 0;
	}
	if (param_expand(text, in, look_up, scope, &expanded, err) < 0)
		return err->code;
	*out = arena_strdup(scope->arena, buf_text(&expanded));
	return 0;
}

struct env {
	const char **items;
	size_t count;
	size_t room;
};

static void add_env(struct env *env, struct arena *arena, const char *name, const char *value)
{
	if (env->count + 1 >= env->room) {
		const char **wider = arena_alloc(arena, (env->room * 2 + 32) * sizeof *wider);

		if (env->count > 0)
			memcpy(wider, env->items, env->count * sizeof *wider);
		env->items = wider;
		env->room = env->room * 2 + 32;
	}
	env->items[env->count++] = arena_printf(arena, "%s=%s", name, value);
	env->items[env->count] = NULL;
}

static int add_dag_env(struct env *env, const struct dag_env *from, size_t count, struct scope *scope,
		       struct err *err)
{
	for (size_t i = 0; i < count; i++) {
		const char *value;

		if (expand(from[i].value, PARAM_IN_WORD, scope, &value, err) < 0)
			return err_wrap(err, "env %s", from[i].name);
		add_env(env, scope->arena, from[i].name, value);
	}
	return 0;
}

/* Outputs of the steps it names in `needs`; those further up are reached by reference. */
static void add_outputs(struct env *env, const struct task *task, struct arena *arena)
{
	for (size_t i = 0; i < task->step->needs_count; i++) {
		const struct task *need = &task->run->tasks[task->step->needs[i]];

		for (size_t k = 0; k < need->outputs_count; k++)
			add_env(env, arena, output_variable(arena, need->step->name, need->outputs[k].key),
				need->outputs[k].value);
	}
}

static int build_env(const struct attempt *attempt, struct scope *scope, struct spec *out, struct err *err)
{
	const struct task *task = attempt->task;
	const struct run *run = task->run;
	struct arena *arena = scope->arena;
	struct env env = { 0 };

	if (add_dag_env(&env, run->dag->env, run->dag->env_count, scope, err) < 0 ||
	    add_dag_env(&env, task->step->env, task->step->env_count, scope, err) < 0)
		return err->code;
	for (size_t i = 0; i < run->dag->params_count; i++)
		add_env(&env, arena, param_variable(arena, run->dag->params[i].name), run->values[i]);
	add_outputs(&env, task, arena);
	add_env(&env, arena, "STOKER_DAG", run->row.dag);
	add_env(&env, arena, "STOKER_RUN", run_name(run, arena));
	add_env(&env, arena, "STOKER_TASK", task->step->name);
	add_env(&env, arena, "STOKER_ATTEMPT", arena_printf(arena, "%" PRIu32, attempt->row.id.number));
	add_env(&env, arena, "STOKER_SCHEDULED_FOR", scheduled_for(run, arena));
	out->env = env.items;
	out->env_count = env.count;
	return 0;
}

static int build_command(const struct dag_step *step, struct scope *scope, struct spec *out, struct err *err)
{
	out->argv = arena_alloc(scope->arena, (step->argc + 1) * sizeof *out->argv);
	out->argc = step->argc;
	out->shell = step->shell;
	for (size_t i = 0; i < step->argc; i++)
		if (expand(step->argv[i], step->shell ? PARAM_IN_SCRIPT : PARAM_IN_WORD, scope, &out->argv[i],
			   err) < 0)
			return err_wrap(err, "run");
	return 0;
}

static void split_devices(const char *list, struct arena *arena, struct spec *out)
{
	size_t room = 1;

	for (const char *at = list; *at != '\0'; at++)
		room += *at == ',';
	out->devices = arena_alloc(arena, (room + 1) * sizeof *out->devices);
	while (*list != '\0') {
		size_t n = strcspn(list, ",");

		out->devices[out->devices_count++] = arena_strndup(arena, list, n);
		list += n + (list[n] == ',');
	}
}

static bool has_source(const struct run *run)
{
	return run->row.source != NULL && run->row.source[0] != '\0';
}

static const char *join(const char *base, const char *path, struct arena *arena)
{
	while (strncmp(path, "./", 2) == 0)
		path += 2;
	if (path[0] == '/' || strcmp(base, ".") == 0)
		return path;
	return strcmp(path, ".") == 0 ? base : arena_printf(arena, "%s/%s", base, path);
}

static const char *find_workdir(const struct run *run, const char *workdir, struct arena *arena)
{
	const char *base = has_source(run) ? "." : run->dag->dir == NULL ? "/" : run->dag->dir;

	if (run->dag->workdir != NULL)
		base = join(base, run->dag->workdir, arena);
	return workdir == NULL ? base : join(base, workdir, arena);
}

int launch_workdir(const struct run *run, const struct dag_step *step, struct arena *arena, const char **out,
		   struct err *err)
{
	struct scope scope = { .run = run, .arena = arena };
	const char *workdir = NULL;

	if (step->workdir != NULL && expand(step->workdir, PARAM_IN_WORD, &scope, &workdir, err) < 0)
		return err_wrap(err, "workdir");
	*out = find_workdir(run, workdir, arena);
	return 0;
}

/* As a parcel spells it: "./out//x/" is out/x. */
static const char *clean_path(const char *path, struct arena *arena)
{
	char *clean = arena_strdup(arena, path);
	size_t n = 0;

	for (const char *at = path; *at != '\0';) {
		size_t part = strcspn(at, "/");

		if (part > 0 && !(part == 1 && at[0] == '.')) {
			if (n > 0)
				clean[n++] = '/';
			memmove(clean + n, at, part);
			n += part;
		}
		at += part + (at[part] == '/');
	}
	clean[n] = '\0';
	return n == 0 ? "." : clean;
}

int launch_checkpoints(const struct run *run, const struct dag_step *step, struct arena *arena,
		       const char **out, struct err *err)
{
	struct scope scope = { .run = run, .arena = arena };
	const char *dir, *workdir;

	*out = "";
	if (step->checkpoint.dir == NULL)
		return 0;
	if (expand(step->checkpoint.dir, PARAM_IN_WORD, &scope, &dir, err) < 0)
		return err_wrap(err, "checkpoint.dir");
	if (launch_workdir(run, step, arena, &workdir, err) < 0)
		return err->code;
	*out = join(workdir, dir, arena);
	if ((*out)[0] != '/')
		*out = clean_path(*out, arena);
	return 0;
}

/* --- what is to be in place ----------------------------------------------------------------------------- */

/* Every step that `last` follows from, each after what it needs itself; a chain may be long. */
static size_t list_upstream(const struct dag *dag, size_t last, uint32_t *out)
{
	autofree bool *seen = mem_array(dag->steps_count, sizeof *seen);
	autofree uint32_t *stack = mem_array(dag->steps_count + 1, sizeof *stack);
	autofree uint32_t *next = mem_array(dag->steps_count + 1, sizeof *next);
	size_t depth = 1, count = 0;

	stack[0] = (uint32_t)last;
	while (depth > 0) {
		const struct dag_step *step = &dag->steps[stack[depth - 1]];

		if (next[depth - 1] < step->needs_count) {
			size_t need = step->needs[next[depth - 1]++];

			if (seen[need])
				continue;
			seen[need] = true;
			stack[depth] = (uint32_t)need;
			next[depth++] = 0;
		} else if (--depth > 0) {
			out[count++] = stack[depth];
		}
	}
	return count;
}

/* The step leaves this artifact of another one too: the same path in the same folder. */
static bool leaves_too(const struct dag_step *step, const struct dag_step *other, const char *artifact)
{
	if ((step->workdir == NULL) != (other->workdir == NULL) ||
	    (step->workdir != NULL && strcmp(step->workdir, other->workdir) != 0))
		return false;
	for (size_t i = 0; i < step->artifacts_count; i++)
		if (strcmp(step->artifacts[i], artifact) == 0)
			return true;
	return false;
}

/* All that the step left was left anew by later ones: by now it may be theirs that lies there. */
static bool is_superseded(const struct run *run, const struct dag_step *step, const uint32_t *later,
			  size_t count)
{
	for (size_t i = 0; i < step->artifacts_count; i++) {
		bool anew = false;

		for (size_t k = 0; k < count && !anew; k++)
			anew = run->tasks[later[k]].left.digest != NULL &&
			       leaves_too(&run->dag->steps[later[k]], step, step->artifacts[i]);
		if (!anew)
			return false;
	}
	return true;
}

/*
 * What the steps before it left; its worker passes over what is there already. Files of a folder that is only
 * to be had on this machine (no `source`, no absolute `workdir`) go to the folder of the step that needs them.
 */
static int add_artifacts(const struct task *task, struct arena *arena, struct spec *out, struct err *err)
{
	const struct run *run = task->run;
	autofree uint32_t *upstream = NULL;
	size_t count;

	if (!run->leaves_artifacts)
		return 0;
	upstream = mem_array(run->dag->steps_count + 1, sizeof *upstream);
	count = list_upstream(run->dag, task->row.step, upstream);
	for (size_t i = 0; i < count; i++) {
		const struct task *from = &run->tasks[upstream[i]];
		struct spec_provision *provision = &out->provisions[out->provisions_count];

		if (from->left.digest == NULL ||
		    is_superseded(run, from->step, upstream + i + 1, count - i - 1))
			continue;
		*provision = (struct spec_provision){
			.kind = PROVISION_ARTIFACTS,
			.digest = from->left.digest,
			.bytes = from->left.bytes,
			.task = upstream[i],
			.path = out->workdir,
			.name = from->step->name,
		};
		if (placement_has_folder(run->dag, from->step) &&
		    launch_workdir(run, from->step, arena, &provision->path, err) < 0)
			return err->code;
		out->provisions_count++;
	}
	return 0;
}

static int add_provisions(const struct task *task, struct arena *arena, struct spec *out, struct err *err)
{
	const struct run *run = task->run;
	size_t room = 3 + (run->leaves_artifacts ? run->dag->steps_count : 0);

	out->provisions = arena_alloc(arena, room * sizeof *out->provisions);
	if (has_source(run))
		out->provisions[out->provisions_count++] = (struct spec_provision){
			.kind = PROVISION_SOURCE,
			.digest = run->row.source,
			.bytes = run->row.source_bytes,
			.path = "",
			.name = "",
		};
	return add_artifacts(task, arena, out, err);
}

/* The last of all: what a step before it left may lie in the same folder. */
static int add_checkpoint(const struct task *task, const struct checkpoint_row *brought, struct arena *arena,
			  struct spec *out, struct err *err)
{
	struct spec_provision *provision = &out->provisions[out->provisions_count];

	if (brought == NULL)
		return 0;
	*provision = (struct spec_provision){
		.kind = PROVISION_CHECKPOINT,
		.digest = brought->copy,
		.bytes = brought->copy_bytes,
		.task = task->row.step,
		.name = brought->name,
	};
	if (launch_checkpoints(task->run, task->step, arena, &provision->path, err) < 0)
		return err->code;
	out->provisions_count++;
	return 0;
}

static void build_artifacts(const struct dag_step *step, struct arena *arena, struct spec *out)
{
	out->artifacts = arena_alloc(arena, (step->artifacts_count + 1) * sizeof *out->artifacts);
	for (size_t i = 0; i < step->artifacts_count; i++)
		out->artifacts[out->artifacts_count++] = clean_path(step->artifacts[i], arena);
}

int launch_spec(const struct attempt *attempt, struct arena *arena, struct spec *out, struct err *err)
{
	const struct task *task = attempt->task;
	const struct dag_step *step = task->step;
	const struct checkpoint_row *brought = ledger_at(&task->ledger, attempt->brought_seq);
	struct scope scope = { .run = task->run, .arena = arena };

	*out = (struct spec){
		.id = attempt->row.id,
		.epoch = attempt->worker->epoch,
		.fence = attempt->row.fence,
		.timeout_ms = step->timeout_ms,
		.stall_ms = step->stall_ms,
		.grace_ms = step->grace_ms,
		.log_max_bytes = step->log_max_bytes,
		.checkpoint_dir = "",
		.checkpoint_declared = step->checkpoint.declared,
		.settle_ms = step->checkpoint.settle_ms,
		.keep = step->checkpoint.keep,
		.resume_required = step->checkpoint.resume == DAG_RESUME_REQUIRED,
		.resume_never = step->checkpoint.resume == DAG_RESUME_NEVER,
		.fresh = attempt->row.id.number == task->row.first_attempt,
		.lease_ms = core_lease_ms(step, attempt->worker->name),
		.lease_from_ms = attempt->worker->asked_ms,
	};
	if (launch_workdir(task->run, step, arena, &out->workdir, err) < 0)
		return err->code;
	if (step->checkpoint.dir != NULL && expand(step->checkpoint.dir, PARAM_IN_WORD, &scope,
						   &out->checkpoint_dir, err) < 0)
		return err_wrap(err, "checkpoint.dir");
	if (build_command(step, &scope, out, err) < 0 || build_env(attempt, &scope, out, err) < 0)
		return err->code;
	split_devices(attempt->row.devices, arena, out);
	if (add_provisions(task, arena, out, err) < 0 ||
	    add_checkpoint(task, brought, arena, out, err) < 0)
		return err->code;
	build_artifacts(step, arena, out);
	out->candidates_count = ledger_candidates(&task->ledger, attempt->row.worker, brought, arena,
						  &out->candidates);
	return 0;
}
