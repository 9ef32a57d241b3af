#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <fcntl.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <time.h>
#include <unistd.h>

#include "common/clock.h"
#include "common/mem.h"
#include "common/scope.h"
#include "scheduler/progress.h"
#include "scheduler/progress_text.h"
#include "tests/unit/run_fixture.h"

static const char yaml[] = "name: night\n"
			   "steps:\n"
			   "  extract: {run: x}\n"
			   "  train: {needs: [extract], run: x, retry: {max: 3}}\n"
			   "  test: {needs: [train], run: x}\n";

static struct run *run;
static FILE *out;

static int set_up(void **state)
{
	(void)state;
	run = fixture_run(yaml);
	out = tmpfile();
	return out == NULL ? -1 : 0;
}

static int tear_down(void **state)
{
	(void)state;
	fclose(out);
	run_free(run);
	return 0;
}

/* --- words ---------------------------------------------------------------------------------------------- */

static void assert_event(const struct progress_seen *before, const char *name, const char *expected)
{
	autobuf struct buf words = { 0 };

	progress_text_event(&words, before, fixture_task(run, name), FIXTURE_NOW_MS);
	assert_string_equal(buf_text(&words), expected);
}

static void each_move_that_matters_has_its_words(void **state)
{
	const struct progress_seen waiting = { .state = TASK_WAITING };
	struct progress_seen running = { .state = TASK_RUNNING,
					 .attempt = 1,
					 .attempt_state = ATTEMPT_RUNNING };
	struct attempt *attempt = fixture_attempt(run, "train", 1, ATTEMPT_INTENDED);
	struct task *task = fixture_task(run, "train");

	(void)state;
	fixture_set(run, "train", TASK_STARTING, REASON_NONE, "");
	assert_event(&waiting, "train", "");
	attempt->row.state = ATTEMPT_RUNNING;
	fixture_set(run, "train", TASK_RUNNING, REASON_NONE, "");
	assert_event(&waiting, "train", "running");
	attempt->row.id.number = 2;
	attempt->row.resumed_from = "epoch-0012.npz";
	assert_event(&waiting, "train", "running   attempt 2, resumes from epoch-0012.npz");
	attempt->row.state = ATTEMPT_UNREACHABLE;
	assert_event(&running, "train", "unreachable: no contact with worker local; the step goes on");
	running.attempt_state = ATTEMPT_UNREACHABLE;
	attempt->row.state = ATTEMPT_RUNNING;
	assert_event(&running, "train", "running   in contact again");
	fixture_set(run, "train", TASK_STOPPING, REASON_TIMEOUT, "");
	assert_event(&running, "train", "stopping: timeout");
	task->row.not_before_wall_ms = FIXTURE_NOW_MS + 29100;
	fixture_set(run, "train", TASK_RETRYING, REASON_EXIT, "exit code 3");
	assert_event(&running, "train", "retrying in 30s: exit code 3");
	fixture_set(run, "train", TASK_READY, REASON_CHECKPOINTED, "");
	assert_event(&running, "train", "checkpointed, starts again");
	fixture_set(run, "train", TASK_FAILED, REASON_EXIT, "exit code 3; its 3 retries are used up");
	assert_event(&running, "train", "failed: exit code 3; its 3 retries are used up");
	fixture_set(run, "train", TASK_CANCELED, REASON_CANCELED, "canceled");
	assert_event(&running, "train", "canceled");
	task->live = NULL;
	task->row.ended_wall_ms = FIXTURE_NOW_MS + 43100;
	fixture_set(run, "train", TASK_SUCCEEDED, REASON_NONE, "");
	assert_event(&running, "train", "succeeded in 53.1s");
}

static void nothing_new_has_no_words(void **state)
{
	struct progress_seen seen;

	(void)state;
	fixture_set(run, "train", TASK_RUNNING, REASON_NONE, "");
	fixture_attempt(run, "train", 1, ATTEMPT_RUNNING);
	seen = progress_text_look(fixture_task(run, "train"));
	assert_event(&seen, "train", "");
}

