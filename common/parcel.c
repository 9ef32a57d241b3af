#include "common/parcel.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/buf.h"
#include "common/mem.h"
#include "common/scope.h"

static const char magic[] = "stoker-parcel 1\n";

enum {
	LINK_REST_BYTES = 16 * 1024,
	LINK_PARTS_MAX = 4096,		  /* parts that one link may lead through */
	LINK_WORK_MAX = 20 * 1000 * 1000, /* parts looked up, of one parcel */
	NUMBER_CHARS_MAX = 16,
};

bool parcel_digest_valid(const char *text)
{
	return strlen(text) == DIGEST_HEX_BYTES - 1 &&
	       strspn(text, "0123456789abcdef") == DIGEST_HEX_BYTES - 1;
}

bool parcel_path_valid(const char *path)
{
	int depth = 0;

	if (path[0] == '\0' || strlen(path) > PARCEL_PATH_BYTES_MAX)
		return false;
	for (const char *at = path;; at++) {
		size_t n = strcspn(at, "/");

		if (n == 0 || (n == 1 && at[0] == '.') || (n == 2 && at[0] == '.' && at[1] == '.') ||
		    ++depth > PARCEL_DEPTH_MAX)
			return false;
		at += n;
		if (*at == '\0')
			return true;
	}
}

static int compare_entries(const void *a, const void *b)
{
	return strcmp(((const struct parcel_entry *)a)->path, ((const struct parcel_entry *)b)->path);
}

const struct parcel_entry *parcel_find(const struct parcel *parcel, const char *path)
{
	struct parcel_entry wanted = { .path = path };

	if (parcel->count == 0)
		return NULL;
	return bsearch(&wanted, parcel->entries, parcel->count, sizeof wanted, compare_entries);
}

/* --- links ---------------------------------------------------------------------------------------------- */

/*
 * A walk as the kernel does it: `at` is where it stands, without links, and what is still to be walked stands
 * at the end of `rest`, from `from` on, so that the target of a link can be put before it.
 */
struct walk {
	const struct parcel *parcel;
	char at[PARCEL_PATH_BYTES_MAX + 1];
	char rest[LINK_REST_BYTES];
	size_t from;
	int links;
	uint64_t work;
};

static void step_up(char *path)
{
	char *slash = strrchr(path, '/');

	*(slash == NULL ? path : slash) = '\0';
}

static bool walk_first(struct walk *walk, const char *target)
{
	size_t n = strlen(target);

	if (target[0] == '/' || n + 1 > walk->from)
		return false;
	walk->rest[--walk->from] = '/';
	walk->from -= n;
	memcpy(walk->rest + walk->from, target, n);
	return true;
}

/* Steps into `part`; false when that leads out. */
static bool walk_part(struct walk *walk, const char *part, size_t n)
{
	size_t used = strlen(walk->at);
	const struct parcel_entry *entry;

	if (n == 1 && part[0] == '.')
		return true;
	if (n == 2 && part[0] == '.' && part[1] == '.') {
		if (used == 0)
			return false;
		step_up(walk->at);
		return true;
	}
	if (used + n + 2 > sizeof walk->at)
		return false;
	if (used > 0)
		walk->at[used++] = '/';
	memcpy(walk->at + used, part, n);
	walk->at[used + n] = '\0';
	entry = parcel_find(walk->parcel, walk->at);
	if (entry == NULL || entry->type != PARCEL_LINK)
		return true;
	step_up(walk->at);
	return walk_first(walk, entry->target);
}

static bool leads_out(struct walk *walk, const struct parcel_entry *link)
{
	snprintf(walk->at, sizeof walk->at, "%s", link->path);
	step_up(walk->at);
	walk->from = sizeof walk->rest - 1;
	walk->rest[walk->from] = '\0';
	if (!walk_first(walk, link->target))
		return true;
	/* A ring never ends; it is of no use to anybody, so it counts as one that leads out. */
	for (int parts = 0; parts < LINK_PARTS_MAX; parts++) {
		const char *part = walk->rest + walk->from + strspn(walk->rest + walk->from, "/");
		size_t n = strcspn(part, "/");

		if (n == 0)
			return false;
		walk->from = (size_t)(part - walk->rest) + n;
		if (++walk->work > LINK_WORK_MAX || !walk_part(walk, part, n))
			return true;
	}
	return true;
}

