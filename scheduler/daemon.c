#include "scheduler/daemon.h"

#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>
#include <uv.h>

#include "common/clock.h"
#include "common/log.h"
#include "common/mem.h"
#include "common/scope.h"
#include "scheduler/backfiller.h"
#include "scheduler/catalog.h"
#include "scheduler/command.h"
#include "scheduler/control.h"
#include "scheduler/crash.h"
#include "scheduler/desk.h"
#include "scheduler/engine.h"
#include "scheduler/herald.h"
#include "scheduler/janitor.h"
#include "scheduler/lateness.h"
#include "scheduler/outbox.h"
#include "scheduler/owner.h"
#include "scheduler/queue.h"
#include "scheduler/paths.h"
#include "scheduler/precedence.h"
#include "scheduler/readiness.h"
#include "scheduler/token.h"
#include "scheduler/trigger.h"
#include "scheduler/view.h"
#include "scheduler/zones.h"
#include "web/web.h"

enum { SIGNAL_COUNT = 3, TICK_MS = 5000, FILES_MAX = 65536, STATUS_BYTES = 256, SPACE_BYTES = 1 << 20 };

static const int signals[SIGNAL_COUNT] = { SIGTERM, SIGINT, SIGHUP };

struct daemon {
	uv_loop_t loop;
	const struct daemon_options *options;
	struct arena arena;
	struct settings *settings;
	struct web_settings web_settings; /* the server looks at them as long as it lives */
	struct list old_settings; /* of before a reload: links point into them */
	char *home;
	int lock;
	struct zones *zones;
	struct engine *engine;
	struct queue *queue;
	struct trigger *trigger;
	struct catalog *catalog;
	struct backfiller *backfiller;
	struct lateness *lateness;
	struct janitor *janitor;
	struct outbox *outbox;
	struct desk *desk;
	struct store *reader; /* of the views */
	struct store *aside_reader; /* of those that a thread makes */
	struct control_desk control_desk;
	struct control *control;
	struct web *web;
	struct herald herald;
	uv_signal_t signals[SIGNAL_COUNT];
	uv_prepare_t pause;
	uv_timer_t tick;
	uv_timer_t watchdog;
	struct writer_job watchdog_job;
	bool watchdog_waits;
	bool full; /* the disk of the state */
	struct timespec settings_seen; /* when their file was changed */
	char status[STATUS_BYTES]; /* as the service manager was told */
	bool realtime;		   /* its loop has precedence */
	bool opened;		   /* the parts are there */
	bool ready;		   /* and the DAGs are in force */
	bool stopping;
	int exit_status;
};

struct old_settings {
	struct settings *settings;
	struct list link;
};

/* --- stopping ------------------------------------------------------------------------------------------- */

static void close_handle(uv_handle_t *handle)
{
	if (!uv_is_closing(handle))
		uv_close(handle, NULL);
}

static void stop(struct daemon *daemon, int exit_status)
{
	if (daemon->stopping)
		return;
	daemon->stopping = true;
	daemon->exit_status = exit_status;
	readiness_tell("STOPPING=1");
	log_info("daemon.stopping", NUMBER("exit_status", exit_status));
	close_handle((uv_handle_t *)&daemon->pause);
	close_handle((uv_handle_t *)&daemon->tick);
	close_handle((uv_handle_t *)&daemon->watchdog);
	for (int i = 0; i < SIGNAL_COUNT; i++)
		close_handle((uv_handle_t *)&daemon->signals[i]);
	if (!daemon->opened)
		return;
	web_close(daemon->web);
	outbox_stop(daemon->outbox);
	janitor_stop(daemon->janitor);
	if (daemon->lateness != NULL)
		lateness_stop(daemon->lateness);
	catalog_stop(daemon->catalog);
	trigger_stop(daemon->trigger);
	queue_stop(daemon->queue);
	engine_stop(daemon->engine);
}

/* --- what the engine tells ------------------------------------------------------------------------------ */

static void on_task(void *context, const struct task *task)
{
	(void)context;
	(void)task;
}

static void on_note(void *context, const struct task *task, const char *text)
{
	(void)context;
	log_warn("engine.noted", NUMBER("run", task == NULL ? 0 : task->run->row.id),
		 TEXT("task", task == NULL ? "" : task->step->name), TEXT("text", text));
}

