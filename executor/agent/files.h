/*
 * files.h - small operations on files that several modules of the agent need
 *
 * `dir` is a folder's descriptor or AT_FDCWD, as for openat. Everything opened here is closed on exec, and no
 * symbolic link is followed in the last part of a path: a step may put one there.
 *
 * Errors: -1 with errno, unless said otherwise.
 */
#ifndef EXECUTOR_AGENT_FILES_H
#define EXECUTOR_AGENT_FILES_H

#include <stddef.h>
#include <stdint.h>
#include <sys/stat.h>

#include "common/buf.h"

int files_write(int fd, const void *bytes, size_t n); /* all of it */

/* Appends a regular file's bytes to `out`; one of more than `limit_bytes` is EFBIG. */
int files_read(int dir, const char *path, size_t limit_bytes, struct buf *out);

/*
 * Writes under a temporary name and renames into place; the folder and all of it is durable only if `sync`.
 */
int files_replace(int dir, const char *path, const void *bytes, size_t n, int sync);

/* Renames unless something has the new name already (EEXIST); without a race where the system can. */
int files_rename_new(int dir, const char *from, const char *to);

/* Whether what is open goes by that name. */
bool files_is(int fd, const char *path);

/* Closes every descriptor from `first` on. */
void files_close_from(int first);

/* mkdir -p, mode 0700: 1 when the last one was made, 0 when it was there. */
int files_make_folders(const char *path);

/* Removes a file, a link or a whole tree; what cannot be removed stays. 0 when it is gone. */
int files_remove(int dir, const char *path);

/* CRC-32 (IEEE 802.3), as in zip files; start with 0 and go on with the last answer. */
uint32_t files_crc32(uint32_t crc, const void *bytes, size_t n);

#endif
