#include "executor/protocol.h"

#include <stddef.h>
#include <string.h>

#include "common/mem.h"

enum {
	LENGTH_BYTES = 4,
	HEAD_BYTES = LENGTH_BYTES + 1,
	VARINT_BYTES_MAX = 10,
	REPEATED_MAX = 100000, /* of one repeated field in one frame */
};

/* --- what a frame consists of: fields, each with a tag, a kind and its place in a struct ---------------- */

enum kind {
	KIND_NUMBER,	/* uint64_t */
	KIND_NUMBER_32, /* uint32_t */
	KIND_SIGNED,	/* int64_t */
	KIND_INT,
	KIND_BOOL,
	KIND_TEXT,   /* const char *, "" when it is not there */
	KIND_ENUM,   /* below `bound` */
	KIND_FLAG,   /* bool: rows with one tag are the bits of one number, the lowest first */
	KIND_OR_NOT, /* int64_t, -1 when it is not there */
	KIND_SPAN,   /* const uint8_t * and its size_t: not copied; there even when it is empty */
	KIND_TEXTS,  /* const char **, with a NULL behind the last, and their size_t */
	KIND_ITEMS,  /* an array of structs, and its size_t */
};

struct field {
	uint8_t tag;
	uint8_t kind;
	uint16_t at;
	uint16_t count_at;	   /* SPAN, TEXTS, ITEMS */
	uint16_t bound;		   /* ENUM */
	const struct layout *item; /* ITEMS */
};

/* All fields of a struct, in the order in which they are written. */
struct layout {
	size_t bytes;
	const struct field *fields;
	size_t count;
};

_Static_assert(sizeof(enum reason) == sizeof(unsigned), "an enum is stored as an unsigned");

#define KIND_OF(type, member)                                                                                \
	_Generic(((type *)NULL)->member, uint64_t: KIND_NUMBER, uint32_t: KIND_NUMBER_32,                    \
		 int64_t: KIND_SIGNED, int: KIND_INT, bool: KIND_BOOL, const char *: KIND_TEXT)
#define PAIR(type, member, n) offsetof(type, member), offsetof(type, n)

#define FIELD(tag, type, member) { tag, KIND_OF(type, member), offsetof(type, member), 0, 0, NULL }
#define ENUM(tag, type, member, bound) { tag, KIND_ENUM, offsetof(type, member), 0, bound, NULL }
#define FLAG(tag, type, member) { tag, KIND_FLAG, offsetof(type, member), 0, 0, NULL }
#define OR_NOT(tag, type, member) { tag, KIND_OR_NOT, offsetof(type, member), 0, 0, NULL }
#define SPAN(tag, type, member, n) { tag, KIND_SPAN, PAIR(type, member, n), 0, NULL }
#define TEXTS(tag, type, member, n) { tag, KIND_TEXTS, PAIR(type, member, n), 0, NULL }
#define ITEMS(tag, type, member, n, layout) { tag, KIND_ITEMS, PAIR(type, member, n), 0, &layout }
#define ID(type) FIELD(1, type, id.run), FIELD(2, type, id.task), FIELD(3, type, id.number)
#define LAYOUT(type, fields) { sizeof(type), fields, sizeof(fields) / sizeof((fields)[0]) }

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

static const void *place_in(const void *value, size_t at)
{
	return (const uint8_t *)value + at;
}

static size_t count_in(const void *value, const struct field *field)
{
	return *(const size_t *)place_in(value, field->count_at);
}

/* The number that the rows from `field` on with its tag are the bits of. */
static uint64_t gather_flags(const struct field *field, size_t rows, const void *value)
{
	uint64_t flags = 0;

	for (size_t i = 0; i < rows && field[i].tag == field->tag; i++)
		flags |= (uint64_t)*(const bool *)place_in(value, field[i].at) << i;
	return flags;
}

static void put_text(struct buf *out, uint8_t tag, const char *text)
{
	if (text != NULL && text[0] != '\0')
		put_bytes(out, tag, text, strlen(text));
}

static void put_texts(struct buf *out, const struct field *field, const void *value)
{
	const char *const *texts = *(const char *const *const *)place_in(value, field->at);

	for (size_t i = 0; i < count_in(value, field); i++)
		put_bytes(out, field->tag, texts[i], strlen(texts[i])); /* an empty one counts too */
}

