/*
 * run_rows.c - a struct run made for a DAG, before the core takes it
 */
#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "common/mem.h"
#include "scheduler/core.h"

static bool texts_equal(const char *a, const char *b)
{
	return a == b || (a != NULL && b != NULL && strcmp(a, b) == 0);
}

static bool is_absolute(const char *path)
{
	return path != NULL && path[0] == '/';
}

/* True when two steps ask for the same placement, so that one fits exactly when the other does. */
static bool asks_alike(const struct dag_step *a, const struct dag_step *b)
{
	return a->resources.cpus_milli == b->resources.cpus_milli &&
	       a->resources.memory_bytes == b->resources.memory_bytes &&
	       a->resources.gpus == b->resources.gpus && texts_equal(a->worker, b->worker) &&
	       is_absolute(a->workdir) == is_absolute(b->workdir) &&
	       texts_equal(a->pool, b->pool);
}

/* Most DAGs have a handful of classes; a DAG with very many pays a scan for each step, once. */
static void classify(struct run *run)
{
	size_t room = 0;

	run->class_of = mem_array(run->dag->steps_count, sizeof *run->class_of);
	for (size_t i = 0; i < run->dag->steps_count; i++) {
		const struct dag_step *step = &run->dag->steps[i];
		size_t class = 0;

		while (class < run->classes_count && !asks_alike(run->classes[class].like, step))
			class++;
		if (class == run->classes_count) {
			mem_grow(&run->classes, &room, run->classes_count, sizeof *run->classes);
			run->classes[run->classes_count++].like = step;
		}
		run->class_of[i] = (uint32_t)class;
	}
	for (size_t i = 0; i < run->classes_count; i++) {
		list_init(&run->classes[i].ready);
		run->classes[i].pool = NULL; /* The core knows them. */
		run->classes[i].started_ms = INT64_MIN;
	}
}

struct run *run_new(struct dag *dag, const struct run_row *row)
{
	struct run *run = mem_zalloc(sizeof *run);

	run->row = *row;
	run->dag = dag;
	run->unfinished = dag->steps_count;
	list_init(&run->bound);
	list_init(&run->retrying);
	list_init(&run->open);
	list_init(&run->copies);
	classify(run);
	for (size_t i = 0; i < dag->steps_count; i++) {
		int64_t lease_ms = dag->steps[i].move_after_ms;

		if (lease_ms > 0 && (run->lease_ms == 0 || lease_ms < run->lease_ms))
			run->lease_ms = lease_ms;
	}
	run->tasks = mem_array(dag->steps_count, sizeof *run->tasks);
	for (size_t i = 0; i < dag->steps_count; i++) {
		struct task *task = &run->tasks[i];

		task->run = run;
		task->step = &dag->steps[i];
		task->unmet = task->step->needs_count;
		task->not_before_ms = task->ready_ms = -1;
		list_init(&task->link);
		list_init(&task->copy_link);
		task->row = (struct task_row){
			.run = row->id,
			.step = (uint32_t)i,
			.state = TASK_WAITING,
			.first_attempt = 1,
			.best_step = -1,
			.message = "",
		};
	}
	return run;
}

struct attempt *run_add_live(struct run *run, const struct attempt_row *row)
{
	struct attempt *attempt = mem_zalloc(sizeof *attempt);
	struct task *task = &run->tasks[row->id.task];

	assert(task->live == NULL);
	attempt->row = *row;
	attempt->task = task;
	attempt->began_step = -1;
	list_init(&attempt->live_link);
	list_init(&attempt->open_link);
	list_append(&run->open, &attempt->open_link);
	task->live = attempt;
	return attempt;
}

void run_add_past_worker(struct run *run, const char *name, uint32_t step)
{
	struct past_worker *past = arena_alloc(&run->arena, sizeof *past);

	*past = (struct past_worker){
		.name = arena_strdup(&run->arena, name), .step = step, .next = run->past_workers
	};
	run->past_workers = past;
}

void task_add_output(struct task *task, const char *key, const char *value)
{
	struct arena *arena = &task->run->arena;

	if ((task->outputs_count & (task->outputs_count + 1)) == 0) { /* room for 1, 3, 7, 15 ... is used up */
		struct output *wider = arena_alloc(arena, (task->outputs_count * 2 + 1) * sizeof *wider);

		if (task->outputs_count > 0)
			memcpy(wider, task->outputs, task->outputs_count * sizeof *wider);
		task->outputs = wider;
	}
	task->outputs[task->outputs_count++] = (struct output){ arena_strdup(arena, key),
								arena_strdup(arena, value) };
}

void task_set_left(struct task *task, const struct artifact_row *row)
{
	struct arena *arena = &task->run->arena;

	task->left = *row;
	task->left.digest = arena_strdup(arena, row->digest);
	task->left.worker = arena_strdup(arena, row->worker);
	task->run->leaves_artifacts = true;
}

void run_free(struct run *run)
{
	if (run == NULL)
		return;
	while (!list_empty(&run->open)) {
		struct attempt *attempt = list_entry(run->open.next, struct attempt, open_link);

		list_remove(&attempt->open_link);
		list_remove(&attempt->live_link);
		free(attempt);
	}
	for (size_t i = 0; i < run->dag->steps_count; i++) {
		ledger_fini(&run->tasks[i].ledger);
		free(run->tasks[i].metric);
	}
	free(run->tasks);
	free(run->classes);
	free(run->class_of);
	dag_free(run->dag);
	arena_fini(&run->arena);
	free(run);
}
