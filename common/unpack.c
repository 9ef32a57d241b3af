#include "common/unpack.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/mem.h"
#include "common/scope.h"

enum { PIECE_BYTES = 256 * 1024, FILE_MODE = 0644, PROGRAM_MODE = 0755, FOLDER_MODE = 0755 };

void unpack_init(struct unpack *unpack, int dir, const char *digest)
{
	*unpack = (struct unpack){ .dir = dir, .fd = -1 };
	if (digest != NULL)
		memcpy(unpack->digest, digest, sizeof unpack->digest);
}

void unpack_fini(struct unpack *unpack)
{
	if (unpack->fd >= 0)
		close(unpack->fd);
	unpack->fd = -1;
	buf_fini(&unpack->front);
	if (unpack->open)
		parcel_fini(&unpack->parcel);
	unpack->open = false;
}

/* --- the manifest --------------------------------------------------------------------------------------- */

static int read_manifest(struct unpack *unpack, struct err *err)
{
	if (parcel_parse(unpack->front.data + PARCEL_HEAD_BYTES, unpack->front.bytes - PARCEL_HEAD_BYTES,
			 &unpack->parcel, err) < 0)
		return err_wrap(err, "a parcel's manifest");
	unpack->open = true;
	buf_fini(&unpack->front);
	if (unpack->digest[0] != '\0' && strcmp(unpack->digest, unpack->parcel.digest) != 0)
		return err_set(err, ERR_CORRUPT, "the parcel is %.12s, expected was %.12s",
			       unpack->parcel.digest, unpack->digest);
	return 0;
}

/* Fills the front up to `want` bytes of it: true when it has them. */
static bool fill_front(struct unpack *unpack, size_t want, const uint8_t *bytes, size_t n, size_t *used)
{
	size_t missing = want > unpack->front.bytes ? want - unpack->front.bytes : 0;
	size_t part = missing < n - *used ? missing : n - *used;

	buf_append(&unpack->front, bytes + *used, part);
	*used += part;
	return part == missing;
}

/* How many of `n` bytes belong to the front. */
static int feed_front(struct unpack *unpack, const uint8_t *bytes, size_t n, size_t *used_out,
		      struct err *err)
{
	size_t manifest_bytes;

	*used_out = 0;
	if (!fill_front(unpack, PARCEL_HEAD_BYTES, bytes, n, used_out))
		return 0;
	if (parcel_get_head(unpack->front.data, &manifest_bytes, err) < 0)
		return err->code;
	if (!fill_front(unpack, PARCEL_HEAD_BYTES + manifest_bytes, bytes, n, used_out))
		return 0;
	return read_manifest(unpack, err);
}

/* --- files ---------------------------------------------------------------------------------------------- */

static int end_file(struct unpack *unpack, const struct parcel_entry *entry, struct err *err)
{
	uint8_t digest[DIGEST_BYTES];

	digest_end(&unpack->sum, digest);
	if (memcmp(digest, entry->digest, sizeof digest) != 0)
		return err_set(err, ERR_CORRUPT, "%s is not what the manifest says", entry->path);
	if (unpack->fd >= 0 && close(take_fd(unpack->fd)) < 0)
		return err_errno(err, "write %s", entry->path);
	unpack->at++;
	return 0;
}

static int begin_file(struct unpack *unpack, const struct parcel_entry *entry, struct err *err)
{
	digest_init(&unpack->sum);
	unpack->left = entry->bytes;
	if (unpack->dir >= 0) {
		unpack->fd = openat(unpack->dir, entry->path,
				    O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW,
				    entry->executable ? PROGRAM_MODE : FILE_MODE);
		if (unpack->fd < 0)
			return err_errno(err, "make %s", entry->path);
	}
	return entry->bytes == 0 ? end_file(unpack, entry, err) : 0;
}

/* Goes on to the next file that has bytes, making what stands before it. Links come last: see unpack_end. */
static int advance(struct unpack *unpack, struct err *err)
{
	while (unpack->at < unpack->parcel.count && unpack->left == 0) {
		const struct parcel_entry *entry = &unpack->parcel.entries[unpack->at];

		if (entry->type == PARCEL_FILE) {
			if (begin_file(unpack, entry, err) < 0)
				return err->code;
			continue;
		}
		if (entry->type == PARCEL_FOLDER && unpack->dir >= 0 &&
		    mkdirat(unpack->dir, entry->path, FOLDER_MODE) < 0)
			return err_errno(err, "make the folder %s", entry->path);
		unpack->at++;
	}
	return 0;
}

