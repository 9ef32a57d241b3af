#include "scheduler/follow.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "common/clock.h"
#include "common/mem.h"
#include "common/scope.h"
#include "scheduler/client.h"
#include "scheduler/command.h"
#include "scheduler/listing.h"
#include "scheduler/moment.h"
#include "scheduler/task.h"
#include "scheduler/terminal.h"
#include "scheduler/view.h"

enum {
	LOOK_MS = 200,
	LOOKS_PER_ANSWER = 20, /* an answer may take a twentieth of the time between two looks */
	AWAY_MS = 5 * 60 * 1000,
	LINE_BYTES_MAX = 64 * 1024,
	PIECE_BYTES = 256 * 1024,
	NAME_COLUMNS_MAX = 24,
};

/* What was told of a task. */
struct told {
	char state[32];
	int64_t attempt;     /* whose log is being copied; 0: none yet */
	uint64_t log_offset; /* copied of it */
	struct buf line;     /* the beginning of a line whose end is still to come */
};

struct follow {
	struct client **client;
	const char *run;
	bool quiet;
	struct arena arena;
	struct told *tasks;
	size_t tasks_count;
	int name_columns;
	bool started;
};

/* --- lines ------------------------------------------------------------------------------------------------ */

static void tell(const struct follow *follow, const char *task, const char *text)
{
	autobuf struct buf line = { 0 };
	char at[MOMENT_BYTES];

	if (follow->quiet)
		return;
	buf_printf(&line, "%s %-*s  ", moment_clock(clock_wall_ms(), at), task == NULL ? 0 : follow->name_columns,
		   task == NULL ? follow->run : task);
	terminal_escape(&line, text);
	buf_append_byte(&line, '\n');
	fflush(stdout);
	fwrite(line.data, 1, line.bytes, stderr);
}

static void print_log_line(const char *task, const void *bytes, size_t n)
{
	printf("%s | ", task);
	fwrite(bytes, 1, n, stdout);
	putchar('\n');
}

/* A line that never ends is cut, so that it takes no more than its share of memory. */
static void print_log(struct told *told, const char *task, const struct buf *piece)
{
	const uint8_t *at = piece->data, *end = at + piece->bytes;

	while (at < end) {
		const uint8_t *line = memchr(at, '\n', (size_t)(end - at));
		size_t n = (size_t)((line == NULL ? end : line) - at);

		buf_append(&told->line, at, n);
		if (line != NULL || told->line.bytes > LINE_BYTES_MAX) {
			print_log_line(task, told->line.data, told->line.bytes);
			buf_clear(&told->line);
		}
		at += n + (line != NULL);
	}
}

/* --- logs ------------------------------------------------------------------------------------------------- */

static const json_t *attempt_of(const json_t *task, int64_t number)
{
	json_t *attempts = json_object_get(task, "attempts"), *attempt;
	size_t i;

	json_array_foreach(attempts, i, attempt) {
		if (listing_number(attempt, "number") == number)
			return attempt;
	}
	return NULL;
}

/* Copies what there is now of the log of an attempt. */
static int copy_log(struct follow *follow, struct told *told, const char *task, struct err *err)
{
	size_t n;

	do {
		autobuf struct buf piece = { 0 };
		const char *rest = arena_printf(&follow->arena, "/tasks/%s/attempts/%" PRId64 "/log?offset=%" PRIu64 "&limit=%d",
						client_escape(&follow->arena, task), told->attempt, told->log_offset,
						PIECE_BYTES);
		int rc = client_fetch(*follow->client, client_run_path(&follow->arena, follow->run, rest), &piece, err);

		if (rc < 0)
			return rc;
		n = piece.bytes;
		told->log_offset += n;
		print_log(told, task, &piece);
	} while (n == PIECE_BYTES);
	fflush(stdout);
	return 0;
}

