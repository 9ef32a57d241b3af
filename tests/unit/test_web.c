#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/scope.h"
#include "web/auth.h"
#include "web/listen.h"
#include "web/metrics.h"
#include "web/openapi.h"
#include "web/request.h"

static struct request request;
static struct err err;
static json_t *body;

static int set_up(void **state)
{
	(void)state;
	request_init(&request);
	memset(&err, 0, sizeof err);
	return 0;
}

static int tear_down(void **state)
{
	(void)state;
	request_fini(&request);
	json_decref(body);
	body = NULL;
	return 0;
}

static int read_get(const char *uri)
{
	request_fini(&request);
	request_init(&request);
	return request_read(&request, "GET", uri, &err);
}

static int read_post(const char *uri, const char *text, bool local)
{
	json_decref(body);
	body = NULL;
	request_fini(&request);
	request_init(&request);
	assert_int_equal(request_read(&request, "POST", uri, &err), 0);
	return request_read_body(&request, text, strlen(text), local, &body, &err);
}

/* --- paths ------------------------------------------------------------------------------------------------ */

static void the_parts_of_a_path_are_what_is_asked_for(void **state)
{
	(void)state;
	assert_int_equal(read_get("/api/v1/runs/digits/3/tasks/train/attempts/2/log?offset=17&follow=true"), 0);
	assert_int_equal(request.route->kind, ROUTE_LOG);
	assert_string_equal(request.query.dag, "digits");
	assert_string_equal(request.query.run, "digits/3");
	assert_string_equal(request.query.task, "train");
	assert_int_equal(request.query.attempt, 2);
	assert_int_equal(request.offset, 17);
	assert_true(request.follow);
	assert_int_equal(read_get("/api/v1/dags/a%2Db"), 0);
	assert_string_equal(request.query.dag, "a-b");
}

static void an_encoded_slash_is_no_slash_and_nothing_climbs(void **state)
{
	static const char *const paths[] = {
		"/api/v1/dags/..",	       "/api/v1/dags/../runs",	       "/api/v1/dags/%2e%2e",
		"/plain%2Fdags/x",  "/plain%2Fdags%2Fx", "/api%2Fv1/dags", "/api/v1/runs/a/1%2Fwhy", "/api/v1%2Fstatus",
		"/api/v1/dags/%2e%2e%2fruns",  "/api/v1/dags/a%2Fb",	       "/api/v1/dags/..%5c..%5cetc",
		"/api/v1/dags/-rf",	       "/api/v1/dags/.hidden",	       "/api/v1/dags/a/",
		"//api/v1/dags",	       "/api/v1/dags/",		       "/api/v1/runs/digits/0",
		"/api/v1/runs/digits/-1",      "/api/v1/runs/digits/03x",      "/api/v1/runs/digits/99999999999999999999",
		"/api/v1/dags/%F0%9F%94%A5", "/api/v1/runs/d/1/tasks/t/attempts/4294967296/log",
	};

	(void)state;
	for (size_t i = 0; i < COUNT_OF(paths); i++)
		if (read_get(paths[i]) != ERR_NOT_FOUND)
			fail_msg("%s: %d %s", paths[i], err.code, err.text);
}

static void what_is_malformed_is_refused(void **state)
{
	static const char *const uris[] = {
		"api/v1/dags",		  "/api/v1/dags/%",	      "/api/v1/dags/%4",
		"/api/v1/dags/%zz",	  "/api/v1/dags/%00",	      "/api/v1/dags/%ff",
		"/api/v1/dags/%c0%af",	  "/api/v1/dags/a%0ab",	      "/api/v1/runs?dag=%ff",
		"/api/v1/runs?limit=%00", "/a/a/a/a/a/a/a/a/a/a/a/a/a/a/a/a/a",
	};

	(void)state;
	for (size_t i = 0; i < COUNT_OF(uris); i++)
		if (read_get(uris[i]) != ERR_INVALID)
			fail_msg("%s: %d %s", uris[i], err.code, err.text);
}

static void other_methods_are_told(void **state)
{
	(void)state;
	assert_int_equal(request_read(&request, "DELETE", "/api/v1/runs", &err), ERR_EXISTS);
	assert_string_equal(request.allowed, "GET, HEAD, POST");
	request_fini(&request);
	request_init(&request);
	assert_int_equal(request_read(&request, "HEAD", "/api/v1/runs", &err), 0);
}

