#include "dag/dag.h"

#include <stdlib.h>
#include <string.h>

#include "common/digest.h"
#include "common/err.h"
#include "common/mem.h"
#include "common/scope.h"
#include "dag/diagnostic.h"
#include "dag/document.h"
#include "dag/names.h"
#include "dag/read.h"
#include "dag/spec.h"

static struct dag *dag_new(void)
{
	struct dag *dag = mem_zalloc(sizeof *dag);

	arena_init(&dag->arena);
	dag->steps_by_name = arena_alloc(&dag->arena, sizeof *dag->steps_by_name);
	dag->params_by_name = arena_alloc(&dag->arena, sizeof *dag->params_by_name);
	names_init(dag->steps_by_name, &dag->arena, 0);
	names_init(dag->params_by_name, &dag->arena, 0);
	return dag;
}

static void fill_digest(struct dag *dag)
{
	uint8_t bytes[DIGEST_BYTES];
	struct digest digest;

	digest_init(&digest);
	digest_add(&digest, dag->text, dag->text_bytes);
	digest_end(&digest, bytes);
	digest_hex(bytes, dag->digest);
}

/* "/a/b.yaml" lies in "/a", "b.yaml" in ".". */
static const char *folder_of(struct arena *arena, const char *path)
{
	const char *slash = strrchr(path, '/');

	if (slash == NULL)
		return ".";
	return slash == path ? "/" : arena_strndup(arena, path, (size_t)(slash - path));
}

/* `dag` has its text; `shown` is its path as the user wrote it. */
static int build(struct dag *dag, const char *shown, const char *path, struct diagnostics *diagnostics)
{
	autodocument struct document document = { 0 };
	size_t errors_before = diagnostics->errors;
	int rc;

	dag->path = arena_strdup(&dag->arena, path);
	dag->dir = folder_of(&dag->arena, path);
	fill_digest(dag);
	rc = document_parse(&document, &dag->arena, shown, dag->text, dag->text_bytes, diagnostics);
	if (rc < 0)
		return rc;
	spec_read(dag, &document, diagnostics);
	return diagnostics->errors > errors_before ? ERR_INVALID : 0;
}

int dag_load(const char *path, struct dag **dag_out, struct diagnostics *diagnostics)
{
	autodag struct dag *dag = dag_new();
	autofree char *absolute = NULL;
	struct err err;
	int rc = read_file(path, &dag->arena, &dag->text, &dag->text_bytes, diagnostics);

	if (rc < 0)
		return rc;
	absolute = realpath(path, NULL);
	if (absolute == NULL) {
		err_errno(&err, "the file's folder cannot be found");
		return read_report(diagnostics, path, &err);
	}
	rc = build(dag, path, absolute, diagnostics);
	if (rc < 0)
		return rc;
	*dag_out = take(dag);
	return 0;
}

int dag_parse(const char *path, const char *text, size_t bytes, struct dag **dag_out,
	      struct diagnostics *diagnostics)
{
	autodag struct dag *dag = dag_new();
	char *copy;
	int rc;

	if (read_check_size(bytes, path, diagnostics) < 0)
		return ERR_LIMIT;
	copy = arena_alloc(&dag->arena, bytes + 1);
	if (bytes > 0)
		memcpy(copy, text, bytes);
	dag->text = copy;
	dag->text_bytes = bytes;
	rc = build(dag, path, path, diagnostics);
	if (rc < 0)
		return rc;
	*dag_out = take(dag);
	return 0;
}

void dag_free(struct dag *dag)
{
	if (dag == NULL)
		return;
	arena_fini(&dag->arena);
	free(dag);
}

const struct dag_step *dag_find_step(const struct dag *dag, const char *name)
{
	uint32_t index;

	return names_find(dag->steps_by_name, name, &index) ? &dag->steps[index] : NULL;
}

const struct dag_param *dag_find_param(const struct dag *dag, const char *name)
{
	uint32_t index;

	return names_find(dag->params_by_name, name, &index) ? &dag->params[index] : NULL;
}