/* --- what belongs together ------------------------------------------------------------------------------ */

static int check_parent(const struct parcel *parcel, const struct parcel_entry *entry, struct err *err)
{
	char parent[PARCEL_PATH_BYTES_MAX + 1];
	const struct parcel_entry *folder;

	if (strchr(entry->path, '/') == NULL)
		return 0;
	snprintf(parent, sizeof parent, "%s", entry->path);
	step_up(parent);
	folder = parcel_find(parcel, parent);
	if (folder != NULL && folder->type == PARCEL_FOLDER)
		return 0;
	return err_set(err, ERR_CORRUPT, "'%.200s' lies in no folder of the parcel", entry->path);
}

/* Sorted entries are all there: do they make a tree that nothing leads out of? */
static int check_tree(const struct parcel *parcel, struct err *err)
{
	autofree struct walk *walk = mem_zalloc(sizeof *walk);

	walk->parcel = parcel;
	for (size_t i = 0; i < parcel->count; i++) {
		const struct parcel_entry *entry = &parcel->entries[i];

		if (check_parent(parcel, entry, err) < 0)
			return ERR_CORRUPT;
		if (entry->type == PARCEL_LINK && leads_out(walk, entry))
			return err_set(err, ERR_CORRUPT, "the link '%.200s' -> '%.200s' leads out of the parcel",
				       entry->path, entry->target);
	}
	return 0;
}

static void lay_out(struct parcel *parcel)
{
	uint64_t offset = PARCEL_HEAD_BYTES + parcel->manifest_bytes;
	uint8_t digest[DIGEST_BYTES];
	struct digest sum;

	for (size_t i = 0; i < parcel->count; i++) {
		parcel->entries[i].offset = offset;
		offset += parcel->entries[i].bytes;
		parcel->files += parcel->entries[i].type == PARCEL_FILE;
	}
	parcel->bytes = offset;
	digest_init(&sum);
	digest_add(&sum, parcel->manifest, parcel->manifest_bytes);
	digest_end(&sum, digest);
	digest_hex(digest, parcel->digest);
}

/* --- reading a manifest --------------------------------------------------------------------------------- */

struct reader {
	const char *at; /* a NUL stands behind the last byte */
	const char *stop;
};

static const char *read_text(struct reader *reader, struct arena *arena)
{
	size_t n = strlen(reader->at);

	if (n >= (size_t)(reader->stop - reader->at))
		return NULL; /* it ends with the manifest, not with a NUL of its own */
	reader->at += n + 1;
	return arena_strndup(arena, reader->at - n - 1, n);
}

static bool read_number(struct reader *reader, uint64_t *out)
{
	size_t n = strspn(reader->at, "0123456789");

	if (n == 0 || n > NUMBER_CHARS_MAX || (n > 1 && reader->at[0] == '0') || reader->at[n] != ' ')
		return false;
	*out = strtoull(reader->at, NULL, 10);
	reader->at += n + 1;
	return true;
}

static bool read_digest(struct reader *reader, uint8_t out[DIGEST_BYTES])
{
	static const char digits[] = "0123456789abcdef";

	for (size_t i = 0; i < 2 * DIGEST_BYTES; i++) {
		const char *digit = reader->at[i] == '\0' ? NULL : strchr(digits, reader->at[i]);

		if (digit == NULL)
			return false;
		out[i / 2] = (uint8_t)(out[i / 2] << 4 | (digit - digits));
	}
	reader->at += 2 * DIGEST_BYTES;
	return *reader->at++ == ' ';
}

static bool read_entry(struct reader *reader, struct arena *arena, struct parcel_entry *out)
{
	char type = reader->at[0];

	*out = (struct parcel_entry){ .executable = type == 'x' };
	if (type == '\0' || strchr("dfxl", type) == NULL || reader->at[1] != ' ')
		return false;
	reader->at += 2;
	out->type = type == 'd' ? PARCEL_FOLDER : type == 'l' ? PARCEL_LINK : PARCEL_FILE;
	if (out->type == PARCEL_FILE &&
	    (!read_number(reader, &out->bytes) || !read_digest(reader, out->digest)))
		return false;
	out->path = read_text(reader, arena);
	if (out->path == NULL || !parcel_path_valid(out->path))
		return false;
	if (out->type != PARCEL_LINK)
		return true;
	out->target = read_text(reader, arena);
	return out->target != NULL && out->target[0] != '\0' && strlen(out->target) <= PARCEL_PATH_BYTES_MAX;
}

