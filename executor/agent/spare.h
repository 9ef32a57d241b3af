/*
 * spare.h - folders of attempts and tasks that are over, used again for new ones
 *
 * Making and removing a folder and its files is most of what an attempt of a millisecond costs, and some file
 * systems slow down the more of it was done lately. So a few folders that hold nothing of worth are kept
 * under names of this process and renamed for the next attempt. One that holds anything but the usual files
 * is not kept. A spare attempt folder has no exit record and an empty journal, and whoever takes it checks
 * that.
 *
 * Nor is one whose supervisor was killed: who was making its step may yet write to the spec (step.c), which would
 * then be another attempt's. Who had opened a folder that serves another attempt by now sees it by the name (sweep.c).
 *
 * Units:  paths are relative to the agent's root, its current folder.
 * Errors: none; what cannot be kept is for the caller to remove.
 */
#ifndef EXECUTOR_AGENT_SPARE_H
#define EXECUTOR_AGENT_SPARE_H

#include <stdbool.h>
#include <stddef.h>

enum { SPARES_MAX = 16, SPARE_PATH_BYTES = 64 };

struct spares {
	unsigned made;                 /* gives each a name of its own */
	unsigned attempts[SPARES_MAX]; /* numbers in their names */
	size_t attempts_count;
	unsigned tasks[SPARES_MAX];
	size_t tasks_count;
};

/*
 * Keeps `attempts/<name>`, whose attempt is over and wholly fetched; false: it stands at `path_out` instead. `closed`:
 * its supervisor ended it, so nobody writes there any more.
 */
bool spare_keep_attempt(struct spares *spares, const char *name, bool closed, char path_out[SPARE_PATH_BYTES]);

/* Keeps `tasks/<name>` when it holds nothing at all. No attempt of the task may be there. */
void spare_keep_task(struct spares *spares, const char *name);

/* Hands one out: its path, "" when there is none. */
void spare_take_attempt(struct spares *spares, char path_out[SPARE_PATH_BYTES]);
void spare_take_task(struct spares *spares, char path_out[SPARE_PATH_BYTES]);

/* True when the folder open as `dir` is fit for a new attempt. */
bool spare_is_fit(int dir);

/* Its former exit record becomes the file that the next one is written to. */
void spare_reuse_exit(int dir, const char *temporary);

/* Removes them all. */
void spare_drop_all(struct spares *spares);

/* A spare of a process that is no more. */
bool spare_is_left_over(const char *name);

#endif
