#include "executor/protocol.h"

#include <string.h>

#include "common/mem.h"

enum {
	LENGTH_BYTES = 4,
	HEAD_BYTES = LENGTH_BYTES + 1,
	VARINT_BYTES_MAX = 10,
	REPEATED_MAX = 100000, /* of one repeated field in one frame */
};

const char *const reason_names[REASONS] = {
	[REASON_NONE] = "",
	[REASON_EXIT] = "exit",
	[REASON_SIGNAL] = "signal",
	[REASON_TIMEOUT] = "timeout",
	[REASON_STALLED] = "stalled",
	[REASON_OOM] = "oom",
	[REASON_CHECKPOINTED] = "checkpointed",
	[REASON_PREEMPTED] = "preempted",
	[REASON_WORKER_REBOOTED] = "worker_rebooted",
	[REASON_WORKER_LOST] = "worker_lost",
	[REASON_SUPERVISOR_LOST] = "supervisor_lost",
	[REASON_NOT_STARTED] = "not_started",
	[REASON_CANCELED] = "canceled",
	[REASON_UPSTREAM] = "upstream",
	[REASON_LEASE_EXPIRED] = "lease_expired",
	[REASON_ARTIFACTS] = "artifacts",
};

const char *const finding_names[FINDING_VERDICTS] = {
	[FINDING_OK] = "ok",
	[FINDING_WARNING] = "warning",
	[FINDING_PROBLEM] = "problem",
};

/* --- writing -------------------------------------------------------------------------------------------- */

static size_t begin(struct buf *out, enum frame_type type)
{
	size_t at = out->bytes;
	uint8_t head[HEAD_BYTES] = { 0 };

	head[LENGTH_BYTES] = (uint8_t)type;
	buf_append(out, head, sizeof head);
	return at;
}

static void end(struct buf *out, size_t at)
{
	size_t n;

	if (out->overflow)
		return;
	n = out->bytes - at - LENGTH_BYTES;
	for (int i = 0; i < LENGTH_BYTES; i++)
		out->data[at + (size_t)i] = (uint8_t)(n >> (8 * i));
}

static size_t encode_varint(uint64_t value, uint8_t bytes[VARINT_BYTES_MAX])
{
	size_t n = 0;

	while (value >= 0x80) {
		bytes[n++] = (uint8_t)(value | 0x80);
		value >>= 7;
	}
	bytes[n++] = (uint8_t)value;
	return n;
}

static void put_bytes(struct buf *out, uint8_t tag, const void *bytes, size_t n)
{
	uint8_t head[1 + VARINT_BYTES_MAX];

	head[0] = tag;
	buf_append(out, head, 1 + encode_varint(n, head + 1));
	buf_append(out, bytes, n);
}

/* Zero and empty are what a missing field means, so they are not written. */
static void put_number(struct buf *out, uint8_t tag, uint64_t value)
{
	uint8_t bytes[VARINT_BYTES_MAX];

	if (value != 0)
		put_bytes(out, tag, bytes, encode_varint(value, bytes));
}

static void put_signed(struct buf *out, uint8_t tag, int64_t value)
{
	put_number(out, tag, (uint64_t)value);
}

static void put_text(struct buf *out, uint8_t tag, const char *text)
{
	if (text != NULL && text[0] != '\0')
		put_bytes(out, tag, text, strlen(text));
}

static void put_texts(struct buf *out, uint8_t tag, const char *const *texts, size_t count)
{
	for (size_t i = 0; i < count; i++)
		put_bytes(out, tag, texts[i], strlen(texts[i])); /* an empty element counts too */
}

static void put_id(struct buf *out, const struct attempt_id *id)
{
	put_number(out, 1, id->run);
	put_number(out, 2, id->task);
	put_number(out, 3, id->number);
}

/* --- reading -------------------------------------------------------------------------------------------- */

struct fields {
	const uint8_t *at;
	const uint8_t *stop;
	bool corrupt;
	/* the field at hand */
	uint8_t tag;
	const uint8_t *bytes;
	size_t n;
};

static struct fields fields_of(const uint8_t *bytes, size_t n)
{
	return (struct fields){ .at = bytes, .stop = bytes + n };
}

static bool decode_varint(const uint8_t **at, const uint8_t *stop, uint64_t *value_out)
{
	uint64_t value = 0;

	for (int shift = 0; shift < 64 && *at < stop; shift += 7) {
		uint8_t byte = *(*at)++;

		if (shift == 63 && byte > 1)
			return false;
		value |= (uint64_t)(byte & 0x7f) << shift;
		if ((byte & 0x80) == 0) {
			*value_out = value;
			return true;
		}
	}
	return false;
}

/* Steps to the next field; false at the end, or when what follows is malformed (then `corrupt` is set). */
static bool next_field(struct fields *fields)
{
	uint64_t n;

	if (fields->at == fields->stop)
		return false;
	fields->tag = *fields->at++;
	if (!decode_varint(&fields->at, fields->stop, &n) || n > (uint64_t)(fields->stop - fields->at)) {
		fields->corrupt = true;
		return false;
	}
	fields->bytes = fields->at;
	fields->n = (size_t)n;
	fields->at += n;
	return true;
}

static int done(const struct fields *fields)
{
	return fields->corrupt ? ERR_CORRUPT : 0;
}

