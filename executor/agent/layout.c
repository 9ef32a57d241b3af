#include "executor/agent/layout.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/mem.h"
#include "common/scope.h"
#include "executor/agent/entry.h"
#include "executor/agent/files.h"
#include "executor/agent/json.h"

enum {
	ZIP_END_BYTES = 22,
	ZIP_END_MAX = ZIP_END_BYTES + 65535,
	ZIP64_LOCATOR_BYTES = 20,
	ZIP64_END_BYTES = 56,
	ZIP_CENTRAL_BYTES = 46,
	ZIP_LOCAL_BYTES = 30,
	ZIP_DIRECTORY_MAX = 64 * 1024 * 1024,
	JSON_BYTES_MAX = 64 * 1024 * 1024,
	TENSORS_HEADER_MAX = 100 * 1000 * 1000, /* the format's own limit */
	PIECE_BYTES = 256 * 1024,
};

__attribute__((format(printf, 3, 4))) static void judge(struct layout *layout, enum layout_verdict verdict,
							const char *format, ...)
{
	va_list args;

	layout->verdict = verdict;
	va_start(args, format);
	vsnprintf(layout->text, sizeof layout->text, format, args);
	va_end(args);
}

static uint64_t number(const uint8_t *at, int bytes)
{
	uint64_t value = 0;

	for (int i = 0; i < bytes; i++)
		value |= (uint64_t)at[i] << (8 * i);
	return value;
}

static bool ends_in(const char *name, const char *end)
{
	size_t n = strlen(name), m = strlen(end);

	return n >= m && strcmp(name + n - m, end) == 0;
}

/* A file that is being judged. */
struct subject {
	int fd;
	uint64_t bytes;
	const char *name;
	bool thorough;
	struct layout *layout;
};

static bool get(const struct subject *subject, uint64_t offset, void *bytes, size_t n)
{
	return offset <= subject->bytes && n <= subject->bytes - offset &&
	       pread(subject->fd, bytes, n, (off_t)offset) == (ssize_t)n;
}

/* --- zip ------------------------------------------------------------------------------------------------ */

struct directory {
	uint64_t offset;
	uint64_t bytes;
	uint64_t entries;
	uint64_t stop; /* where it must end */
};

/* The record at the very end, behind which only its own comment may stand. */
static bool find_zip_end(const struct subject *subject, uint8_t end[ZIP_END_BYTES], uint64_t *at_out)
{
	size_t n = subject->bytes < ZIP_END_MAX ? (size_t)subject->bytes : ZIP_END_MAX;
	autofree uint8_t *tail = mem_alloc(n);

	if (n < ZIP_END_BYTES || !get(subject, subject->bytes - n, tail, n))
		return false;
	for (size_t at = n - ZIP_END_BYTES + 1; at-- > 0;) {
		if (number(tail + at, 4) != 0x06054b50 || at + ZIP_END_BYTES + number(tail + at + 20, 2) != n)
			continue;
		memcpy(end, tail + at, ZIP_END_BYTES);
		*at_out = subject->bytes - n + at;
		return true;
	}
	return false;
}

static bool read_zip_end(const struct subject *subject, struct directory *directory)
{
	uint8_t end[ZIP_END_BYTES], locator[ZIP64_LOCATOR_BYTES], end64[ZIP64_END_BYTES];
	uint64_t at;

	if (!find_zip_end(subject, end, &at))
		return false;
	*directory = (struct directory){ .entries = number(end + 10, 2),
					 .bytes = number(end + 12, 4),
					 .offset = number(end + 16, 4),
					 .stop = at };
	if (directory->entries != 0xffff && directory->bytes != 0xffffffff && directory->offset != 0xffffffff)
		return true;
	if (at < ZIP64_LOCATOR_BYTES || !get(subject, at - ZIP64_LOCATOR_BYTES, locator, sizeof locator) ||
	    number(locator, 4) != 0x07064b50)
		return false;
	at = number(locator + 8, 8);
	if (!get(subject, at, end64, sizeof end64) || number(end64, 4) != 0x06064b50)
		return false;
	*directory = (struct directory){ .entries = number(end64 + 32, 8),
					 .bytes = number(end64 + 40, 8),
					 .offset = number(end64 + 48, 8),
					 .stop = at };
	return true;
}