static int read_entries(struct parcel *parcel, struct err *err)
{
	struct reader reader = { .at = (const char *)parcel->manifest + strlen(magic),
				 .stop = (const char *)parcel->manifest + parcel->manifest_bytes };
	size_t room = 0;
	uint64_t total = 0;

	while (reader.at < reader.stop) {
		struct parcel_entry entry;

		if (parcel->count >= PARCEL_ENTRIES_MAX)
			return err_set(err, ERR_LIMIT, "more than %d entries", PARCEL_ENTRIES_MAX);
		if (!read_entry(&reader, &parcel->arena, &entry))
			return err_set(err, ERR_CORRUPT, "entry %zu is malformed", parcel->count + 1);
		if (parcel->count > 0 && compare_entries(&parcel->entries[parcel->count - 1], &entry) >= 0)
			return err_set(err, ERR_CORRUPT, "'%.200s' is out of order", entry.path);
		total += entry.bytes;
		if (entry.bytes > PARCEL_BYTES_MAX || total > PARCEL_BYTES_MAX)
			return err_set(err, ERR_LIMIT, "it claims to be larger than any disk");
		mem_grow(&parcel->entries, &room, parcel->count, sizeof entry);
		parcel->entries[parcel->count++] = entry;
	}
	return 0;
}

int parcel_parse(const void *manifest, size_t n, struct parcel *out, struct err *err)
{
	struct parcel parcel = { .manifest_bytes = n };
	uint8_t *copy;
	int rc = 0;

	if (n > PARCEL_MANIFEST_BYTES_MAX)
		return err_set(err, ERR_LIMIT, "a manifest of %zu bytes is too large", n);
	if (n < strlen(magic) || memcmp(manifest, magic, strlen(magic)) != 0)
		return err_set(err, ERR_CORRUPT, "no manifest of a parcel");
	arena_init(&parcel.arena);
	copy = arena_alloc(&parcel.arena, n + 1);
	memcpy(copy, manifest, n);
	parcel.manifest = copy;
	rc = read_entries(&parcel, err);
	if (rc == 0)
		rc = check_tree(&parcel, err);
	if (rc < 0) {
		parcel_fini(&parcel);
		return rc;
	}
	lay_out(&parcel);
	*out = parcel;
	return 0;
}

/* --- writing one ---------------------------------------------------------------------------------------- */

static void write_entry(struct buf *out, const struct parcel_entry *entry)
{
	char hex[DIGEST_HEX_BYTES];

	if (entry->type == PARCEL_FILE)
		buf_printf(out, "%c %" PRIu64 " %s ", entry->executable ? 'x' : 'f', entry->bytes,
			   digest_hex(entry->digest, hex));
	else
		buf_append_text(out, entry->type == PARCEL_FOLDER ? "d " : "l ");
	buf_append(out, entry->path, strlen(entry->path) + 1);
	if (entry->type == PARCEL_LINK)
		buf_append(out, entry->target, strlen(entry->target) + 1);
}

struct given {
	struct parcel_entry entry; /* first */
	size_t index;
};

/* Into order, each path once; the links that lead out (`left_out`: by index) are dropped. */
static size_t arrange(struct given *given, size_t count, bool *left_out)
{
	autofree struct parcel_entry *entries = mem_array(count, sizeof *entries);
	autofree struct walk *walk = mem_zalloc(sizeof *walk);
	struct parcel all = { .entries = entries };
	size_t kept = 0;

	if (count > 0)
		qsort(given, count, sizeof *given, compare_entries);
	for (size_t i = 0; i < count; i++)
		if (all.count == 0 || strcmp(given[i].entry.path, entries[all.count - 1].path) != 0) {
			given[all.count] = given[i];
			entries[all.count++] = given[i].entry;
		}
	walk->parcel = &all;
	for (size_t i = 0; i < all.count; i++) {
		if (left_out != NULL && entries[i].type == PARCEL_LINK && leads_out(walk, &entries[i]))
			left_out[given[i].index] = true;
		else
			given[kept++] = given[i];
	}
	return kept;
}

