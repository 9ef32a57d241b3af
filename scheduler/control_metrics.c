/*
 * control_metrics.c - the samples of /metrics: what is, from the database; what was, from counters
 *
 * Labels are names of DAGs, steps, workers, states and reasons: never of runs, whose number grows for ever.
 */
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include "common/clock.h"
#include "common/mem.h"
#include "common/scope.h"
#include "config.h"
#include "scheduler/control_parts.h"
#include "scheduler/view_rows.h"
#include "web/metrics.h"

enum { DAGS_MAX = 2000 };

/* --- what ended ------------------------------------------------------------------------------------------- */

static struct control_ended *ended_of(struct control *control, const char *dag)
{
	for (size_t i = 0; i < control->ended_count; i++)
		if (strcmp(control->ended[i].dag, dag) == 0)
			return &control->ended[i];
	if (control->ended_count == DAGS_MAX)
		return NULL;
	mem_grow(&control->ended, &control->ended_room, control->ended_count, sizeof *control->ended);
	control->ended[control->ended_count] = (struct control_ended){ .dag = mem_strdup(dag) };
	return &control->ended[control->ended_count++];
}

static void count_event(struct control *control, const char *kind, const char *dag)
{
	int state = strncmp(kind, "run.", 4) == 0 ? machine_find(run_states, RUN_STATES, kind + 4) : -1;
	struct control_ended *ended;

	if (state < 0 || !machine_ended(run_states, (unsigned)state) || dag[0] == '\0')
		return;
	ended = ended_of(control, dag);
	if (ended != NULL)
		ended->counts[state]++;
}

/* In parts: a scrape that comes after a busy hour looks at some of it, the next one at the rest. */
static int count_events(struct control *control, struct err *err)
{
	sqlite3_stmt *stmt = store_statement(control->reader, STMT_web_events_since);
	int rc;

	sqlite3_bind_int64(stmt, 1, control->last_event);
	while ((rc = view_next(control->reader, stmt, err)) == 1) {
		control->last_event = sqlite3_column_int64(stmt, 0);
		count_event(control, view_text(stmt, 1), view_text(stmt, 2));
	}
	return rc;
}

static void add_ended(const struct control *control, struct metrics *out)
{
	metrics_family(out, "stoker_runs_total", "counter", "Runs that ended, by DAG and state.");
	for (size_t i = 0; i < control->ended_count; i++)
		for (unsigned state = 0; state < RUN_STATES; state++)
			if (control->ended[i].counts[state] > 0)
				metrics_sample(out, (double)control->ended[i].counts[state], "dag",
					       control->ended[i].dag, "state", run_states[state].name, NULL);
	metrics_family(out, "stoker_attempts_total", "counter", "Attempts that ended, by state and reason.");
	for (unsigned state = 0; state < ATTEMPT_STATES; state++)
		for (unsigned reason = 0; reason < REASONS && reason < CONTROL_REASONS; reason++)
			if (control->attempts[state][reason] > 0)
				metrics_sample(out, (double)control->attempts[state][reason], "state",
					       attempt_states[state].name, "reason", reason_names[reason], NULL);
}

/* --- what is ---------------------------------------------------------------------------------------------- */

/* The first two numbers of a statement's only row. */
static int read_two(struct store *store, enum store_statement which, int64_t out[2], struct err *err)
{
	sqlite3_stmt *stmt = store_statement(store, which);
	int rc = view_next(store, stmt, err);

	out[0] = out[1] = 0;
	if (rc == 1) {
		out[0] = sqlite3_column_int64(stmt, 0);
		out[1] = sqlite3_column_int64(stmt, 1);
		sqlite3_reset(stmt);
	}
	return rc < 0 ? rc : 0;
}

