/*
 * sim.c - the real core, driver and store against a simulated world, thousands of times
 *
 *   sim [--seeds N] [--seed S] [--break RULE] [--verbose]
 *
 * Each seed makes DAGs, one run of each, workers, limits, and faults: links cut, agents frozen and late, machines rebooted,
 * supervisors killed, checkpoints rotten, disks full, runs canceled and retried, workers away for long or
 * for ever, and the scheduler killed between any two writes. The promises of the design are checked the
 * moment something happens; after the faults every run must come to its end and nothing of it may be left
 * anywhere that can be reached. A failure prints its seed; `make check-sim SEED=S` repeats it.
 *
 * --break breaks one rule on purpose (world.h lists them) and expects the checks to notice within the seeds
 * given.
 */
#include <assert.h>
#include <inttypes.h>
#include <setjmp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/mem.h"
#include "common/scope.h"
#include "dag/diagnostic.h"
#include "scheduler/driver.h"
#include "scheduler/store.h"
#include "tests/sim/world.h"

enum {
	STEPS_MAX = 9, /* of all runs together */
	RUNS_MAX = 4,
	POOLS = 2,
	FAULT_TIME_MS = 40 * 60 * 1000,
	PATIENCE_MS = 48 * 3600 * 1000, /* after the faults, for everything to end */
	EVENTS_MAX = 400000,
	WALL_BASE = 1000000000,
	ATTEMPTS_MAX = 1024,
	CHECKPOINTS_MAX = 1024,
};

/* What is known of a run beside the core. */
struct sim_run {
	uint64_t id;
	size_t steps;
	int concurrency;
	bool ended;
	bool in_peace;  /* no faults since */
	bool looked_at; /* since it ended */
	unsigned retries_by_hand;
	int retry_from;
	bool passed_over[WORLD_WORKERS]; /* out of reach when the run ended */
	int pool_of[STEPS_MAX];          /* -1: none */
	struct dag_resources wants[STEPS_MAX];
	int64_t copied_at[STEPS_MAX][CHECKPOINTS_MAX]; /* when the scheduler heard of it; 0: never */

	/* what is known to be on disk */
	enum attempt_state stored[STEPS_MAX][ATTEMPTS_MAX];
	enum task_state stored_task[STEPS_MAX];
};

struct sim {
	uint64_t seed;
	enum breakage breakage;
	bool verbose;
	jmp_buf failed;
	char complaint[400];

	struct world *world;
	struct store *store;
	struct sim_run runs[RUNS_MAX];
	size_t runs_count;
	int pool_slots[POOLS];
	int worker_slots; /* 0: no limit */

	/* the scheduler, while it is alive */
	struct core *core;
	struct driver driver;
	bool up;
	uint64_t life; /* of the scheduler: calls of an earlier one are void */
	const struct actions *writing;
	uint64_t orders_left; /* until it is killed among its orders; 0: not planned */
	bool dying;
	bool disk_full;
	bool faults_over;
	bool leases;      /* some steps have one */
	bool all_leased;  /* and may run anywhere, so that no worker is needed for the run to end */
};

static unsigned brought_count; /* starts on another worker with a copy */

static struct sim_run *find_run(struct sim *sim, uint64_t id)
{
	for (size_t i = 0; i < sim->runs_count; i++)
		if (sim->runs[i].id == id)
			return &sim->runs[i];
	abort();
}

/* --- complaining ---------------------------------------------------------------------------------------- */

static void fail(struct sim *sim, const char *format, ...) __attribute__((format(printf, 2, 3), noreturn));
static void fail(struct sim *sim, const char *format, ...)
{
	va_list args;

	va_start(args, format);
	vsnprintf(sim->complaint, sizeof sim->complaint, format, args);
	va_end(args);
	longjmp(sim->failed, 1);
}

#define SAY(sim, ...)                                                             \
	do {                                                                      \
		if ((sim)->verbose) {                                             \
			printf("%9" PRId64 " ", world_now((sim)->world));         \
			printf(__VA_ARGS__);                                      \
			putchar('\n');                                            \
		}                                                                 \
	} while (0)

static bool chance(struct sim *sim, unsigned percent)
{
	return rng_below(world_rng(sim->world), 100) < percent;
}

/* --- what is stored is final ---------------------------------------------------------------------------- */

static void check_saves(struct sim *sim, const struct actions *batch)
{
	for (size_t i = 0; i < batch->count; i++) {
		const struct action *action = &batch->items[i];

		if (action->kind == SAVE_ATTEMPT) {
			const struct attempt_row *row = &action->attempt;
			enum attempt_state *known =
				&find_run(sim, row->id.run)->stored[row->id.task][row->id.number];

			if (machine_ended(attempt_states, *known) && *known != row->state)
				fail(sim, "9: attempt %" PRIu64 ".%u was %s and becomes %s", row->id.task,
				     row->id.number, attempt_states[*known].name,
				     attempt_states[row->state].name);
			*known = row->state;
		} else if (action->kind == SAVE_TASK) {
			enum task_state *known =
				&find_run(sim, action->task.run)->stored_task[action->task.step];

			if (machine_ended(task_states, *known) && *known != action->task.state &&
			    action->task.state != TASK_WAITING)
				fail(sim, "9: task %u was %s and becomes %s", action->task.step,
				     task_states[*known].name, task_states[action->task.state].name);
			*known = action->task.state;
		}
	}
}

/* Success is only what the supervisor recorded. */
static void check_successes(struct sim *sim, const struct actions *batch)
{
	for (size_t i = 0; i < batch->count; i++) {
		const struct action *action = &batch->items[i];
		const struct proc *proc;

		if (action->kind != SAVE_ATTEMPT || action->attempt.state != ATTEMPT_SUCCEEDED)
			continue;
		proc = world_find(sim->world, &action->attempt.id);
		if (proc == NULL || !proc->ended || proc->at < proc->goal || proc->stop_asked)
			fail(sim, "6: attempt %" PRIu64 ".%u is called a success and was none",
			     action->attempt.id.task, action->attempt.id.number);
	}
}

