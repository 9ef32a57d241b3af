/*
 * crowd.c - the core alone, for days of virtual time, with far more to do than there is room for
 *
 *   crowd [--seeds N] [--seed S] [--break RULE]
 *
 * A crowd of small urgent tasks fills every gap at every moment. Between them come the patient: tasks of a lower
 * priority, tasks that ask for all GPUs of a machine, for the last slot of a pool, for all of that at once. After
 * each event nothing may exceed its limit, nothing may wait for which there is room, and who waits for its retry
 * may hold nothing. Each of the patient has to start within a time that follows from the rules of urgency.h.
 *
 * --break breaks one rule on purpose and expects the checks to notice: pool (the core takes pools for larger than
 * they are), slots (and workers), clock (its clock crawls, so nobody's waiting counts).
 */
#include <assert.h>
#include <inttypes.h>
#include <setjmp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/mem.h"
#include "dag/diagnostic.h"
#include "scheduler/core.h"
#include "scheduler/placement.h"
#include "scheduler/urgency.h"

#define MINUTE_MS INT64_C(60000)
#define DURATION_MAX_MS (20 * MINUTE_MS)

enum { ORDERS_DEEP = 8, WORKERS = 3, POOLS = 2, GPUS = 4, ALIVE_MAX = 128, RUNS_MAX = 64, CROWD = 12, PATIENT_MAX = 3, EVENTS_MAX = 100000 };

enum breakage { BREAK_NOTHING, BREAK_POOL, BREAK_SLOTS, BREAK_CLOCK, BREAKAGES };
static const char *const breakage_names[BREAKAGES] = { "nothing", "pool", "slots", "clock" };

static const char *const worker_names[WORKERS] = { "w0", "w1", "w2" };
static const char *const pool_names[POOLS] = { "p0", "p1" };

/* An attempt that runs, by the truth and not by what the core believes. */
struct alive {
	struct attempt_id id;
	size_t worker;
	int64_t ends_at;
	int code;
};

/* A run that is watched. */
struct watched {
	uint64_t id;
	bool patient;
	int64_t since; /* its one task is ready */
	int64_t bound;
	bool started;
};

struct crowd {
	struct rng rng;
	enum breakage breakage;
	jmp_buf failed;
	char complaint[300];
	int64_t now;
	struct core *core;
	struct actions out;
	struct actions orders[ORDERS_DEEP]; /* being carried out, one inside the other */
	size_t depth;
	uint64_t runs_made;
	int worker_slots[WORKERS], worker_gpus[WORKERS];
	int pool_slots[POOLS];
	bool day_long; /* the crowd's priority cannot be reached: only the day helps */
	struct alive alive[ALIVE_MAX];
	size_t alive_count;
	struct watched watched[RUNS_MAX];
	size_t watched_count;
	int64_t longest;
};

static void fail(struct crowd *crowd, const char *format, ...) __attribute__((format(printf, 2, 3), noreturn));
static void fail(struct crowd *crowd, const char *format, ...)
{
	va_list args;

	va_start(args, format);
	vsnprintf(crowd->complaint, sizeof crowd->complaint, format, args);
	va_end(args);
	longjmp(crowd->failed, 1);
}

static int below(struct crowd *crowd, unsigned n)
{
	return (int)rng_below(&crowd->rng, n);
}

static size_t worker_index(const char *name)
{
	for (size_t i = 0; i < WORKERS; i++)
		if (strcmp(worker_names[i], name) == 0)
			return i;
	abort();
}

static struct watched *find_watched(struct crowd *crowd, uint64_t id)
{
	for (size_t i = 0; i < crowd->watched_count; i++)
		if (crowd->watched[i].id == id)
			return &crowd->watched[i];
	abort();
}

/* --- the promises --------------------------------------------------------------------------------------- */

static const struct task *task_of(const struct crowd *crowd, const struct attempt_id *id)
{
	return &core_find_run(crowd->core, id->run)->tasks[id->task];
}

