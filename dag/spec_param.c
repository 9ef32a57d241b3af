#include "dag/spec_param.h"

#include <string.h>

#include "common/scope.h"
#include "dag/names.h"
#include "dag/naming.h"
#include "dag/scalar.h"
#include "dag/value.h"

const char *const dag_param_type_words[] = { "string", "int", "float", "bool", NULL };

static const char *const type_titles[] = { "a string", "a whole number", "a number", "true or false" };

/* A declaration as it was written; what its parts mean depends on the type. */
struct draft {
	enum dag_param_type type;
	const struct node *type_at; /* NULL: not given */
	bool type_wrong;
	bool required;
	const struct node *required_at, *fallback, *min, *max, *choices;
	const char *description;
};

static void read_type(struct spec *spec, const struct field *field, const struct node *value, void *member)
{
	struct draft *draft = member;
	int type = -1;

	value_choice(spec, field, value, &type);
	draft->type_at = value;
	draft->type_wrong = type < 0;
	draft->type = type < 0 ? DAG_PARAM_STRING : (enum dag_param_type)type;
}

static void read_required(struct spec *spec, const struct field *field, const struct node *value,
			  void *member)
{
	struct draft *draft = member;

	value_bool(spec, field, value, &draft->required);
	draft->required_at = value;
}

static const struct field param_fields[] = {
	{ "type", read_type, 0, .example = "int", .words = dag_param_type_words },
	{ "default", value_keep, AT(struct draft, fallback), .example = "20" },
	{ "min", value_keep, AT(struct draft, min), .example = "1" },
	{ "max", value_keep, AT(struct draft, max), .example = "500" },
	{ "enum", value_keep, AT(struct draft, choices), .example = "[small, large]" },
	{ "required", read_required, 0, .example = "true" },
	{ "description", value_text, AT(struct draft, description), .example = "passes over the data" },
};

const struct field_level spec_param_level = { "a parameter", param_fields, COUNT_OF(param_fields) };

static enum dag_param_type type_of(const struct node *value)
{
	switch (value->plain ? scalar_kind(value->text) : SCALAR_STRING) {
	case SCALAR_BOOL:
		return DAG_PARAM_BOOL;
	case SCALAR_INT:
		return DAG_PARAM_INT;
	case SCALAR_FLOAT:
		return DAG_PARAM_FLOAT;
	case SCALAR_NULL:
	case SCALAR_STRING:
		break;
	}
	return DAG_PARAM_STRING;
}

/* A default without a declared type that is a string only because we read it so. */
static void warn_of_trap(struct spec *spec, const struct node *value)
{
	enum scalar_trap trap = value->plain ? scalar_trap(value->text) : SCALAR_NO_TRAP;

	if (trap == SCALAR_TRAP_BOOL) {
		field_warning(spec, value, "read as the string \"%s\"", value->text);
		field_remedy(spec, "write %s for a truth value, or quote it", scalar_trap_truth(value->text));
	} else if (trap == SCALAR_TRAP_LEADING_ZERO || trap == SCALAR_TRAP_NOTATION) {
		field_warning(spec, value, "read as the string \"%.40s\": %s", value->text,
			      scalar_trap_reason(trap));
		field_remedy(spec, "write a decimal number, or quote it");
	}
}

/* The text of a value of `type`, or NULL after reporting what it is instead. */
static const char *read_value(struct spec *spec, const char *key, const struct node *value,
			      enum dag_param_type type)
{
	char found[VALUE_FOUND_BYTES];
	enum dag_param_type is;

	if (!value_is_text(spec, key, value, type_titles[type], NULL))
		return NULL;
	is = type_of(value);
	if (type == DAG_PARAM_STRING || type == is || (type == DAG_PARAM_FLOAT && is == DAG_PARAM_INT))
		return value->text;
	field_error(spec, value, "'%s' must be %s, found %s", key, type_titles[type],
		    value_found(value, found));
	if (!value->plain)
		field_remedy(spec, "remove the quotes: what is quoted is a string");
	else if (scalar_trap(value->text) != SCALAR_NO_TRAP)
		field_remedy(spec, "%s", scalar_trap_reason(scalar_trap(value->text)));
	return NULL;
}

static void read_bound(struct spec *spec, const char *key, const struct node *value,
		       const struct dag_param *param, bool *has_out, double *out)
{
	const char *text;

	if (value == NULL)
		return;
	if (param->type != DAG_PARAM_INT && param->type != DAG_PARAM_FLOAT) {
		field_error(spec, value, "'%s' is for numbers, parameter '%s' takes %s", key, param->name,
			    type_titles[param->type]);
		field_remedy(spec, "remove it, or write type: int or type: float");
		return;
	}
	text = read_value(spec, key, value, param->type);
	*has_out = text != NULL && scalar_float(text, out);
}

/* The value as a run could be given it; NULL after reporting why not. */
static const char *check_value(struct spec *spec, const struct dag_param *param, const struct node *value,
			       const char *text)
{
	const char *canonical;
	struct err err;

	if (text == NULL)
		return NULL;
	if (param_check(param, text, &spec->dag->arena, &canonical, &err) == 0)
		return canonical;
	field_error(spec, value, "%.*s", (int)strcspn(err.text, ";"), err.text);
	if (strstr(err.text, "; ") != NULL)
		field_remedy(spec, "%s", strstr(err.text, "; ") + 2);
	return NULL;
}

