#include "scheduler/engine.h"

#include <assert.h>
#include <errno.h>
#include <inttypes.h>
#include <libgen.h>
#include <limits.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/clock.h"
#include "common/log.h"
#include "common/mem.h"
#include "common/scope.h"
#include "executor/courier.h"
#include "executor/deploy.h"
#include "executor/link.h"
#include "executor/local.h"
#include "executor/ssh.h"
#include "scheduler/copies.h"
#include "scheduler/crash.h"
#include "scheduler/driver.h"
#include "scheduler/kept.h"
#include "scheduler/launch.h"
#include "scheduler/leftover.h"
#include "scheduler/paths.h"
#include "scheduler/writer.h"

/* What is kept for each worker of the settings. */
struct engine_worker {
	struct link *link;
	bool remote;
	bool started;      /* a run concerns it */
	bool connect_due;  /* its connection could not be counted */
	bool draining;     /* as far as the core knows */
	bool told;         /* that it cannot be reached, to those who look on */
	uint32_t failures; /* in a row */
	struct load load;
	int64_t load_wall_ms; /* when it was told; 0: not over this connection */
};

/* A run that was let go of: what is being gathered or written may mention it still. */
struct dropped_run {
	struct run *run;
	uint64_t batch; /* it goes when so many have been written */
	struct list link;
};

struct engine {
	uv_loop_t *loop;
	const struct engine_handler *handler;
	void *context;
	struct store *store; /* with the writer's thread */
	struct store *side;  /* with the loop: connections counted, requests read; rare and short */
	struct writer *writer;
	struct core *core;
	struct driver driver;
	const struct actions *batch; /* being written; kept to try again */
	bool batch_failed;           /* it waits for another try */
	int64_t trouble_since_ms;    /* 0: all is well */
	uint64_t batches_written;
	struct list dropped;
	struct list waits;
	bool patient;
	const struct settings *settings;
	char agent[PATH_MAX]; /* of this machine */
	struct engine_worker *workers;
	size_t workers_count;
	size_t workers_room;
	struct courier *courier;
	struct leftovers *leftovers;
	struct copies *copies;
	struct kept kept;
	struct deploy deploy; /* the agents at hand, where there is a worker to put one on */
	bool deploy_found;
	char scheduler[128];
	uv_timer_t wake;     /* the core has something to do */
	uv_timer_cb on_wake; /* its callback, which sets it again */
	uv_timer_t linger;   /* what has gathered is to be written at last */
	uv_timer_t requests; /* what other processes ask for */
	uv_timer_t again;    /* the batch that could not be written, the connection that could not be counted */
	bool stopping;
};

/* --- events into the core ------------------------------------------------------------------------------- */

static void set_wake(struct engine *engine)
{
	int64_t wait_ms = ENGINE_LOOK_AGAIN_MS;
	int64_t next_ms = core_next_wake_ms(engine->core);

	if (next_ms != INT64_MAX && next_ms - clock_mono_ms() < wait_ms)
		wait_ms = next_ms - clock_mono_ms();
	uv_timer_start(&engine->wake, engine->on_wake, wait_ms > 0 ? (uint64_t)wait_ms : 0, 0);
}

static void handle(struct engine *engine, struct event *event)
{
	if (engine->stopping)
		return;
	event->now_ms = clock_mono_ms();
	event->wall_ms = clock_wall_ms();
	driver_event(&engine->driver, event);
	set_wake(engine);
}

static void on_wake(uv_timer_t *timer)
{
	handle(timer->data, &(struct event){ .kind = EVENT_TICK });
}

/* --- what the link hears -------------------------------------------------------------------------------- */

static struct engine_worker *find_worker(const struct engine *engine, const char *name)
{
	for (size_t i = 0; i < engine->workers_count; i++)
		if (strcmp(link_name(engine->workers[i].link), name) == 0)
			return &engine->workers[i];
	return NULL;
}

static void give_up(struct engine *engine, const struct err *err)
{
	if (!engine->stopping)
		engine->handler->on_given_up(engine->context, err);
}

__attribute__((format(printf, 2, 3))) static void note(struct engine *engine, const char *format, ...)
{
	char text[512];
	va_list args;

	va_start(args, format);
	vsnprintf(text, sizeof text, format, args);
	va_end(args);
	engine->handler->on_note(engine->context, NULL, text);
}

static void on_wanted(void *context, struct link *link)
{
	struct engine *engine = context;
	struct engine_worker *worker = find_worker(engine, link_name(link));
	uint64_t epoch;
	struct err err;

	if (engine->stopping)
		return;
	if (store_next_epoch(engine->side, link_name(link), &epoch, &err) < 0) {
		worker->connect_due = true;
		engine->handler->on_note(engine->context, NULL, err.text);
		return;
	}
	worker->connect_due = false;
	link_connect(link, epoch);
}