static uint64_t get_number(struct fields *fields)
{
	const uint8_t *at = fields->bytes;
	uint64_t value;

	if (!decode_varint(&at, fields->bytes + fields->n, &value) || at != fields->bytes + fields->n) {
		fields->corrupt = true;
		return 0;
	}
	return value;
}

static int64_t get_signed(struct fields *fields)
{
	return (int64_t)get_number(fields);
}

static bool get_bool(struct fields *fields)
{
	return get_number(fields) != 0;
}

/* A number that must lie below `bound`, such as an enum. */
static unsigned get_below(struct fields *fields, unsigned bound)
{
	uint64_t value = get_number(fields);

	if (value >= bound) {
		fields->corrupt = true;
		return 0;
	}
	return (unsigned)value;
}

static int get_int(struct fields *fields)
{
	int64_t value = get_signed(fields);

	if (value < INT32_MIN || value > INT32_MAX) {
		fields->corrupt = true;
		return 0;
	}
	return (int)value;
}

static const char *get_text(struct fields *fields, struct arena *arena)
{
	if (memchr(fields->bytes, '\0', fields->n) != NULL) {
		fields->corrupt = true;
		return "";
	}
	return arena_strndup(arena, (const char *)fields->bytes, fields->n);
}

static bool get_id(struct fields *fields, struct attempt_id *id)
{
	switch (fields->tag) {
	case 1:
		id->run = get_number(fields);
		return true;
	case 2:
		id->task = get_number(fields);
		return true;
	case 3:
		id->number = (uint32_t)get_number(fields);
		return true;
	default:
		return false;
	}
}

/* How often `tag` stands in the fields from here on. */
static size_t count_tag(struct fields fields, uint8_t tag)
{
	size_t count = 0;

	while (next_field(&fields))
		count += fields.tag == tag;
	return count > REPEATED_MAX ? 0 : count;
}

/* An array for every field with `tag`, with a NULL behind it; *room_out is 0 when there are too many. */
static void *array_for(const struct fields *fields, uint8_t tag, size_t item_bytes, struct arena *arena,
		       size_t *room_out)
{
	*room_out = count_tag(*fields, tag);
	return arena_alloc(arena, (*room_out + 1) * item_bytes);
}

static void add_text(struct fields *fields, struct arena *arena, const char **texts, size_t *count,
		     size_t room)
{
	if (*count >= room)
		fields->corrupt = true;
	else
		texts[(*count)++] = get_text(fields, arena);
}

/* --- each frame and record: its put and its get stand together ------------------------------------------ */

void protocol_put_hello(struct buf *out, const struct frame_hello *frame)
{
	size_t at = begin(out, FRAME_HELLO);

	put_number(out, 1, frame->version);
	put_text(out, 2, frame->home);
	put_text(out, 3, frame->scheduler);
	end(out, at);
}

int protocol_get_hello(const struct frame *frame, struct arena *arena, struct frame_hello *out)
{
	struct fields f = fields_of(frame->body, frame->body_bytes);

	*out = (struct frame_hello){ .home = "", .scheduler = "" };
	while (next_field(&f)) {
		if (f.tag == 1)
			out->version = (uint32_t)get_number(&f);
		else if (f.tag == 2)
			out->home = get_text(&f, arena);
		else if (f.tag == 3)
			out->scheduler = get_text(&f, arena);
	}
	return done(&f);
}

void protocol_put_claim(struct buf *out, enum frame_type type, const struct frame_claim *frame)
{
	size_t at = begin(out, type);

	put_number(out, 1, frame->run);
	put_number(out, 2, frame->epoch);
	put_number(out, 3, frame->refused);
	put_text(out, 4, frame->text);
	put_number(out, 5, frame->keep);
	put_signed(out, 6, frame->lease_ms);
	end(out, at);
}

int protocol_get_claim(const struct frame *frame, struct arena *arena, struct frame_claim *out)
{
	struct fields f = fields_of(frame->body, frame->body_bytes);

	*out = (struct frame_claim){ .text = "" };
	while (next_field(&f)) {
		if (f.tag == 1)
			out->run = get_number(&f);
		else if (f.tag == 2)
			out->epoch = get_number(&f);
		else if (f.tag == 3)
			out->refused = get_bool(&f);
		else if (f.tag == 4)
			out->text = get_text(&f, arena);
		else if (f.tag == 5)
			out->keep = get_bool(&f);
		else if (f.tag == 6)
			out->lease_ms = get_signed(&f);
	}
	return done(&f);
}

enum {
	SPEC_ARGV = 12,
	SPEC_ENV = 14,
	SPEC_CANDIDATE = 24,
	SPEC_DEVICE = 25,
	SPEC_ARTIFACT = 28,
	SPEC_PROVISION = 30,
};

static void put_candidate(struct buf *out, const struct spec_checkpoint *candidate)
{
	struct buf inner = { 0 };

	put_text(&inner, 1, candidate->name);
	put_text(&inner, 2, candidate->digest);
	put_number(&inner, 3, candidate->bytes);
	put_number(&inner, 4, candidate->quarantined);
	put_bytes(out, SPEC_CANDIDATE, inner.data, inner.bytes);
	buf_fini(&inner);
}

