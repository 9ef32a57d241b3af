#include "scheduler/pool.h"

#include <string.h>

#include "common/mem.h"
#include "scheduler/core.h"

struct pool *pool_use(struct core *core, const char *name)
{
	struct pool *pool;

	for (size_t i = 0; i < core->pools_count; i++)
		if (strcmp(core->pools[i]->name, name) == 0)
			return core->pools[i];
	mem_grow(&core->pools, &core->pools_room, core->pools_count, sizeof(struct pool *));
	pool = arena_alloc(&core->arena, sizeof *pool);
	*pool = (struct pool){ .name = arena_strdup(&core->arena, name) };
	core->pools[core->pools_count++] = pool;
	return pool;
}

int pool_used(const struct core *core, const struct pool *pool)
{
	int used = 0;

	for (size_t i = 0; i < core->workers_count; i++) {
		list_each (at, &core->workers[i]->live) {
			const struct task *task = list_entry(at, struct attempt, live_link)->task;

			used += task->run->classes[task->run->class_of[task->row.step]].pool == pool;
		}
	}
	return used;
}

bool pool_has_slot(const struct core *core, struct pool *pool)
{
	if (pool == NULL)
		return true;
	if (!pool->full)
		pool->full = !pool->known || pool_used(core, pool) + pool->held >= pool->slots;
	return !pool->full;
}