static void on_up(void *context, struct link *link, const struct frame_welcome *welcome)
{
	struct engine *engine = context;
	struct engine_worker *worker = find_worker(engine, link_name(link));
	struct event event = {
		.kind = EVENT_WORKER_UP,
		.worker = link_name(link),
		.facts = {
			.name = link_name(link),
			.boot_id = welcome->boot_id,
			.host = welcome->host,
			.machine = welcome->machine,
			.epoch = link_epoch(link),
			.cpus_milli = welcome->cpus_milli,
			.memory_bytes = welcome->memory_bytes,
			.devices = welcome->devices,
			.devices_count = welcome->devices_count,
		},
	};

	courier_on_up(engine->courier, link);
	copies_on_up(engine->copies, link);
	worker->failures = 0;
	worker->load_wall_ms = 0;
	if (worker->told) {
		worker->told = false;
		note(engine, "worker %s is connected", link_name(link));
	}
	log_info("worker.connected", TEXT("worker", link_name(link)), TEXT("host", welcome->host),
		 NUMBER("agent_pid", welcome->pid), NUMBER("epoch", link_epoch(link)));
	handle(engine, &event);
}

static void on_down(void *context, struct link *link, const char *why)
{
	struct engine *engine = context;

	courier_on_down(engine->courier, link);
	leftovers_drop_link(engine->leftovers, link);
	copies_on_down(engine->copies, link);
	if (engine->stopping)
		return;
	log_warn("worker.disconnected", TEXT("worker", link_name(link)), TEXT("err", why));
	note(engine, "lost contact with worker %s (%s): its steps run on; connecting again", link_name(link),
	     why);
	handle(engine, &(struct event){ .kind = EVENT_WORKER_DOWN,
					.worker = link_name(link),
					.text = why,
					.fault = fault_names[FAULT_BROKEN] });
}

/* This machine's own agent must come up; another machine is waited for, however long it takes. */
static void on_failed(void *context, struct link *link, enum fault fault, const char *why, int64_t retry_ms)
{
	struct engine *engine = context;
	struct engine_worker *worker = find_worker(engine, link_name(link));
	struct err err;

	log_warn("worker.unreachable", TEXT("worker", link_name(link)), TEXT("fault", fault_names[fault]),
		 TEXT("err", why), NUMBER("retry_ms", retry_ms));
	worker->failures++;
	if (worker->remote) {
		if (!worker->told)
			note(engine, "worker %s cannot be used: %s; trying again", link_name(link), why);
		worker->told = true;
		handle(engine, &(struct event){ .kind = EVENT_WORKER_FAILED,
						.worker = link_name(link),
						.text = why,
						.fault = fault_names[fault] });
	} else if (!engine->patient && worker->failures >= ENGINE_LINK_TRIES) {
		err_set(&err, ERR_IO, "this machine's agent does not come up: %s", why);
		give_up(engine, &err);
	}
}

static void on_left(void *context, struct link *link, const struct frame_claim *left)
{
	struct engine *engine = context;
	const struct run *run = core_find_run(engine->core, left->run);

	if (!engine->stopping && (run == NULL || run->ended))
		leftovers_on_left(engine->leftovers, link, left);
}

static void on_present(void *context, struct link *link, const struct frame_present *present)
{
	struct engine *engine = context;

	if (leftovers_on_present(engine->leftovers, link, present))
		return;
	handle(context, &(struct event){ .kind = EVENT_PRESENT,
					 .worker = link_name(link),
					 .id = present->id,
					 .present = present->state });
}

static void on_inventory(void *context, struct link *link, const struct frame_claim *claim)
{
	struct engine *engine = context;

	if (leftovers_on_inventory(engine->leftovers, link, claim) || claim->epoch != link_epoch(link))
		return;
	handle(context, &(struct event){ .kind = EVENT_INVENTORY,
					 .worker = link_name(link),
					 .id.run = claim->run,
					 .refused = claim->refused,
					 .text = claim->text });
	/* Another process of ours connected after us and before our claim: a newer number settles it. */
	if (claim->refused) {
		log_warn("claim.refused", NUMBER("run", claim->run), TEXT("err", claim->text));
		link_renew(link, "its claim was refused");
	}
}

static int decode_record(const struct frame *record, struct arena *arena, struct event *event)
{
	switch ((int)record->type) {
	case RECORD_STARTED:
		return protocol_get_started(record, arena, &event->record.started);
	case RECORD_CHECKPOINT:
		return protocol_get_checkpoint(record, arena, &event->record.checkpoint);
	case RECORD_METRIC:
		return protocol_get_metric(record, arena, &event->record.metric);
	case RECORD_SAMPLE:
		return protocol_get_sample(record, &event->record.sample);
	case RECORD_OUTPUT:
		return protocol_get_output(record, arena, &event->record.output);
	case RECORD_ARTIFACTS:
		return protocol_get_artifacts(record, arena, &event->record.artifacts);
	case RECORD_NOTE:
		return protocol_get_note(record, arena, &event->record.note);
	case RECORD_STOPPING:
		return protocol_get_stopping(record, &event->record.stopping);
	default:
		return 0; /* of a newer agent: only its length counts */
	}
}

static void on_record(void *context, struct link *link, const struct attempt_id *id,
		      const struct frame *record, uint64_t journal_end)
{
	struct event event = {
		.kind = EVENT_JOURNAL,
		.worker = link_name(link),
		.id = *id,
		.record_type = record->type,
		.journal_end = journal_end,
	};
	struct engine *engine = context;
	struct arena arena;

	if (leftovers_has(engine->leftovers, id->run))
		return;
	arena_init(&arena);
	if (decode_record(record, &arena, &event) == 0)
		handle(context, &event);
	else
		log_error("record.malformed", NUMBER("run", id->run), NUMBER("step", id->task),
			  NUMBER("type", record->type));
	arena_fini(&arena);
}