static void check_derived(struct sim *sim)
{
	for (size_t r = 0; r < sim->core->runs_count; r++) {
		const struct run *run = sim->core->runs[r];
		size_t unfinished = 0;

		for (size_t i = 0; i < run->dag->steps_count; i++) {
			unfinished += !machine_ended(task_states, run->tasks[i].row.state);
			if (run->tasks[i].row.state == TASK_RETRYING && run->tasks[i].live != NULL)
				fail(sim, "task %zu waits for its retry and holds a slot", i);
		}
		if (unfinished != run->unfinished)
			fail(sim, "the run counts %zu unfinished tasks, there are %zu", run->unfinished,
			     unfinished);
	}
}

/* --- the scheduler -------------------------------------------------------------------------------------- */

static size_t worker_index(const char *name)
{
	for (size_t i = 0; i < WORLD_WORKERS; i++)
		if (strcmp(world_worker_name(i), name) == 0)
			return i;
	abort();
}

static void give(struct sim *sim, struct event event)
{
	if (!sim->up || sim->dying)
		return;
	event.now_ms = world_now(sim->world);
	event.wall_ms = WALL_BASE + event.now_ms;
	driver_event(&sim->driver, &event);
	check_derived(sim);
	if (core_next_wake_ms(sim->core) <= event.now_ms)
		fail(sim, "the core asks to be woken in the past");
}

static void carry_out_copy(struct sim *sim, const struct action *order)
{
	const struct run *run = core_find_run(sim->core, order->id.run);
	const struct checkpoint_row *row = ledger_at(&run->tasks[order->id.task].ledger, order->copy_seq);

	if (order->kind == ORDER_COPY)
		world_copy(sim->world, worker_index(order->worker), &order->id, row->seq, row->name,
			   row->digest);
	else if (order->kind == ORDER_CANCEL_COPY)
		world_cancel_copy(sim->world, &order->id, order->copy_seq);
	else
		world_drop_copy(sim->world, &order->id, order->copy_seq);
}

static void carry_out(void *context, const struct action *order)
{
	struct sim *sim = context;
	struct message message = { .id = order->id };
	struct frame frame;
	struct err err;
	size_t worker;

	if (sim->dying)
		return;
	if (sim->orders_left > 0 && --sim->orders_left == 0) {
		sim->dying = true; /* killed before this order */
		return;
	}
	if (order->kind == ORDER_RUN_ENDED) {
		find_run(sim, order->id.run)->ended = true;
		find_run(sim, order->id.run)->in_peace = sim->faults_over;
		return;
	}
	if (order->kind == ORDER_COPY || order->kind == ORDER_CANCEL_COPY || order->kind == ORDER_DROP_COPY) {
		carry_out_copy(sim, order);
		return;
	}
	worker = worker_index(order->worker);
	switch (order->kind) {
	case ORDER_CLAIM:
		message.kind = TO_AGENT_CLAIM;
		message.epoch = order->epoch;
		message.lease_ms = order->lease_ms;
		break;
	case ORDER_START: {
		struct arena *arena = &sim->core->arena; /* lives as long as this scheduler does; see below */
		uint8_t *copy = arena_memdup(arena, order->start.frame, order->start.bytes);

		message.kind = TO_AGENT_START;
		if (protocol_next(copy, order->start.bytes, &frame, &err) != 1 ||
		    protocol_get_spec(&frame, arena, &message.spec) < 0)
			fail(sim, "a start frame does not decode");
		if (sim->breakage == BREAK_RESUME)
			message.spec.candidates_count = 0;
		break;
	}
	case ORDER_STOP:
		message.kind = TO_AGENT_STOP;
		message.reason = order->stop.reason;
		message.grace_ms = order->stop.grace_ms;
		break;
	case ORDER_ATTACH:
		message.kind = TO_AGENT_ATTACH;
		message.offset = order->attach.journal_offset;
		message.renew = order->attach.renew;
		break;
	case ORDER_FORGET:
		message.kind = TO_AGENT_FORGET;
		break;
	case ORDER_RELEASE:
		message.kind = TO_AGENT_RELEASE;
		message.epoch = order->epoch;
		break;
	default:
		abort();
	}
	world_send(sim->world, worker, &message);
}

static void schedule_kill(struct sim *sim);

static void apply(struct sim *sim)
{
	struct err err;

	check_saves(sim, sim->writing);
	check_successes(sim, sim->writing);
	if (store_apply(sim->store, sim->writing->items, sim->writing->count, &err) < 0)
		fail(sim, "%s", err.text);
}

/* The moment of the commit: the scheduler may die just before, just behind, or among the orders. */
static void on_commit(void *context, uint64_t life)
{
	struct sim *sim = context;
	bool faults = !sim->faults_over;

	if (!sim->up || sim->life != life)
		return;
	if (sim->disk_full) {
		world_after(sim->world, 1000, on_commit, sim, life);
		return;
	}
	if (faults && chance(sim, 1)) {
		schedule_kill(sim); /* nothing of the batch is on disk */
		return;
	}
	apply(sim);
	if (faults && chance(sim, 1)) {
		schedule_kill(sim); /* on disk, nothing done */
		return;
	}
	if (faults && chance(sim, 2))
		sim->orders_left = 1 + rng_below(world_rng(sim->world), 4);
	driver_written(&sim->driver);
	sim->orders_left = 0;
	if (sim->dying)
		schedule_kill(sim);
}