static void on_saved(void *context, const struct action *save)
{
	struct daemon *daemon = context;

	if (daemon->web != NULL)
		herald_saved(&daemon->herald, save);
}

static void on_ended(void *context, const struct run *run)
{
	struct daemon *daemon = context;
	uint64_t id = run->row.id;

	crash_at(CRASH_run_ended);
	outbox_look(daemon->outbox);
	crash_at(CRASH_notice_due);
	engine_drop_run(daemon->engine, id);
	queue_ended(daemon->queue, id);
	backfiller_look(daemon->backfiller);
}

static void on_given_up(void *context, const struct err *err)
{
	struct daemon *daemon = context;

	log_error("daemon.gave_up", TEXT("err", err->text));
	fprintf(stderr, "stoker: %s\n", err->text);
	stop(daemon, COMMAND_FAILED);
}

static void request_done(void *context, const struct err *err)
{
	(void)context;
	(void)err; /* the request is open still, and comes again */
}

/* Somebody asks another way than over the socket: `stoker cancel` of an older version, say. */
static void on_request(void *context, const struct store_request *request)
{
	struct daemon *daemon = context;

	if (strncmp(request->verb, "cancel", 6) == 0)
		queue_cancel(daemon->queue, request->run, request->actor, request->origin, request_done, NULL);
}

static const struct engine_handler engine_handler = {
	.on_task = on_task,
	.on_note = on_note,
	.on_saved = on_saved,
	.on_ended = on_ended,
	.on_request = on_request,
	.on_given_up = on_given_up,
};

/* --- what the other parts tell -------------------------------------------------------------------------- */

/* "digits/3"; NULL when it is gone. */
static const char *name_run(struct daemon *daemon, uint64_t run, struct arena *arena)
{
	const char *dag;
	uint64_t number;

	if (store_name_run(engine_reader(daemon->engine), run, arena, &dag, &number, NULL) < 0)
		return NULL;
	return arena_printf(arena, "%s/%" PRIu64, dag, number);
}

static void tell_run(struct daemon *daemon, uint64_t run, enum run_state state)
{
	__attribute__((cleanup(arena_fini))) struct arena arena = { 0 };
	const char *name = name_run(daemon, run, &arena);

	if (name != NULL)
		herald_run(&daemon->herald, name, state);
}

static void on_due_made(void *context, uint64_t run, const struct timetable_decision *decision)
{
	struct daemon *daemon = context;

	control_count_due(daemon->control, clock_wall_ms() - decision->due.start_ms);
	tell_run(daemon, run, RUN_QUEUED);
	queue_look(daemon->queue);
}

static void on_due_skipped(void *context, const struct timetable_decision *decision, const char *reason)
{
	struct daemon *daemon = context;

	(void)reason;
	herald_dag(&daemon->herald, decision->dag->name);
	outbox_look(daemon->outbox);
}

static void on_zones_renewed(void *context)
{
	struct daemon *daemon = context;

	control_renew_zones(daemon->control);
}

static const struct trigger_handler trigger_handler = { .on_made = on_due_made,
							.on_skipped = on_due_skipped,
							.on_renewed = on_zones_renewed };

static void on_taken(void *context, uint64_t run, int64_t waited_ms)
{
	struct daemon *daemon = context;

	(void)run;
	control_count_queued(daemon->control, waited_ms);
}

static void on_queued_ended(void *context, uint64_t run, enum run_state state)
{
	struct daemon *daemon = context;

	tell_run(daemon, run, state);
	outbox_look(daemon->outbox);
	backfiller_look(daemon->backfiller);
}

static const struct queue_handler queue_handler = { .on_taken = on_taken, .on_ended = on_queued_ended };

static void on_late(void *context, const char *dag)
{
	struct daemon *daemon = context;

	herald_dag(&daemon->herald, dag);
	outbox_look(daemon->outbox);
}

/* The DAGs are in force for the first time: from here on nothing that is due is missed. */
static void be_ready(struct daemon *daemon)
{
	daemon->ready = true;
	log_info("daemon.started", NUMBER("pid", getpid()), TEXT("home", daemon->home),
		 TEXT("realtime", daemon->realtime ? "true" : "false"));
	readiness_tell("READY=1");
}

static void on_catalog_changed(void *context)
{
	struct daemon *daemon = context;
	size_t count;
	const struct registry_file *files = registry_files(catalog_registry(daemon->catalog), &count);

	control_files_changed(daemon->control);
	for (size_t i = 0; i < count; i++)
		if (files[i].good != NULL)
			herald_dag(&daemon->herald, files[i].good->dag->name);
	lateness_look(daemon->lateness);
	if (!daemon->ready)
		be_ready(daemon);
}

