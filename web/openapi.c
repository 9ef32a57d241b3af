#include "web/openapi.h"

#include <assert.h>
#include <stdio.h>
#include <string.h>

#include "common/scope.h"
#include "config.h"
#include "web/answer.h"
#include "web/routes.h"

static const char schemas_json[] =
#include "web/schemas_json.inc"
	;

/* --- parameters ------------------------------------------------------------------------------------------- */

static json_t *schema_of(enum route_type type, int64_t min, int64_t max)
{
	switch (type) {
	case TYPE_NAME:
		return json_pack("{s:s, s:s}", "type", "string", "pattern", "^[A-Za-z0-9_][A-Za-z0-9_.-]{0,63}$");
	case TYPE_RUN:
		return json_pack("{s:s, s:s}", "type", "string", "pattern",
				 "^[A-Za-z0-9_][A-Za-z0-9_.-]{0,63}/[1-9][0-9]{0,17}$");
	case TYPE_STATE:
		return json_pack("{s:s}", "$ref", "#/components/schemas/RunState");
	case TYPE_NUMBER:
		return max == INT64_MAX
			       ? json_pack("{s:s, s:I, s:s}", "type", "integer", "minimum", (json_int_t)min, "format",
					   "int64")
			       : json_pack("{s:s, s:I, s:I}", "type", "integer", "minimum", (json_int_t)min, "maximum",
					   (json_int_t)max);
	case TYPE_FLAG:
		return json_pack("{s:s}", "type", "boolean");
	case TYPE_TEXTS:
		return json_pack("{s:s, s:{s:s}}", "type", "object", "additionalProperties", "type", "string");
	case TYPE_TIME:
		return json_pack("{s:s, s:s, s:[s, s]}", "type", "string", "pattern",
				 "^[0-9]{4}-[0-9]{2}-[0-9]{2}"
				 "(T[0-9]{2}:[0-9]{2}(:[0-9]{2}([.][0-9]{1,9})?)?(Z|[+-][0-9]{2}:[0-9]{2})?)?$",
				 "examples", "2026-12-01T02:30:00Z", "2026-12-01");
	case TYPE_TEXT:
		break;
	}
	return json_pack("{s:s, s:s}", "type", "string", "pattern", "^[^\\x00-\\x1f\\x7f]+$");
}

static json_t *path_parameter(enum route_segment segment)
{
	static const char *const descriptions[SEGMENTS] = {
		[SEGMENT_DAG] = "name of a DAG",	[SEGMENT_NUMBER] = "number of a run of that DAG",
		[SEGMENT_TASK] = "name of a step",	[SEGMENT_ATTEMPT] = "number of an attempt; 0: the latest",
		[SEGMENT_WORKER] = "name of a worker",
	};
	bool number = segment == SEGMENT_NUMBER || segment == SEGMENT_ATTEMPT;

	return json_pack("{s:s, s:s, s:b, s:s, s:o}", "name", route_segments[segment], "in", "path", "required", 1,
			 "description", descriptions[segment], "schema",
			 number ? schema_of(TYPE_NUMBER, segment == SEGMENT_NUMBER, UINT32_MAX)
				: schema_of(TYPE_NAME, 0, 0));
}

static void add_path_parameters(const char *path, json_t *parameters)
{
	for (; *path == '/'; path += strcspn(path, "/")) {
		enum route_segment segment = route_segment_of(path + 1, strcspn(path + 1, "/"));

		path++;
		if (segment >= 0)
			json_array_append_new(parameters, path_parameter(segment));
	}
}

static json_t *parameters_of(const struct route *route)
{
	json_t *parameters = json_array();

	add_path_parameters(route->path, parameters);
	for (int i = 0; i < OPTIONS; i++) {
		const struct route_parameter *option = &route_options[i];
		/* Of a log, `limit` counts bytes. */
		int64_t max = i == OPTION_LIMIT && route->kind == ROUTE_LOG ? INT64_MAX : option->max;

		if ((route->options & 1u << i) != 0)
			json_array_append_new(parameters,
					      json_pack("{s:s, s:s, s:b, s:s, s:o}", "name", option->name, "in",
							"query", "required", (route->needed & 1u << i) != 0,
							"description", option->description, "schema",
							schema_of(option->type, option->min, max)));
	}
	return parameters;
}

/* --- bodies ----------------------------------------------------------------------------------------------- */

/* What may be left out may also be null, which is the same. */
static void allow_null(json_t *property)
{
	json_t *type = json_incref(json_object_get(property, "type"));

	json_object_set_new(property, "type", json_pack("[o, s]", type, "null"));
}

static json_t *body_of(const struct route *route)
{
	json_t *properties = json_object(), *required = json_array();
	json_t *schema = json_pack("{s:s, s:o, s:b}", "type", "object", "properties", properties,
				   "additionalProperties", 0);

	for (size_t i = 0; i < ROUTE_FIELDS_MAX && route->fields[i].name != NULL; i++) {
		const struct route_field *field = &route->fields[i];
		json_t *property = schema_of(field->type, field->min, field->max);

		json_object_set_new(property, "description", json_string(field->description));
		json_object_set_new(properties, field->name, property);
		if (field->required)
			json_array_append_new(required, json_string(field->name));
		else
			allow_null(property);
	}
	json_object_set_new(schema, "required", required);
	if (route->kind == ROUTE_CHANGE && route->what == WEB_TRIGGER)
		json_object_set_new(schema, "oneOf", json_pack("[{s:[s]}, {s:[s]}]", "required", "dag", "required", "file"));
	return json_pack("{s:b, s:{s:{s:o}}}", "required", json_object_get(schema, "oneOf") != NULL || json_array_size(required) > 0, "content",
			 "application/json", "schema", schema);
}