struct member {
	uint64_t stored_bytes;
	uint64_t local_offset;
	uint32_t crc;
	unsigned method;
	const uint8_t *name;
	size_t name_bytes;
};

/*
 * Sizes and offsets that do not fit 32 bits stand in an extra field, each only if it is needed, in this
 * order.
 */
static bool read_zip64_extra(const uint8_t *extra, size_t n, const uint8_t *central, struct member *member)
{
	while (n >= 4) {
		size_t bytes = (size_t)number(extra + 2, 2);
		const uint8_t *at = extra + 4, *stop;

		if (bytes > n - 4)
			return false;
		stop = at + bytes;
		if (number(extra, 2) == 1) {
			if (number(central + 24, 4) == 0xffffffff)
				at += 8;
			if (member->stored_bytes == 0xffffffff) {
				if (stop - at < 8)
					return false;
				member->stored_bytes = number(at, 8);
				at += 8;
			}
			if (member->local_offset == 0xffffffff) {
				if (stop - at < 8)
					return false;
				member->local_offset = number(at, 8);
			}
			return true;
		}
		extra += 4 + bytes;
		n -= 4 + bytes;
	}
	return true;
}

/* One entry of the directory; its length, or 0 when it is malformed. */
static size_t read_member(const uint8_t *at, size_t n, struct member *member)
{
	size_t name, extra, comment;

	if (n < ZIP_CENTRAL_BYTES || number(at, 4) != 0x02014b50)
		return 0;
	name = (size_t)number(at + 28, 2);
	extra = (size_t)number(at + 30, 2);
	comment = (size_t)number(at + 32, 2);
	if (name + extra + comment > n - ZIP_CENTRAL_BYTES)
		return 0;
	*member = (struct member){ .method = (unsigned)number(at + 10, 2),
				   .crc = (uint32_t)number(at + 16, 4),
				   .stored_bytes = number(at + 20, 4),
				   .local_offset = number(at + 42, 4),
				   .name = at + ZIP_CENTRAL_BYTES,
				   .name_bytes = name };
	if (!read_zip64_extra(at + ZIP_CENTRAL_BYTES + name, extra, at, member))
		return 0;
	return ZIP_CENTRAL_BYTES + name + extra + comment;
}

static bool crc_holds(const struct subject *subject, uint64_t offset, const struct member *member)
{
	autofree uint8_t *piece = mem_alloc(PIECE_BYTES);
	uint32_t crc = 0;

	for (uint64_t left = member->stored_bytes; left > 0;) {
		size_t n = left < PIECE_BYTES ? (size_t)left : PIECE_BYTES;

		if (!get(subject, offset, piece, n))
			return false;
		crc = files_crc32(crc, piece, n);
		offset += n;
		left -= n;
	}
	return crc == member->crc;
}

/* What the directory says of a member must be what stands where it points to. */
static bool check_member(const struct subject *subject, const struct directory *directory,
			 const struct member *member)
{
	uint8_t local[ZIP_LOCAL_BYTES];
	autofree uint8_t *name = mem_alloc(member->name_bytes);
	uint64_t data;

	if (!get(subject, member->local_offset, local, sizeof local) || number(local, 4) != 0x04034b50 ||
	    number(local + 26, 2) != member->name_bytes ||
	    !get(subject, member->local_offset + ZIP_LOCAL_BYTES, name, member->name_bytes) ||
	    memcmp(name, member->name, member->name_bytes) != 0)
		return false;
	data = member->local_offset + ZIP_LOCAL_BYTES + number(local + 26, 2) + number(local + 28, 2);
	if (data > directory->offset || member->stored_bytes > directory->offset - data)
		return false;
	return !subject->thorough || member->method != 0 || crc_holds(subject, data, member);
}

