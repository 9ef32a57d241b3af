#include "tests/sim/world.h"

#include <assert.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/mem.h"

enum { EPOCH_RUNS = 8, CALLS_FIRST = 256, WALL_BASE = 1000000000 };

const char *const breakage_names[BREAKAGES] = {
	"nothing", "epochs", "commit", "silence", "success", "resume", "lease", "margin", "pool", "slots",
	"copy", "bring"
};

static const char *const worker_names[WORLD_WORKERS] = { "alpha", "beta", "gamma" };

/* What lies in the checkpoint folder of a task on a worker. */
struct stored_checkpoint {
	struct attempt_id owner; /* its number tells who wrote it */
	size_t worker;
	int64_t step;
	bool rotten;
	bool recorded;
	bool brought; /* written elsewhere */
	char name[32];
	char digest[48];
};

/* What the scheduler has fetched, or is fetching. */
struct stored_copy {
	struct attempt_id task;
	uint32_t seq;
	size_t worker;
	int64_t left_ms; /* to go; 0: it is there */
	bool gone;      /* canceled, dropped, or its scheduler died */
	struct stored_checkpoint contents;
	char parcel[48];
};

struct attached {
	struct proc *proc;
	size_t sent; /* records */
	bool exit_sent;
};

struct connection {
	uint64_t number; /* 0: none */
	uint64_t epoch;
	int64_t down_at; /* last delivery to the scheduler: messages keep their order */
	int64_t up_at;
	int64_t ask_every; /* 0: no run with leases is claimed */
	int64_t frozen_until;
	struct attached attached[WORLD_PROCS];
	size_t attached_count;
};

struct machine {
	uint64_t boot;
	char boot_id[24];
	int64_t booted_at;
	int64_t ppm;     /* its clock is so much faster than the true one */
	int64_t away_until;
	struct connection current; /* agent and link that the scheduler holds */
	uint64_t high_water;
	struct {
		uint64_t run;
		uint64_t epoch;
	} epochs[EPOCH_RUNS];
};

struct call {
	int64_t at;
	uint64_t seq;
	world_call *call;
	void *context;
	uint64_t argument;
	struct message *message; /* heap; or NULL */
};

struct world {
	struct rng rng;
	struct arena arena;
	enum breakage breakage;
	const struct world_ends *ends;
	void *context;
	int64_t now;
	uint64_t calls_made;
	struct call *heap;
	size_t heap_count;
	size_t heap_room;
	struct machine machines[WORLD_WORKERS];
	struct proc *procs;
	size_t procs_count;
	struct stored_checkpoint *checkpoints;
	size_t checkpoints_count;
	struct stored_copy *copies;
	size_t copies_count;
	uint64_t connections;
	bool calm; /* faults are over */
	struct message *at_hand; /* being delivered: a check that fails leaves by longjmp */
};

/* --- time ----------------------------------------------------------------------------------------------- */

static bool is_before(const struct call *a, const struct call *b)
{
	return a->at != b->at ? a->at < b->at : a->seq < b->seq;
}

static void heap_push(struct world *world, struct call call)
{
	size_t at = world->heap_count++;

	mem_grow(&world->heap, &world->heap_room, world->heap_count, sizeof *world->heap);
	for (; at > 0 && is_before(&call, &world->heap[(at - 1) / 2]); at = (at - 1) / 2)
		world->heap[at] = world->heap[(at - 1) / 2];
	world->heap[at] = call;
}

static struct call heap_pop(struct world *world)
{
	struct call top = world->heap[0];
	struct call last = world->heap[--world->heap_count];
	size_t at = 0;

	for (;;) {
		size_t child = 2 * at + 1;

		if (child >= world->heap_count)
			break;
		if (child + 1 < world->heap_count && is_before(&world->heap[child + 1], &world->heap[child]))
			child++;
		if (!is_before(&world->heap[child], &last))
			break;
		world->heap[at] = world->heap[child];
		at = child;
	}
	world->heap[at] = last;
	return top;
}

void world_after(struct world *world, int64_t delay_ms, world_call *call, void *context, uint64_t argument)
{
	heap_push(world, (struct call){ .at = world->now + delay_ms,
					.seq = world->calls_made++,
					.call = call,
					.context = context,
					.argument = argument });
}

int64_t world_now(const struct world *world)
{
	return world->now;
}

struct rng *world_rng(struct world *world)
{
	return &world->rng;
}

const char *world_worker_name(size_t worker)
{
	return worker_names[worker];
}

static void violated(struct world *world, const char *promise)
{
	world->ends->violated(world->context, promise);
}

static bool chance(struct world *world, unsigned percent)
{
	return rng_below(&world->rng, 100) < percent;
}

/* By the machine's clock, in milliseconds since its boot. */
static int64_t local_now(const struct world *world, size_t worker)
{
	const struct machine *machine = &world->machines[worker];

	return 1000 + (world->now - machine->booted_at) * (1000000 + machine->ppm) / 1000000;
}

/* How long it truly takes until the machine's clock shows `local`: rather later than sooner. */
static int64_t true_wait(const struct world *world, size_t worker, int64_t local)
{
	int64_t pace = 1000000 + world->machines[worker].ppm;
	int64_t wait = (local - local_now(world, worker)) * 1000000 / pace + 2;

	return wait > 0 ? wait : 0;
}

/* --- agent to scheduler --------------------------------------------------------------------------------- */

static struct message *message_at(struct world *world, int64_t at, const struct message *message)
{
	struct message *copy = mem_alloc(sizeof *copy);

	*copy = *message;
	heap_push(world, (struct call){ .at = at, .seq = world->calls_made++, .message = copy });
	return copy;
}

/*
 * Says something to the scheduler; in order, after a delay. What an agent says that nobody holds is not sent.
 */
