#include "dag/read.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/err.h"
#include "common/scope.h"
#include "dag/dag.h"

int read_report(struct diagnostics *diagnostics, const char *path, const struct err *err)
{
	diagnostics_add(diagnostics, &(struct diagnostic){
					     .severity = DIAGNOSTIC_ERROR, .path = path, .message = err->text });
	return err->code;
}

static int report_errno(struct diagnostics *diagnostics, const char *path, const char *what)
{
	struct err err;

	err_errno(&err, "%s", what);
	return read_report(diagnostics, path, &err);
}

int read_check_size(size_t bytes, const char *path, struct diagnostics *diagnostics)
{
	struct err err;

	if (bytes <= DAG_FILE_BYTES_MAX)
		return 0;
	err_set(&err, ERR_LIMIT, "the file has %zu bytes, more than %d (1 MiB)", bytes, DAG_FILE_BYTES_MAX);
	return read_report(diagnostics, path, &err);
}

/* It may grow while it is read, so the size is not trusted. */
int read_file(const char *path, struct arena *arena, const char **text_out, size_t *bytes_out,
	      struct diagnostics *diagnostics)
{
	autoclose int fd =
	    open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK); /* A FIFO without a writer must not block us. */
	size_t room, bytes = 0;
	struct stat status;
	struct err err;
	char *text;

	if (fd < 0 || fstat(fd, &status) < 0)
		return report_errno(diagnostics, path, "the file cannot be opened");
	if (!S_ISREG(status.st_mode))
		return err_set(&err, ERR_INVALID, "this is no regular file"),
		       read_report(diagnostics, path, &err);
	if (read_check_size((size_t)status.st_size, path, diagnostics) < 0)
		return ERR_LIMIT;
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
			return err_set(&err, ERR_BUSY, "the file grew while it was read"),
			       read_report(diagnostics, path, &err);
	}
	*text_out = text;
	*bytes_out = bytes;
	return 0;
}