static int add_runs(struct control *control, struct metrics *out, struct err *err)
{
	int64_t now_wall_ms = clock_wall_ms(), queued[2], running[2];

	if (read_two(control->reader, STMT_web_queue_oldest, queued, err) < 0 ||
	    read_two(control->reader, STMT_web_running_count, running, err) < 0)
		return err->code;
	metrics_family(out, "stoker_runs", "gauge", "Runs that have not ended, by state.");
	metrics_sample(out, (double)queued[1], "state", "queued", NULL);
	metrics_sample(out, (double)running[0], "state", "running", NULL);
	metrics_single(out, "stoker_queue_age_seconds", "gauge", "Age of the oldest run in the queue.",
		       queued[0] == 0 ? 0 : (double)(now_wall_ms - queued[0]) / 1000);
	return 0;
}

static int add_tasks(struct control *control, struct metrics *out, struct err *err)
{
	sqlite3_stmt *stmt = store_statement(control->reader, STMT_web_running_tasks);
	int rc;

	metrics_family(out, "stoker_tasks", "gauge", "Tasks of the runs that go on, by state.");
	while ((rc = view_next(control->reader, stmt, err)) == 1)
		metrics_sample(out, sqlite3_column_double(stmt, 1), "state", view_text(stmt, 0), NULL);
	return rc;
}

static int add_attempts(struct control *control, struct metrics *out, struct err *err)
{
	sqlite3_stmt *stmt = store_statement(control->reader, STMT_web_live_attempts);
	double unreachable = 0;
	int rc;

	metrics_family(out, "stoker_worker_attempts", "gauge", "Attempts that are alive on a worker.");
	while ((rc = view_next(control->reader, stmt, err)) == 1) {
		metrics_sample(out, sqlite3_column_double(stmt, 1), "worker", view_text(stmt, 0), NULL);
		unreachable += sqlite3_column_double(stmt, 2);
	}
	metrics_single(out, "stoker_attempts_unreachable", "gauge", "Attempts whose worker cannot be reached.",
		       unreachable);
	return rc;
}

/* Families do not mix: the rows are read once for each. */
static int add_of_workers(struct control *control, struct metrics *out, int column, double scale, bool negate,
			  struct err *err)
{
	sqlite3_stmt *stmt = store_statement(control->reader, STMT_web_workers);
	int rc;

	while ((rc = view_next(control->reader, stmt, err)) == 1) {
		double number = sqlite3_column_double(stmt, column) * scale;

		if (sqlite3_column_int64(stmt, 2) != 0)
			metrics_sample(out, negate ? 1 - number : number, "worker", view_text(stmt, 0), NULL);
	}
	return rc;
}

/* Of those that are connected; what is not known has no sample. */
static void add_loads(const struct control *control, struct metrics *out)
{
	static const struct {
		const char *name, *help;
		size_t at; /* in struct load */
		double scale;
	} families[] = {
		{ "stoker_worker_load1", "Load average of a worker over the last minute.",
		  offsetof(struct load, load1_milli), 0.001 },
		{ "stoker_worker_memory_available_bytes", "Memory that a worker could give without swapping.",
		  offsetof(struct load, memory_available_bytes), 1 },
		{ "stoker_worker_disk_free_bytes", "Free on the file system of a worker's root folder.",
		  offsetof(struct load, disk_free_bytes), 1 },
	};
	const struct settings *settings = control->settings;

	for (size_t i = 0; i < COUNT_OF(families); i++) {
		metrics_family(out, families[i].name, "gauge", families[i].help);
		for (size_t k = 0; k < settings->workers_count; k++) {
			struct load load;
			int64_t wall_ms, number;

			if (!control_find_load(control, settings->workers[k].name, &load, &wall_ms))
				continue;
			memcpy(&number, (const char *)&load + families[i].at, sizeof number);
			if (number >= 0)
				metrics_sample(out, (double)number * families[i].scale, "worker",
					       settings->workers[k].name, NULL);
		}
	}
}

