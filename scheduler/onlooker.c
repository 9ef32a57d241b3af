#include "scheduler/onlooker.h"

#include <inttypes.h>
#include <jansson.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "common/clock.h"
#include "common/mem.h"
#include "common/scope.h"
#include "scheduler/command.h"
#include "scheduler/owner.h"
#include "scheduler/progress.h"
#include "scheduler/view.h"

enum { WAITING_LOOK_MS = 1000, NAME_BYTES = 160, SENTENCE_BYTES = 500 };

struct onlooker_state {
	struct store *store;
	const struct onlooker *how;
	uint64_t id;
	struct run *run;  /* what the progress looks at: its rows are those of `read` */
	struct run *read; /* as it was read last; NULL: `run` is */
	struct progress *progress;
	char sentence[SENTENCE_BYTES]; /* why it is queued, as it was said last */
	int64_t sentence_ms;
	int interrupts; /* that were acted upon */
	bool left;
};

static volatile sig_atomic_t interrupts;

static void on_interrupt(int signal)
{
	(void)signal;
	interrupts++;
}

static bool has_ended(const struct onlooker_state *onlooker)
{
	return machine_ended(run_states, onlooker->run->row.state);
}

/* --- reading -------------------------------------------------------------------------------------------- */

static bool task_differs(const struct task *before, const struct task *now)
{
	return before->row.state != now->row.state || before->row.attempts != now->row.attempts ||
	       (before->live == NULL) != (now->live == NULL) ||
	       (before->live != NULL && before->live->row.state != now->live->row.state);
}

/* The line that is shown beside a task that runs. */
static void take_metric(struct onlooker_state *onlooker, struct task *task)
{
	__attribute__((cleanup(arena_fini))) struct arena arena = { 0 };
	const char *json = view_last_metric(onlooker->store, onlooker->id, task->row.step, &arena);

	free(task->metric);
	task->metric = json == NULL ? NULL : mem_strdup(json);
}

/* Takes over what was read: rows, and who runs. Texts stay with `read`, which lives until the next reading. */
static void take_over(struct onlooker_state *onlooker, struct run *read)
{
	struct run *before = onlooker->read;

	for (size_t i = 0; i < onlooker->run->dag->steps_count; i++) {
		struct task *task = &onlooker->run->tasks[i];
		bool differs = task_differs(task, &read->tasks[i]);

		task->row = read->tasks[i].row;
		task->live = read->tasks[i].live;
		if (task->live != NULL)
			take_metric(onlooker, task);
		if (differs)
			progress_moved(onlooker->progress, task);
	}
	onlooker->run->row.state = read->row.state;
	onlooker->run->row.reason = read->row.reason;
	onlooker->run->row.started_wall_ms = read->row.started_wall_ms;
	onlooker->run->row.ended_wall_ms = read->row.ended_wall_ms;
	onlooker->run->row.cancel_wall_ms = read->row.cancel_wall_ms;
	onlooker->read = read;
	run_free(before);
}

static int read_again(struct onlooker_state *onlooker, struct err *err)
{
	struct run *read;

	if (!store_has_changed(onlooker->store))
		return 0;
	if (store_load_run(onlooker->store, onlooker->id, &read, err) < 0)
		return err->code;
	take_over(onlooker, read);
	return 0;
}

/* --- what to say meanwhile ------------------------------------------------------------------------------ */

/* While it is queued: what it waits for, each time that is something else. */
static void say_why(struct onlooker_state *onlooker)
{
	autojson json_t *why = NULL;
	const char *text;

	if (onlooker->run->row.state != RUN_QUEUED ||
	    clock_mono_ms() - onlooker->sentence_ms < WAITING_LOOK_MS)
		return;
	onlooker->sentence_ms = clock_mono_ms();
	if (view_why(onlooker->store, onlooker->id, -1, &why, NULL) < 0)
		return;
	text = json_string_value(json_object_get(why, "why"));
	if (text == NULL || strncmp(text, onlooker->sentence, sizeof onlooker->sentence - 1) == 0)
		return;
	snprintf(onlooker->sentence, sizeof onlooker->sentence, "%s", text);
	progress_note(onlooker->progress, NULL, text);
}

static void take_interrupt(struct onlooker_state *onlooker)
{
	static const char *const said[] = {
		"interrupted: steps are asked to stop and save their state (Ctrl-C again stops them at once)",
		"interrupted again: steps are stopped at once",
	};
	struct err err;

	if (onlooker->interrupts >= interrupts)
		return;
	onlooker->interrupts++;
	if (onlooker->how->cancel == NULL || onlooker->interrupts > 2) {
		onlooker->left = true;
		return;
	}
	progress_note(onlooker->progress, NULL, said[onlooker->interrupts - 1]);
	if (onlooker->how->cancel(onlooker->how->context, onlooker->interrupts > 1, &err) < 0)
		progress_note(onlooker->progress, NULL, err.text);
}

static bool is_abandoned(const struct onlooker_state *onlooker)
{
	const struct run_row *row = &onlooker->run->row;

	return !owner_is_alive(onlooker->store->home, row->dag, row->number, NULL);
}

/* --- the end -------------------------------------------------------------------------------------------- */

static int leave(struct onlooker_state *onlooker)
{
	const struct run_row *row = &onlooker->run->row;

	progress_free(take(onlooker->progress));
	if (onlooker->left)
		fprintf(stderr, "stoker: left %s/%" PRIu64 "; it goes on (`stoker status %s/%" PRIu64 "`)\n", row->dag,
			row->number, row->dag, row->number);
	else
		fprintf(stderr,
			"stoker: nobody drives %s/%" PRIu64 " any more; its steps run on. Start the daemon again"
			" (`stoker serve`), or take the run over: stoker run --resume %s/%" PRIu64 "\n",
			row->dag, row->number, row->dag, row->number);
	return onlooker->left ? COMMAND_CANCELED : COMMAND_UNREACHABLE;
}

static int watch(struct onlooker_state *onlooker, struct err *err)
{
	while (!has_ended(onlooker)) {
		if (is_abandoned(onlooker)) { /* it may have ended just now */
			if (read_again(onlooker, err) < 0)
				return command_fail(err);
			if (!has_ended(onlooker))
				return leave(onlooker);
			break;
		}
		take_interrupt(onlooker);
		if (onlooker->left)
			return leave(onlooker);
		if (read_again(onlooker, err) < 0)
			return command_fail(err);
		say_why(onlooker);
		progress_tick(onlooker->progress);
		if (!has_ended(onlooker))
			nanosleep(&(struct timespec){ .tv_nsec = ONLOOKER_LOOK_MS * 1000000 }, NULL);
	}
	progress_finish(onlooker->progress);
	return command_run_status(onlooker->run->row.state);
}

int onlooker_watch(struct store *store, uint64_t run, const struct onlooker *how)
{
	struct onlooker_state onlooker = { .store = store, .how = how, .id = run };
	struct sigaction on_int = { .sa_handler = on_interrupt }, before;
	struct err err;
	int status;

	onlooker.sentence_ms = clock_mono_ms(); /* a moment of waiting is not worth a word */
	store_has_changed(store);
	if (store_load_run(store, run, &onlooker.run, &err) < 0)
		return command_fail(&err);
	sigaction(SIGINT, &on_int, &before);
	onlooker.progress = progress_new(stderr, isatty(STDERR_FILENO) == 1, onlooker.run);
	status = watch(&onlooker, &err);
	sigaction(SIGINT, &before, NULL);
	progress_wait(onlooker.progress);
	progress_free(onlooker.progress);
	run_free(onlooker.read);
	run_free(onlooker.run);
	return status;
}