static void on_runs_made(void *context)
{
	struct daemon *daemon = context;

	queue_look(daemon->queue);
}

static void on_backfill(void *context, int64_t id)
{
	struct daemon *daemon = context;

	(void)id;
	backfiller_look(daemon->backfiller);
}

static void on_paused(void *context, const char *dag, bool paused)
{
	struct daemon *daemon = context;

	herald_dag(&daemon->herald, dag);
	log_info(paused ? "dag.paused" : "dag.unpaused", TEXT("dag", dag));
}

static void on_made(void *context, uint64_t run, const char *name)
{
	struct daemon *daemon = context;

	herald_run(&daemon->herald, name, RUN_QUEUED);
	log_info("run.submitted", NUMBER("id", run), TEXT("run", name));
}

/* --- reloading ------------------------------------------------------------------------------------------ */

static void keep_old(struct daemon *daemon, struct settings *settings)
{
	struct old_settings *old = mem_zalloc(sizeof *old);

	old->settings = settings;
	list_append(&daemon->old_settings, &old->link);
}

/* A file that is not valid leaves all as it is. */
static int reload_settings(struct daemon *daemon, struct err *err)
{
	autodiagnostics struct diagnostics diagnostics;
	struct settings *settings;

	diagnostics_init(&diagnostics);
	if (settings_load(daemon->options->config, &settings, &diagnostics) < 0) {
		autofree char *text = diagnostics_text(&diagnostics);

		log_error("settings.refused", TEXT("err", text));
		return err_set(err, ERR_INVALID, "the settings stay as they were: %s", text);
	}
	keep_old(daemon, daemon->settings);
	daemon->settings = settings;
	engine_use(daemon->engine, settings);
	queue_set_active_max(daemon->queue, settings->daemon.active_max);
	desk_use(daemon->desk, settings);
	outbox_set_terms(daemon->outbox, &settings->notices);
	control_set_settings(daemon->control, settings);
	daemon->realtime = precedence_set(!settings->daemon.realtime_off);
	return 0;
}

static json_t *reload_answer(struct daemon *daemon)
{
	json_t *problems = json_array();
	size_t count, good = 0;
	const struct registry_file *files = registry_files(catalog_registry(daemon->catalog), &count);

	for (size_t i = 0; i < count; i++) {
		good += files[i].good != NULL;
		if (files[i].error != NULL)
			json_array_append_new(problems, json_pack("{s:s, s:s}", "path", files[i].path, "error",
								  files[i].error));
	}
	return json_pack("{s:I, s:o}", "dags", (json_int_t)good, "problems", problems);
}

static int reload(void *context, json_t **answer_out, struct err *err)
{
	struct daemon *daemon = context;
	int rc;

	readiness_tell("RELOADING=1");
	rc = reload_settings(daemon, err);
	catalog_start(daemon->catalog, daemon->settings->daemon.places, daemon->settings->daemon.places_count);
	queue_look(daemon->queue);
	trigger_renew(daemon->trigger);
	log_info("daemon.reloaded", TEXT("err", rc < 0 ? err->text : ""));
	readiness_tell("READY=1");
	if (rc < 0)
		return rc;
	if (answer_out != NULL)
		*answer_out = reload_answer(daemon);
	return 0;
}

/* A line of the audit trail about what nobody asked for over the socket. */
struct remark {
	struct writer_job job;
	const char *origin;
};

static int write_remark(struct store *store, void *context, struct err *err)
{
	const struct remark *remark = context;

	return store_add_event(store, "daemon.reloaded", "stoker", remark->origin, "", clock_wall_ms(), err);
}

static void on_remark(void *context, const struct err *err)
{
	if (err->code != ERR_OK)
		log_error("event.failed", TEXT("err", err->text));
	free(context);
}

static void reload_for(struct daemon *daemon, const char *origin)
{
	struct remark *remark = mem_zalloc(sizeof *remark);
	struct err err;

	remark->origin = origin;
	remark->job = (struct writer_job){ .write = write_remark, .done = on_remark, .context = remark };
	engine_write(daemon->engine, &remark->job);
	reload(daemon, NULL, &err);
}