static void counts_leave_out_what_there_is_none_of(void **state)
{
	const size_t counts[TASK_STATES] = {
		[TASK_STARTING] = 1,   [TASK_RUNNING] = 2,	   [TASK_WAITING] = 37,
		[TASK_SUCCEEDED] = 12, [TASK_UPSTREAM_FAILED] = 4,
	};
	const size_t none[TASK_STATES] = { 0 };
	autobuf struct buf words = { 0 }, empty = { 0 };

	(void)state;
	progress_text_counts(&words, counts);
	assert_string_equal(buf_text(&words), "3 running, 37 waiting, 12 succeeded, 4 not started");
	progress_text_counts(&empty, none);
	assert_string_equal(buf_text(&empty), "");
}

static void a_metric_that_is_no_json_shows_nothing(void **state)
{
	autobuf struct buf words = { 0 };

	(void)state;
	progress_text_metric(&words, "{\"loss\": nan");
	progress_text_metric(&words, NULL);
	assert_string_equal(buf_text(&words), "");
}

static void assert_row(const struct terminal *terminal, const char *name, const char *expected)
{
	struct progress_layout layout = { 0 };
	autobuf struct buf row = { 0 };
	struct terminal_line line = terminal_line_start(terminal, &row, SIZE_MAX);

	for (size_t i = 0; i < run->dag->steps_count; i++)
		progress_text_measure(&layout, &run->tasks[i]);
	progress_text_row(&line, &layout, fixture_task(run, name), FIXTURE_NOW_MS);
	assert_string_equal(buf_text(&row), expected);
}

static void a_row_tells_state_time_metric_and_attempt(void **state)
{
	struct terminal wide = { .utf8 = true, .columns = 200 }, narrow = { .utf8 = true, .columns = 40 };
	struct terminal ascii = { .columns = 200 };
	struct attempt *attempt;

	(void)state;
	fixture_set(run, "train", TASK_RUNNING, REASON_NONE, "");
	attempt = fixture_attempt(run, "train", 2, ATTEMPT_RUNNING);
	attempt->row.resumed_from = "e12.npz";
	fixture_task(run, "train")->metric = mem_strdup("{\"epoch\": 31, \"loss\": 0.08}");
	assert_row(&wide, "train",
		   " ●  train    running    10.0s  epoch 31  loss 0.08  attempt 2, resumes from e12.npz");
	assert_row(&ascii, "test", " .  test     waiting         ");
	assert_row(&narrow, "train", " ●  train    running    10.0s  epoch 31…");
	attempt->row.state = ATTEMPT_UNREACHABLE;
	attempt->row.unreachable_wall_ms = FIXTURE_NOW_MS - 1000;
	assert_row(&wide, "train",
		   " ●  train    unreachable    10.0s  no contact with worker local since 11:59:59"
		   "  attempt 2, resumes from e12.npz");
}

static void a_message_in_a_row_is_harmless(void **state)
{
	struct terminal wide = { .utf8 = true, .columns = 200 };

	(void)state;
	fixture_set(run, "test", TASK_FAILED, REASON_EXIT, "\033]0;owned\007");
	assert_row(&wide, "test", " ✗  test     failed            \\x1b]0;owned\\x07");
}

/* --- plain lines ---------------------------------------------------------------------------------------- */

static const char *written(void)
{
	static char text[1 << 20];
	ssize_t n = pread(fileno(out), text, sizeof text - 1, 0);

	assert_true(n >= 0);
	text[n] = '\0';
	return text;
}

/* The text so far, each time of day replaced by TIME. */
static const char *plain(void)
{
	static char masked[4000];
	size_t n = 0;

	for (const char *text = written(), *at = text; *at != '\0' && n < sizeof masked - 8; at++) {
		bool begins = at == text || at[-1] == '\n';

		if (begins && at[0] >= '0' && at[0] <= '2' && at[2] == ':' && at[5] == ':') {
			memcpy(masked + n, "TIME", 4);
			n += 4;
			at += 7;
		} else {
			masked[n++] = *at;
		}
	}
	masked[n] = '\0';
	return masked;
}