static void write_batch(void *context, const struct actions *batch)
{
	struct sim *sim = context;

	sim->writing = batch;
	if (sim->breakage == BREAK_COMMIT && !sim->faults_over) {
		/* Done first and written afterwards, unless the scheduler dies in between. */
		for (size_t i = 0; i < batch->count; i++)
			if ((int)batch->items[i].kind >= (int)ORDER_CLAIM)
				carry_out(sim, &batch->items[i]);
		if (chance(sim, 5)) {
			schedule_kill(sim);
			return;
		}
	}
	world_after(sim->world, 1 + (int64_t)rng_below(world_rng(sim->world), 30), on_commit, sim, sim->life);
}

static void on_linger_over(void *context, uint64_t life)
{
	struct sim *sim = context;

	if (sim->up && sim->life == life && !sim->dying)
		driver_flush(&sim->driver);
}

static void linger(void *context)
{
	struct sim *sim = context;

	world_after(sim->world, (int64_t)rng_below(world_rng(sim->world), 50), on_linger_over, sim,
		    sim->life);
}

/* Whom the end of the run did not wait for is known at the moment it is decided. */
static void on_decided(void *context, const struct action *save)
{
	struct sim *sim = context;

	if (save->kind == SAVE_ATTEMPT && save->attempt.state == ATTEMPT_LOST)
		SAY(sim, "attempt %" PRIu64 ".%u is lost: %s", save->attempt.id.task, save->attempt.id.number,
		    save->attempt.message);
	for (size_t i = 0; save->kind == SAVE_RUN && i < WORLD_WORKERS; i++)
		find_run(sim, save->run.id)->passed_over[i] = !sim->core->workers[i]->up;
}

static const struct driver_ends driver_ends = { .write = write_batch,
						.linger = linger,
						.carry_out = carry_out,
						.decided = on_decided };

static void connect_later(struct sim *sim, size_t worker);

static void on_connect(void *context, uint64_t argument)
{
	struct sim *sim = context;
	size_t worker = argument & 0xff;
	uint64_t epoch;
	struct err err;

	if (!sim->up || sim->life != argument >> 8 || world_is_connected(sim->world, worker))
		return;
	if (world_is_away(sim->world, worker)) {
		connect_later(sim, worker);
		return;
	}
	if (store_next_epoch(sim->store, world_worker_name(worker), &epoch, &err) < 0)
		fail(sim, "%s", err.text);
	world_connect(sim->world, worker, epoch);
}

static void connect_later(struct sim *sim, size_t worker)
{
	int64_t delay_ms = 10 + (int64_t)rng_below(world_rng(sim->world), sim->faults_over ? 1000 : 120000);

	world_after(sim->world, delay_ms, on_connect, sim, sim->life << 8 | worker);
}

static void on_tick(void *context, uint64_t life)
{
	struct sim *sim = context;

	if (!sim->up || sim->life != life)
		return;
	give(sim, (struct event){ .kind = EVENT_TICK });
	world_after(sim->world, 2000 + (int64_t)rng_below(world_rng(sim->world), 3000), on_tick, sim, life);
}

static void ask_for_retry(struct sim *sim, const struct sim_run *run)
{
	give(sim, (struct event){ .kind = EVENT_RETRY,
				  .id.run = run->id,
				  .from_step = run->retry_from,
				  .actor = "sim",
				  .origin = "sim" });
}

static void set_limits(struct sim *sim)
{
	static const char *const names[POOLS] = { "p0", "p1" };

	int slots = sim->worker_slots == 0 ? 0 : sim->worker_slots + (sim->breakage == BREAK_SLOTS);

	for (size_t i = 0; i < WORLD_WORKERS; i++)
		core_set_terms(sim->core, world_worker_name(i),
			       &(struct worker_terms){ .remote = true, .slots = slots });
	for (size_t i = 0; i < POOLS; i++)
		core_set_pool(sim->core, names[i], sim->pool_slots[i] + (sim->breakage == BREAK_POOL));
}

/* What has ended is asked to be retried: that was asked for before, and lost before it was stored. */
static void take_up(struct sim *sim, struct sim_run *known)
{
	struct run *run;
	struct err err;

	if (store_load_run(sim->store, known->id, &run, &err) < 0)
		fail(sim, "load: %s", err.text);
	core_add_run(sim->core, run);
	if (machine_ended(run_states, run->row.state))
		ask_for_retry(sim, known);
}

/* Recovery is the ordinary start. */
static void start_scheduler(struct sim *sim)
{
	sim->life++;
	sim->up = true;
	sim->dying = false;
	sim->writing = NULL;
	sim->core = core_new(sim->seed * 31 + sim->life);
	for (size_t i = 0; i < WORLD_WORKERS; i++)
		core_add_worker(sim->core, world_worker_name(i));
	set_limits(sim);
	driver_init(&sim->driver, sim->core, &driver_ends, sim);
	SAY(sim, "scheduler %" PRIu64 " starts", sim->life);
	for (size_t i = 0; i < sim->runs_count; i++)
		if (!sim->runs[i].ended)
			take_up(sim, &sim->runs[i]);
	for (size_t i = 0; i < WORLD_WORKERS; i++)
		connect_later(sim, i);
	on_tick(sim, sim->life);
}

/* Cores of dead schedulers are kept to the end of the seed: messages on their way point into their arenas. */
struct grave {
	struct core *core;
	struct grave *next;
};
static struct grave *graves;

static void bury(struct core *core)
{
	struct grave *grave = mem_zalloc(sizeof *grave);

	grave->core = core;
	grave->next = graves;
	graves = grave;
}

static void stop_scheduler(struct sim *sim)
{
	if (!sim->up)
		return;
	sim->up = false;
	sim->life++;
	world_disconnect_all(sim->world);
	driver_fini(&sim->driver);
	bury(sim->core);
	sim->core = NULL;
}

