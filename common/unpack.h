/*
 * unpack.h - a parcel's bytes made into files again, and every one of them verified
 *
 * Bytes are fed in order, in pieces of any size. Files are made in an empty folder that nobody else touches:
 * only when unpack_end says 0 is it whole, and then the caller renames it (or what is in it) into place.
 * Without a folder the bytes are only verified.
 *
 * Errors: ERR_CORRUPT: the bytes are not those of the manifest, or the manifest is not the one asked for.
 *         ERR_FULL and the like: of the disk. Whatever was made stays there for the caller to remove.
 */
#ifndef COMMON_UNPACK_H
#define COMMON_UNPACK_H

#include "common/buf.h"
#include "common/parcel.h"

struct unpack {
	int dir; /* -1: verify only */
	char digest[DIGEST_HEX_BYTES]; /* that the manifest must have; "": any */
	struct buf front;	       /* head and manifest, until they are whole */
	bool open;		       /* the manifest is read */
	struct parcel parcel;	       /* once open */
	size_t at;		       /* the entry that the next byte belongs to, or that is to be made next */
	uint64_t left;		       /* bytes of its file still to come */
	int fd;
	struct digest sum;
};

/* `digest` may be NULL. */
void unpack_init(struct unpack *unpack, int dir, const char *digest);
void unpack_fini(struct unpack *unpack);

int unpack_feed(struct unpack *unpack, const void *bytes, size_t n, struct err *err);

/* No more will come: 0 when all of it was there. */
int unpack_end(struct unpack *unpack, struct err *err);

/* All of the above with the bytes of a stored parcel, from where `fd` stands; `dir` and `digest` as there. */
int unpack_file(int fd, int dir, const char *digest, struct err *err);

/* The manifest of a stored parcel; its files are not looked at, but their sizes must be right. */
int unpack_manifest(int fd, struct parcel *out, struct err *err);

#endif