/* --- behind the question mark ----------------------------------------------------------------------------- */

static void parameters_are_those_of_the_route_and_of_their_type(void **state)
{
	(void)state;
	assert_int_equal(read_get("/api/v1/runs?dag=digits&state=failed&limit=7&before=42"), 0);
	assert_string_equal(request.query.dag, "digits");
	assert_string_equal(request.query.state, "failed");
	assert_int_equal(request.query.limit, 7);
	assert_int_equal(request.query.before, 42);
	assert_int_equal(read_get("/api/v1/runs"), 0);
	assert_int_equal(request.query.limit, 50);
	assert_int_equal(read_get("/api/v1/runs?limt=3"), ERR_INVALID);
	assert_string_equal(err.text, "/api/v1/runs has no parameter 'limt'; there are: limit, before, dag, state");
	assert_int_equal(read_get("/api/v1/workers?x=1"), ERR_INVALID);
	assert_string_equal(err.text, "/api/v1/workers takes no parameters, and was given 'x'");
	assert_int_equal(read_get("/api/v1/runs?limit=0"), ERR_INVALID);
	assert_int_equal(read_get("/api/v1/runs?limit=1001"), ERR_INVALID);
	assert_string_equal(err.text, "'limit' is a number from 1 to 1000, not '1001'");
	assert_int_equal(read_get("/api/v1/runs?limit=+5"), ERR_INVALID);
	assert_int_equal(read_get("/api/v1/runs?limit=5&limit=6"), ERR_INVALID);
	assert_string_equal(err.text, "'limit' is given twice");
	assert_int_equal(read_get("/api/v1/runs?dag=a/b"), ERR_INVALID);
	assert_int_equal(read_get("/api/v1/events?run=digits/3&after=0"), 0);
	assert_string_equal(request.query.run, "digits/3");
	assert_int_equal(request.query.after, 0);
	assert_int_equal(read_get("/api/v1/events?run=digits"), ERR_INVALID);
	assert_int_equal(read_get("/api/v1/events"), 0);
	assert_int_equal(request.query.after, -1);
	assert_int_equal(read_get("/api/v1/runs/d/1/tasks/t/attempts/0/log?tail=9&offset=1"), ERR_INVALID);
	assert_int_equal(read_get("/api/v1/dags/d/backfill?from=2026-01-01&to=2026-01-02&again=true"), 0);
	assert_true(request.query.again);
	assert_int_equal(read_get("/api/v1/dags/d/backfill?from=2026-01-01"), ERR_INVALID);
	assert_string_equal(err.text, "/api/v1/dags/{dag}/backfill needs the parameter 'to': up to this time: RFC 3339, or a"
				      " date");
}

/* --- bodies ----------------------------------------------------------------------------------------------- */

static void a_body_has_the_fields_of_its_route(void **state)
{
	(void)state;
	assert_int_equal(read_post("/api/v1/runs", "{\"dag\":\"digits\",\"params\":{\"lr\":\"0.1\"}}", false), 0);
	assert_string_equal(json_string_value(json_object_get(body, "dag")), "digits");
	assert_int_equal(read_post("/api/v1/runs/digits/3/cancel", "", false), 0);
	assert_string_equal(json_string_value(json_object_get(body, "run")), "digits/3");
	assert_null(json_object_get(body, "dag"));
	assert_int_equal(read_post("/api/v1/runs/digits/3/retry", "{\"from\":null,\"dry_run\":true}", false), 0);
	assert_null(json_object_get(body, "from"));
	assert_true(json_is_true(json_object_get(body, "dry_run")));
	assert_int_equal(read_post("/api/v1/workers/gpu1/drain", "{}", false), 0);
	assert_string_equal(json_string_value(json_object_get(body, "worker")), "gpu1");
}

