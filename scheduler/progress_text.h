/*
 * progress_text.h - a run in progress, in words
 *
 * Pure: the core's structs and the time go in, text comes out. progress.c decides when and where it is shown.
 */
#ifndef SCHEDULER_PROGRESS_TEXT_H
#define SCHEDULER_PROGRESS_TEXT_H

#include "common/buf.h"
#include "scheduler/core.h"
#include "scheduler/terminal.h"

/* What was last told of a task. */
struct progress_seen {
	enum task_state state;
	uint32_t attempt;		  /* number of its latest attempt; 0: none */
	enum attempt_state attempt_state; /* of the live one, if any */
};

struct progress_seen progress_text_look(const struct task *task);

/*
 * What happened to a task since `before`, for a line of plain output: "running   attempt 2, resumes from e12.npz",
 * "succeeded in 53.1s". Nothing when a person need not know.
 */
void progress_text_event(struct buf *out, const struct progress_seen *before, const struct task *task,
			 int64_t wall_ms);

/* Up to three numbers of a metric line: "epoch 31  loss 0.0812". Nothing when it holds none. */
void progress_text_metric(struct buf *out, const char *json);

/* "1 running, 2 waiting, 1 succeeded"; nothing when all are 0. */
void progress_text_counts(struct buf *out, const size_t counts[TASK_STATES]);

/* How wide the first columns of rows are. */
struct progress_layout {
	size_t name;
	size_t state;
};

/* Widens the layout so that the row of `task` fits. */
void progress_text_measure(struct progress_layout *layout, const struct task *task);

/* A row of the view: symbol, name, state, time, and what is worth knowing in that state. */
void progress_text_row(struct terminal_line *line, const struct progress_layout *layout,
		       const struct task *task, int64_t wall_ms);

/* The first row: name, state, time, counts. */
void progress_text_header(struct terminal_line *line, const struct run *run, const size_t counts[TASK_STATES],
			  int64_t wall_ms);

/* The last lines: how it ended, why, and how to go on. `first_failed` may be NULL. */
void progress_text_end(const struct terminal *terminal, struct buf *out, const struct run *run,
		       const struct task *first_failed, const size_t counts[TASK_STATES], int64_t wall_ms);

#endif
