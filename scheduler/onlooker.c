#include "scheduler/onlooker.h"

#include <inttypes.h>
#include <jansson.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "common/clock.h"
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

static bool has_ended(const struct onlooker_state *follower)
{
	return machine_ended(run_states, follower->run->row.state);
}

/* --- reading -------------------------------------------------------------------------------------------- */

static bool task_differs(const struct task *before, const struct task *now)
{
	return before->row.state != now->row.state || before->row.attempts != now->row.attempts ||
	       (before->live == NULL) != (now->live == NULL) ||
	       (before->live != NULL && before->live->row.state != now->live->row.state);
}

/* Takes over what was read: rows, and who runs. Texts stay with `read`, which lives until the next reading. */
static void take_over(struct onlooker_state *follower, struct run *read)
{
	struct run *before = follower->read;

	for (size_t i = 0; i < follower->run->dag->steps_count; i++) {
		struct task *task = &follower->run->tasks[i];
		bool differs = task_differs(task, &read->tasks[i]);

		task->row = read->tasks[i].row;
		task->live = read->tasks[i].live;
		if (differs)
			progress_moved(follower->progress, task);
	}
	follower->run->row.state = read->row.state;
	follower->run->row.reason = read->row.reason;
	follower->run->row.started_wall_ms = read->row.started_wall_ms;
	follower->run->row.ended_wall_ms = read->row.ended_wall_ms;
	follower->run->row.cancel_wall_ms = read->row.cancel_wall_ms;
	follower->read = read;
	run_free(before);
}

static int read_again(struct onlooker_state *follower, struct err *err)
{
	struct run *read;

	if (!store_has_changed(follower->store))
		return 0;
	if (store_load_run(follower->store, follower->id, &read, err) < 0)
		return err->code;
	take_over(follower, read);
	return 0;
}

/* --- what to say meanwhile ------------------------------------------------------------------------------ */

/* While it is queued: what it waits for, each time that is something else. */
static void say_why(struct onlooker_state *follower)
{
	autojson json_t *why = NULL;
	const char *text;

	if (follower->run->row.state != RUN_QUEUED ||
	    clock_mono_ms() - follower->sentence_ms < WAITING_LOOK_MS)
		return;
	follower->sentence_ms = clock_mono_ms();
	if (view_why(follower->store, follower->id, -1, &why, NULL) < 0)
		return;
	text = json_string_value(json_object_get(why, "why"));
	if (text == NULL || strncmp(text, follower->sentence, sizeof follower->sentence - 1) == 0)
		return;
	snprintf(follower->sentence, sizeof follower->sentence, "%s", text);
	progress_note(follower->progress, NULL, text);
}

static void take_interrupt(struct onlooker_state *follower)
{
	static const char *const said[] = {
		"interrupted: steps are asked to stop and save their state (Ctrl-C again stops them at once)",
		"interrupted again: steps are stopped at once",
	};
	struct err err;

	if (follower->interrupts >= interrupts)
		return;
	follower->interrupts++;
	if (follower->how->cancel == NULL || follower->interrupts > 2) {
		follower->left = true;
		return;
	}
	progress_note(follower->progress, NULL, said[follower->interrupts - 1]);
	if (follower->how->cancel(follower->how->context, follower->interrupts > 1, &err) < 0)
		progress_note(follower->progress, NULL, err.text);
}

static bool is_abandoned(const struct onlooker_state *follower)
{
	const struct run_row *row = &follower->run->row;

	return !owner_is_alive(follower->store->home, row->dag, row->number, NULL);
}

/* --- the end -------------------------------------------------------------------------------------------- */

static int status_of(const struct onlooker_state *follower)
{
	switch (follower->run->row.state) {
	case RUN_SUCCEEDED:
		return COMMAND_DONE;
	case RUN_CANCELED:
		return COMMAND_CANCELED;
	default:
		return COMMAND_FAILED;
	}
}

static int leave(struct onlooker_state *follower)
{
	const struct run_row *row = &follower->run->row;

	progress_free(take(follower->progress));
	if (follower->left)
		fprintf(stderr, "stoker: left %s/%" PRIu64 "; it goes on (`stoker status %s/%" PRIu64 "`)\n", row->dag,
			row->number, row->dag, row->number);
	else
		fprintf(stderr,
			"stoker: nobody drives %s/%" PRIu64 " any more; its steps run on. Start the daemon again"
			" (`stoker serve`), or take the run over: stoker run --resume %s/%" PRIu64 "\n",
			row->dag, row->number, row->dag, row->number);
	return follower->left ? COMMAND_CANCELED : COMMAND_UNREACHABLE;
}

static int watch(struct onlooker_state *follower, struct err *err)
{
	while (!has_ended(follower)) {
		if (is_abandoned(follower)) { /* it may have ended just now */
			if (read_again(follower, err) < 0)
				return command_fail(err);
			if (!has_ended(follower))
				return leave(follower);
			break;
		}
		take_interrupt(follower);
		if (follower->left)
			return leave(follower);
		if (read_again(follower, err) < 0)
			return command_fail(err);
		say_why(follower);
		progress_tick(follower->progress);
		if (!has_ended(follower))
			nanosleep(&(struct timespec){ .tv_nsec = ONLOOKER_LOOK_MS * 1000000 }, NULL);
	}
	progress_finish(follower->progress);
	return status_of(follower);
}

int onlooker_watch(struct store *store, uint64_t run, const struct onlooker *how)
{
	struct onlooker_state follower = { .store = store, .how = how, .id = run };
	struct sigaction on_int = { .sa_handler = on_interrupt }, before;
	struct err err;
	int status;

	store_has_changed(store);
	if (store_load_run(store, run, &follower.run, &err) < 0)
		return command_fail(&err);
	sigaction(SIGINT, &on_int, &before);
	follower.progress = progress_new(stderr, isatty(STDERR_FILENO) == 1, follower.run);
	status = watch(&follower, &err);
	sigaction(SIGINT, &before, NULL);
	progress_free(follower.progress);
	run_free(follower.read);
	run_free(follower.run);
	return status;
}