/* --- answers ---------------------------------------------------------------------------------------------- */

static json_t *problem_answer(const char *description)
{
	return json_pack("{s:s, s:{s:{s:{s:s}}}}", "description", description, "content", "application/problem+json",
			 "schema", "$ref", "#/components/schemas/Problem");
}

static json_t *schema_answer(const char *description, const char *schema)
{
	char reference[100];

	snprintf(reference, sizeof reference, "#/components/schemas/%s", schema);
	return json_pack("{s:s, s:{s:{s:{s:s}}}}", "description", description, "content", "application/json",
			 "schema", "$ref", reference);
}

static json_t *text_answer(const char *description, const char *type)
{
	return json_pack("{s:s, s:{s:{s:{s:s}}}}", "description", description, "content", type, "schema", "type",
			 "string");
}

static json_t *good_answer(const struct route *route)
{
	switch (route->kind) {
	case ROUTE_LOG:
		return text_answer("the bytes", "text/plain");
	case ROUTE_STREAM:
		return text_answer("events", "text/event-stream");
	case ROUTE_PLAIN:
		return text_answer("a page", "text/html");
	case ROUTE_SAMPLES:
		return text_answer("samples", "text/plain");
	case ROUTE_OPENAPI:
		return json_pack("{s:s, s:{s:{s:{s:s}}}}", "description", "this", "content", "application/json",
				 "schema", "type", "object");
	default:
		return schema_answer("done", route->schema);
	}
}

static json_t *answers_of(const struct route *route)
{
	json_t *answers = json_object();

	json_object_set_new(answers, "200", good_answer(route));
	if (route->kind == ROUTE_LOG) {
		json_object_set_new(answers, "206", text_answer("the bytes that were asked for", "text/plain"));
		json_object_set_new(answers, "416", problem_answer("there are no such bytes"));
	}
	if (route->kind == ROUTE_HEALTH)
		json_object_set_new(answers, "503", schema_answer("something is wrong", "Health"));
	if (route->kind == ROUTE_CHANGE)
		json_object_set_new(answers, "409", problem_answer("not as things stand"));
	json_object_set_new(answers, "304", json_pack("{s:s}", "description", "as If-None-Match says"));
	json_object_set_new(answers, "default",
			    route->kind == ROUTE_PLAIN
				    ? text_answer("it could not be done; the page says why", "text/html")
				    : problem_answer("it could not be done; the detail says why"));
	return answers;
}

/* --- the document ----------------------------------------------------------------------------------------- */

static json_t *operation_of(const struct route *route)
{
	json_t *operation = json_pack("{s:s, s:s, s:s}", "operationId", route->name, "summary", route->summary,
				      "x-role", auth_role_name(route->role));
	json_t *parameters = parameters_of(route);

	if (json_array_size(parameters) > 0)
		json_object_set(operation, "parameters", parameters);
	json_decref(parameters);
	if (strcmp(route->method, "POST") == 0)
		json_object_set_new(operation, "requestBody", body_of(route));
	json_object_set_new(operation, "responses", answers_of(route));
	if (route->role > WEB_VIEWER)
		json_object_set_new(operation, "security", json_pack("[{s:[]}, {s:[]}]", "token", "session"));
	return operation;
}

static json_t *paths(void)
{
	json_t *all = json_object();

	for (size_t i = 0; i < routes_count; i++) {
		const struct route *route = &routes[i];
		json_t *path = json_object_get(all, route->path);
		const char *method = strcmp(route->method, "GET") == 0	  ? "get"
				     : strcmp(route->method, "POST") == 0 ? "post"
									  : "delete";

		if (path == NULL) {
			path = json_object();
			json_object_set_new(all, route->path, path);
		}
		json_object_set_new(path, method, operation_of(route));
	}
	return all;
}

json_t *openapi_make(void)
{
	json_error_t problem;
	json_t *schemas = json_loads(schemas_json, JSON_REJECT_DUPLICATES, &problem);

	assert(schemas != NULL);
	return json_pack("{s:s, s:{s:s, s:s, s:s}, s:o, s:{s:o, s:{s:{s:s, s:s}, s:{s:s, s:s, s:s}}}}", "openapi", "3.1.0",
			 "info", "title", "stoker", "version", PACKAGE_VERSION, "description",
			 "Training that goes on through the night: what runs, what ran, and what is to be done.\n\n"
			 "Times are RFC 3339 in UTC. Lists are bounded; \"next\" is the `before` of the page that"
			 " follows. Every answer that is not 2xx is a problem (RFC 9457) with one sentence; below /plain it is a page. Fields are"
			 " added, never renamed.",
			 "paths", paths(), "components", "schemas", schemas, "securitySchemes", "token", "type", "http",
			 "scheme", "bearer", "session", "type", "apiKey", "in", "cookie", "name", AUTH_COOKIE);
}

void openapi_answer(struct exchange *exchange)
{
	answer_json(exchange, 200, openapi_make());
}
