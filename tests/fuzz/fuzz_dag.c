/*
 * fuzz_dag.c - any bytes as a DAG file; what is accepted is then bound and expanded
 *
 * With --enable-fuzzing a libFuzzer target; else the same function runs over the files it is given.
 */
#include <assert.h>
#include <glob.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/buf.h"
#include "common/scope.h"
#include "dag/cron.h"
#include "dag/dag.h"
#include "dag/diagnostic.h"
#include "dag/duration.h"
#include "dag/param.h"
#include "common/utf8.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes);

struct values {
	const struct dag *dag;
	const char **values;
};

static const char *look_up(void *context, const char *name, const char **variable_out)
{
	const struct values *values = context;
	const struct dag_param *param =
	    strncmp(name, "params.", 7) == 0 ? dag_find_param(values->dag, name + 7) : NULL;

	*variable_out = "STOKER_PARAM_X";
	return param == NULL ? "1" : values->values[param - values->dag->params];
}

/* What the header promises of each step: its needs stand before it in the order and know of it. */
static void check_graph(const struct dag *dag)
{
	size_t *place = calloc(dag->steps_count, sizeof *place);

	assert(place != NULL && dag->steps_count > 0);
	for (size_t i = 0; i < dag->steps_count; i++)
		place[dag->order[i]] = i;
	for (size_t i = 0; i < dag->steps_count; i++) {
		const struct dag_step *step = &dag->steps[i];

		assert(step->index == i && dag_find_step(dag, step->name) == step);
		assert(step->argc > 0 && step->argv[step->argc] == NULL);
		assert(step->retry.backoff_ms >= 0 && step->retry.max_backoff_ms >= step->retry.backoff_ms);
		for (size_t j = 0; j < step->needs_count; j++)
			assert(place[step->needs[j]] < place[i]);
	}
	free(place);
}

/* A script whose parameters have their defaults was checked when the file was read: it must expand. */
static void check_expansion(const struct dag *dag)
{
	struct arena arena;
	struct values values = { .dag = dag };

	arena_init(&arena);
	if (param_bind(dag, NULL, 0, &arena, &values.values, NULL) == 0) {
		for (size_t i = 0; i < dag->steps_count && i < 100; i++) {
			const struct dag_step *step = &dag->steps[i];
			enum param_context in = step->shell ? PARAM_IN_SCRIPT : PARAM_IN_WORD;

			for (size_t j = 0; j < step->argc; j++) {
				autobuf struct buf out = { 0 };
				struct err err;

				if (param_expand(step->argv[j], in, look_up, &values, &out, &err) < 0) {
					fprintf(stderr, "%s\n", err.text);
					abort();
				}
			}
		}
	}
	arena_fini(&arena);
}

static void check_accepted(const struct dag *dag)
{
	struct cron cron;

	check_graph(dag);
	check_expansion(dag);
	for (size_t i = 0; i < dag->schedules_count; i++)
		assert(cron_parse(dag->schedules[i].cron, &cron, NULL, NULL) == 0 && cron_ever_fires(&cron));
}

static void check_diagnostics(struct diagnostics *diagnostics)
{
	char *page = NULL;
	size_t bytes;
	FILE *out = open_memstream(&page, &bytes);

	assert(out != NULL);
	diagnostics_print(diagnostics, out, true);
	fclose(out);
	for (size_t i = 0; i < diagnostics->count; i++) {
		const struct diagnostic *item = &diagnostics->items[i];

		assert(utf8_valid(item->message, strlen(item->message)));
		assert(item->at.line == 0 || item->source != NULL);
	}
	free(page);
}

/* The first line also as a cron line, a duration and a size, which are not reached by chance. */
static void check_small_parsers(const uint8_t *data, size_t bytes)
{
	char line[200], text[DURATION_TEXT_BYTES];
	struct cron cron;
	int64_t number;
	size_t n = 0, at;
	struct err err;

	while (n < bytes && n < sizeof line - 1 && data[n] != '\n')
		n++;
	memcpy(line, data, n);
	line[n] = '\0';
	if (cron_parse(line, &cron, &at, &err) == 0)
		(void)cron_ever_fires(&cron);
	else
		assert(at <= n);
	if (duration_parse(line, &number, &at, &err) == 0)
		assert(duration_parse(duration_text(number, text), &number, NULL, NULL) == 0);
	else
		assert(at <= n);
	if (size_parse(line, &number, &at, &err) < 0)
		assert(at <= n);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes)
{
	autodiagnostics struct diagnostics diagnostics;
	autodag struct dag *dag = NULL;
	int rc;

	diagnostics_init(&diagnostics);
	rc = dag_parse("fuzz.yaml", (const char *)data, bytes, &dag, &diagnostics);
	assert((rc == 0) == (dag != NULL));
	assert((rc == 0) == (diagnostics.errors == 0));
	check_diagnostics(&diagnostics);
	if (dag != NULL)
		check_accepted(dag);
	if (bytes > 0)
		check_small_parsers(data, bytes);
	return 0;
}

#ifndef STOKER_FUZZING
static int number;

/* In memory of exactly its size, so that a sanitizer sees a read past its end. */
static int run_file(const char *path)
{
	autofclose FILE *file = fopen(path, "re");
	autobuf struct buf text = { 0 };
	autofree uint8_t *exact = NULL;
	char chunk[4096];
	size_t n;

	while (file != NULL && (n = fread(chunk, 1, sizeof chunk, file)) > 0)
		buf_append(&text, chunk, n);
	if (file != NULL) {
		exact = malloc(text.bytes > 0 ? text.bytes : 1);
		assert(exact != NULL);
		memcpy(exact, buf_text(&text), text.bytes);
		LLVMFuzzerTestOneInput(exact, text.bytes);
	}
	printf("%sok %d - %s\n", file == NULL ? "not " : "", ++number, path);
	return file == NULL ? -1 : 0;
}

/* A folder without files is a broken checkout, not a success. */
static int run_folder(const char *pattern)
{
	const char *source = getenv("STOKER_SOURCE");
	autofree char *path = NULL;
	glob_t files;
	int rc = 0;

	if (asprintf(&path, "%s/%s", source == NULL ? "." : source, pattern) < 0)
		abort();
	if (glob(path, 0, NULL, &files) != 0) {
		printf("not ok %d - %s # no such files\n", ++number, pattern);
		return -1;
	}
	for (size_t i = 0; i < files.gl_pathc; i++)
		rc |= run_file(files.gl_pathv[i]);
	globfree(&files);
	return rc;
}

/* The files it is given, else the corpus and the files of the tests; TAP. */
int main(int argc, char **argv)
{
	int rc = 0;

	for (int i = 1; i < argc; i++)
		rc |= run_file(argv[i]);
	if (argc == 1) {
		rc |= run_folder("tests/fuzz/corpus/dag/*");
		rc |= run_folder("tests/e2e/bad/*.yaml");
		rc |= run_folder("tests/e2e/good/*.yaml");
	}
	printf("1..%d\n", number);
	return rc == 0 ? 0 : 1;
}
#endif
