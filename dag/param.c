#include "dag/param.h"

#include <ctype.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include "common/scope.h"
#include "dag/reference.h"
#include "dag/scalar.h"
#include "dag/suggest.h"
#include "common/utf8.h"

enum { VALUE_BYTES_MAX = 32 * 1024, SHOWN_CHARACTERS = 40, SHOWN_BYTES = 4 * SHOWN_CHARACTERS + 8 };

/* A value in a message: its first characters. */
static const char *show(const char *value, char text[SHOWN_BYTES])
{
	size_t bytes = strlen(value), kept = utf8_prefix(value, bytes, SHOWN_CHARACTERS);

	snprintf(text, SHOWN_BYTES, "%.*s%s", (int)kept, value, kept < bytes ? "..." : "");
	return text;
}

static int refuse_type(const struct dag_param *param, const char *value, const char *what, struct err *err)
{
	enum scalar_trap trap = scalar_trap(value);
	char shown[SHOWN_BYTES];

	if (trap != SCALAR_NO_TRAP)
		return err_set(err, ERR_INVALID, "parameter '%s' takes %s, not '%s'; %s", param->name, what,
			       show(value, shown), scalar_trap_reason(trap));
	return err_set(err, ERR_INVALID, "parameter '%s' takes %s, not '%s'", param->name, what,
		       show(value, shown));
}

static int check_range(const struct dag_param *param, double number, const char *value, struct err *err)
{
	if (param->has_min && param->has_max && (number < param->min || number > param->max))
		return err_set(err, ERR_INVALID, "parameter '%s' must be from %.15g to %.15g, not %s",
			       param->name, param->min, param->max, value);
	if (param->has_min && number < param->min)
		return err_set(err, ERR_INVALID, "parameter '%s' must be at least %.15g, not %s", param->name,
			       param->min, value);
	if (param->has_max && number > param->max)
		return err_set(err, ERR_INVALID, "parameter '%s' must be at most %.15g, not %s", param->name,
			       param->max, value);
	return 0;
}

/* Numbers are the same when their values are: 1e-3 is the choice 0.001. */
static bool is_choice(const struct dag_param *param, const char *choice, const char *value)
{
	double a, b;

	if (strcmp(choice, value) == 0)
		return true;
	return (param->type == DAG_PARAM_INT || param->type == DAG_PARAM_FLOAT) && scalar_float(choice, &a) &&
	       scalar_float(value, &b) && a == b;
}

static int check_choices(const struct dag_param *param, const char *value, struct err *err)
{
	struct suggest near = suggest_for(value);
	autobuf struct buf list = { .limit_bytes = 200 };
	char shown[SHOWN_BYTES];

	for (size_t i = 0; i < param->choices_count; i++) {
		if (is_choice(param, param->choices[i], value))
			return 0;
	}
	if (param->choices_count == 0)
		return 0;
	for (size_t i = 0; i < param->choices_count; i++) {
		buf_printf(&list, "%s%s", i == 0 ? "" : ", ", show(param->choices[i], shown));
		suggest_offer(&near, param->choices[i], NULL);
	}
	show(value, shown);
	if (suggest_best(&near) != NULL)
		return err_set(
		    err, ERR_INVALID, "parameter '%s' must be one of %s%s, not '%s'; did you mean '%s'?",
		    param->name, buf_text(&list), list.overflow ? ", ..." : "", shown, suggest_best(&near));
	return err_set(err, ERR_INVALID, "parameter '%s' must be one of %s%s, not '%s'", param->name,
		       buf_text(&list), list.overflow ? ", ..." : "", shown);
}

static const struct dag_param *find_param(const struct dag *dag, const char *name, struct err *err)
{
	const struct dag_param *param = dag_find_param(dag, name);
	struct suggest near = suggest_for(name);
	char shown[SHOWN_BYTES];

	if (param != NULL)
		return param;
	for (size_t i = 0; i < dag->params_count; i++)
		suggest_offer(&near, dag->params[i].name, NULL);
	if (suggest_best(&near) != NULL)
		err_set(err, ERR_NOT_FOUND, "DAG '%s' has no parameter '%s'; did you mean '%s'?", dag->name,
			show(name, shown), suggest_best(&near));
	else if (dag->params_count == 0)
		err_set(err, ERR_NOT_FOUND, "DAG '%s' has no parameter '%s'; it has none at all", dag->name,
			show(name, shown));
	else
		err_set(err, ERR_NOT_FOUND, "DAG '%s' has no parameter '%s'", dag->name, show(name, shown));
	return NULL;
}

static int bind_one(const struct dag *dag, const char *assignment, struct arena *arena, const char **values,
		    struct err *err)
{
	const char *equals = strchr(assignment, '=');
	const struct dag_param *param;
	char shown[SHOWN_BYTES];
	size_t index;

	if (equals == NULL || equals == assignment)
		return err_set(err, ERR_INVALID, "'%s' is no assignment; write NAME=VALUE",
			       show(assignment, shown));
	param = find_param(dag, arena_strndup(arena, assignment, (size_t)(equals - assignment)), err);
	if (param == NULL)
		return ERR_NOT_FOUND;
	index = (size_t)(param - dag->params);
	if (values[index] != NULL)
		return err_set(err, ERR_INVALID, "parameter '%s' is given twice", param->name);
	return param_check(param, equals + 1, arena, &values[index], err);
}

