#include "scheduler/why_parts.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/clock.h"
#include "common/scope.h"
#include "scheduler/moment.h"
#include "scheduler/urgency.h"
#include "scheduler/why_origin.h"

void why_names_add(struct why_names *names, const char *format, ...)
{
	autofree char *text = NULL;
	va_list args;

	if (names->count++ >= WHY_NAMES_MAX)
		return;
	va_start(args, format);
	if (vasprintf(&text, format, args) < 0)
		abort();
	va_end(args);
	buf_printf(names->out, "%s%s", names->count == 1 ? "" : ", ", text);
}

void why_names_end(const struct why_names *names)
{
	if (names->count > WHY_NAMES_MAX)
		buf_printf(names->out, " and %zu more", names->count - WHY_NAMES_MAX);
}

/* --- the order ------------------------------------------------------------------------------------------ */

static bool ask_alike(const struct why_ask *a, const struct why_ask *b)
{
	return a->run == b->run && strcmp(a->pool, b->pool) == 0 && strcmp(a->worker, b->worker) == 0 &&
	       a->resources.cpus_milli == b->resources.cpus_milli &&
	       a->resources.memory_bytes == b->resources.memory_bytes && a->resources.gpus == b->resources.gpus;
}

/* As the core counts it: not from before the last start of its kind, as far as that one is still alive. */
static void weigh(const struct why *why, struct why_waiting *waiting)
{
	int64_t since_ms = waiting->since_wall_ms;

	for (size_t i = 0; i < why->holders_count; i++)
		if (why->holders[i].since_wall_ms > since_ms && ask_alike(&why->holders[i].ask, &waiting->ask))
			since_ms = why->holders[i].since_wall_ms;
	waiting->waited_ms = why->wall_ms - since_ms;
	waiting->urgency = urgency_of(waiting->priority, waiting->waited_ms);
}

static int compare(int64_t a, int64_t b)
{
	return (a > b) - (a < b);
}

static int compare_waiting(const void *left, const void *right)
{
	const struct why_waiting *a = left, *b = right;
	int order = compare(b->urgency, a->urgency);

	if (order == 0)
		order = compare(a->since_wall_ms, b->since_wall_ms);
	if (order == 0)
		order = compare((int64_t)a->ask.run, (int64_t)b->ask.run);
	return order != 0 ? order : compare(a->ask.step, b->ask.step);
}

/* --- the task that is asked about ----------------------------------------------------------------------- */

/* It, as those of other runs are known. */
static struct why_waiting describe(const struct why *why, const struct task *task)
{
	const struct run *run = why->run;
	const struct dag_step *step = task->step;
	struct why_waiting mine = { .since_wall_ms = task->row.ready_wall_ms, .priority = run->dag->priority };

	if (mine.since_wall_ms < run->row.started_wall_ms)
		mine.since_wall_ms = run->row.started_wall_ms;
	mine.ask = (struct why_ask){
		.run = run->row.id,
		.step = task->row.step,
		.task = step->name,
		.pool = step->pool == NULL ? "" : step->pool,
		.worker = step->worker == NULL ? "" : step->worker,
		.resources = step->resources,
	};
	weigh(why, &mine);
	return mine;
}

/* "train" when it is of the same run, else "digits/41 train". */
static void add_ask(struct why_names *names, const struct why *why, const struct why_ask *ask, const char *remark)
{
	if (ask->run == why->run->row.id)
		why_names_add(names, "%s%s", ask->task, remark);
	else
		why_names_add(names, "%s %s%s", ask->run_name, ask->task, remark);
}

static void add_holder(struct why_names *names, const struct why *why, const struct why_holder *holder)
{
	char remark[CLOCK_SPAN_BYTES + 3], span[CLOCK_SPAN_BYTES];

	snprintf(remark, sizeof remark, " (%s)", clock_span(why->wall_ms - holder->since_wall_ms, span));
	add_ask(names, why, &holder->ask, remark);
}

/* --- what workers have ---------------------------------------------------------------------------------- */

/* One kind of thing that workers have and steps ask for. */
struct resource {
	const char *name;
	int64_t (*wanted)(const struct dag_resources *resources);
	int64_t (*held)(const struct why_holder *holder);
	int64_t (*offered)(const struct why_worker *worker);
	double unit;
};

static int64_t wanted_cpus(const struct dag_resources *resources)
{
	return resources->cpus_milli;
}

