#include "web/api.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "common/clock.h"
#include "common/mem.h"
#include "common/scope.h"
#include "web/answer.h"
#include "web/aside.h"
#include "web/assets.h"
#include "web/framing.h"
#include "web/identify.h"
#include "web/logs.h"
#include "web/metrics.h"
#include "web/openapi.h"
#include "web/plain.h"

/* What the source was asked to change; it outlives an exchange that goes away meanwhile. */
struct change {
	struct exchange *exchange; /* NULL: nobody waits for it any more */
};

static struct web *web_of(const struct exchange *exchange)
{
	return exchange->connection->listener->web;
}

/* --- the header ------------------------------------------------------------------------------------------- */

static bool is_asset(const struct request *request)
{
	return request->route == NULL && request->path != NULL && assets_have(request->path);
}

static bool reads_only(const char *method)
{
	return strcmp(method, "GET") == 0 || strcmp(method, "HEAD") == 0;
}

static void refuse_path(struct exchange *exchange, const struct err *err)
{
	if (err->code != ERR_EXISTS) {
		answer_error(exchange, err);
		return;
	}
	answer_problem(exchange, 405, ERR_INVALID, err->text);
	answer_header(exchange, MHD_HTTP_HEADER_ALLOW, exchange->request.allowed);
}

static int read_line(struct exchange *exchange, const char *method)
{
	struct request *request = &exchange->request;
	struct err err;

	if (request_read(request, method, exchange->uri, &err) == 0 || (is_asset(request) && reads_only(method)))
		return 0;
	refuse_path(exchange, &err);
	return err.code;
}

/* Not known: who shows nothing. Known, and it is not enough: another token may do. */
static int check_role(struct exchange *exchange)
{
	const struct route *route = exchange->request.route;
	const char *needed = route == NULL ? "" : auth_role_name(route->role);
	char text[200];

	if (route == NULL || exchange->caller.role >= route->role)
		return 0;
	if (exchange->caller.actor[0] != '\0') {
		snprintf(text, sizeof text, "this needs the role %s, and %s is %s", needed, exchange->caller.actor,
			 auth_role_name(exchange->caller.role));
		answer_problem(exchange, 403, ERR_DENIED, text);
		return ERR_DENIED;
	}
	snprintf(text, sizeof text,
		 "this needs a token of the role %s (`stoker token create --role %s`), or the control socket", needed,
		 needed);
	answer_problem(exchange, 401, ERR_DENIED, text);
	answer_header(exchange, MHD_HTTP_HEADER_WWW_AUTHENTICATE, "Bearer realm=\"stoker\"");
	return ERR_DENIED;
}

/* A form of a foreign page can send text and forms, and no JSON. */
static bool is_json_type(const char *type)
{
	size_t bytes = type == NULL ? 0 : strcspn(type, "; ");

	return bytes == strlen("application/json") && strncasecmp(type, "application/json", bytes) == 0;
}

static int check_body(struct exchange *exchange, const char *method)
{
	const char *length = exchange_header(exchange, MHD_HTTP_HEADER_CONTENT_LENGTH);
	bool has_body = (length != NULL && strcmp(length, "0") != 0) ||
			exchange_header(exchange, MHD_HTTP_HEADER_TRANSFER_ENCODING) != NULL;

	if (length != NULL && strtoull(length, NULL, 10) > WEB_BODY_BYTES_MAX) {
		answer_problem(exchange, 413, ERR_LIMIT, "a body has at most 1 MiB");
		return ERR_LIMIT;
	}
	if (!reads_only(method) && has_body &&
	    !is_json_type(exchange_header(exchange, MHD_HTTP_HEADER_CONTENT_TYPE))) {
		answer_problem(exchange, 415, ERR_INVALID, "a body is JSON: Content-Type: application/json");
		return ERR_INVALID;
	}
	return 0;
}

void api_begin(struct exchange *exchange, const char *method, const char *version)
{
	struct err err;

	if (exchange->uri != NULL && plain_is_below(exchange->uri))
		exchange->problem_page = plain_problem;
	if (framing_check(exchange, version, &err) < 0) {
		answer_error(exchange, &err);
		answer_header(exchange, MHD_HTTP_HEADER_CONNECTION, "close");
		exchange->last = true;
		return;
	}
	if (exchange->uri == NULL) {
		answer_problem(exchange, 414, ERR_LIMIT, "the path is longer than anything that there is");
		return;
	}
	if (identify(exchange, !reads_only(method)) < 0 || read_line(exchange, method) < 0 ||
	    check_role(exchange) < 0)
		return;
	check_body(exchange, method);
}

