#include "common/pack.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/mem.h"
#include "common/scope.h"

void pack_init(struct pack *pack, int dir)
{
	*pack = (struct pack){ .dir = dir };
	arena_init(&pack->arena);
}

void pack_fini(struct pack *pack)
{
	free(pack->entries);
	free(pack->left_out);
	arena_fini(&pack->arena);
}

/* --- what is to go -------------------------------------------------------------------------------------- */

static void leave_out(struct pack *pack, const char *path, const char *why)
{
	mem_grow(&pack->left_out, &pack->left_out_room, pack->left_out_count, sizeof *pack->left_out);
	pack->left_out[pack->left_out_count++] =
		(struct pack_left_out){ arena_strdup(&pack->arena, path), why };
}

static int add_entry(struct pack *pack, const struct parcel_entry *entry, struct err *err)
{
	if (pack->count >= PARCEL_ENTRIES_MAX)
		return err_set(err, ERR_LIMIT, "there are more than %d files", PARCEL_ENTRIES_MAX);
	mem_grow(&pack->entries, &pack->room, pack->count, sizeof *entry);
	pack->entries[pack->count] = *entry;
	pack->entries[pack->count++].path = arena_strdup(&pack->arena, entry->path);
	pack->bytes += entry->bytes;
	return 0;
}

static int add_link(struct pack *pack, const char *path, struct err *err)
{
	char target[PARCEL_PATH_BYTES_MAX + 1];
	ssize_t n = readlinkat(pack->dir, path, target, sizeof target);

	if (n < 0)
		return err_errno(err, "read the link %s", path);
	if (n == 0 || n == (ssize_t)sizeof target) {
		leave_out(pack, path, "its target is too long");
		return 0;
	}
	return add_entry(pack,
			 &(struct parcel_entry){ .type = PARCEL_LINK,
						 .path = path,
						 .target = arena_strndup(&pack->arena, target, (size_t)n) },
			 err);
}

/* The folders above a path; repeated ones are dropped when the parcel is made. */
static int add_parents(struct pack *pack, const char *path, struct err *err)
{
	autofree char *parent = mem_strdup(path);

	for (char *slash = strchr(parent, '/'); slash != NULL; slash = strchr(slash + 1, '/')) {
		*slash = '\0';
		if (add_entry(pack, &(struct parcel_entry){ .type = PARCEL_FOLDER, .path = parent }, err) < 0)
			return err->code;
		*slash = '/';
	}
	return 0;
}

static int add_one(struct pack *pack, const char *path, bool follow, struct err *err);

