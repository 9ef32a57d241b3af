#include "scheduler/foreground.h"

#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <uv.h>

#include "common/clock.h"
#include "common/log.h"
#include "common/mem.h"
#include "common/scope.h"
#include "scheduler/command.h"
#include "scheduler/engine.h"
#include "scheduler/outbox.h"
#include "scheduler/owner.h"
#include "scheduler/paths.h"
#include "scheduler/progress.h"
#include "scheduler/settings.h"
#include "scheduler/store_outbox.h"

enum { DRAW_MS = 100, SIGNAL_COUNT = 3, TELLING_MS = 5000 /* what is not told by then waits for the next stoker */ };

static const int signals[SIGNAL_COUNT] = { SIGINT, SIGTERM, SIGHUP };

struct session {
	uv_loop_t loop;
	struct engine *engine;
	const struct foreground *how;
	const struct run *run;
	struct progress *progress;
	struct store *reader;
	struct outbox *outbox;
	uv_timer_t draw;
	uv_timer_t telling; /* since the run has ended */
	uv_signal_t signals[SIGNAL_COUNT];
	int interrupts;
	int status;
	bool left;
	bool ended; /* and its notices are on their way */
	char name[160]; /* dag/number */
};

static void close_handle(uv_handle_t *handle)
{
	if (!uv_is_closing(handle))
		uv_close(handle, NULL);
}

static void stop(struct session *session)
{
	outbox_stop(session->outbox);
	if (session->engine != NULL)
		engine_stop(session->engine);
	close_handle((uv_handle_t *)&session->draw);
	close_handle((uv_handle_t *)&session->telling);
	for (int i = 0; i < SIGNAL_COUNT; i++)
		close_handle((uv_handle_t *)&session->signals[i]);
}

/* --- who is told ---------------------------------------------------------------------------------------- */

/* Each of the run's notices is tried once; what fails, or takes too long, is kept. */
static void end_telling(struct session *session, const struct outbox_left *left)
{
	if (left->open > 0)
		fprintf(stderr, "stoker: %zu %s could not be delivered yet%s%s: kept, and tried again whenever stoker runs\n",
			left->open, left->open == 1 ? "notice" : "notices", left->error[0] == '\0' ? "" : ": ",
			left->error);
	stop(session);
}

static void look_at_notices(struct session *session, bool time_is_over)
{
	__attribute__((cleanup(arena_fini))) struct arena arena = { 0 };
	struct outbox_left left = { .error = "" };

	if (!session->ended)
		return;
	store_notices_left(session->reader, session->run->row.id, clock_wall_ms(), &arena, &left, NULL);
	if (left.awaited == 0 || time_is_over)
		end_telling(session, &left);
}

static void on_notices(void *context)
{
	look_at_notices(context, false);
}

static void on_telling_over(uv_timer_t *timer)
{
	look_at_notices(timer->data, true);
}

/* Also what others left: whoever runs delivers what is due. */
static int open_outbox(struct session *session, const char *home, struct err *err)
{
	if (store_open_reader(home, &session->reader, err) < 0)
		return err->code;
	session->outbox = outbox_open(&session->loop, engine_writer(session->engine), session->reader,
				      &session->how->settings->notices, on_notices, session);
	outbox_look(session->outbox);
	return 0;
}

/* --- what the engine tells ------------------------------------------------------------------------------ */

static void on_task(void *context, const struct task *task)
{
	struct session *session = context;

	if (session->progress != NULL)
		progress_moved(session->progress, task);
}

static void on_note(void *context, const struct task *task, const char *text)
{
	struct session *session = context;

	if (session->progress != NULL)
		progress_note(session->progress, task, text);
}

static void on_ended(void *context, const struct run *run)
{
	struct session *session = context;

	session->status = command_run_status(run->row.state);
	if (session->how->verb == FOREGROUND_CANCEL && run->row.state == RUN_CANCELED)
		session->status = COMMAND_DONE;
	progress_finish(session->progress);
	session->ended = true;
	uv_timer_start(&session->telling, on_telling_over, TELLING_MS, 0);
	outbox_look(session->outbox);
	look_at_notices(session, false);
}

static void leave(struct session *session, int status)
{
	progress_free(take(session->progress));
	session->left = true;
	session->status = status;
	stop(session);
}

static void on_given_up(void *context, const struct err *err)
{
	struct session *session = context;

	leave(session, COMMAND_FAILED);
	fprintf(stderr, "stoker: %s\n", err->text);
}

static const struct engine_handler handler = {
	.on_task = on_task,
	.on_note = on_note,
	.on_ended = on_ended,
	.on_given_up = on_given_up,
};

/* --- signals -------------------------------------------------------------------------------------------- */

static void on_interrupt(struct session *session)
{
	static const char *const said[] = {
		"interrupted: steps are asked to stop and save their state (Ctrl-C again stops them at once)",
		"interrupted again: steps are stopped at once",
	};

	if (++session->interrupts > 2) {
		leave(session, COMMAND_CANCELED);
		return;
	}
	progress_note(session->progress, NULL, said[session->interrupts - 1]);
	engine_cancel(session->engine, session->run->row.id, session->interrupts > 1, session->how->actor,
		      session->how->origin);
}

static void on_signal(uv_signal_t *watcher, int signal)
{
	struct session *session = watcher->data;

	if (session->ended)
		stop(session); /* its status stands; the notices are kept */
	else if (signal == SIGINT)
		on_interrupt(session);
	else
		leave(session, 128 + signal);
}