/* --- reads ------------------------------------------------------------------------------------------------ */

/* Everybody who may read is told the same. */
static char *cache_key(const struct exchange *exchange)
{
	size_t bytes = strlen(exchange->uri) + 1;
	char *key = mem_alloc(2 + bytes);

	key[0] = exchange->connection->listener->local ? 'l' : 'r';
	key[1] = answer_may_compress(exchange) ? 'z' : '-';
	memcpy(key + 2, exchange->uri, bytes);
	return key;
}

static void make_answer(struct exchange *exchange)
{
	const struct web_source *source = web_of(exchange)->source;
	struct web_query *query = &exchange->request.query;
	enum web_read what = (enum web_read)exchange->request.route->what;
	json_t *answer;
	char *text;
	struct err err;
	int rc;

	query->now_wall_ms = clock_wall_ms();
	rc = source->text == NULL ? 0 : source->text(source->context, what, query, &text, &err);
	if (rc == 1) {
		answer_text(exchange, 200, text, strlen(text), "application/json");
		return;
	}
	if (rc == 0)
		rc = source->read(source->context, what, query, &answer, &err);
	if (rc < 0)
		answer_error(exchange, &err);
	else
		answer_json(exchange, 200, answer);
}

/* The exchange only borrows it from then on. */
static void keep_answer(struct exchange *exchange, const char *key, int64_t version)
{
	struct web *web = web_of(exchange);

	if (version < 0 || exchange->status != 200 || exchange->answer_bytes > CACHE_BYTES_EACH_MAX)
		return;
	cache_put(&web->cache, key, exchange->answer, exchange->answer_bytes, exchange->answer_tag, version,
		  clock_mono_ms());
	exchange->answer_is_kept = true;
}

/* One of many waits for the new one, and not all of them: the others may have one that is due. */
static bool answer_from_cache(struct exchange *exchange, const char *key, int64_t version, bool take_due)
{
	struct web *web = web_of(exchange);
	bool due;
	const struct cache_answer *kept =
		version < 0 ? NULL : cache_find(&web->cache, key, version, clock_mono_ms(), &due);

	if (kept == NULL || (due && !take_due))
		return false;
	answer_again(exchange, kept);
	return true;
}

static void answer_read(struct exchange *exchange)
{
	int64_t version = web_version(web_of(exchange), (enum web_read)exchange->request.route->what);
	autofree char *key = cache_key(exchange);

	if (answer_from_cache(exchange, key, version, aside_makes(web_of(exchange)->aside, key, version)))
		return;
	if (aside_wants(exchange)) {
		aside_ask(exchange, key, version);
		return;
	}
	make_answer(exchange);
	keep_answer(exchange, key, version);
}

static void answer_plain(struct exchange *exchange)
{
	autofree char *key = cache_key(exchange);

	if (aside_wants(exchange))
		aside_ask(exchange, key,
			  web_version(web_of(exchange), plain_reads((enum plain_page)exchange->request.route->what)));
	else
		plain_answer(exchange);
}

void api_take_made(struct exchange *exchange)
{
	autofree char *key = cache_key(exchange);
	struct answer_made *made = exchange->made;
	bool is_read = exchange->request.route->kind == ROUTE_READ;

	exchange->made = NULL;
	if (is_read && answer_from_cache(exchange, key, exchange->made_version, false)) {
		answer_release(made);
		return;
	}
	answer_made(exchange, 200, made);
	if (is_read)
		keep_answer(exchange, key, exchange->made_version);
}

/* Not an error with a problem's body: whoever watches wants to see what is wrong. */
static void answer_health(struct exchange *exchange)
{
	const struct web_source *source = web_of(exchange)->source;
	const struct web_query query = { .now_wall_ms = clock_wall_ms(), .after = -1 };
	json_t *answer;
	struct err err;

	if (source->read(source->context, WEB_HEALTH, &query, &answer, &err) < 0)
		answer_problem(exchange, 503, err.code, err.text);
	else
		answer_json(exchange, json_is_true(json_object_get(answer, "ok")) ? 200 : 503, answer);
}

static void add_own_samples(const struct web *web, struct metrics *out)
{
	static const char *const classes[] = { "", "1xx", "2xx", "3xx", "4xx", "5xx" };
	size_t connections = 0;

	list_each (at, &web->connections)
		connections++;
	metrics_family(out, "stoker_http_responses_total", "counter", "Answers sent, by the class of their status.");
	for (size_t i = 2; i < COUNT_OF(classes); i++)
		metrics_sample(out, (double)web->answers[i], "code", classes[i], NULL);
	metrics_single(out, "stoker_http_connections", "gauge", "Connections that are open.", (double)connections);
	metrics_single(out, "stoker_http_streams", "gauge", "Live streams and logs that are followed.",
		       (double)web->streams);
}

