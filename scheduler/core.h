/*
 * core.h - decides everything: an event and the time go in, moves and actions come out
 *
 * Pure: reads no clock, does no I/O, draws its jitter from a seed it was given and iterates in a defined
 * order, so the same events give the same actions, always. driver.c is the shell around it: it writes the
 * saves of a batch in one transaction and carries the orders out only after the commit. After a crash the
 * state is loaded from the store and handed over by core_add_run, so every order may come twice and is
 * harmless then.
 *
 * Who may start what: a run is first claimed on a worker (the agent then refuses older drivers), the agent
 * answers with the attempts it has, each attempt we expect there gets one verdict, and only then are tasks
 * placed.
 *
 * Who goes first: over all runs the most urgent task (urgency.h), then the oldest; within its run's `concurrency`,
 * its pool, and what the workers have. What is taken of all that is derived from the attempts alive.
 *
 * Who may start it elsewhere: an attempt that has a lease (`move_after`) is given up when its worker is down
 * and its lease has run out on both sides. Its end is `lost` then, whatever is heard of it later.
 *
 * Who resumes where: a checkpoint lies on the worker of the attempt that wrote it. The scheduler may have a
 * copy (core_copy.c): always of the newest with `copy: true`, else of the one that a task is to go on from
 * elsewhere. An attempt on another worker is brought that copy before it starts, and no other way leads there.
 *
 * Ownership: a struct core owns its runs and workers. Texts in actions live in the arena of their run or in
 * the arena
 *            of the actions; both outlive the batch: whoever takes a run back (core_take_run) frees it only when no batch is left that
 *            was being gathered or written then.
 * Units:     now_ms is monotonic, wall_ms is for records. A deadline is kept in both: monotonic to act on, wall to be
 *            stored; at recovery the wait left is cut to max_backoff, so that a clock that jumped cannot hold a task.
 */
#ifndef SCHEDULER_CORE_H
#define SCHEDULER_CORE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/arena.h"
#include "common/buf.h"
#include "common/list.h"
#include "common/rng.h"
#include "dag/dag.h"
#include "executor/protocol.h"
#include "scheduler/artifact.h"
#include "scheduler/attempt.h"
#include "scheduler/checkpoint.h"
#include "scheduler/pool.h"
#include "scheduler/run.h"
#include "scheduler/task.h"
#include "scheduler/terms.h"

/* The worker that is this machine: it can be reached whenever this process runs, so nothing moves from it. */
#define CORE_LOCAL "local"

/* --- what happened -------------------------------------------------------------------------------------- */

enum event_kind {
	EVENT_TICK,        /* time went by */
	EVENT_WORKER_UP,   /* the link to a worker is ready */
	EVENT_WORKER_DOWN, /* it is gone */
	EVENT_WORKER_FAILED, /* it could not be made */
	EVENT_PRESENT,     /* the worker has this attempt */
	EVENT_INVENTORY,   /* that were all of that run (or: the claim was refused) */
	EVENT_JOURNAL,     /* one record of an attempt's journal */
	EVENT_EXITED,      /* its exit record */
	EVENT_COLLECTED,   /* its log is wholly stored here */
	EVENT_LEASE,       /* the worker asks for its leases, and is answered right after this */
	EVENT_CANCEL,      /* somebody asks to cancel a run */
	EVENT_RETRY,       /* somebody asks to run again what did not succeed, or from a step on */
	EVENT_COPIED,      /* a checkpoint was fetched from its worker and verified, or could not be */
	EVENT_DRAIN,       /* somebody wants a worker to start nothing new, or (now: false) no more */
};

struct worker_facts {
	const char *name;
	const char *boot_id;
	const char *host;
	const char *machine;
	uint64_t epoch; /* of this connection */
	int64_t cpus_milli;
	int64_t memory_bytes;
	const struct device *devices;
	size_t devices_count;
};

struct notice;
struct notice_terms;