static void get_candidate(struct fields *outer, struct arena *arena, struct spec_checkpoint *out)
{
	struct fields f = fields_of(outer->bytes, outer->n);

	*out = (struct spec_checkpoint){ .name = "", .digest = "" };
	while (next_field(&f)) {
		if (f.tag == 1)
			out->name = get_text(&f, arena);
		else if (f.tag == 2)
			out->digest = get_text(&f, arena);
		else if (f.tag == 3)
			out->bytes = get_number(&f);
		else if (f.tag == 4)
			out->quarantined = get_bool(&f);
	}
	outer->corrupt |= f.corrupt;
}

static void put_provision(struct buf *out, const struct spec_provision *provision)
{
	struct buf inner = { 0 };

	put_number(&inner, 1, provision->kind);
	put_text(&inner, 2, provision->digest);
	put_number(&inner, 3, provision->bytes);
	put_number(&inner, 4, provision->task);
	put_text(&inner, 5, provision->path);
	put_text(&inner, 6, provision->name);
	put_bytes(out, SPEC_PROVISION, inner.data, inner.bytes);
	buf_fini(&inner);
}

static void get_provision(struct fields *outer, struct arena *arena, struct spec_provision *out)
{
	struct fields f = fields_of(outer->bytes, outer->n);

	*out = (struct spec_provision){ .digest = "", .path = "", .name = "" };
	while (next_field(&f)) {
		if (f.tag == 1)
			out->kind = (enum provision_kind)get_below(&f, PROVISIONS);
		else if (f.tag == 2)
			out->digest = get_text(&f, arena);
		else if (f.tag == 3)
			out->bytes = get_number(&f);
		else if (f.tag == 4)
			out->task = get_number(&f);
		else if (f.tag == 5)
			out->path = get_text(&f, arena);
		else if (f.tag == 6)
			out->name = get_text(&f, arena);
	}
	outer->corrupt |= f.corrupt;
}

void protocol_put_spec(struct buf *out, const struct spec *spec)
{
	size_t at = begin(out, FRAME_START);

	put_id(out, &spec->id);
	put_number(out, 4, spec->epoch);
	put_number(out, 5, spec->fence);
	put_number(out, 6, spec->shell);
	put_texts(out, SPEC_ARGV, spec->argv, spec->argc);
	put_text(out, 13, spec->workdir);
	put_texts(out, SPEC_ENV, spec->env, spec->env_count);
	put_signed(out, 15, spec->timeout_ms);
	put_signed(out, 16, spec->stall_ms);
	put_signed(out, 17, spec->grace_ms);
	put_signed(out, 18, spec->log_max_bytes);
	put_text(out, 19, spec->checkpoint_dir);
	put_number(out, 20, spec->checkpoint_declared);
	put_signed(out, 21, spec->settle_ms);
	put_signed(out, 22, spec->keep);
	put_number(out, 23,
		   (uint64_t)(spec->resume_required << 0 | spec->resume_never << 1 | spec->fresh << 2));
	for (size_t i = 0; i < spec->candidates_count; i++)
		put_candidate(out, &spec->candidates[i]);
	put_texts(out, SPEC_DEVICE, spec->devices, spec->devices_count);
	for (size_t i = 0; i < spec->provisions_count; i++)
		put_provision(out, &spec->provisions[i]);
	put_signed(out, 26, spec->lease_ms);
	put_signed(out, 27, spec->lease_from_ms);
	put_texts(out, SPEC_ARTIFACT, spec->artifacts, spec->artifacts_count);
	end(out, at);
}

int protocol_get_spec(const struct frame *frame, struct arena *arena, struct spec *out)
{
	struct fields f = fields_of(frame->body, frame->body_bytes);
	size_t argv_room, env_room, candidates_room, devices_room, provisions_room, artifacts_room;

	*out = (struct spec){ .workdir = "", .checkpoint_dir = "" };
	out->argv = array_for(&f, SPEC_ARGV, sizeof *out->argv, arena, &argv_room);
	out->env = array_for(&f, SPEC_ENV, sizeof *out->env, arena, &env_room);
	out->devices = array_for(&f, SPEC_DEVICE, sizeof *out->devices, arena, &devices_room);
	out->candidates = array_for(&f, SPEC_CANDIDATE, sizeof *out->candidates, arena, &candidates_room);
	out->provisions = array_for(&f, SPEC_PROVISION, sizeof *out->provisions, arena, &provisions_room);
	out->artifacts = array_for(&f, SPEC_ARTIFACT, sizeof *out->artifacts, arena, &artifacts_room);
	while (next_field(&f)) {
		if (get_id(&f, &out->id))
			continue;
		switch (f.tag) {
		case 4:
			out->epoch = get_number(&f);
			break;
		case 5:
			out->fence = get_number(&f);
			break;
		case 6:
			out->shell = get_bool(&f);
			break;
		case SPEC_ARGV:
			add_text(&f, arena, out->argv, &out->argc, argv_room);
			break;
		case 13:
			out->workdir = get_text(&f, arena);
			break;
		case SPEC_ENV:
			add_text(&f, arena, out->env, &out->env_count, env_room);
			break;
		case 15:
			out->timeout_ms = get_signed(&f);
			break;
		case 16:
			out->stall_ms = get_signed(&f);
			break;
		case 17:
			out->grace_ms = get_signed(&f);
			break;
		case 18:
			out->log_max_bytes = get_signed(&f);
			break;
		case 19:
			out->checkpoint_dir = get_text(&f, arena);
			break;
		case 20:
			out->checkpoint_declared = get_bool(&f);
			break;
		case 21:
			out->settle_ms = get_signed(&f);
			break;
		case 22:
			out->keep = get_int(&f);
			break;
		case 23: {
			unsigned flags = get_below(&f, 8);

			out->resume_required = (flags & 1) != 0;
			out->resume_never = (flags & 2) != 0;
			out->fresh = (flags & 4) != 0;
			break;
		}
		case SPEC_CANDIDATE:
			if (out->candidates_count >= candidates_room)
				f.corrupt = true;
			else
				get_candidate(&f, arena, &out->candidates[out->candidates_count++]);
			break;
		case SPEC_DEVICE:
			add_text(&f, arena, out->devices, &out->devices_count, devices_room);
			break;
		case SPEC_PROVISION:
			if (out->provisions_count >= provisions_room)
				f.corrupt = true;
			else
				get_provision(&f, arena, &out->provisions[out->provisions_count++]);
			break;
		case 26:
			out->lease_ms = get_signed(&f);
			break;
		case 27:
			out->lease_from_ms = get_signed(&f);
			break;
		case SPEC_ARTIFACT:
			add_text(&f, arena, out->artifacts, &out->artifacts_count, artifacts_room);
			break;
		default:
			break;
		}
	}
	return done(&f);
}

