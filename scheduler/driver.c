#include "scheduler/driver.h"

#include <assert.h>

static bool is_order(const struct action *action)
{
	return (int)action->kind >= (int)ORDER_CLAIM;
}

static void hand_out(struct driver *driver)
{
	struct actions *batch = &driver->batches[driver->gathering];

	if (driver->writing || batch->count == 0)
		return;
	driver->urgent = false;
	driver->writing = true;
	driver->gathering = 1 - driver->gathering;
	driver->ends->write(driver->context, batch);
}

static void hand_out_or_linger(struct driver *driver)
{
	if (driver->urgent || driver->ends->linger == NULL)
		hand_out(driver);
	else if (!driver->writing && driver->batches[driver->gathering].count > 0)
		driver->ends->linger(driver->context);
}

void driver_init(struct driver *driver, struct core *core, const struct driver_ends *ends, void *context)
{
	*driver = (struct driver){ .core = core, .ends = ends, .context = context };
	actions_init(&driver->batches[0]);
	actions_init(&driver->batches[1]);
}

void driver_fini(struct driver *driver)
{
	actions_fini(&driver->batches[0]);
	actions_fini(&driver->batches[1]);
}

void driver_event(struct driver *driver, const struct event *event)
{
	struct actions *batch = &driver->batches[driver->gathering];
	size_t before = batch->count;

	core_step(driver->core, event, batch);
	for (size_t i = before; i < batch->count; i++) {
		if (is_order(&batch->items[i]))
			driver->urgent = true;
		else if (driver->ends->decided != NULL)
			driver->ends->decided(driver->context, &batch->items[i]);
	}
	hand_out_or_linger(driver);
}

void driver_flush(struct driver *driver)
{
	hand_out(driver);
}

struct action *driver_add(struct driver *driver, enum action_kind kind)
{
	return actions_add(&driver->batches[driver->gathering], kind);
}

void driver_written(struct driver *driver)
{
	struct actions *batch = &driver->batches[1 - driver->gathering];

	assert(driver->writing);
	for (size_t i = 0; i < batch->count; i++)
		if (is_order(&batch->items[i]))
			driver->ends->carry_out(driver->context, &batch->items[i]);
	actions_clear(batch);
	driver->writing = false;
	hand_out_or_linger(driver);
}

bool driver_has_saves(const struct actions *batch)
{
	for (size_t i = 0; i < batch->count; i++)
		if (!is_order(&batch->items[i]))
			return true;
	return false;
}

int driver_batches(const struct driver *driver)
{
	return driver->writing + (driver->batches[driver->gathering].count > 0);
}

bool driver_is_idle(const struct driver *driver)
{
	return driver_batches(driver) == 0;
}