static bool all_ended(const struct sim *sim)
{
	for (size_t i = 0; i < sim->runs_count; i++)
		if (!sim->runs[i].ended)
			return false;
	return true;
}

static void on_restart(void *context, uint64_t argument)
{
	struct sim *sim = context;

	(void)argument;
	if (!sim->up && !all_ended(sim))
		start_scheduler(sim);
}

static void on_kill(void *context, uint64_t life)
{
	struct sim *sim = context;

	if (!sim->up || sim->life != life)
		return;
	SAY(sim, "scheduler is killed");
	stop_scheduler(sim);
	world_after(sim->world, (int64_t)rng_below(world_rng(sim->world), 60000), on_restart, sim, 0);
}

/* Not at once: the driver is still on the stack. Nothing it says or writes counts any more. */
static void schedule_kill(struct sim *sim)
{
	sim->dying = true;
	world_after(sim->world, 0, on_kill, sim, sim->life);
}

/* --- the world tells ------------------------------------------------------------------------------------ */

/* As a link does: at once, and not through the driver. */
static void grant(struct sim *sim, const struct event *event)
{
	struct message message = { .kind = TO_AGENT_GRANT, .number = event->asked_ms };

	if (sim->up && !sim->dying)
		world_send(sim->world, worker_index(event->worker), &message);
}

static void on_deliver(void *context, const struct event *event)
{
	struct sim *sim = context;

	SAY(sim, "event %d of %s task %" PRIu64 ".%u", (int)event->kind,
	    event->worker == NULL ? "" : event->worker, event->id.task, event->id.number);
	give(sim, *event);
	if (event->kind == EVENT_LEASE)
		grant(sim, event);
	if (event->kind == EVENT_INVENTORY && event->refused)
		world_cut(sim->world, worker_index(event->worker));
}

/* What the rule forbids: whoever cannot be heard is declared dead. */
static void declare_dead(struct sim *sim, size_t worker)
{
	for (size_t r = 0; r < sim->core->runs_count; r++) {
		const struct run *run = sim->core->runs[r];

		for (size_t i = 0; i < run->dag->steps_count; i++) {
			const struct attempt *live = run->tasks[i].live;

			if (live == NULL || strcmp(live->row.worker, world_worker_name(worker)) != 0)
				continue;
			give(sim, (struct event){ .kind = EVENT_EXITED,
						  .worker = live->row.worker,
						  .id = live->row.id,
						  .exit = { .kind = EXIT_LOST,
							    .reason = REASON_WORKER_LOST,
							    .text = "" } });
		}
	}
}

static void on_connection_lost(void *context, size_t worker)
{
	struct sim *sim = context;

	if (!sim->up)
		return;
	SAY(sim, "link to %s is lost", world_worker_name(worker));
	give(sim, (struct event){ .kind = EVENT_WORKER_DOWN, .worker = world_worker_name(worker) });
	connect_later(sim, worker);
	if (sim->breakage == BREAK_SILENCE && sim->up)
		declare_dead(sim, worker);
}

static int query_int(struct sim *sim, const char *sql, const struct attempt_id *id)
{
	sqlite3_stmt *stmt = NULL;
	int value = -1;

	if (sqlite3_prepare_v2(sim->store->db, sql, -1, &stmt, NULL) != SQLITE_OK)
		fail(sim, "%s: %s", sql, sqlite3_errmsg(sim->store->db));
	sqlite3_bind_int64(stmt, 1, (int64_t)id->run);
	sqlite3_bind_int64(stmt, 2, (int64_t)id->task);
	sqlite3_bind_int64(stmt, 3, id->number);
	if (sqlite3_step(stmt) == SQLITE_ROW)
		value = sqlite3_column_int(stmt, 0);
	sqlite3_finalize(stmt);
	return value;
}

/* A retry resumes: from zero only when nothing that was recorded as good is good. */
static void check_resumed(struct sim *sim, const struct spec *spec, size_t worker)
{
	sqlite3_stmt *stmt = NULL;

	/* What others wrote on another worker under the same name is not this one's. */
	if (sqlite3_prepare_v2(sim->store->db,
			       "SELECT name, digest FROM checkpoint"
			       " JOIN attempt ON attempt.run = checkpoint.run AND attempt.step = checkpoint.step"
			       " AND number = checkpoint.attempt"
			       " WHERE checkpoint.run = ?1 AND checkpoint.step = ?2 AND worker = ?3"
			       " AND checkpoint.state = 'good'",
			       -1, &stmt, NULL) != SQLITE_OK)
		fail(sim, "%s", sqlite3_errmsg(sim->store->db));
	sqlite3_bind_int64(stmt, 1, (int64_t)spec->id.run);
	sqlite3_bind_int64(stmt, 2, (int64_t)spec->id.task);
	sqlite3_bind_text(stmt, 3, world_worker_name(worker), -1, SQLITE_STATIC);
	while (sqlite3_step(stmt) == SQLITE_ROW) {
		const char *name = (const char *)sqlite3_column_text(stmt, 0);

		if (!world_holds_checkpoint(sim->world, worker, &spec->id, name,
					    (const char *)sqlite3_column_text(stmt, 1)))
			continue;
		sqlite3_finalize(stmt);
		fail(sim, "7: attempt %" PRIu64 ".%u begins from zero beside a good checkpoint",
		     spec->id.task, spec->id.number);
	}
	sqlite3_finalize(stmt);
}

/* What truly runs at this moment, beside what the core believes. */
struct tally {
	struct sim *sim;
	size_t worker;   /* that is looked at */
	uint64_t run;    /* that is looked at */
	int in_run;
	int in_pool[POOLS];
	int on_worker;
	struct dag_resources on;
};