void protocol_put_stop(struct buf *out, const struct frame_stop *frame)
{
	size_t at = begin(out, FRAME_STOP);

	put_id(out, &frame->id);
	put_number(out, 4, frame->reason);
	put_signed(out, 5, frame->grace_ms);
	end(out, at);
}

int protocol_get_stop(const struct frame *frame, struct frame_stop *out)
{
	struct fields f = fields_of(frame->body, frame->body_bytes);

	*out = (struct frame_stop){ 0 };
	while (next_field(&f)) {
		if (get_id(&f, &out->id))
			continue;
		if (f.tag == 4)
			out->reason = (enum reason)get_below(&f, REASONS);
		else if (f.tag == 5)
			out->grace_ms = get_signed(&f);
	}
	return done(&f);
}

void protocol_put_attach(struct buf *out, const struct frame_attach *frame)
{
	size_t at = begin(out, FRAME_ATTACH);

	put_id(out, &frame->id);
	put_number(out, 4, frame->journal_offset);
	put_number(out, 5, frame->log_offset);
	put_number(out, 6, frame->renew);
	end(out, at);
}

int protocol_get_attach(const struct frame *frame, struct frame_attach *out)
{
	struct fields f = fields_of(frame->body, frame->body_bytes);

	*out = (struct frame_attach){ 0 };
	while (next_field(&f)) {
		if (get_id(&f, &out->id))
			continue;
		if (f.tag == 4)
			out->journal_offset = get_number(&f);
		else if (f.tag == 5)
			out->log_offset = get_number(&f);
		else if (f.tag == 6)
			out->renew = get_bool(&f);
	}
	return done(&f);
}

void protocol_put_stored(struct buf *out, const struct frame_stored *frame)
{
	size_t at = begin(out, FRAME_STORED);

	put_id(out, &frame->id);
	put_number(out, 4, frame->log_offset);
	end(out, at);
}

int protocol_get_stored(const struct frame *frame, struct frame_stored *out)
{
	struct fields f = fields_of(frame->body, frame->body_bytes);

	*out = (struct frame_stored){ 0 };
	while (next_field(&f))
		if (!get_id(&f, &out->id) && f.tag == 4)
			out->log_offset = get_number(&f);
	return done(&f);
}

void protocol_put_forget(struct buf *out, const struct frame_attempt *frame)
{
	size_t at = begin(out, FRAME_FORGET);

	put_id(out, &frame->id);
	end(out, at);
}

int protocol_get_forget(const struct frame *frame, struct frame_attempt *out)
{
	struct fields f = fields_of(frame->body, frame->body_bytes);

	*out = (struct frame_attempt){ 0 };
	while (next_field(&f))
		get_id(&f, &out->id);
	return done(&f);
}

void protocol_put_ping(struct buf *out, enum frame_type type, const struct frame_ping *frame)
{
	size_t at = begin(out, type);

	put_number(out, 1, frame->number);
	end(out, at);
}

int protocol_get_ping(const struct frame *frame, struct frame_ping *out)
{
	struct fields f = fields_of(frame->body, frame->body_bytes);

	*out = (struct frame_ping){ 0 };
	while (next_field(&f))
		if (f.tag == 1)
			out->number = get_number(&f);
	return done(&f);
}

enum { WELCOME_DEVICE = 10 };

