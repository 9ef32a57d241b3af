#include "scheduler/progress_text.h"

#include <inttypes.h>
#include <jansson.h>
#include <stdio.h>
#include <string.h>

#include "common/clock.h"
#include "common/scope.h"
#include "scheduler/listing.h"
#include "scheduler/moment.h"

enum { TIME_COLUMNS = 7, NAME_COLUMNS_MAX = 32 };

struct progress_seen progress_text_look(const struct task *task)
{
	return (struct progress_seen){
		.state = task->row.state,
		.attempt = task->row.attempts,
		.attempt_state = task->live == NULL ? ATTEMPT_INTENDED : task->live->row.state,
	};
}

/* --- pieces --------------------------------------------------------------------------------------------- */

void progress_text_metric(struct buf *out, const char *json)
{
	json_t *metric = json == NULL ? NULL : json_loads(json, 0, NULL);

	listing_append_metric(out, metric);
	json_decref(metric);
}

void progress_text_counts(struct buf *out, const size_t counts[TASK_STATES])
{
	const struct {
		const char *word;
		size_t count;
	} parts[] = {
		{ "failed", counts[TASK_FAILED] },
		{ "running", counts[TASK_STARTING] + counts[TASK_RUNNING] },
		{ "stopping", counts[TASK_STOPPING] },
		{ "retrying", counts[TASK_RETRYING] },
		{ "ready", counts[TASK_READY] },
		{ "waiting", counts[TASK_WAITING] },
		{ "succeeded", counts[TASK_SUCCEEDED] },
		{ "canceled", counts[TASK_CANCELED] },
		{ "skipped", counts[TASK_SKIPPED] },
		{ "not started", counts[TASK_UPSTREAM_FAILED] },
	};
	const char *between = "";

	for (size_t i = 0; i < COUNT_OF(parts); i++) {
		if (parts[i].count == 0)
			continue;
		buf_printf(out, "%s%zu %s", between, parts[i].count, parts[i].word);
		between = ", ";
	}
}

/* "attempt 2, resumes from epoch-0012.npz"; nothing for a first attempt. */
static void append_attempt(struct buf *out, const struct task *task)
{
	const struct attempt *live = task->live;

	if (live == NULL || (live->row.id.number == 1 && live->row.resumed_from[0] == '\0'))
		return;
	buf_printf(out, "attempt %" PRIu32, live->row.id.number);
	if (live->row.resumed_from[0] != '\0')
		buf_printf(out, ", resumes from %s", live->row.resumed_from);
	else if (live->row.state != ATTEMPT_INTENDED && task->ledger.count > 0)
		buf_append_text(out, ", from zero");
}

static bool says_more(const struct task *task)
{
	const char *message = task->row.message;

	return message != NULL && message[0] != '\0' &&
	       strcmp(message, task_states[task->row.state].name) != 0;
}

/* "failed: exit code 3" */
static void append_with_message(struct buf *out, const char *word, const struct task *task)
{
	buf_append_text(out, word);
	if (says_more(task))
		buf_printf(out, ": %s", task->row.message);
}

static int64_t length_ms(int64_t from_ms, int64_t to_ms)
{
	return from_ms == 0 || to_ms < from_ms ? 0 : to_ms - from_ms;
}

/* Of the attempt that runs, else of the task. */
static int64_t elapsed_ms(const struct task *task, int64_t wall_ms)
{
	const struct attempt *live = task->live;

	if (live != NULL)
		return length_ms(live->row.started_wall_ms > 0 ? live->row.started_wall_ms
							       : live->row.intended_wall_ms,
				 wall_ms);
	return length_ms(task->row.started_wall_ms, task->row.ended_wall_ms);
}

static int64_t wait_ms(const struct task *task, int64_t wall_ms)
{
	return length_ms(wall_ms, task->row.not_before_wall_ms);
}

/* A countdown shows whole seconds, and 1 until it is over. */
static const char *countdown(const struct task *task, int64_t wall_ms, char text[CLOCK_SPAN_BYTES])
{
	int64_t seconds = (wait_ms(task, wall_ms) + 999) / 1000;

	if (seconds >= 60)
		return clock_span(seconds * 1000, text);
	snprintf(text, CLOCK_SPAN_BYTES, "%" PRId64 "s", seconds);
	return text;
}

/* --- plain lines ---------------------------------------------------------------------------------------- */

static void append_contact(struct buf *out, const struct progress_seen *before, const struct task *task)
{
	if (task->live == NULL || before->attempt_state == task->live->row.state)
		return;
	if (task->live->row.state == ATTEMPT_UNREACHABLE)
		buf_printf(out, "unreachable: no contact with worker %s; the step goes on",
			   task->live->row.worker);
	else if (before->attempt_state == ATTEMPT_UNREACHABLE)
		buf_append_text(out, "running   in contact again");
}

