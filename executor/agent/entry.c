#include "executor/agent/entry.h"

#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/mem.h"
#include "common/scope.h"
#include "executor/agent/files.h"

static const char keras_weights[] = "latest.weights.h5";
static const char keras_metadata[] = "training_metadata.json";

/* --- names ---------------------------------------------------------------------------------------------- */

static bool ends_in(const char *name, const char *end)
{
	size_t n = strlen(name), m = strlen(end);

	return n > m && strcmp(name + n - m, end) == 0;
}

/* Unfinished by its name, or a file that trainers keep beside their checkpoints. */
static bool never_counts(const char *name)
{
	static const char *const ends[] = { ".tmp", ".partial", ".incomplete", "_temp" };
	static const char *const parts[] = { ".tmp.", "orbax-checkpoint-tmp" };
	static const char *const whole[] = { "checkpoint", "_latest.weights.h5", "_training_metadata.json" };

	if (name[0] == '\0' || name[0] == '.' || strncmp(name, "tmp-", 4) == 0)
		return true;
	for (size_t i = 0; i < COUNT_OF(ends); i++)
		if (ends_in(name, ends[i]))
			return true;
	for (size_t i = 0; i < COUNT_OF(parts); i++)
		if (strstr(name, parts[i]) != NULL)
			return true;
	for (size_t i = 0; i < COUNT_OF(whole); i++)
		if (strcmp(name, whole[i]) == 0)
			return true;
	return false;
}

/* The length of the prefix before ".data-00000-of-00002"; 0 when it is no such name. */
static size_t data_part(const char *name, unsigned *of_out)
{
	const char *at = strstr(name, ".data-");
	unsigned part, of;
	int n = 0;

	if (at == NULL || sscanf(at, ".data-%5u-of-%5u%n", &part, &of, &n) != 2 || at[n] != '\0')
		return 0;
	if (of_out != NULL)
		*of_out = of;
	return (size_t)(at - name);
}

/* ".index" is an ending of other programs too; TensorFlow's prefix says "ckpt", last or before a number. */
static size_t index_part(const char *name)
{
	size_t n = strlen(name), stem;

	if (!ends_in(name, ".index"))
		return 0;
	n -= strlen(".index");
	stem = n;
	while (stem > 0 && isdigit((unsigned char)name[stem - 1]))
		stem--;
	if (stem > 0 && stem < n && name[stem - 1] == '-')
		stem--;
	return stem >= 4 && strncmp(name + stem - 4, "ckpt", 4) == 0 ? n : 0;
}

enum entry_kind entry_of(const char *name, char entry[ENTRY_NAME_BYTES])
{
	size_t prefix = data_part(name, NULL);

	if (never_counts(name) || strlen(name) >= ENTRY_NAME_BYTES || strchr(name, '/') != NULL)
		return ENTRY_NONE;
	if (prefix == 0)
		prefix = index_part(name);
	if (prefix > 0) {
		snprintf(entry, ENTRY_NAME_BYTES, "%.*s", (int)prefix, name);
		return ENTRY_TENSORFLOW;
	}
	if (strcmp(name, keras_weights) == 0 || strcmp(name, keras_metadata) == 0) {
		snprintf(entry, ENTRY_NAME_BYTES, "%s", keras_weights);
		return ENTRY_KERAS;
	}
	snprintf(entry, ENTRY_NAME_BYTES, "%s", name);
	return ENTRY_SINGLE;
}

static int64_t number_at(const char *digits)
{
	long long value;

	errno = 0;
	value = strtoll(digits, NULL, 10);
	return errno == 0 ? value : -1;
}

/* Behind the word "step", with at most one sign between. */
static const char *after_step(const char *stem)
{
	for (const char *at = stem; *at != '\0'; at++) {
		const char *digits = at + 4;

		if (strncasecmp(at, "step", 4) != 0)
			continue;
		digits += *digits == 's'; /* steps */
		digits += *digits != '\0' && strchr("=-_:", *digits) != NULL;
		if (isdigit((unsigned char)*digits))
			return digits;
	}
	return NULL;
}

