#include "scheduler/progress.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "common/clock.h"
#include "common/mem.h"
#include "common/outlet.h"
#include "common/scope.h"
#include "scheduler/moment.h"
#include "scheduler/progress_text.h"
#include "scheduler/terminal.h"

enum {
	DRAW_EVERY_MS = 100,
	COLUMNS_UNKNOWN = 80,
	ROWS_BESIDE = 3,	 /* header, the line that sums up the rest, and the one the cursor is on */
	NAME_COLUMNS_MAX = 24,	 /* plain lines are aligned up to this width */
	UNSTARTED_LINES_MAX = 5, /* of tasks that are not started because one before them failed */
	KEPT_BYTES_MAX = 16 * 1024 * 1024, /* of lines that are not taken */
	PATIENCE_MS = 2000,
};

/* A task as it was last seen, in the list of those in that state. */
struct seat {
	struct list link;
	struct progress_seen seen;
};

struct progress {
	FILE *out; /* what it is; nothing is written by way of it */
	struct outlet outlet;
	bool in_place;
	bool finished;
	const struct run *run;
	struct seat *seats; /* one per task */
	struct list by_state[TASK_STATES];
	size_t counts[TASK_STATES];
	size_t name_columns; /* plain lines */
	size_t unstarted_lines;
	int64_t drawn_mono_ms; /* 0: never, or at once */
	struct buf drawn;      /* the lines on the screen */
	size_t *widths;	       /* columns of each */
	size_t widths_room;
	size_t lines;
	size_t columns; /* of the screen then */
};

static const struct task *task_at(const struct progress *progress, struct list *link)
{
	return &progress->run->tasks[list_entry(link, struct seat, link) - progress->seats];
}

/* --- plain lines ---------------------------------------------------------------------------------------- */

static void put_line(struct progress *progress, const struct task *task, const char *text, int64_t wall_ms)
{
	const struct run *run = progress->run;
	struct buf *out = &progress->outlet.pending;
	char at[MOMENT_BYTES];

	buf_printf(out, "%s ", moment_clock(wall_ms, at));
	if (task == NULL)
		buf_printf(out, "%s/%" PRIu64, run->row.dag, run->row.number);
	else
		buf_printf(out, "%-*s", (int)progress->name_columns, task->step->name);
	buf_append_text(out, "  ");
	terminal_escape(out, text);
	buf_append_byte(out, '\n');
}

static void print_line(struct progress *progress, const struct task *task, const char *text, int64_t wall_ms)
{
	char said[100];
	uint64_t left_out;

	if (!outlet_has_room(&progress->outlet, KEPT_BYTES_MAX))
		return;
	left_out = outlet_left_out(&progress->outlet);
	if (left_out > 0) {
		snprintf(said, sizeof said, "%" PRIu64 " lines are left out: nobody read on", left_out);
		put_line(progress, NULL, said, wall_ms);
	}
	put_line(progress, task, text, wall_ms);
}

static void print_event(struct progress *progress, const struct progress_seen *before,
			const struct task *task)
{
	autobuf struct buf text = { 0 };
	int64_t wall_ms = clock_wall_ms();

	if (task->row.state == TASK_UPSTREAM_FAILED && before->state != TASK_UPSTREAM_FAILED &&
	    progress->unstarted_lines++ >= UNSTARTED_LINES_MAX)
		return; /* the last line counts them */
	progress_text_event(&text, before, task, wall_ms);
	if (text.bytes > 0)
		print_line(progress, task, buf_text(&text), wall_ms);
}

/* The first lines: what is begun or taken up again. */
static void print_start(struct progress *progress)
{
	const struct progress_seen never = { .state = TASK_WAITING };
	autobuf struct buf text = { 0 };

	if (progress->counts[TASK_WAITING] + progress->counts[TASK_READY] ==
	    progress->run->dag->steps_count) {
		buf_printf(&text, "starts: %zu %s", progress->run->dag->steps_count,
			   progress->run->dag->steps_count == 1 ? "task" : "tasks");
	} else {
		buf_append_text(&text, "is taken up again: ");
		progress_text_counts(&text, progress->counts);
	}
	print_line(progress, NULL, buf_text(&text), clock_wall_ms());
	for (enum task_state state = TASK_STARTING; state <= TASK_RETRYING; state++)
		list_each (at, &progress->by_state[state])
			print_event(progress, &never, task_at(progress, at));
}

/* --- in place ------------------------------------------------------------------------------------------- */

/*
 * The cursor waits below the lines, and is not hidden: whoever kills this process finds a usable prompt
 * there. When the screen became narrower since, most terminals have wrapped our lines and moved the cursor
 * down with them.
 */
