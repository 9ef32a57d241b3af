#include "executor/agent/seal.h"

#include <dirent.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "common/clock.h"
#include "common/mem.h"
#include "common/scope.h"
#include "executor/agent/files.h"
#include "executor/agent/layout.h"

enum { SHORT_DIGEST = 12, TRIED_BYTES = 700 };

static void answer(int out, const struct record_checkpoint *record)
{
	autobuf struct buf bytes = { 0 };

	protocol_put_checkpoint(&bytes, record);
	files_write(out, bytes.data, bytes.bytes);
}

static void ignore(int out, const char *entry, const struct layout *layout, const char *text)
{
	answer(out, &(struct record_checkpoint){ .event = CHECKPOINT_IGNORED,
						 .name = entry,
						 .step = entry_step(entry),
						 .wall_ms = clock_wall_ms(),
						 .format = layout->format,
						 .text = text });
}

/* Digests it; false (with the reason) when it cannot be read or changed while it was read. */
static bool seal_entry(int dir, const char *entry, const struct layout *layout,
		       struct record_checkpoint *record, struct entry_digest *digest, char text[200])
{
	struct entry_signature before = entry_sign(dir, entry), after;
	struct err err = { 0 };

	if (entry_digest(dir, entry, digest, &err) < 0) {
		snprintf(text, 200, "%.190s", err.text);
		return false;
	}
	after = entry_sign(dir, entry);
	if (before.hash != after.hash) {
		snprintf(text, 200, "it changed while it was read");
		return false;
	}
	*record = (struct record_checkpoint){
		.event = CHECKPOINT_COMPLETE,
		.name = entry,
		.digest = digest->hex,
		.bytes = digest->bytes,
		.step = layout->step >= 0 ? layout->step : entry_step(entry),
		.wall_ms = clock_wall_ms(),
		.format = layout->format,
		.text = "",
	};
	return true;
}

static void seal_one(int dir, const struct seal_request *request, int out)
{
	struct record_checkpoint record;
	struct entry_digest digest;
	struct layout layout;
	char text[200];

	layout_check(dir, request->entry, request->must_prove, &layout);
	if (layout.verdict >= LAYOUT_BAD) {
		ignore(out, request->entry, &layout, layout.text);
	} else if (request->must_prove && layout.verdict != LAYOUT_GOOD) {
		snprintf(text, sizeof text,
			 "its step was %s before it was known to be complete, and nothing in it proves that",
			 request->how);
		ignore(out, request->entry, &layout, text);
	} else if (!seal_entry(dir, request->entry, &layout, &record, &digest, text)) {
		ignore(out, request->entry, &layout, text);
	} else {
		answer(out, &record);
	}
}

void seal_work(void *context, int out)
{
	const struct seal_job *job = context;

	for (size_t i = 0; i < job->count; i++)
		seal_one(job->dir, &job->requests[i], out);
}

/* --- removal -------------------------------------------------------------------------------------------- */

void seal_removal_work(void *context, int out)
{
	const struct seal_removal *removal = context;

	for (size_t i = 0; i < removal->count; i++) {
		struct err err = { 0 };
		int rc = entry_remove(removal->dir, removal->entries[i], &err);

		answer(out, &(struct record_checkpoint){ .event = CHECKPOINT_REMOVED,
							 .name = removal->entries[i],
							 .step = entry_step(removal->entries[i]),
							 .wall_ms = clock_wall_ms(),
							 .text = rc == 0 ? ""
								 : rc == ERR_NOT_FOUND
									 ? "the program had removed it"
									 : err.text });
	}
}

/* --- resuming ------------------------------------------------------------------------------------------- */

bool seal_is_known(const struct seal_known *known, size_t count, const char *entry, uint64_t hash)
{
	for (size_t i = 0; i < count; i++)
		if (known[i].hash == hash && strcmp(known[i].entry, entry) == 0)
			return true;
	return false;
}

bool seal_is_candidate(const struct spec *spec, const char *entry)
{
	for (size_t i = 0; i < spec->candidates_count; i++)
		if (strcmp(spec->candidates[i].name, entry) == 0)
			return true;
	return false;
}

static int compare_texts(const void *a, const void *b)
{
	return strcmp(*(const char *const *)a, *(const char *const *)b);
}