static void check_zip(const struct subject *subject)
{
	struct directory directory;
	autofree uint8_t *bytes = NULL;
	size_t at = 0;

	if (!read_zip_end(subject, &directory)) {
		judge(subject->layout, LAYOUT_BAD,
		      "%s: the zip file has no directory at its end: it was cut or not finished",
		      subject->name);
		return;
	}
	if (directory.offset > subject->bytes || directory.bytes > ZIP_DIRECTORY_MAX ||
	    directory.offset + directory.bytes != directory.stop) {
		judge(subject->layout, LAYOUT_BAD, "%s: the zip file's directory is not where its end says",
		      subject->name);
		return;
	}
	bytes = mem_alloc((size_t)directory.bytes);
	if (!get(subject, directory.offset, bytes, (size_t)directory.bytes)) {
		judge(subject->layout, LAYOUT_BAD, "%s: the zip file's directory cannot be read",
		      subject->name);
		return;
	}
	for (uint64_t i = 0; i < directory.entries; i++) {
		struct member member;
		size_t n = read_member(bytes + at, (size_t)directory.bytes - at, &member);

		if (n == 0) {
			judge(subject->layout, LAYOUT_BAD,
			      "%s: entry %" PRIu64 " of the zip file's directory is malformed", subject->name,
			      i + 1);
			return;
		}
		if (!check_member(subject, &directory, &member)) {
			judge(subject->layout, LAYOUT_BAD, "%s: member '%.*s' of the zip file is damaged",
			      subject->name, (int)(member.name_bytes < 100 ? member.name_bytes : 100),
			      (const char *)member.name);
			return;
		}
		at += n;
	}
	subject->layout->verdict = LAYOUT_GOOD;
}

/* --- safetensors ---------------------------------------------------------------------------------------- */

struct tensors {
	uint64_t begin; /* of the tensor at hand */
	uint64_t total;
	uint64_t stop; /* greatest */
	bool wrong;
};

static void on_tensor_scalar(void *context, const struct json_scalar *scalar)
{
	struct tensors *tensors = context;
	uint64_t value;

	if (!json_text_is(scalar->key, "data_offsets"))
		return;
	value = strtoull(scalar->text.at, NULL, 10); /* what follows the digits stops it */
	if (scalar->index == 0) {
		tensors->begin = value;
		return;
	}
	if (value < tensors->begin || scalar->index > 1) {
		tensors->wrong = true;
		return;
	}
	tensors->total += value - tensors->begin;
	if (value > tensors->stop)
		tensors->stop = value;
}

static void check_safetensors(const struct subject *subject)
{
	struct tensors tensors = { 0 };
	uint8_t length[8];
	autofree char *header = NULL;
	uint64_t n;

	if (!get(subject, 0, length, sizeof length) || (n = number(length, 8)) > TENSORS_HEADER_MAX ||
	    n > subject->bytes - sizeof length) {
		judge(subject->layout, LAYOUT_BAD, "%s: its safetensors header is cut or malformed",
		      subject->name);
		return;
	}
	header = mem_alloc((size_t)n + 1);
	if (!get(subject, sizeof length, header, (size_t)n))
		n = 0;
	header[n] = '\0';
	if (!json_walk(header, (size_t)n, on_tensor_scalar, &tensors) || tensors.wrong)
		judge(subject->layout, LAYOUT_BAD, "%s: its safetensors header is no valid JSON",
		      subject->name);
	else if (tensors.stop != subject->bytes - sizeof length - n || tensors.total != tensors.stop)
		judge(subject->layout, LAYOUT_BAD,
		      "%s: its tensors need %" PRIu64 " bytes, it holds %" PRIu64, subject->name,
		      tensors.stop, subject->bytes - (uint64_t)sizeof length - n);
	else
		subject->layout->verdict = LAYOUT_GOOD;
}

/* --- HDF5 ----------------------------------------------------------------------------------------------- */

static bool read_hdf5_end(const struct subject *subject, uint64_t *end_out, bool *open_out)
{
	static const uint8_t magic[8] = { 0x89, 'H', 'D', 'F', '\r', '\n', 0x1a, '\n' };
	uint8_t block[96];
	size_t n = subject->bytes < sizeof block ? (size_t)subject->bytes : sizeof block;
	size_t addresses, width;

	if (n < 48 || !get(subject, 0, block, n) || memcmp(block, magic, sizeof magic) != 0)
		return false;
	/* Behind the base address: free space (0, 1) or extension (2, 3), then the end of file. */
	if (block[8] <= 1) {
		width = block[13];
		addresses = block[8] == 0 ? 24 : 28;
	} else if (block[8] <= 3) {
		width = block[9];
		addresses = 12;
		*open_out = block[8] == 3 && (block[11] & 1) != 0;
	} else {
		return false;
	}
	if (width < 2 || width > 8 || addresses + 3 * width > n)
		return false;
	*end_out = number(block + addresses + 2 * width, (int)width);
	return true;
}

