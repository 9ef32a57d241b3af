#include "scheduler/trigger.h"

#include <stdlib.h>
#include <string.h>

#include "common/clock.h"
#include "common/log.h"
#include "common/mem.h"
#include "common/scope.h"
#include "scheduler/alarm.h"
#include "scheduler/crash.h"
#include "scheduler/instant.h"
#include "scheduler/store_due.h"
#include "scheduler/store_outbox.h"

/* A DAG whose schedules are in force, or were when what is being written was decided. */
struct lent {
	struct registry_dag *dag;
	bool retired;
	struct list link;
};

struct trigger {
	struct engine *engine;
	const struct trigger_handler *handler;
	void *context;
	struct timetable *timetable;
	struct alarm alarm;
	struct list lent;
	struct writer_job job;
	bool writing;
	bool begun; /* it was told to look */
	bool stopping;
	const struct notice_terms *notices; /* in force when it was asked */
	int64_t renewed_mono_ms; /* the zones */
	int64_t wall_ms; /* of the decisions */
	size_t count;
	struct timetable_decision decisions[TRIGGER_BATCH_MAX];
	struct store_settled settled[TRIGGER_BATCH_MAX];
};

/* --- DAGs ----------------------------------------------------------------------------------------------- */

static void release_retired(struct trigger *trigger)
{
	list_each (at, &trigger->lent) {
		struct lent *lent = list_entry(at, struct lent, link);

		if (!lent->retired || trigger->writing)
			continue;
		list_remove(at);
		registry_release(lent->dag);
		free(lent);
	}
}

static void retire(struct trigger *trigger, const char *dag)
{
	list_each (at, &trigger->lent) {
		struct lent *lent = list_entry(at, struct lent, link);

		lent->retired |= strcmp(lent->dag->dag->name, dag) == 0;
	}
}

/* --- what is due ---------------------------------------------------------------------------------------- */

/* Nobody was there when it was due: its DAG's people may want to know. */
static bool is_missed(const struct store_settled *settled)
{
	return !settled->before && !settled->ran &&
	       (strcmp(settled->reason, "missed") == 0 || strcmp(settled->reason, "too_late") == 0);
}

/* Those at `first` and behind it that were passed over for the same reason, of one DAG: one notice. */
static int notice_missed(struct store *store, struct trigger *trigger, size_t first, struct err *err)
{
	__attribute__((cleanup(arena_fini))) struct arena arena = { 0 };
	const struct timetable_decision *decision = &trigger->decisions[first];
	const struct notice_terms *terms = trigger->notices;
	char first_nominal[INSTANT_LABEL_BYTES], last_nominal[INSTANT_LABEL_BYTES];
	struct notice_list receivers;
	struct store_missed missed = {
		.dag = decision->dag->name,
		.reason = trigger->settled[first].reason,
		.first_due_wall_ms = decision->due.at_ms,
		.page = terms->page,
		.receivers = &receivers,
		.wall_ms = trigger->wall_ms,
	};

	notice_list(terms, decision->dag, DAG_ON_MISSED, &arena, &receivers);
	if (receivers.count == 0)
		return 0;
	for (size_t i = first; i < trigger->count; i++) {
		if (trigger->decisions[i].dag != decision->dag || !is_missed(&trigger->settled[i]) ||
		    strcmp(trigger->settled[i].reason, missed.reason) != 0)
			continue;
		missed.count++;
		missed.last_due_wall_ms = trigger->decisions[i].due.at_ms;
		instant_label(trigger->decisions[i].due.nominal_local_s, last_nominal);
	}
	instant_label(decision->due.nominal_local_s, first_nominal);
	missed.first_nominal = first_nominal;
	missed.last_nominal = last_nominal;
	return store_notice_missed(store, &missed, err);
}

static bool is_first_of_kind(const struct trigger *trigger, size_t at)
{
	for (size_t i = 0; i < at; i++)
		if (trigger->decisions[i].dag == trigger->decisions[at].dag && is_missed(&trigger->settled[i]) &&
		    strcmp(trigger->settled[i].reason, trigger->settled[at].reason) == 0)
			return false;
	return true;
}

static int write_settled(struct store *store, void *context, struct err *err)
{
	struct trigger *trigger = context;
	int rc = store_settle(store, trigger->decisions, trigger->count, trigger->wall_ms, trigger->settled, err);

	for (size_t i = 0; rc == 0 && i < trigger->count; i++)
		if (is_missed(&trigger->settled[i]) && is_first_of_kind(trigger, i))
			rc = notice_missed(store, trigger, i, err);
	return rc;
}

static void tell(struct trigger *trigger, const struct timetable_decision *decision,
		 const struct store_settled *settled)
{
	if (settled->before)
		return;
	if (settled->ran) {
		log_info("schedule.due", TEXT("dag", decision->dag->name), NUMBER("due_ms", decision->due.at_ms),
			 NUMBER("late_ms", decision->late_ms), NUMBER("run", settled->run));
		trigger->handler->on_made(trigger->context, settled->run, decision);
	} else if (strcmp(settled->reason, "gone") != 0) {
		log_warn("schedule.skipped", TEXT("dag", decision->dag->name),
			 NUMBER("due_ms", decision->due.at_ms), TEXT("reason", settled->reason));
		trigger->handler->on_skipped(trigger->context, decision, settled->reason);
	}
}