static void erase(struct progress *progress, const struct terminal *terminal, struct buf *out)
{
	size_t up = 0;

	for (size_t i = 0; i < progress->lines; i++) {
		size_t wrapped = terminal->columns < progress->columns &&
				 progress->widths[i] > terminal->columns;

		up += wrapped ? (progress->widths[i] + terminal->columns - 1) / terminal->columns : 1;
	}
	if (up > 0)
		buf_printf(out, "\r\033[%zuA", up);
}

static struct terminal look_at_terminal(const struct progress *progress)
{
	struct terminal terminal = terminal_of(progress->out);

	if (terminal.columns == SIZE_MAX)
		terminal.columns = COLUMNS_UNKNOWN;
	return terminal;
}

static int compare_tasks(const void *a, const void *b)
{
	const struct task *left = *(const struct task *const *)a, *right = *(const struct task *const *)b;

	return (left->row.step > right->row.step) - (left->row.step < right->row.step);
}

/*
 * The tasks to show when not all fit: what runs, then what went wrong, then what comes next, then what was
 * done last. In the order of the file, so that rows keep their places. Returns how many.
 */
static size_t choose(const struct progress *progress, const struct task **shown, size_t room)
{
	static const enum task_state ranks[] = {
		TASK_RUNNING,	TASK_STOPPING, TASK_STARTING,	     TASK_RETRYING,
		TASK_FAILED,	TASK_CANCELED, TASK_READY,	     TASK_WAITING,
		TASK_SUCCEEDED, TASK_SKIPPED,  TASK_UPSTREAM_FAILED,
	};
	size_t count = 0;

	for (size_t i = 0; i < COUNT_OF(ranks); i++) {
		const struct list *head = &progress->by_state[ranks[i]];
		bool newest_first = machine_ended(task_states, ranks[i]);

		for (struct list *at = newest_first ? head->prev : head->next; at != head && count < room;
		     at = newest_first ? at->prev : at->next)
			shown[count++] = task_at(progress, at);
	}
	qsort(shown, count, sizeof *shown, compare_tasks);
	return count;
}

/* Ends a line and keeps its width in mind. */
static void end_line(struct progress *progress, const struct terminal_line *line, size_t columns)
{
	mem_grow(&progress->widths, &progress->widths_room, progress->lines, sizeof *progress->widths);
	progress->widths[progress->lines++] = columns - line->left;
	buf_append_text(line->out, "\033[K\n");
}

static void append_rest(struct progress *progress, const struct terminal *terminal,
			const struct task *const *shown, size_t count, size_t columns, struct buf *out)
{
	struct terminal_line line = terminal_line_start(terminal, out, columns);
	autobuf struct buf text = { 0 };
	size_t counts[TASK_STATES];

	memcpy(counts, progress->counts, sizeof counts);
	for (size_t i = 0; i < count; i++)
		counts[progress->seats[shown[i]->row.step].seen.state]--;
	progress_text_counts(&text, counts);
	terminal_printf(&line, TERMINAL_DIM, " %s and %s", terminal->utf8 ? "…" : "...", buf_text(&text));
	end_line(progress, &line, columns);
}

/* All lines of the view; progress->lines and ->widths are theirs afterwards. */
static void compose(struct progress *progress, const struct terminal *terminal, struct buf *out)
{
	size_t columns = terminal->columns > 1 ? terminal->columns - 1
					       : 1; /* the last one would wrap on some */
	size_t room = terminal->rows > ROWS_BESIDE ? terminal->rows - ROWS_BESIDE : 1;
	size_t all = progress->run->dag->steps_count, count;
	autofree const struct task **shown = NULL;
	struct progress_layout layout = { 0 };
	struct terminal_line line = terminal_line_start(terminal, out, columns);
	int64_t wall_ms = clock_wall_ms();

	if (all == room + 1)
		room = all; /* it fits as well as a line saying that one more is there */
	shown = mem_array(room, sizeof *shown);
	count = choose(progress, shown, room);
	progress->lines = 0;
	progress_text_header(&line, progress->run, progress->counts, wall_ms);
	end_line(progress, &line, columns);
	for (size_t i = 0; i < count; i++)
		progress_text_measure(&layout, shown[i]);
	for (size_t i = 0; i < count; i++) {
		line = terminal_line_start(terminal, out, columns);
		progress_text_row(&line, &layout, shown[i], wall_ms);
		end_line(progress, &line, columns);
	}
	if (count < all)
		append_rest(progress, terminal, shown, count, columns, out);
}