/* All names in a folder; `path` is "" for the pack's own. */
static int add_names(struct pack *pack, const char *path, struct err *err)
{
	int fd = openat(pack->dir, path[0] == '\0' ? "." : path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	DIR *folder = fd < 0 ? NULL : fdopendir(fd);
	int rc = 0;

	if (folder == NULL) {
		rc = err_errno(err, "read the folder %s", path[0] == '\0' ? "." : path);
		if (fd >= 0)
			close(fd);
		return rc;
	}
	for (struct dirent *found; rc == 0 && (found = readdir(folder)) != NULL;) {
		char *inner;

		if (strcmp(found->d_name, ".") == 0 || strcmp(found->d_name, "..") == 0)
			continue;
		inner = path[0] == '\0' ? mem_strdup(found->d_name)
					: mem_printf("%s/%s", path, found->d_name);
		if (pack->skip == NULL || !pack->skip(pack->context, inner))
			rc = add_one(pack, inner, false, err);
		free(inner);
	}
	closedir(folder);
	return rc;
}

static int add_one(struct pack *pack, const char *path, bool follow, struct err *err)
{
	struct parcel_entry entry = { .path = path };
	struct stat st;

	if (!parcel_path_valid(path)) {
		leave_out(pack, path, "its path is too long or too deep");
		return 0;
	}
	if (fstatat(pack->dir, path, &st, follow ? 0 : AT_SYMLINK_NOFOLLOW) < 0)
		return err_errno(err, "%s", path);
	if (S_ISLNK(st.st_mode))
		return add_link(pack, path, err);
	if (S_ISDIR(st.st_mode)) {
		entry.type = PARCEL_FOLDER;
		return add_entry(pack, &entry, err) < 0 ? err->code : add_names(pack, path, err);
	}
	if (!S_ISREG(st.st_mode)) {
		leave_out(pack, path, "it is neither a file nor a folder");
		return 0;
	}
	entry.type = PARCEL_FILE;
	entry.executable = (st.st_mode & S_IXUSR) != 0;
	entry.bytes = (uint64_t)st.st_size;
	return add_entry(pack, &entry, err);
}

int pack_add(struct pack *pack, const char *path, bool follow, struct err *err)
{
	return add_parents(pack, path, err) < 0 ? err->code : add_one(pack, path, follow, err);
}

int pack_add_all(struct pack *pack, struct err *err)
{
	return add_names(pack, "", err);
}

/* --- its manifest --------------------------------------------------------------------------------------- */

/* Not through a FIFO that took the place of a file: that would wait for ever. */
static int open_file(int dir, const char *path, struct err *err)
{
	int fd = openat(dir, path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
	struct stat st;

	if (fd < 0)
		return err_errno(err, "open %s", path);
	if (fstat(fd, &st) == 0 && S_ISREG(st.st_mode))
		return fd;
	close(fd);
	return err_set(err, ERR_BUSY, "%s is no file any more", path);
}

static int read_digest(int dir, struct parcel_entry *entry, struct err *err)
{
	autoclose int fd = open_file(dir, entry->path, err);

	if (fd < 0)
		return fd;
	posix_fadvise(fd, 0, 0, POSIX_FADV_SEQUENTIAL);
	if (digest_fd(fd, entry->digest, &entry->bytes) < 0)
		return err_errno(err, "read %s", entry->path);
	return 0;
}

int pack_seal(struct pack *pack, struct parcel *out, struct err *err)
{
	autofree bool *left_out = mem_array(pack->count, sizeof *left_out);
	int rc;

	for (size_t i = 0; i < pack->count; i++) {
		if (pack->entries[i].type == PARCEL_FILE &&
		    read_digest(pack->dir, &pack->entries[i], err) < 0)
			return err->code;
	}
	rc = parcel_make(pack->entries, pack->count, left_out, out, err);
	for (size_t i = 0; rc == 0 && i < pack->count; i++) {
		if (left_out[i])
			leave_out(pack, pack->entries[i].path,
				  arena_printf(&pack->arena, "it is a link that leads out of the folder, to %s",
					       pack->entries[i].target));
	}
	return rc;
}

/* --- its bytes ------------------------------------------------------------------------------------------ */

void pack_reader_init(struct pack_reader *reader, const struct parcel *parcel, int dir)
{
	*reader = (struct pack_reader){ .parcel = parcel, .dir = dir, .fd = -1 };
}

void pack_reader_fini(struct pack_reader *reader)
{
	if (reader->fd >= 0)
		close(reader->fd);
	reader->fd = -1;
	reader->entry = NULL;
}

static int go_to(struct pack_reader *reader, const struct parcel_entry *entry, struct err *err)
{
	struct stat st;

	if (reader->entry == entry)
		return 0;
	pack_reader_fini(reader);
	reader->fd = open_file(reader->dir, entry->path, err);
	if (reader->fd < 0)
		return reader->fd;
	if (fstat(reader->fd, &st) == 0 && (uint64_t)st.st_size != entry->bytes)
		return err_set(err, ERR_BUSY, "%s has changed: it has %" PRIu64 " bytes, and had %" PRIu64,
			       entry->path, (uint64_t)st.st_size, entry->bytes);
	posix_fadvise(reader->fd, 0, 0, POSIX_FADV_SEQUENTIAL);
	reader->entry = entry;
	return 0;
}

/* Head and manifest are in memory. */
static size_t read_manifest(const struct parcel *parcel, uint64_t offset, uint8_t *bytes, size_t n)
{
	uint8_t head[PARCEL_HEAD_BYTES];
	const uint8_t *from;
	size_t left;

	if (offset < PARCEL_HEAD_BYTES) {
		parcel_put_head(parcel, head);
		from = head + offset;
		left = PARCEL_HEAD_BYTES - (size_t)offset;
	} else {
		from = parcel->manifest + (offset - PARCEL_HEAD_BYTES);
		left = parcel->manifest_bytes - (size_t)(offset - PARCEL_HEAD_BYTES);
	}
	n = n < left ? n : left;
	memcpy(bytes, from, n);
	return n;
}

static ssize_t read_file(struct pack_reader *reader, uint64_t offset, uint8_t *bytes, size_t n,
			 struct err *err)
{
	const struct parcel_entry *entry = parcel_at(reader->parcel, offset);
	uint64_t at, left;
	ssize_t done;

	if (entry == NULL)
		return 0;
	at = offset - entry->offset;
	left = entry->bytes - at;
	if (go_to(reader, entry, err) < 0)
		return err->code;
	do {
		done = pread(reader->fd, bytes, n < left ? n : (size_t)left, (off_t)at);
	} while (done < 0 && errno == EINTR);
	if (done < 0)
		return err_errno(err, "read %s", entry->path);
	if (done == 0)
		return err_set(err, ERR_BUSY, "%s is shorter than it was", entry->path);
	return done;
}

ssize_t pack_read(struct pack_reader *reader, uint64_t offset, void *bytes, size_t n, struct err *err)
{
	size_t done = 0;

	/* Small files fill a piece together. */
	while (done < n) {
		uint8_t *at = (uint8_t *)bytes + done;
		ssize_t more;

		if (offset < PARCEL_HEAD_BYTES + reader->parcel->manifest_bytes)
			more = (ssize_t)read_manifest(reader->parcel, offset, at, n - done);
		else
			more = read_file(reader, offset, at, n - done, err);
		if (more < 0)
			return more;
		if (more == 0)
			break;
		done += (size_t)more;
		offset += (size_t)more;
	}
	return (ssize_t)done;
}

int pack_file(struct pack_reader *reader, uint64_t offset, size_t n, off_t *at_out)
{
	bool in_manifest = offset < PARCEL_HEAD_BYTES + reader->parcel->manifest_bytes;
	const struct parcel_entry *entry = in_manifest ? NULL : parcel_at(reader->parcel, offset);

	if (entry == NULL || n > entry->offset + entry->bytes - offset || go_to(reader, entry, NULL) < 0)
		return -1;
	*at_out = (off_t)(offset - entry->offset);
	return fcntl(reader->fd, F_DUPFD_CLOEXEC, 0);
}