static void say(struct world *world, size_t worker, struct event event)
{
	struct connection *connection = &world->machines[worker].current;
	struct message message = { .kind = TO_SCHEDULER, .worker = worker, .connection = connection->number };

	if (connection->number == 0)
		return;
	event.worker = worker_names[worker];
	message.event = event;
	connection->down_at += 1 + (int64_t)rng_below(&world->rng, 20);
	if (connection->down_at <= world->now)
		connection->down_at = world->now + 1 +
				      (int64_t)rng_below(&world->rng, chance(world, 5) ? 3000 : 20);
	message_at(world, connection->down_at, &message);
}

static void ship(struct world *world, size_t worker, struct attached *attached)
{
	struct proc *proc = attached->proc;

	for (; attached->sent < proc->records_count; attached->sent++) {
		const struct world_record *record = &proc->records[attached->sent];
		struct event event = { .kind = EVENT_JOURNAL, .id = proc->id };

		event.record_type = record->type;
		event.journal_end = record->end;
		if (record->type == RECORD_STARTED)
			event.record.started = record->started;
		else if (record->type == RECORD_CHECKPOINT)
			event.record.checkpoint = record->checkpoint;
		say(world, worker, event);
	}
	if (!proc->ended || attached->exit_sent)
		return;
	attached->exit_sent = true;
	say(world, worker, (struct event){ .kind = EVENT_EXITED, .id = proc->id, .exit = proc->exit });
	if (chance(world, 10)) /* said twice */
		say(world, worker,
		    (struct event){ .kind = EVENT_EXITED, .id = proc->id, .exit = proc->exit });
	world->machines[worker].current.down_at += (int64_t)rng_below(&world->rng, 400); /* the rest of its log */
	say(world, worker, (struct event){ .kind = EVENT_COLLECTED, .id = proc->id });
}

static void ship_news(struct world *world, struct proc *proc)
{
	struct connection *connection = &world->machines[proc->worker].current;

	for (size_t i = 0; connection->number != 0 && i < connection->attached_count; i++)
		if (connection->attached[i].proc == proc)
			ship(world, proc->worker, &connection->attached[i]);
}

static void attach(struct world *world, size_t worker, struct proc *proc, uint64_t offset)
{
	struct connection *connection = &world->machines[worker].current;
	struct attached *attached;

	assert(connection->attached_count < sizeof connection->attached / sizeof connection->attached[0]);
	attached = &connection->attached[connection->attached_count++];
	*attached = (struct attached){ .proc = proc };
	while (attached->sent < proc->records_count && proc->records[attached->sent].end <= offset)
		attached->sent++;
	ship(world, worker, attached);
}

/* --- steps ---------------------------------------------------------------------------------------------- */

static void append_record(struct proc *proc, const struct world_record *record)
{
	struct world_record *place;

	if (proc->records_count == WORLD_JOURNAL)
		return;
	place = &proc->records[proc->records_count];
	*place = *record;
	place->end = (proc->records_count == 0 ? 0 : proc->records[proc->records_count - 1].end) + 40;
	proc->records_count++;
}

static void end_proc(struct world *world, struct proc *proc, struct record_exit exit)
{
	proc->alive = false;
	proc->ended = true;
	proc->life++;
	exit.started_wall_ms = exit.ended_wall_ms = WALL_BASE + world->now;
	exit.journal_bytes = proc->records_count == 0 ? 0 : proc->records[proc->records_count - 1].end;
	exit.text = "";
	if (proc->stop_asked && exit.kind != EXIT_LOST) {
		exit.stopped = true;
		exit.reason = proc->stop_reason;
	}
	if (exit.kind == EXIT_LOST && world->breakage == BREAK_SUCCESS)
		exit = (struct record_exit){ .kind = EXIT_CODE, .reason = REASON_EXIT, .text = "" };
	proc->exit = exit;
	ship_news(world, proc);
}

/* Asked while nothing of it runs yet. */
static void end_unbegun(struct world *world, struct proc *proc, enum reason reason)
{
	proc->verifying = false;
	proc->stop_asked = true;
	proc->stop_reason = reason;
	end_proc(world, proc, (struct record_exit){ .kind = EXIT_NOT_STARTED, .transient = true });
}

static struct stored_checkpoint *find_checkpoint(struct world *world, const struct proc *proc,
						 const char *name)
{
	for (size_t i = world->checkpoints_count; i > 0; i--) {
		struct stored_checkpoint *at = &world->checkpoints[i - 1];

		if (at->owner.run == proc->id.run && at->owner.task == proc->id.task &&
		    at->worker == proc->worker && strcmp(at->name, name) == 0)
			return at;
	}
	return NULL;
}

static void write_checkpoint(struct world *world, struct proc *proc)
{
	struct stored_checkpoint *stored;
	struct world_record record = { .type = RECORD_CHECKPOINT };
	char name[32];

	snprintf(name, sizeof name, "step-%" PRId64, proc->at);
	stored = find_checkpoint(world, proc, name);
	if (stored == NULL) {
		if (world->checkpoints_count == WORLD_CHECKPOINTS)
			return;
		stored = &world->checkpoints[world->checkpoints_count++];
	}
	*stored = (struct stored_checkpoint){ .owner = proc->id, .worker = proc->worker, .step = proc->at };
	snprintf(stored->name, sizeof stored->name, "%s", name);
	snprintf(stored->digest, sizeof stored->digest, "%" PRIu64 "-%" PRId64 "-%d", proc->id.task, proc->at,
		 chance(world, 50) ? 0 : (int)proc->id.number);
	record.checkpoint = (struct record_checkpoint){
		.event = CHECKPOINT_COMPLETE,
		.name = arena_strdup(&world->arena, stored->name),
		.digest = arena_strdup(&world->arena, stored->digest),
		.bytes = 10,
		.step = proc->at,
		.wall_ms = WALL_BASE + world->now,
		.format = "file",
		.text = "",
	};
	append_record(proc, &record);
}