static void a_wrong_body_is_refused_and_the_mistake_named(void **state)
{
	static const struct {
		const char *text, *message;
	} wrong[] = {
		{ "{", "the body is no JSON: line 1, column " },
		{ "[]", "the body is to be a JSON object, as in {}" },
		{ "{}", "the body lacks 'dag': the name of what to run" },
		{ "{\"dag\":3}", "'dag' is a name" },
		{ "{\"dag\":\"../x\"}", "'dag' is a name" },
		{ "{\"dag\":\"d\",\"x\":1}", "the body has an unknown field 'x'; there are: dag, file, params" },
		{ "{\"dag\":\"d\",\"params\":{\"a\":1}}",
		  "'params' is an object of texts, as in {\"lr\": \"0.1\"}" },
		{ "{\"dag\":\"d\",\"params\":[]}", "'params' is an object of texts, as in {\"lr\": \"0.1\"}" },
		{ "{\"dag\":\"d\",\"dag\":\"e\"}",
		  "the body is no JSON: line 1, column " },
		{ "{\"file\":\"/etc/passwd\"}", "'file' is taken over the control socket only" },
		{ "[[[[[[[[[[[[[[[[[[", "the body is nested deeper than 16" },
		{ "{\"dag\":\"\\u0000\"}",
		  "the body is no JSON: line 1, column " },
	};

	(void)state;
	for (size_t i = 0; i < COUNT_OF(wrong); i++) {
		assert_true(read_post("/api/v1/runs", wrong[i].text, false) < 0);
		if (strncmp(err.text, wrong[i].message, strlen(wrong[i].message)) != 0)
			fail_msg("%s: %s", wrong[i].text, err.text);
	}
	assert_int_equal(read_post("/api/v1/runs", "{\"dag\":\"\xff\"}", false), ERR_INVALID);
	assert_int_equal(read_post("/api/v1/runs", "{\"file\":\"/x.yaml\"}", true), 0);
	assert_int_equal(read_post("/api/v1/runs", "{\"file\":\"/x\",\"dag\":\"d\"}", true), ERR_INVALID);
	assert_int_equal(read_post("/api/v1/dags/d/backfill", "{\"from\":\"2026-01-01\"}", false), ERR_INVALID);
	assert_string_equal(err.text, "the body lacks 'to': the end: a date or an RFC 3339 time");
}

/* --- byte ranges ------------------------------------------------------------------------------------------ */

static void assert_range(const char *header, uint64_t size, enum request_range how, uint64_t first, uint64_t bytes)
{
	uint64_t got_first = 0, got_bytes = 0;

	if (request_range_of(header, size, &got_first, &got_bytes) != how)
		fail_msg("%s", header == NULL ? "none" : header);
	if (how == RANGE_GIVEN && (got_first != first || got_bytes != bytes))
		fail_msg("%s: %llu+%llu", header == NULL ? "none" : header, (unsigned long long)got_first, (unsigned long long)got_bytes);
}

static void one_range_is_taken_and_tricks_are_not(void **state)
{
	(void)state;
	assert_range("bytes=0-0", 10, RANGE_GIVEN, 0, 1);
	assert_range("bytes=2-", 10, RANGE_GIVEN, 2, 8);
	assert_range("bytes=2-100", 10, RANGE_GIVEN, 2, 8);
	assert_range("bytes=-3", 10, RANGE_GIVEN, 7, 3);
	assert_range("bytes=-30", 10, RANGE_GIVEN, 0, 10);
	assert_range("bytes=9-9", 10, RANGE_GIVEN, 9, 1);
	assert_range("bytes=0-18446744073709551615", 10, RANGE_GIVEN, 0, 10);
	assert_range("bytes=10-", 10, RANGE_OUTSIDE, 0, 0);
	assert_range("bytes=-0", 10, RANGE_OUTSIDE, 0, 0);
	assert_range("bytes=0-", 0, RANGE_OUTSIDE, 0, 0);
	assert_range("bytes=-5", 0, RANGE_OUTSIDE, 0, 0);
	assert_range("bytes=3-2", 10, RANGE_NONE, 0, 0);
	assert_range("bytes=0-1,3-4", 10, RANGE_NONE, 0, 0);
	assert_range("bytes=99999999999999999999-", 10, RANGE_NONE, 0, 0);
	assert_range("bytes=--1", 10, RANGE_NONE, 0, 0);
	assert_range("bytes= 1-2", 10, RANGE_NONE, 0, 0);
	assert_range("bytes=", 10, RANGE_NONE, 0, 0);
	assert_range("bytes=-", 10, RANGE_NONE, 0, 0);
	assert_range("lines=1-2", 10, RANGE_NONE, 0, 0);
	assert_range(NULL, 10, RANGE_NONE, 0, 0);
}

