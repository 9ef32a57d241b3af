#include "dag/reference.h"

#include <stdio.h>
#include <string.h>

#include "common/scope.h"
#include "dag/naming.h"
#include "dag/suggest.h"

static const char *const run_fields[] = { "name", "number", "dag", "scheduled_for" };

static const char blanks[] = " \t\r\n";

/* The last ".outputs." parts step and key, since a step's name may hold dots. */
static const char *find_outputs(const char *name)
{
	const char *found = NULL;

	for (const char *at = strstr(name, ".outputs."); at != NULL; at = strstr(at + 1, ".outputs."))
		found = at;
	return found;
}

static int split_output(const char *name, struct reference_parts *parts, struct err *err)
{
	const char *outputs = find_outputs(name);

	if (outputs == NULL)
		return err_set(err, ERR_INVALID, "'steps.%s' is no reference; write steps.STEP.outputs.KEY",
			       name);
	parts->kind = REFERENCE_OUTPUT;
	snprintf(parts->first, sizeof parts->first, "%.*s", (int)(outputs - name), name);
	snprintf(parts->second, sizeof parts->second, "%s", outputs + strlen(".outputs."));
	if (!naming_valid(parts->first))
		return err_set(err, ERR_INVALID, "'%s' is no name of a step", parts->first);
	if (!naming_valid_output(parts->second))
		return err_set(err, ERR_INVALID, "'%s' is no name of an output", parts->second);
	return 0;
}

static int split_run(const char *field, struct reference_parts *parts, struct err *err)
{
	struct suggest near = suggest_for(field);

	for (size_t i = 0; i < COUNT_OF(run_fields); i++) {
		if (strcmp(field, run_fields[i]) == 0) {
			parts->kind = REFERENCE_RUN;
			snprintf(parts->first, sizeof parts->first, "%s", field);
			return 0;
		}
		suggest_offer(&near, run_fields[i], NULL);
	}
	if (suggest_best(&near) != NULL)
		return err_set(err, ERR_INVALID, "there is no 'run.%s'; did you mean 'run.%s'?", field,
			       suggest_best(&near));
	return err_set(err, ERR_INVALID,
		       "there is no 'run.%s'; there are run.name run.number run.dag run.scheduled_for",
		       field);
}

static int refuse_root(const char *name, struct err *err)
{
	static const char *const roots[] = { "params", "steps", "run" };
	char root[REFERENCE_BYTES_MAX];
	bool is_root = false;
	struct suggest near;

	snprintf(root, sizeof root, "%.*s", (int)strcspn(name, "."), name);
	near = suggest_for(root);
	for (size_t i = 0; i < COUNT_OF(roots); i++) {
		suggest_offer(&near, roots[i], NULL);
		is_root = is_root || strcmp(roots[i], name) == 0;
	}
	if (strchr(name, '.') != NULL && suggest_best(&near) != NULL)
		return err_set(err, ERR_INVALID, "'%s' is no reference; did you mean '%s%s'?", name,
			       suggest_best(&near), name + strlen(root));
	if (naming_valid_param(name) && !is_root)
		return err_set(err, ERR_INVALID, "'%s' is no reference; a parameter is written params.%s",
			       name, name);
	return err_set(err, ERR_INVALID,
		       "'%s' is no reference; there are params.NAME, steps.STEP.outputs.KEY and run.name",
		       name);
}

int reference_next(const char *text, size_t offset, struct reference *reference, struct err *err)
{
	const char *start = strstr(text + offset, "${{"), *end, *name;
	size_t bytes;

	if (start == NULL)
		return 0;
	reference->escape = start > text + offset && start[-1] == '$';
	reference->from = (size_t)(start - text) - reference->escape;
	reference->to = (size_t)(start - text) + 3;
	reference->name[0] = '\0';
	if (reference->escape)
		return 1;

	end = strstr(start, "}}");
	if (end == NULL)
		return err_set(err, ERR_INVALID, "'${{' without '}}'; write $${{ for these very characters");
	reference->to = (size_t)(end - text) + 2;
	name = start + 3 + strspn(start + 3, blanks);
	bytes = name < end ? (size_t)(end - name) : 0;
	while (bytes > 0 && strchr(blanks, name[bytes - 1]) != NULL)
		bytes--;
	if (bytes == 0)
		return err_set(
		    err, ERR_INVALID,
		    "nothing is named between '${{' and '}}'; write for example ${{ params.NAME }}");
	if (bytes >= REFERENCE_BYTES_MAX)
		return err_set(
		    err, ERR_INVALID,
		    "more than %d bytes between '${{' and '}}'; write $${{ for these very characters",
		    REFERENCE_BYTES_MAX - 1);
	memcpy(reference->name, name, bytes);
	reference->name[bytes] = '\0';
	return 1;
}

int reference_split(const char *name, struct reference_parts *parts, struct err *err)
{
	*parts = (struct reference_parts){ 0 };
	if (strncmp(name, "steps.", 6) == 0)
		return split_output(name + 6, parts, err);
	if (strncmp(name, "run.", 4) == 0)
		return split_run(name + 4, parts, err);
	if (strncmp(name, "params.", 7) != 0)
		return refuse_root(name, err);
	if (name[7] == '\0')
		return err_set(err, ERR_INVALID,
			       "'params.' names no parameter; write for example params.NAME");
	parts->kind = REFERENCE_PARAM;
	snprintf(parts->first, sizeof parts->first, "%s", name + 7);
	if (!naming_valid_param(parts->first))
		return err_set(err, ERR_INVALID, "'%s' is no name of a parameter", parts->first);
	return 0;
}
