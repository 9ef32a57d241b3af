#include "scheduler/backfill.h"

#include <stdlib.h>

#include "common/mem.h"

static int init_schedules(struct backfill *backfill, struct zones *zones, const char *from, const char *to,
			  struct err *err)
{
	const struct dag *dag = backfill->dag;

	for (size_t i = 0; i < dag->schedules_count; i++) {
		struct due_schedule *schedule = &backfill->schedules[i];
		const struct zone *zone;

		if (zones_find(zones, dag->schedules[i].timezone, &zone, err) < 0 ||
		    due_schedule_init(schedule, dag->name, &dag->schedules[i], zone, err) < 0 ||
		    due_schedule_narrow(schedule, from, to, err) < 0)
			return err->code;
	}
	return 0;
}

int backfill_init(struct backfill *backfill, const struct dag *dag, struct zones *zones, const char *from,
		  const char *to, int64_t until_ms, struct err *err)
{
	int rc;

	if (dag->schedules_count == 0)
		return err_set(err, ERR_NOT_FOUND, "%s has no schedule, so there is nothing to make up for",
			       dag->name);
	*backfill = (struct backfill){ .dag = dag, .until_ms = until_ms };
	backfill->schedules = mem_array(dag->schedules_count, sizeof *backfill->schedules);
	rc = init_schedules(backfill, zones, from, to, err);
	if (rc < 0)
		backfill_fini(backfill);
	return rc;
}

void backfill_fini(struct backfill *backfill)
{
	free(backfill->schedules);
	backfill->schedules = NULL;
}

bool backfill_next(const struct backfill *backfill, int64_t after_ms, struct due *due_out,
		   size_t *schedule_out)
{
	struct due due;
	bool found = false;

	for (size_t i = 0; i < backfill->dag->schedules_count; i++) {
		if (!due_next(&backfill->schedules[i], after_ms, &due) || due.at_ms > backfill->until_ms ||
		    (found && due.at_ms >= due_out->at_ms))
			continue;
		*due_out = due;
		*schedule_out = i;
		found = true;
	}
	return found;
}