struct event {
	enum event_kind kind;
	int64_t now_ms;
	int64_t wall_ms;
	const char *worker;          /* all but TICK, CANCEL, RETRY, COPIED */
	struct attempt_id id;        /* PRESENT JOURNAL EXITED COLLECTED; id.run for INVENTORY CANCEL RETRY, COPIED */
	struct worker_facts facts;   /* WORKER_UP */
	enum present_state present;  /* PRESENT */
	bool refused;                /* INVENTORY */
	const char *text;            /* INVENTORY: why refused; WORKER_DOWN WORKER_FAILED: why */
	const char *fault;           /* WORKER_DOWN WORKER_FAILED: its kind, in a word */
	enum frame_type record_type; /* JOURNAL */
	uint64_t journal_end;        /* JOURNAL: offset behind the record */
	union {
		struct record_started started;
		struct record_checkpoint checkpoint;
		struct record_metric metric;
		struct record_sample sample;
		struct record_output output;
		struct record_artifacts artifacts;
		struct frame_note note;
		struct record_stopping stopping;
	} record;
	struct record_exit exit; /* EXITED */
	struct {
		uint32_t seq;       /* of the ledger of task id.task */
		const char *digest; /* of the parcel */
		uint64_t bytes;
		const char *failure; /* NULL: it is there */
		bool transient;      /* it may be had later */
	} copied; /* COPIED */
	int64_t asked_ms;        /* LEASE: when it asked, by the worker's own clock */
	bool now;                /* CANCEL: without grace; DRAIN: on */
	int from_step;           /* RETRY: that step and all behind it; -1: what did not succeed */
	const char *actor;       /* CANCEL RETRY */
	const char *origin;
};

/* --- what is to be done --------------------------------------------------------------------------------- */

enum action_kind {
	/* saved in the transaction of the batch */
	SAVE_RUN,
	SAVE_TASK,
	SAVE_ATTEMPT,
	SAVE_CHECKPOINT,
	SAVE_METRIC,
	SAVE_OUTPUT,
	SAVE_ARTIFACT,
	SAVE_NO_OUTPUTS, /* those of the task are void: it is run again */
	SAVE_WORKER,
	SAVE_WORKER_TROUBLE, /* why there is no connection to it */
	SAVE_WORKER_ASIDE,   /* set aside until then, and why */
	SAVE_EVENT,
	SAVE_NOTICE, /* somebody is to be told how a run ended; see notice.h */
	SAVE_REQUEST_DONE, /* added by the driver */
	/* carried out after its commit */
	ORDER_CLAIM,
	ORDER_START,
	ORDER_STOP,
	ORDER_ATTACH,
	ORDER_FORGET,
	ORDER_RELEASE,
	ORDER_COPY,        /* fetch that checkpoint of the task from its worker; EVENT_COPIED follows */
	ORDER_CANCEL_COPY, /* it is not wanted any more */
	ORDER_DROP_COPY,   /* the file is not needed any more */
	ORDER_RUN_ENDED, /* nothing of the run is left to do */
};

struct action {
	enum action_kind kind;
	const char *worker;   /* ORDER_* SAVE_WORKER_* */
	bool keep;            /* ORDER_RELEASE: the run may be taken up again */
	struct attempt_id id; /* ORDER_*, SAVE_METRIC, SAVE_OUTPUT, SAVE_EVENT (number 0, task UINT64_MAX: none) */
	union {
		struct run_row run;
		struct task_row task;
		struct attempt_row attempt;
		struct checkpoint_row checkpoint;
		struct artifact_row artifact;
		struct {
			int64_t wall_ms;
			uint64_t journal_offset;
			const char *json;
		} metric;
		struct {
			const char *key;
			const char *value;
		} output;
		struct worker_facts facts;
		struct {
			const char *text;
			const char *fault;
			int64_t wall_ms; /* since then; ASIDE: until then */
		} trouble;
		struct {
			int64_t wall_ms;
			const char *kind;
			const char *actor;
			const char *origin;
			const char *detail;
		} event;
		struct {
			const struct notice *notice;
			const char *receiver;
			unsigned on; /* what the receiver wants of it: DAG_ON_* */
		} notice;
		uint64_t request;
		uint32_t copy_seq; /* COPY CANCEL_COPY DROP_COPY: of the ledger of task id.task */
		struct {
			uint64_t epoch;   /* CLAIM RELEASE */
			int64_t lease_ms; /* CLAIM: the shortest one in the run; 0: none */
		};
		struct {
			const uint8_t *frame; /* START: encoded */
			size_t bytes;
		} start;
		struct {
			enum reason reason;
			int64_t grace_ms;
		} stop;
		struct {
			uint64_t journal_offset;
			bool renew; /* its lease, from now on */
		} attach;
	};
};

struct actions {
	struct action *items;
	size_t count;
	size_t room;
	struct arena arena;
};

void actions_init(struct actions *actions);
void actions_fini(struct actions *actions);
void actions_clear(struct actions *actions);
struct action *actions_add(struct actions *actions, enum action_kind kind);

/* --- the state ------------------------------------------------------------------------------------------ */

struct output {
	const char *key;
	const char *value;
};