static void check_worker(struct crowd *crowd, size_t worker)
{
	int count = 0, gpus = 0;
	int64_t cpus_milli = 0;

	for (size_t i = 0; i < crowd->alive_count; i++) {
		const struct task *task = task_of(crowd, &crowd->alive[i].id);

		if (crowd->alive[i].worker != worker)
			continue;
		count++;
		gpus += task->step->resources.gpus;
		cpus_milli += task->step->resources.cpus_milli;
		for (size_t k = 0; k < i; k++)
			if (crowd->alive[k].worker == worker && task->live->row.devices[0] != '\0' &&
			    strcmp(task_of(crowd, &crowd->alive[k].id)->live->row.devices,
				   task->live->row.devices) == 0)
				fail(crowd, "%s is given to two", task->live->row.devices);
	}
	if (crowd->worker_slots[worker] > 0 && count > crowd->worker_slots[worker])
		fail(crowd, "%s runs %d and has %d slots", worker_names[worker], count, crowd->worker_slots[worker]);
	if (gpus > crowd->worker_gpus[worker] || cpus_milli > 8000)
		fail(crowd, "%s gave away more than it has", worker_names[worker]);
}

static void check_pool(struct crowd *crowd, size_t pool)
{
	int count = 0;

	for (size_t i = 0; i < crowd->alive_count; i++) {
		const char *name = task_of(crowd, &crowd->alive[i].id)->step->pool;

		count += name != NULL && strcmp(name, pool_names[pool]) == 0;
	}
	if (count > crowd->pool_slots[pool])
		fail(crowd, "%s has %d slots, %d are alive", pool_names[pool], crowd->pool_slots[pool], count);
}

static bool is_alive(const struct crowd *crowd, const struct task *task)
{
	for (size_t i = 0; i < crowd->alive_count; i++)
		if (crowd->alive[i].id.run == task->run->row.id && crowd->alive[i].id.task == task->row.step)
			return true;
	return false;
}

static void check_task(struct crowd *crowd, const struct task *task)
{
	const struct run *run = task->run;
	struct pool *pool = run->classes[run->class_of[task->row.step]].pool;

	if (task->row.state == TASK_RETRYING && (task->live != NULL || is_alive(crowd, task)))
		fail(crowd, "run %" PRIu64 " waits for a retry and holds something", run->row.id);
	if (task->row.state == TASK_READY && placement_run_has_slot(run) && pool_has_slot(crowd->core, pool) &&
	    placement_choose(crowd->core, task) != NULL)
		fail(crowd, "run %" PRIu64 " waits, and there is room for it", run->row.id);
}

static void check_patience(struct crowd *crowd)
{
	for (size_t i = 0; i < crowd->watched_count; i++) {
		const struct watched *watched = &crowd->watched[i];

		if (watched->patient && !watched->started && crowd->now - watched->since > watched->bound)
			fail(crowd, "run %" PRIu64 " starves: it has waited for %" PRId64 " minutes, the bound is %" PRId64,
			     watched->id, (crowd->now - watched->since) / MINUTE_MS, watched->bound / MINUTE_MS);
	}
}

static void check(struct crowd *crowd)
{
	for (size_t i = 0; i < WORKERS; i++)
		check_worker(crowd, i);
	for (size_t i = 0; i < POOLS; i++)
		check_pool(crowd, i);
	for (size_t r = 0; r < crowd->core->runs_count; r++) {
		const struct run *run = crowd->core->runs[r];
		int places = 0;

		for (size_t i = 0; i < run->dag->steps_count; i++) {
			check_task(crowd, &run->tasks[i]);
			places += is_alive(crowd, &run->tasks[i]);
		}
		if (places > run->dag->concurrency)
			fail(crowd, "run %" PRIu64 " has more alive than its concurrency", run->row.id);
	}
	check_patience(crowd);
}

/* --- the core ------------------------------------------------------------------------------------------- */

static void give(struct crowd *crowd, struct event event);

static void begin_attempt(struct crowd *crowd, const struct action *order)
{
	struct watched *watched = find_watched(crowd, order->id.run);

	assert(crowd->alive_count < ALIVE_MAX);
	crowd->alive[crowd->alive_count++] = (struct alive){
		.id = order->id,
		.worker = worker_index(order->worker),
		.ends_at = crowd->now + MINUTE_MS + (int64_t)rng_below(&crowd->rng, DURATION_MAX_MS - MINUTE_MS),
		.code = below(crowd, 100) < 15,
	};
	if (watched->patient && !watched->started && crowd->now - watched->since > crowd->longest)
		crowd->longest = crowd->now - watched->since;
	watched->started = true;
}