static void on_draw(uv_timer_t *timer)
{
	struct session *session = timer->data;

	if (session->progress != NULL && !session->ended)
		progress_tick(session->progress);
	log_flush();
}

/* --- the drive ------------------------------------------------------------------------------------------ */

static int find_from_step(const struct run *run, const char *name, int *step_out, struct err *err)
{
	const struct dag_step *step;

	*step_out = -1;
	if (name == NULL)
		return 0;
	step = dag_find_step(run->dag, name);
	if (step == NULL)
		return err_set(err, ERR_NOT_FOUND, "%s has no step '%s'", run->row.dag, name);
	*step_out = (int)step->index;
	return 0;
}

/* True when there is nothing to drive; says so. */
static bool is_done_already(const struct session *session)
{
	const struct run *run = session->run;

	if (!machine_ended(run_states, run->row.state))
		return false;
	if (session->how->verb == FOREGROUND_CANCEL || run->row.state == RUN_SUCCEEDED)
		if (session->how->verb != FOREGROUND_RETRY || session->how->from_step == NULL) {
			fprintf(stderr, "stoker: %s has %s already: there is nothing to do\n", session->name,
				run_states[run->row.state].name);
			return true;
		}
	return false;
}

static int begin(struct session *session, struct err *err)
{
	const struct run *run = session->run;
	int from_step;

	if (find_from_step(run, session->how->from_step, &from_step, err) < 0)
		return err->code;
	session->progress = progress_new(stderr, isatty(STDERR_FILENO) == 1, run);
	if (machine_ended(run_states, run->row.state))
		engine_retry(session->engine, run->row.id, from_step, session->how->actor,
			     session->how->origin);
	engine_start(session->engine);
	if (session->how->verb == FOREGROUND_CANCEL)
		engine_cancel(session->engine, run->row.id, session->how->now, session->how->actor,
			      session->how->origin);
	return 0;
}

/*
 * Signals are watched before the run is ours: whoever sees that it is may send one, and it waits for the loop
 * instead of ending us without a word.
 */
static void watch(struct session *session)
{
	uv_timer_init(&session->loop, &session->draw);
	uv_timer_init(&session->loop, &session->telling);
	session->draw.data = session->telling.data = session;
	for (int i = 0; i < SIGNAL_COUNT; i++) {
		uv_signal_init(&session->loop, &session->signals[i]);
		session->signals[i].data = session;
		uv_signal_start(&session->signals[i], on_signal, signals[i]);
	}
	signal(SIGPIPE, SIG_IGN);
}

static void open_run_log(const char *home, const struct run *run)
{
	struct arena arena;

	arena_init(&arena);
	log_open(arena_printf(&arena, "%s/run.log",
			      paths_run_dir(&arena, home, run->row.dag, run->row.number)),
		 getenv("STOKER_DEBUG") != NULL ? LOG_DEBUG : LOG_INFO, false);
	arena_fini(&arena);
}

static void run_out(struct session *session)
{
	uv_run(&session->loop, UV_RUN_DEFAULT);
	uv_loop_close(&session->loop);
}

static int drive(struct session *session, const char *home, uint64_t id, struct err *err)
{
	const struct run *run;

	if (engine_add_run(session->engine, id, &run, err) < 0)
		return command_fail(err);
	session->run = run;
	snprintf(session->name, sizeof session->name, "%s/%" PRIu64, run->row.dag, run->row.number);
	if (is_done_already(session))
		return COMMAND_DONE;
	open_run_log(home, run);
	uv_timer_start(&session->draw, on_draw, DRAW_MS, DRAW_MS);
	if (open_outbox(session, home, err) < 0 || begin(session, err) < 0)
		return command_fail(err);
	run_out(session);
	progress_wait(session->progress);
	progress_free(session->progress);
	if (session->left)
		fprintf(stderr,
			"stoker: left %s; its steps run on. Take it up again with: stoker run --resume %s\n",
			session->name, session->name);
	log_close();
	return session->status;
}

/*
 * The run is ours before its rows are read: those of a driver that is just ending would be old a moment
 * later.
 */
static int take_run(struct store *store, uint64_t run, int *owner_out, struct err *err)
{
	struct arena arena;
	const char *dag;
	uint64_t number;

	arena_init(&arena);
	if (store_name_run(store, run, &arena, &dag, &number, err) == 0)
		owner_take_over(store->home, dag, number, owner_out, err);
	arena_fini(&arena);
	return *owner_out < 0 ? err->code : 0;
}

int foreground_drive(struct store *store, uint64_t run, const struct foreground *how)
{
	struct session session = { .how = how, .status = COMMAND_FAILED };
	autofree char *home = mem_strdup(store->home);
	autoclose int owner = how->owner;
	struct err err;

	uv_loop_init(&session.loop);
	watch(&session);
	if (owner < 0 && take_run(store, run, &owner, &err) < 0) {
		store_close(store);
		session.status = command_fail(&err);
	} else if (engine_open(&session.loop, store, how->settings, &handler, &session, &session.engine, &err) < 0) {
		session.status = command_fail(&err);
	} else {
		session.status = drive(&session, home, run, &err);
	}
	stop(&session);
	run_out(&session);
	outbox_free(session.outbox);
	if (session.engine != NULL)
		engine_free(session.engine);
	store_close(session.reader);
	return session.status;
}