static void append_running(struct buf *out, const struct task *task)
{
	autobuf struct buf attempt = { 0 };

	append_attempt(&attempt, task);
	buf_printf(out, attempt.bytes > 0 ? "running   %s" : "running", buf_text(&attempt));
}

void progress_text_event(struct buf *out, const struct progress_seen *before, const struct task *task,
			 int64_t wall_ms)
{
	char span[CLOCK_SPAN_BYTES];

	if (before->state == task->row.state && before->attempt == task->row.attempts) {
		append_contact(out, before, task);
		return;
	}
	switch (task->row.state) {
	case TASK_WAITING:
	case TASK_STARTING:
	case TASK_STATES:
		break;
	case TASK_READY:
		if (task->row.reason == REASON_CHECKPOINTED)
			buf_append_text(out, "checkpointed, starts again");
		break;
	case TASK_RUNNING:
		append_running(out, task);
		break;
	case TASK_STOPPING:
		buf_printf(out, "stopping: %s", reason_names[task->row.reason]);
		break;
	case TASK_RETRYING:
		buf_printf(out, "retrying in %s", countdown(task, wall_ms, span));
		append_with_message(out, "", task);
		break;
	case TASK_SUCCEEDED:
		buf_printf(out, "succeeded in %s", clock_span(elapsed_ms(task, wall_ms), span));
		break;
	case TASK_FAILED:
		append_with_message(out, "failed", task);
		break;
	case TASK_CANCELED:
		append_with_message(out, "canceled", task);
		break;
	case TASK_SKIPPED:
		append_with_message(out, "skipped", task);
		break;
	case TASK_UPSTREAM_FAILED:
		append_with_message(out, "not started", task);
		break;
	}
}

/* --- rows of the view ----------------------------------------------------------------------------------- */

struct mark {
	const char *utf8;
	const char *ascii;
};

static const struct mark marks[TASK_STATES] = {
	[TASK_WAITING] = { "·", "." },	       [TASK_READY] = { "·", "." },
	[TASK_STARTING] = { "○", "o" },	       [TASK_RUNNING] = { "●", "*" },
	[TASK_STOPPING] = { "◌", "~" },	       [TASK_RETRYING] = { "↻", "r" },
	[TASK_SUCCEEDED] = { "✓", "+" },       [TASK_FAILED] = { "✗", "x" },
	[TASK_CANCELED] = { "⊘", "/" },	       [TASK_SKIPPED] = { "–", "-" },
	[TASK_UPSTREAM_FAILED] = { "–", "-" },
};

static bool is_unreachable(const struct task *task)
{
	return task->live != NULL && task->live->row.state == ATTEMPT_UNREACHABLE;
}

static const char *state_word(const struct task *task)
{
	if (is_unreachable(task))
		return "unreachable";
	return task->row.state == TASK_UPSTREAM_FAILED ? "not started" : task_states[task->row.state].name;
}

static enum terminal_style state_style(const struct task *task)
{
	return terminal_style_of(is_unreachable(task) ? "unreachable" : task_states[task->row.state].name);
}

static void append_detail(struct buf *out, const struct task *task, int64_t wall_ms)
{
	char span[CLOCK_SPAN_BYTES], since[MOMENT_BYTES];

	switch (task->row.state) {
	case TASK_STARTING:
	case TASK_RUNNING:
		if (is_unreachable(task))
			buf_printf(out, "no contact with worker %s since %s", task->live->row.worker,
				   moment_local(task->live->row.unreachable_wall_ms, wall_ms, since));
		else
			progress_text_metric(out, task->metric);
		break;
	case TASK_STOPPING:
		buf_append_text(out, reason_names[task->row.reason]);
		break;
	case TASK_RETRYING:
		buf_printf(out, "in %s", countdown(task, wall_ms, span));
		append_with_message(out, "", task);
		break;
	case TASK_SUCCEEDED:
		progress_text_metric(out, task->metric);
		break;
	case TASK_FAILED:
	case TASK_CANCELED:
	case TASK_SKIPPED:
	case TASK_UPSTREAM_FAILED:
		if (says_more(task))
			buf_append_text(out, task->row.message);
		break;
	default:
		break;
	}
}

void progress_text_measure(struct progress_layout *layout, const struct task *task)
{
	size_t name = terminal_columns(task->step->name), state = strlen(state_word(task));

	if (name > NAME_COLUMNS_MAX)
		name = NAME_COLUMNS_MAX;
	if (name > layout->name)
		layout->name = name;
	if (state > layout->state)
		layout->state = state;
}

/* A cell of at least `columns`, and two blanks. */
static void put_cell(struct terminal_line *line, enum terminal_style style, const char *text, size_t columns)
{
	size_t taken = terminal_columns(text);

	terminal_put(line, style, text);
	terminal_blanks(line, (taken < columns ? columns - taken : 0) + 2);
}