static void on_exited(void *context, struct link *link, const struct frame_exited *exited)
{
	struct engine *engine = context;

	if (leftovers_has(engine->leftovers, exited->id.run))
		return;
	handle(context, &(struct event){ .kind = EVENT_EXITED,
					 .worker = link_name(link),
					 .id = exited->id,
					 .exit = exited->exit });
}

static void on_collected(void *context, struct link *link, const struct attempt_id *id)
{
	struct engine *engine = context;

	if (leftovers_on_collected(engine->leftovers, link, id))
		return;
	handle(context, &(struct event){ .kind = EVENT_COLLECTED, .worker = link_name(link), .id = *id });
}

static void on_lease(void *context, struct link *link, uint64_t number)
{
	handle(context, &(struct event){ .kind = EVENT_LEASE,
					 .worker = link_name(link),
					 .asked_ms = (int64_t)number });
}

static void on_note(void *context, struct link *link, const struct frame_note *said)
{
	struct engine *engine = context;

	log_warn("agent.noted", TEXT("worker", link_name(link)), NUMBER("run", said->id.run),
		 NUMBER("step", said->id.task), TEXT("text", said->text));
	if (said->warning)
		engine->handler->on_note(engine->context, NULL, said->text);
}

static void on_load(void *context, struct link *link, const struct load *load)
{
	struct engine_worker *worker = find_worker(context, link_name(link));

	worker->load = *load;
	worker->load_wall_ms = clock_wall_ms();
}

static void on_want(void *context, struct link *link, const struct frame_want *want)
{
	struct engine *engine = context;

	courier_on_want(engine->courier, link, want);
}

static void on_parcel(void *context, struct link *link, const struct frame_parcel *parcel)
{
	struct engine *engine = context;

	if (!copies_on_parcel(engine->copies, link, parcel))
		courier_on_parcel(engine->courier, link, parcel);
}

static void on_room(void *context, struct link *link)
{
	struct engine *engine = context;

	courier_on_room(engine->courier, link);
}

static void on_log_trouble(void *context, struct link *link, const struct attempt_id *id, const char *why)
{
	struct engine *engine = context;
	const struct run *run = core_find_run(engine->core, id->run);

	log_error("log.blocked", TEXT("worker", link_name(link)), NUMBER("run", id->run),
		  NUMBER("step", id->task), TEXT("err", why));
	engine->handler->on_note(
		engine->context,
		run != NULL && id->task < run->dag->steps_count ? &run->tasks[id->task] : NULL, why);
}

static bool log_path(void *context, const struct attempt_id *id, char *path, size_t path_bytes)
{
	struct engine *engine = context;
	const struct run *run = core_find_run(engine->core, id->run);
	struct arena arena;
	const char *found;
	bool fits;

	if (run == NULL)
		return leftovers_log_path(engine->leftovers, id, path, path_bytes);
	if (id->task >= run->dag->steps_count)
		return false;
	arena_init(&arena);
	found = paths_log(&arena, engine->store->home, run->row.dag, run->row.number,
			  run->dag->steps[id->task].name, id->number);
	fits = (size_t)snprintf(path, path_bytes, "%s", found) < path_bytes;
	arena_fini(&arena);
	return fits;
}

static const struct link_handler link_handler = {
	.on_wanted = on_wanted,
	.on_up = on_up,
	.on_down = on_down,
	.on_failed = on_failed,
	.on_present = on_present,
	.on_inventory = on_inventory,
	.on_left = on_left,
	.on_record = on_record,
	.on_exited = on_exited,
	.on_collected = on_collected,
	.on_lease = on_lease,
	.on_note = on_note,
	.on_load = on_load,
	.on_want = on_want,
	.on_parcel = on_parcel,
	.on_room = on_room,
	.on_log_trouble = on_log_trouble,
	.log_path = log_path,
};

static void on_copied(void *context, struct event *event)
{
	handle(context, event);
}

/* --- where parcels are ---------------------------------------------------------------------------------- */

/* What a step left: fetched before, or still with the worker that it ran on. */
static bool locate_artifacts(struct engine *engine, const struct frame_want *want, struct arena *arena,
			     struct courier_place *out)
{
	const struct run *run = core_find_run(engine->core, want->id.run);
	const struct task *task = run == NULL || want->task >= run->dag->steps_count
					  ? NULL
					  : &run->tasks[want->task];
	struct engine_worker *worker;

	out->path = paths_fetched(arena, engine->store->home, want->digest);
	if (access(out->path, F_OK) == 0)
		return true;
	if (task == NULL || task->left.digest == NULL || strcmp(task->left.digest, want->digest) != 0 ||
	    (worker = find_worker(engine, task->left.worker)) == NULL)
		return false;
	out->get = (struct frame_get){ .digest = task->left.digest,
				       .run = run->row.id,
				       .task = want->task,
				       .kind = PROVISION_ARTIFACTS,
				       .name = task->step->name };
	out->bytes = task->left.bytes;
	out->from = worker->link;
	/* What cannot be made is told when it is used. */
	mkdir(paths_parcels(arena, engine->store->home), 0700);
	mkdir(paths_fetched(arena, engine->store->home, ""), 0700);
	return launch_workdir(run, task->step, arena, &out->get.path, NULL) == 0;
}