void protocol_put_welcome(struct buf *out, const struct frame_welcome *frame)
{
	size_t at = begin(out, FRAME_WELCOME);

	put_number(out, 1, frame->version);
	put_text(out, 2, frame->host);
	put_text(out, 3, frame->machine);
	put_text(out, 4, frame->boot_id);
	put_signed(out, 5, frame->pid);
	put_signed(out, 6, frame->wall_ms);
	put_signed(out, 7, frame->cpus_milli);
	put_signed(out, 8, frame->memory_bytes);
	put_text(out, 9, frame->root);
	for (size_t i = 0; i < frame->devices_count; i++) {
		struct buf inner = { 0 };

		put_text(&inner, 1, frame->devices[i].uuid);
		put_text(&inner, 2, frame->devices[i].name);
		put_signed(&inner, 3, frame->devices[i].memory_bytes);
		put_bytes(out, WELCOME_DEVICE, inner.data, inner.bytes);
		buf_fini(&inner);
	}
	end(out, at);
}

static void get_device(struct fields *outer, struct arena *arena, struct device *out)
{
	struct fields f = fields_of(outer->bytes, outer->n);

	*out = (struct device){ .uuid = "", .name = "" };
	while (next_field(&f)) {
		if (f.tag == 1)
			out->uuid = get_text(&f, arena);
		else if (f.tag == 2)
			out->name = get_text(&f, arena);
		else if (f.tag == 3)
			out->memory_bytes = get_signed(&f);
	}
	outer->corrupt |= f.corrupt;
}

int protocol_get_welcome(const struct frame *frame, struct arena *arena, struct frame_welcome *out)
{
	struct fields f = fields_of(frame->body, frame->body_bytes);
	size_t devices_room;

	*out = (struct frame_welcome){ .host = "", .machine = "", .boot_id = "", .root = "" };
	out->devices = array_for(&f, WELCOME_DEVICE, sizeof *out->devices, arena, &devices_room);
	while (next_field(&f)) {
		switch (f.tag) {
		case 1:
			out->version = (uint32_t)get_number(&f);
			break;
		case 2:
			out->host = get_text(&f, arena);
			break;
		case 3:
			out->machine = get_text(&f, arena);
			break;
		case 4:
			out->boot_id = get_text(&f, arena);
			break;
		case 5:
			out->pid = get_signed(&f);
			break;
		case 6:
			out->wall_ms = get_signed(&f);
			break;
		case 7:
			out->cpus_milli = get_signed(&f);
			break;
		case 8:
			out->memory_bytes = get_signed(&f);
			break;
		case 9:
			out->root = get_text(&f, arena);
			break;
		case WELCOME_DEVICE:
			if (out->devices_count >= devices_room)
				f.corrupt = true;
			else
				get_device(&f, arena, &out->devices[out->devices_count++]);
			break;
		default:
			break;
		}
	}
	return done(&f);
}

void protocol_put_present(struct buf *out, const struct frame_present *frame)
{
	size_t at = begin(out, FRAME_PRESENT);

	put_id(out, &frame->id);
	put_number(out, 4, frame->state);
	end(out, at);
}

int protocol_get_present(const struct frame *frame, struct frame_present *out)
{
	struct fields f = fields_of(frame->body, frame->body_bytes);

	*out = (struct frame_present){ 0 };
	while (next_field(&f))
		if (!get_id(&f, &out->id) && f.tag == 4)
			out->state = (enum present_state)get_below(&f, PRESENT_ENDED + 1);
	return done(&f);
}

void protocol_put_data(struct buf *out, const struct frame_data *frame)
{
	size_t at = begin(out, FRAME_DATA);

	put_id(out, &frame->id);
	put_number(out, 4, frame->stream);
	put_number(out, 5, frame->offset);
	put_bytes(out, 6, frame->bytes, frame->n);
	end(out, at);
}

int protocol_get_data(const struct frame *frame, struct frame_data *out)
{
	struct fields f = fields_of(frame->body, frame->body_bytes);

	*out = (struct frame_data){ 0 };
	while (next_field(&f)) {
		if (get_id(&f, &out->id))
			continue;
		if (f.tag == 4) {
			out->stream = (enum data_stream)get_below(&f, STREAM_LOG + 1);
		} else if (f.tag == 5) {
			out->offset = get_number(&f);
		} else if (f.tag == 6) {
			out->bytes = f.bytes;
			out->n = f.n;
		}
	}
	return done(&f);
}

static void put_exit_fields(struct buf *out, const struct record_exit *exit)
{
	put_number(out, 4, exit->kind);
	put_number(out, 5, exit->reason);
	put_signed(out, 6, exit->code);
	put_signed(out, 7, exit->signal);
	put_number(out, 8, (uint64_t)(exit->stopped << 0 | exit->transient << 1));
	put_signed(out, 9, exit->started_wall_ms);
	put_signed(out, 10, exit->ended_wall_ms);
	put_signed(out, 11, exit->cpu_ms);
	put_signed(out, 12, exit->rss_peak_bytes);
	put_number(out, 13, exit->log_bytes);
	put_number(out, 14, exit->log_dropped_bytes);
	put_number(out, 15, exit->journal_bytes);
	put_text(out, 16, exit->text);
}