static void forget_run(struct crowd *crowd, uint64_t id)
{
	struct watched *watched = find_watched(crowd, id);

	run_free(core_take_run(crowd->core, id));
	*watched = crowd->watched[crowd->watched_count - 1];
	crowd->watched_count--;
}

/* Orders are carried out at once; what they are answered with comes after all of them. */
static void carry_out(struct crowd *crowd)
{
	struct actions *orders = &crowd->orders[crowd->depth++];

	assert(crowd->depth < ORDERS_DEEP);
	*orders = crowd->out;
	actions_init(&crowd->out);
	for (size_t i = 0; i < orders->count; i++)
		if (orders->items[i].kind == ORDER_START)
			begin_attempt(crowd, &orders->items[i]);
	check(crowd);
	for (size_t i = 0; i < orders->count; i++) {
		const struct action *order = &orders->items[i];

		if (order->kind == ORDER_CLAIM)
			give(crowd, (struct event){ .kind = EVENT_INVENTORY, .worker = order->worker, .id = order->id });
		else if (order->kind == ORDER_RUN_ENDED)
			forget_run(crowd, order->id.run);
	}
	actions_fini(orders);
	crowd->depth--;
}

static void give(struct crowd *crowd, struct event event)
{
	/* When nothing can be claimed or ended meanwhile, the nesting is two deep at most. */
	event.now_ms = crowd->breakage == BREAK_CLOCK ? 1000 + crowd->now / 1000 : 1000 + crowd->now;
	event.wall_ms = 1000000 + crowd->now;
	core_step(crowd->core, &event, &crowd->out);
	carry_out(crowd);
}

static void add_run(struct crowd *crowd, const char *yaml, bool patient, int64_t bound)
{
	struct run_row row = { .id = ++crowd->runs_made, .dag = "crowd", .params = "{}" };
	struct diagnostics diagnostics;
	struct dag *dag;

	diagnostics_init(&diagnostics);
	if (dag_parse("/crowd.yaml", yaml, strlen(yaml), &dag, &diagnostics) < 0) {
		diagnostics_print(&diagnostics, stderr, false);
		fail(crowd, "%s", yaml);
	}
	diagnostics_fini(&diagnostics);
	row.number = row.id;
	assert(crowd->watched_count < RUNS_MAX);
	crowd->watched[crowd->watched_count++] =
		(struct watched){ .id = row.id, .patient = patient, .since = crowd->now, .bound = bound };
	core_add_run(crowd->core, run_new(dag, &row));
	give(crowd, (struct event){ .kind = EVENT_TICK });
}

/* --- who comes ------------------------------------------------------------------------------------------ */

/* A few alike, urgent, and small in all that they ask for. */
static void add_of_the_crowd(struct crowd *crowd)
{
	char yaml[600];
	int n = snprintf(yaml, sizeof yaml, "priority: %d\nconcurrency: %d\nsteps:\n",
			 crowd->day_long ? 1000000 : below(crowd, 3), 1 + below(crowd, 4));
	int steps = 2 + below(crowd, 4), kind = below(crowd, 4);

	for (int i = 0; i < steps; i++) {
		n += snprintf(yaml + n, sizeof yaml - (size_t)n, "  s%d: {run: x, retry: {max: 2, backoff: 90s}", i);
		if (kind == 0)
			n += snprintf(yaml + n, sizeof yaml - (size_t)n, ", resources: {gpus: 1}");
		else if (kind == 1)
			n += snprintf(yaml + n, sizeof yaml - (size_t)n, ", pool: p%d", below(crowd, POOLS));
		else if (kind == 2)
			n += snprintf(yaml + n, sizeof yaml - (size_t)n, ", pool: p0, resources: {gpus: 1, cpus: 2}");
		else
			n += snprintf(yaml + n, sizeof yaml - (size_t)n, ", resources: {cpus: 3}");
		n += snprintf(yaml + n, sizeof yaml - (size_t)n, "}\n");
	}
	add_run(crowd, yaml, false, 0);
}

/*
 * One task that asks for one thing or for much. It rises past the crowd in so many steps; then whoever is in its
 * way ends, one after the other: those who were there before, and the patient who wait for longer. One that needs
 * several things at once may have to wait for the day.
 */
