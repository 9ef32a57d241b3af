#include "web/request.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "common/clock.h"
#include "common/scope.h"
#include "common/utf8.h"

enum { JSON_DEPTH_MAX = 16, QUOTED_CHARACTERS = 40 };

static inline void scope_json_decref(json_t **json)
{
	json_decref(*json);
}

#define autojson __attribute__((cleanup(scope_json_decref)))

void request_init(struct request *request)
{
	memset(request, 0, sizeof *request);
	arena_init(&request->arena);
	request->query.after = -1;
}

void request_fini(struct request *request)
{
	arena_fini(&request->arena);
}

/* --- characters ----------------------------------------------------------------------------------------- */

static int hex_value(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	if (c >= 'a' && c <= 'f')
		return c - 'a' + 10;
	if (c >= 'A' && c <= 'F')
		return c - 'A' + 10;
	return -1;
}

static bool is_clean(const char *text, size_t bytes)
{
	for (size_t i = 0; i < bytes; i++)
		if ((unsigned char)text[i] < 0x20 || text[i] == 0x7f)
			return false;
	return utf8_valid(text, bytes);
}

/* NULL when it is malformed, no UTF-8, or holds control characters. `plus`: a plus is a blank, as in forms. */
static char *decode(struct arena *arena, const char *text, size_t bytes, bool plus)
{
	char *out = arena_alloc(arena, bytes + 1);
	size_t n = 0;

	for (size_t i = 0; i < bytes; i++) {
		if (text[i] != '%') {
			out[n++] = plus && text[i] == '+' ? ' ' : text[i];
			continue;
		}
		if (i + 2 >= bytes || hex_value(text[i + 1]) < 0 || hex_value(text[i + 2]) < 0)
			return NULL;
		out[n++] = (char)(hex_value(text[i + 1]) * 16 + hex_value(text[i + 2]));
		i += 2;
	}
	out[n] = '\0';
	return is_clean(out, n) ? out : NULL;
}

/* What is quoted in a message is shortened, at the end of a character. */
static int quoted(const char *text)
{
	return (int)utf8_prefix(text, strlen(text), QUOTED_CHARACTERS);
}