/* All kinds but ITEMS, whose fields are of these kinds. */
static void put_plain(struct buf *out, const struct layout *layout, size_t i, const void *value)
{
	const struct field *field = &layout->fields[i];
	const void *at = place_in(value, field->at);

	switch ((enum kind)field->kind) {
	case KIND_NUMBER:
	case KIND_SIGNED:
		put_number(out, field->tag, *(const uint64_t *)at);
		break;
	case KIND_NUMBER_32:
		put_number(out, field->tag, *(const uint32_t *)at);
		break;
	case KIND_INT:
		put_number(out, field->tag, (uint64_t)(int64_t)*(const int *)at);
		break;
	case KIND_BOOL:
		put_number(out, field->tag, *(const bool *)at);
		break;
	case KIND_ENUM:
		put_number(out, field->tag, *(const unsigned *)at);
		break;
	case KIND_OR_NOT:
		put_number(out, field->tag, (uint64_t)*(const int64_t *)at + 1);
		break;
	case KIND_FLAG:
		if (i == 0 || layout->fields[i - 1].tag != field->tag)
			put_number(out, field->tag, gather_flags(field, layout->count - i, value));
		break;
	case KIND_TEXT:
		put_text(out, field->tag, *(const char *const *)at);
		break;
	case KIND_SPAN:
		put_bytes(out, field->tag, *(const uint8_t *const *)at, count_in(value, field));
		break;
	case KIND_TEXTS:
		put_texts(out, field, value);
		break;
	case KIND_ITEMS:
		break;
	}
}

static void put_items(struct buf *out, const struct field *field, const void *value)
{
	const uint8_t *items = *(const uint8_t *const *)place_in(value, field->at);
	struct buf inner = { 0 };

	for (size_t i = 0; i < count_in(value, field); i++) {
		buf_clear(&inner);
		for (size_t k = 0; k < field->item->count; k++)
			put_plain(&inner, field->item, k, items + i * field->item->bytes);
		put_bytes(out, field->tag, inner.data, inner.bytes);
	}
	buf_fini(&inner);
}

static void put(struct buf *out, enum frame_type type, const struct layout *layout, const void *value)
{
	size_t start = begin(out, type);

	for (size_t i = 0; i < layout->count; i++) {
		if (layout->fields[i].kind == KIND_ITEMS)
			put_items(out, &layout->fields[i], value);
		else
			put_plain(out, layout, i, value);
	}
	end(out, start);
}