static void add_patient(struct crowd *crowd)
{
	int kind = below(crowd, 5), below_by = below(crowd, 4);
	int64_t bound = (2 + below_by + 3) * URGENCY_STEP_MS + URGENCY_RESERVE_MS;
	char yaml[300], asks[120] = "";

	if (kind == 1)
		snprintf(asks, sizeof asks, ", worker: w0, resources: {gpus: %d}", crowd->worker_gpus[0]);
	else if (kind == 2)
		snprintf(asks, sizeof asks, ", worker: w1, resources: {cpus: 8}");
	else if (kind == 3)
		snprintf(asks, sizeof asks, ", pool: p1");
	else if (kind == 4)
		snprintf(asks, sizeof asks, ", pool: p0, worker: w0, resources: {gpus: %d, cpus: 6}",
			 crowd->worker_gpus[0]);
	if (kind == 4 || crowd->day_long)
		bound = URGENCY_FIRST_MS;
	bound += (2 + 2 * PATIENT_MAX) * DURATION_MAX_MS;
	snprintf(yaml, sizeof yaml, "priority: %d\nsteps: {it: {run: x, retry: {max: 9, backoff: 10s}%s}}", -below_by,
		 asks);
	add_run(crowd, yaml, true, bound);
}

static void keep_them_coming(struct crowd *crowd)
{
	size_t patient = 0;

	for (size_t i = 0; i < crowd->watched_count; i++)
		patient += crowd->watched[i].patient;
	while (crowd->watched_count - patient < CROWD)
		add_of_the_crowd(crowd);
	if (patient < PATIENT_MAX && below(crowd, 40) == 0)
		add_patient(crowd);
}

/* --- a seed --------------------------------------------------------------------------------------------- */

static void set_up(struct crowd *crowd)
{
	static const struct device devices[WORKERS][GPUS] = {
		{ { "G0", "", 0 }, { "G1", "", 0 }, { "G2", "", 0 }, { "G3", "", 0 } },
		{ { "G4", "", 0 }, { "G5", "", 0 }, { "G6", "", 0 }, { "G7", "", 0 } },
		{ { "G8", "", 0 }, { "G9", "", 0 }, { "Ga", "", 0 }, { "Gb", "", 0 } },
	};

	crowd->day_long = below(crowd, 100) < 5;
	for (size_t i = 0; i < POOLS; i++) {
		crowd->pool_slots[i] = 1 + below(crowd, 3);
		core_set_pool(crowd->core, pool_names[i], crowd->pool_slots[i] + (crowd->breakage == BREAK_POOL));
	}
	for (size_t i = 0; i < WORKERS; i++) {
		core_add_worker(crowd->core, worker_names[i]);
		crowd->worker_slots[i] = i == 1 || below(crowd, 2) == 0 ? 3 + below(crowd, 4) : 0;
		crowd->worker_gpus[i] = 1 + below(crowd, GPUS);
		core_set_terms(crowd->core, worker_names[i],
			       &(struct worker_terms){ .slots = crowd->worker_slots[i] == 0
									? 0
									: crowd->worker_slots[i] +
										  (crowd->breakage == BREAK_SLOTS) });
		give(crowd, (struct event){ .kind = EVENT_WORKER_UP,
					    .worker = worker_names[i],
					    .facts = { .name = worker_names[i], .boot_id = "b", .host = "h", .machine = "m",
						       .epoch = i + 1, .cpus_milli = 8000, .memory_bytes = 1 << 30,
						       .devices = devices[i],
						       .devices_count = (size_t)crowd->worker_gpus[i] } });
	}
}

static void end_next(struct crowd *crowd)
{
	size_t next = 0;
	struct alive ended;

	for (size_t i = 1; i < crowd->alive_count; i++)
		if (crowd->alive[i].ends_at < crowd->alive[next].ends_at)
			next = i;
	ended = crowd->alive[next];
	crowd->alive[next] = crowd->alive[--crowd->alive_count];
	crowd->now = ended.ends_at;
	give(crowd, (struct event){ .kind = EVENT_EXITED,
				    .worker = worker_names[ended.worker],
				    .id = ended.id,
				    .exit = { .kind = EXIT_CODE, .reason = REASON_EXIT, .code = ended.code, .text = "" } });
	give(crowd, (struct event){ .kind = EVENT_COLLECTED, .worker = worker_names[ended.worker], .id = ended.id });
}