static void a_run_is_told_line_by_line(void **state)
{
	struct progress *progress = progress_new(out, false, run);
	struct task *task = fixture_set(run, "extract", TASK_RUNNING, REASON_NONE, "");

	(void)state;
	fixture_attempt(run, "extract", 1, ATTEMPT_RUNNING);
	progress_moved(progress, task);
	progress_moved(progress, task);
	progress_note(progress, task, "e1.npz passed over: cut\nshort");
	task->live = NULL;
	task->row.started_wall_ms = 1000;
	task->row.ended_wall_ms = 3500;
	fixture_set(run, "extract", TASK_SUCCEEDED, REASON_NONE, "");
	progress_moved(progress, task);
	progress_note(progress, NULL, "asked the steps to stop");
	progress_tick(progress);
	assert_string_equal(plain(), "TIME night/7  starts: 3 tasks\n"
				     "TIME extract  running\n"
				     "TIME extract  e1.npz passed over: cut\\x0ashort\n"
				     "TIME extract  succeeded in 2.5s\n"
				     "TIME night/7  asked the steps to stop\n");
	progress_free(progress);
}

static void a_run_taken_up_again_begins_with_what_is_alive(void **state)
{
	struct progress *progress;

	(void)state;
	fixture_set(run, "extract", TASK_SUCCEEDED, REASON_NONE, "");
	fixture_set(run, "train", TASK_RUNNING, REASON_NONE, "");
	fixture_attempt(run, "train", 2, ATTEMPT_RUNNING)->row.resumed_from = "e3.npz";
	progress = progress_new(out, false, run);
	assert_string_equal(plain(), "TIME night/7  is taken up again: 1 running, 1 waiting, 1 succeeded\n"
				     "TIME train    running   attempt 2, resumes from e3.npz\n");
	progress_free(progress);
}

static void a_failed_run_ends_with_its_cause_and_the_way_on(void **state)
{
	struct progress *progress = progress_new(out, false, run);
	struct task *train = fixture_set(run, "train", TASK_FAILED, REASON_EXIT, "exit code 3");

	(void)state;
	train->row.ended_wall_ms = FIXTURE_NOW_MS;
	progress_moved(progress, train);
	progress_moved(progress, fixture_set(run, "extract", TASK_SUCCEEDED, REASON_NONE, ""));
	progress_moved(progress, fixture_set(run, "test", TASK_UPSTREAM_FAILED, REASON_UPSTREAM,
					     "needs train, which failed"));
	run->row.state = RUN_FAILED;
	run->row.ended_wall_ms = FIXTURE_NOW_MS;
	progress_finish(progress);
	progress_finish(progress);
	assert_string_equal(plain(), "TIME night/7  starts: 3 tasks\n"
				     "TIME train    failed: exit code 3\n"
				     "TIME extract  succeeded in 0ms\n"
				     "TIME test     not started: needs train, which failed\n"
				     "TIME night/7 failed after 1m00s: 1 failed, 1 succeeded, 1 not started\n"
				     "  train failed: exit code 3\n"
				     "  why:       stoker why night/7\n"
				     "  its log:   stoker logs night/7 train\n"
				     "  to go on:  stoker run --resume night/7\n");
	progress_free(progress);
}

static void a_run_that_is_left_says_how_to_take_it_up(void **state)
{
	struct progress *progress = progress_new(out, false, run);

	(void)state;
	progress_finish(progress);
	assert_non_null(strstr(plain(), "night/7 goes on without this process: 3 waiting\n"
					"  to go on:  stoker run --resume night/7\n"));
	progress_free(progress);
}