static int64_t held_cpus(const struct why_holder *holder)
{
	return holder->ask.resources.cpus_milli;
}

static int64_t offered_cpus(const struct why_worker *worker)
{
	return worker->cpus_milli;
}

static int64_t wanted_memory(const struct dag_resources *resources)
{
	return resources->memory_bytes;
}

static int64_t held_memory(const struct why_holder *holder)
{
	return holder->ask.resources.memory_bytes;
}

static int64_t offered_memory(const struct why_worker *worker)
{
	return worker->memory_bytes;
}

static int64_t wanted_gpus(const struct dag_resources *resources)
{
	return resources->gpus;
}

static int64_t held_gpus(const struct why_holder *holder)
{
	return holder->devices;
}

static int64_t offered_gpus(const struct why_worker *worker)
{
	return worker->devices;
}

static const struct resource resources[] = {
	{ "cpus", wanted_cpus, held_cpus, offered_cpus, 1000 },
	{ "MiB of memory", wanted_memory, held_memory, offered_memory, 1024 * 1024 },
	{ "gpus", wanted_gpus, held_gpus, offered_gpus, 1 },
};

static bool is_on(const struct why_holder *holder, const struct why_worker *worker)
{
	return strcmp(holder->worker, worker->name) == 0;
}

static int64_t held_on(const struct why *why, const struct resource *resource, const struct why_worker *worker)
{
	int64_t sum = 0;

	for (size_t i = 0; i < why->holders_count; i++)
		if (is_on(&why->holders[i], worker))
			sum += resource->held(&why->holders[i]);
	return sum;
}

static void append_resource_holders(const struct why *why, const struct resource *resource,
				    const struct why_worker *worker, struct buf *out)
{
	struct why_names names = { .out = out };

	for (size_t i = 0; i < why->holders_count; i++) {
		const struct why_holder *holder = &why->holders[i];
		char remark[32];

		if (!is_on(holder, worker) || resource->held(holder) == 0)
			continue;
		snprintf(remark, sizeof remark, " (%g)", (double)resource->held(holder) / resource->unit);
		add_ask(&names, why, &holder->ask, remark);
	}
	why_names_end(&names);
}

static bool append_full_slots(const struct why *why, const struct why_worker *worker, struct buf *out)
{
	struct why_names names = { .out = out };
	int used = 0;

	for (size_t i = 0; i < why->holders_count; i++)
		used += is_on(&why->holders[i], worker);
	if (worker->slots == 0 || used < worker->slots)
		return false;
	buf_printf(out, "waits for a slot: %s %d on worker %s %s held by ", worker->slots == 1 ? "the" : "all",
		   worker->slots, worker->name, worker->slots == 1 ? "is" : "are");
	for (size_t i = 0; i < why->holders_count; i++)
		if (is_on(&why->holders[i], worker))
			add_holder(&names, why, &why->holders[i]);
	why_names_end(&names);
	return true;
}

static bool append_full_resource(const struct why *why, const struct dag_resources *asked,
				 const struct why_worker *worker, struct buf *out)
{
	for (size_t i = 0; i < COUNT_OF(resources); i++) {
		const struct resource *resource = &resources[i];
		int64_t wanted = resource->wanted(asked);

		if (wanted == 0 || wanted + held_on(why, resource, worker) <= resource->offered(worker))
			continue;
		buf_printf(out, "asks for %g %s, and of the %g on worker %s ", (double)wanted / resource->unit,
			   resource->name, (double)resource->offered(worker) / resource->unit, worker->name);
		if (held_on(why, resource, worker) == 0) {
			buf_append_text(out, "not so many are there");
			return true;
		}
		buf_append_text(out, "too many are held by ");
		append_resource_holders(why, resource, worker, out);
		return true;
	}
	return false;
}

/* True when `name` is the worker's, or one of its labels. */
static bool is_called(const struct why_worker *worker, const char *name)
{
	size_t bytes = strlen(name);

	if (name[0] == '\0' || strcmp(worker->name, name) == 0)
		return true;
	for (const char *at = worker->labels; at != NULL && *at != '\0'; at += strcspn(at, " ")) {
		at += strspn(at, " ");
		if (strncmp(at, name, bytes) == 0 && (at[bytes] == ' ' || at[bytes] == '\0'))
			return true;
	}
	return false;
}