static void on_settled(void *context, const struct err *err)
{
	struct trigger *trigger = context;

	crash_at(CRASH_due_settled);
	trigger->writing = false;
	for (size_t i = 0; i < trigger->count; i++) {
		const struct timetable_decision *decision = &trigger->decisions[i];

		if (err->code != ERR_OK)
			timetable_failed(trigger->timetable, decision->schedule);
		else
			timetable_settled(trigger->timetable, decision->schedule, decision->due.at_ms);
	}
	for (size_t i = 0; err->code == ERR_OK && i < trigger->count; i++)
		tell(trigger, &trigger->decisions[i], &trigger->settled[i]);
	release_retired(trigger);
	if (trigger->stopping)
		return;
	if (err->code != ERR_OK)
		log_error("schedule.failed", TEXT("err", err->text));
	/* There may be more; asking again is the alarm's. */
	alarm_set(&trigger->alarm, clock_wall_ms() + (err->code == ERR_OK ? 0 : TRIGGER_RETRY_MS));
}

static void renew(struct trigger *trigger)
{
	trigger->renewed_mono_ms = clock_mono_ms();
	if (!timetable_renew(trigger->timetable))
		return;
	log_info("timezones.changed");
	trigger->handler->on_renewed(trigger->context);
}

/* One batch at a time; the next look follows when it is written. */
static void look(struct trigger *trigger)
{
	int64_t next_ms;

	if (trigger->writing || trigger->stopping)
		return;
	if (clock_mono_ms() - trigger->renewed_mono_ms >= TRIGGER_RENEW_MS)
		renew(trigger);
	trigger->wall_ms = clock_wall_ms();
	trigger->notices = &engine_settings(trigger->engine)->notices;
	trigger->count = timetable_due(trigger->timetable, trigger->wall_ms, trigger->decisions, TRIGGER_BATCH_MAX);
	if (trigger->count == 0) {
		next_ms = timetable_next_wall_ms(trigger->timetable);
		if (next_ms > trigger->wall_ms + TIMETABLE_LOOK_MS)
			next_ms = trigger->wall_ms + TIMETABLE_LOOK_MS;
		alarm_set(&trigger->alarm, next_ms);
		return;
	}
	trigger->writing = true;
	trigger->job = (struct writer_job){ .write = write_settled, .done = on_settled, .context = trigger };
	engine_write(trigger->engine, &trigger->job);
}

static void on_alarm(void *context)
{
	look(context);
}

/* --- life ----------------------------------------------------------------------------------------------- */

int trigger_new(uv_loop_t *loop, struct engine *engine, struct zones *zones, const struct trigger_handler *handler,
		void *context, struct trigger **trigger_out, struct err *err)
{
	struct trigger *trigger = mem_zalloc(sizeof *trigger);

	trigger->engine = engine;
	trigger->handler = handler;
	trigger->context = context;
	list_init(&trigger->lent);
	if (alarm_open(loop, &trigger->alarm, on_alarm, trigger, err) < 0) {
		free(trigger);
		return err->code;
	}
	trigger->timetable = timetable_new(zones);
	trigger->renewed_mono_ms = clock_mono_ms();
	*trigger_out = trigger;
	return 0;
}

int trigger_put(struct trigger *trigger, struct registry_dag *dag, const struct timetable_row *rows,
		struct err *err)
{
	struct lent *lent;
	int rc = timetable_put(trigger->timetable, dag->dag, rows, err);

	if (rc < 0)
		return rc;
	retire(trigger, dag->dag->name);
	lent = mem_zalloc(sizeof *lent);
	lent->dag = registry_hold(dag);
	list_append(&trigger->lent, &lent->link);
	release_retired(trigger);
	return 0;
}

void trigger_remove(struct trigger *trigger, const char *dag)
{
	timetable_remove(trigger->timetable, dag);
	retire(trigger, dag);
	release_retired(trigger);
}

void trigger_look(struct trigger *trigger)
{
	trigger->begun = true;
	look(trigger);
}

void trigger_renew(struct trigger *trigger)
{
	renew(trigger);
	if (trigger->begun)
		look(trigger);
}

int64_t trigger_next_wall_ms(const struct trigger *trigger)
{
	return timetable_next_wall_ms(trigger->timetable);
}

void trigger_stop(struct trigger *trigger)
{
	trigger->stopping = true;
	alarm_close(&trigger->alarm);
}

void trigger_free(struct trigger *trigger)
{
	if (trigger == NULL)
		return;
	timetable_free(trigger->timetable);
	list_each (at, &trigger->lent) {
		struct lent *lent = list_entry(at, struct lent, link);

		registry_release(lent->dag);
		free(lent);
	}
	free(trigger);
}