static void tally_proc(void *context, const struct attempt_id *id, size_t worker)
{
	struct tally *tally = context;
	const struct sim_run *run;

	for (size_t i = 0; i < tally->sim->runs_count; i++) {
		run = &tally->sim->runs[i];
		if (run->id != id->run)
			continue;
		tally->in_run += id->run == tally->run;
		if (run->pool_of[id->task] >= 0)
			tally->in_pool[run->pool_of[id->task]]++;
		if (worker != tally->worker)
			continue;
		tally->on_worker++;
		tally->on.cpus_milli += run->wants[id->task].cpus_milli;
		tally->on.gpus += run->wants[id->task].gpus;
	}
}

/* No pool, no worker and no run has more than its limit, whatever has come and gone meanwhile. */
static void check_limits(struct sim *sim, const struct spec *spec, size_t worker)
{
	struct tally tally = { .sim = sim, .worker = worker, .run = spec->id.run };
	int concurrency = find_run(sim, spec->id.run)->concurrency;

	world_each_alive(sim->world, tally_proc, &tally);
	if (tally.in_run > concurrency)
		fail(sim, "%d steps run at once, concurrency is %d", tally.in_run, concurrency);
	for (size_t i = 0; i < POOLS; i++)
		if (tally.in_pool[i] > sim->pool_slots[i])
			fail(sim, "pool p%zu has %d slots, %d steps of it run at once", i, sim->pool_slots[i],
			     tally.in_pool[i]);
	if (sim->worker_slots > 0 && tally.on_worker > sim->worker_slots)
		fail(sim, "%d steps run at once on %s, which has %d slots", tally.on_worker,
		     world_worker_name(worker), sim->worker_slots);
	if (tally.on.cpus_milli > WORLD_CPUS * 1000 || tally.on.gpus > WORLD_DEVICES)
		fail(sim, "%s has %d cpus and %d gpus, and gave away %d and %d", world_worker_name(worker),
		     WORLD_CPUS, WORLD_DEVICES, (int)(tally.on.cpus_milli / 1000), tally.on.gpus);
}

/*
 * Nor from anything older than what had been copied before it was decided upon, where that is newer than all
 * that was ever written on this worker.
 */
static void check_brought(struct sim *sim, const struct spec *spec, size_t worker, const char *resumed_from)
{
	static const char sql[] =
		"SELECT it.seq, it.name FROM checkpoint AS it WHERE it.run = ?1 AND it.step = ?2"
		" AND it.copy <> '' AND it.state <> 'quarantined'"
		" AND it.seq > coalesce((SELECT max(seq) FROM checkpoint AS other JOIN attempt"
		"  ON attempt.run = other.run AND attempt.step = other.step AND attempt.number = other.attempt"
		"  WHERE other.run = ?1 AND other.step = ?2 AND attempt.worker = ?3), 0)"
		" ORDER BY it.seq DESC";
	int64_t decided_at = query_int(sim,
				       "SELECT intended_ms FROM attempt WHERE run = ?1 AND step = ?2"
				       " AND number = ?3",
				       &spec->id) -
			     WALL_BASE;
	char complaint[200] = "";
	sqlite3_stmt *stmt = NULL;

	if (sqlite3_prepare_v2(sim->store->db, sql, -1, &stmt, NULL) != SQLITE_OK)
		fail(sim, "%s", sqlite3_errmsg(sim->store->db));
	sqlite3_bind_int64(stmt, 1, (int64_t)spec->id.run);
	sqlite3_bind_int64(stmt, 2, (int64_t)spec->id.task);
	sqlite3_bind_text(stmt, 3, world_worker_name(worker), -1, SQLITE_STATIC);
	while (sqlite3_step(stmt) == SQLITE_ROW) {
		uint32_t seq = (uint32_t)sqlite3_column_int64(stmt, 0);
		const char *name = (const char *)sqlite3_column_text(stmt, 1);

		if (strcmp(name, resumed_from) == 0)
			break;
		if (find_run(sim, spec->id.run)->copied_at[spec->id.task][seq] >= decided_at ||
		    !world_holds_copy(sim->world, &spec->id, seq))
			continue;
		snprintf(complaint, sizeof complaint,
			 "7: attempt %" PRIu64 ".%u begins from '%s' although %s was copied", spec->id.task,
			 spec->id.number, resumed_from, name);
		break;
	}
	sqlite3_finalize(stmt);
	if (complaint[0] != '\0')
		fail(sim, "%s", complaint);
}

/* A command begins: was that decided, stored, and right? */
static void on_step_begins(void *context, const struct spec *spec, size_t worker, const char *resumed_from)
{
	struct sim *sim = context;
	const struct run *run = sim->core == NULL ? NULL : core_find_run(sim->core, spec->id.run);
	const struct sim_run *known = find_run(sim, spec->id.run);
	static const char attempt_known[] =
		"SELECT count(*) FROM attempt WHERE run = ?1 AND step = ?2 AND number = ?3";

	SAY(sim, "step %" PRIu64 ".%" PRIu64 ".%u begins on %s from '%s'", spec->id.run, spec->id.task,
	    spec->id.number, world_worker_name(worker), resumed_from);
	if (query_int(sim, attempt_known, &spec->id) != 1)
		fail(sim, "3: attempt %" PRIu64 ".%u begins and is not on disk", spec->id.task,
		     spec->id.number);
	if (spec->fence != attempt_fence(&spec->id))
		fail(sim, "the fence of attempt %" PRIu64 ".%u is wrong", spec->id.task, spec->id.number);
	check_limits(sim, spec, worker);
	if (run != NULL)
		for (size_t i = 0; i < run->dag->steps[spec->id.task].needs_count; i++)
			if (known->stored_task[run->dag->steps[spec->id.task].needs[i]] != TASK_SUCCEEDED)
				fail(sim, "task %" PRIu64 " begins before what it needs has succeeded",
				     spec->id.task);
	if (resumed_from[0] == '\0' && !spec->fresh)
		check_resumed(sim, spec, worker);
	if (!spec->fresh && !spec->resume_never)
		check_brought(sim, spec, worker, resumed_from);
	brought_count += spec->provisions_count > 0;
}