static int refuse_character(const struct reference *reference, const char *value, const char *wrong,
			    const char *variable, struct err *err)
{
	char character[SHOWN_BYTES], shown[SHOWN_BYTES];

	if (isprint((unsigned char)*wrong))
		snprintf(character, sizeof character, "'%c'", *wrong);
	else if ((unsigned char)*wrong < 0x80)
		snprintf(character, sizeof character, "the control character 0x%02x", (unsigned char)*wrong);
	else
		snprintf(character, sizeof character, "'%.*s'", (int)utf8_step(wrong, strlen(wrong)), wrong);
	if (variable == NULL)
		return err_set(err, ERR_INVALID,
			       "the value of %s, '%s', holds %s, which is not safe in a shell script",
			       reference->name, show(value, shown), character);
	return err_set(err, ERR_INVALID,
		       "the value of %s, '%s', holds %s, which is not safe in a shell script; write \"$%s\" "
		       "there instead",
		       reference->name, show(value, shown), character, variable);
}

static int expand_one(const struct reference *reference, enum param_context in, param_lookup *lookup,
		      void *context, struct buf *out, struct err *err)
{
	const char *variable = NULL, *value = lookup(context, reference->name, &variable), *wrong;

	if (value == NULL)
		return err_set(err, ERR_NOT_FOUND, "${{ %s }} has no value", reference->name);
	wrong = in == PARAM_IN_SCRIPT ? param_unsafe(value) : NULL;
	if (wrong != NULL)
		return refuse_character(reference, value, wrong, variable, err);
	buf_append_text(out, value);
	return 0;
}

int param_check(const struct dag_param *param, const char *text, struct arena *arena, const char **value_out,
		struct err *err)
{
	double number = 0;
	int64_t whole;
	bool flag;
	int rc;

	if (strnlen(text, VALUE_BYTES_MAX + 1) > VALUE_BYTES_MAX)
		return err_set(err, ERR_LIMIT, "parameter '%s': the value is longer than %d bytes",
			       param->name, VALUE_BYTES_MAX);
	if (!utf8_valid(text, strlen(text)))
		return err_set(err, ERR_INVALID, "parameter '%s': the value is no valid UTF-8", param->name);
	switch (param->type) {
	case DAG_PARAM_INT:
		if (!scalar_int(text, &whole))
			return refuse_type(param, text, "a whole number", err);
		number = (double)whole;
		break;
	case DAG_PARAM_FLOAT:
		if (!scalar_float(text, &number))
			return refuse_type(param, text, "a number", err);
		break;
	case DAG_PARAM_BOOL:
		if (!scalar_bool(text, &flag))
			return refuse_type(param, text, "true or false", err);
		text = flag ? "true" : "false";
		break;
	case DAG_PARAM_STRING:
		break;
	}
	rc = check_range(param, number, text, err);
	if (rc == 0)
		rc = check_choices(param, text, err);
	if (rc < 0)
		return rc;
	*value_out = arena_strdup(arena, text);
	return 0;
}

int param_bind(const struct dag *dag, const char *const *assignments, size_t count, struct arena *arena,
	       const char ***values_out, struct err *err)
{
	const char **values = arena_alloc(arena, (dag->params_count + 1) * sizeof *values);

	for (size_t i = 0; i < count; i++) {
		int rc = bind_one(dag, assignments[i], arena, values, err);

		if (rc < 0)
			return rc;
	}
	for (size_t i = 0; i < dag->params_count; i++) {
		const struct dag_param *param = &dag->params[i];

		if (values[i] == NULL)
			values[i] = param->fallback;
		if (values[i] == NULL)
			return err_set(err, ERR_INVALID,
				       "parameter '%s' has no default and must be given; write %s=VALUE",
				       param->name, param->name);
	}
	*values_out = values;
	return 0;
}

const char *param_unsafe(const char *value)
{
	for (; *value != '\0'; value++) {
		if (!isalnum((unsigned char)*value) && strchr("_./:=@%+,-", *value) == NULL)
			return value;
	}
	return NULL;
}

int param_expand(const char *text, enum param_context in, param_lookup *lookup, void *context,
		 struct buf *out, struct err *err)
{
	struct reference reference;
	size_t at = 0;
	int rc;

	while ((rc = reference_next(text, at, &reference, err)) > 0) {
		buf_append(out, text + at, reference.from - at);
		if (reference.escape)
			buf_append_text(out, "${{");
		else if ((rc = expand_one(&reference, in, lookup, context, out, err)) < 0)
			return rc;
		at = reference.to;
	}
	if (rc < 0)
		return rc;
	buf_append_text(out, text + at);
	if (out->overflow)
		return err_set(err, ERR_LIMIT,
			       "the text with its references replaced is longer than %zu bytes",
			       out->limit_bytes);
	return 0;
}

bool param_has_reference(const char *text)
{
	return strstr(text, "${{") != NULL;
}

const char *param_variable(struct arena *arena, const char *name)
{
	char *variable = arena_printf(arena, "STOKER_PARAM_%s", name);

	for (char *c = variable; *c != '\0'; c++)
		*c = *c == '-' ? '_' : (char)toupper((unsigned char)*c);
	return variable;
}
