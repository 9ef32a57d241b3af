/*
 * parcel.h - files under way: the manifest of a set of files, and where each stands in its stream
 *
 *   stream    length of the manifest (u64, little-endian) manifest contents*
 *   manifest  "stoker-parcel 1" LF entry*           contents: the bytes of each file, in the manifest's order
 *   entry     "d " path NUL                          a folder; the one an entry lies in always comes before it
 *             "f " bytes " " digest " " path NUL     a file ("x ": one that may be executed); SHA-256, in hex
 *             "l " path NUL target NUL               a symbolic link
 *
 * Entries are sorted by path, so the same files make the same manifest, and its SHA-256 is the name of their
 * contents. A stream can be read from any byte on, for a transfer that was cut. pack.h makes manifests and
 * streams, unpack.h makes files of them.
 *
 * A manifest comes from another machine: paths that are absolute, lead out, repeat, or lie in no folder, and
 * links that lead out of the set by whatever detour, are refused here, once, for everybody.
 *
 * Ownership: a parcel owns all it points to.
 * Errors:    ERR_CORRUPT: no manifest. ERR_LIMIT: too large.
 */
#ifndef COMMON_PARCEL_H
#define COMMON_PARCEL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/arena.h"
#include "common/digest.h"
#include "common/err.h"

enum {
	PARCEL_HEAD_BYTES = 8,
	PARCEL_MANIFEST_BYTES_MAX = 32 * 1024 * 1024,
	PARCEL_ENTRIES_MAX = 200000,
	PARCEL_PATH_BYTES_MAX = 3000, /* so that a path of ours fits before it */
	PARCEL_DEPTH_MAX = 48,
};
#define PARCEL_BYTES_MAX (UINT64_C(1) << 50)

enum parcel_type { PARCEL_FOLDER, PARCEL_FILE, PARCEL_LINK };

struct parcel_entry {
	enum parcel_type type;
	bool executable;
	const char *path;
	const char *target; /* of a link */
	uint64_t bytes;	    /* of a file; 0 for the others */
	uint8_t digest[DIGEST_BYTES];
	uint64_t offset; /* of its first byte in the stream */
};

struct parcel {
	struct arena arena;
	struct parcel_entry *entries; /* sorted by path */
	size_t count;
	size_t files;
	const uint8_t *manifest;
	size_t manifest_bytes;
	char digest[DIGEST_HEX_BYTES]; /* of the manifest */
	uint64_t bytes;		       /* of the whole stream */
};

/* Takes a manifest apart; it is copied. On failure there is nothing to release. */
int parcel_parse(const void *manifest, size_t n, struct parcel *out, struct err *err);

/*
 * Makes one of entries in any order (their texts are copied; one that is given twice counts once). With
 * `left_out` links that lead out are left out and marked there, by the entries' order as given; else they are
 * an error.
 */
int parcel_make(const struct parcel_entry *entries, size_t count, bool *left_out, struct parcel *out,
		struct err *err);

void parcel_fini(struct parcel *parcel);

/* The entry with that path, or NULL. */
const struct parcel_entry *parcel_find(const struct parcel *parcel, const char *path);

/* The file that byte `offset` of the stream belongs to; NULL: the manifest, or behind the end. */
const struct parcel_entry *parcel_at(const struct parcel *parcel, uint64_t offset);

/*
 * What executor/agent/entry.h calls the digest of the checkpoint `name`, of a parcel that holds nothing else:
 * that of the file, or of the list of its files.
 */
void parcel_entry_digest(const struct parcel *parcel, const char *name, char digest[DIGEST_HEX_BYTES]);

/* The length before the manifest, both ways; a length that is too large is ERR_LIMIT. */
void parcel_put_head(const struct parcel *parcel, uint8_t head[PARCEL_HEAD_BYTES]);
int parcel_get_head(const uint8_t head[PARCEL_HEAD_BYTES], size_t *manifest_bytes_out, struct err *err);

/* Whether `text` is a digest as it stands in names: 64 lower-case hexadecimal digits. */
bool parcel_digest_valid(const char *text);

/* Whether `path` may stand in a parcel: relative, without empty parts, "." and "..", within the limits. */
bool parcel_path_valid(const char *path);

#endif
