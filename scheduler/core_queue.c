#include "scheduler/core_parts.h"

#include "common/mem.h"
#include "scheduler/placement.h"
#include "scheduler/urgency.h"

/* More urgent; then what was begun before, of which there are few; then what has been ready for longer. */
static bool goes_before(const struct candidate *a, const struct candidate *b)
{
	if (a->urgency != b->urgency)
		return a->urgency > b->urgency;
	if ((a->class == NULL) != (b->class == NULL))
		return a->class == NULL;
	if (a->task->ready_ms != b->task->ready_ms)
		return a->task->ready_ms < b->task->ready_ms;
	return a->task->ready_seq < b->task->ready_seq;
}

int64_t core_waited_ms(const struct core *core, const struct task *task, const struct ready_class *class)
{
	int64_t since_ms = task->ready_ms;

	if (class != NULL && class->started_ms > since_ms)
		since_ms = class->started_ms;
	return core->now_ms - since_ms;
}

/*
 * What its run has no place for is not looked at, unless it goes before all others: then it keeps what it
 * can get (core_start.c).
 */
static void offer(struct core *core, struct task *task, struct ready_class *class, bool has_place)
{
	if (has_place || core_waited_ms(core, task, class) >= URGENCY_FIRST_MS)
		core_queue_put(core, task, class);
}

static void offer_run(struct core *core, struct run *run)
{
	bool has_place = placement_run_has_slot(run);

	list_each (at, &run->bound)
		offer(core, list_entry(at, struct task, link), NULL, has_place);
	for (size_t i = 0; i < run->classes_count; i++) {
		struct ready_class *class = &run->classes[i];

		if (!list_empty(&class->ready))
			offer(core, list_entry(class->ready.next, struct task, link), class, has_place);
	}
}

void core_queue_put(struct core *core, struct task *task, struct ready_class *class)
{
	struct candidate new = {
		.task = task,
		.class = class,
		.urgency = urgency_of(task->run->dag->priority, core_waited_ms(core, task, class)),
	};
	size_t at = core->queue_count;

	mem_grow(&core->queue, &core->queue_room, core->queue_count, sizeof *core->queue);
	core->queue_count++;
	for (; at > 0 && goes_before(&new, &core->queue[(at - 1) / 2]); at = (at - 1) / 2)
		core->queue[at] = core->queue[(at - 1) / 2];
	core->queue[at] = new;
}

void core_queue_fill(struct core *core)
{
	core->queue_count = 0;
	for (size_t i = 0; i < core->runs_count; i++)
		if (!core->runs[i]->ended)
			offer_run(core, core->runs[i]);
}

bool core_queue_take(struct core *core, struct candidate *out)
{
	struct candidate last;
	size_t at = 0;

	if (core->queue_count == 0)
		return false;
	*out = core->queue[0];
	last = core->queue[--core->queue_count];
	for (;;) {
		size_t child = 2 * at + 1;

		if (child >= core->queue_count)
			break;
		if (child + 1 < core->queue_count &&
		    goes_before(&core->queue[child + 1], &core->queue[child]))
			child++;
		if (!goes_before(&core->queue[child], &last))
			break;
		core->queue[at] = core->queue[child];
		at = child;
	}
	core->queue[at] = last;
	return true;
}
