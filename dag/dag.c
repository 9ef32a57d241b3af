#include "dag/dag.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "common/digest.h"
#include "common/err.h"
#include "common/mem.h"
#include "common/scope.h"
#include "dag/diagnostic.h"
#include "dag/document.h"
#include "dag/names.h"
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

static int report(struct diagnostics *diagnostics, const char *path, enum err_code code, const char *message)
{
	diagnostics_add(diagnostics, &(struct diagnostic){
					 .severity = DIAGNOSTIC_ERROR, .path = path, .message = message });
	return code;
}

static int report_errno(struct diagnostics *diagnostics, const char *path, const char *what)
{
	struct err err;

	err_errno(&err, "%s", what);
	return report(diagnostics, path, err.code, err.text);
}

static int report_size(struct diagnostics *diagnostics, const char *path, size_t bytes)
{
	struct err err;

	err_set(&err, ERR_LIMIT, "the file has %zu bytes, more than %d (1 MiB)", bytes, DAG_FILE_BYTES_MAX);
	return report(diagnostics, path, ERR_LIMIT, err.text);
}

/* All of the file, into the arena. It may grow while it is read, so the size is not trusted. */
static int read_file(const char *path, struct arena *arena, const char **text_out, size_t *bytes_out,
		     struct diagnostics *diagnostics)
{
	autoclose int fd =
	    open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK); /* A FIFO without a writer must not block us. */
	size_t room, bytes = 0;
	struct stat status;
	char *text;

	if (fd < 0 || fstat(fd, &status) < 0)
		return report_errno(diagnostics, path, "the file cannot be opened");
	if (!S_ISREG(status.st_mode))
		return report(diagnostics, path, ERR_INVALID, "this is no regular file");
	if (status.st_size > DAG_FILE_BYTES_MAX)
		return report_size(diagnostics, path, (size_t)status.st_size);
	room = (size_t)status.st_size + 1;
	text = arena_alloc(arena, room + 1);
	for (;;) {
		ssize_t n = read(fd, text + bytes, room - bytes);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return report_errno(diagnostics, path, "the file cannot be read");
		if (n == 0)
			break;
		bytes += (size_t)n;
		if (bytes == room)
			return report(diagnostics, path, ERR_BUSY, "the file grew while it was read");
	}
	*text_out = text;
	*bytes_out = bytes;
	return 0;
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
	int rc = read_file(path, &dag->arena, &dag->text, &dag->text_bytes, diagnostics);

	if (rc < 0)
		return rc;
	absolute = realpath(path, NULL);
	if (absolute == NULL)
		return report_errno(diagnostics, path, "the file's folder cannot be found");
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

	if (bytes > DAG_FILE_BYTES_MAX)
		return report_size(diagnostics, path, bytes);
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