static void a_thousand_unstarted_tasks_do_not_flood_the_output(void **state)
{
	autobuf struct buf wide = { 0 };
	struct progress *progress;
	size_t lines = 0;

	(void)state;
	buf_append_text(&wide, "name: night\nsteps:\n  root: {run: x}\n");
	for (int i = 0; i < 1000; i++)
		buf_printf(&wide, "  s%d: {needs: [root], run: x}\n", i);
	run_free(run);
	run = fixture_run(buf_text(&wide));
	progress = progress_new(out, false, run);
	for (size_t i = 1; i <= 1000; i++)
		progress_moved(progress, fixture_set(run, run->dag->steps[i].name, TASK_UPSTREAM_FAILED,
						     REASON_UPSTREAM, "needs root, which failed"));
	progress_tick(progress);
	for (const char *at = written(); (at = strchr(at, '\n')) != NULL; at++)
		lines++;
	assert_in_range(lines, 2, 10);
	progress_free(progress);
}

/* --- in place ------------------------------------------------------------------------------------------- */

struct screen {
	int master;
	FILE *file;
};

static struct screen screen_open(unsigned short rows, unsigned short columns)
{
	struct screen screen = { .master = posix_openpt(O_RDWR | O_NOCTTY) };
	struct winsize size = { .ws_row = rows, .ws_col = columns };

	/* A machine without pseudo terminals (a bare chroot) cannot tell. */
	if (screen.master < 0 || grantpt(screen.master) != 0 || unlockpt(screen.master) != 0)
		skip();
	screen.file = fopen(ptsname(screen.master), "w");
	if (screen.file == NULL)
		skip();
	assert_int_equal(ioctl(screen.master, TIOCSWINSZ, &size), 0);
	return screen;
}

static void screen_resize(const struct screen *screen, unsigned short rows, unsigned short columns)
{
	struct winsize size = { .ws_row = rows, .ws_col = columns };

	assert_int_equal(ioctl(screen->master, TIOCSWINSZ, &size), 0);
}

static const char a_drawing[] = "\033[J", a_line[] = "\n", nothing[] = "";

static bool ends_with(const struct buf *bytes, const char *tail)
{
	size_t n = strlen(tail);

	return bytes->bytes >= n && memcmp(buf_text(bytes) + bytes->bytes - n, tail, n) == 0;
}

/* What was written since the last call, up to `tail` at the least, and for a moment more. */
static void screen_read(const struct screen *screen, const char *tail, struct buf *bytes)
{
	struct pollfd ready = { .fd = screen->master, .events = POLLIN };
	char chunk[4096];

	buf_clear(bytes);
	while (poll(&ready, 1, ends_with(bytes, tail) ? 50 : 30000) == 1) {
		ssize_t n = read(screen->master, chunk, sizeof chunk);

		if (n <= 0)
			break;
		buf_append(bytes, chunk, (size_t)n);
	}
}

static void screen_close(struct screen *screen)
{
	fclose(screen->file);
	close(screen->master);
}

/* Columns of the widest line, and how many there are; escape sequences take none. */
static size_t measure(const struct buf *bytes, size_t *widest_out)
{
	size_t lines = 0, columns = 0;

	*widest_out = 0;
	for (const char *at = buf_text(bytes); *at != '\0'; at++) {
		if (*at == '\033') {
			at += strcspn(at, "AJKm");
		} else if (*at == '\n') {
			lines++;
			columns = 0;
		} else if (*at != '\r' && ((unsigned char)*at & 0xc0) != 0x80 && ++columns > *widest_out) {
			*widest_out = columns;
		}
	}
	return lines;
}

enum { DRAWING_MS = 100 }; /* the least between two */

static void wait_for_the_next_drawing(void)
{
	usleep((DRAWING_MS + 10) * 1000);
}

/* Draws, and tells of `name` that it has succeeded before the next drawing is due: a few tries, where this is busy. */
static void draw_and_go_on_at_once(const struct screen *screen, struct progress *progress, const char *name,
				   struct buf *bytes)
{
	int64_t began_ms, took_ms;

	do {
		progress_moved(progress, fixture_set(run, name, TASK_RUNNING, REASON_NONE, ""));
		wait_for_the_next_drawing();
		began_ms = clock_mono_ms();
		progress_tick(progress);
		progress_moved(progress, fixture_set(run, name, TASK_SUCCEEDED, REASON_NONE, ""));
		progress_tick(progress);
		took_ms = clock_mono_ms() - began_ms;
		screen_read(screen, a_drawing, bytes);
	} while (took_ms >= DRAWING_MS);
}