static void on_copied(void *context, const struct event *event)
{
	struct sim *sim = context;

	if (!sim->up || sim->dying)
		return;
	SAY(sim, "checkpoint %u of task %" PRIu64 " is copied%s%s", event->copied.seq, event->id.task,
	    event->copied.failure == NULL ? "" : ": ",
	    event->copied.failure == NULL ? "" : event->copied.failure);
	if (event->copied.failure == NULL)
		find_run(sim, event->id.run)->copied_at[event->id.task][event->copied.seq] =
			world_now(sim->world);
	give(sim, *event);
}

static void on_violated(void *context, const char *promise)
{
	fail(context, "%s", promise);
}

static const struct world_ends world_ends = {
	.deliver = on_deliver,
	.connection_lost = on_connection_lost,
	.step_begins = on_step_begins,
	.violated = on_violated,
	.copied = on_copied,
};

/* --- faults --------------------------------------------------------------------------------------------- */

static void on_disk_free(void *context, uint64_t argument)
{
	struct sim *sim = context;

	(void)argument;
	sim->disk_full = false;
}

static void drain(struct sim *sim, size_t worker, bool on)
{
	give(sim, (struct event){ .kind = EVENT_DRAIN, .worker = world_worker_name(worker), .now = on });
}

static void on_fault(void *context, uint64_t argument)
{
	struct sim *sim = context;
	struct rng *rng = world_rng(sim->world);

	(void)argument;
	if (world_now(sim->world) > FAULT_TIME_MS) {
		sim->faults_over = true;
		world_stop_faults(sim->world);
		for (size_t i = 0; i < WORLD_WORKERS; i++)
			drain(sim, i, false);
		return;
	}
	switch (rng_below(rng, 18)) {
	case 0:
	case 1:
	case 2:
	case 3:
		world_cut(sim->world, rng_below(rng, WORLD_WORKERS));
		break;
	case 4:
		world_reboot(sim->world, rng_below(rng, WORLD_WORKERS));
		break;
	case 5:
	case 6:
		world_kill_supervisor(sim->world);
		break;
	case 7:
		world_rot_checkpoint(sim->world);
		break;
	case 8:
	case 9:
	case 10:
		if (sim->up)
			schedule_kill(sim);
		break;
	case 11:
		if (!sim->disk_full) {
			sim->disk_full = true;
			world_after(sim->world, 1000 + (int64_t)rng_below(rng, 60000), on_disk_free, sim, 0);
		}
		break;
	case 12:
		if (chance(sim, 8))
			give(sim, (struct event){ .kind = EVENT_CANCEL,
						  .id.run = sim->runs[rng_below(rng, sim->runs_count)].id,
						  .actor = "sim",
						  .origin = "sim",
						  .now = chance(sim, 30) });
		break;
	case 13:
		world_freeze(sim->world, rng_below(rng, WORLD_WORKERS));
		break;
	case 14:
	case 15:
		if (sim->all_leased && chance(sim, 10))
			world_take_away(sim->world, 0, INT64_MAX);
		else
			world_take_away(sim->world, rng_below(rng, WORLD_WORKERS),
					(int64_t)rng_below(rng, 20 * 60 * 1000));
		break;
	case 16:
		drain(sim, rng_below(rng, WORLD_WORKERS), chance(sim, 50));
		break;
	default:
		break;
	}
	world_after(sim->world, (int64_t)rng_below(rng, 60000), on_fault, sim, 0);
}

/* --- a seed --------------------------------------------------------------------------------------------- */

/* Bound to a worker, or at home anywhere: those go on elsewhere, some of them with a copy. */
static void put_whereabouts(struct sim *sim, struct buf *text)
{
	struct rng *rng = world_rng(sim->world);
	bool leased = sim->all_leased || (sim->leases && chance(sim, 75));

	if (!sim->all_leased && chance(sim, 50))
		buf_printf(text, "    worker: %s\n", world_worker_name(rng_below(rng, WORLD_WORKERS)));
	if (leased)
		buf_printf(text, "    move_after: %ds\n    grace: %ds\n", 10 + (int)rng_below(rng, 150),
			   (int)rng_below(rng, chance(sim, 60) ? 4 : 40));
}

static void put_needs(struct sim *sim, struct buf *text, size_t step)
{
	const char *comma = "";

	buf_printf(text, "  s%zu:\n    run: work\n    needs: [", step);
	for (size_t k = 0; k < step; k++) {
		if (rng_below(world_rng(sim->world), 100) >= 35)
			continue;
		buf_printf(text, "%ss%zu", comma, k);
		comma = ", ";
	}
	buf_append_text(text, "]\n");
}

/* A DAG of a few steps, as text: the parser is real too. */
static char *make_dag(struct sim *sim, size_t index, size_t steps)
{
	struct rng *rng = world_rng(sim->world);
	struct buf text = { 0 };

	buf_printf(&text,
		   "name: sim%" PRIu64 "-%zu\n"
		   "workdir: /sim\n"
		   "notify: [{on: [succeeded, failed, canceled], run: tell}, {on: recovered, mail: ops}]\n"
		   "concurrency: %d\npriority: %d\nsteps:\n",
		   sim->seed, index, 1 + (int)rng_below(rng, 4), (int)rng_below(rng, 3));
	for (size_t i = 0; i < steps; i++) {
		put_needs(sim, &text, i);
		if (chance(sim, 60))
			buf_printf(&text, "    retry: {max: %d, backoff: %ds, max_backoff: 5m}\n",
				   (int)rng_below(rng, 4), 1 + (int)rng_below(rng, 60));
		put_whereabouts(sim, &text);
		buf_printf(&text, "    checkpoint: {keep: 0, copy: %s%s}\n", chance(sim, 60) ? "true" : "false",
			   !sim->all_leased && chance(sim, 15) ? ", resume: required" : "");
		if (chance(sim, 30))
			buf_printf(&text, "    resources: {cpus: %d, gpus: %d}\n", 1 + (int)rng_below(rng, 4),
				   (int)rng_below(rng, 3));
		if (chance(sim, 40))
			buf_printf(&text, "    pool: p%d\n", (int)rng_below(rng, POOLS));
	}
	return buf_take(&text);
}