/* The attempt has ended, and all that it printed is here. */
static bool is_copied(const struct told *told, const json_t *attempt)
{
	int state = machine_find(attempt_states, ATTEMPT_STATES, listing_text(attempt, "state"));

	return state >= 0 && machine_ended(attempt_states, (unsigned)state) &&
	       told->log_offset >= (uint64_t)listing_number(attempt, "log_bytes");
}

static void end_log(struct told *told, const char *task)
{
	if (told->line.bytes > 0)
		print_log_line(task, told->line.data, told->line.bytes);
	buf_clear(&told->line);
	told->log_offset = 0;
	told->attempt++;
}

/* One attempt after the other. */
static int copy_logs(struct follow *follow, struct told *told, const json_t *task, struct err *err)
{
	const char *name = listing_text(task, "task");
	const json_t *attempt;

	if (told->attempt == 0)
		told->attempt = 1;
	while ((attempt = attempt_of(task, told->attempt)) != NULL) {
		if (!is_copied(told, attempt) && copy_log(follow, told, name, err) < 0)
			return err->code;
		if (!is_copied(told, attempt))
			break;
		end_log(told, name);
	}
	return 0;
}

/* --- states ----------------------------------------------------------------------------------------------- */

static void describe(struct buf *out, const json_t *task)
{
	const char *state = listing_text(task, "state"), *message = listing_text(task, "message");
	size_t attempts = json_array_size(json_object_get(task, "attempts"));
	const json_t *attempt = json_array_get(json_object_get(task, "attempts"), attempts == 0 ? 0 : attempts - 1);
	int64_t started_ms = listing_time(task, "started"), ended_ms = listing_time(task, "ended");
	char span[CLOCK_SPAN_BYTES];

	buf_append_text(out, state);
	if (strcmp(state, "running") == 0 && attempts > 1)
		buf_printf(out, "   attempt %zu", attempts);
	if (strcmp(state, "running") == 0 && listing_text(attempt, "resumed_from")[0] != '\0')
		buf_printf(out, ", resumes from %s", listing_text(attempt, "resumed_from"));
	if (strcmp(state, "succeeded") == 0 && started_ms != 0 && ended_ms != 0)
		buf_printf(out, " in %s", clock_span(ended_ms - started_ms, span));
	else if (message[0] != '\0')
		buf_printf(out, ": %s", message);
}

/* What lies between two looks and ends in nothing is not worth a line. */
static bool is_worth_telling(const char *state)
{
	int found = machine_find(task_states, TASK_STATES, state);

	return found != TASK_WAITING && found != TASK_READY && found != TASK_STARTING;
}

static void tell_task(struct follow *follow, struct told *told, const json_t *task)
{
	const char *state = listing_text(task, "state");
	autobuf struct buf text = { 0 };

	if (strcmp(told->state, state) == 0)
		return;
	snprintf(told->state, sizeof told->state, "%s", state);
	describe(&text, task);
	if (is_worth_telling(state))
		tell(follow, listing_text(task, "task"), buf_text(&text));
}

static void prepare(struct follow *follow, const json_t *tasks)
{
	size_t i;
	json_t *task;

	if (follow->tasks != NULL)
		return;
	follow->tasks_count = json_array_size(tasks);
	follow->tasks = mem_array(follow->tasks_count + 1, sizeof *follow->tasks);
	json_array_foreach((json_t *)(uintptr_t)tasks, i, task) {
		int columns = (int)strlen(listing_text(task, "task"));

		if (columns > follow->name_columns && columns <= NAME_COLUMNS_MAX)
			follow->name_columns = columns;
	}
}

static int tell_tasks(struct follow *follow, json_t *run, struct err *err)
{
	json_t *tasks = json_object_get(run, "tasks"), *task;
	size_t i;
	int rc = 0;

	prepare(follow, tasks);
	if (!follow->started && strcmp(listing_text(run, "state"), "queued") != 0) {
		follow->started = true;
		tell(follow, NULL, "starts");
	}
	json_array_foreach(tasks, i, task) {
		if (rc == 0 && i < follow->tasks_count && !follow->quiet) {
			tell_task(follow, &follow->tasks[i], task);
			rc = copy_logs(follow, &follow->tasks[i], task, err);
		}
	}
	return rc;
}

