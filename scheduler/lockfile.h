/*
 * lockfile.h - a file that a process holds for as long as it lives, and that names its holder
 *
 * The lock is one of an open file description (fcntl, F_OFD_SETLK): the kernel gives it back however the process
 * ends, and it is asked for without being taken, so somebody who only looks never stands in the way of a
 * holder that starts, as a shared flock would. The file says "<pid> <host>", for people.
 */
#ifndef SCHEDULER_LOCKFILE_H
#define SCHEDULER_LOCKFILE_H

#include <stdbool.h>
#include <stdint.h>

#include "common/err.h"

/*
 * Makes the file and takes it; it is held until *fd_out is closed. ERR_BUSY when another has it: *holder_out is its
 * pid then, 0 when it could not be read.
 */
int lockfile_take(const char *path, int *fd_out, int64_t *holder_out, struct err *err);

/*
 * Waits, for a second at most, while the holder that it names is dead: a child that was being made when that was
 * killed has its files until it runs its own program.
 */
void lockfile_await_heirs(const char *path);

/* True while somebody holds it; *holder_out (may be NULL) as above. */
bool lockfile_is_held(const char *path, int64_t *holder_out);

#endif