static uint64_t call_argument(const struct world *world, const struct proc *proc)
{
	return (uint64_t)(proc - world->procs) << 32 | (proc->life & 0xffffffff);
}

/* NULL when it has ended since it asked for the call. */
static struct proc *called_proc(struct world *world, uint64_t argument)
{
	struct proc *proc = &world->procs[argument >> 32];

	return (proc->life & 0xffffffff) == (argument & 0xffffffff) ? proc : NULL;
}

static void on_proc_step(void *context, uint64_t argument);

static void schedule_step(struct world *world, struct proc *proc)
{
	world_after(world, 100 + (int64_t)rng_below(&world->rng, proc->slow ? 200000 : 20000), on_proc_step,
		    world, call_argument(world, proc));
}

static void on_proc_step(void *context, uint64_t argument)
{
	struct world *world = context;
	struct proc *proc = called_proc(world, argument);

	if (proc == NULL || !proc->alive)
		return;
	if (proc->stop_asked && proc->stubborn)
		return; /* It will be killed. */
	if (proc->stop_asked) {
		if (chance(world, 60))
			write_checkpoint(world, proc);
		end_proc(world, proc,
			 chance(world, 50) ? (struct record_exit){ .kind = EXIT_CODE, .code = 85 }
					   : (struct record_exit){ .kind = EXIT_SIGNAL, .signal = 9 });
		return;
	}
	proc->at++;
	if (proc->at >= proc->goal) {
		end_proc(world, proc, (struct record_exit){ .kind = EXIT_CODE, .reason = REASON_EXIT });
		return;
	}
	if (chance(world, 50)) {
		write_checkpoint(world, proc);
		ship_news(world, proc);
	}
	if (proc->fate > 0 && --proc->fate == 0) {
		struct record_exit exits[] = {
			{ .kind = EXIT_CODE, .reason = REASON_EXIT, .code = 1 },
			{ .kind = EXIT_SIGNAL, .reason = REASON_SIGNAL, .signal = 11 },
			{ .kind = EXIT_SIGNAL, .reason = REASON_OOM, .signal = 9 },
			{ .kind = EXIT_CODE, .reason = REASON_CHECKPOINTED, .code = 85 },
			{ .kind = EXIT_CODE, .reason = REASON_TIMEOUT, .code = 1, .stopped = true },
		};

		end_proc(world, proc, exits[rng_below(&world->rng, 5)]);
		return;
	}
	schedule_step(world, proc);
}

static struct stored_copy *find_copy(const struct world *world, const struct attempt_id *task, uint32_t seq)
{
	for (size_t i = world->copies_count; i > 0; i--) {
		struct stored_copy *copy = &world->copies[i - 1];

		if (!copy->gone && copy->task.run == task->run && copy->task.task == task->task &&
		    copy->seq == seq)
			return copy;
	}
	return NULL;
}

static const struct stored_copy *find_parcel(const struct world *world, const char *digest)
{
	for (size_t i = 0; i < world->copies_count; i++)
		if (!world->copies[i].gone && world->copies[i].left_ms == 0 &&
		    strcmp(world->copies[i].parcel, digest) == 0)
			return &world->copies[i];
	return NULL;
}

/* As an agent does, when all has come; false when it is not what it should be. */
static bool bring_checkpoint(struct world *world, struct proc *proc, const struct spec_provision *provision)
{
	const struct stored_copy *copy = find_parcel(world, provision->digest);
	struct stored_checkpoint *place;

	if (world->breakage == BREAK_BRING)
		return true;
	if (copy == NULL || (copy->contents.rotten && world->breakage != BREAK_COPY))
		return false;
	place = find_checkpoint(world, proc, provision->name);
	if (place == NULL) {
		if (world->checkpoints_count == WORLD_CHECKPOINTS)
			return false;
		place = &world->checkpoints[world->checkpoints_count++];
	}
	*place = copy->contents;
	place->owner = proc->id;
	place->worker = proc->worker;
	place->brought = true;
	return true;
}

static bool holds(const struct world *world, const struct stored_checkpoint *stored, const char *digest)
{
	if (stored->rotten && !(stored->brought && world->breakage == BREAK_COPY))
		return false;
	return strcmp(stored->digest, digest) == 0;
}

/* As the supervisor does: the first candidate, newest first, whose contents are what was recorded. */
static const struct stored_checkpoint *choose_resume(struct world *world, struct proc *proc,
						     const struct spec *spec)
{
	for (size_t i = 0; i < spec->candidates_count; i++) {
		const struct spec_checkpoint *candidate = &spec->candidates[i];
		const struct stored_checkpoint *stored = find_checkpoint(world, proc, candidate->name);
		struct world_record record = { .type = RECORD_CHECKPOINT };

		if (candidate->quarantined)
			continue;
		if (stored != NULL && holds(world, stored, candidate->digest))
			return stored;
		record.checkpoint = (struct record_checkpoint){
			.event = CHECKPOINT_BROKEN,
			.name = arena_strdup(&world->arena, candidate->name),
			.digest = "",
			.format = "",
			.text = "digest does not hold",
			.step = -1,
		};
		append_record(proc, &record);
	}
	return NULL;
}

/* --- leases, as the supervisor keeps them --- */

static bool lease_holds(struct world *world, struct proc *proc)
{
	int64_t now = local_now(world, proc->worker);

	if (proc->spec.lease_ms == 0)
		return true;
	if (proc->lease > proc->renewed && now >= proc->renewed + proc->spec.lease_ms)
		proc->renewed = proc->lease;
	return proc->renewed <= now && now < proc->renewed + proc->spec.lease_ms;
}

