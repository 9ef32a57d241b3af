#include "executor/agent/baseline.h"

#include <fcntl.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "common/mem.h"
#include "common/scope.h"
#include "executor/agent/files.h"

enum { BASELINE_BYTES_MAX = 64 * 1024 * 1024 };

static void parse(const struct buf *text, struct arena *arena, struct baseline *out)
{
	const char *stop = buf_text(text) + text->bytes;
	size_t room = 0;

	for (const char *at = buf_text(text); at < stop; at += strlen(at) + 1) {
		const char *blank = strchr(at, ' ');

		if (blank == NULL)
			continue;
		mem_grow(&out->known, &room, out->count, sizeof *out->known);
		out->known[out->count++] = (struct seal_known){ .entry = arena_strdup(arena, blank + 1),
								.hash = strtoull(at, NULL, 16) };
	}
}

static void describe(int dir, const struct spec *spec, struct arena *arena, struct buf *text)
{
	const char **entries;
	size_t count = seal_list(dir, arena, &entries);

	for (size_t i = 0; i < count; i++) {
		if (seal_is_candidate(spec, entries[i]))
			continue;
		buf_printf(text, "%016" PRIx64 " %s", entry_sign(dir, entries[i]).hash, entries[i]);
		buf_append_byte(text, 0);
	}
}

void baseline_read(const char *task_folder, struct arena *arena, struct baseline *out)
{
	autofree char *path = mem_printf("%s/baseline", task_folder);
	autobuf struct buf text = { 0 };

	*out = (struct baseline){ 0 };
	if (files_read(AT_FDCWD, path, BASELINE_BYTES_MAX, &text) == 0)
		parse(&text, arena, out);
}

int baseline_take(const char *task_folder, int dir, const struct spec *spec, struct arena *arena,
		  struct baseline *out, struct err *err)
{
	autofree char *path = mem_printf("%s/baseline", task_folder);
	autobuf struct buf text = { 0 };

	/* None on a later attempt: the task came from another worker, and what lies here is not its own. */
	if (spec->fresh || files_read(AT_FDCWD, path, BASELINE_BYTES_MAX, &text) < 0) {
		buf_clear(&text);
		describe(dir, spec, arena, &text);
		if (files_make_folders(task_folder) < 0 ||
		    files_replace(AT_FDCWD, path, buf_text(&text), text.bytes, 0) < 0)
			return err_errno(err, "write %s", path);
	}
	*out = (struct baseline){ 0 };
	parse(&text, arena, out);
	return 0;
}