static void put_time(struct terminal_line *line, const struct task *task, int64_t wall_ms)
{
	char span[CLOCK_SPAN_BYTES];
	int64_t ms = elapsed_ms(task, wall_ms);

	terminal_printf(line, TERMINAL_PLAIN, "%*s", TIME_COLUMNS,
			ms == 0 && task->live == NULL ? "" : clock_span(ms, span));
}

void progress_text_row(struct terminal_line *line, const struct progress_layout *layout,
		       const struct task *task, int64_t wall_ms)
{
	const struct mark *mark = &marks[task->row.state];
	autobuf struct buf detail = { 0 }, attempt = { 0 };

	terminal_blanks(line, 1);
	put_cell(line, state_style(task), line->terminal->utf8 ? mark->utf8 : mark->ascii, 0);
	put_cell(line, TERMINAL_PLAIN, task->step->name, layout->name);
	put_cell(line, state_style(task), state_word(task), layout->state);
	put_time(line, task, wall_ms);
	append_detail(&detail, task, wall_ms);
	append_attempt(&attempt, task);
	if (detail.bytes > 0) {
		terminal_blanks(line, 2);
		terminal_put(line, TERMINAL_PLAIN, buf_text(&detail));
	}
	if (attempt.bytes > 0) {
		terminal_blanks(line, 2);
		terminal_put(line, TERMINAL_DIM, buf_text(&attempt));
	}
}

/* Since it was started; a run that waits in a queue does not run yet. */
static int64_t run_elapsed_ms(const struct run *run, int64_t wall_ms)
{
	return length_ms(run->row.started_wall_ms,
			 run->row.ended_wall_ms > 0 ? run->row.ended_wall_ms : wall_ms);
}

static bool is_stopping(const struct run *run)
{
	return run->row.cancel_wall_ms > 0 && !machine_ended(run_states, run->row.state);
}

void progress_text_header(struct terminal_line *line, const struct run *run, const size_t counts[TASK_STATES],
			  int64_t wall_ms)
{
	const char *state = is_stopping(run) ? "stopping" : run_states[run->row.state].name;
	autobuf struct buf text = { 0 };
	char span[CLOCK_SPAN_BYTES];

	terminal_printf(line, TERMINAL_BOLD, "%s/%" PRIu64, run->row.dag, run->row.number);
	terminal_blanks(line, 2);
	put_cell(line, terminal_style_of(state), state, 0);
	put_cell(line, TERMINAL_PLAIN, clock_span(run_elapsed_ms(run, wall_ms), span), 0);
	progress_text_counts(&text, counts);
	terminal_blanks(line, 1);
	terminal_put(line, TERMINAL_PLAIN, buf_text(&text));
}

/* --- the end -------------------------------------------------------------------------------------------- */

static void put_end(struct terminal_line *line, const struct run *run, const size_t counts[TASK_STATES],
		    int64_t wall_ms)
{
	const char *state = run_states[run->row.state].name;
	bool ended = machine_ended(run_states, run->row.state);
	autobuf struct buf text = { 0 };
	char span[CLOCK_SPAN_BYTES];

	terminal_printf(line, TERMINAL_BOLD, "%s/%" PRIu64 " ", run->row.dag, run->row.number);
	if (!ended) {
		terminal_put(line, TERMINAL_YELLOW, "goes on without this process");
	} else {
		terminal_printf(line, terminal_style_of(state), "%s%s",
				run->row.state == RUN_CANCELED ? "was " : "", state);
		terminal_printf(line, TERMINAL_PLAIN, " %s %s",
				run->row.state == RUN_SUCCEEDED ? "in" : "after",
				clock_span(run_elapsed_ms(run, wall_ms), span));
	}
	progress_text_counts(&text, counts);
	terminal_printf(line, TERMINAL_PLAIN, ": %s", buf_text(&text));
}

void progress_text_end(const struct terminal *terminal, struct buf *out, const struct run *run,
		       const struct task *first_failed, const size_t counts[TASK_STATES], int64_t wall_ms)
{
	struct terminal whole = *terminal;
	struct terminal_line line;
	const char *dag = run->row.dag;
	uint64_t number = run->row.number;

	whole.columns = SIZE_MAX; /* commands to copy are never cut */
	line = terminal_line_start(&whole, out, SIZE_MAX);
	put_end(&line, run, counts, wall_ms);
	buf_append_byte(out, '\n');
	if (run->row.state == RUN_SUCCEEDED)
		return;
	if (first_failed != NULL) {
		terminal_printf(&line, TERMINAL_PLAIN, "  %s %s", first_failed->step->name,
				first_failed->row.reason == REASON_NOT_STARTED ? "" : "failed: ");
		terminal_put(&line, TERMINAL_PLAIN, first_failed->row.message);
		buf_printf(out, "\n  why:       stoker why %s/%" PRIu64 "\n", dag, number);
		buf_printf(out, "  its log:   stoker logs %s/%" PRIu64 " %s\n", dag, number,
			   first_failed->step->name);
	}
	buf_printf(out, "  to go on:  stoker run --resume %s/%" PRIu64 "\n", dag, number);
}