/* The grace is over, and what is left of the step is hunted down, which takes a while. */
static void on_grace_over(void *context, uint64_t argument)
{
	struct world *world = context;
	struct proc *proc = called_proc(world, argument);

	if (proc != NULL && proc->alive)
		end_proc(world, proc, (struct record_exit){ .kind = EXIT_SIGNAL, .signal = 9 });
}

static void on_lease_due(void *context, uint64_t argument)
{
	struct world *world = context;
	struct proc *proc = called_proc(world, argument);
	int64_t kill_at;

	if (proc == NULL || (!proc->alive && !proc->verifying))
		return;
	if (lease_holds(world, proc)) {
		world_after(world, true_wait(world, proc->worker, proc->renewed + proc->spec.lease_ms),
			    on_lease_due, world, argument);
		return;
	}
	if (proc->verifying) {
		end_unbegun(world, proc, REASON_LEASE_EXPIRED);
		return;
	}
	kill_at = true_wait(world, proc->worker,
			    proc->renewed + proc->spec.lease_ms + proc->spec.grace_ms);
	world_after(world, kill_at + (int64_t)rng_below(&world->rng, 4900), on_grace_over, world, argument);
	if (proc->stop_asked)
		return;
	proc->stop_asked = true;
	proc->stop_reason = REASON_LEASE_EXPIRED;
}

static void begin_step(struct world *world, struct proc *proc, const struct spec *spec)
{
	const struct stored_checkpoint *from = choose_resume(world, proc, spec);
	struct world_record record = { .type = RECORD_STARTED };

	for (size_t i = 0; i < world->procs_count; i++)
		if (&world->procs[i] != proc && world->procs[i].alive &&
		    world->procs[i].id.run == proc->id.run && world->procs[i].id.task == proc->id.task)
			violated(world, "1: at most one live attempt");
	if (from != NULL && from->rotten)
		violated(world, "7: a checkpoint that is not what was recorded is resumed from");
	proc->alive = true;
	proc->at = from == NULL ? 0 : from->step;
	if (proc->goal <= proc->at)
		proc->goal = proc->at + 1;
	record.started = (struct record_started){
		.pid = 1000,
		.wall_ms = WALL_BASE + world->now,
		.resumed_from = from == NULL ? "" : arena_strdup(&world->arena, from->name),
		.resumed_digest = from == NULL ? "" : arena_strdup(&world->arena, from->digest),
	};
	append_record(proc, &record);
	world->ends->step_begins(world->context, spec, proc->worker, record.started.resumed_from);
	schedule_step(world, proc);
	ship_news(world, proc);
}

static void on_verified(void *context, uint64_t argument)
{
	struct world *world = context;
	struct proc *proc = called_proc(world, argument);

	if (proc == NULL || !proc->verifying)
		return;
	if (!lease_holds(world, proc)) {
		end_unbegun(world, proc, REASON_LEASE_EXPIRED);
		return;
	}
	proc->verifying = false;
	begin_step(world, proc, &proc->spec);
}

static void on_first_look(void *context, uint64_t argument)
{
	struct world *world = context;
	struct proc *proc = called_proc(world, argument);

	if (proc == NULL || !proc->verifying)
		return;
	if (!lease_holds(world, proc)) {
		end_unbegun(world, proc, REASON_LEASE_EXPIRED);
		return;
	}
	world_after(world, true_wait(world, proc->worker, proc->renewed + proc->spec.lease_ms), on_lease_due,
		    world, call_argument(world, proc));
	if (chance(world, 20))
		world_after(world, (int64_t)rng_below(&world->rng, 60000), on_verified, world,
			    call_argument(world, proc));
	else
		on_verified(world, call_argument(world, proc));
}

/* Its supervisor is there. One with a lease looks at that first, sooner or later; then at its checkpoints. */
static void begin_proc(struct world *world, struct proc *proc)
{
	if (proc->spec.lease_ms == 0) {
		begin_step(world, proc, &proc->spec);
		return;
	}
	proc->renewed = proc->lease = proc->spec.lease_from_ms;
	proc->slow = chance(world, 50);
	proc->stubborn = chance(world, 40);
	proc->verifying = true;
	if (chance(world, 30))
		world_after(world, (int64_t)rng_below(&world->rng, 4000), on_first_look, world,
			    call_argument(world, proc));
	else
		on_first_look(world, call_argument(world, proc));
}

/* --- the agent ------------------------------------------------------------------------------------------ */

static struct proc *find_proc(struct world *world, size_t worker, const struct attempt_id *id)
{
	for (size_t i = 0; i < world->procs_count; i++) {
		struct proc *proc = &world->procs[i];

		if (proc->exists && proc->worker == worker && attempt_id_equal(&proc->id, id))
			return proc;
	}
	return NULL;
}

const struct proc *world_find(const struct world *world, const struct attempt_id *id)
{
	for (size_t i = 0; i < world->procs_count; i++)
		if (attempt_id_equal(&world->procs[i].id, id))
			return &world->procs[i];
	return NULL;
}

static uint64_t *epoch_of(struct machine *machine, uint64_t run, bool make)
{
	for (int i = 0; i < EPOCH_RUNS; i++)
		if (machine->epochs[i].epoch != 0 && machine->epochs[i].run == run)
			return &machine->epochs[i].epoch;
	for (int i = 0; make && i < EPOCH_RUNS; i++) {
		if (machine->epochs[i].epoch != 0)
			continue;
		machine->epochs[i].run = run;
		return &machine->epochs[i].epoch;
	}
	return NULL;
}

static bool may_renew(const struct proc *proc, uint64_t connection)
{
	for (size_t i = 0; i < sizeof proc->renewers / sizeof proc->renewers[0]; i++)
		if (proc->renewers[i] == connection)
			return true;
	return false;
}