int parcel_make(const struct parcel_entry *entries, size_t count, bool *left_out, struct parcel *out,
		struct err *err)
{
	autofree struct given *given = mem_array(count, sizeof *given);
	autobuf struct buf manifest = { .limit_bytes = PARCEL_MANIFEST_BYTES_MAX };

	for (size_t i = 0; i < count; i++)
		given[i] = (struct given){ .entry = entries[i], .index = i };
	count = arrange(given, count, left_out);
	buf_append_text(&manifest, magic);
	for (size_t i = 0; i < count; i++)
		write_entry(&manifest, &given[i].entry);
	if (manifest.overflow)
		return err_set(err, ERR_LIMIT, "the names of %zu files are more than %d MiB", count,
			       PARCEL_MANIFEST_BYTES_MAX >> 20);
	return parcel_parse(manifest.data, manifest.bytes, out, err);
}

void parcel_fini(struct parcel *parcel)
{
	free(parcel->entries);
	arena_fini(&parcel->arena);
	*parcel = (struct parcel){ 0 };
}

/* --- the stream ----------------------------------------------------------------------------------------- */

const struct parcel_entry *parcel_at(const struct parcel *parcel, uint64_t offset)
{
	size_t low = 0, high = parcel->count;

	/* The last one that begins at or before `offset`: empty ones begin where the next one does. */
	while (low < high) {
		size_t middle = (low + high) / 2;

		if (parcel->entries[middle].offset <= offset)
			low = middle + 1;
		else
			high = middle;
	}
	if (low == 0 || offset - parcel->entries[low - 1].offset >= parcel->entries[low - 1].bytes)
		return NULL;
	return &parcel->entries[low - 1];
}

void parcel_entry_digest(const struct parcel *parcel, const char *name, char digest[DIGEST_HEX_BYTES])
{
	struct digest sum;
	uint8_t bytes[DIGEST_BYTES];
	char hex[DIGEST_HEX_BYTES], size[24];

	if (parcel->count == 1 && parcel->files == 1 && strcmp(parcel->entries[0].path, name) == 0) {
		digest_hex(parcel->entries[0].digest, digest);
		return;
	}
	digest_init(&sum);
	for (size_t i = 0; i < parcel->count; i++) {
		const struct parcel_entry *entry = &parcel->entries[i];

		if (entry->type == PARCEL_FOLDER)
			continue;
		hex[0] = '\0';
		if (entry->type == PARCEL_FILE)
			digest_hex(entry->digest, hex);
		else
			digest_add(&sum, entry->target, strlen(entry->target));
		digest_add(&sum, entry->path, strlen(entry->path) + 1);
		digest_add(&sum, size, (size_t)snprintf(size, sizeof size, "%" PRIu64, entry->bytes) + 1);
		digest_add(&sum, hex, strlen(hex));
		digest_add(&sum, "\n", 1);
	}
	digest_end(&sum, bytes);
	digest_hex(bytes, digest);
}

void parcel_put_head(const struct parcel *parcel, uint8_t head[PARCEL_HEAD_BYTES])
{
	for (int i = 0; i < PARCEL_HEAD_BYTES; i++)
		head[i] = (uint8_t)((uint64_t)parcel->manifest_bytes >> (8 * i));
}

int parcel_get_head(const uint8_t head[PARCEL_HEAD_BYTES], size_t *manifest_bytes_out, struct err *err)
{
	uint64_t bytes = 0;

	for (int i = 0; i < PARCEL_HEAD_BYTES; i++)
		bytes |= (uint64_t)head[i] << (8 * i);
	if (bytes > PARCEL_MANIFEST_BYTES_MAX)
		return err_set(err, ERR_LIMIT, "a manifest of %" PRIu64 " bytes is too large", bytes);
	*manifest_bytes_out = (size_t)bytes;
	return 0;
}