static void remember_steps(struct sim_run *run, const struct dag *dag)
{
	run->steps = dag->steps_count;
	run->concurrency = dag->concurrency;
	for (size_t i = 0; i < dag->steps_count; i++) {
		const struct dag_step *step = &dag->steps[i];

		run->stored_task[i] = step->needs_count == 0 ? TASK_READY : TASK_WAITING;
		run->pool_of[i] = step->pool == NULL ? -1 : step->pool[1] - '0';
		run->wants[i] = step->resources;
	}
}

static void create_run(struct sim *sim, struct sim_run *run, size_t steps)
{
	autofree char *text = make_dag(sim, (size_t)(run - sim->runs), steps);
	struct diagnostics diagnostics;
	struct store_new_run new_run = { .params = "{}", .trigger = "manual", .actor = "sim", .origin = "sim",
					 .wall_ms = WALL_BASE };
	struct dag *dag;
	struct err err;
	int rc;

	diagnostics_init(&diagnostics);
	if (dag_parse("/sim/sim.yaml", text, strlen(text), &dag, &diagnostics) < 0) {
		diagnostics_print(&diagnostics, stderr, false);
		fail(sim, "the DAG does not parse:\n%s", text);
	}
	diagnostics_fini(&diagnostics);
	new_run.dag = dag;
	rc = store_create_run(sim->store, &new_run, &run->id, &err);
	remember_steps(run, dag);
	dag_free(dag);
	if (rc < 0)
		fail(sim, "%s", err.text);
}

/* One run, or a few small ones that are in each other's way. */
static void create_runs(struct sim *sim)
{
	struct rng *rng = world_rng(sim->world);
	size_t left = STEPS_MAX;

	sim->leases = chance(sim, 40);
	sim->all_leased = sim->leases && chance(sim, 40);
	for (size_t i = 0; i < POOLS; i++)
		sim->pool_slots[i] = 1 + (int)rng_below(rng, 3);
	sim->worker_slots = chance(sim, 30) ? 1 + (int)rng_below(rng, 3) : 0;
	sim->runs_count = chance(sim, 50) ? 1 : 2 + rng_below(rng, RUNS_MAX - 1);
	for (size_t i = 0; i < sim->runs_count; i++) {
		size_t others = sim->runs_count - 1 - i;
		size_t steps = 1 + rng_below(rng, left - others);

		create_run(sim, &sim->runs[i], steps);
		left -= steps;
	}
}

/* Whatever died when: each end of the run is told once, each first success after a failure too. */
static void check_told(struct sim *sim, const struct sim_run *run)
{
	const struct attempt_id id = { .run = run->id };
	int ends = query_int(sim,
			     "SELECT count(*) FROM event WHERE run = ?1"
			     " AND kind IN ('run.succeeded', 'run.failed', 'run.canceled')",
			     &id);
	int told = query_int(sim,
			     "SELECT count(*) FROM outbox WHERE run = ?1 AND state = 'open'"
			     " AND receiver LIKE '%tell%'",
			     &id);
	int state = query_int(sim,
			      "SELECT count(*) FROM run JOIN (SELECT * FROM outbox WHERE run = ?1 AND state = 'open'"
			      " AND receiver LIKE '%tell%' ORDER BY id DESC LIMIT 1) AS last"
			      " ON last.event = run.state WHERE run.id = ?1",
			      &id);
	int recoveries = query_int(sim,
				   "SELECT count(*) FROM (SELECT kind, lag(kind) OVER (ORDER BY id) AS before FROM event"
				   " WHERE run = ?1 AND kind IN ('run.succeeded', 'run.failed'))"
				   " WHERE kind = 'run.succeeded' AND before = 'run.failed'",
				   &id);
	int recovered = query_int(sim,
				  "SELECT count(*) FROM outbox WHERE run = ?1 AND state = 'open' AND event = 'recovered'", &id);

	if (told != ends || state != 1)
		fail(sim, "the run ended %d times, %d of them are told", ends, told);
	if (recovered != recoveries)
		fail(sim, "the run recovered %d times, %d of them are told", recoveries, recovered);
}

static void check_end(struct sim *sim, const struct sim_run *run)
{
	check_told(sim, run);
	if (world_alive(sim->world, run->id) > 0)
		fail(sim, "the run has ended and %zu of its steps are alive", world_alive(sim->world, run->id));
	for (size_t i = 0; i < run->steps; i++)
		if (!machine_ended(task_states, run->stored_task[i]))
			fail(sim, "the run has ended, its task %zu is %s", i,
			     task_states[run->stored_task[i]].name);
}

/* The run has ended; now and then a person wants more of it. */
static void retry_by_hand(struct sim *sim, struct sim_run *run)
{
	if (run->retries_by_hand >= 2 || !chance(sim, 30))
		return;
	run->retries_by_hand++;
	run->ended = false;
	run->retry_from = chance(sim, 50) ? (int)rng_below(world_rng(sim->world), run->steps) : -1;
	SAY(sim, "%" PRIu64 " is retried by hand from %d", run->id, run->retry_from);
	if (!sim->up)
		start_scheduler(sim);
	else if (core_find_run(sim->core, run->id) == NULL)
		take_up(sim, run);
	else
		ask_for_retry(sim, run);
}