static void on_signal(uv_signal_t *watcher, int signal)
{
	struct daemon *daemon = watcher->data;

	log_info("daemon.signaled", NUMBER("signal", signal));
	if (signal == SIGHUP && daemon->opened)
		reload_for(daemon, "SIGHUP");
	else if (signal == SIGHUP)
		return;
	else
		stop(daemon, COMMAND_DONE);
}

/* --- now and then --------------------------------------------------------------------------------------- */

/* What could not be written a moment ago may be nothing yet; a disk without room will be. */
static int64_t space_left(const struct daemon *daemon)
{
	struct statvfs fs;

	return statvfs(daemon->home, &fs) < 0 ? INT64_MAX : (int64_t)(fs.f_bavail * fs.f_frsize);
}

static bool is_full(struct daemon *daemon)
{
	bool full = space_left(daemon) < SPACE_BYTES;

	if (full != daemon->full)
		log_error(full ? "disk.full" : "disk.has_room", TEXT("home", daemon->home));
	daemon->full = full;
	return full;
}

static void tell_status(struct daemon *daemon)
{
	char text[STATUS_BYTES], due[CLOCK_RFC3339_BYTES] = "nothing";
	int64_t next_ms = trigger_next_wall_ms(daemon->trigger);

	if (next_ms != INT64_MAX)
		clock_rfc3339(next_ms, due);
	snprintf(text, sizeof text, "STATUS=%zu runs going on; due next: %s%s", engine_runs_count(daemon->engine), due,
		 is_full(daemon) || engine_trouble_since_ms(daemon->engine) > 0 ? "; THE STATE CANNOT BE WRITTEN" : "");
	if (strcmp(text, daemon->status) == 0)
		return;
	memcpy(daemon->status, text, sizeof text);
	readiness_tell(text);
}

/* A file that was changed is read without being asked to; one that vanished changes nothing until SIGHUP. */
static void look_at_settings(struct daemon *daemon)
{
	struct stat st;

	if (daemon->settings->path == NULL || stat(daemon->settings->path, &st) < 0 ||
	    (st.st_mtim.tv_sec == daemon->settings_seen.tv_sec && st.st_mtim.tv_nsec == daemon->settings_seen.tv_nsec))
		return;
	if (daemon->settings_seen.tv_sec != 0)
		reload_for(daemon, "stoker.yaml changed");
	daemon->settings_seen = st.st_mtim;
}

static void on_tick(uv_timer_t *timer)
{
	struct daemon *daemon = timer->data;

	backfiller_look(daemon->backfiller);
	look_at_settings(daemon);
	tell_status(daemon);
}

/* Before the loop waits: what was logged is written then, many lines at once when there is much to do. */
static void on_pause(uv_prepare_t *pause)
{
	(void)pause;
	log_flush();
}

static int write_nothing(struct store *store, void *context, struct err *err)
{
	(void)store;
	(void)context;
	(void)err;
	return 0;
}

static void on_watchdog_back(void *context, const struct err *err)
{
	struct daemon *daemon = context;

	daemon->watchdog_waits = false;
	if (err->code == ERR_OK)
		readiness_tell("WATCHDOG=1");
}

static void on_watchdog(uv_timer_t *timer)
{
	struct daemon *daemon = timer->data;

	if (daemon->watchdog_waits)
		return;
	daemon->watchdog_waits = true;
	engine_kick(daemon->engine);
	engine_write(daemon->engine, &daemon->watchdog_job);
}

/* --- starting ------------------------------------------------------------------------------------------- */

/* A descriptor for each run that goes on, each connection, each log that is being written. */
static void raise_limits(void)
{
	struct rlimit limit;

	if (getrlimit(RLIMIT_NOFILE, &limit) < 0)
		return;
	limit.rlim_cur = limit.rlim_max < FILES_MAX ? limit.rlim_max : FILES_MAX;
	setrlimit(RLIMIT_NOFILE, &limit);
}

static void watch_signals(struct daemon *daemon)
{
	for (int i = 0; i < SIGNAL_COUNT; i++) {
		uv_signal_init(&daemon->loop, &daemon->signals[i]);
		daemon->signals[i].data = daemon;
		uv_signal_start(&daemon->signals[i], on_signal, signals[i]);
	}
	signal(SIGPIPE, SIG_IGN);
}

