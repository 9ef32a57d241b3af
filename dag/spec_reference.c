#include "dag/spec_reference.h"

#include <string.h>

#include "common/mem.h"
#include "common/scope.h"
#include "dag/graph.h"
#include "dag/reference.h"
#include "dag/suggest.h"

/* One reference of a site; `ordinal` tells which of the text's "${{" it is. */
struct place {
	const struct reference_site *site;
	uint32_t ordinal;
	uint32_t width;
};

struct check {
	struct spec *spec;
	size_t references;
	struct graph_query *queries; /* their tags are places */
	size_t queries_count, queries_room;
};

static struct dag_position position_of(const struct check *check, const struct place *place)
{
	return node_position(check->spec->document, place->site->node, "${{", place->ordinal);
}

static void report(struct check *check, const struct place *place, const struct err *err)
{
	const char *remedy = strstr(err->text, "; ");
	int bytes = remedy == NULL ? (int)strlen(err->text) : (int)(remedy - err->text);

	field_error_at(check->spec, position_of(check, place), place->width, "%.*s", bytes, err->text);
	if (remedy != NULL)
		field_remedy(check->spec, "%s", remedy + 2);
}

/* The default, or a choice, that a script may not hold; NULL when there is none. */
static const char *find_unsafe(const struct dag_param *param)
{
	if (param->fallback != NULL && param_unsafe(param->fallback) != NULL)
		return param->fallback;
	for (size_t i = 0; i < param->choices_count; i++) {
		if (param_unsafe(param->choices[i]) != NULL)
			return param->choices[i];
	}
	return NULL;
}

static void check_param(struct check *check, const struct place *place, const char *name)
{
	struct spec *spec = check->spec;
	const struct dag_param *param = dag_find_param(spec->dag, name);
	const char *unsafe = param == NULL || place->site->in != PARAM_IN_SCRIPT ? NULL : find_unsafe(param);

	if (param == NULL) {
		struct suggest near = suggest_for(name);

		field_error_at(spec, position_of(check, place), place->width, "there is no parameter '%s'",
			       name);
		for (size_t i = 0; i < spec->dag->params_count; i++)
			suggest_offer(&near, spec->dag->params[i].name, NULL);
		if (suggest_best(&near) != NULL)
			field_remedy(spec, "did you mean '%s'?", suggest_best(&near));
		else
			field_remedy(spec, "declare it in 'params'");
	} else if (unsafe != NULL) {
		field_error_at(spec, position_of(check, place), place->width,
			       "the value '%.60s' of parameter '%s' is not safe in a shell script", unsafe,
			       name);
		field_remedy(spec, "write \"$%s\" instead, which holds the same value",
			     param_variable(&spec->scratch, name));
	}
}

static void ask(struct check *check, const struct place *place, size_t step, size_t other)
{
	const struct dag_step *from = &check->spec->dag->steps[step];

	for (size_t i = 0; i < from->needs_count; i++) { /* Nearly always it stands right there. */
		if (from->needs[i] == other)
			return;
	}
	mem_grow(&check->queries, &check->queries_room, check->queries_count, sizeof *check->queries);
	check->queries[check->queries_count++] = (struct graph_query){
		.step = step,
		.other = other,
		.tag = arena_memdup(&check->spec->scratch, place, sizeof *place),
	};
}

static void check_output(struct check *check, const struct place *place, const char *name)
{
	struct spec *spec = check->spec;
	const struct dag_step *step = dag_find_step(spec->dag, name);

	if (place->site->step == SIZE_MAX) {
		field_error_at(spec, position_of(check, place), place->width,
			       "a step's output cannot be used here");
		field_remedy(spec,
			     "only a step that needs '%s' can use it, in its own 'run', 'env' or 'workdir'",
			     name);
	} else if (step == NULL) {
		struct suggest near = suggest_for(name);

		field_error_at(spec, position_of(check, place), place->width, "there is no step '%s'", name);
		for (size_t i = 0; i < spec->dag->steps_count; i++)
			suggest_offer(&near, spec->dag->steps[i].name, NULL);
		if (suggest_best(&near) != NULL)
			field_remedy(spec, "did you mean '%s'?", suggest_best(&near));
	} else if (step->index == place->site->step) {
		field_error_at(spec, position_of(check, place), place->width,
			       "step '%s' refers to its own output", name);
	} else {
		ask(check, place, place->site->step, step->index);
	}
}

static void check_reference(struct check *check, const struct place *place, const char *name)
{
	struct reference_parts parts;
	struct err err;

	if (reference_split(name, &parts, &err) < 0)
		report(check, place, &err);
	else if (parts.kind == REFERENCE_PARAM)
		check_param(check, place, parts.first);
	else if (parts.kind == REFERENCE_OUTPUT)
		check_output(check, place, parts.first);
}

static bool check_site(struct check *check, const struct reference_site *site)
{
	struct place place = { .site = site };
	struct reference reference;
	struct err err;
	size_t at = 0;
	int rc;

	while ((rc = reference_next(site->node->text, at, &reference, &err)) > 0) {
		if (++check->references > SPEC_REFERENCES_MAX) {
			field_error(check->spec, site->node, "more than %d references in one file",
				    SPEC_REFERENCES_MAX);
			return false;
		}
		place.width = (uint32_t)(reference.to - reference.from);
		if (!reference.escape)
			check_reference(check, &place, reference.name);
		at = reference.to;
		place.ordinal++;
	}
	if (rc < 0) {
		place.width = 3;
		report(check, &place, &err);
	}
	return true;
}

static void report_not_needed(struct check *check, const struct graph_query *query)
{
	const struct dag_step *steps = check->spec->dag->steps;
	const struct place *place = query->tag;

	field_error_at(check->spec, position_of(check, place), place->width,
		       "step '%s' uses an output of '%s' but does not need it", steps[query->step].name,
		       steps[query->other].name);
	field_remedy(check->spec, "add '%s' to the 'needs' of '%s'", steps[query->other].name,
		     steps[query->step].name);
}

void spec_reference_check(struct spec *spec, bool ordered)
{
	struct check check = { .spec = spec };

	for (size_t i = 0; i < spec->sites_count; i++) {
		if (!check_site(&check, &spec->sites[i]))
			break;
	}
	if (ordered && check.queries_count > 0) {
		graph_answer(spec->dag, check.queries, check.queries_count, &spec->scratch);
		for (size_t i = 0; i < check.queries_count; i++) {
			if (!check.queries[i].needed)
				report_not_needed(&check, &check.queries[i]);
		}
	}
	free(check.queries);
}