static bool locate_checkpoint(struct engine *engine, const struct frame_want *want, struct arena *arena,
			      struct courier_place *out)
{
	const struct run *run = core_find_run(engine->core, want->id.run);

	out->path = run == NULL || want->task >= run->dag->steps_count
			    ? NULL
			    : copies_find(engine->copies, run, want->task, want->digest, arena);
	return out->path != NULL;
}

static bool locate(void *context, const struct frame_want *want, struct arena *arena,
		   struct courier_place *out)
{
	struct engine *engine = context;

	if (want->kind == PROVISION_ARTIFACTS)
		return locate_artifacts(engine, want, arena, out);
	if (want->kind == PROVISION_CHECKPOINT)
		return locate_checkpoint(engine, want, arena, out);
	out->path = arena_printf(arena, "%s/%s", paths_parcels(arena, engine->store->home), want->digest);
	return want->kind == PROVISION_SOURCE;
}

static void on_unlinked(uv_fs_t *request)
{
	uv_fs_req_cleanup(request);
	free(request);
}

/* A big file takes the file system a while: a thread does it. */
static void remove_file(struct engine *engine, const char *path)
{
	uv_fs_t *request = mem_zalloc(sizeof *request);

	uv_fs_unlink(engine->loop, request, path, on_unlinked);
}

/* What was fetched for a run that has succeeded is of no use to anybody else but by chance. */
static void remove_fetched(struct engine *engine, const struct run *run)
{
	__attribute__((cleanup(arena_fini))) struct arena arena = { 0 };

	for (size_t i = 0; run->leaves_artifacts && i < run->dag->steps_count; i++) {
		const char *digest = run->tasks[i].left.digest;
		const char *path = digest == NULL ? NULL : paths_fetched(&arena, engine->store->home, digest);

		if (path != NULL && access(path, F_OK) == 0)
			remove_file(engine, path);
	}
}

/* --- the driver's ends ---------------------------------------------------------------------------------- */

static void tell_saved(struct engine *engine, const struct actions *batch)
{
	for (size_t i = 0; i < batch->count; i++)
		if ((int)batch->items[i].kind < (int)ORDER_CLAIM)
			engine->handler->on_saved(engine->context, &batch->items[i]);
}

static void free_dropped(struct engine *engine, bool all)
{
	list_each (at, &engine->dropped) {
		struct dropped_run *dropped = list_entry(at, struct dropped_run, link);

		if (!all && dropped->batch > engine->batches_written)
			continue;
		list_remove(at);
		run_free(dropped->run);
		free(dropped);
	}
}

/* `err` is NULL: only those whose batch is on disk; else all. */
static void tell_waits(struct engine *engine, const struct err *err)
{
	struct list due;

	list_init(&due);
	list_each (at, &engine->waits) {
		if (err == NULL && list_entry(at, struct engine_wait, link)->batch > engine->batches_written)
			continue;
		list_remove(at);
		list_append(&due, at);
	}
	while (!list_empty(&due)) {
		struct engine_wait *wait = list_entry(due.next, struct engine_wait, link);

		list_remove(&wait->link);
		wait->done(wait->context, err != NULL ? err : &(struct err){ .code = ERR_OK }); /* may free it */
	}
}

static void batch_is_written(struct engine *engine, const struct actions *batch)
{
	if (engine->handler->on_saved != NULL)
		tell_saved(engine, batch);
	driver_written(&engine->driver);
	engine->batches_written++;
	free_dropped(engine, driver_is_idle(&engine->driver));
	tell_waits(engine, NULL);
	for (size_t i = 0; i < engine->workers_count; i++)
		link_flush(engine->workers[i].link);
	crash_at(CRASH_orders_given);
}

static void write_batch(void *context, const struct actions *batch)
{
	struct engine *engine = context;

	if (!driver_has_saves(batch)) {
		/* A FORGET, mostly: it goes out with what the batch before it ordered, not a moment later. */
		batch_is_written(engine, batch);
		return;
	}
	engine->batch = batch;
	writer_submit(engine->writer, batch);
}

static void on_retry_due(uv_timer_t *timer)
{
	struct engine *engine = timer->data;

	if (engine->stopping)
		return;
	if (engine->batch_failed) {
		engine->batch_failed = false;
		writer_submit(engine->writer, engine->batch);
	}
	for (size_t i = 0; i < engine->workers_count; i++)
		if (engine->workers[i].connect_due)
			on_wanted(engine, engine->workers[i].link);
}

static void on_written(void *context, const struct err *err)
{
	struct engine *engine = context;

	if (engine->stopping)
		return;
	if (err->code == ERR_OK) {
		if (engine->trouble_since_ms > 0)
			engine->handler->on_note(engine->context, NULL,
						 "the state can be written again; going on");
		engine->trouble_since_ms = 0;
		batch_is_written(engine, take(engine->batch));
		return;
	}
	engine->batch_failed = true;
	log_error("batch.failed", TEXT("err", err->text));
	if (engine->trouble_since_ms == 0) {
		engine->trouble_since_ms = clock_mono_ms();
		engine->handler->on_note(engine->context, NULL, err->text);
	}
	if (err->code == ERR_CORRUPT ||
	    (!engine->patient && clock_mono_ms() - engine->trouble_since_ms > ENGINE_TROUBLE_MS))
		give_up(engine, err);
}