static void look_at_ends(struct sim *sim)
{
	for (size_t i = 0; i < sim->runs_count; i++) {
		struct sim_run *run = &sim->runs[i];

		if (!run->ended || run->looked_at)
			continue;
		check_end(sim, run);
		run->looked_at = true;
		retry_by_hand(sim, run);
		run->looked_at = run->ended;
	}
}

/* After the last word of each: nothing of it lives, and nothing is left where anybody can be reached. */
static void check_remains(struct sim *sim, const struct sim_run *run)
{
	size_t left = world_left_behind(sim->world, run->id, run->passed_over);

	if (world_alive(sim->world, run->id) > 0)
		fail(sim, "a step lives after the end of its run");
	if (run->in_peace && left > 0)
		fail(sim, "the run has ended and its workers keep %zu attempts of it", left);
}

static void play(struct sim *sim)
{
	uint64_t events = 0;

	create_runs(sim);
	start_scheduler(sim);
	world_after(sim->world, (int64_t)rng_below(world_rng(sim->world), 30000), on_fault, sim, 0);
	for (;;) {
		look_at_ends(sim);
		if (all_ended(sim))
			break;
		if (!world_step(sim->world))
			fail(sim, "nothing is left to happen and the run has not ended");
		if (++events > EVENTS_MAX || world_now(sim->world) > FAULT_TIME_MS + PATIENCE_MS)
			fail(sim, "the run does not end");
	}
	/* What was still on its way arrives; nothing may come of it. */
	sim->faults_over = true;
	for (int i = 0; i < 2000 && sim->up && world_step(sim->world); i++)
		;
	for (size_t i = 0; i < sim->runs_count; i++)
		check_remains(sim, &sim->runs[i]);
}

static void clean_up(struct sim *sim)
{
	if (sim->up) {
		sim->up = false;
		driver_fini(&sim->driver);
		bury(sim->core);
	}
	world_free(sim->world);
	while (graves != NULL) {
		struct grave *grave = graves;

		graves = grave->next;
		core_free(grave->core);
		free(grave);
	}
}

/* One database serves all seeds: each is a run of its own. */
static bool run_seed(struct store *store, uint64_t seed, enum breakage breakage, bool verbose,
		     char *complaint, size_t complaint_bytes)
{
	struct sim *sim = mem_zalloc(sizeof *sim);
	bool good;

	sim->seed = seed;
	sim->breakage = breakage;
	sim->verbose = verbose;
	sim->store = store;
	sim->world = world_new(seed, breakage);
	world_set_ends(sim->world, &world_ends, sim);
	good = setjmp(sim->failed) == 0;
	if (good)
		play(sim);
	else
		snprintf(complaint, complaint_bytes, "%s (at %" PRId64 " ms)", sim->complaint,
			 world_now(sim->world));
	clean_up(sim);
	free(sim);
	return good;
}

static enum breakage breakage_of(const char *name)
{
	for (int i = 0; i < BREAKAGES; i++)
		if (strcmp(breakage_names[i], name) == 0)
			return (enum breakage)i;
	fprintf(stderr, "sim: --break knows: epochs commit silence success resume lease margin pool slots copy bring\n");
	exit(2);
}

static struct store *fresh_store(void)
{
	struct store *store;
	struct err err;

	if (store_open_memory(&store, &err) < 0) {
		fprintf(stderr, "sim: %s\n", err.text);
		exit(1);
	}
	return store;
}

int main(int argc, char **argv)
{
	uint64_t seeds = 500, first = 1;
	enum breakage breakage = BREAK_NOTHING;
	bool verbose = false;
	char complaint[500];
	struct store *store;
	uint64_t bad = 0;

	for (int i = 1; i < argc; i++) {
		if (strcmp(argv[i], "--seeds") == 0 && i + 1 < argc)
			seeds = strtoull(argv[++i], NULL, 10);
		else if (strcmp(argv[i], "--seed") == 0 && i + 1 < argc) {
			first = strtoull(argv[++i], NULL, 10);
			seeds = 1;
		} else if (strcmp(argv[i], "--first") == 0 && i + 1 < argc)
			first = strtoull(argv[++i], NULL, 10);
		else if (strcmp(argv[i], "--break") == 0 && i + 1 < argc)
			breakage = breakage_of(argv[++i]);
		else if (strcmp(argv[i], "--verbose") == 0)
			verbose = true;
		else
			return 2;
	}
	store = fresh_store();
	for (uint64_t seed = first; seed < first + seeds; seed++) {
		if ((seed - first) % 100 == 99) {
			store_close(store);
			store = fresh_store();
		}
		if (run_seed(store, seed, breakage, verbose, complaint, sizeof complaint))
			continue;
		bad++;
		if (breakage != BREAK_NOTHING)
			break;
		printf("# seed %" PRIu64 ": %s\n#   repeat: make check-sim SEED=%" PRIu64 "\n", seed,
		       complaint, seed);
		if (bad == 5)
			break;
	}
	store_close(store);
	if (breakage != BREAK_NOTHING) {
		printf("%s - rule '%s' broken on purpose is noticed%s%s\n", bad > 0 ? "ok" : "not ok",
		       breakage_names[breakage], bad > 0 ? ": " : "", bad > 0 ? complaint : "");
		return bad > 0 ? 0 : 1;
	}
	printf("# %u attempts began with a checkpoint that was brought\n", brought_count);
	printf("%s - %" PRIu64 " seeds from %" PRIu64 " keep every promise\n", bad == 0 ? "ok" : "not ok",
	       seeds, first);
	return bad == 0 ? 0 : 1;
}