static void let_renew(struct proc *proc, uint64_t connection)
{
	memmove(proc->renewers, proc->renewers + 1, sizeof proc->renewers - sizeof proc->renewers[0]);
	proc->renewers[sizeof proc->renewers / sizeof proc->renewers[0] - 1] = connection;
}

/* Said by any agent, however late it wakes. */
static void agent_grant(struct world *world, const struct message *message)
{
	int64_t number = world->breakage == BREAK_LEASE ? local_now(world, message->worker) : message->number;

	for (size_t i = 0; i < world->procs_count; i++) {
		struct proc *proc = &world->procs[i];

		if (proc->exists && !proc->ended && proc->worker == message->worker &&
		    proc->spec.lease_ms > 0 && may_renew(proc, message->connection) &&
		    number > proc->lease)
			proc->lease = number;
	}
}

static void ask_for_leases(struct world *world, size_t worker)
{
	int times = chance(world, 5) ? 2 : 1;

	for (int i = 0; i < times; i++)
		say(world, worker,
		    (struct event){ .kind = EVENT_LEASE, .asked_ms = local_now(world, worker) });
}

static void on_ask_due(void *context, uint64_t argument)
{
	struct world *world = context;
	size_t worker = argument & 0xff;
	struct connection *connection = &world->machines[worker].current;

	if (connection->number != argument >> 8)
		return;
	if (world->now >= connection->frozen_until)
		ask_for_leases(world, worker);
	world_after(world, connection->ask_every, on_ask_due, world, argument);
}

/* Rarer than true agents ask, so that more hangs by each. */
static void keep_asking(struct world *world, size_t worker, int64_t lease_ms)
{
	struct connection *connection = &world->machines[worker].current;
	bool first = connection->ask_every == 0;

	if (lease_ms == 0)
		return;
	ask_for_leases(world, worker);
	if (first || connection->ask_every > lease_ms / 3)
		connection->ask_every = lease_ms / 3;
	if (first)
		world_after(world, connection->ask_every, on_ask_due, world,
			    connection->number << 8 | worker);
}

static void agent_claim(struct world *world, const struct message *message)
{
	struct machine *machine = &world->machines[message->worker];
	uint64_t run = message->id.run;
	uint64_t *epoch = epoch_of(machine, run, false);
	bool listening = machine->current.number == message->connection;
	struct event answer = { .kind = EVENT_INVENTORY, .id.run = run };

	if (epoch != NULL ? *epoch > message->epoch : message->epoch < machine->high_water) {
		answer.refused = true;
		answer.text = "a later driver has it";
		if (listening)
			say(world, message->worker, answer);
		return;
	}
	*epoch_of(machine, run, true) = message->epoch;
	if (message->epoch > machine->high_water)
		machine->high_water = message->epoch;
	if (!listening)
		return;
	keep_asking(world, message->worker, message->lease_ms);
	for (size_t i = 0; i < world->procs_count; i++) {
		struct proc *proc = &world->procs[i];

		if (proc->exists && proc->worker == message->worker && proc->id.run == run)
			say(world, message->worker,
			    (struct event){ .kind = EVENT_PRESENT,
					    .id = proc->id,
					    .present = proc->ended ? PRESENT_ENDED : PRESENT_RUNNING });
	}
	say(world, message->worker, answer);
}

static void agent_start(struct world *world, const struct message *message)
{
	struct machine *machine = &world->machines[message->worker];
	const uint64_t *epoch = epoch_of(machine, message->spec.id.run, false);
	struct proc *proc = find_proc(world, message->worker, &message->spec.id);
	const struct spec_provision *brought =
		message->spec.provisions_count == 0 ? NULL : &message->spec.provisions[0];

	if (world->breakage != BREAK_EPOCHS && (epoch == NULL || *epoch != message->spec.epoch))
		return;
	if (proc == NULL && brought != NULL && !message->provisioned && chance(world, 70)) {
		struct message later = *message;

		later.provisioned = true;
		message_at(world, world->now + (int64_t)rng_below(&world->rng, 20000), &later);
		return;
	}
	if (proc == NULL) {
		for (size_t i = 0; i < world->procs_count; i++)
			if (attempt_id_equal(&world->procs[i].id, &message->spec.id))
				violated(world, "2: started once");
		assert(world->procs_count < WORLD_PROCS);
		proc = &world->procs[world->procs_count++];
		*proc = (struct proc){ .id = message->spec.id, .worker = message->worker, .exists = true };
		proc->goal = 3 + (int64_t)rng_below(&world->rng, 12);
		proc->fate = world->calm ? 0 : (chance(world, 40) ? 1 + (int)rng_below(&world->rng, 8) : 0);
		proc->spec = message->spec;
		if (brought != NULL && !bring_checkpoint(world, proc, brought))
			end_proc(world, proc,
				 (struct record_exit){ .kind = EXIT_NOT_STARTED,
						       .reason = REASON_NOT_STARTED });
		else
			begin_proc(world, proc);
	}
	if (message->spec.lease_ms > 0)
		let_renew(proc, message->connection);
	if (machine->current.number == message->connection)
		attach(world, message->worker, proc, 0);
}

/* Its start waits for what is to be brought: it ends unbegun. NULL: nothing is known of it. */
static struct proc *stop_waiting(struct world *world, const struct message *stop, bool listening)
{
	for (size_t i = 0; i < world->heap_count; i++) {
		struct message *message = world->heap[i].message;
		struct proc *proc;

		if (message == NULL || message->kind != TO_AGENT_START || !message->provisioned ||
		    message->connection != stop->connection ||
		    !attempt_id_equal(&message->spec.id, &stop->id))
			continue;
		message->kind = TO_AGENT_STOP;
		message->id = (struct attempt_id){ 0 };
		assert(world->procs_count < WORLD_PROCS);
		proc = &world->procs[world->procs_count++];
		*proc = (struct proc){ .id = stop->id, .worker = stop->worker, .exists = true };
		proc->spec = message->spec;
		end_unbegun(world, proc, stop->reason);
		if (listening)
			attach(world, stop->worker, proc, 0);
		return proc;
	}
	return NULL;
}

