/*
 * engine.h - owns the loop and the parts: core, driver, store's writer, the links to the workers' agents
 *
 * What `stoker run` drives its run with, and what the daemon drives all runs with. It translates: what the link hears becomes
 * events, the core's orders become frames, its saves go to the writer. It decides nothing.
 *
 * When the state cannot be written (a full disk) nothing more is started and the same batch is tried again
 * each second; steps run on meanwhile. After ENGINE_TROUBLE_MS, or at once when the database is damaged, the
 * engine gives up: everything that runs can be taken up again by the next process. A patient one, the daemon's, waits
 * for whatever time can mend.
 */
#ifndef SCHEDULER_ENGINE_H
#define SCHEDULER_ENGINE_H

#include <stdbool.h>
#include <stdint.h>
#include <uv.h>

#include "common/err.h"
#include "common/list.h"
#include "scheduler/core.h"
#include "scheduler/settings.h"
#include "scheduler/store.h"
#include "scheduler/writer.h"

enum {
	ENGINE_TROUBLE_MS = 60000,
	ENGINE_LINK_TRIES = 8,
	ENGINE_REQUESTS_MS = 250,
	ENGINE_LOOK_AGAIN_MS = 15000,
	ENGINE_LINGER_MS = 20
};

struct engine_handler {
	void (*on_task)(void *context, const struct task *task); /* it moved, or its attempt did */
	void (*on_note)(void *context, const struct task *task, const char *text); /* task may be NULL */
	void (*on_ended)(void *context, const struct run *run);                    /* and it is stored */
	void (*on_saved)(void *context, const struct action *save); /* each one, stored; NULL: of no interest */
	/* Somebody asks something of a run that is queued: it is nobody's yet. NULL: of no interest. */
	void (*on_request)(void *context, const struct store_request *request);
	void (*on_given_up)(void *context, const struct err *err);
};

struct engine;
struct writer;

/* `store` is for writing and belongs to the engine from here on; `settings` outlive it. */
int engine_open(uv_loop_t *loop, struct store *store, const struct settings *settings,
		const struct engine_handler *handler, void *context, struct engine **engine_out,
		struct err *err);

/*
 * Before engine_start: it is patient, and connects to every worker at once, whether there is a run or not.
 */
void engine_serve(struct engine *engine);

/*
 * Other settings are in force from now on; those of before must outlive the engine, too. A worker whose address changed
 * is connected to anew, one that is not named any more starts nothing; what runs there goes on.
 */
void engine_use(struct engine *engine, const struct settings *settings);

/* Loads a run and takes it up; returns what the core holds. Once it is started: call engine_kick then. */
int engine_add_run(struct engine *engine, uint64_t run, const struct run **run_out, struct err *err);

/* The thread that writes for it, for what else is to be written (writer_add). Its own until engine_stop. */
struct writer *engine_writer(struct engine *engine);

/* Goes: connects to the workers that the runs may use. */
void engine_start(struct engine *engine);

/* Runs were added, or what they wait for may be there: everything is looked at again. */
void engine_kick(struct engine *engine);

/*
 * Lets go of a run that has ended, from on_ended on, or that was just added. It stays readable until the caller
 * returns.
 */
void engine_drop_run(struct engine *engine, uint64_t run);

/* To write something else, on the writer's thread; to read, on the loop: short and bounded. */
void engine_write(struct engine *engine, struct writer_job *job);
struct store *engine_reader(struct engine *engine);

/*
 * Calls `done` on the loop once all that was decided until now is on disk: what somebody asked for may be acknowledged
 * then. In the caller's memory until it is called, which is exactly once; a code says that stoker is being stopped.
 */
struct engine_wait {
	void (*done)(void *context, const struct err *err);
	void *context;
	uint64_t batch;
	struct list link;
};
void engine_when_stored(struct engine *engine, struct engine_wait *wait);

const struct settings *engine_settings(const struct engine *engine); /* in force */

const struct run *engine_find_run(const struct engine *engine, uint64_t run);
size_t engine_runs_count(const struct engine *engine);

/* How busy a worker is, as it told last and when; false while it is not connected, or has not told yet. */
bool engine_find_load(const struct engine *engine, const char *worker, struct load *out, int64_t *wall_ms_out);

/* Since when the state cannot be written, monotonic; 0: it can. */
int64_t engine_trouble_since_ms(const struct engine *engine);

void engine_cancel(struct engine *engine, uint64_t run, bool now, const char *actor, const char *origin);
void engine_retry(struct engine *engine, uint64_t run, int from_step, const char *actor, const char *origin);

/*
 * Lets go of everything without ending any step; the loop runs out once all is closed. Call engine_free then.
 */
void engine_stop(struct engine *engine);
void engine_free(struct engine *engine);

/*
 * The program that is stoker's agent on this machine: $STOKER_AGENT, beside this program, or where it was
 * installed.
 */
int engine_find_agent(char *path, size_t path_bytes, struct err *err);

#endif