static void the_view_is_drawn_in_place_and_only_when_it_changed(void **state)
{
	struct screen screen = screen_open(24, 80);
	struct progress *progress = progress_new(screen.file, true, run);
	autobuf struct buf bytes = { 0 };
	size_t widest;

	(void)state;
	run->row.started_wall_ms = 0; /* nothing that moves by itself */
	progress_tick(progress);
	screen_read(&screen, a_drawing, &bytes);
	assert_int_equal(measure(&bytes, &widest), 4);
	assert_null(strstr(buf_text(&bytes), "\033[4A"));
	draw_and_go_on_at_once(&screen, progress, "extract", &bytes);
	assert_non_null(strstr(buf_text(&bytes), "running"));
	assert_null(strstr(buf_text(&bytes), "succeeded")); /* too soon */
	wait_for_the_next_drawing();
	progress_tick(progress);
	screen_read(&screen, a_drawing, &bytes);
	assert_int_equal(memcmp(buf_text(&bytes), "\r\033[4A", 5), 0);
	assert_non_null(strstr(buf_text(&bytes), "succeeded"));
	wait_for_the_next_drawing();
	progress_tick(progress);
	screen_read(&screen, nothing, &bytes);
	assert_int_equal(bytes.bytes, 0);
	progress_free(progress);
	screen_close(&screen);
}

static void a_narrower_screen_is_cleared_of_wrapped_lines(void **state)
{
	struct screen screen = screen_open(24, 80);
	struct progress *progress;
	autobuf struct buf bytes = { 0 };
	size_t widest;

	(void)state;
	fixture_set(run, "train", TASK_FAILED, REASON_EXIT, "0123456789 0123456789 0123456789 0123456789");
	run->row.started_wall_ms = 0;
	progress = progress_new(screen.file, true, run);
	progress_tick(progress);
	screen_read(&screen, a_drawing, &bytes);
	measure(&bytes, &widest);
	assert_in_range(widest, 61, 79);
	screen_resize(&screen, 24, 30);
	wait_for_the_next_drawing();
	progress_tick(progress);
	screen_read(&screen, a_drawing, &bytes);
	/* The header took two lines there, the row of train three, the other rows one each. */
	assert_int_equal(memcmp(buf_text(&bytes), "\r\033[7A", 5), 0);
	assert_int_equal(measure(&bytes, &widest), 4);
	assert_in_range(widest, 20, 29);
	progress_free(progress);
	screen_close(&screen);
}

static struct run *wide_run(void)
{
	autobuf struct buf wide = { 0 };

	buf_append_text(&wide, "name: night\nsteps:\n");
	for (int i = 0; i < 200; i++)
		buf_printf(&wide, "  s%03d: {run: x}\n", i);
	return fixture_run(buf_text(&wide));
}

static void what_runs_and_what_failed_is_shown_first(void **state)
{
	struct screen screen = screen_open(10, 80);
	struct progress *progress;
	autobuf struct buf bytes = { 0 };
	size_t widest;

	(void)state;
	run_free(run);
	run = wide_run();
	for (int i = 0; i < 100; i++)
		run->tasks[i].row.state = TASK_SUCCEEDED;
	fixture_set(run, "s020", TASK_FAILED, REASON_EXIT, "exit code 3");
	fixture_set(run, "s150", TASK_RUNNING, REASON_NONE, "");
	fixture_attempt(run, "s150", 1, ATTEMPT_RUNNING);
	progress = progress_new(screen.file, true, run);
	progress_tick(progress);
	screen_read(&screen, a_drawing, &bytes);
	assert_int_equal(measure(&bytes, &widest), 9); /* and one for the cursor */
	assert_non_null(strstr(buf_text(&bytes), "s020"));
	assert_non_null(strstr(buf_text(&bytes), "s150"));
	assert_non_null(strstr(buf_text(&bytes), "and 94 waiting, 99 succeeded"));
	progress_free(progress);
	screen_close(&screen);
}