/* What runs that have failed left here is kept within limits. */
static void tidy_copies(struct engine *engine)
{
	if (kept_prepare(&engine->kept, engine->settings->retention.copies_bytes))
		writer_add(engine->writer, &engine->kept.job);
}

static void end_run(struct engine *engine, uint64_t id)
{
	const struct run *run = core_find_run(engine->core, id);

	assert(run != NULL);
	log_info("run.ended", TEXT("run", run->row.dag), NUMBER("number", run->row.number),
		 TEXT("state", run_states[run->row.state].name));
	if (run->row.state == RUN_SUCCEEDED)
		remove_fetched(engine, run);
	else
		tidy_copies(engine);
	copies_end_run(engine->copies, run);
	engine->handler->on_ended(engine->context, run);
}

static void carry_out_copy(struct engine *engine, const struct action *order)
{
	struct engine_worker *worker = order->worker == NULL ? NULL : find_worker(engine, order->worker);
	const struct run *run = core_find_run(engine->core, order->id.run);

	if (run == NULL)
		return; /* let go of meanwhile */
	if (order->kind == ORDER_COPY && worker != NULL)
		copies_begin(engine->copies, run, &order->id, order->copy_seq, worker->link);
	else if (order->kind == ORDER_CANCEL_COPY)
		copies_cancel(engine->copies, run, &order->id, order->copy_seq);
	else if (order->kind == ORDER_DROP_COPY)
		copies_drop(engine->copies, run, &order->id, order->copy_seq);
}

/* One for a worker without a link (no longer configured) waits until it is configured again. */
static void carry_out(void *context, const struct action *order)
{
	struct engine *engine = context;
	struct engine_worker *worker = order->worker == NULL ? NULL : find_worker(engine, order->worker);

	if (order->kind == ORDER_RUN_ENDED)
		end_run(engine, order->id.run);
	if (order->kind == ORDER_COPY || order->kind == ORDER_CANCEL_COPY || order->kind == ORDER_DROP_COPY)
		carry_out_copy(engine, order);
	if (worker == NULL)
		return;
	switch (order->kind) {
	case ORDER_CLAIM:
		leftovers_drop_run(engine->leftovers, order->id.run);
		link_claim(worker->link, order->id.run, order->epoch, order->lease_ms);
		break;
	case ORDER_START:
		link_start_attempt(worker->link, &order->id, order->start.frame, order->start.bytes);
		break;
	case ORDER_STOP:
		link_stop_attempt(worker->link, &order->id, order->stop.reason, order->stop.grace_ms);
		break;
	case ORDER_ATTACH:
		link_attach(worker->link, &order->id, order->attach.journal_offset, order->attach.renew);
		break;
	case ORDER_FORGET:
		link_forget(worker->link, &order->id);
		break;
	case ORDER_RELEASE:
		link_release(worker->link, order->id.run, order->epoch, order->keep);
		break;
	default:
		break;
	}
}

static const struct task *task_of(struct engine *engine, const struct attempt_id *id)
{
	const struct run *run = core_find_run(engine->core, id->run);

	return run == NULL || id->task >= run->dag->steps_count ? NULL : &run->tasks[id->task];
}

static void on_task_decided(struct engine *engine, const struct task_row *row)
{
	const struct task *task = task_of(engine, &(struct attempt_id){ .run = row->run, .task = row->step });

	log_info("task.moved", TEXT("run", task->run->row.dag), NUMBER("number", task->run->row.number),
		 TEXT("task", task->step->name), TEXT("state", task_states[row->state].name),
		 TEXT("reason", reason_names[row->reason]), TEXT("message", row->message));
	engine->handler->on_task(engine->context, task);
}

static void on_attempt_decided(struct engine *engine, const struct attempt_row *row)
{
	const struct task *task = task_of(engine, &row->id);

	log_info("attempt.moved", TEXT("run", task->run->row.dag), NUMBER("number", task->run->row.number),
		 TEXT("task", task->step->name), NUMBER("attempt", row->id.number),
		 TEXT("worker", row->worker), TEXT("state", attempt_states[row->state].name),
		 TEXT("reason", reason_names[row->reason]));
}

static void on_event_decided(struct engine *engine, const struct action *save)
{
	const struct task *task = task_of(engine, &save->id);
	const char *text = save->event.detail;

	log_info(save->event.kind, NUMBER("run", save->id.run),
		 TEXT("task", task == NULL ? "" : task->step->name), NUMBER("attempt", save->id.number),
		 TEXT("actor", save->event.actor), TEXT("detail", text));
	if (strncmp(save->event.kind, "checkpoint.", 11) == 0 ||
	    strcmp(save->event.kind, "attempt.noted") == 0 ||
	    strcmp(save->event.kind, "attempt.restarted") == 0)
		engine->handler->on_note(engine->context, task, text);
}

static void on_decided(void *context, const struct action *save)
{
	struct engine *engine = context;

	switch (save->kind) {
	case SAVE_TASK:
		on_task_decided(engine, &save->task);
		break;
	case SAVE_ATTEMPT:
		if (log_enabled(LOG_INFO))
			on_attempt_decided(engine, &save->attempt);
		break;
	case SAVE_EVENT:
		on_event_decided(engine, save);
		break;
	default:
		break;
	}
}

