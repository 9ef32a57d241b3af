/*
 * pack.h - files of a folder made into a parcel: what is to go, its manifest, its bytes from any offset on
 *
 * Paths are added one by one or as whole trees; nothing but names and sizes is read until pack_seal, which
 * reads every file for its digest. The bytes are then read where the files lie (pack_read): whoever takes
 * them in verifies them, so a file that changed meanwhile is noticed and never mixed.
 *
 * Links are kept when they stay inside the folder. Those that lead out, and what is neither file, folder nor
 * link, are left out and told (`left_out`). Of the modes only that of executing is kept.
 *
 * Ownership: `dir` stays the caller's, and open as long as the pack or its reader is used.
 * Errors:    ERR_NOT_FOUND, ERR_DENIED, ERR_IO: with the path. ERR_LIMIT: too many, or bytes_max.
 *            ERR_BUSY: a file is not any more as the manifest says.
 */
#ifndef COMMON_PACK_H
#define COMMON_PACK_H

#include <sys/types.h>

#include "common/parcel.h"

struct pack_left_out {
	const char *path;
	const char *why;
};

struct pack {
	int dir;
	/* Asked for each name met inside a tree; true leaves it out without a word. NULL: nothing is. */
	bool (*skip)(void *context, const char *path);
	void *context;
	struct arena arena;
	struct parcel_entry *entries;
	size_t count, room;
	uint64_t bytes; /* of the files so far */
	struct pack_left_out *left_out;
	size_t left_out_count, left_out_room;
};

void pack_init(struct pack *pack, int dir);
void pack_fini(struct pack *pack);

/*
 * Adds what `path` names: a file, a link, a folder with all that is in it. The folders it lies in come along.
 * `follow`: a link stands for what it leads to.
 */
int pack_add(struct pack *pack, const char *path, bool follow, struct err *err);

/* All that is in the folder itself. */
int pack_add_all(struct pack *pack, struct err *err);

/* Reads the files and makes the manifest. The pack is of no use afterwards but for what it left out. */
int pack_seal(struct pack *pack, struct parcel *out, struct err *err);

/* Reads a sealed parcel's stream, in any order; going on where the last read ended is cheap. */
struct pack_reader {
	const struct parcel *parcel;
	int dir;
	const struct parcel_entry *entry; /* whose file is open; NULL: none */
	int fd;
};

void pack_reader_init(struct pack_reader *reader, const struct parcel *parcel, int dir);
void pack_reader_fini(struct pack_reader *reader);

/* Up to `n` bytes from `offset` on: how many, 0 at the end. */
ssize_t pack_read(struct pack_reader *reader, uint64_t offset, void *bytes, size_t n, struct err *err);

/*
 * Where `n` bytes from `offset` on lie in one file, a descriptor of it, which is the caller's, and their place in
 * it. Else -1: they are to be read, or can't be and pack_read says why.
 */
int pack_file(struct pack_reader *reader, uint64_t offset, size_t n, off_t *at_out);

#endif