/* The next thing: an end, or the time of a retry. */
static void go_on(struct crowd *crowd)
{
	int64_t wake = core_next_wake_ms(crowd->core) - 1000, soonest = INT64_MAX;

	for (size_t i = 0; i < crowd->alive_count; i++)
		if (crowd->alive[i].ends_at < soonest)
			soonest = crowd->alive[i].ends_at;
	if (crowd->breakage != BREAK_CLOCK && wake < soonest) {
		crowd->now = wake > crowd->now ? wake : crowd->now;
		give(crowd, (struct event){ .kind = EVENT_TICK });
	} else if (soonest < INT64_MAX) {
		end_next(crowd);
	} else {
		crowd->now += MINUTE_MS;
		give(crowd, (struct event){ .kind = EVENT_TICK });
	}
}

static void play(struct crowd *crowd)
{
	int64_t end_at;

	set_up(crowd);
	end_at = crowd->day_long ? 3 * URGENCY_FIRST_MS / 2 : 12 * 60 * MINUTE_MS;
	for (int events = 0; crowd->now < end_at; events++) {
		if (events > EVENTS_MAX)
			fail(crowd, "it does not get on");
		keep_them_coming(crowd);
		go_on(crowd);
	}
}

static bool run_seed(uint64_t seed, enum breakage breakage, char *complaint, size_t complaint_bytes,
		     int64_t *longest)
{
	struct crowd *crowd = mem_zalloc(sizeof *crowd);
	bool good;

	crowd->rng = rng_seeded(seed);
	crowd->breakage = breakage;
	crowd->core = core_new(seed);
	actions_init(&crowd->out);
	good = setjmp(crowd->failed) == 0;
	if (good)
		play(crowd);
	else
		snprintf(complaint, complaint_bytes, "%s (after %" PRId64 " minutes)", crowd->complaint,
			 crowd->now / MINUTE_MS);
	if (!crowd->day_long && crowd->longest > *longest)
		*longest = crowd->longest;
	while (crowd->depth > 0)
		actions_fini(&crowd->orders[--crowd->depth]);
	actions_fini(&crowd->out);
	core_free(crowd->core);
	free(crowd);
	return good;
}

static enum breakage breakage_of(const char *name)
{
	for (int i = 0; i < BREAKAGES; i++)
		if (strcmp(breakage_names[i], name) == 0)
			return (enum breakage)i;
	fprintf(stderr, "crowd: --break knows: pool slots clock\n");
	exit(2);
}

int main(int argc, char **argv)
{
	uint64_t seeds = 500, first = 1, bad = 0;
	enum breakage breakage = BREAK_NOTHING;
	char complaint[400] = "";
	int64_t longest = 0;

	for (int i = 1; i + 1 < argc; i += 2) {
		if (strcmp(argv[i], "--seeds") == 0) {
			seeds = strtoull(argv[i + 1], NULL, 10);
		} else if (strcmp(argv[i], "--seed") == 0) {
			first = strtoull(argv[i + 1], NULL, 10);
			seeds = 1;
		} else if (strcmp(argv[i], "--break") == 0) {
			breakage = breakage_of(argv[i + 1]);
		} else {
			return 2;
		}
	}
	for (uint64_t seed = first; seed < first + seeds && bad == 0; seed++) {
		if (run_seed(seed, breakage, complaint, sizeof complaint, &longest))
			continue;
		bad++;
		if (breakage == BREAK_NOTHING)
			printf("# crowd --seed %" PRIu64 ": %s\n", seed, complaint);
	}
	if (breakage != BREAK_NOTHING) {
		printf("%s - rule '%s' broken on purpose is noticed%s%s\n", bad > 0 ? "ok" : "not ok",
		       breakage_names[breakage], bad > 0 ? ": " : "", complaint);
		return bad > 0 ? 0 : 1;
	}
	printf("%s - %" PRIu64 " crowds exceed no limit and starve nobody\n", bad == 0 ? "ok" : "not ok", seeds);
	printf("# the longest wait, but for those of a day: %" PRId64 " minutes\n", longest / MINUTE_MS);
	return bad == 0 ? 0 : 1;
}