int64_t entry_step(const char *name)
{
	char stem[ENTRY_NAME_BYTES];
	const char *found, *last = NULL;
	char *dot, *version;

	snprintf(stem, sizeof stem, "%s", name);
	/* ".h5" and "-v1" hold digits that are no step. */
	while ((dot = strrchr(stem, '.')) != NULL &&
	       strpbrk(dot, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"))
		*dot = '\0';
	version = strrchr(stem, '-');
	if (version != NULL && version[1] == 'v' && isdigit((unsigned char)version[2]))
		*version = '\0';
	found = after_step(stem);
	if (found != NULL)
		return number_at(found);
	for (const char *at = stem; *at != '\0'; at++)
		if (isdigit((unsigned char)*at) && (at == stem || !isdigit((unsigned char)at[-1])))
			last = at;
	return last == NULL ? -1 : number_at(last);
}

/* --- files ---------------------------------------------------------------------------------------------- */

struct listing {
	struct arena *arena;
	struct entry_file *items;
	size_t count;
	size_t room;
	struct err *err;
};

static int compare_files(const void *a, const void *b)
{
	return strcmp(((const struct entry_file *)a)->path, ((const struct entry_file *)b)->path);
}

static int add_file(struct listing *listing, const char *path, const struct stat *st)
{
	if (listing->count >= ENTRY_FILES_MAX)
		return err_set(listing->err, ERR_LIMIT, "it has more than %d files", ENTRY_FILES_MAX);
	mem_grow(&listing->items, &listing->room, listing->count, sizeof *listing->items);
	listing->items[listing->count++] = (struct entry_file){
		.path = arena_strdup(listing->arena, path),
		.type = S_ISREG(st->st_mode)   ? 'f'
			: S_ISLNK(st->st_mode) ? 'l'
					       : 'o',
		.bytes = S_ISREG(st->st_mode) ? (uint64_t)st->st_size : 0,
		.mtime_ns = (int64_t)st->st_mtim.tv_sec * 1000000000 + st->st_mtim.tv_nsec,
		.inode = st->st_ino,
	};
	return 0;
}

static int add_tree(struct listing *listing, int dir, const char *name, const char *path, int depth)
{
	int fd = openat(dir, name, O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);
	DIR *folder = fd < 0 ? NULL : fdopendir(fd);
	int rc = 0;

	if (folder == NULL) {
		rc = err_errno(listing->err, "open %s", path);
		if (fd >= 0)
			close(fd);
		return rc;
	}
	if (depth > ENTRY_DEPTH_MAX)
		rc = err_set(listing->err, ERR_LIMIT, "its folders are nested more than %d deep",
			     ENTRY_DEPTH_MAX);
	for (struct dirent *entry; rc == 0 && (entry = readdir(folder)) != NULL;) {
		char *inner;
		struct stat st;

		if (strcmp(entry->d_name, ".") == 0 || strcmp(entry->d_name, "..") == 0 ||
		    fstatat(fd, entry->d_name, &st, AT_SYMLINK_NOFOLLOW) < 0)
			continue;
		inner = mem_printf("%s/%s", path, entry->d_name);
		rc = S_ISDIR(st.st_mode) ? add_tree(listing, fd, entry->d_name, inner, depth + 1)
					 : add_file(listing, inner, &st);
		free(inner);
	}
	closedir(folder);
	return rc;
}

/* Every file of the folder that belongs to a group. */
static int add_group(struct listing *listing, int dir, const char *entry)
{
	int fd = openat(dir, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	DIR *folder = fd < 0 ? NULL : fdopendir(fd);
	int rc = 0;

	if (folder == NULL) {
		rc = err_errno(listing->err, "open the checkpoint folder");
		if (fd >= 0)
			close(fd);
		return rc;
	}
	for (struct dirent *found; rc == 0 && (found = readdir(folder)) != NULL;) {
		char of[ENTRY_NAME_BYTES];
		struct stat st;

		if (entry_of(found->d_name, of) > ENTRY_SINGLE && strcmp(of, entry) == 0 &&
		    fstatat(dir, found->d_name, &st, AT_SYMLINK_NOFOLLOW) == 0)
			rc = add_file(listing, found->d_name, &st);
	}
	closedir(folder);
	return rc;
}

int entry_list(int dir, const char *entry, struct arena *arena, struct entry_files *out, struct err *err)
{
	struct listing listing = { .arena = arena, .err = err };
	struct stat st;
	bool is_there = fstatat(dir, entry, &st, AT_SYMLINK_NOFOLLOW) == 0;
	int rc;

	if (is_there && S_ISDIR(st.st_mode))
		rc = add_tree(&listing, dir, entry, entry, 1);
	else if (is_there && strcmp(entry, keras_weights) != 0)
		rc = add_file(&listing, entry, &st);
	else
		rc = add_group(&listing, dir, entry);
	if (rc == 0 && listing.count == 0 && !is_there)
		rc = err_set(err, ERR_NOT_FOUND, "is gone");
	if (rc == 0) {
		*out = (struct entry_files){ .count = listing.count,
					     .is_folder = is_there && S_ISDIR(st.st_mode) };
		if (listing.count > 0) {
			qsort(listing.items, listing.count, sizeof *listing.items, compare_files);
			out->items = arena_memdup(arena, listing.items,
						  listing.count * sizeof *listing.items);
		}
	}
	free(listing.items);
	return rc;
}

static uint64_t mix(uint64_t hash, const void *bytes, size_t n)
{
	const uint8_t *at = bytes;

	for (size_t i = 0; i < n; i++)
		hash = (hash ^ at[i]) * 0x100000001b3ULL; /* FNV-1a */
	return hash;
}

struct entry_signature entry_sign(int dir, const char *entry)
{
	struct entry_signature signature = { 0 };
	struct entry_files files;
	struct arena arena;

	arena_init(&arena);
	if (entry_list(dir, entry, &arena, &files, NULL) == 0) {
		signature.hash = 0xcbf29ce484222325ULL;
		signature.is_folder = files.is_folder;
		for (size_t i = 0; i < files.count; i++) {
			const struct entry_file *file = &files.items[i];

			signature.hash = mix(signature.hash, file->path, strlen(file->path) + 1);
			signature.hash = mix(signature.hash, &file->bytes, sizeof file->bytes);
			signature.hash = mix(signature.hash, &file->mtime_ns, sizeof file->mtime_ns);
			signature.hash = mix(signature.hash, &file->inode, sizeof file->inode);
			signature.bytes += file->bytes;
			if (file->mtime_ns > signature.mtime_ns)
				signature.mtime_ns = file->mtime_ns;
		}
		signature.hash |= 1; /* never 0 */
	}
	arena_fini(&arena);
	return signature;
}

static int digest_file(int dir, const struct entry_file *file, uint8_t out[DIGEST_BYTES], uint64_t *bytes_out,
		       struct err *err)
{
	autoclose int fd = openat(dir, file->path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);

	posix_fadvise(fd, 0, 0, POSIX_FADV_SEQUENTIAL);
	if (fd < 0 || digest_fd(fd, out, bytes_out) < 0)
		return err_errno(err, "read %s", file->path);
	return 0;
}

/* One line of a folder's digest; a link counts by where it points to. */
static int add_line(int dir, const struct entry_file *file, struct digest *digest, uint64_t *total,
		    struct err *err)
{
	uint8_t bytes[DIGEST_BYTES];
	char hex[DIGEST_HEX_BYTES] = "", size[24], target[4096];
	uint64_t n = 0;

	if (file->type == 'f') {
		if (digest_file(dir, file, bytes, &n, err) < 0)
			return err == NULL ? ERR_IO : err->code;
		digest_hex(bytes, hex);
	} else if (file->type == 'l') {
		ssize_t length = readlinkat(dir, file->path, target, sizeof target);

		digest_add(digest, target, length > 0 ? (size_t)length : 0);
	}
	*total += n;
	digest_add(digest, file->path, strlen(file->path) + 1);
	digest_add(digest, size, (size_t)snprintf(size, sizeof size, "%" PRIu64, n) + 1);
	digest_add(digest, hex, strlen(hex));
	digest_add(digest, "\n", 1);
	return 0;
}

int entry_digest(int dir, const char *entry, struct entry_digest *out, struct err *err)
{
	struct entry_files files;
	uint8_t bytes[DIGEST_BYTES];
	struct arena arena;
	uint64_t total = 0;
	int rc;

	arena_init(&arena);
	rc = entry_list(dir, entry, &arena, &files, err);
	if (rc == 0 && !files.is_folder && files.count == 1 && strcmp(files.items[0].path, entry) == 0) {
		rc = files.items[0].type == 'f' ? digest_file(dir, &files.items[0], bytes, &total, err)
						: err_set(err, ERR_INVALID, "is no file");
	} else if (rc == 0) {
		struct digest digest;

		digest_init(&digest);
		for (size_t i = 0; rc == 0 && i < files.count; i++)
			rc = add_line(dir, &files.items[i], &digest, &total, err);
		digest_end(&digest, bytes);
	}
	arena_fini(&arena);
	if (rc < 0)
		return rc;
	digest_hex(bytes, out->hex);
	out->bytes = total;
	return 0;
}

int entry_remove(int dir, const char *entry, struct err *err)
{
	struct entry_files files;
	struct arena arena;
	int rc;

	arena_init(&arena);
	rc = entry_list(dir, entry, &arena, &files, err);
	if (rc == 0 && files.is_folder) {
		/* Half removed it must not look like a checkpoint. */
		char *going = arena_printf(&arena, ".gone-%s", entry);

		if (renameat(dir, entry, dir, going) < 0 || files_remove(dir, going) < 0)
			rc = err_errno(err, "remove");
	} else if (rc == 0) {
		for (size_t i = 0; i < files.count; i++)
			if (unlinkat(dir, files.items[i].path, 0) < 0 && errno != ENOENT)
				rc = err_errno(err, "remove %s", files.items[i].path);
	}
	arena_fini(&arena);
	return rc;
}