static int open_engine(struct daemon *daemon, struct err *err)
{
	struct store *store;

	if (store_open(daemon->home, &store, err) < 0)
		return err->code;
	if (engine_open(&daemon->loop, store, daemon->settings, &engine_handler, daemon, &daemon->engine, err) < 0)
		return err->code;
	engine_serve(daemon->engine);
	return 0;
}

/* --- the page and the API ------------------------------------------------------------------------------- */

static void on_change(void *context, enum web_verb verb, const json_t *arguments, const struct web_caller *caller,
		      web_done *done, void *done_context)
{
	struct daemon *daemon = context;

	desk_change(daemon->desk, verb, arguments, caller, done, done_context);
}

static json_t *health_of(struct daemon *daemon)
{
	bool full = is_full(daemon);
	int64_t trouble_ms = engine_trouble_since_ms(daemon->engine);
	json_t *problems = json_array();

	if (trouble_ms > 0)
		json_array_append_new(problems, json_sprintf("the state cannot be written since %lld s",
							     (long long)(clock_mono_ms() - trouble_ms) / 1000));
	if (full)
		json_array_append_new(problems, json_sprintf("the disk of %s is full", daemon->home));
	return json_pack("{s:b, s:o}", "ok", trouble_ms == 0 && !full, "problems", problems);
}

static int read_own(void *context, enum web_read what, const struct web_query *query, json_t **out, struct err *err)
{
	struct daemon *daemon = context;

	(void)query;
	if (what == WEB_POOLS)
		return view_pools(daemon->reader, daemon->settings, out, err);
	*out = health_of(daemon);
	return 0;
}

static bool find_load(void *context, const char *worker, struct load *out, int64_t *wall_ms_out)
{
	struct daemon *daemon = context;

	return engine_find_load(daemon->engine, worker, out, wall_ms_out);
}

static int open_web(struct daemon *daemon, struct err *err)
{
	bool have_tokens;

	daemon->control_desk = (struct control_desk){
		.change = on_change,
		.read = read_own,
		.load = find_load,
		.context = daemon,
	};
	if (store_open_reader(daemon->home, &daemon->reader, err) < 0 ||
	    store_open_reader(daemon->home, &daemon->aside_reader, err) < 0 ||
	    token_exists(daemon->reader, clock_wall_ms(), &have_tokens, err) < 0)
		return err->code;
	daemon->control = control_new(daemon->reader, daemon->aside_reader, daemon->settings, catalog_registry(daemon->catalog),
				      &daemon->control_desk);
	daemon->web_settings = control_web_settings(daemon->settings, paths_control(&daemon->arena, daemon->home),
						    have_tokens);
	if (web_open(&daemon->loop, &daemon->web_settings, control_source(daemon->control), &daemon->web, err) < 0)
		return err->code;
	daemon->herald = (struct herald){ .engine = daemon->engine, .web = daemon->web, .control = daemon->control };
	return 0;
}

/* $STOKER_GC_FIRST_MS is for tests, which have no ten minutes. */
static uint64_t janitor_first_ms(void)
{
	const char *named = getenv("STOKER_GC_FIRST_MS");

	return named == NULL ? JANITOR_FIRST_MS : strtoull(named, NULL, 10);
}

static int open_parts(struct daemon *daemon, struct err *err)
{
	const struct zone *zone;

	daemon->zones = zones_new(daemon->settings->timezone);
	if (zones_find(daemon->zones, NULL, &zone, err) < 0 || open_engine(daemon, err) < 0)
		return err->code;
	if (trigger_new(&daemon->loop, daemon->engine, daemon->zones, &trigger_handler, daemon, &daemon->trigger,
			err) < 0) {
		engine_stop(daemon->engine);
		return err->code;
	}
	daemon->queue = queue_new(&daemon->loop, daemon->engine, daemon->home, daemon->settings->daemon.active_max,
				  &queue_handler, daemon);
	daemon->backfiller = backfiller_new(daemon->engine, daemon->settings->timezone, on_runs_made, daemon);
	daemon->catalog = catalog_new(&daemon->loop, daemon->engine, daemon->trigger,
				      zone_name(zone), on_catalog_changed, daemon);
	daemon->desk = desk_new(&(struct desk_parts){
		.loop = &daemon->loop,
		.home = daemon->home,
		.engine = daemon->engine,
		.queue = daemon->queue,
		.registry = catalog_registry(daemon->catalog),
		.settings = daemon->settings,
		.on_paused = on_paused,
		.on_backfill = on_backfill,
		.on_made = on_made,
		.reload = reload,
		.context = daemon,
	});
	daemon->outbox = outbox_open(&daemon->loop, engine_writer(daemon->engine), engine_reader(daemon->engine),
				     &daemon->settings->notices, NULL, daemon);
	daemon->janitor = janitor_new(&daemon->loop, daemon->engine, daemon->home, janitor_first_ms());
	daemon->opened = true;
	if (lateness_new(&daemon->loop, daemon->engine, catalog_registry(daemon->catalog), daemon->zones, on_late, daemon,
			 &daemon->lateness, err) < 0)
		return err->code;
	return open_web(daemon, err);
}