static void agent_hears(struct world *world, const struct message *message)
{
	struct machine *machine = &world->machines[message->worker];
	struct proc *proc = find_proc(world, message->worker, &message->id);
	bool listening = machine->current.number == message->connection;
	uint64_t *epoch;

	switch (message->kind) {
	case TO_AGENT_CLAIM:
		agent_claim(world, message);
		break;
	case TO_AGENT_START:
		agent_start(world, message);
		break;
	case TO_AGENT_STOP:
		if (proc == NULL)
			proc = stop_waiting(world, message, listening);
		else if (proc->verifying) {
			end_unbegun(world, proc, message->reason);
		} else if (proc->alive && !proc->stop_asked) {
			proc->stop_asked = true;
			proc->stop_reason = message->reason;
			world_after(world, message->grace_ms, on_grace_over, world,
				    call_argument(world, proc));
		}
		break;
	case TO_AGENT_ATTACH:
		if (proc != NULL && message->renew)
			let_renew(proc, message->connection);
		if (proc != NULL && listening)
			attach(world, message->worker, proc, message->offset);
		break;
	case TO_AGENT_FORGET:
		if (proc != NULL && proc->ended) {
			proc->exists = false;
			for (size_t i = 0; i < machine->current.attached_count; i++)
				if (machine->current.attached[i].proc == proc)
					machine->current.attached[i--] =
						machine->current.attached[--machine->current.attached_count];
		}
		break;
	case TO_AGENT_RELEASE:
		epoch = epoch_of(machine, message->id.run, false);
		if (epoch != NULL && *epoch <= message->epoch)
			*epoch = 0;
		break;
	case TO_AGENT_GRANT:
		agent_grant(world, message);
		break;
	case TO_SCHEDULER:
		break;
	}
}

static void deliver(struct world *world, struct message *message)
{
	world->at_hand = message;
	if (message->kind != TO_SCHEDULER)
		agent_hears(world, message);
	else if (world->machines[message->worker].current.number == message->connection)
		world->ends->deliver(world->context, &message->event);
	world->at_hand = NULL;
	free(message);
}

/* --- the scheduler's side of a link --------------------------------------------------------------------- */

void world_connect(struct world *world, size_t worker, uint64_t epoch)
{
	struct machine *machine = &world->machines[worker];
	static const struct device devices[WORLD_DEVICES] = { { "GPU-a", "sim", 0 }, { "GPU-b", "sim", 0 } };
	struct event event = { .kind = EVENT_WORKER_UP };

	machine->current = (struct connection){ .number = ++world->connections, .epoch = epoch };
	machine->current.down_at = machine->current.up_at = world->now;
	event.facts = (struct worker_facts){
		.name = worker_names[worker],
		.boot_id = arena_strdup(&world->arena, machine->boot_id),
		.host = worker_names[worker],
		.machine = "sim",
		.epoch = epoch,
		.cpus_milli = WORLD_CPUS * 1000,
		.memory_bytes = (int64_t)8 << 30,
		.devices = devices,
		.devices_count = WORLD_DEVICES,
	};
	say(world, worker, event);
}

void world_send(struct world *world, size_t worker, const struct message *message)
{
	struct connection *connection = &world->machines[worker].current;
	struct message sent = *message;

	if (connection->number == 0)
		return;
	sent.worker = worker;
	sent.connection = connection->number;
	connection->up_at = (connection->up_at > world->now ? connection->up_at : world->now) + 1 +
			    (int64_t)rng_below(&world->rng, chance(world, 5) ? 2000 : 10);
	message_at(world, connection->up_at, &sent);
	if (message->kind == TO_AGENT_GRANT && chance(world, 30)) /* and once more, out of any order */
		message_at(world, connection->up_at + (int64_t)rng_below(&world->rng, 60000), &sent);
}

bool world_is_connected(const struct world *world, size_t worker)
{
	return world->machines[worker].current.number != 0;
}

/*
 * The link is gone. What was on its way to the agent is lost, or the agent is only frozen and hears it later,
 * perhaps long after a new one has taken its place.
 */
static void lose_connection(struct world *world, size_t worker)
{
	struct connection *connection = &world->machines[worker].current;
	bool frozen = chance(world, 50);
	int64_t thaw_ms = (int64_t)rng_below(&world->rng, chance(world, 50) ? 60000 : 600000);

	for (size_t i = 0; i < world->heap_count; i++) {
		struct message *message = world->heap[i].message;

		if (message == NULL || message->connection != connection->number ||
		    message->kind == TO_SCHEDULER)
			continue;
		if (!frozen) {
			message->kind = TO_AGENT_STOP; /* lost: a stop for nobody */
			message->id = (struct attempt_id){ 0 };
		}
	}
	if (frozen) { /* in their order, but later: all of them by the same time */
		struct call *late = NULL;
		size_t room = 0, count = 0;

		for (size_t i = 0; i < world->heap_count;) {
			struct message *message = world->heap[i].message;

			if (message == NULL || message->connection != connection->number ||
			    message->kind == TO_SCHEDULER) {
				i++;
				continue;
			}
			mem_grow(&late, &room, count, sizeof *late);
			late[count++] = world->heap[i];
			world->heap[i] = world->heap[--world->heap_count];
		}
		if (count > 0) { /* the heap was disturbed: build it anew */
			struct call *all = world->heap;
			size_t all_count = world->heap_count;

			world->heap = NULL;
			world->heap_count = world->heap_room = 0;
			for (size_t i = 0; i < all_count; i++)
				heap_push(world, all[i]);
			free(all);
			for (size_t i = 0; i < count; i++) {
				late[i].at += thaw_ms;
				heap_push(world, late[i]);
			}
		}
		free(late);
	}
	connection->number = 0;
	connection->attached_count = 0;
}