struct attempt {
	struct attempt_row row;
	struct task *task;
	struct worker *worker;
	struct list live_link; /* in worker->live while it may run */
	struct list open_link; /* in run->open until it is collected */
	bool exited;           /* its exit is decided upon */
	bool present;          /* the worker has it, as far as this connection told */
	bool progressed;       /* left a checkpoint that counts as progress */
	int64_t began_step;    /* training step it resumed from; -1 */
	uint32_t brought_seq;  /* checkpoint that its worker is to be brought before it starts; 0: none */
};

struct task {
	struct task_row row;
	struct run *run;
	const struct dag_step *step;
	struct attempt *live; /* the attempt that may run; NULL: none */
	struct list link;     /* in a class's ready list, or in run->retrying */
	struct ledger ledger;
	struct list copy_link;  /* in run->copies */
	uint32_t copying_seq;   /* checkpoint that is being fetched; 0: none */
	int64_t copy_again_ms;  /* not before: the last try failed */
	struct artifact_row left; /* by its last attempt that left something */
	struct output *outputs;
	size_t outputs_count;
	size_t unmet;         /* needs that have not succeeded */
	int64_t not_before_ms; /* monotonic; -1: only the stored wall time is known yet */
	int64_t ready_ms;      /* when it became ready, monotonic; -1: only the stored wall time is known yet */
	uint64_t ready_seq;    /* the order in which tasks became ready: the oldest goes first */
	struct worker *kept;   /* the worker that was kept for it last; NULL: none */
	char *metric;         /* last one; NULL: none. For those who look on, not for deciding. */
	size_t metric_room;
};

/* Ready tasks of a run that ask for the same: if the first does not fit, none does. */
struct ready_class {
	const struct dag_step *like;
	struct pool *pool;  /* NULL: none */
	struct list ready;
	int64_t started_ms; /* when one of it was started last; INT64_MIN: never */
};

struct past_worker {
	const char *name;
	uint32_t step; /* whose attempts were there */
	struct past_worker *next;
};

enum claim { CLAIM_NONE, CLAIM_ASKED, CLAIM_HELD, CLAIM_REFUSED };

struct run {
	struct run_row row;
	struct arena arena;
	struct dag *dag; /* owned */
	const char **values; /* of its parameters, in the DAG's order */
	struct task *tasks;  /* one per step */
	size_t unfinished;   /* tasks that are not terminal */
	bool leaves_artifacts; /* some task left some */
	struct ready_class *classes;
	size_t classes_count;
	uint32_t *class_of;   /* per step */
	struct list bound;    /* ready tasks whose checkpoint lies on a worker: each is a case of its own */
	struct list retrying; /* tasks */
	struct list open;     /* attempts not collected */
	struct list copies;   /* tasks with a checkpoint that may have to be fetched */
	enum claim claims[CORE_WORKERS_MAX];
	const char *refusal; /* why the claim was refused */
	bool used[CORE_WORKERS_MAX]; /* attempts of it are or were there: its inventory is needed before the end */
	struct past_worker *past_workers; /* as loaded, before the core takes the run */
	int64_t awaited_ms[CORE_WORKERS_MAX]; /* for so long after its last grant; INT64_MAX: for ever */
	int64_t lease_ms;    /* the shortest of its steps' leases; 0: none has one */
	bool settled;        /* looked at since it was handed over */
	bool ended;          /* ORDER_RUN_ENDED was given */
	bool hurried;        /* canceled without grace */
	int held;            /* for this pass: places of its `concurrency` kept free */
};

struct worker {
	const char *name;
	size_t index;
	struct worker_terms terms;
	bool configured;
	bool retired; /* the settings named it once, and do not any more */
	bool up;
	bool known; /* was up once: its facts are facts */
	bool draining; /* starts nothing new */
	uint32_t failed_starts;  /* in a row */
	uint32_t times_aside;    /* in a row: each lasts twice as long */
	int64_t aside_until_ms;  /* set aside until then; 0: not */
	const char *boot_id;
	uint64_t epoch;
	int64_t cpus_milli;
	int64_t memory_bytes;
	const char **devices; /* UUIDs */
	size_t devices_count;
	struct list live;
	const struct task *kept_for; /* for this pass: who has waited so long that room is kept for it */
	bool full;                   /* for this pass: all its slots were found taken */
	const char *trouble; /* why it is not up; "" */
	int64_t down_ms;
	int64_t down_wall_ms;
	int64_t granted_ms; /* when it was last granted its leases, or may have been; -1: before any event */
	int64_t asked_ms;   /* its newest ask on this connection, by its own clock */
};

/* What could start: the oldest ready task of a class, or one that is bound to a worker. */
struct candidate {
	struct task *task;
	struct ready_class *class; /* NULL: it is bound */
	int64_t urgency;
};