static void get_exit_field(struct fields *f, struct arena *arena, struct record_exit *out)
{
	switch (f->tag) {
	case 4:
		out->kind = (enum exit_kind)get_below(f, EXIT_LOST + 1);
		break;
	case 5:
		out->reason = (enum reason)get_below(f, REASONS);
		break;
	case 6:
		out->code = get_int(f);
		break;
	case 7:
		out->signal = get_int(f);
		break;
	case 8: {
		unsigned flags = get_below(f, 4);

		out->stopped = (flags & 1) != 0;
		out->transient = (flags & 2) != 0;
		break;
	}
	case 9:
		out->started_wall_ms = get_signed(f);
		break;
	case 10:
		out->ended_wall_ms = get_signed(f);
		break;
	case 11:
		out->cpu_ms = get_signed(f);
		break;
	case 12:
		out->rss_peak_bytes = get_signed(f);
		break;
	case 13:
		out->log_bytes = get_number(f);
		break;
	case 14:
		out->log_dropped_bytes = get_number(f);
		break;
	case 15:
		out->journal_bytes = get_number(f);
		break;
	case 16:
		out->text = get_text(f, arena);
		break;
	default:
		break;
	}
}

void protocol_put_exited(struct buf *out, const struct frame_exited *frame)
{
	size_t at = begin(out, FRAME_EXITED);

	put_id(out, &frame->id);
	put_exit_fields(out, &frame->exit);
	end(out, at);
}

int protocol_get_exited(const struct frame *frame, struct arena *arena, struct frame_exited *out)
{
	struct fields f = fields_of(frame->body, frame->body_bytes);

	*out = (struct frame_exited){ .exit.text = "" };
	while (next_field(&f))
		if (!get_id(&f, &out->id))
			get_exit_field(&f, arena, &out->exit);
	return done(&f);
}

void protocol_put_exit(struct buf *out, const struct record_exit *record)
{
	size_t at = begin(out, RECORD_EXIT);

	put_exit_fields(out, record);
	end(out, at);
}

int protocol_get_exit(const struct frame *frame, struct arena *arena, struct record_exit *out)
{
	struct fields f = fields_of(frame->body, frame->body_bytes);

	*out = (struct record_exit){ .text = "" };
	while (next_field(&f))
		get_exit_field(&f, arena, out);
	return done(&f);
}

void protocol_put_note(struct buf *out, enum frame_type type, const struct frame_note *frame)
{
	size_t at = begin(out, type);

	put_id(out, &frame->id);
	put_number(out, 4, frame->warning);
	put_text(out, 5, frame->text);
	end(out, at);
}

int protocol_get_note(const struct frame *frame, struct arena *arena, struct frame_note *out)
{
	struct fields f = fields_of(frame->body, frame->body_bytes);

	*out = (struct frame_note){ .text = "" };
	while (next_field(&f)) {
		if (get_id(&f, &out->id))
			continue;
		if (f.tag == 4)
			out->warning = get_bool(&f);
		else if (f.tag == 5)
			out->text = get_text(&f, arena);
	}
	return done(&f);
}

void protocol_put_check(struct buf *out)
{
	end(out, begin(out, FRAME_CHECK));
}

void protocol_put_finding(struct buf *out, const struct frame_finding *frame)
{
	size_t at = begin(out, FRAME_FINDING);

	put_text(out, 1, frame->name);
	put_number(out, 2, frame->verdict);
	put_text(out, 3, frame->text);
	put_text(out, 4, frame->remedy);
	put_number(out, 5, frame->last);
	end(out, at);
}

int protocol_get_finding(const struct frame *frame, struct arena *arena, struct frame_finding *out)
{
	struct fields f = fields_of(frame->body, frame->body_bytes);

	*out = (struct frame_finding){ .name = "", .text = "", .remedy = "" };
	while (next_field(&f)) {
		if (f.tag == 1)
			out->name = get_text(&f, arena);
		else if (f.tag == 2)
			out->verdict = (enum finding_verdict)get_below(&f, FINDING_VERDICTS);
		else if (f.tag == 3)
			out->text = get_text(&f, arena);
		else if (f.tag == 4)
			out->remedy = get_text(&f, arena);
		else if (f.tag == 5)
			out->last = get_bool(&f);
	}
	return done(&f);
}

void protocol_put_want(struct buf *out, const struct frame_want *frame)
{
	size_t at = begin(out, FRAME_WANT);

	put_id(out, &frame->id);
	put_text(out, 4, frame->digest);
	put_number(out, 5, frame->offset);
	put_number(out, 6, frame->begin);
	put_number(out, 7, frame->kind);
	put_number(out, 8, frame->task);
	put_text(out, 9, frame->name);
	end(out, at);
}

int protocol_get_want(const struct frame *frame, struct arena *arena, struct frame_want *out)
{
	struct fields f = fields_of(frame->body, frame->body_bytes);

	*out = (struct frame_want){ .digest = "", .name = "" };
	while (next_field(&f)) {
		if (get_id(&f, &out->id))
			continue;
		if (f.tag == 4)
			out->digest = get_text(&f, arena);
		else if (f.tag == 5)
			out->offset = get_number(&f);
		else if (f.tag == 6)
			out->begin = get_bool(&f);
		else if (f.tag == 7)
			out->kind = (enum provision_kind)get_below(&f, PROVISIONS);
		else if (f.tag == 8)
			out->task = get_number(&f);
		else if (f.tag == 9)
			out->name = get_text(&f, arena);
	}
	return done(&f);
}