void world_cut(struct world *world, size_t worker)
{
	if (world->machines[worker].current.number == 0)
		return;
	lose_connection(world, worker);
	world->ends->connection_lost(world->context, worker);
}

static void on_silence(void *context, uint64_t argument)
{
	struct world *world = context;
	struct machine *machine = &world->machines[argument & 0xff];

	if (machine->current.number != argument >> 8)
		return;
	if (machine->away_until < world->now && chance(world, 60))
		machine->away_until = world->now + (int64_t)rng_below(&world->rng, 600000);
	world_cut(world, argument & 0xff);
}

void world_freeze(struct world *world, size_t worker)
{
	struct connection *connection = &world->machines[worker].current;
	int64_t up_ms = (int64_t)rng_below(&world->rng, 60000);
	int64_t down_ms = (int64_t)rng_below(&world->rng, 60000);

	if (connection->number == 0)
		return;
	if (chance(world, 50)) {
		connection->frozen_until = world->now + up_ms;
		down_ms = up_ms;
	}
	connection->up_at = world->now + up_ms;
	connection->down_at = world->now + down_ms;
	if (chance(world, 70)) /* It is noticed, and given up. */
		world_after(world, (int64_t)rng_below(&world->rng, 60000), on_silence, world,
			    connection->number << 8 | worker);
}

void world_take_away(struct world *world, size_t worker, int64_t for_ms)
{
	struct machine *machine = &world->machines[worker];

	machine->away_until = for_ms == INT64_MAX ? INT64_MAX : world->now + for_ms;
	world_cut(world, worker);
}

bool world_is_away(const struct world *world, size_t worker)
{
	return world->now < world->machines[worker].away_until;
}

void world_disconnect_all(struct world *world)
{
	for (size_t i = 0; i < world->copies_count; i++)
		if (world->copies[i].left_ms > 0)
			world->copies[i].gone = true;
	for (size_t i = 0; i < WORLD_WORKERS; i++)
		if (world->machines[i].current.number != 0)
			lose_connection(world, i);
}

/* --- copies --------------------------------------------------------------------------------------------- */

static void on_copy_turn(void *context, uint64_t argument);

static void take_turn(struct world *world, struct stored_copy *copy)
{
	world_after(world, copy->left_ms < 3000 ? copy->left_ms : 3000, on_copy_turn, world,
		    (uint64_t)(copy - world->copies));
}

static void end_copy(struct world *world, struct stored_copy *copy)
{
	const struct proc place = { .id = copy->task, .worker = copy->worker };
	const struct stored_checkpoint *stored = find_checkpoint(world, &place, copy->contents.name);
	struct event event = { .kind = EVENT_COPIED, .id = copy->task };

	event.copied.seq = copy->seq;
	event.copied.digest = copy->parcel;
	event.copied.bytes = 20;
	if (chance(world, 5)) {
		event.copied.failure = "no space";
		event.copied.transient = true;
	} else if (stored == NULL || (world->breakage != BREAK_COPY &&
				      (stored->rotten || strcmp(stored->digest, copy->contents.digest) != 0))) {
		event.copied.failure = "it was changed since it was made";
	} else {
		copy->contents = *stored;
		copy->left_ms = 0;
	}
	copy->gone = event.copied.failure != NULL;
	world->ends->copied(world->context, &event);
}

static void on_copy_turn(void *context, uint64_t argument)
{
	struct world *world = context;
	struct stored_copy *copy = &world->copies[argument];

	if (copy->gone || copy->left_ms == 0)
		return;
	if (world->machines[copy->worker].current.number != 0)
		copy->left_ms -= copy->left_ms < 3000 ? copy->left_ms - 1 : 3000;
	if (copy->left_ms <= 1 && world->machines[copy->worker].current.number != 0)
		end_copy(world, copy);
	else
		take_turn(world, copy);
}

void world_copy(struct world *world, size_t worker, const struct attempt_id *task, uint32_t seq,
		const char *name, const char *digest)
{
	struct stored_copy *copy = find_copy(world, task, seq);

	if (copy != NULL && copy->left_ms > 0)
		return; /* ordered before */
	assert(world->copies_count < WORLD_COPIES);
	copy = &world->copies[world->copies_count];
	*copy = (struct stored_copy){ .task = *task, .seq = seq, .worker = worker };
	copy->left_ms = 2 + (int64_t)rng_below(&world->rng, chance(world, 50) ? 2000 : 60000);
	snprintf(copy->contents.name, sizeof copy->contents.name, "%s", name);
	snprintf(copy->contents.digest, sizeof copy->contents.digest, "%s", digest);
	snprintf(copy->parcel, sizeof copy->parcel, "parcel-%zu", world->copies_count++);
	take_turn(world, copy);
}

void world_cancel_copy(struct world *world, const struct attempt_id *task, uint32_t seq)
{
	struct stored_copy *copy = find_copy(world, task, seq);

	if (copy != NULL && copy->left_ms > 0)
		copy->gone = true;
}

void world_drop_copy(struct world *world, const struct attempt_id *task, uint32_t seq)
{
	struct stored_copy *copy = find_copy(world, task, seq);

	if (copy != NULL && copy->left_ms == 0)
		copy->gone = true;
}

/* --- faults --------------------------------------------------------------------------------------------- */

