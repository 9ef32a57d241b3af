/*
 * fuzz_http.c - what a stranger sends: a request line, a header or two, a body
 *
 * The first line is "METHOD URI", the second a Range, a Host, an Origin and a Cookie at once, the rest the body. With
 * STOKER_FUZZING a libFuzzer target; else a program that feeds the same function its corpus, and what a fixed seed
 * makes of it, as a test of `make check`.
 */
#include <assert.h>
#include <glob.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/mem.h"
#include "common/rng.h"
#include "common/scope.h"
#include "common/utf8.h"
#include "web/auth.h"
#include "web/request.h"

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n);

static void check_message(const struct err *err)
{
	assert(err->code != ERR_OK && err->text[0] != '\0');
}

/* Whatever was taken is what the source may rely on. */
static void check_name(const char *text)
{
	assert(text == NULL || (text[0] != '\0' && text[0] != '.' && strlen(text) < WEB_NAME_BYTES));
	assert(text == NULL || strpbrk(text, "/\\ \n'\"<>;") == NULL);
}

static void check_query(const struct request *request)
{
	check_name(request->query.dag);
	check_name(request->query.task);
	check_name(request->query.worker);
	check_name(request->query.state);
	assert(request->query.run == NULL || strchr(request->query.run, '/') != NULL);
	assert(request->offset >= 0 && request->tail_bytes >= 0 && request->limit_bytes >= 0);
	assert(request->query.limit >= 0 && request->query.limit <= 1000);
	assert(request->query.from == NULL || utf8_valid(request->query.from, strlen(request->query.from)));
}

static void try_request(const char *method, const char *uri, const char *body, size_t bytes)
{
	struct request request;
	struct err err = { 0 };
	json_t *arguments = NULL;

	request_init(&request);
	if (request_read(&request, method, uri, &err) < 0) {
		check_message(&err);
	} else {
		check_query(&request);
		for (int local = 0; local < 2; local++) {
			if (request_read_body(&request, body, bytes, local, &arguments, &err) < 0)
				check_message(&err);
			else
				json_decref(arguments);
		}
	}
	assert(request.path == NULL || strstr(request.path, "/.") == NULL);
	request_fini(&request);
}

static void try_header(const char *text)
{
	static const char *const hosts[] = { "gpu-head.lan" };
	static const uint64_t sizes[] = { 0, 1, 1000, UINT64_MAX };
	char secret[AUTH_SECRET_BYTES];

	for (size_t i = 0; i < COUNT_OF(sizes); i++) {
		uint64_t first, bytes;

		if (request_range_of(text, sizes[i], &first, &bytes) == RANGE_GIVEN)
			assert(bytes > 0 && first < sizes[i] && bytes <= sizes[i] - first);
	}
	auth_host_is_ours(text, hosts, 1);
	auth_is_foreign(text, text, NULL);
	if (auth_read_cookie(text, secret))
		assert(strlen(secret) < sizeof secret);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n)
{
	autofree char *text = mem_strndup((const char *)bytes, n);
	char *uri = strchr(text, ' '), *header, *body;

	if (uri == NULL)
		return 0;
	*uri++ = '\0';
	header = strchr(uri, '\n');
	if (header == NULL)
		return 0;
	*header++ = '\0';
	body = strchr(header, '\n');
	if (body != NULL)
		*body++ = '\0';
	try_header(header);
	try_request(text, uri, body == NULL ? "" : body, body == NULL ? 0 : strlen(body));
	return 0;
}

#ifndef STOKER_FUZZING
enum { SAMPLES = 2000, SAMPLE_BYTES_MAX = 4096 };

/* Some bytes changed, dropped, doubled. */
static void damage(struct rng *rng, struct buf *out, const uint8_t *bytes, size_t n)
{
	static const char odd[] = "%&?=/.\\\"{}[]:,\n 0\xff\x01";

	buf_clear(out);
	for (size_t i = 0; i < n && out->bytes < SAMPLE_BYTES_MAX; i++) {
		uint64_t dice = rng_below(rng, 40);

		if (dice == 0)
			continue;
		if (dice == 1)
			buf_append_byte(out, (uint8_t)odd[rng_below(rng, sizeof odd - 1)]);
		else
			buf_append_byte(out, bytes[i]);
		if (dice == 2)
			i -= i > 3 ? rng_below(rng, 3) : 0;
	}
}

static int run_file(const char *path, int number)
{
	autofclose FILE *file = fopen(path, "re");
	struct rng rng = rng_seeded((uint64_t)number);
	static uint8_t bytes[SAMPLE_BYTES_MAX];
	autobuf struct buf sample = { 0 };
	size_t n;

	if (file == NULL) {
		printf("not ok %d - %s\n", number, path);
		return 1;
	}
	n = fread(bytes, 1, sizeof bytes, file);
	LLVMFuzzerTestOneInput(bytes, n);
	for (int i = 0; i < SAMPLES; i++) {
		damage(&rng, &sample, bytes, n);
		LLVMFuzzerTestOneInput((const uint8_t *)buf_text(&sample), sample.bytes);
	}
	printf("ok %d - %s\n", number, path);
	return 0;
}

/* The files it is given, else the corpus; TAP. */
int main(int argc, char **argv)
{
	const char *source = getenv("STOKER_SOURCE");
	autofree char *pattern = mem_printf("%s/tests/fuzz/corpus/http/*", source == NULL ? "." : source);
	glob_t files = { 0 };
	int failed = 0, number = 0;

	for (int i = 1; i < argc; i++)
		failed += run_file(argv[i], ++number);
	if (argc == 1 && glob(pattern, 0, NULL, &files) == 0)
		for (size_t i = 0; i < files.gl_pathc; i++)
			failed += run_file(files.gl_pathv[i], ++number);
	globfree(&files);
	printf("1..%d\n", number);
	return failed > 0 || number == 0; /* a folder without files is a broken checkout */
}
#endif