void protocol_put_get(struct buf *out, const struct frame_get *frame)
{
	size_t at = begin(out, FRAME_GET);

	put_number(out, 1, frame->run);
	put_number(out, 2, frame->task);
	put_text(out, 4, frame->digest);
	put_number(out, 5, frame->offset);
	put_number(out, 6, frame->begin);
	put_number(out, 7, frame->kind);
	put_text(out, 8, frame->path);
	put_text(out, 9, frame->name);
	end(out, at);
}

int protocol_get_get(const struct frame *frame, struct arena *arena, struct frame_get *out)
{
	struct fields f = fields_of(frame->body, frame->body_bytes);

	*out = (struct frame_get){ .digest = "", .path = "", .name = "" };
	while (next_field(&f)) {
		if (f.tag == 1)
			out->run = get_number(&f);
		else if (f.tag == 2)
			out->task = get_number(&f);
		else if (f.tag == 4)
			out->digest = get_text(&f, arena);
		else if (f.tag == 5)
			out->offset = get_number(&f);
		else if (f.tag == 6)
			out->begin = get_bool(&f);
		else if (f.tag == 7)
			out->kind = (enum provision_kind)get_below(&f, PROVISIONS);
		else if (f.tag == 8)
			out->path = get_text(&f, arena);
		else if (f.tag == 9)
			out->name = get_text(&f, arena);
	}
	return done(&f);
}

void protocol_put_parcel(struct buf *out, enum frame_type type, const struct frame_parcel *frame)
{
	size_t at = begin(out, type);

	put_text(out, 4, frame->digest);
	put_number(out, 5, frame->offset);
	put_number(out, 6, frame->total);
	put_bytes(out, 7, frame->bytes, frame->n);
	put_text(out, 8, frame->text);
	put_number(out, 9, frame->transient);
	end(out, at);
}

int protocol_get_parcel(const struct frame *frame, struct arena *arena, struct frame_parcel *out)
{
	struct fields f = fields_of(frame->body, frame->body_bytes);

	*out = (struct frame_parcel){ .digest = "", .text = "" };
	while (next_field(&f)) {
		if (f.tag == 4) {
			out->digest = get_text(&f, arena);
		} else if (f.tag == 5) {
			out->offset = get_number(&f);
		} else if (f.tag == 6) {
			out->total = get_number(&f);
		} else if (f.tag == 7) {
			out->bytes = f.bytes;
			out->n = f.n;
		} else if (f.tag == 8) {
			out->text = get_text(&f, arena);
		} else if (f.tag == 9) {
			out->transient = get_bool(&f);
		}
	}
	return done(&f);
}

void protocol_put_identity(struct buf *out, const struct record_identity *record)
{
	size_t at = begin(out, RECORD_IDENTITY);

	put_text(out, 1, record->boot_id);
	put_signed(out, 2, record->pid);
	put_signed(out, 3, record->start_ticks);
	end(out, at);
}

int protocol_get_identity(const struct frame *frame, struct arena *arena, struct record_identity *out)
{
	struct fields f = fields_of(frame->body, frame->body_bytes);

	*out = (struct record_identity){ .boot_id = "" };
	while (next_field(&f)) {
		if (f.tag == 1)
			out->boot_id = get_text(&f, arena);
		else if (f.tag == 2)
			out->pid = get_signed(&f);
		else if (f.tag == 3)
			out->start_ticks = get_signed(&f);
	}
	return done(&f);
}

void protocol_put_started(struct buf *out, const struct record_started *record)
{
	size_t at = begin(out, RECORD_STARTED);

	put_signed(out, 1, record->pid);
	put_signed(out, 2, record->wall_ms);
	put_text(out, 3, record->resumed_from);
	put_text(out, 4, record->resumed_digest);
	end(out, at);
}

int protocol_get_started(const struct frame *frame, struct arena *arena, struct record_started *out)
{
	struct fields f = fields_of(frame->body, frame->body_bytes);

	*out = (struct record_started){ .resumed_from = "", .resumed_digest = "" };
	while (next_field(&f)) {
		if (f.tag == 1)
			out->pid = get_signed(&f);
		else if (f.tag == 2)
			out->wall_ms = get_signed(&f);
		else if (f.tag == 3)
			out->resumed_from = get_text(&f, arena);
		else if (f.tag == 4)
			out->resumed_digest = get_text(&f, arena);
	}
	return done(&f);
}

void protocol_put_checkpoint(struct buf *out, const struct record_checkpoint *record)
{
	size_t at = begin(out, RECORD_CHECKPOINT);

	put_number(out, 1, record->event);
	put_text(out, 2, record->name);
	put_text(out, 3, record->digest);
	put_number(out, 4, record->bytes);
	put_signed(out, 5, record->step + 1); /* a missing one reads as -1: not known */
	put_signed(out, 6, record->wall_ms);
	put_text(out, 7, record->format);
	put_text(out, 8, record->text);
	end(out, at);
}

