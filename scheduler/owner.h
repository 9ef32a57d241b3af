/*
 * owner.h - which process drives a run, if any
 *
 * A driver holds <run dir>/owner as long as it lives (lockfile.h). The daemon holds <home>/daemon.lock, and
 * whatever is to go on and has no owner of its own is the daemon's: it takes it up as soon as its turn comes. A run that is
 * queued or running and has neither is orphaned: its steps go on, nobody collects them.
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

/* The same for who comes after one that may just have been killed: what that was making lets go of it in a moment. */
int owner_take_over(const char *home, const char *dag, uint64_t number, int *fd_out, struct err *err);

/*
 * True while a driver has it, or the daemon is there to take it; *pid_out (may be NULL) is its pid, 0 when it could
 * not be read.
 */
bool owner_is_alive(const char *home, const char *dag, uint64_t number, int64_t *pid_out);

/* True while it has an owner of its own. */
bool owner_has_own(const char *home, const char *dag, uint64_t number, int64_t *pid_out);

/* To be the daemon of a state folder, as above. ERR_BUSY names the one that is. */
int owner_take_home(const char *home, int *fd_out, struct err *err);
bool owner_daemon_is_alive(const char *home, int64_t *pid_out);

#endif