static bool append_trouble(const struct why *why, const struct why_worker *worker, struct buf *out)
{
	char at[MOMENT_BYTES];

	if (worker->drained_by != NULL && worker->drained_by[0] != '\0')
		buf_printf(out, "worker %s is being emptied (by %s)", worker->name, worker->drained_by);
	else if (worker->aside != NULL && worker->aside_wall_ms > why->wall_ms)
		buf_printf(out, "worker %s is set aside until %s, since %s", worker->name,
			   moment_local(worker->aside_wall_ms, why->wall_ms, at), worker->aside);
	else if (worker->trouble != NULL && worker->trouble[0] != '\0')
		buf_printf(out, "worker %s cannot be used: %s", worker->name, worker->trouble);
	else
		return false;
	return true;
}

/* --- who goes before ------------------------------------------------------------------------------------ */

static bool want_same_kind(const struct dag_resources *a, const struct dag_resources *b)
{
	for (size_t i = 0; i < COUNT_OF(resources); i++)
		if (resources[i].wanted(a) > 0 && resources[i].wanted(b) > 0)
			return true;
	return false;
}

/* True when one's start on `worker` could be in the way of the other's. */
static bool compete_on(const struct why_worker *worker, const struct why_ask *a, const struct why_ask *b)
{
	return is_called(worker, a->worker) && is_called(worker, b->worker) &&
	       (worker->slots > 0 || want_same_kind(&a->resources, &b->resources));
}

static bool compete(const struct why *why, const struct why_ask *a, const struct why_ask *b)
{
	if (a->pool[0] != '\0' && strcmp(a->pool, b->pool) == 0)
		return true;
	for (size_t i = 0; i < why->workers_count; i++)
		if (compete_on(&why->workers[i], a, b))
			return true;
	return false;
}

/* What puts it there: a higher priority, or that it waits for longer. */
static void add_one_before(struct why_names *names, const struct why *why, const struct why_waiting *other,
			   const struct why_waiting *mine)
{
	size_t alike = other->count - 1 - (other->count > 1 && ask_alike(&other->ask, &mine->ask)); /* but it */
	char remark[80], span[CLOCK_SPAN_BYTES];
	int n;

	if (other->priority > mine->priority)
		n = snprintf(remark, sizeof remark, " (priority %d", other->priority);
	else
		n = snprintf(remark, sizeof remark, " (waits for %s", clock_span(other->waited_ms, span));
	snprintf(remark + n, sizeof remark - (size_t)n, alike > 0 ? ", with %zu like it)" : ")", alike);
	add_ask(names, why, &other->ask, remark);
}

static void append_those_before(const struct why *why, const struct why_waiting *mine, struct buf *out)
{
	struct why_names names = { .out = out };

	for (size_t i = 0; i < why->waiting_count; i++) {
		const struct why_waiting *other = &why->waiting[i];

		if (!compete(why, &other->ask, &mine->ask) || compare_waiting(other, mine) >= 0)
			continue;
		if (names.count == 0)
			buf_append_text(out, "; before it comes ");
		add_one_before(&names, why, other, mine);
	}
	why_names_end(&names);
}

/* Somebody who found no room for long has it kept: what both ask for is not given to those behind. */
static bool append_kept(const struct why *why, const struct why_waiting *mine, const struct why_worker *worker,
			struct buf *out)
{
	char span[CLOCK_SPAN_BYTES];

	for (size_t i = 0; i < why->waiting_count; i++) {
		const struct why_waiting *other = &why->waiting[i];
		autobuf struct buf lacks = { 0 };

		if (other->waited_ms < URGENCY_RESERVE_MS || !compete_on(worker, &other->ask, &mine->ask) ||
		    compare_waiting(other, mine) >= 0 ||
		    !append_full_resource(why, &other->ask.resources, worker, &lacks))
			continue;
		buf_printf(out, "has to leave room on worker %s for %s%s%s, which found none for %s", worker->name,
			   other->ask.run == mine->ask.run ? "" : other->ask.run_name,
			   other->ask.run == mine->ask.run ? "" : " ", other->ask.task,
			   clock_span(other->waited_ms, span));
		return true;
	}
	return false;
}

/* --- pools and the run's own limit ---------------------------------------------------------------------- */

static const struct why_pool *find_pool(const struct why *why, const char *name)
{
	for (size_t i = 0; i < why->pools_count; i++)
		if (strcmp(why->pools[i].name, name) == 0)
			return &why->pools[i];
	return NULL;
}