/* As dag/naming.h has it; what stands elsewhere cannot be the name of anything. */
static bool is_name(const char *text)
{
	size_t bytes = strlen(text);

	return bytes >= 1 && bytes < WEB_NAME_BYTES && text[0] != '.' && text[0] != '-' &&
	       strspn(text, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_.-") == bytes;
}

static bool read_number(const char *text, int64_t min, int64_t max, int64_t *out)
{
	char *end;
	long long number;

	if (text[0] == '\0' || text[strspn(text, "0123456789")] != '\0')
		return false;
	errno = 0;
	number = strtoll(text, &end, 10);
	if (errno != 0 || number < min || number > max)
		return false;
	*out = number;
	return true;
}

static bool is_run(const char *text)
{
	const char *slash = strrchr(text, '/');
	char dag[WEB_NAME_BYTES] = "";
	int64_t number;

	if (slash == NULL || (size_t)(slash - text) >= sizeof dag)
		return false;
	memcpy(dag, text, (size_t)(slash - text));
	return is_name(dag) && read_number(slash + 1, 1, INT64_MAX, &number);
}

/* --- the path ------------------------------------------------------------------------------------------- */

/* Its parts, decoded: how many, or -1 when one is malformed. */
static int split_path(struct request *request, const char *path, size_t bytes,
		      const char *segments[REQUEST_SEGMENTS_MAX], bool *plain_out)
{
	const char *end = path + bytes;
	int count = 0;

	*plain_out = true;
	while (path < end) {
		const char *slash = memchr(path + 1, '/', (size_t)(end - path - 1));
		const char *stop = slash == NULL ? end : slash;
		char *part = decode(&request->arena, path + 1, (size_t)(stop - path - 1), false);

		if (part == NULL || count == REQUEST_SEGMENTS_MAX)
			return -1;
		if (part[0] == '.' || strchr(part, '/') != NULL)
			*plain_out = false;
		segments[count++] = part;
		path = stop;
	}
	return count;
}

static const char *join(struct arena *arena, const char *const *segments, int count)
{
	size_t bytes = 1;
	char *path, *end;

	for (int i = 0; i < count; i++)
		bytes += 1 + strlen(segments[i]);
	path = end = arena_alloc(arena, bytes);
	for (int i = 0; i < count; i++) {
		*end++ = '/';
		end = stpcpy(end, segments[i]);
	}
	return path;
}

/* A name that cannot be one is no such thing rather than a mistake: "/dags/%00" is not there. */
static int take_segments(struct request *request, const struct route_match *match, struct err *err)
{
	struct web_query *query = &request->query;
	const char *const *values = match->values;
	int64_t number;

	query->dag = values[SEGMENT_DAG];
	query->task = values[SEGMENT_TASK];
	query->worker = values[SEGMENT_WORKER];
	for (int i = 0; i < SEGMENTS; i++)
		if (i != SEGMENT_NUMBER && i != SEGMENT_ATTEMPT && values[i] != NULL && !is_name(values[i]))
			return err_set(err, ERR_NOT_FOUND, "no %s can be called '%.*s'", route_segments[i],
				       quoted(values[i]), values[i]);
	if (values[SEGMENT_ATTEMPT] != NULL) {
		if (!read_number(values[SEGMENT_ATTEMPT], 0, UINT32_MAX, &number))
			return err_set(err, ERR_NOT_FOUND,
				       "'%.*s' is not the number of an attempt; 0 stands for the latest",
				       quoted(values[SEGMENT_ATTEMPT]), values[SEGMENT_ATTEMPT]);
		query->attempt = (uint32_t)number;
	}
	if (values[SEGMENT_NUMBER] != NULL) {
		if (!read_number(values[SEGMENT_NUMBER], 1, INT64_MAX, &number))
			return err_set(err, ERR_NOT_FOUND, "'%.*s' is not the number of a run",
				       quoted(values[SEGMENT_NUMBER]), values[SEGMENT_NUMBER]);
		query->run = arena_printf(&request->arena, "%s/%" PRId64, query->dag, number);
	}
	return 0;
}

/* --- behind the question mark ------------------------------------------------------------------------------ */

static int wrong_value(const struct route_parameter *option, const char *value, const char *wanted, struct err *err)
{
	return err_set(err, ERR_INVALID, "'%s' is %s, not '%.*s'", option->name, wanted, quoted(value), value);
}

static int take_number(struct request *request, enum route_option which, const char *value, struct err *err)
{
	const struct route_parameter *option = &route_options[which];
	/* Of a log it counts bytes, not rows. */
	int64_t max = which == OPTION_LIMIT && request->route->kind == ROUTE_LOG ? INT64_MAX : option->max;
	int64_t number;

	if (!read_number(value, option->min, max, &number)) {
		if (max == INT64_MAX)
			return wrong_value(option, value, option->min == 0 ? "a whole number" : "a number from 1 on",
					   err);
		return err_set(err, ERR_INVALID, "'%s' is a number from %" PRId64 " to %" PRId64 ", not '%.*s'",
			       option->name, option->min, max, quoted(value), value);
	}
	if (which == OPTION_LIMIT && request->route->kind == ROUTE_LOG)
		request->limit_bytes = number;
	else if (which == OPTION_LIMIT)
		request->query.limit = (int)number;
	else if (which == OPTION_BEFORE)
		request->query.before = number;
	else if (which == OPTION_AFTER)
		request->query.after = number;
	else if (which == OPTION_OFFSET)
		request->offset = number;
	else
		request->tail_bytes = number;
	return 0;
}

static int take_flag(const struct route_parameter *option, const char *value, bool *out, struct err *err)
{
	bool yes = strcmp(value, "true") == 0 || strcmp(value, "1") == 0;

	if (!yes && strcmp(value, "false") != 0 && strcmp(value, "0") != 0)
		return wrong_value(option, value, "true or false", err);
	*out = yes;
	return 0;
}

static void take_text(struct request *request, enum route_option which, const char *value)
{
	struct web_query *query = &request->query;
	const char **const places[OPTIONS] = {
		[OPTION_DAG] = &query->dag,   [OPTION_RUN] = &query->run, [OPTION_STATE] = &query->state,
		[OPTION_FROM] = &query->from, [OPTION_TO] = &query->to,
	};

	*places[which] = value;
}

static int take_option(struct request *request, enum route_option which, const char *value, struct err *err)
{
	const struct route_parameter *option = &route_options[which];

	if ((request->options & 1u << which) != 0)
		return err_set(err, ERR_INVALID, "'%s' is given twice", option->name);
	request->options |= 1u << which;
	if (option->type == TYPE_NUMBER)
		return take_number(request, which, value, err);
	if (option->type == TYPE_FLAG)
		return take_flag(option, value, which == OPTION_AGAIN ? &request->query.again : &request->follow, err);
	if ((option->type == TYPE_NAME || option->type == TYPE_STATE) && !is_name(value))
		return wrong_value(option, value, "a name", err);
	if (option->type == TYPE_RUN && !is_run(value))
		return wrong_value(option, value, "a run, as in digits/3", err);
	take_text(request, which, value);
	return 0;
}

static int unknown_option(const struct route *route, const char *name, struct err *err)
{
	autobuf struct buf known = { 0 };

	for (int i = 0; i < OPTIONS; i++)
		if ((route->options & 1u << i) != 0)
			buf_printf(&known, "%s%s", known.bytes == 0 ? "" : ", ", route_options[i].name);
	if (known.bytes == 0)
		return err_set(err, ERR_INVALID, "%s takes no parameters, and was given '%.*s'", route->path,
			       quoted(name), name);
	return err_set(err, ERR_INVALID, "%s has no parameter '%.*s'; there are: %s", route->path, quoted(name), name,
		       buf_text(&known));
}

static int take_pair(struct request *request, const char *pair, size_t bytes, struct err *err)
{
	const char *equals = memchr(pair, '=', bytes);
	size_t name_bytes = equals == NULL ? bytes : (size_t)(equals - pair);
	const char *name = decode(&request->arena, pair, name_bytes, true);
	const char *value = equals == NULL ? ""
					   : decode(&request->arena, equals + 1, bytes - name_bytes - 1, true);

	if (name == NULL || value == NULL)
		return err_set(err, ERR_INVALID,
			       "what stands behind '?' is not percent-encoded UTF-8, or holds control characters");
	for (int i = 0; i < OPTIONS; i++)
		if ((request->route->options & 1u << i) != 0 && strcmp(route_options[i].name, name) == 0)
			return take_option(request, (enum route_option)i, value, err);
	return unknown_option(request->route, name, err);
}

static int check_needed(const struct request *request, struct err *err)
{
	unsigned lacking = request->route->needed & ~request->options;

	for (int i = 0; i < OPTIONS; i++)
		if ((lacking & 1u << i) != 0)
			return err_set(err, ERR_INVALID, "%s needs the parameter '%s': %s", request->route->path,
				       route_options[i].name, route_options[i].description);
	return 0;
}

static int take_options(struct request *request, const char *text, struct err *err)
{
	int rc = 0;

	while (rc == 0 && *text != '\0') {
		size_t bytes = strcspn(text, "&");

		if (bytes > 0)
			rc = take_pair(request, text, bytes, err);
		text += bytes + (text[bytes] == '&');
	}
	if (rc == 0 && request->route->kind == ROUTE_LOG && (request->options & 1u << OPTION_TAIL) != 0 &&
	    (request->options & 1u << OPTION_OFFSET) != 0)
		return err_set(err, ERR_INVALID, "'tail' and 'offset' both say where to begin: give one of them");
	return rc;
}

int request_read(struct request *request, const char *method, const char *uri, struct err *err)
{
	const char *segments[REQUEST_SEGMENTS_MAX] = { NULL };
	size_t path_bytes = strcspn(uri, "?#");
	struct route_match match;
	bool plain;
	int count, rc;

	if (uri[0] != '/')
		return err_set(err, ERR_INVALID, "a path begins with '/'");
	count = split_path(request, uri, path_bytes, segments, &plain);
	if (count < 0)
		return err_set(err, ERR_INVALID,
			       "the path is not percent-encoded UTF-8, holds control characters, or is too deep");
	if (!route_find(method, segments, (size_t)count, &match, request->allowed, sizeof request->allowed)) {
		if (plain)
			request->path = join(&request->arena, segments, count);
		if (request->allowed[0] != '\0')
			return err_set(err, ERR_EXISTS, "this path is there for %s", request->allowed);
		return err_set(err, ERR_NOT_FOUND, "there is no such path; /api/v1/openapi.json lists them");
	}
	request->route = match.route;
	request->query.limit = match.route->limit;
	rc = take_segments(request, &match, err);
	if (rc == 0 && uri[path_bytes] == '?')
		rc = take_options(request, uri + path_bytes + 1, err);
	return rc < 0 ? rc : check_needed(request, err);
}

/* --- the body ------------------------------------------------------------------------------------------- */

static const struct route_field *find_field(const struct route *route, const char *name)
{
	for (size_t i = 0; i < ROUTE_FIELDS_MAX && route->fields[i].name != NULL; i++)
		if (strcmp(route->fields[i].name, name) == 0)
			return &route->fields[i];
	return NULL;
}

static int unknown_field(const struct route *route, const char *name, struct err *err)
{
	autobuf struct buf known = { 0 };

	for (size_t i = 0; i < ROUTE_FIELDS_MAX && route->fields[i].name != NULL; i++)
		buf_printf(&known, "%s%s", i == 0 ? "" : ", ", route->fields[i].name);
	return err_set(err, ERR_INVALID, "the body has an unknown field '%.*s'; %s%s", quoted(name), name,
		       known.bytes == 0 ? "it takes none" : "there are: ", buf_text(&known));
}

static bool are_texts(json_t *value)
{
	json_t *item;
	const char *key;

	if (!json_is_object(value))
		return false;
	json_object_foreach(value, key, item)
	{
		if (!json_is_string(item))
			return false;
	}
	return true;
}

static bool fits(const struct route_field *field, json_t *value)
{
	switch (field->type) {
	case TYPE_FLAG:
		return json_is_boolean(value);
	case TYPE_NUMBER:
		return json_is_integer(value) && json_integer_value(value) >= field->min &&
		       json_integer_value(value) <= field->max;
	case TYPE_TEXTS:
		return are_texts(value);
	case TYPE_NAME:
		return json_is_string(value) && is_name(json_string_value(value));
	default:
		return json_is_string(value) && json_string_length(value) > 0 &&
		       is_clean(json_string_value(value), json_string_length(value));
	}
}

static int check_field(const struct route_field *field, json_t *value, bool local, struct err *err)
{
	static const char *const wanted[] = {
		[TYPE_TEXT] = "a text",
		[TYPE_NAME] = "a name",
		[TYPE_RUN] = "a run",
		[TYPE_STATE] = "a state",
		[TYPE_NUMBER] = "a number within its bounds",
		[TYPE_TIME] = "a time",
		[TYPE_FLAG] = "true or false",
		[TYPE_TEXTS] = "an object of texts, as in {\"lr\": \"0.1\"}",
	};

	if (field->local && !local)
		return err_set(err, ERR_DENIED, "'%s' is taken over the control socket only", field->name);
	if (!fits(field, value))
		return err_set(err, ERR_INVALID, "'%s' is %s", field->name, wanted[field->type]);
	return 0;
}

static int check_fields(const struct route *route, json_t *body, bool local, struct err *err)
{
	const char *name;
	json_t *value;
	void *next;

	json_object_foreach_safe(body, next, name, value)
	{
		const struct route_field *field = find_field(route, name);

		if (field == NULL)
			return unknown_field(route, name, err);
		if (json_is_null(value) && !field->required)
			json_object_del(body, name); /* the same as not given */
		else if (check_field(field, value, local, err) < 0)
			return err->code;
	}
	for (size_t i = 0; i < ROUTE_FIELDS_MAX && route->fields[i].name != NULL; i++)
		if (route->fields[i].required && json_object_get(body, route->fields[i].name) == NULL)
			return err_set(err, ERR_INVALID, "the body lacks '%s': %s", route->fields[i].name,
				       route->fields[i].description);
	return 0;
}

/* jansson recurses into what is nested; 2,048 levels at most, but so deep is nothing that we take. */
static bool is_shallow(const char *text, size_t bytes)
{
	int depth = 0;
	bool in_string = false;

	for (size_t i = 0; i < bytes; i++) {
		char c = text[i];

		if (in_string && c == '\\')
			i++;
		else if (c == '"')
			in_string = !in_string;
		else if (!in_string && (c == '{' || c == '[') && ++depth > JSON_DEPTH_MAX)
			return false;
		else if (!in_string && (c == '}' || c == ']'))
			depth--;
	}
	return true;
}

static int parse_object(const char *body, size_t bytes, json_t **out, struct err *err)
{
	json_error_t problem;

	if (bytes == 0) {
		*out = json_object();
		return 0;
	}
	if (!is_shallow(body, bytes))
		return err_set(err, ERR_INVALID, "the body is nested deeper than %d", JSON_DEPTH_MAX);
	*out = json_loadb(body, bytes, JSON_REJECT_DUPLICATES, &problem);
	if (*out == NULL)
		return err_set(err, ERR_INVALID, "the body is no JSON: line %d, column %d: %s", problem.line,
			       problem.column, problem.text);
	if (!json_is_object(*out))
		return err_set(err, ERR_INVALID, "the body is to be a JSON object, as in {}");
	return 0;
}

/* Of a change, what the path names is an argument like the others. */
static void add_names(const struct request *request, json_t *body)
{
	const struct web_query *query = &request->query;

	if (query->run != NULL)
		json_object_set_new(body, "run", json_string(query->run));
	else if (query->dag != NULL)
		json_object_set_new(body, "dag", json_string(query->dag));
	if (query->worker != NULL)
		json_object_set_new(body, "worker", json_string(query->worker));
}

static int check_trigger(const json_t *body, bool local, struct err *err)
{
	bool dag = json_object_get(body, "dag") != NULL, file = json_object_get(body, "file") != NULL;

	if (dag && file)
		return err_set(err, ERR_INVALID, "'dag' and 'file' both say what to run: give one of them");
	if (!dag && !file)
		return err_set(err, ERR_INVALID, "the body lacks 'dag': the name of what to run%s",
			       local ? " (or 'file')" : "");
	return 0;
}

int request_read_body(const struct request *request, const void *body, size_t bytes, bool local, json_t **out,
		      struct err *err)
{
	autojson json_t *object = NULL;
	int rc = parse_object(body, bytes, &object, err);

	if (rc == 0)
		rc = check_fields(request->route, object, local, err);
	if (rc == 0 && request->route->kind == ROUTE_CHANGE && request->route->what == WEB_TRIGGER)
		rc = check_trigger(object, local, err);
	if (rc < 0)
		return rc;
	add_names(request, object);
	*out = take(object);
	return 0;
}

/* --- byte ranges ---------------------------------------------------------------------------------------- */

static bool read_position(const char **text, uint64_t *out)
{
	char *end;

	if (**text < '0' || **text > '9')
		return false;
	errno = 0;
	*out = strtoull(*text, &end, 10);
	*text = end;
	return errno == 0;
}

enum request_range request_range_of(const char *header, uint64_t size, uint64_t *first_out, uint64_t *bytes_out)
{
	uint64_t first, last = UINT64_MAX;
	bool from_end;

	if (header == NULL || strncmp(header, "bytes=", 6) != 0)
		return RANGE_NONE;
	header += 6;
	from_end = *header == '-';
	header += from_end;
	if (!read_position(&header, &first))
		return RANGE_NONE;
	if (!from_end) {
		if (*header++ != '-')
			return RANGE_NONE;
		if (*header != '\0' && !read_position(&header, &last))
			return RANGE_NONE;
	}
	if (*header != '\0' || last < first)
		return RANGE_NONE;
	if (from_end) {
		if (first == 0)
			return RANGE_OUTSIDE;
		first = first > size ? 0 : size - first;
	}
	if (first >= size)
		return RANGE_OUTSIDE;
	*first_out = first;
	*bytes_out = (last >= size ? size - 1 : last) - first + 1;
	return RANGE_GIVEN;
}