void world_reboot(struct world *world, size_t worker)
{
	struct machine *machine = &world->machines[worker];
	uint64_t connection = machine->current.number;

	world_cut(world, worker);
	machine->boot++;
	machine->booted_at = world->now;
	snprintf(machine->boot_id, sizeof machine->boot_id, "%s-%" PRIu64, worker_names[worker],
		 machine->boot);
	/* Agents die with their machine, frozen ones too: nothing sent before reaches anybody. */
	for (size_t i = 0; i < world->heap_count; i++) {
		struct message *message = world->heap[i].message;

		if (message != NULL && message->kind != TO_SCHEDULER && message->worker == worker) {
			message->kind = TO_AGENT_STOP;
			message->id = (struct attempt_id){ 0 };
		}
	}
	for (size_t i = 0; i < world->procs_count; i++) {
		struct proc *proc = &world->procs[i];

		if (!proc->exists || proc->worker != worker || (!proc->alive && !proc->verifying))
			continue;
		proc->verifying = false;
		end_proc(world, proc,
			 (struct record_exit){ .kind = EXIT_LOST, .reason = REASON_WORKER_REBOOTED });
	}
	(void)connection;
}

void world_kill_supervisor(struct world *world)
{
	size_t from = world->procs_count == 0 ? 0 : rng_below(&world->rng, world->procs_count);

	for (size_t i = 0; i < world->procs_count; i++) {
		struct proc *proc = &world->procs[(from + i) % world->procs_count];

		if (!proc->alive && !proc->verifying)
			continue;
		proc->verifying = false;
		end_proc(world, proc,
			 (struct record_exit){ .kind = EXIT_LOST, .reason = REASON_SUPERVISOR_LOST });
		return;
	}
}

void world_rot_checkpoint(struct world *world)
{
	size_t any = rng_below(&world->rng, world->checkpoints_count + world->copies_count + 1);

	/* What was brought is left alone: the scheduler, which has it too, would be blamed. */
	if (any < world->checkpoints_count && !world->checkpoints[any].brought)
		world->checkpoints[any].rotten = true;
	else if (any >= world->checkpoints_count && any < world->checkpoints_count + world->copies_count)
		world->copies[any - world->checkpoints_count].contents.rotten = true;
}

void world_stop_faults(struct world *world)
{
	world->calm = true;
	for (size_t i = 0; i < world->procs_count; i++)
		world->procs[i].fate = 0;
}

/* --- the truth ------------------------------------------------------------------------------------------ */

size_t world_alive(const struct world *world, uint64_t run)
{
	size_t count = 0;

	for (size_t i = 0; i < world->procs_count; i++)
		count += world->procs[i].alive && world->procs[i].id.run == run;
	return count;
}

void world_each_alive(const struct world *world,
		      void (*look)(void *context, const struct attempt_id *id, size_t worker), void *context)
{
	for (size_t i = 0; i < world->procs_count; i++)
		if (world->procs[i].alive)
			look(context, &world->procs[i].id, world->procs[i].worker);
}

bool world_holds_checkpoint(const struct world *world, size_t worker, const struct attempt_id *task,
			    const char *name, const char *digest)
{
	for (size_t i = 0; i < world->checkpoints_count; i++) {
		const struct stored_checkpoint *at = &world->checkpoints[i];

		if (at->worker == worker && at->owner.run == task->run && at->owner.task == task->task &&
		    strcmp(at->name, name) == 0 && strcmp(at->digest, digest) == 0)
			return !at->rotten;
	}
	return false;
}

bool world_holds_copy(const struct world *world, const struct attempt_id *task, uint32_t seq)
{
	const struct stored_copy *copy = find_copy(world, task, seq);

	return copy != NULL && copy->left_ms == 0 && !copy->contents.rotten;
}

size_t world_left_behind(const struct world *world, uint64_t run, const bool *passed_over)
{
	size_t count = 0;

	for (size_t i = 0; i < world->procs_count; i++) {
		const struct proc *proc = &world->procs[i];

		count += proc->exists && proc->id.run == run &&
			 !(proc->spec.lease_ms > 0 && passed_over[proc->worker]);
	}
	return count;
}

/* --- life ----------------------------------------------------------------------------------------------- */

bool world_step(struct world *world)
{
	struct call call;

	if (world->heap_count == 0)
		return false;
	call = heap_pop(world);
	assert(call.at >= world->now);
	world->now = call.at;
	if (call.message != NULL)
		deliver(world, call.message);
	else
		call.call(call.context, call.argument);
	return true;
}

void world_set_ends(struct world *world, const struct world_ends *ends, void *context)
{
	world->ends = ends;
	world->context = context;
}

static void set_up_machine(struct world *world, size_t worker)
{
	struct machine *machine = &world->machines[worker];
	int64_t most = world->breakage == BREAK_MARGIN ? 150000 : 10000;

	snprintf(machine->boot_id, sizeof machine->boot_id, "%s-0", worker_names[worker]);
	machine->booted_at = -(int64_t)rng_below(&world->rng, 1000000);
	machine->ppm = (int64_t)rng_below(&world->rng, 2 * (uint64_t)most + 1) - most;
}

struct world *world_new(uint64_t seed, enum breakage breakage)
{
	struct world *world = mem_zalloc(sizeof *world);

	world->rng = rng_seeded(seed);
	world->breakage = breakage;
	world->procs = mem_array(WORLD_PROCS, sizeof *world->procs);
	world->checkpoints = mem_array(WORLD_CHECKPOINTS, sizeof *world->checkpoints);
	world->copies = mem_array(WORLD_COPIES, sizeof *world->copies);
	for (size_t i = 0; i < WORLD_WORKERS; i++)
		set_up_machine(world, i);
	return world;
}

void world_free(struct world *world)
{
	while (world->heap_count > 0)
		free(world->heap[--world->heap_count].message);
	free(world->at_hand);
	free(world->heap);
	free(world->procs);
	free(world->checkpoints);
	free(world->copies);
	arena_fini(&world->arena);
	free(world);
}