static void on_linger_over(uv_timer_t *timer)
{
	struct engine *engine = timer->data;

	if (!engine->stopping)
		driver_flush(&engine->driver);
}

static void linger(void *context)
{
	struct engine *engine = context;

	if (!engine->stopping && !uv_is_active((uv_handle_t *)&engine->linger))
		uv_timer_start(&engine->linger, on_linger_over, ENGINE_LINGER_MS, 0);
}

static const struct driver_ends driver_ends = {
	.linger = linger,
	.write = write_batch,
	.carry_out = carry_out,
	.decided = on_decided,
};

/* --- what other processes ask for ----------------------------------------------------------------------- */

static void take_request(struct engine *engine, const struct store_request *request)
{
	if (core_find_run(engine->core, request->run) == NULL) {
		if (request->queued && engine->handler->on_request != NULL)
			engine->handler->on_request(engine->context, request);
		return;
	}
	driver_add(&engine->driver, SAVE_REQUEST_DONE)->request = request->id;
	if (strcmp(request->verb, "cancel") == 0 || strcmp(request->verb, "cancel-now") == 0)
		engine_cancel(engine, request->run, strcmp(request->verb, "cancel-now") == 0, request->actor,
			      request->origin);
}

/* Who is being emptied is said to the database by `stoker workers drain`, whoever drives. */
static void look_for_drains(struct engine *engine, struct arena *arena)
{
	const char **names;
	size_t count;

	if (store_drained_workers(engine->side, arena, &names, &count, NULL) < 0)
		return;
	for (size_t i = 0; i < engine->workers_count; i++) {
		struct engine_worker *worker = &engine->workers[i];
		bool draining = false;

		for (size_t k = 0; k < count; k++)
			draining |= strcmp(names[k], link_name(worker->link)) == 0;
		if (draining == worker->draining)
			continue;
		worker->draining = draining;
		handle(engine, &(struct event){ .kind = EVENT_DRAIN,
						.worker = link_name(worker->link),
						.now = draining });
	}
}

static void look_for_requests(struct engine *engine)
{
	struct store_request *requests;
	struct arena arena;
	size_t count = 0;

	arena_init(&arena);
	look_for_drains(engine, &arena);
	if (store_requests(engine->side, &arena, &requests, &count, NULL) == 0)
		for (size_t i = 0; i < count; i++)
			take_request(engine, &requests[i]);
	arena_fini(&arena);
}

static void on_requests_due(uv_timer_t *timer)
{
	struct engine *engine = timer->data;

	if (!driver_is_idle(&engine->driver) || engine->stopping)
		return; /* one that is being marked as done would be read twice */
	if (store_has_changed(engine->side))
		look_for_requests(engine);
}

void engine_cancel(struct engine *engine, uint64_t run, bool now, const char *actor, const char *origin)
{
	handle(engine, &(struct event){ .kind = EVENT_CANCEL,
					.id.run = run,
					.now = now,
					.actor = actor,
					.origin = origin });
}

void engine_retry(struct engine *engine, uint64_t run, int from_step, const char *actor, const char *origin)
{
	handle(engine, &(struct event){ .kind = EVENT_RETRY,
					.id.run = run,
					.from_step = from_step,
					.actor = actor,
					.origin = origin });
}

/* --- life ----------------------------------------------------------------------------------------------- */

int engine_find_agent(char *path, size_t path_bytes, struct err *err)
{
	const char *named = getenv("STOKER_AGENT");
	char self[PATH_MAX];
	ssize_t n;

	if (named != NULL && named[0] != '\0') {
		snprintf(path, path_bytes, "%s", named);
		if (access(path, X_OK) == 0)
			return 0;
		return err_errno(err, "STOKER_AGENT names %s", path);
	}
	n = readlink("/proc/self/exe", self, sizeof self - 1);
	if (n > 0) {
		self[n] = '\0';
		snprintf(path, path_bytes, "%s/stoker-agent", dirname(self));
		if (access(path, X_OK) == 0)
			return 0;
	}
	snprintf(path, path_bytes, "%s", STOKER_AGENT_PATH);
	if (access(path, X_OK) == 0)
		return 0;
	return err_set(err, ERR_NOT_FOUND,
		       "stoker-agent is neither beside this program nor at %s; set STOKER_AGENT to"
		       " its path",
		       STOKER_AGENT_PATH);
}

static struct link *make_link(struct engine *engine, const struct settings_worker *worker)
{
	autofree char *root = NULL;
	struct transport *transport;

	if (worker->terms.remote) {
		transport = ssh_new(engine->loop, &worker->target, &engine->deploy);
	} else {
		root = mem_printf("%s/local", engine->store->home);
		transport = local_new(engine->loop, engine->agent, root);
	}
	return link_new(engine->loop, worker->name, transport, engine->store->name, engine->scheduler, &link_handler,
			engine);
}

static void add_worker(struct engine *engine, const struct settings_worker *settings)
{
	struct engine_worker *worker;

	core_add_worker(engine->core, settings->name);
	core_set_terms(engine->core, settings->name, &settings->terms);
	mem_grow(&engine->workers, &engine->workers_room, engine->workers_count, sizeof *engine->workers);
	worker = &engine->workers[engine->workers_count++];
	*worker = (struct engine_worker){ .remote = settings->terms.remote };
	worker->link = make_link(engine, settings);
}