static void answer_samples(struct exchange *exchange)
{
	const struct web_source *source = web_of(exchange)->source;
	struct metrics metrics = { 0 };
	struct err err;

	if (source->metrics(source->context, &metrics, &err) < 0) {
		answer_error(exchange, &err);
	} else {
		add_own_samples(web_of(exchange), &metrics);
		answer_bytes(exchange, 200, "text/plain; version=0.0.4; charset=utf-8", buf_text(&metrics.text),
			     metrics.text.bytes, NULL, "no-store");
	}
	buf_fini(&metrics.text);
}

/* --- changes ---------------------------------------------------------------------------------------------- */

static void on_changed(void *context, json_t *answer, const struct err *err)
{
	struct change *change = context;
	struct exchange *exchange = change->exchange;

	free(change);
	if (exchange == NULL) {
		json_decref(answer);
		return;
	}
	list_remove(&exchange->link);
	exchange->change = NULL;
	if (err != NULL && err->code != ERR_OK)
		answer_error(exchange, err);
	else
		answer_json(exchange, 200, answer);
	if (exchange->state == EXCHANGE_ASKING)
		web_resume(exchange);
}

static void start_change(struct exchange *exchange, const json_t *arguments)
{
	const struct web_source *source = web_of(exchange)->source;
	struct change *change = mem_zalloc(sizeof *change);

	change->exchange = exchange;
	exchange->change = change;
	list_append(&web_of(exchange)->asking, &exchange->link);
	source->change(source->context, (enum web_verb)exchange->request.route->what, arguments, &exchange->caller,
		       on_changed, change);
	web_changed(web_of(exchange));
	if (exchange->change == NULL)
		return; /* it was decided at once */
	exchange->state = EXCHANGE_ASKING;
	http->suspend_connection(exchange->mhd);
}

void api_forget(struct exchange *exchange)
{
	if (exchange->change != NULL) {
		exchange->change->exchange = NULL;
		list_remove(&exchange->link);
	}
	exchange->change = NULL;
}

/* A body that is too large was not kept. */
static int read_body(struct exchange *exchange, json_t **out)
{
	struct err err;

	if (exchange->body_bytes > WEB_BODY_BYTES_MAX) {
		answer_problem(exchange, 413, ERR_LIMIT, "a body has at most 1 MiB");
		return ERR_LIMIT;
	}
	if (request_read_body(&exchange->request, exchange->body.data, exchange->body.bytes, exchange->caller.local,
			      out, &err) == 0)
		return 0;
	answer_error(exchange, &err);
	return err.code;
}

static void answer_change(struct exchange *exchange)
{
	json_t *arguments;

	if (read_body(exchange, &arguments) < 0)
		return;
	if (exchange->request.route->kind == ROUTE_LOGIN)
		identify_login(exchange, json_string_value(json_object_get(arguments, "token")));
	else
		start_change(exchange, arguments);
	json_decref(arguments);
}

/* --- what is done ----------------------------------------------------------------------------------------- */

static void answer_asset(struct exchange *exchange)
{
	const char *query = strchr(exchange->uri, '?');

	assets_answer(exchange, exchange->request.path, query != NULL && strncmp(query, "?v=", 3) == 0);
}

void api_finish(struct exchange *exchange)
{
	if (exchange->request.route == NULL) {
		answer_asset(exchange);
		return;
	}
	switch (exchange->request.route->kind) {
	case ROUTE_READ:
		answer_read(exchange);
		break;
	case ROUTE_CHANGE:
	case ROUTE_LOGIN:
		answer_change(exchange);
		break;
	case ROUTE_LOG:
		logs_answer(exchange);
		break;
	case ROUTE_STREAM:
		stream_answer(exchange);
		break;
	case ROUTE_HEALTH:
		answer_health(exchange);
		break;
	case ROUTE_SAMPLES:
		answer_samples(exchange);
		break;
	case ROUTE_PLAIN:
		answer_plain(exchange);
		break;
	case ROUTE_OPENAPI:
		openapi_answer(exchange);
		break;
	case ROUTE_LOGOUT:
		identify_logout(exchange);
		break;
	case ROUTE_SESSION:
		identify_tell(exchange);
		break;
	}
}