size_t seal_list(int dir, struct arena *arena, const char ***entries_out)
{
	int fd = openat(dir, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	DIR *folder = fd < 0 ? NULL : fdopendir(fd);
	const char **entries = NULL;
	size_t count = 0, room = 0, unique = 0;

	*entries_out = NULL;
	if (folder == NULL)
		return 0;
	for (struct dirent *found; (found = readdir(folder)) != NULL && count < ENTRY_FILES_MAX;) {
		char entry[ENTRY_NAME_BYTES];
		struct stat st;

		if (entry_of(found->d_name, entry) == ENTRY_NONE ||
		    fstatat(fd, found->d_name, &st, AT_SYMLINK_NOFOLLOW) < 0 ||
		    (!S_ISREG(st.st_mode) && !S_ISDIR(st.st_mode)))
			continue;
		mem_grow(&entries, &room, count, sizeof *entries);
		entries[count++] = arena_strdup(arena, entry);
	}
	closedir(folder);
	if (count > 0)
		qsort(entries, count, sizeof *entries, compare_texts);
	for (size_t i = 0; i < count; i++)
		if (i == 0 || strcmp(entries[i], entries[unique - 1]) != 0)
			entries[unique++] = entries[i];
	if (unique > 0)
		*entries_out = arena_memdup(arena, entries, unique * sizeof *entries);
	free(entries);
	return unique;
}

struct search {
	const struct seal_resume *resume;
	int out;
	char name[ENTRY_NAME_BYTES]; /* chosen; empty: none yet */
	char digest[DIGEST_HEX_BYTES];
	int64_t mtime_ns;
	char tried[TRIED_BYTES]; /* which were not good, and why */
};

static void remember_tried(struct search *search, const char *name, const char *text)
{
	size_t used = strlen(search->tried);

	snprintf(search->tried + used, sizeof search->tried - used, "%s%s: %s", used > 0 ? "; " : "", name,
		 text);
}

static bool is_good(struct search *search, const struct spec_checkpoint *candidate, char text[200])
{
	struct entry_signature signature;
	struct entry_digest digest;
	struct err err = { 0 };
	char entry[ENTRY_NAME_BYTES];

	if (entry_of(candidate->name, entry) == ENTRY_NONE) {
		snprintf(text, 200, "is no name of a checkpoint");
		return false;
	}
	signature = entry_sign(search->resume->dir, candidate->name);
	if (signature.hash == 0) {
		snprintf(text, 200, "is gone");
	} else if (signature.bytes != candidate->bytes) {
		snprintf(text, 200, "is %" PRIu64 " bytes, recorded was %" PRIu64, signature.bytes,
			 candidate->bytes);
	} else if (entry_digest(search->resume->dir, candidate->name, &digest, &err) < 0) {
		snprintf(text, 200, "%.190s", err.text);
	} else if (strcmp(digest.hex, candidate->digest) != 0) {
		snprintf(text, 200, "digest is %.*s..., recorded was %.*s...", SHORT_DIGEST, digest.hex,
			 SHORT_DIGEST, candidate->digest);
	} else {
		search->mtime_ns = signature.mtime_ns;
		return true;
	}
	return false;
}

static void choose_recorded(struct search *search)
{
	const struct spec *spec = search->resume->spec;
	char text[200];

	for (size_t i = 0; i < spec->candidates_count; i++) {
		const struct spec_checkpoint *candidate = &spec->candidates[i];

		if (candidate->quarantined) {
			remember_tried(search, candidate->name, "is in quarantine");
			continue;
		}
		if (is_good(search, candidate, text)) {
			snprintf(search->name, sizeof search->name, "%s", candidate->name);
			snprintf(search->digest, sizeof search->digest, "%s", candidate->digest);
			return;
		}
		remember_tried(search, candidate->name, text);
		answer(search->out, &(struct record_checkpoint){ .event = CHECKPOINT_BROKEN,
								 .name = candidate->name,
								 .digest = candidate->digest,
								 .bytes = candidate->bytes,
								 .step = entry_step(candidate->name),
								 .wall_ms = clock_wall_ms(),
								 .text = text });
	}
}

struct found {
	const char *entry;
	int64_t mtime_ns;
};

static int oldest_first(const void *a, const void *b)
{
	const struct found *left = a, *right = b;

	if (left->mtime_ns != right->mtime_ns)
		return left->mtime_ns < right->mtime_ns ? -1 : 1;
	return strverscmp(left->entry, right->entry); /* written within one tick of the file system's clock */
}

/* One that nobody recorded: written by an attempt that died before its supervisor could. */
static void judge_unrecorded(struct search *search, const char *entry)
{
	struct record_checkpoint record;
	struct entry_digest digest;
	struct layout layout;
	char text[200];

	layout_check(search->resume->dir, entry, true, &layout);
	if (layout.verdict == LAYOUT_GOOD &&
	    seal_entry(search->resume->dir, entry, &layout, &record, &digest, text)) {
		answer(search->out, &record);
		/* They come oldest first, and all are newer than what was chosen before. */
		snprintf(search->name, sizeof search->name, "%s", entry);
		snprintf(search->digest, sizeof search->digest, "%s", digest.hex);
		return;
	}
	snprintf(text, sizeof text, "was never complete: %.150s",
		 layout.text[0] != '\0' ? layout.text : "still being written when its attempt died");
	remember_tried(search, entry, text);
	ignore(search->out, entry, &layout, text);
}

static void look_at_unrecorded(struct search *search)
{
	const struct seal_resume *resume = search->resume;
	int64_t newer_than_ns = search->name[0] == '\0' ? 0 : search->mtime_ns;
	struct found *found;
	const char **entries;
	struct arena arena;
	size_t count, left = 0;

	arena_init(&arena);
	count = seal_list(resume->dir, &arena, &entries);
	found = arena_alloc(&arena, (count + 1) * sizeof *found);
	for (size_t i = 0; i < count; i++) {
		struct entry_signature signature = entry_sign(resume->dir, entries[i]);

		if (seal_is_candidate(resume->spec, entries[i]) || signature.mtime_ns <= newer_than_ns ||
		    seal_is_known(resume->baseline, resume->baseline_count, entries[i], signature.hash))
			continue;
		found[left++] = (struct found){ entries[i], signature.mtime_ns };
	}
	qsort(found, left, sizeof *found, oldest_first);
	for (size_t i = 0; i < left; i++)
		judge_unrecorded(search, found[i].entry);
	arena_fini(&arena);
}

void seal_resume_work(void *context, int out)
{
	struct search search = { .resume = context, .out = out };
	autobuf struct buf bytes = { 0 };

	choose_recorded(&search);
	look_at_unrecorded(&search);
	if (search.name[0] != '\0') {
		protocol_put_started(&bytes, &(struct record_started){ .resumed_from = search.name,
								       .resumed_digest = search.digest });
	} else {
		protocol_put_note(&bytes, RECORD_NOTE,
				  &(struct frame_note){ .text = search.tried[0] != '\0'
									? search.tried
									: "none was ever recorded" });
	}
	files_write(out, bytes.data, bytes.bytes);
}