static bool has_remote(const struct settings *settings)
{
	for (size_t i = 0; i < settings->workers_count; i++)
		if (settings->workers[i].terms.remote)
			return true;
	return false;
}

/* What those who only read the state are to know of the settings; and the agents, once they are needed. */
static int prepare_workers(struct engine *engine, const struct settings *settings, struct err *err)
{
	if (has_remote(settings) && !engine->deploy_found && deploy_find(&engine->deploy, engine->agent, err) < 0)
		return err->code;
	engine->deploy_found |= has_remote(settings);
	for (size_t i = 0; i < settings->workers_count; i++) {
		const struct settings_worker *worker = &settings->workers[i];

		if ((worker->terms.remote || worker->terms.labels_count > 0) &&
		    store_put_worker_labels(engine->side, worker->name, worker->terms.labels,
					    worker->terms.labels_count, err) < 0)
			return err->code;
	}
	return store_put_limits(engine->side, settings, err);
}

static int open_workers(struct engine *engine, const struct settings *settings, struct err *err)
{
	char host[64] = "";

	if (engine_find_agent(engine->agent, sizeof engine->agent, err) < 0)
		return err->code;
	gethostname(host, sizeof host - 1);
	snprintf(engine->scheduler, sizeof engine->scheduler, "stoker on %s (pid %d)", host, (int)getpid());
	if (prepare_workers(engine, settings, err) < 0)
		return err->code;
	for (size_t i = 0; i < settings->workers_count; i++)
		add_worker(engine, &settings->workers[i]);
	engine->settings = settings;
	return 0;
}

static void set_pools(struct engine *engine, const struct settings *settings)
{
	core_forget_pools(engine->core);
	for (size_t i = 0; i < settings->pools_count; i++)
		core_set_pool(engine->core, settings->pools[i].name, settings->pools[i].slots);
}

int engine_open(uv_loop_t *loop, struct store *store, const struct settings *settings,
		const struct engine_handler *handler, void *context, struct engine **engine_out,
		struct err *err)
{
	struct engine *engine = mem_zalloc(sizeof *engine);

	list_init(&engine->dropped);
	list_init(&engine->waits);
	engine->loop = loop;
	engine->handler = handler;
	engine->context = context;
	engine->store = store;
	engine->core = core_new((uint64_t)clock_mono_us() ^ (uint64_t)getpid() << 32);
	core_set_notices(engine->core, &settings->notices);
	if (store_open(store->home, &engine->side, err) < 0 || open_workers(engine, settings, err) < 0) {
		engine_free(engine);
		return err->code;
	}
	set_pools(engine, settings);
	engine->courier = courier_new(loop, locate, engine);
	engine->leftovers = leftovers_new(engine->side);
	engine->copies = copies_new(loop, store->home, on_copied, engine);
	driver_init(&engine->driver, engine->core, &driver_ends, engine);
	engine->writer = writer_start(loop, store, on_written, engine);
	uv_timer_init(loop, &engine->wake);
	uv_timer_init(loop, &engine->linger);
	uv_timer_init(loop, &engine->requests);
	uv_timer_init(loop, &engine->again);
	engine->on_wake = on_wake;
	engine->wake.data = engine->linger.data = engine->requests.data = engine->again.data = engine;
	*engine_out = engine;
	return 0;
}

/* Connects to those that the runs at hand may use; a run that comes later may ask for more. */
static void start_links(struct engine *engine)
{
	for (size_t i = 0; i < engine->workers_count; i++) {
		struct engine_worker *worker = &engine->workers[i];

		if (worker->started || (!engine->patient && !core_concerns(engine->core, link_name(worker->link))))
			continue;
		worker->started = true;
		link_start(worker->link);
	}
}

/* The worker is as good as unreachable for this moment. */
static void cut_off(struct engine *engine, struct engine_worker *worker, const char *why)
{
	courier_on_gone(engine->courier, worker->link);
	copies_on_gone(engine->copies, worker->link);
	handle(engine, &(struct event){ .kind = EVENT_WORKER_DOWN,
					.worker = link_name(worker->link),
					.text = why,
					.fault = fault_names[FAULT_BROKEN] });
}

static void change_worker(struct engine *engine, const struct settings_worker *old,
			  const struct settings_worker *now)
{
	struct engine_worker *worker = find_worker(engine, now->name);

	core_set_terms(engine->core, now->name, &now->terms);
	if (settings_same_target(old, now)) {
		if (!settings_same_terms(old, now) && link_state(worker->link) == LINK_READY)
			link_renew(worker->link, "its settings changed"); /* facts are cut to them once it is up */
		return;
	}
	cut_off(engine, worker, "its settings changed");
	link_close(worker->link, NULL, NULL);
	*worker = (struct engine_worker){
		.link = make_link(engine, now),
		.remote = now->terms.remote,
		.draining = worker->draining,
	};
}

