/*
 * watch.h - the checkpoint folder of one attempt: what is complete, what is kept, where to resume
 *
 * An entry of the folder counts once it is complete: renamed into place, or closed by its writer and
 * unchanged for the settling time while the step lives. What is pending when the step ends counts if the step
 * ended by itself with 0 or 85 or obeyed a stop; after a crash or a kill only if its layout proves it whole
 * (layout.h). What does not count is told with the reason.
 *
 * New entries are noticed by inotify; where that is not to be had, by looking at intervals, and then "closed"
 * means that no process of the step has it open for writing. (STOKER_AGENT_NO_INOTIFY in the agent's
 * environment makes it do without.) Files are read in a helper, never here.
 *
 * What lay in a folder of the program's own before the task's first attempt is written down as its baseline,
 * and never counts as long as it stays as it was.
 *
 * Ownership: opaque; watch_free ends its helper too.
 * Units:     milliseconds of awake_ms.
 */
#ifndef EXECUTOR_AGENT_WATCH_H
#define EXECUTOR_AGENT_WATCH_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "executor/agent/spool.h"
#include "executor/protocol.h"

struct watch;

/*
 * Makes the folder and begins to notice. `task_folder` is the task's own, absolute; `spare` an empty one that
 * may be renamed to it (absolute too; "": there is none).
 */
int watch_open(const struct spec *spec, const char *task_folder, const char *spare, struct watch **watch_out,
	       struct err *err);

/*
 * For an attempt whose supervisor is gone: only watch_finish is of use then. What changed since it started
 * counts if its journal (in `attempt_dir`) does not have it yet.
 */
int watch_open_after(const struct spec *spec, const char *task_folder, int attempt_dir,
		     int64_t started_wall_ms, struct watch **watch_out, struct err *err);
void watch_free(struct watch *watch);

/* Absolute path of the folder. */
const char *watch_folder(const struct watch *watch);

/* --- before the step starts ----------------------------------------------------------------------------- */

enum watch_resume {
	WATCH_RESUME_BUSY,
	WATCH_RESUME_READY,
	WATCH_RESUME_NONE,   /* one is required and none is good */
	WATCH_RESUME_FAILED, /* it could not be found out */
};

/*
 * Begins to look for the checkpoint to resume from: READY at once when there is nothing to look at, else
 * BUSY.
 */
enum watch_resume watch_verify(struct watch *watch);

/* How that stands. With NONE and FAILED `text` says why. */
enum watch_resume watch_resume(const struct watch *watch, const char **name_out, const char **digest_out,
			       const char **text_out);

/* --- while it lives ------------------------------------------------------------------------------------- */

/* Descriptors to poll for reading, -1 where there is none. */
int watch_events_fd(const struct watch *watch);
int watch_helper_fd(const struct watch *watch);
void watch_events(struct watch *watch, int64_t now_ms, struct spool_journal *journal);
void watch_helper(struct watch *watch, int64_t now_ms, struct spool_journal *journal);

/* Does what is due; the next time that something is. */
void watch_turn(struct watch *watch, int64_t now_ms);
int64_t watch_due(const struct watch *watch);

/* Checkpoints recorded so far. */
uint64_t watch_completed(const struct watch *watch);

/* Helpers below the supervisor that do not belong to the step; at most two. */
size_t watch_helpers(const struct watch *watch, pid_t pids[2]);
bool watch_reaped(struct watch *watch, pid_t pid);

/* --- when nothing of it lives any more ------------------------------------------------------------------ */

/* How the step ended, for what was pending. */
struct watch_end {
	bool clean;	 /* by itself with 0 or 85, or by obeying a stop */
	const char *how; /* "it was killed by signal 9" */
};

/* Begins to judge what is left; watch_busy tells when it is done. */
void watch_finish(struct watch *watch, const struct watch_end *end, int64_t now_ms,
		  struct spool_journal *journal);
bool watch_busy(const struct watch *watch);

/* Stops what still goes on, with a note of what was not read. */
void watch_abandon(struct watch *watch, struct spool_journal *journal);

#endif
