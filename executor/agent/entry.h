/*
 * entry.h - what stands in a checkpoint folder: which names count, which files are one checkpoint together
 *
 * An entry is what a step could resume from: a file, a folder, or files that a trainer keeps side by side.
 *
 *   TensorFlow  ckpt-7.index, ckpt-7.data-00000-of-00002, ...   the entry ckpt-7 (resumed from by that name)
 *   Keras       latest.weights.h5, training_metadata.json       the entry latest.weights.h5
 *
 * A signature tells whether an entry is still as it was seen, from names, sizes, times and inodes; a digest
 * tells whether it holds the same bytes. Of several files the digest is that of "<path> NUL <bytes> NUL
 * <digest> LF" for each in the order of their paths.
 *
 * `dir` is the folder's descriptor. Symbolic links at the top are no entries (last.ckpt).
 */
#ifndef EXECUTOR_AGENT_ENTRY_H
#define EXECUTOR_AGENT_ENTRY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/arena.h"
#include "common/digest.h"
#include "common/err.h"

enum entry_kind { ENTRY_NONE, ENTRY_SINGLE, ENTRY_TENSORFLOW, ENTRY_KERAS };

enum { ENTRY_NAME_BYTES = 256, ENTRY_FILES_MAX = 100000, ENTRY_DEPTH_MAX = 32 };

/* Pure: the entry that a name in the folder belongs to. ENTRY_NONE: it never counts. */
enum entry_kind entry_of(const char *name, char entry[ENTRY_NAME_BYTES]);

/* Pure: the training step that a name tells, or -1. "epoch=2-step=1500.ckpt": 1500, "epoch-0012.npz": 12. */
int64_t entry_step(const char *name);

struct entry_file {
	const char *path; /* below the folder */
	char type;	  /* 'f' file, 'l' link, 'o' other */
	uint64_t bytes;
	int64_t mtime_ns;
	uint64_t inode;
};

struct entry_files {
	struct entry_file *items; /* sorted by path */
	size_t count;
	bool is_folder;
};

/* The files of an entry; ERR_NOT_FOUND when there is none of them. */
int entry_list(int dir, const char *entry, struct arena *arena, struct entry_files *out, struct err *err);

struct entry_signature {
	uint64_t hash; /* 0: it is not there */
	uint64_t bytes;
	int64_t mtime_ns; /* newest */
	bool is_folder;
};

struct entry_signature entry_sign(int dir, const char *entry);

struct entry_digest {
	char hex[DIGEST_HEX_BYTES];
	uint64_t bytes;
};

int entry_digest(int dir, const char *entry, struct entry_digest *out, struct err *err);

/* Removes it: all of its files. ERR_NOT_FOUND when none was there. */
int entry_remove(int dir, const char *entry, struct err *err);

#endif