/* Where something runs still, its connection stays, to collect that. */
static void retire_workers(struct engine *engine, const struct settings *settings)
{
	for (size_t i = engine->workers_count; i > 0; i--) {
		struct engine_worker *worker = &engine->workers[i - 1];

		if (settings_find(settings, link_name(worker->link)) != NULL)
			continue;
		core_unset_worker(engine->core, link_name(worker->link));
		if (core_concerns(engine->core, link_name(worker->link)))
			continue;
		cut_off(engine, worker, "the settings do not name it any more");
		link_close(worker->link, NULL, NULL);
		memmove(worker, worker + 1, (engine->workers_count - i) * sizeof *worker);
		engine->workers_count--;
	}
}

void engine_use(struct engine *engine, const struct settings *settings)
{
	struct err err;

	if (prepare_workers(engine, settings, &err) < 0)
		log_error("settings.failed", TEXT("err", err.text));
	for (size_t i = 0; i < settings->workers_count; i++) {
		const struct settings_worker *now = &settings->workers[i];
		const struct settings_worker *old = settings_find(engine->settings, now->name);

		if (find_worker(engine, now->name) == NULL && engine->core->workers_count < CORE_WORKERS_MAX)
			add_worker(engine, now);
		else if (find_worker(engine, now->name) == NULL)
			log_error("worker.refused", TEXT("worker", now->name),
				  TEXT("err", "too many workers came and went: start the daemon anew"));
		else
			change_worker(engine, old == NULL ? now : old, now);
	}
	retire_workers(engine, settings);
	set_pools(engine, settings);
	core_set_notices(engine->core, &settings->notices);
	engine->settings = settings;
	engine_kick(engine);
}

int engine_add_run(struct engine *engine, uint64_t id, const struct run **run_out, struct err *err)
{
	struct run *run;

	if (store_load_run(engine->side, id, &run, err) < 0)
		return err->code;
	copies_check(engine->copies, run);
	core_add_run(engine->core, run);
	*run_out = run;
	return 0;
}

void engine_serve(struct engine *engine)
{
	engine->patient = true;
}

void engine_kick(struct engine *engine)
{
	handle(engine, &(struct event){ .kind = EVENT_TICK });
	start_links(engine);
}

void engine_drop_run(struct engine *engine, uint64_t run)
{
	struct dropped_run *dropped = mem_zalloc(sizeof *dropped);

	dropped->run = core_take_run(engine->core, run);
	/* The one being told of now, the one that gathers, and one that may be on its way between them. */
	dropped->batch = engine->batches_written + 2;
	list_append(&engine->dropped, &dropped->link);
}

void engine_write(struct engine *engine, struct writer_job *job)
{
	writer_add(engine->writer, job);
}

void engine_when_stored(struct engine *engine, struct engine_wait *wait)
{
	driver_flush(&engine->driver);
	wait->batch = engine->batches_written + (uint64_t)driver_batches(&engine->driver);
	list_append(&engine->waits, &wait->link);
	tell_waits(engine, NULL);
}

struct writer *engine_writer(struct engine *engine)
{
	return engine->writer;
}

struct store *engine_reader(struct engine *engine)
{
	return engine->side;
}

const struct settings *engine_settings(const struct engine *engine)
{
	return engine->settings;
}

const struct run *engine_find_run(const struct engine *engine, uint64_t run)
{
	return core_find_run(engine->core, run);
}

size_t engine_runs_count(const struct engine *engine)
{
	return engine->core->runs_count;
}

bool engine_find_load(const struct engine *engine, const char *name, struct load *out, int64_t *wall_ms_out)
{
	const struct engine_worker *worker = find_worker(engine, name);

	if (worker == NULL || link_state(worker->link) != LINK_READY || worker->load_wall_ms == 0)
		return false;
	*out = worker->load;
	*wall_ms_out = worker->load_wall_ms;
	return true;
}

int64_t engine_trouble_since_ms(const struct engine *engine)
{
	return engine->trouble_since_ms;
}

void engine_start(struct engine *engine)
{
	uv_timer_start(&engine->requests, on_requests_due, ENGINE_REQUESTS_MS, ENGINE_REQUESTS_MS);
	uv_timer_start(&engine->again, on_retry_due, 1000, 1000);
	on_requests_due(&engine->requests); /* before anything starts: a worker may be drained */
	engine_kick(engine);
	tidy_copies(engine);
}

void engine_stop(struct engine *engine)
{
	if (engine->stopping)
		return;
	engine->stopping = true;
	uv_close((uv_handle_t *)&engine->wake, NULL);
	uv_close((uv_handle_t *)&engine->linger, NULL);
	uv_close((uv_handle_t *)&engine->requests, NULL);
	uv_close((uv_handle_t *)&engine->again, NULL);
	tell_waits(engine, &(struct err){ .code = ERR_BUSY, .text = "stoker is being stopped" });
	courier_stop(engine->courier);
	copies_stop(engine->copies);
	for (size_t i = 0; i < engine->workers_count; i++)
		link_close(engine->workers[i].link, NULL, NULL);
	writer_stop(engine->writer);
	log_flush();
}

void engine_free(struct engine *engine)
{
	courier_free(engine->courier);
	leftovers_free(engine->leftovers);
	copies_free(engine->copies);
	driver_fini(&engine->driver);
	free_dropped(engine, true);
	core_free(engine->core);
	store_close(engine->side);
	store_close(engine->store);
	deploy_fini(&engine->deploy);
	free(engine->workers);
	free(engine);
}
