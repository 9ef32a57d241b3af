/*
 * world.h - simulated workers, links and steps under a virtual clock
 *
 * What is beyond the scheduler's reach: machines that reboot, agents that freeze and come back late, links
 * that drop and delay, supervisors that are killed, checkpoints that rot, steps that fail. It knows the truth
 * (which process lives where), against which the promises are checked the moment something happens.
 *
 * A connection has a number. What the scheduler sent on one that was given up may still reach its old agent,
 * any time later; what that agent says reaches nobody. All times are milliseconds since the start of the
 * simulation: the scheduler's clock. Each machine has its own, which began at its boot and goes up to 1 %
 * faster or slower; leases are kept by it.
 */
#ifndef TESTS_SIM_WORLD_H
#define TESTS_SIM_WORLD_H

#include <stdbool.h>
#include <stdint.h>

#include "common/arena.h"
#include "common/rng.h"
#include "scheduler/core.h"

enum {
	WORLD_WORKERS = 3,
	WORLD_PROCS = 400,
	WORLD_JOURNAL = 64,
	WORLD_CHECKPOINTS = 256,
	WORLD_COPIES = 512,
	WORLD_CPUS = 4, /* of each worker */
	WORLD_DEVICES = 2,
};

struct world;

/* A rule broken on purpose, to see that the checks notice. */
enum breakage {
	BREAK_NOTHING,
	BREAK_EPOCHS,  /* agents start whatever a connection asks, however old it is */
	BREAK_COMMIT,  /* orders are carried out before they are committed */
	BREAK_SILENCE, /* a worker that cannot be reached is taken for dead */
	BREAK_SUCCESS, /* an end that nobody saw is reported as exit 0 */
	BREAK_RESUME,  /* checkpoints are not offered to the next attempt */
	BREAK_LEASE,   /* the holder of a lease counts from the answer, not from its asking */
	BREAK_MARGIN,  /* clocks differ by more than the margin of a lease allows for */
	BREAK_POOL,    /* the core takes a pool for larger than it is */
	BREAK_SLOTS,   /* and a worker */
	BREAK_COPY,    /* copies of checkpoints are never verified */
	BREAK_BRING,   /* they are not brought to where a task goes on */
	BREAKAGES,
};
extern const char *const breakage_names[BREAKAGES];

struct world_record {
	enum frame_type type;
	uint64_t end;
	struct record_started started;
	struct record_checkpoint checkpoint;
};

/* An attempt directory with its supervisor and step. */
struct proc {
	struct attempt_id id;
	size_t worker;
	bool exists; /* not forgotten yet */
	bool alive;  /* its step runs */
	bool ended;  /* its exit record is there */
	bool stop_asked;
	enum reason stop_reason;
	struct record_exit exit;
	struct world_record records[WORLD_JOURNAL];
	size_t records_count;
	int64_t at; /* training step reached */
	int64_t goal;
	uint64_t life; /* guards against events of a former life */
	int fate;      /* what this attempt will do */
	bool verifying; /* its supervisor lives, its step has not begun */
	bool slow;      /* outlives its lease if nobody stops it */
	bool stubborn;  /* ends only when it is killed */
	struct spec spec;
	int64_t renewed;  /* newest number granted that its supervisor has read, by its machine's clock */
	int64_t lease;    /* newest one an agent has left for it */
	uint64_t renewers[4]; /* connections whose agents may renew it, newest last */
};

struct message {
	enum {
		TO_AGENT_CLAIM,
		TO_AGENT_START,
		TO_AGENT_STOP,
		TO_AGENT_ATTACH,
		TO_AGENT_FORGET,
		TO_AGENT_RELEASE,
		TO_AGENT_GRANT,
		TO_SCHEDULER, /* an event */
	} kind;
	uint64_t connection;
	size_t worker;
	struct attempt_id id;
	uint64_t epoch;
	struct spec spec; /* START; its texts live in the world's arena */
	int64_t grace_ms;
	enum reason reason;
	uint64_t offset;
	bool provisioned; /* START: what it needs has come */
	int64_t lease_ms; /* CLAIM */
	int64_t number;   /* GRANT */
	bool renew;       /* ATTACH */
	struct event event; /* TO_SCHEDULER */
};

struct world *world_new(uint64_t seed, enum breakage breakage);
void world_free(struct world *world);

/* What the scheduler's side brings. */
struct world_ends {
	void (*deliver)(void *context, const struct event *event); /* from the current connection of a worker */
	void (*connection_lost)(void *context, size_t worker);
	/* The command of an attempt begins: for checks against what the scheduler has stored. */
	void (*step_begins)(void *context, const struct spec *spec, size_t worker, const char *resumed_from);
	void (*violated)(void *context, const char *promise);
	/* What was to be fetched (world_copy) is there, or cannot be had. */
	void (*copied)(void *context, const struct event *event);
};
void world_set_ends(struct world *world, const struct world_ends *ends, void *context);

int64_t world_now(const struct world *world);
struct rng *world_rng(struct world *world);

/* Runs `call` after `delay_ms`. */
typedef void world_call(void *context, uint64_t argument);
void world_after(struct world *world, int64_t delay_ms, world_call *call, void *context, uint64_t argument);

/* Carries out the next thing; false when nothing is left. */
bool world_step(struct world *world);

/* The scheduler connects (it is told by EVENT_WORKER_UP), sends, and lets go. */
void world_connect(struct world *world, size_t worker, uint64_t epoch);
void world_send(struct world *world, size_t worker, const struct message *message);
void world_disconnect_all(struct world *world);

/*
 * Fetches a checkpoint of a task from a worker, in its time; while there is no connection, that stands still.
 * What was fetched stays when the scheduler dies, what is under way does not.
 */
void world_copy(struct world *world, size_t worker, const struct attempt_id *task, uint32_t seq,
		const char *name, const char *digest);
void world_cancel_copy(struct world *world, const struct attempt_id *task, uint32_t seq);
void world_drop_copy(struct world *world, const struct attempt_id *task, uint32_t seq);
bool world_is_connected(const struct world *world, size_t worker);
const char *world_worker_name(size_t worker);

/* Faults. */
void world_cut(struct world *world, size_t worker);
void world_freeze(struct world *world, size_t worker); /* the agent or the link, for a while */
void world_take_away(struct world *world, size_t worker, int64_t for_ms); /* INT64_MAX: for ever */
bool world_is_away(const struct world *world, size_t worker);
void world_reboot(struct world *world, size_t worker);
void world_kill_supervisor(struct world *world);
void world_rot_checkpoint(struct world *world);
void world_stop_faults(struct world *world); /* steps fail no more, except those made to */

/* The truth. */
size_t world_alive(const struct world *world, uint64_t run);
void world_each_alive(const struct world *world,
		      void (*look)(void *context, const struct attempt_id *id, size_t worker), void *context);
/* Attempts not removed, but for those with a lease on workers that the end of the run did not wait for. */
size_t world_left_behind(const struct world *world, uint64_t run, const bool *passed_over);
bool world_holds_checkpoint(const struct world *world, size_t worker, const struct attempt_id *task,
			    const char *name, const char *digest); /* whole, as it was recorded */
bool world_holds_copy(const struct world *world, const struct attempt_id *task, uint32_t seq); /* whole */
const struct proc *world_find(const struct world *world, const struct attempt_id *id);

#endif
