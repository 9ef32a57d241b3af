/*
 * view_why.c - gathers what why.c needs to know, and answers as JSON
 */
#include <inttypes.h>
#include <string.h>
#include <unistd.h>

#include "common/clock.h"
#include "common/scope.h"
#include "scheduler/owner.h"
#include "scheduler/paths.h"
#include "scheduler/tail.h"
#include "scheduler/view.h"
#include "scheduler/view_limits.h"
#include "scheduler/view_rows.h"
#include "scheduler/why.h"

static void scope_run_free(struct run **run)
{
	run_free(*run);
}

static const char *read_canceled_by(struct store *store, uint64_t run, struct arena *arena)
{
	sqlite3_stmt *stmt = store_statement(store, STMT_view_last_event);
	const char *who = NULL;

	sqlite3_bind_int64(stmt, 1, (int64_t)run);
	sqlite3_bind_text(stmt, 2, "run.cancel_requested", -1, SQLITE_STATIC);
	if (view_next(store, stmt, NULL) == 1) {
		who = arena_printf(arena, "%s (%s)", view_text(stmt, 1), view_text(stmt, 2));
		sqlite3_reset(stmt);
	}
	return who;
}

/* What the workers offer, as they said when they were last connected. */
static size_t read_workers(struct store *store, struct why_worker *out, struct arena *arena)
{
	sqlite3_stmt *stmt = store_statement(store, STMT_view_workers);
	size_t count = 0;

	while (view_next(store, stmt, NULL) == 1 && count < CORE_WORKERS_MAX)
		out[count++] = (struct why_worker){
			.name = arena_strdup(arena, view_text(stmt, 0)),
			.cpus_milli = sqlite3_column_int64(stmt, 1),
			.memory_bytes = sqlite3_column_int64(stmt, 2),
			.devices = (int)sqlite3_column_int64(stmt, 3),
			.labels = arena_strdup(arena, view_text(stmt, 4)),
			.trouble = arena_strdup(arena, view_text(stmt, 5)),
			.trouble_wall_ms = sqlite3_column_int64(stmt, 6),
			.aside = arena_strdup(arena, view_text(stmt, 7)),
			.aside_wall_ms = sqlite3_column_int64(stmt, 8),
			.drained_by = arena_strdup(arena, view_text(stmt, 9)),
			.slots = sqlite3_column_int(stmt, 14),
		};
	if (stmt != NULL)
		sqlite3_reset(stmt);
	return count;
}

static const bool *find_fetched(const struct store *store, const struct run *run, struct arena *arena)
{
	bool *fetched;

	if (!run->leaves_artifacts || store->home == NULL)
		return NULL;
	fetched = arena_alloc(arena, run->dag->steps_count * sizeof *fetched);
	for (size_t i = 0; i < run->dag->steps_count; i++) {
		const char *digest = run->tasks[i].left.digest;

		fetched[i] = digest != NULL && access(paths_fetched(arena, store->home, digest), F_OK) == 0;
	}
	return fetched;
}

static const char *read_last_line(const struct store *store, const struct run *run, const struct task *task,
				  struct arena *arena)
{
	const struct task *about = why_log_task(run, task);

	if (about == NULL || store->home == NULL)
		return NULL;
	return tail_last_line(paths_log(arena, store->home, run->row.dag, run->row.number, about->step->name,
					about->row.attempts),
			      arena);
}

static json_t *answer_object(const struct why *why, const struct task *task, struct arena *arena)
{
	const struct run *run = why->run;
	const char *next = why_next(run, why->orphaned, arena);
	json_t *answer = json_object();

	view_set_text(answer, "run", arena_printf(arena, "%s/%" PRIu64, run->row.dag, run->row.number));
	json_object_set_new(answer, "task", task == NULL ? json_null() : view_string(task->step->name));
	view_set_text(answer, "state",
		      task == NULL ? run_states[run->row.state].name : task_states[task->row.state].name);
	view_set_word(answer, "reason", reason_names[task == NULL ? run->row.reason : task->row.reason]);
	json_object_set_new(answer, "orphaned", json_boolean(why->orphaned));
	view_set_text(answer, "why", task == NULL ? why_run(why, arena) : why_task(why, task, arena));
	json_object_set_new(answer, "next", view_string_or_null(next));
	return answer;
}

/* Of a run that is queued: what keeps it from being taken up. */
static void read_turn(struct store *store, uint64_t id, struct why *why, struct arena *arena)
{
	sqlite3_stmt *stmt = store_statement(store, STMT_dag_going_on);

	why->waits_for = view_limits_waits_for(store, id, arena);
	sqlite3_bind_int64(stmt, 1, (int64_t)id);
	if (view_next(store, stmt, NULL) == 1) {
		why->going_on = arena_printf(arena, "%s/%lld", why->run->row.dag,
					     (long long)sqlite3_column_int64(stmt, 0));
		why->going_on_count = (size_t)sqlite3_column_int64(stmt, 1);
	}
	sqlite3_reset(stmt);
	stmt = store_statement(store, STMT_dag_queued_before);
	sqlite3_bind_int64(stmt, 1, (int64_t)id);
	if (view_next(store, stmt, NULL) == 1)
		why->queued_before = (size_t)sqlite3_column_int64(stmt, 0);
	sqlite3_reset(stmt);
}

int view_why(struct store *store, uint64_t id, int step, json_t **out, struct err *err)
{
	__attribute__((cleanup(arena_fini))) struct arena arena = { 0 };
	__attribute__((cleanup(scope_run_free))) struct run *run = NULL;
	struct why_worker workers[CORE_WORKERS_MAX];
	const struct task *task;
	struct why why = { .wall_ms = clock_wall_ms(), .workers = workers };
	int rc = store_load_run(store, id, &run, err);

	if (rc < 0)
		return rc;
	if (step >= 0 && (size_t)step >= run->dag->steps_count)
		return err_set(err, ERR_NOT_FOUND, "the run has no task %d", step);
	task = step < 0 ? NULL : &run->tasks[step];
	why.run = run;
	why.orphaned = store->home != NULL && !machine_ended(run_states, run->row.state) &&
		       !owner_is_alive(store->home, run->row.dag, run->row.number, NULL);
	why.workers_count = read_workers(store, workers, &arena);
	if (!machine_ended(run_states, run->row.state) && view_limits_read(store, &arena, &why, err) < 0)
		return err->code;
	if (run->row.state == RUN_QUEUED)
		read_turn(store, id, &why, &arena);
	if (run->row.cancel_wall_ms > 0 || run->row.state == RUN_CANCELED)
		why.canceled_by = read_canceled_by(store, id, &arena);
	why.fetched = find_fetched(store, run, &arena);
	why.last_line = read_last_line(store, run, task, &arena);
	*out = answer_object(&why, task, &arena);
	return 0;
}