/* --- the run ---------------------------------------------------------------------------------------------- */

static void pause_ms(int64_t ms)
{
	nanosleep(&(struct timespec){ .tv_sec = ms / 1000, .tv_nsec = ms % 1000 * 1000000 }, NULL);
}

/* The daemon went away: it may be on its way back, with all that it knew. */
static int reconnect(struct follow *follow, struct err *err)
{
	int64_t until_mono_ms = clock_mono_ms() + AWAY_MS;
	const char *home;
	int rc = store_home(&follow->arena, &home, err);

	fprintf(stderr, "stoker: the daemon is gone; waiting for it to come back\n");
	client_close(*follow->client);
	*follow->client = NULL;
	while (rc == 0 && *follow->client == NULL) {
		pause_ms(LOOK_MS);
		rc = client_open(home, follow->client, err);
		if (rc == ERR_NOT_FOUND && clock_mono_ms() < until_mono_ms)
			rc = 0;
	}
	return rc;
}

static int finish(const struct follow *follow, const json_t *run)
{
	const char *state = listing_text(run, "state"), *reason = listing_text(run, "reason");
	int64_t started_ms = listing_time(run, "started"), ended_ms = listing_time(run, "ended");
	autobuf struct buf text = { 0 };
	char span[CLOCK_SPAN_BYTES];

	buf_append_text(&text, state);
	if (started_ms != 0 && ended_ms != 0)
		buf_printf(&text, " in %s", clock_span(ended_ms - started_ms, span));
	if (reason[0] != '\0' && strcmp(state, "succeeded") != 0)
		buf_printf(&text, ": %s", reason);
	tell(follow, NULL, buf_text(&text));
	if (strcmp(state, "failed") == 0 && !follow->quiet)
		fprintf(stderr, "stoker: why: stoker why %s; again: stoker retry %s\n", follow->run, follow->run);
	return strcmp(state, "succeeded") == 0 ? COMMAND_DONE
	       : strcmp(state, "canceled") == 0 ? COMMAND_CANCELED
						: COMMAND_FAILED;
}

static int look(struct follow *follow, json_t **run_out, int64_t *took_ms_out, struct err *err)
{
	int64_t began_mono_ms = clock_mono_ms();
	int rc;

	arena_fini(&follow->arena);
	rc = client_get(*follow->client, client_run_path(&follow->arena, follow->run, ""), run_out, err);
	*took_ms_out = clock_mono_ms() - began_mono_ms;
	return rc == 0 ? tell_tasks(follow, *run_out, err) : rc;
}

static int watch(struct follow *follow)
{
	for (;;) {
		autojson json_t *run = NULL;
		int64_t took_ms;
		struct err err;
		int rc = look(follow, &run, &took_ms, &err);

		if (rc == ERR_IO)
			rc = reconnect(follow, &err);
		if (rc < 0)
			return command_fail(&err);
		if (!json_is_null(json_object_get(run, "ended")) && run != NULL)
			return finish(follow, run);
		pause_ms(took_ms * LOOKS_PER_ANSWER > LOOK_MS ? took_ms * LOOKS_PER_ANSWER : LOOK_MS);
	}
}

int follow_run(struct client **client, const char *run, bool quiet)
{
	struct follow follow = { .client = client, .run = run, .quiet = quiet };
	int status;

	arena_init(&follow.arena);
	status = watch(&follow);
	for (size_t i = 0; i < follow.tasks_count; i++)
		buf_fini(&follow.tasks[i].line);
	free(follow.tasks);
	arena_fini(&follow.arena);
	return status;
}