static void check_hdf5(const struct subject *subject)
{
	uint64_t end = 0;
	bool open = false;

	if (!read_hdf5_end(subject, &end, &open))
		judge(subject->layout, LAYOUT_BAD, "%s: it does not begin as an HDF5 file", subject->name);
	else if (end > subject->bytes)
		judge(subject->layout, LAYOUT_BAD,
		      "%s: its HDF5 content ends at byte %" PRIu64 ", the file at %" PRIu64, subject->name,
		      end, subject->bytes);
	else if (open || end < subject->bytes)
		judge(subject->layout, LAYOUT_UNKNOWN, "%s: the HDF5 file was not closed by its writer",
		      subject->name);
	else
		subject->layout->verdict = LAYOUT_GOOD;
}

/* --- one file ------------------------------------------------------------------------------------------- */

static bool is_zip(const struct subject *subject, bool must)
{
	uint8_t head[4];

	return must || (get(subject, 0, head, sizeof head) && memcmp(head, "PK", 2) == 0);
}

static bool begins_with_zeros(const struct subject *subject)
{
	uint8_t head[64];
	size_t n = subject->bytes < sizeof head ? (size_t)subject->bytes : sizeof head;

	if (!get(subject, 0, head, n))
		return false;
	for (size_t i = 0; i < n; i++)
		if (head[i] != 0)
			return false;
	return true;
}

static void check_by_name(const struct subject *subject)
{
	const char *name = subject->name;
	bool torch = ends_in(name, ".ckpt") || ends_in(name, ".pt") || ends_in(name, ".pth") ||
		     ends_in(name, ".bin");
	bool zip = ends_in(name, ".npz") || ends_in(name, ".keras") || ends_in(name, ".zip");

	if (ends_in(name, ".safetensors")) {
		check_safetensors(subject);
	} else if (ends_in(name, ".h5") || ends_in(name, ".hdf5")) {
		check_hdf5(subject);
	} else if ((torch || zip) && is_zip(subject, zip)) {
		check_zip(subject);
	} else if (torch && begins_with_zeros(subject)) {
		/*
		 * What a crash of the machine leaves of a file whose size was written and its bytes were not.
		 */
		judge(subject->layout, LAYOUT_BAD, "%s: it begins with zeros", name);
	}
}

