/*
 * owner.h - which process drives a run, if any
 *
 * A driver holds a lock on <run dir>/owner as long as it lives; the kernel gives it back however the process
 * ends. A run that is queued or running and has no owner is orphaned: its steps go on, nobody collects them.
 *
 * The lock is one of an open file description (fcntl, F_OFD_SETLK): it is asked for without being taken, so
 * somebody who only looks never stands in the way of a driver that starts, as a shared flock would. The file
 * names its holder as "<pid> <host>", for people.
 */
#ifndef SCHEDULER_OWNER_H
#define SCHEDULER_OWNER_H

#include <stdbool.h>
#include <stdint.h>

#include "common/err.h"

/*
 * Makes the run's folder and takes the run; it is held until *fd_out is closed. ERR_BUSY when another has it.
 */
int owner_take(const char *home, const char *dag, uint64_t number, int *fd_out, struct err *err);

/* True while a driver has it; *pid_out (may be NULL) is its pid, 0 when it could not be read. */
bool owner_is_alive(const char *home, const char *dag, uint64_t number, int64_t *pid_out);

#endif
