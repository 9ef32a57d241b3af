#include "executor/agent/artifacts.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "common/pack.h"
#include "common/scope.h"
#include "executor/agent/files.h"
#include "executor/agent/held.h"

enum { NOTES_MAX = 5 };

struct job {
	const struct spec *spec;
	const char *root;
	const char *home;
};

/* --- in the helper -------------------------------------------------------------------------------------- */

static void note(struct buf *out, bool warning, const char *text)
{
	protocol_put_note(out, RECORD_NOTE, &(struct frame_note){ .warning = warning, .text = text });
}

static int add(struct pack *pack, const char *path, struct err *err)
{
	size_t before = pack->left_out_count;
	int rc;

	if (faccessat(pack->dir, path, F_OK, 0) < 0)
		return err_errno(err, "artifact %s", path);
	rc = strcmp(path, ".") == 0 ? pack_add_all(pack, err) : pack_add(pack, path, true, err);
	if (rc < 0)
		return err_wrap(err, "artifact");
	if (pack->left_out_count > before && strcmp(pack->left_out[before].path, path) == 0)
		return err_set(err, ERR_INVALID, "artifact %s: %s", path, pack->left_out[before].why);
	return 0;
}

static int keep(const struct job *job, const struct parcel *parcel, struct err *err)
{
	struct held held = { job->home, job->spec->id.run };

	if (held_put_manifest(held, parcel->digest, parcel, err) < 0)
		return err->code;
	return held_mark(held, PROVISION_ARTIFACTS, job->spec->id.task, parcel->digest, err);
}

static void tell_left_out(const struct pack *pack, struct buf *out)
{
	autobuf struct buf text = { 0 };

	for (size_t i = 0; i < pack->left_out_count && i < NOTES_MAX; i++) {
		buf_clear(&text);
		buf_printf(&text, "%s is left out of its artifacts: %s", pack->left_out[i].path,
			   pack->left_out[i].why);
		note(out, false, buf_text(&text));
	}
	if (pack->left_out_count > NOTES_MAX) {
		buf_clear(&text);
		buf_printf(&text, "and %zu more are left out of its artifacts",
			   pack->left_out_count - NOTES_MAX);
		note(out, false, buf_text(&text));
	}
}

static int take_all(const struct job *job, struct pack *pack, struct buf *out, struct err *err)
{
	struct parcel parcel;
	int rc = 0;

	for (size_t i = 0; rc == 0 && i < job->spec->artifacts_count; i++)
		rc = add(pack, job->spec->artifacts[i], err);
	if (rc == 0 && pack_seal(pack, &parcel, err) < 0)
		rc = err_wrap(err, "artifacts");
	if (rc < 0)
		return rc;
	rc = keep(job, &parcel, err);
	if (rc == 0) {
		tell_left_out(pack, out);
		protocol_put_artifacts(out, &(struct record_artifacts){ .digest = parcel.digest,
									.bytes = parcel.bytes,
									.files = parcel.files });
	}
	parcel_fini(&parcel);
	return rc;
}

static void take_work(void *context, int out)
{
	const struct job *job = context;
	autobuf struct buf answer = { 0 };
	struct err err = { 0 };
	struct pack pack;

	pack_init(&pack, HELPER_DIR);
	if (chdir(job->root) < 0)
		err_errno(&err, "chdir %s", job->root);
	else
		take_all(job, &pack, &answer, &err);
	if (err.code != ERR_OK) {
		buf_clear(&answer);
		note(&answer, true, err.text);
	}
	files_write(out, answer.data, answer.bytes);
	pack_fini(&pack);
}

/* --- in the supervisor ---------------------------------------------------------------------------------- */

void artifacts_init(struct artifacts *artifacts)
{
	helper_init(&artifacts->helper);
	artifacts->state = ARTIFACTS_NONE;
}

static void fail(struct artifacts *artifacts, const char *text)
{
	artifacts->state = ARTIFACTS_FAILED;
	snprintf(artifacts->text, sizeof artifacts->text, "%.*s", (int)sizeof artifacts->text - 1, text);
}

void artifacts_take(struct artifacts *artifacts, const struct spec *spec, const char *root, const char *home)
{
	struct job job = { .spec = spec, .root = root, .home = home };
	autoclose int dir = open(spec->workdir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	struct err err = { 0 };

	if (dir < 0)
		err_errno(&err, "artifacts: open %s", spec->workdir);
	else if (helper_start(&artifacts->helper, take_work, &job, dir, &err) == 0)
		artifacts->state = ARTIFACTS_BUSY;
	if (err.code != ERR_OK)
		fail(artifacts, err.text);
}

int artifacts_fd(const struct artifacts *artifacts)
{
	return artifacts->helper.pipe;
}

static void on_record(struct artifacts *artifacts, const struct frame *record, struct arena *arena,
		      struct buf *journal)
{
	struct frame_note said;

	if (record->type == RECORD_NOTE && protocol_get_note(record, arena, &said) == 0 && said.warning) {
		fail(artifacts, said.text);
		return;
	}
	if (record->type == RECORD_ARTIFACTS)
		artifacts->state = ARTIFACTS_TAKEN;
	buf_append(journal, record->body - (record->whole_bytes - record->body_bytes), record->whole_bytes);
}

void artifacts_on_helper(struct artifacts *artifacts, struct buf *journal)
{
	struct helper *helper = &artifacts->helper;
	struct arena arena;
	struct frame record;

	if (helper_read(helper) != 1)
		return;
	arena_init(&arena);
	while (protocol_next(helper->answer.data, helper->answer.bytes, &record, NULL) == 1) {
		on_record(artifacts, &record, &arena, journal);
		buf_consume(&helper->answer, record.whole_bytes);
	}
	arena_fini(&arena);
	if (artifacts->state == ARTIFACTS_BUSY)
		fail(artifacts, "artifacts: their reader died");
}

void artifacts_abandon(struct artifacts *artifacts, const char *why)
{
	if (artifacts->state != ARTIFACTS_BUSY)
		return;
	helper_kill(&artifacts->helper);
	fail(artifacts, why);
}