static void draw(struct progress *progress)
{
	struct terminal terminal = look_at_terminal(progress);
	struct buf *out = &progress->outlet.pending;
	autobuf struct buf up = { 0 }, lines = { 0 };

	erase(progress, &terminal, &up);
	compose(progress, &terminal, &lines);
	if (progress->columns == terminal.columns && progress->drawn.bytes == lines.bytes &&
	    memcmp(progress->drawn.data, lines.data, lines.bytes) == 0)
		return;
	buf_append(out, up.data, up.bytes);
	buf_append(out, lines.data, lines.bytes);
	buf_append_text(out, "\033[J");
	outlet_flush(&progress->outlet);
	progress->columns = terminal.columns;
	buf_clear(&progress->drawn);
	buf_append(&progress->drawn, lines.data, lines.bytes);
}

/* --- what the driver calls ------------------------------------------------------------------------------ */

struct progress *progress_new(FILE *out, bool terminal, const struct run *run)
{
	struct progress *progress = mem_zalloc(sizeof *progress);
	struct terminal screen = terminal_of(out);

	progress->out = out;
	outlet_open(&progress->outlet, fileno(out));
	/*
	 * One that is no terminal at all has no columns; a terminal that cannot move its cursor gets plain
	 * lines.
	 */
	progress->in_place = terminal && (screen.cursor || screen.columns == SIZE_MAX);
	progress->run = run;
	progress->seats = mem_array(run->dag->steps_count, sizeof *progress->seats);
	for (size_t i = 0; i < TASK_STATES; i++)
		list_init(&progress->by_state[i]);
	for (size_t i = 0; i < run->dag->steps_count; i++) {
		const struct task *task = &run->tasks[i];
		size_t columns = terminal_columns(task->step->name);

		progress->seats[i].seen = progress_text_look(task);
		list_append(&progress->by_state[task->row.state], &progress->seats[i].link);
		progress->counts[task->row.state]++;
		if (columns > progress->name_columns)
			progress->name_columns = columns < NAME_COLUMNS_MAX ? columns : NAME_COLUMNS_MAX;
	}
	if (!progress->in_place)
		print_start(progress);
	outlet_flush(&progress->outlet);
	return progress;
}

void progress_moved(struct progress *progress, const struct task *task)
{
	struct seat *seat = &progress->seats[task->row.step];
	struct progress_seen before = seat->seen;

	seat->seen = progress_text_look(task);
	if (before.state != seat->seen.state) {
		progress->counts[before.state]--;
		progress->counts[seat->seen.state]++;
		list_remove(&seat->link);
		list_append(&progress->by_state[seat->seen.state], &seat->link);
	}
	if (!progress->in_place)
		print_event(progress, &before, task);
}

void progress_note(struct progress *progress, const struct task *task, const char *text)
{
	if (progress->in_place) {
		struct terminal terminal = look_at_terminal(progress);

		erase(progress, &terminal, &progress->outlet.pending);
		buf_append_text(&progress->outlet.pending, "\033[J");
		progress->lines = 0;
		buf_clear(&progress->drawn);
		progress->drawn_mono_ms = 0;
	}
	print_line(progress, task, text, clock_wall_ms());
}

void progress_tick(struct progress *progress)
{
	int64_t now_ms;

	outlet_flush(&progress->outlet);
	if (!progress->in_place || progress->outlet.pending.bytes > 0)
		return; /* a terminal that does not take the last drawing gets no other */
	now_ms = clock_mono_ms();
	if (progress->drawn_mono_ms != 0 && now_ms - progress->drawn_mono_ms < DRAW_EVERY_MS)
		return;
	progress->drawn_mono_ms = now_ms;
	draw(progress);
}

/* The failed task that ended first. */
static const struct task *find_first_failed(const struct progress *progress)
{
	const struct task *first = NULL;

	list_each (at, &progress->by_state[TASK_FAILED]) {
		const struct task *task = task_at(progress, at);

		if (first == NULL || task->row.ended_wall_ms < first->row.ended_wall_ms)
			first = task;
	}
	return first;
}

void progress_finish(struct progress *progress)
{
	struct terminal terminal = terminal_of(progress->out);
	struct buf *out = &progress->outlet.pending;
	char at[MOMENT_BYTES];

	if (progress->finished)
		return;
	progress->finished = true;
	if (progress->in_place)
		draw(progress);
	else
		buf_printf(out, "%s ", moment_clock(clock_wall_ms(), at));
	progress_text_end(&terminal, out, progress->run, find_first_failed(progress), progress->counts,
			  clock_wall_ms());
	outlet_flush(&progress->outlet);
}

void progress_wait(struct progress *progress)
{
	if (progress != NULL)
		outlet_drain(&progress->outlet, -1);
}

void progress_free(struct progress *progress)
{
	if (progress == NULL)
		return;
	outlet_drain(&progress->outlet, PATIENCE_MS);
	outlet_close(&progress->outlet);
	buf_fini(&progress->drawn);
	free(progress->widths);
	free(progress->seats);
	free(progress);
}