static int write_all(int fd, const uint8_t *bytes, size_t n)
{
	while (n > 0) {
		ssize_t done = write(fd, bytes, n);

		if (done < 0 && errno == EINTR)
			continue;
		if (done < 0)
			return -1;
		bytes += done;
		n -= (size_t)done;
	}
	return 0;
}

static int feed_file(struct unpack *unpack, const uint8_t *bytes, size_t n, struct err *err)
{
	const struct parcel_entry *entry = &unpack->parcel.entries[unpack->at];

	digest_add(&unpack->sum, bytes, n);
	if (unpack->fd >= 0 && write_all(unpack->fd, bytes, n) < 0)
		return err_errno(err, "write %s", entry->path);
	unpack->left -= n;
	if (unpack->left > 0)
		return 0;
	return end_file(unpack, entry, err) < 0 ? err->code : advance(unpack, err);
}

int unpack_feed(struct unpack *unpack, const void *bytes, size_t n, struct err *err)
{
	const uint8_t *at = bytes;
	size_t used;

	if (!unpack->open) {
		if (feed_front(unpack, at, n, &used, err) < 0)
			return err->code;
		at += used;
		n -= used;
		if (unpack->open && advance(unpack, err) < 0)
			return err->code;
	}
	while (n > 0) {
		if (unpack->left == 0)
			return err_set(err, ERR_CORRUPT, "there are more bytes than the manifest says");
		used = n < unpack->left ? n : (size_t)unpack->left;
		if (feed_file(unpack, at, used, err) < 0)
			return err->code;
		at += used;
		n -= used;
	}
	return 0;
}

/* Only now, so that no file was ever made through one. */
static int make_links(struct unpack *unpack, struct err *err)
{
	for (size_t i = 0; i < unpack->parcel.count; i++) {
		const struct parcel_entry *entry = &unpack->parcel.entries[i];

		if (entry->type == PARCEL_LINK && symlinkat(entry->target, unpack->dir, entry->path) < 0)
			return err_errno(err, "make the link %s", entry->path);
	}
	return 0;
}

int unpack_end(struct unpack *unpack, struct err *err)
{
	if (!unpack->open)
		return err_set(err, ERR_CORRUPT, "the parcel ends within its manifest");
	if (unpack->at < unpack->parcel.count)
		return err_set(err, ERR_CORRUPT, "the parcel ends within %s",
			       unpack->parcel.entries[unpack->at].path);
	return unpack->dir >= 0 ? make_links(unpack, err) : 0;
}

/* --- of a stored parcel --------------------------------------------------------------------------------- */

int unpack_file(int fd, int dir, const char *digest, struct err *err)
{
	autofree uint8_t *piece = mem_alloc(PIECE_BYTES);
	struct unpack unpack;
	ssize_t n;
	int rc = 0;

	posix_fadvise(fd, 0, 0, POSIX_FADV_SEQUENTIAL);
	unpack_init(&unpack, dir, digest);
	while (rc == 0 && (n = read(fd, piece, PIECE_BYTES)) != 0) {
		if (n > 0)
			rc = unpack_feed(&unpack, piece, (size_t)n, err);
		else if (errno != EINTR)
			rc = err_errno(err, "read the parcel");
	}
	if (rc == 0)
		rc = unpack_end(&unpack, err);
	unpack_fini(&unpack);
	return rc;
}

static int read_exactly(int fd, uint64_t offset, void *bytes, size_t n, struct err *err)
{
	for (size_t done = 0; done < n;) {
		ssize_t more = pread(fd, (uint8_t *)bytes + done, n - done, (off_t)(offset + done));

		if (more < 0 && errno == EINTR)
			continue;
		if (more < 0)
			return err_errno(err, "read the parcel");
		if (more == 0)
			return err_set(err, ERR_CORRUPT, "the parcel ends within its manifest");
		done += (size_t)more;
	}
	return 0;
}

int unpack_manifest(int fd, struct parcel *out, struct err *err)
{
	uint8_t head[PARCEL_HEAD_BYTES];
	autofree uint8_t *manifest = NULL;
	size_t n;
	struct stat st;

	if (read_exactly(fd, 0, head, sizeof head, err) < 0 || parcel_get_head(head, &n, err) < 0)
		return err->code;
	manifest = mem_alloc(n);
	if (read_exactly(fd, sizeof head, manifest, n, err) < 0 || parcel_parse(manifest, n, out, err) < 0)
		return err->code;
	if (fstat(fd, &st) == 0 && (uint64_t)st.st_size == out->bytes)
		return 0;
	parcel_fini(out);
	return err_set(err, ERR_CORRUPT, "the parcel has not the size that its manifest says");
}