static int add_workers(struct control *control, struct metrics *out, struct err *err)
{
	int rc;

	metrics_family(out, "stoker_worker_up", "gauge", "1: the worker could be reached when it was tried last.");
	rc = add_of_workers(control, out, 1, 1, true, err);
	if (rc < 0)
		return rc;
	metrics_family(out, "stoker_worker_seen_timestamp_seconds", "gauge", "When a worker was connected last.");
	rc = add_of_workers(control, out, 2, 0.001, false, err);
	if (rc < 0)
		return rc;
	metrics_family(out, "stoker_worker_slots", "gauge", "Slots of a worker; 0: no limit.");
	rc = add_of_workers(control, out, 3, 1, false, err);
	add_loads(control, out);
	return rc;
}

static int add_checkpoints(struct control *control, struct metrics *out, struct err *err)
{
	sqlite3_stmt *stmt = store_statement(control->reader, STMT_web_checkpoint_ages);
	int64_t now_wall_ms = clock_wall_ms();
	int rc;

	metrics_family(out, "stoker_checkpoint_age_seconds", "gauge",
		       "Age of the newest checkpoint of a step that runs.");
	while ((rc = view_next(control->reader, stmt, err)) == 1)
		metrics_sample(out, (double)(now_wall_ms - sqlite3_column_int64(stmt, 2)) / 1000, "dag",
			       view_text(stmt, 0), "step", view_text(stmt, 1), NULL);
	return rc;
}

/* --- DAGs ------------------------------------------------------------------------------------------------- */

static int add_successes(struct control *control, struct metrics *out, struct err *err)
{
	sqlite3_stmt *stmt = store_statement(control->reader, STMT_web_successes);
	int rc;

	metrics_family(out, "stoker_last_success_timestamp_seconds", "gauge",
		       "When the last run of a DAG that succeeded had ended.");
	while ((rc = view_next(control->reader, stmt, err)) == 1)
		if (sqlite3_column_type(stmt, 1) != SQLITE_NULL)
			metrics_sample(out, sqlite3_column_double(stmt, 1) / 1000, "dag", view_text(stmt, 0), NULL);
	return rc;
}

static void add_due(struct control *control, struct metrics *out)
{
	__attribute__((cleanup(arena_fini))) struct arena arena = { 0 };
	struct view_dag_facts *facts;
	size_t count = control_facts(control, &arena, &facts);
	int64_t now_wall_ms = clock_wall_ms();
	struct due next;

	metrics_family(out, "stoker_next_due_timestamp_seconds", "gauge", "When a DAG is due next.");
	for (size_t i = 0; i < count && i < DAGS_MAX; i++)
		if (facts[i].dag != NULL && view_next_due(control->zones, facts[i].dag, now_wall_ms, &next))
			metrics_sample(out, (double)next.at_ms / 1000, "dag", facts[i].name, NULL);
	metrics_family(out, "stoker_dag_valid", "gauge", "0: the file of a DAG has mistakes.");
	for (size_t i = 0; i < count && i < DAGS_MAX; i++)
		metrics_sample(out, facts[i].problem == NULL, "dag", facts[i].name, NULL);
}

static void add_times(const struct control *control, struct metrics *out)
{
	histogram_write(&control->queued, out, "stoker_queue_wait",
			"How long runs waited in the queue until they were taken up.");
	histogram_write(&control->due, out, "stoker_schedule_lag", "How long after its due time a run was made.");
	histogram_write(&control->start, out, "stoker_dispatch_latency",
			"From a task being ready with room for it to its start on a worker.");
}

int control_metrics(void *context, struct metrics *out, struct err *err)
{
	struct control *control = context;

	metrics_family(out, "stoker_build_info", "gauge", "Which stoker this is.");
	metrics_sample(out, 1, "version", PACKAGE_VERSION, NULL);
	if (count_events(control, err) < 0)
		return err->code;
	add_ended(control, out);
	if (add_runs(control, out, err) < 0 || add_tasks(control, out, err) < 0 || add_attempts(control, out, err) < 0 ||
	    add_workers(control, out, err) < 0 || add_checkpoints(control, out, err) < 0 ||
	    add_successes(control, out, err) < 0)
		return err->code;
	add_due(control, out);
	add_times(control, out);
	if (control->desk->metrics != NULL)
		control->desk->metrics(control->desk->context, out);
	return 0;
}
