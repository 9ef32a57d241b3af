/*
 * progress.h - what `stoker run` shows while it runs
 *
 * On a terminal a view that is redrawn in place; elsewhere a line for each thing that happened. It looks on:
 * it reads the core's structs and changes nothing. Counts are kept from the moves it is told of, so a move
 * costs O(1) and a drawing O(lines on the screen), however many tasks the run has.
 *
 * The run does not wait for whoever reads this (outlet.h): a terminal that takes nothing, because it was stopped or the
 * connection behind it is gone, is not drawn on; lines for a pager that does not read on are kept, up to 16 MiB.
 *
 * Ownership: the run (and the core it is in) must outlive the progress.
 */
#ifndef SCHEDULER_PROGRESS_H
#define SCHEDULER_PROGRESS_H

#include <stdbool.h>
#include <stdio.h>

#include "scheduler/core.h"

struct progress;

/* `terminal`: draw in place; see command_color. The run may be a new one or one that is taken up again. */
struct progress *progress_new(FILE *out, bool terminal, const struct run *run);

/* The task changed its state, or an attempt of it started or changed. May be called once too often. */
void progress_moved(struct progress *progress, const struct task *task);

/*
 * Something a person should read, about a task or (NULL) about the run. Control characters are made harmless.
 */
void progress_note(struct progress *progress, const struct task *task, const char *text);

/* Shows metrics and times as they are now. Draws at most ten times a second; call it as often as you like. */
void progress_tick(struct progress *progress);

/* Leaves the final state on the screen, and says how to go on when the run did not succeed. */
void progress_finish(struct progress *progress);

/* Returns when all of it was taken: for when there is nothing else to do any more. NULL is harmless. */
void progress_wait(struct progress *progress);

/* Gives whoever reads two more seconds. NULL is harmless. */
void progress_free(struct progress *progress);

#endif