static bool append_full_pool(const struct why *why, const struct why_waiting *mine, struct buf *out)
{
	const struct why_pool *pool = find_pool(why, mine->ask.pool);
	struct why_names names = { .out = out };
	int used = 0;

	if (mine->ask.pool[0] == '\0')
		return false;
	for (size_t i = 0; i < why->holders_count; i++)
		used += strcmp(why->holders[i].ask.pool, mine->ask.pool) == 0;
	if (pool == NULL) {
		buf_printf(out, "; its pool %s is not in the settings (any more), so nothing of it is started",
			   mine->ask.pool);
		return true;
	}
	if (used < pool->slots)
		return false;
	if (pool->slots == 0)
		buf_printf(out, "; its pool %s is closed: it has no slots", pool->name);
	else
		buf_printf(out, " and waits for pool %s: %d of %d slots %s held by ", pool->name, used, pool->slots,
			   used == 1 ? "is" : "are");
	for (size_t i = 0; i < why->holders_count && pool->slots > 0; i++)
		if (strcmp(why->holders[i].ask.pool, pool->name) == 0)
			add_holder(&names, why, &why->holders[i]);
	why_names_end(&names);
	return true;
}

static void append_alive(const struct run *run, struct buf *out)
{
	struct why_names names = { .out = out };

	for (size_t i = 0; i < run->dag->steps_count; i++)
		if (run->tasks[i].live != NULL)
			why_names_add(&names, "%s", run->tasks[i].step->name);
	why_names_end(&names);
}

static bool append_full_run(const struct run *run, struct buf *out)
{
	size_t alive = 0;

	for (size_t i = 0; i < run->dag->steps_count; i++)
		alive += run->tasks[i].live != NULL;
	if (alive < (size_t)run->dag->concurrency)
		return false;
	buf_printf(out, " and waits for a place: concurrency is %d, held by ", run->dag->concurrency);
	append_alive(run, out);
	return true;
}

/* --- all of it ------------------------------------------------------------------------------------------ */

static bool append_worker(const struct why *why, const struct why_waiting *mine, const struct why_worker *worker,
			  struct buf *out)
{
	return append_full_slots(why, worker, out) ||
	       append_full_resource(why, &mine->ask.resources, worker, out) ||
	       append_kept(why, mine, worker, out);
}

/* What keeps those workers that the step may use from taking it: troubles first. */
static bool append_workers(const struct why *why, const struct why_waiting *mine, struct buf *out)
{
	size_t troubles = 0, full = 0;

	for (size_t i = 0; i < why->workers_count; i++) {
		const struct why_worker *worker = &why->workers[i];
		autobuf struct buf text = { 0 };

		if (!is_called(worker, mine->ask.worker) || !append_trouble(why, worker, &text) ||
		    troubles >= WHY_NAMES_MAX)
			continue;
		buf_printf(out, "%s%s", troubles++ == 0 ? "; it waits, for " : "; ", buf_text(&text));
	}
	for (size_t i = 0; i < why->workers_count; i++) {
		const struct why_worker *worker = &why->workers[i];
		autobuf struct buf text = { 0 }, trouble = { 0 };

		if (!is_called(worker, mine->ask.worker) || append_trouble(why, worker, &trouble) ||
		    !append_worker(why, mine, worker, &text) || full >= WHY_NAMES_MAX)
			continue;
		buf_printf(out, "; it %s", buf_text(&text));
		full++;
	}
	return troubles + full > 0;
}

void why_rank(const struct why *why, struct why_waiting *waiting, size_t count)
{
	for (size_t i = 0; i < count; i++)
		weigh(why, &waiting[i]);
	if (count > 0)
		qsort(waiting, count, sizeof *waiting, compare_waiting);
}

void why_append_ready(const struct why *why, const struct task *task, struct buf *out)
{
	const struct why_waiting mine = describe(why, task);

	buf_printf(out, "%s is ready to start", task->step->name);
	if (why->run->row.state == RUN_QUEUED) {
		if (why->waits_for != NULL && why->waits_for[0] != '\0')
			buf_printf(out, "; its run is queued: %s", why->waits_for);
		else
			buf_append_text(out, "; its run is queued and waits for its turn");
		return;
	}
	if (append_full_run(why->run, out))
		return;
	if (!append_full_pool(why, &mine, out)) {
		if (why_origin_ready(why, task, out))
			return; /* nobody goes before it where its checkpoint is */
		if (!append_workers(why, &mine, out))
			buf_append_text(out, "; it waits for a worker to be connected, or for its turn");
	}
	append_those_before(why, &mine, out);
}