static void start_parts(struct daemon *daemon)
{
	int64_t watchdog_ms = readiness_watchdog_ms();

	daemon->realtime = precedence_set(!daemon->settings->daemon.realtime_off);
	catalog_start(daemon->catalog, daemon->settings->daemon.places, daemon->settings->daemon.places_count);
	engine_start(daemon->engine);
	queue_look(daemon->queue);
	outbox_look(daemon->outbox);
	lateness_look(daemon->lateness);
	uv_prepare_start(&daemon->pause, on_pause);
	log_gather();
	uv_timer_start(&daemon->tick, on_tick, 0, TICK_MS);
	daemon->watchdog_job.write = write_nothing;
	daemon->watchdog_job.done = on_watchdog_back;
	daemon->watchdog_job.context = daemon;
	if (watchdog_ms > 0)
		uv_timer_start(&daemon->watchdog, on_watchdog, 0, (uint64_t)watchdog_ms);
}

static void free_parts(struct daemon *daemon)
{
	herald_fini(&daemon->herald);
	control_free(daemon->control);
	outbox_free(daemon->outbox);
	janitor_free(daemon->janitor);
	lateness_free(daemon->lateness);
	desk_free(daemon->desk);
	catalog_free(daemon->catalog);
	trigger_free(daemon->trigger);
	backfiller_free(daemon->backfiller);
	queue_free(daemon->queue);
	if (daemon->engine != NULL)
		engine_free(daemon->engine);
	store_close(daemon->aside_reader);
	store_close(daemon->reader);
	zones_free(daemon->zones);
	settings_free(daemon->settings);
	list_each (at, &daemon->old_settings) {
		struct old_settings *old = list_entry(at, struct old_settings, link);

		settings_free(old->settings);
		free(old);
	}
	if (daemon->lock >= 0)
		close(daemon->lock);
	free(daemon->home);
	arena_fini(&daemon->arena);
}

/* Nothing is touched while another daemon is at work: not even a database that an upgrade would bring forward. */
static int take_home(struct daemon *daemon, struct err *err)
{
	__attribute__((cleanup(arena_fini))) struct arena arena = { 0 };
	struct store *store;
	const char *home;

	if (store_home(&arena, &home, err) < 0)
		return err->code;
	daemon->home = mem_strdup(home);
	if (owner_daemon_is_alive(home, NULL))
		return owner_take_home(home, &daemon->lock, err);
	if (store_open(home, &store, err) < 0) /* makes the folder */
		return err->code;
	store_close(store);
	return owner_take_home(home, &daemon->lock, err);
}

int daemon_serve(struct settings *settings, const struct daemon_options *options)
{
	struct daemon daemon = { .options = options, .settings = settings, .lock = -1 };
	struct err err;

	list_init(&daemon.old_settings);
	raise_limits();
	uv_loop_init(&daemon.loop);
	uv_prepare_init(&daemon.loop, &daemon.pause);
	uv_timer_init(&daemon.loop, &daemon.tick);
	uv_timer_init(&daemon.loop, &daemon.watchdog);
	daemon.tick.data = daemon.watchdog.data = &daemon;
	watch_signals(&daemon);
	log_open(NULL, options->debug ? LOG_DEBUG : LOG_INFO, options->log_json);
	if (take_home(&daemon, &err) < 0 || open_parts(&daemon, &err) < 0)
		stop(&daemon, command_fail(&err));
	else
		start_parts(&daemon);
	uv_run(&daemon.loop, UV_RUN_DEFAULT);
	uv_loop_close(&daemon.loop);
	free_parts(&daemon);
	log_info("daemon.stopped", NUMBER("exit_status", daemon.exit_status));
	log_close();
	return daemon.exit_status;
}