static void check_file(int dir, const char *path, bool thorough, struct layout *layout)
{
	autoclose int fd = openat(dir, path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
	struct subject subject = { .fd = fd, .name = path, .thorough = thorough, .layout = layout };
	struct stat st;

	if (fd < 0 || fstat(fd, &st) < 0) {
		judge(layout, LAYOUT_INCOMPLETE, "%s: %s", path, strerror(errno));
		return;
	}
	subject.bytes = (uint64_t)st.st_size;
	if (!S_ISREG(st.st_mode))
		judge(layout, LAYOUT_BAD, "%s is no file", path);
	else if (subject.bytes == 0)
		judge(layout, LAYOUT_BAD, "%s is empty", path);
	else
		check_by_name(&subject);
}

/* Whether a JSON file is whole; `visit` may look into it. */
static bool check_json(int dir, const char *path, json_visitor *visit, void *context)
{
	autobuf struct buf text = { 0 };

	return files_read(dir, path, JSON_BYTES_MAX, &text) == 0 &&
	       json_walk(buf_text(&text), text.bytes, visit, context);
}

/* --- folders -------------------------------------------------------------------------------------------- */

struct folder {
	int dir;
	const char *entry;
	const struct entry_files *files;
	struct layout *layout;
	bool thorough;
};

static const struct entry_file *find_in(const struct folder *folder, const char *name, size_t n)
{
	size_t prefix = strlen(folder->entry) + 1;

	for (size_t i = 0; i < folder->files->count; i++) {
		const char *path = folder->files->items[i].path;

		if (strncmp(path + prefix, name, n) == 0 && path[prefix + n] == '\0')
			return &folder->files->items[i];
	}
	return NULL;
}

static bool has(const struct folder *folder, const char *name)
{
	return find_in(folder, name, strlen(name)) != NULL;
}

/* Each file in it that has rules of its own; false when one breaks them. */
static bool check_files(const struct folder *folder)
{
	for (size_t i = 0; i < folder->files->count; i++) {
		const struct entry_file *file = &folder->files->items[i];
		struct layout layout = { 0 };

		if (file->type != 'f' || file->bytes == 0)
			continue; /* an empty file may be a mark of something */
		check_file(folder->dir, file->path, folder->thorough, &layout);
		if (layout.verdict >= LAYOUT_BAD) {
			judge(folder->layout, layout.verdict, "%s", layout.text);
			return false;
		}
	}
	return true;
}

static void on_shard(void *context, const struct json_scalar *scalar)
{
	const struct folder *folder = context;

	if (!json_text_is(scalar->in, "weight_map") || !scalar->quoted ||
	    folder->layout->verdict != LAYOUT_UNKNOWN)
		return;
	if (find_in(folder, scalar->text.at, scalar->text.n) == NULL)
		judge(folder->layout, LAYOUT_INCOMPLETE, "shard %.*s is missing",
		      (int)(scalar->text.n < 200 ? scalar->text.n : 200), scalar->text.at);
}

/* An index of shards: all that it names must be there. False when the verdict is given. */
static bool check_index(struct folder *folder, const char *name)
{
	char path[ENTRY_NAME_BYTES * 2];

	if (!has(folder, name))
		return true;
	snprintf(path, sizeof path, "%s/%s", folder->entry, name);
	if (!check_json(folder->dir, path, on_shard, folder))
		judge(folder->layout, LAYOUT_BAD, "%s is no valid JSON", path);
	return folder->layout->verdict == LAYOUT_UNKNOWN;
}

static bool is_huggingface(const struct folder *folder)
{
	static const char *const signs[] = { "trainer_state.json", "training_args.bin",
					     "optimizer.pt",	   "scheduler.pt",
					     "config.json",	   "model.safetensors",
					     "pytorch_model.bin",  "model.safetensors.index.json" };
	const char *digits = folder->entry + strlen("checkpoint-");

	if (strncmp(folder->entry, "checkpoint-", strlen("checkpoint-")) != 0 || *digits == '\0' ||
	    digits[strspn(digits, "0123456789")] != '\0')
		return false;
	for (size_t i = 0; i < COUNT_OF(signs); i++)
		if (has(folder, signs[i]))
			return true;
	return false;
}

static void check_huggingface(struct folder *folder)
{
	static const char *const weights[] = { "model.safetensors",
					       "pytorch_model.bin",
					       "model.safetensors.index.json",
					       "pytorch_model.bin.index.json",
					       "adapter_model.safetensors",
					       "adapter_model.bin",
					       "tf_model.h5",
					       "flax_model.msgpack" };
	char state[ENTRY_NAME_BYTES * 2];
	bool any = false;

	folder->layout->format = "huggingface";
	snprintf(state, sizeof state, "%s/trainer_state.json", folder->entry);
	if (!has(folder, "trainer_state.json")) {
		judge(folder->layout, LAYOUT_INCOMPLETE, "trainer_state.json is missing");
		return;
	}
	if (!check_json(folder->dir, state, NULL, NULL)) {
		judge(folder->layout, LAYOUT_BAD, "trainer_state.json is no valid JSON");
		return;
	}
	for (size_t i = 0; i < COUNT_OF(weights); i++)
		any |= has(folder, weights[i]);
	if (!any)
		judge(folder->layout, LAYOUT_INCOMPLETE, "its weights are missing");
	else if (check_index(folder, "model.safetensors.index.json") &&
		 check_index(folder, "pytorch_model.bin.index.json") && check_files(folder))
		folder->layout->verdict = LAYOUT_GOOD;
}

static bool is_torch_distributed(const struct folder *folder)
{
	for (size_t i = 0; i < folder->files->count; i++)
		if (ends_in(folder->files->items[i].path, ".distcp"))
			return true;
	return has(folder, ".metadata");
}

static void check_torch_distributed(struct folder *folder)
{
	const struct entry_file *metadata = find_in(folder, ".metadata", strlen(".metadata"));

	folder->layout->format = "torch-dcp";
	if (metadata == NULL || metadata->bytes == 0)
		judge(folder->layout, LAYOUT_INCOMPLETE, ".metadata, which is written last, is missing");
	else if (check_files(folder))
		folder->layout->verdict = LAYOUT_GOOD;
}

static void check_folder(struct folder *folder)
{
	uint64_t bytes = 0;

	folder->layout->format = "directory";
	for (size_t i = 0; i < folder->files->count; i++)
		bytes += folder->files->items[i].bytes;
	if (is_huggingface(folder))
		check_huggingface(folder);
	else if (is_torch_distributed(folder))
		check_torch_distributed(folder);
	else if (bytes == 0)
		judge(folder->layout, LAYOUT_INCOMPLETE, "it is empty");
	else
		check_files(folder);
}

/* --- groups --------------------------------------------------------------------------------------------- */

static void on_epoch(void *context, const struct json_scalar *scalar)
{
	if (json_text_is(scalar->key, "epoch") && scalar->in.at == NULL && !scalar->quoted)
		*(int64_t *)context = strtoll(scalar->text.at, NULL, 10);
}

static void check_keras(int dir, const char *entry, struct layout *layout)
{
	static const char metadata[] = "training_metadata.json";
	struct stat st;

	layout->format = "keras";
	if (fstatat(dir, entry, &st, AT_SYMLINK_NOFOLLOW) < 0) {
		judge(layout, LAYOUT_INCOMPLETE, "%s is missing", entry);
		return;
	}
	if (fstatat(dir, metadata, &st, AT_SYMLINK_NOFOLLOW) < 0) {
		judge(layout, LAYOUT_INCOMPLETE, "%s is missing", metadata);
		return;
	}
	check_file(dir, entry, false, layout);
	if (layout->verdict == LAYOUT_GOOD && !check_json(dir, metadata, on_epoch, &layout->step))
		judge(layout, LAYOUT_BAD, "%s is no valid JSON", metadata);
}

static unsigned parts_of(const struct entry_files *files)
{
	unsigned part, of = 0;

	for (size_t i = 0; i < files->count; i++) {
		const char *at = strstr(files->items[i].path, ".data-");

		if (at != NULL && sscanf(at, ".data-%5u-of-%5u", &part, &of) == 2)
			return of;
	}
	return 0;
}

static void check_tensorflow(int dir, const char *entry, const struct entry_files *files,
			     struct layout *layout)
{
	static const uint8_t magic[8] = {
		0x57, 0xfb, 0x80, 0x8b, 0x24, 0x75, 0x47, 0xdb
	}; /* of a table's footer */
	unsigned parts = parts_of(files), present = 0;
	const struct entry_file *index = NULL;
	uint8_t end[8];

	layout->format = "tensorflow";
	for (size_t i = 0; i < files->count; i++) {
		const struct entry_file *file = &files->items[i];

		if (ends_in(file->path, ".index"))
			index = file;
		else
			present += file->bytes > 0;
	}
	if (index == NULL) {
		judge(layout, LAYOUT_INCOMPLETE, "%s.index is missing", entry);
	} else if (parts == 0 || present < parts) {
		judge(layout, LAYOUT_INCOMPLETE, "%u of its %u data files are there", present, parts);
	} else {
		autoclose int fd = openat(dir, index->path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);

		if (index->bytes < 8 || fd < 0 || pread(fd, end, 8, (off_t)index->bytes - 8) != 8 ||
		    memcmp(end, magic, sizeof magic) != 0)
			judge(layout, LAYOUT_BAD, "%s is cut", index->path);
		else
			layout->verdict = LAYOUT_GOOD;
	}
}

static const char *format_of_file(const char *name)
{
	return ends_in(name, ".ckpt") ? "lightning" : ends_in(name, ".keras") ? "keras" : "file";
}

void layout_check(int dir, const char *entry, bool thorough, struct layout *out)
{
	struct folder folder = { .dir = dir, .entry = entry, .layout = out, .thorough = thorough };
	char of[ENTRY_NAME_BYTES];
	struct entry_files files;
	struct arena arena;
	struct err err;

	*out = (struct layout){ .format = "file", .step = -1 };
	arena_init(&arena);
	if (entry_list(dir, entry, &arena, &files, &err) < 0) {
		judge(out, LAYOUT_INCOMPLETE, "%s", err.text);
	} else if (files.is_folder) {
		folder.files = &files;
		check_folder(&folder);
	} else if (entry_of(entry, of) == ENTRY_KERAS) {
		check_keras(dir, entry, out);
	} else if (files.count == 1 && strcmp(files.items[0].path, entry) == 0) {
		out->format = format_of_file(entry);
		check_file(dir, entry, thorough, out);
	} else {
		check_tensorflow(dir, entry, &files, out);
	}
	arena_fini(&arena);
}