/* --- where it came from ----------------------------------------------------------------------------------- */

static void a_host_is_ours_by_name_and_not_by_likeness(void **state)
{
	static const char *const hosts[] = { "gpu-head.lan" };
	static const char *const ours[] = { "localhost", "LOCALHOST:8765", "127.0.0.1:8765", "127.1.2.3", "[::1]:8765",
					    "gpu-head.lan", "GPU-head.lan:80", "gpu-head.lan.", "[::ffff:127.0.0.1]" };
	static const char *const foreign[] = { "evil.com", "localhost.evil.com", "127.0.0.1.evil.com", "evil.com:8765",
					       "gpu-head.lan.evil.com", "", ":80", "[::1", "[::1]x", "localhost:80a",
					       "localhost:999999", "localhost@evil.com", "0.0.0.0", "127.0.0.1/x", "2130706433",
					       "0x7f.1", "evil localhost", "[fe80::1]" };

	(void)state;
	for (size_t i = 0; i < COUNT_OF(ours); i++)
		if (!auth_host_is_ours(ours[i], hosts, 1))
			fail_msg("%s", ours[i]);
	for (size_t i = 0; i < COUNT_OF(foreign); i++)
		if (auth_host_is_ours(foreign[i], hosts, 1))
			fail_msg("%s", foreign[i]);
	assert_false(auth_host_is_ours(NULL, hosts, 1));
}

static void a_foreign_page_is_told_by_the_browser(void **state)
{
	(void)state;
	assert_false(auth_is_foreign("localhost:1", NULL, NULL));
	assert_false(auth_is_foreign("localhost:1", "http://localhost:1", "same-origin"));
	assert_false(auth_is_foreign("localhost:1", NULL, "none"));
	assert_true(auth_is_foreign("localhost:1", "http://localhost:2", NULL));
	assert_true(auth_is_foreign("localhost:1", "http://evil.com", NULL));
	assert_true(auth_is_foreign("localhost:1", "null", NULL));
	assert_true(auth_is_foreign("localhost:1", "file://localhost:1", NULL));
	assert_true(auth_is_foreign("localhost:1", NULL, "cross-site"));
	assert_true(auth_is_foreign("localhost:1", "http://localhost:1", "same-site"));
	assert_true(auth_is_foreign(NULL, "http://localhost:1", NULL));
}

/* --- tokens and sessions ---------------------------------------------------------------------------------- */