struct core {
	struct arena arena; /* of the workers' facts */
	struct rng rng;
	int64_t now_ms;
	int64_t wall_ms;
	int64_t began_ms; /* the first event's */
	struct run **runs;   /* sorted by id */
	size_t runs_count;
	size_t runs_room;
	struct candidate *queue; /* of the pass at hand: a heap, the most urgent one on top */
	size_t queue_count;
	size_t queue_room;
	struct pool **pools;
	size_t pools_count;
	size_t pools_room;
	struct worker *workers[CORE_WORKERS_MAX];
	size_t workers_count;
	struct buf scratch;
	uint64_t ready_count; /* tasks that became ready so far: gives ready_seq */
	bool unclaimed;       /* a claim may have to be asked for */
	const struct notice_terms *notices; /* NULL: only who the DAGs themselves name is told */
	int64_t look_ms;      /* when the patience with a worker that is away ends; INT64_MAX: none is waited for */
	uint64_t late_messages; /* about attempts that had ended: refused and counted */
};

struct core *core_new(uint64_t seed);
void core_free(struct core *core);

/* A worker the configuration names; it is down until EVENT_WORKER_UP. One that is known stays as it is. */
void core_add_worker(struct core *core, const char *name);

/* What the configuration says of it; its texts must outlive the core. Without, it takes what names it. */
void core_set_terms(struct core *core, const char *name, const struct worker_terms *terms);

/* The settings name it no more: nothing is started there, what is there is waited for. Undone by core_set_terms. */
void core_unset_worker(struct core *core, const char *name);

/*
 * The pools that the settings name. After a change of the settings: core_forget_pools, then each that is in
 * force. One that has fewer slots now lets nothing start until enough has ended.
 */
void core_set_pool(struct core *core, const char *name, int slots);
void core_forget_pools(struct core *core);

/* Who is told how runs end, beside those whom their DAGs name; it must outlive the core. */
void core_set_notices(struct core *core, const struct notice_terms *notices);

/* Who is told that a run has ended: SAVE_NOTICE for each. For one that ends outside the core, too. */
void core_notify_end(const struct notice_terms *terms, const struct run *run, int64_t wall_ms,
		     struct actions *out);

/*
 * Hands over a run with its rows as they are stored: a new one (all tasks waiting) or one that is being
 * recovered, it makes no difference. The run and its DAG belong to the core from here on. Nothing is decided
 * until the next event.
 */
void core_add_run(struct core *core, struct run *run);

/* True when attempts of a run are, were or may be on the worker: only then is it worth a connection. */
bool core_concerns(const struct core *core, const char *worker);

/* Gives a run that has ended (ORDER_RUN_ENDED) back to the caller. */
struct run *core_take_run(struct core *core, uint64_t run);

/* Appends what follows from `event` to `out`. */
void core_step(struct core *core, const struct event *event, struct actions *out);

/* The next moment (monotonic) at which an EVENT_TICK has something to do; INT64_MAX: none. */
int64_t core_next_wake_ms(const struct core *core);

struct run *core_find_run(const struct core *core, uint64_t run);

/*
 * Which tasks EVENT_RETRY would run again in a run that has ended: sets them in `selected`, one for each step, all false
 * before.
 */
void core_select_retry(const struct run *run, int from_step, bool *selected);

/*
 * Leases (core_lease.c). The one under which a task like `step` runs on `worker`; 0: none, it is waited for.
 */
int64_t core_lease_ms(const struct dag_step *step, const char *worker);

/*
 * How long after the last grant to `worker` an attempt there may be alive, as seen from here: the lease, the
 * grace, and a margin for clocks that differ and for killing. INT64_MAX when it has no lease.
 */
int64_t core_lease_span_ms(const struct dag_step *step, const char *worker);

/* --- making a run to hand over (run_rows.c) ------------------------------------------------------------- */

/*
 * A run for `dag` (owned from here on) whose tasks are all waiting; the caller fills rows in where it
 * recovers.
 */
struct run *run_new(struct dag *dag, const struct run_row *row);
void run_free(struct run *run);

/* Appends an output; a later one of the same key counts. */
void task_add_output(struct task *task, const char *key, const char *value);

/* What the task left; the texts are copied. */
void task_set_left(struct task *task, const struct artifact_row *row);

/* At recovery: an attempt that was live when the rows were stored; a worker on which some attempt was. */
struct attempt *run_add_live(struct run *run, const struct attempt_row *row);
void run_add_past_worker(struct run *run, const char *name, uint32_t step);

#endif