static void the_last_state_stays_on_the_screen(void **state)
{
	struct screen screen = screen_open(24, 80);
	struct progress *progress = progress_new(screen.file, true, run);
	autobuf struct buf bytes = { 0 };
	const char *row, *summary;

	(void)state;
	progress_tick(progress);
	screen_read(&screen, a_drawing, &bytes);
	for (size_t i = 0; i < run->dag->steps_count; i++)
		progress_moved(progress,
			       fixture_set(run, run->dag->steps[i].name, TASK_SUCCEEDED, REASON_NONE, ""));
	run->row.state = RUN_SUCCEEDED;
	run->row.ended_wall_ms = FIXTURE_NOW_MS;
	progress_finish(progress);
	screen_read(&screen, a_line, &bytes);
	row = strstr(buf_text(&bytes), "test");
	summary = strstr(buf_text(&bytes), "night/7\033[0m");
	assert_non_null(row);
	assert_non_null(summary);
	assert_non_null(strstr(row, " in 1m00s: 3 succeeded"));
	assert_null(strstr(row, "\033[J\033[J"));
	progress_free(progress);
	screen_close(&screen);
}

static void a_note_stands_above_the_view(void **state)
{
	struct screen screen = screen_open(24, 80);
	struct progress *progress = progress_new(screen.file, true, run);
	autobuf struct buf bytes = { 0 };
	const char *note, *header;

	(void)state;
	progress_tick(progress);
	screen_read(&screen, a_drawing, &bytes);
	progress_note(progress, fixture_task(run, "train"), "e7.npz passed over\033[2J");
	progress_tick(progress);
	screen_read(&screen, a_drawing, &bytes);
	note = strstr(buf_text(&bytes), "e7.npz passed over\\x1b[2J");
	assert_non_null(note);
	header = strstr(note, "night/7");
	assert_non_null(header);
	assert_int_equal(memcmp(buf_text(&bytes), "\r\033[4A\033[J", 8), 0);
	progress_free(progress);
	screen_close(&screen);
}

static void a_dumb_terminal_gets_plain_lines(void **state)
{
	struct screen screen = screen_open(24, 80);
	struct progress *progress;
	autobuf struct buf bytes = { 0 };

	(void)state;
	setenv("TERM", "dumb", 1);
	progress = progress_new(screen.file, true, run);
	progress_tick(progress);
	screen_read(&screen, a_line, &bytes);
	setenv("TERM", "xterm", 1);
	assert_null(strchr(buf_text(&bytes), '\033'));
	assert_non_null(strstr(buf_text(&bytes), "starts: 3 tasks"));
	progress_free(progress);
	screen_close(&screen);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(each_move_that_matters_has_its_words),
		TEST(nothing_new_has_no_words),
		TEST(counts_leave_out_what_there_is_none_of),
		TEST(a_metric_that_is_no_json_shows_nothing),
		TEST(a_row_tells_state_time_metric_and_attempt),
		TEST(a_message_in_a_row_is_harmless),
		TEST(a_run_is_told_line_by_line),
		TEST(a_run_taken_up_again_begins_with_what_is_alive),
		TEST(a_failed_run_ends_with_its_cause_and_the_way_on),
		TEST(a_run_that_is_left_says_how_to_take_it_up),
		TEST(a_thousand_unstarted_tasks_do_not_flood_the_output),
		TEST(the_view_is_drawn_in_place_and_only_when_it_changed),
		TEST(a_narrower_screen_is_cleared_of_wrapped_lines),
		TEST(what_runs_and_what_failed_is_shown_first),
		TEST(the_last_state_stays_on_the_screen),
		TEST(a_note_stands_above_the_view),
		TEST(a_dumb_terminal_gets_plain_lines),
	};

	setenv("TZ", "UTC", 1);
	setenv("TERM", "xterm", 1);
	unsetenv("NO_COLOR");
	tzset();
	return cmocka_run_group_tests(tests, NULL, NULL);
}