static void secrets_are_long_and_differ(void **state)
{
	char one[AUTH_SECRET_BYTES], other[AUTH_SECRET_BYTES], digest[WEB_DIGEST_BYTES];

	(void)state;
	assert_int_equal(auth_make_secret(AUTH_TOKEN_PREFIX, one, &err), 0);
	assert_int_equal(auth_make_secret(AUTH_TOKEN_PREFIX, other, &err), 0);
	assert_int_equal(strlen(one), strlen(AUTH_TOKEN_PREFIX) + 43);
	assert_string_not_equal(one, other);
	assert_string_equal(auth_digest("abc", digest),
			    "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
}

static void a_session_is_worth_its_token_until_it_is_over(void **state)
{
	static struct auth auth;
	char secret[AUTH_SECRET_BYTES];

	(void)state;
	assert_int_equal(auth_add_session(&auth, "abcd", 1000, secret, &err), 0);
	assert_string_equal(auth_find_session(&auth, secret, 2000), "abcd");
	assert_null(auth_find_session(&auth, "other", 2000));
	assert_null(auth_find_session(&auth, "", 2000));
	assert_null(auth_find_session(&auth, secret, 1001 + AUTH_SESSION_MS_MAX));
	auth_end_session(&auth, secret);
	assert_null(auth_find_session(&auth, secret, 2000));
}

static void the_oldest_session_makes_room(void **state)
{
	static struct auth auth;
	char first[AUTH_SECRET_BYTES], second[AUTH_SECRET_BYTES], other[AUTH_SECRET_BYTES];

	(void)state;
	auth_add_session(&auth, "1", 1, first, &err);
	auth_add_session(&auth, "2", 2, second, &err);
	for (int i = 2; i < AUTH_SESSIONS_MAX; i++)
		auth_add_session(&auth, "x", 100 + i, other, &err);
	assert_non_null(auth_find_session(&auth, first, 500));
	auth_add_session(&auth, "x", 400, other, &err);
	assert_null(auth_find_session(&auth, first, 500));
	assert_non_null(auth_find_session(&auth, second, 500));
	assert_non_null(auth_find_session(&auth, other, 500));
}

static void the_cookie_is_found_among_others(void **state)
{
	char secret[AUTH_SECRET_BYTES];

	(void)state;
	assert_true(auth_read_cookie("a=b; stoker_session=xyz; c=d", secret));
	assert_string_equal(secret, "xyz");
	assert_true(auth_read_cookie("stoker_session=xyz", secret));
	assert_false(auth_read_cookie("xstoker_session=xyz", secret));
	assert_false(auth_read_cookie("stoker_session=", secret));
	assert_false(auth_read_cookie(NULL, secret));
	assert_false(auth_read_cookie("stoker_session="
				      "0123456789012345678901234567890123456789012345678901234567890123",
				      secret));
}

static void failures_are_answered_later_and_later(void **state)
{
	static struct auth auth;
	char other[32];
	int64_t last = 0;

	(void)state;
	for (int i = 0; i < 3; i++)
		assert_int_equal(auth_failure_delay_ms(&auth, "10.0.0.1", 1000), 0);
	for (int i = 0; i < 10; i++) {
		int64_t delay = auth_failure_delay_ms(&auth, "10.0.0.1", 1000);

		assert_true(delay >= last && delay <= AUTH_DELAY_MS_MAX);
		last = delay;
	}
	assert_int_equal(last, AUTH_DELAY_MS_MAX);
	assert_int_equal(auth_failure_delay_ms(&auth, "10.0.0.2", 1000), 0);
	for (int i = 0; i < 1000; i++) {
		snprintf(other, sizeof other, "10.0.1.%d", i);
		auth_failure_delay_ms(&auth, other, 2000 + i);
	}
	auth_forget_failures(&auth, "10.0.1.999");
	assert_int_equal(auth_failure_delay_ms(&auth, "10.0.1.999", 9000), 0);
}

/* --- addresses -------------------------------------------------------------------------------------------- */

static void addresses_are_numbers(void **state)
{
	static const char *const wrong[] = { "", "127.0.0.1", "127.0.0.1:", "127.0.0.1:99999", ":80", "::1:80",
					     "[127.0.0.1]:80", "example.com:80", "127.0.0.1:8a", "[::1]", "[]:80" };
	struct listen_address address;

	(void)state;
	assert_int_equal(listen_parse("127.0.0.1:8765", &address, &err), 0);
	assert_true(address.loopback);
	assert_int_equal(address.port, 8765);
	assert_int_equal(listen_parse("[::1]:0", &address, &err), 0);
	assert_true(address.loopback);
	assert_int_equal(listen_parse("localhost:80", &address, &err), 0);
	assert_true(address.loopback);
	assert_int_equal(listen_parse("0.0.0.0:80", &address, &err), 0);
	assert_false(address.loopback);
	assert_int_equal(listen_parse("[::]:80", &address, &err), 0);
	assert_false(address.loopback);
	for (size_t i = 0; i < COUNT_OF(wrong); i++)
		if (listen_parse(wrong[i], &address, &err) != ERR_INVALID)
			fail_msg("%s", wrong[i]);
}

/* --- what is told of it ----------------------------------------------------------------------------------- */

static void samples_are_escaped_and_exact(void **state)
{
	struct metrics metrics = { 0 };

	(void)state;
	metrics_family(&metrics, "stoker_x", "gauge", "It is.");
	metrics_sample(&metrics, 3, "dag", "a\"b\\c\nd\xff", "state", "running", NULL);
	metrics_sample(&metrics, 0.25, NULL);
	metrics_sample(&metrics, 1800014400.125, NULL);
	assert_string_equal(buf_text(&metrics.text),
			    "# HELP stoker_x It is.\n# TYPE stoker_x gauge\n"
			    "stoker_x{dag=\"a\\\"b\\\\c\\nd\xef\xbf\xbd\",state=\"running\"} 3\n"
			    "stoker_x 0.25\nstoker_x 1800014400.125\n");
	buf_fini(&metrics.text);
}

/* Every "$ref" below `value` names a schema that is there. */
static void check_references(const json_t *schemas, json_t *value)
{
	static const char prefix[] = "#/components/schemas/";
	const char *key, *reference = json_string_value(json_object_get(value, "$ref"));
	json_t *item;
	size_t i;

	if (reference != NULL) {
		assert_int_equal(strncmp(reference, prefix, strlen(prefix)), 0);
		if (json_object_get(schemas, reference + strlen(prefix)) == NULL)
			fail_msg("%s", reference);
	}
	json_object_foreach(value, key, item) check_references(schemas, item);
	json_array_foreach(value, i, item) check_references(schemas, item);
}

static json_t *operation_of(const json_t *document, const struct route *route)
{
	json_t *path = json_object_get(json_object_get(document, "paths"), route->path);

	return json_object_get(path, strcmp(route->method, "GET") == 0	  ? "get"
				     : strcmp(route->method, "POST") == 0 ? "post"
									  : "delete");
}

static void every_route_is_described_once_and_nothing_else(void **state)
{
	json_t *document = openapi_make(), *path, *paths = json_object_get(document, "paths");
	json_t *names = json_object();
	const char *key;
	size_t described = 0;

	(void)state;
	assert_non_null(document);
	for (size_t i = 0; i < routes_count; i++) {
		json_t *operation = operation_of(document, &routes[i]);

		assert_string_equal(json_string_value(json_object_get(operation, "operationId")), routes[i].name);
		assert_null(json_object_get(names, routes[i].name));
		json_object_set_new(names, routes[i].name, json_true());
		assert_non_null(json_object_get(json_object_get(operation, "responses"), "200"));
	}
	json_object_foreach(paths, key, path) described += json_object_size(path);
	assert_int_equal(described, routes_count);
	check_references(json_object_get(json_object_get(document, "components"), "schemas"), document);
	json_decref(names);
	json_decref(document);
}

static void segments_of_routes_are_known(void **state)
{
	(void)state;
	for (size_t i = 0; i < routes_count; i++)
		for (const char *at = routes[i].path; *at == '/'; at += strcspn(at, "/")) {
			at++;
			assert_int_not_equal(route_segment_of(at, strcspn(at, "/")), SEGMENT_UNKNOWN);
		}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(the_parts_of_a_path_are_what_is_asked_for, set_up, tear_down),
		cmocka_unit_test_setup_teardown(an_encoded_slash_is_no_slash_and_nothing_climbs, set_up, tear_down),
		cmocka_unit_test_setup_teardown(what_is_malformed_is_refused, set_up, tear_down),
		cmocka_unit_test_setup_teardown(other_methods_are_told, set_up, tear_down),
		cmocka_unit_test_setup_teardown(parameters_are_those_of_the_route_and_of_their_type, set_up, tear_down),
		cmocka_unit_test_setup_teardown(a_body_has_the_fields_of_its_route, set_up, tear_down),
		cmocka_unit_test_setup_teardown(a_wrong_body_is_refused_and_the_mistake_named, set_up, tear_down),
		cmocka_unit_test(one_range_is_taken_and_tricks_are_not),
		cmocka_unit_test(a_host_is_ours_by_name_and_not_by_likeness),
		cmocka_unit_test(a_foreign_page_is_told_by_the_browser),
		cmocka_unit_test(secrets_are_long_and_differ),
		cmocka_unit_test(a_session_is_worth_its_token_until_it_is_over),
		cmocka_unit_test(the_oldest_session_makes_room),
		cmocka_unit_test(the_cookie_is_found_among_others),
		cmocka_unit_test(failures_are_answered_later_and_later),
		cmocka_unit_test(addresses_are_numbers),
		cmocka_unit_test(samples_are_escaped_and_exact),
		cmocka_unit_test(every_route_is_described_once_and_nothing_else),
		cmocka_unit_test(segments_of_routes_are_known),
	};

	return cmocka_run_group_tests_name("web", tests, NULL, NULL);
}