static void read_choices(struct spec *spec, const struct node *list, struct dag_param *param)
{
	const char **choices;
	size_t count = 0;

	if (list->kind != NODE_LIST || list->count == 0) {
		value_wrong_type(spec, "enum", list, "a list of values", "[small, large]");
		return;
	}
	choices = arena_alloc(&spec->dag->arena, list->count * sizeof *choices);
	for (size_t i = 0; i < list->count; i++) {
		const struct node *item = list->items[i];
		const char *text =
		    check_value(spec, param, item, read_value(spec, "enum", item, param->type));

		if (text != NULL)
			choices[count++] = text;
	}
	param->choices = choices;
	param->choices_count = count;
}

static void read_fallback(struct spec *spec, const struct draft *draft, struct dag_param *param)
{
	const char *text;

	if (draft->fallback == NULL) {
		if (draft->required_at != NULL && !draft->required) {
			field_error(spec, draft->required_at,
				    "parameter '%s' is not required and has no default", param->name);
			field_remedy(spec, "give it a default, or write required: true");
		}
		return;
	}
	if (draft->required) {
		field_error(spec, draft->required_at, "parameter '%s' is required and has a default",
			    param->name);
		field_remedy(spec, "remove one of the two");
	}
	text = read_value(spec, "default", draft->fallback, param->type);
	param->fallback = check_value(spec, param, draft->fallback, text);
	if (param->fallback == NULL)
		param->fallback = ""; /* There is one, if a wrong one. */
	else if (draft->type_at == NULL)
		warn_of_trap(spec, draft->fallback);
}

static void read_declaration(struct spec *spec, const struct node *map, struct dag_param *param)
{
	struct draft draft = { 0 };

	field_read_map(spec, &spec_param_level, map, &draft);
	if (draft.type_wrong) { /* What the rest means is not known. */
		param->fallback = "";
		return;
	}
	if (draft.type_at == NULL && draft.fallback == NULL) {
		field_error_at(spec, param->at, (uint32_t)strlen(param->name),
			       "parameter '%s' has neither a type nor a default", param->name);
		field_remedy(spec, "for example: %s: {type: int, default: 20}", param->name);
		return;
	}
	param->type = draft.type_at != NULL ? draft.type : type_of(draft.fallback);
	param->description = draft.description;
	read_bound(spec, "min", draft.min, param, &param->has_min, &param->min);
	read_bound(spec, "max", draft.max, param, &param->has_max, &param->max);
	if (param->has_min && param->has_max && param->min > param->max) {
		field_error(spec, draft.min, "'min' is %.40s and 'max' is %.40s: no value can be given",
			    draft.min->text, draft.max->text);
		param->has_min = param->has_max = false;
	}
	if (draft.choices != NULL)
		read_choices(spec, draft.choices, param);
	read_fallback(spec, &draft, param);
}

static void read_param(struct spec *spec, const struct node_entry *entry, struct dag_param *param)
{
	const struct node *value = entry->value;

	*param = (struct dag_param){ .name = entry->key->text, .at = entry->key->at };
	if (value->kind == NODE_MAP) {
		read_declaration(spec, value, param);
	} else if (value->kind == NODE_LIST || node_is_null(value)) {
		value_wrong_type(spec, param->name, value, "a default or a map", NULL);
		field_remedy(spec, "for example: %s: 20, or %s: {type: int, required: true}", param->name,
			     param->name);
	} else {
		param->type = type_of(value);
		param->fallback = check_value(spec, param, value, value->text);
		warn_of_trap(spec, value);
	}
}

/* Two names with the same variable would hide each other's value from the step. */
static bool check_name(struct spec *spec, const struct node *key, struct names *variables, size_t index)
{
	const char *variable;
	uint32_t twin;

	if (!naming_valid_param(key->text)) {
		field_error(spec, key, "'%.80s' is no valid name of a parameter", key->text);
		field_remedy(spec,
			     "it is at most %d letters, digits, '_' and '-', and begins with a letter or '_'",
			     DAG_NAME_BYTES_MAX);
		return false;
	}
	variable = param_variable(&spec->scratch, key->text);
	if (names_add(variables, variable, (uint32_t)index, &twin))
		return true;
	field_error(spec, key, "parameters '%s' and '%s' would both be %s", spec->dag->params[twin].name,
		    key->text, variable);
	field_remedy(spec, "rename one of them");
	return false;
}

void spec_param_read(struct spec *spec, const struct field *field, const struct node *value, void *member)
{
	struct dag *dag = member;
	struct names variables;

	if (!value_is_map(spec, field->key, value, field->example))
		return;
	names_init(&variables, &spec->scratch, value->count);
	dag->params = arena_alloc(&dag->arena, value->count * sizeof *dag->params);
	for (size_t i = 0; i < value->count; i++) {
		struct dag_param *param = &dag->params[dag->params_count];

		/* One with a bad name is kept all the same: what refers to it is no second mistake. */
		check_name(spec, value->entries[i].key, &variables, dag->params_count);
		read_param(spec, &value->entries[i], param);
		names_add(dag->params_by_name, param->name, (uint32_t)dag->params_count++, NULL);
	}
}