/* The bytes of its span come last, for the caller to put them there. Its other fields are plain. */
static uint8_t *put_with_room(struct buf *out, enum frame_type type, const struct layout *layout,
			      const void *value, size_t n)
{
	size_t start = begin(out, type);
	uint8_t head[1 + VARINT_BYTES_MAX] = { 0 };

	for (size_t i = 0; i < layout->count; i++) {
		if (layout->fields[i].kind == KIND_SPAN)
			head[0] = layout->fields[i].tag;
		else
			put_plain(out, layout, i, value);
	}
	buf_append(out, head, 1 + encode_varint(n, head + 1));
	buf_reserve(out, n);
	out->bytes += n;
	end(out, start);
	return out->data + out->bytes - n;
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
	int64_t value = (int64_t)get_number(fields);

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

/* How often `tag` stands in the fields from here on. */
static size_t count_tag(struct fields fields, uint8_t tag)
{
	size_t count = 0;

	while (next_field(&fields))
		count += fields.tag == tag;
	return count;
}

static void *place_for(void *value, size_t at)
{
	return (uint8_t *)value + at;
}

static size_t *count_for(void *value, const struct field *field)
{
	return place_for(value, field->count_at);
}

/* As if none of its fields were there. */
static void clear(const struct layout *layout, void *value)
{
	memset(value, 0, layout->bytes);
	for (size_t i = 0; i < layout->count; i++) {
		void *at = place_for(value, layout->fields[i].at);

		if (layout->fields[i].kind == KIND_TEXT)
			*(const char **)at = "";
		else if (layout->fields[i].kind == KIND_OR_NOT)
			*(int64_t *)at = -1;
	}
}

/* The row of a tag, NULL: of a later version. Fields come in the order of rows: the look begins at `from`. */
static const struct field *find_field(const struct layout *layout, size_t from, uint8_t tag)
{
	for (size_t i = from; i < layout->count; i++)
		if (layout->fields[i].tag == tag)
			return &layout->fields[i];
	for (size_t i = 0; i < from; i++)
		if (layout->fields[i].tag == tag)
			return &layout->fields[i];
	return NULL;
}

/* An array for all fields of a tag that is repeated, with one zero behind it; false: there are too many. */
static bool make_room(const struct fields *fields, const struct field *field, struct arena *arena,
		      void *value)
{
	size_t room = count_tag(*fields, field->tag);
	size_t item_bytes = field->kind == KIND_TEXTS ? sizeof(char *) : field->item->bytes;

	if (room > REPEATED_MAX)
		return false;
	*(void **)place_for(value, field->at) = arena_alloc(arena, (room + 1) * item_bytes);
	return true;
}

static void get_flags(struct fields *f, const struct layout *layout, const struct field *field,
		      void *value)
{
	size_t rows = (size_t)(layout->fields + layout->count - field), n = 0;
	uint64_t flags = get_number(f);

	for (; n < rows && field[n].tag == field->tag; n++)
		*(bool *)place_for(value, field[n].at) = (flags >> n & 1) != 0;
	if (flags >> n != 0)
		f->corrupt = true;
}

static void get_plain(struct fields *f, const struct layout *layout, const struct field *field,
		      struct arena *arena, void *value)
{
	void *at = place_for(value, field->at);

	switch ((enum kind)field->kind) {
	case KIND_NUMBER:
	case KIND_SIGNED:
		*(uint64_t *)at = get_number(f);
		break;
	case KIND_NUMBER_32:
		*(uint32_t *)at = (uint32_t)get_number(f);
		break;
	case KIND_INT:
		*(int *)at = get_int(f);
		break;
	case KIND_BOOL:
		*(bool *)at = get_number(f) != 0;
		break;
	case KIND_ENUM:
		*(unsigned *)at = get_below(f, field->bound);
		break;
	case KIND_OR_NOT:
		*(int64_t *)at = (int64_t)(get_number(f) - 1);
		break;
	case KIND_FLAG:
		get_flags(f, layout, field, value);
		break;
	case KIND_TEXT:
		*(const char **)at = get_text(f, arena);
		break;
	case KIND_SPAN:
		*(const uint8_t **)at = f->bytes;
		*count_for(value, field) = f->n;
		break;
	case KIND_TEXTS:
		(*(const char ***)at)[(*count_for(value, field))++] = get_text(f, arena);
		break;
	case KIND_ITEMS:
		break;
	}
}

static void get_item(struct fields *outer, const struct field *field, struct arena *arena, void *value)
{
	uint8_t *items = *(uint8_t **)place_for(value, field->at);
	void *item = items + (*count_for(value, field))++ * field->item->bytes;
	struct fields f = fields_of(outer->bytes, outer->n);
	const struct field *found;

	clear(field->item, item);
	while (next_field(&f)) {
		found = find_field(field->item, 0, f.tag);
		if (found != NULL)
			get_plain(&f, field->item, found, arena, item);
	}
	outer->corrupt |= f.corrupt;
}

static int get(const struct frame *frame, const struct layout *layout, struct arena *arena, void *out)
{
	struct fields f = fields_of(frame->body, frame->body_bytes);
	size_t from = 0;

	clear(layout, out);
	for (size_t i = 0; i < layout->count; i++) {
		const struct field *field = &layout->fields[i];

		if ((field->kind == KIND_TEXTS || field->kind == KIND_ITEMS) &&
		    !make_room(&f, field, arena, out))
			return ERR_CORRUPT;
	}
	while (next_field(&f)) {
		const struct field *field = find_field(layout, from, f.tag);

		if (field == NULL)
			continue;
		from = (size_t)(field - layout->fields);
		if (field->kind == KIND_ITEMS)
			get_item(&f, field, arena, out);
		else
			get_plain(&f, layout, field, arena, out);
	}
	return f.corrupt ? ERR_CORRUPT : 0;
}

/* --- each frame and record ------------------------------------------------------------------------------ */

static const struct field hello_fields[] = {
	FIELD(1, struct frame_hello, version),
	FIELD(2, struct frame_hello, home),
	FIELD(3, struct frame_hello, scheduler),
};
static const struct layout hello_layout = LAYOUT(struct frame_hello, hello_fields);

static const struct field claim_fields[] = {
	FIELD(1, struct frame_claim, run),
	FIELD(2, struct frame_claim, epoch),
	FIELD(3, struct frame_claim, refused),
	FIELD(4, struct frame_claim, text),
	FIELD(5, struct frame_claim, keep),
	FIELD(6, struct frame_claim, lease_ms),
};
static const struct layout claim_layout = LAYOUT(struct frame_claim, claim_fields);

static const struct field candidate_fields[] = {
	FIELD(1, struct spec_checkpoint, name),
	FIELD(2, struct spec_checkpoint, digest),
	FIELD(3, struct spec_checkpoint, bytes),
	FIELD(4, struct spec_checkpoint, quarantined),
};
static const struct layout candidate_layout = LAYOUT(struct spec_checkpoint, candidate_fields);

static const struct field provision_fields[] = {
	ENUM(1, struct spec_provision, kind, PROVISIONS),
	FIELD(2, struct spec_provision, digest),
	FIELD(3, struct spec_provision, bytes),
	FIELD(4, struct spec_provision, task),
	FIELD(5, struct spec_provision, path),
	FIELD(6, struct spec_provision, name),
};
static const struct layout provision_layout = LAYOUT(struct spec_provision, provision_fields);

static const struct field start_fields[] = {
	ID(struct spec),
	FIELD(4, struct spec, epoch),
	FIELD(5, struct spec, fence),
	FIELD(6, struct spec, shell),
	TEXTS(12, struct spec, argv, argc),
	FIELD(13, struct spec, workdir),
	TEXTS(14, struct spec, env, env_count),
	FIELD(15, struct spec, timeout_ms),
	FIELD(16, struct spec, stall_ms),
	FIELD(17, struct spec, grace_ms),
	FIELD(18, struct spec, log_max_bytes),
	FIELD(19, struct spec, checkpoint_dir),
	FIELD(20, struct spec, checkpoint_declared),
	FIELD(21, struct spec, settle_ms),
	FIELD(22, struct spec, keep),
	FLAG(23, struct spec, resume_required),
	FLAG(23, struct spec, resume_never),
	FLAG(23, struct spec, fresh),
	ITEMS(24, struct spec, candidates, candidates_count, candidate_layout),
	TEXTS(25, struct spec, devices, devices_count),
	ITEMS(30, struct spec, provisions, provisions_count, provision_layout),
	FIELD(26, struct spec, lease_ms),
	FIELD(27, struct spec, lease_from_ms),
	TEXTS(28, struct spec, artifacts, artifacts_count),
};
static const struct layout start_layout = LAYOUT(struct spec, start_fields);

static const struct field stop_fields[] = {
	ID(struct frame_stop),
	ENUM(4, struct frame_stop, reason, REASONS),
	FIELD(5, struct frame_stop, grace_ms),
};
static const struct layout stop_layout = LAYOUT(struct frame_stop, stop_fields);

static const struct field attach_fields[] = {
	ID(struct frame_attach),
	FIELD(4, struct frame_attach, journal_offset),
	FIELD(5, struct frame_attach, log_offset),
	FIELD(6, struct frame_attach, renew),
};
static const struct layout attach_layout = LAYOUT(struct frame_attach, attach_fields);

static const struct field stored_fields[] = {
	ID(struct frame_stored),
	FIELD(4, struct frame_stored, log_offset),
};
static const struct layout stored_layout = LAYOUT(struct frame_stored, stored_fields);

static const struct field forget_fields[] = {
	ID(struct frame_attempt),
};
static const struct layout forget_layout = LAYOUT(struct frame_attempt, forget_fields);

static const struct field ping_fields[] = {
	FIELD(1, struct frame_ping, number),
};
static const struct layout ping_layout = LAYOUT(struct frame_ping, ping_fields);

static const struct field pong_fields[] = {
	FIELD(1, struct frame_pong, number),
	OR_NOT(2, struct frame_pong, load.load1_milli),
	OR_NOT(3, struct frame_pong, load.memory_bytes),
	OR_NOT(4, struct frame_pong, load.memory_available_bytes),
	OR_NOT(5, struct frame_pong, load.disk_bytes),
	OR_NOT(6, struct frame_pong, load.disk_free_bytes),
};
static const struct layout pong_layout = LAYOUT(struct frame_pong, pong_fields);

static const struct field device_fields[] = {
	FIELD(1, struct device, uuid),
	FIELD(2, struct device, name),
	FIELD(3, struct device, memory_bytes),
};
static const struct layout device_layout = LAYOUT(struct device, device_fields);

static const struct field welcome_fields[] = {
	FIELD(1, struct frame_welcome, version),
	FIELD(2, struct frame_welcome, host),
	FIELD(3, struct frame_welcome, machine),
	FIELD(4, struct frame_welcome, boot_id),
	FIELD(5, struct frame_welcome, pid),
	FIELD(6, struct frame_welcome, wall_ms),
	FIELD(7, struct frame_welcome, cpus_milli),
	FIELD(8, struct frame_welcome, memory_bytes),
	FIELD(9, struct frame_welcome, root),
	ITEMS(10, struct frame_welcome, devices, devices_count, device_layout),
};
static const struct layout welcome_layout = LAYOUT(struct frame_welcome, welcome_fields);

static const struct field present_fields[] = {
	ID(struct frame_present),
	ENUM(4, struct frame_present, state, PRESENT_ENDED + 1),
};
static const struct layout present_layout = LAYOUT(struct frame_present, present_fields);

static const struct field data_fields[] = {
	ID(struct frame_data),
	ENUM(4, struct frame_data, stream, STREAM_LOG + 1),
	FIELD(5, struct frame_data, offset),
	SPAN(6, struct frame_data, bytes, n),
};
static const struct layout data_layout = LAYOUT(struct frame_data, data_fields);

/* `of` is empty, or leads to the exit within `type`. */
#define EXIT_FIELDS(type, of)                                           \
	ENUM(4, type, of kind, EXIT_LOST + 1),                          \
	ENUM(5, type, of reason, REASONS),                              \
	FIELD(6, type, of code),                                        \
	FIELD(7, type, of signal),                                      \
	FLAG(8, type, of stopped),                                      \
	FLAG(8, type, of transient),                                    \
	FIELD(9, type, of started_wall_ms),                             \
	FIELD(10, type, of ended_wall_ms),                              \
	FIELD(11, type, of cpu_ms),                                     \
	FIELD(12, type, of rss_peak_bytes),                             \
	FIELD(13, type, of log_bytes),                                  \
	FIELD(14, type, of log_dropped_bytes),                          \
	FIELD(15, type, of journal_bytes),                              \
	FIELD(16, type, of text)

static const struct field exited_fields[] = {
	ID(struct frame_exited),
	EXIT_FIELDS(struct frame_exited, exit.),
};
static const struct layout exited_layout = LAYOUT(struct frame_exited, exited_fields);

static const struct field ending_fields[] = {
	EXIT_FIELDS(struct record_exit, ),
};
static const struct layout ending_layout = LAYOUT(struct record_exit, ending_fields);

static const struct field note_fields[] = {
	ID(struct frame_note),
	FIELD(4, struct frame_note, warning),
	FIELD(5, struct frame_note, text),
};
static const struct layout note_layout = LAYOUT(struct frame_note, note_fields);

static const struct field finding_fields[] = {
	FIELD(1, struct frame_finding, name),
	ENUM(2, struct frame_finding, verdict, FINDING_VERDICTS),
	FIELD(3, struct frame_finding, text),
	FIELD(4, struct frame_finding, remedy),
	FIELD(5, struct frame_finding, last),
};
static const struct layout finding_layout = LAYOUT(struct frame_finding, finding_fields);

static const struct field want_fields[] = {
	ID(struct frame_want),
	FIELD(4, struct frame_want, digest),
	FIELD(5, struct frame_want, offset),
	FIELD(6, struct frame_want, begin),
	ENUM(7, struct frame_want, kind, PROVISIONS),
	FIELD(8, struct frame_want, task),
	FIELD(9, struct frame_want, name),
};
static const struct layout want_layout = LAYOUT(struct frame_want, want_fields);

static const struct field get_fields[] = {
	FIELD(1, struct frame_get, run),
	FIELD(2, struct frame_get, task),
	FIELD(4, struct frame_get, digest),
	FIELD(5, struct frame_get, offset),
	FIELD(6, struct frame_get, begin),
	ENUM(7, struct frame_get, kind, PROVISIONS),
	FIELD(8, struct frame_get, path),
	FIELD(9, struct frame_get, name),
};
static const struct layout get_layout = LAYOUT(struct frame_get, get_fields);

static const struct field parcel_fields[] = {
	FIELD(4, struct frame_parcel, digest),
	FIELD(5, struct frame_parcel, offset),
	FIELD(6, struct frame_parcel, total),
	SPAN(7, struct frame_parcel, bytes, n),
	FIELD(8, struct frame_parcel, text),
	FIELD(9, struct frame_parcel, transient),
};
static const struct layout parcel_layout = LAYOUT(struct frame_parcel, parcel_fields);

static const struct field identity_fields[] = {
	FIELD(1, struct record_identity, boot_id),
	FIELD(2, struct record_identity, pid),
	FIELD(3, struct record_identity, start_ticks),
};
static const struct layout identity_layout = LAYOUT(struct record_identity, identity_fields);

static const struct field started_fields[] = {
	FIELD(1, struct record_started, pid),
	FIELD(2, struct record_started, wall_ms),
	FIELD(3, struct record_started, resumed_from),
	FIELD(4, struct record_started, resumed_digest),
};
static const struct layout started_layout = LAYOUT(struct record_started, started_fields);

static const struct field checkpoint_fields[] = {
	ENUM(1, struct record_checkpoint, event, CHECKPOINT_IGNORED + 1),
	FIELD(2, struct record_checkpoint, name),
	FIELD(3, struct record_checkpoint, digest),
	FIELD(4, struct record_checkpoint, bytes),
	OR_NOT(5, struct record_checkpoint, step),
	FIELD(6, struct record_checkpoint, wall_ms),
	FIELD(7, struct record_checkpoint, format),
	FIELD(8, struct record_checkpoint, text),
};
static const struct layout checkpoint_layout = LAYOUT(struct record_checkpoint, checkpoint_fields);

static const struct field metric_fields[] = {
	FIELD(1, struct record_metric, wall_ms),
	FIELD(2, struct record_metric, json),
};
static const struct layout metric_layout = LAYOUT(struct record_metric, metric_fields);

static const struct field sample_fields[] = {
	FIELD(1, struct record_sample, wall_ms),
	FIELD(2, struct record_sample, cpu_ms),
	FIELD(3, struct record_sample, rss_bytes),
	FIELD(4, struct record_sample, processes),
};
static const struct layout sample_layout = LAYOUT(struct record_sample, sample_fields);

static const struct field output_fields[] = {
	FIELD(1, struct record_output, key),
	FIELD(2, struct record_output, value),
};
static const struct layout output_layout = LAYOUT(struct record_output, output_fields);

static const struct field artifacts_fields[] = {
	FIELD(1, struct record_artifacts, digest),
	FIELD(2, struct record_artifacts, bytes),
	FIELD(3, struct record_artifacts, files),
};
static const struct layout artifacts_layout = LAYOUT(struct record_artifacts, artifacts_fields);

static const struct field stopping_fields[] = {
	FIELD(1, struct record_stopping, wall_ms),
	ENUM(2, struct record_stopping, reason, REASONS),
	FIELD(3, struct record_stopping, grace_ms),
};
static const struct layout stopping_layout = LAYOUT(struct record_stopping, stopping_fields);

/* --- for those who use them ----------------------------------------------------------------------------- */

void protocol_put_hello(struct buf *out, const struct frame_hello *frame)
{
	put(out, FRAME_HELLO, &hello_layout, frame);
}

void protocol_put_claim(struct buf *out, enum frame_type type, const struct frame_claim *frame)
{
	put(out, type, &claim_layout, frame);
}

void protocol_put_spec(struct buf *out, const struct spec *spec)
{
	put(out, FRAME_START, &start_layout, spec);
}

void protocol_put_stop(struct buf *out, const struct frame_stop *frame)
{
	put(out, FRAME_STOP, &stop_layout, frame);
}

void protocol_put_attach(struct buf *out, const struct frame_attach *frame)
{
	put(out, FRAME_ATTACH, &attach_layout, frame);
}

void protocol_put_stored(struct buf *out, const struct frame_stored *frame)
{
	put(out, FRAME_STORED, &stored_layout, frame);
}

void protocol_put_forget(struct buf *out, const struct frame_attempt *frame)
{
	put(out, FRAME_FORGET, &forget_layout, frame);
}

void protocol_put_ping(struct buf *out, enum frame_type type, const struct frame_ping *frame)
{
	put(out, type, &ping_layout, frame);
}

void protocol_put_pong(struct buf *out, const struct frame_pong *frame)
{
	put(out, FRAME_PONG, &pong_layout, frame);
}

void protocol_put_welcome(struct buf *out, const struct frame_welcome *frame)
{
	put(out, FRAME_WELCOME, &welcome_layout, frame);
}

void protocol_put_present(struct buf *out, const struct frame_present *frame)
{
	put(out, FRAME_PRESENT, &present_layout, frame);
}

void protocol_put_data(struct buf *out, const struct frame_data *frame)
{
	put(out, FRAME_DATA, &data_layout, frame);
}

uint8_t *protocol_put_data_room(struct buf *out, const struct frame_data *frame)
{
	return put_with_room(out, FRAME_DATA, &data_layout, frame, frame->n);
}

void protocol_put_exited(struct buf *out, const struct frame_exited *frame)
{
	put(out, FRAME_EXITED, &exited_layout, frame);
}

void protocol_put_note(struct buf *out, enum frame_type type, const struct frame_note *frame)
{
	put(out, type, &note_layout, frame);
}

void protocol_put_check(struct buf *out)
{
	end(out, begin(out, FRAME_CHECK));
}

void protocol_put_finding(struct buf *out, const struct frame_finding *frame)
{
	put(out, FRAME_FINDING, &finding_layout, frame);
}

void protocol_put_want(struct buf *out, const struct frame_want *frame)
{
	put(out, FRAME_WANT, &want_layout, frame);
}

void protocol_put_get(struct buf *out, const struct frame_get *frame)
{
	put(out, FRAME_GET, &get_layout, frame);
}

void protocol_put_parcel(struct buf *out, enum frame_type type, const struct frame_parcel *frame)
{
	put(out, type, &parcel_layout, frame);
}

uint8_t *protocol_put_parcel_room(struct buf *out, enum frame_type type, const struct frame_parcel *frame)
{
	return put_with_room(out, type, &parcel_layout, frame, frame->n);
}

void protocol_put_identity(struct buf *out, const struct record_identity *record)
{
	put(out, RECORD_IDENTITY, &identity_layout, record);
}

void protocol_put_started(struct buf *out, const struct record_started *record)
{
	put(out, RECORD_STARTED, &started_layout, record);
}

void protocol_put_checkpoint(struct buf *out, const struct record_checkpoint *record)
{
	put(out, RECORD_CHECKPOINT, &checkpoint_layout, record);
}

void protocol_put_metric(struct buf *out, const struct record_metric *record)
{
	put(out, RECORD_METRIC, &metric_layout, record);
}

void protocol_put_sample(struct buf *out, const struct record_sample *record)
{
	put(out, RECORD_SAMPLE, &sample_layout, record);
}

void protocol_put_output(struct buf *out, const struct record_output *record)
{
	put(out, RECORD_OUTPUT, &output_layout, record);
}

void protocol_put_artifacts(struct buf *out, const struct record_artifacts *record)
{
	put(out, RECORD_ARTIFACTS, &artifacts_layout, record);
}

void protocol_put_stopping(struct buf *out, const struct record_stopping *record)
{
	put(out, RECORD_STOPPING, &stopping_layout, record);
}

void protocol_put_exit(struct buf *out, const struct record_exit *record)
{
	put(out, RECORD_EXIT, &ending_layout, record);
}

static size_t get_length(const uint8_t bytes[LENGTH_BYTES])
{
	size_t length = 0;

	for (size_t i = 0; i < LENGTH_BYTES; i++)
		length |= (size_t)bytes[i] << (8 * i);
	return length;
}

int protocol_next(const uint8_t *bytes, size_t n, struct frame *frame_out, struct err *err)
{
	size_t length;

	if (n < LENGTH_BYTES)
		return 0;
	length = get_length(bytes);
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

size_t protocol_missing_bytes(const uint8_t *bytes, size_t n)
{
	size_t whole = n < LENGTH_BYTES ? LENGTH_BYTES : LENGTH_BYTES + get_length(bytes);

	return whole > n ? whole - n : 1;
}

int protocol_get_hello(const struct frame *frame, struct arena *arena, struct frame_hello *out)
{
	return get(frame, &hello_layout, arena, out);
}

int protocol_get_claim(const struct frame *frame, struct arena *arena, struct frame_claim *out)
{
	return get(frame, &claim_layout, arena, out);
}

int protocol_get_spec(const struct frame *frame, struct arena *arena, struct spec *out)
{
	return get(frame, &start_layout, arena, out);
}

int protocol_get_stop(const struct frame *frame, struct frame_stop *out)
{
	return get(frame, &stop_layout, NULL, out);
}

int protocol_get_attach(const struct frame *frame, struct frame_attach *out)
{
	return get(frame, &attach_layout, NULL, out);
}

int protocol_get_stored(const struct frame *frame, struct frame_stored *out)
{
	return get(frame, &stored_layout, NULL, out);
}

int protocol_get_forget(const struct frame *frame, struct frame_attempt *out)
{
	return get(frame, &forget_layout, NULL, out);
}

int protocol_get_ping(const struct frame *frame, struct frame_ping *out)
{
	return get(frame, &ping_layout, NULL, out);
}

int protocol_get_pong(const struct frame *frame, struct frame_pong *out)
{
	return get(frame, &pong_layout, NULL, out);
}

int protocol_get_welcome(const struct frame *frame, struct arena *arena, struct frame_welcome *out)
{
	return get(frame, &welcome_layout, arena, out);
}

int protocol_get_present(const struct frame *frame, struct frame_present *out)
{
	return get(frame, &present_layout, NULL, out);
}

int protocol_get_data(const struct frame *frame, struct frame_data *out)
{
	return get(frame, &data_layout, NULL, out);
}

int protocol_get_exited(const struct frame *frame, struct arena *arena, struct frame_exited *out)
{
	return get(frame, &exited_layout, arena, out);
}

int protocol_get_note(const struct frame *frame, struct arena *arena, struct frame_note *out)
{
	return get(frame, &note_layout, arena, out);
}

int protocol_get_finding(const struct frame *frame, struct arena *arena, struct frame_finding *out)
{
	return get(frame, &finding_layout, arena, out);
}

int protocol_get_want(const struct frame *frame, struct arena *arena, struct frame_want *out)
{
	return get(frame, &want_layout, arena, out);
}

int protocol_get_get(const struct frame *frame, struct arena *arena, struct frame_get *out)
{
	return get(frame, &get_layout, arena, out);
}

int protocol_get_parcel(const struct frame *frame, struct arena *arena, struct frame_parcel *out)
{
	return get(frame, &parcel_layout, arena, out);
}

int protocol_get_identity(const struct frame *frame, struct arena *arena, struct record_identity *out)
{
	return get(frame, &identity_layout, arena, out);
}

int protocol_get_started(const struct frame *frame, struct arena *arena, struct record_started *out)
{
	return get(frame, &started_layout, arena, out);
}

int protocol_get_checkpoint(const struct frame *frame, struct arena *arena, struct record_checkpoint *out)
{
	return get(frame, &checkpoint_layout, arena, out);
}

int protocol_get_metric(const struct frame *frame, struct arena *arena, struct record_metric *out)
{
	return get(frame, &metric_layout, arena, out);
}

int protocol_get_sample(const struct frame *frame, struct record_sample *out)
{
	return get(frame, &sample_layout, NULL, out);
}

int protocol_get_output(const struct frame *frame, struct arena *arena, struct record_output *out)
{
	return get(frame, &output_layout, arena, out);
}

int protocol_get_artifacts(const struct frame *frame, struct arena *arena, struct record_artifacts *out)
{
	return get(frame, &artifacts_layout, arena, out);
}

int protocol_get_stopping(const struct frame *frame, struct record_stopping *out)
{
	return get(frame, &stopping_layout, NULL, out);
}

int protocol_get_exit(const struct frame *frame, struct arena *arena, struct record_exit *out)
{
	return get(frame, &ending_layout, arena, out);
}