int protocol_get_checkpoint(const struct frame *frame, struct arena *arena, struct record_checkpoint *out)
{
	struct fields f = fields_of(frame->body, frame->body_bytes);

	*out = (struct record_checkpoint){ .name = "", .digest = "", .format = "", .text = "", .step = -1 };
	while (next_field(&f)) {
		switch (f.tag) {
		case 1:
			out->event = (enum checkpoint_event)get_below(&f, CHECKPOINT_IGNORED + 1);
			break;
		case 2:
			out->name = get_text(&f, arena);
			break;
		case 3:
			out->digest = get_text(&f, arena);
			break;
		case 4:
			out->bytes = get_number(&f);
			break;
		case 5:
			out->step = (int64_t)(get_number(&f) - 1);
			break;
		case 6:
			out->wall_ms = get_signed(&f);
			break;
		case 7:
			out->format = get_text(&f, arena);
			break;
		case 8:
			out->text = get_text(&f, arena);
			break;
		default:
			break;
		}
	}
	return done(&f);
}

void protocol_put_metric(struct buf *out, const struct record_metric *record)
{
	size_t at = begin(out, RECORD_METRIC);

	put_signed(out, 1, record->wall_ms);
	put_text(out, 2, record->json);
	end(out, at);
}

int protocol_get_metric(const struct frame *frame, struct arena *arena, struct record_metric *out)
{
	struct fields f = fields_of(frame->body, frame->body_bytes);

	*out = (struct record_metric){ .json = "" };
	while (next_field(&f)) {
		if (f.tag == 1)
			out->wall_ms = get_signed(&f);
		else if (f.tag == 2)
			out->json = get_text(&f, arena);
	}
	return done(&f);
}

void protocol_put_sample(struct buf *out, const struct record_sample *record)
{
	size_t at = begin(out, RECORD_SAMPLE);

	put_signed(out, 1, record->wall_ms);
	put_signed(out, 2, record->cpu_ms);
	put_signed(out, 3, record->rss_bytes);
	put_signed(out, 4, record->processes);
	end(out, at);
}

int protocol_get_sample(const struct frame *frame, struct record_sample *out)
{
	struct fields f = fields_of(frame->body, frame->body_bytes);

	*out = (struct record_sample){ 0 };
	while (next_field(&f)) {
		if (f.tag == 1)
			out->wall_ms = get_signed(&f);
		else if (f.tag == 2)
			out->cpu_ms = get_signed(&f);
		else if (f.tag == 3)
			out->rss_bytes = get_signed(&f);
		else if (f.tag == 4)
			out->processes = get_int(&f);
	}
	return done(&f);
}

void protocol_put_output(struct buf *out, const struct record_output *record)
{
	size_t at = begin(out, RECORD_OUTPUT);

	put_text(out, 1, record->key);
	put_text(out, 2, record->value);
	end(out, at);
}

int protocol_get_output(const struct frame *frame, struct arena *arena, struct record_output *out)
{
	struct fields f = fields_of(frame->body, frame->body_bytes);

	*out = (struct record_output){ .key = "", .value = "" };
	while (next_field(&f)) {
		if (f.tag == 1)
			out->key = get_text(&f, arena);
		else if (f.tag == 2)
			out->value = get_text(&f, arena);
	}
	return done(&f);
}

void protocol_put_artifacts(struct buf *out, const struct record_artifacts *record)
{
	size_t at = begin(out, RECORD_ARTIFACTS);

	put_text(out, 1, record->digest);
	put_number(out, 2, record->bytes);
	put_number(out, 3, record->files);
	end(out, at);
}

int protocol_get_artifacts(const struct frame *frame, struct arena *arena, struct record_artifacts *out)
{
	struct fields f = fields_of(frame->body, frame->body_bytes);

	*out = (struct record_artifacts){ .digest = "" };
	while (next_field(&f)) {
		if (f.tag == 1)
			out->digest = get_text(&f, arena);
		else if (f.tag == 2)
			out->bytes = get_number(&f);
		else if (f.tag == 3)
			out->files = get_number(&f);
	}
	return done(&f);
}

void protocol_put_stopping(struct buf *out, const struct record_stopping *record)
{
	size_t at = begin(out, RECORD_STOPPING);

	put_signed(out, 1, record->wall_ms);
	put_number(out, 2, record->reason);
	put_signed(out, 3, record->grace_ms);
	end(out, at);
}

int protocol_get_stopping(const struct frame *frame, struct record_stopping *out)
{
	struct fields f = fields_of(frame->body, frame->body_bytes);

	*out = (struct record_stopping){ 0 };
	while (next_field(&f)) {
		if (f.tag == 1)
			out->wall_ms = get_signed(&f);
		else if (f.tag == 2)
			out->reason = (enum reason)get_below(&f, REASONS);
		else if (f.tag == 3)
			out->grace_ms = get_signed(&f);
	}
	return done(&f);
}

int protocol_next(const uint8_t *bytes, size_t n, struct frame *frame_out, struct err *err)
{
	size_t length = 0;

	if (n < LENGTH_BYTES)
		return 0;
	for (size_t i = 0; i < LENGTH_BYTES; i++)
		length |= (size_t)bytes[i] << (8 * i);
	if (length < 1 || length > PROTOCOL_FRAME_BYTES_MAX - LENGTH_BYTES)
		return err_set(err, ERR_CORRUPT, "a frame of %zu bytes is not one of the protocol's", length);
	if (n < LENGTH_BYTES + length)
		return 0;
	*frame_out = (struct frame){
		.type = (enum frame_type)bytes[LENGTH_BYTES],
		.body = bytes + HEAD_BYTES,
		.body_bytes = length - 1,
		.whole_bytes = LENGTH_BYTES + length,
	};
	return 1;
}
