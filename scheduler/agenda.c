#include "scheduler/agenda.h"

#include <stdlib.h>

#include "common/mem.h"

int agenda_add(struct agenda *agenda, const char *dag, const struct dag_schedule *definition, const struct zone *zone,
	       int64_t after_wall_ms, struct err *err)
{
	struct agenda_line line = { .zone = zone };
	int rc = due_schedule_init(&line.schedule, dag, definition, zone, err);

	if (rc < 0)
		return rc;
	line.over = !due_next(&line.schedule, after_wall_ms, &line.due);
	line.cron = mem_strdup(definition->cron);
	mem_grow(&agenda->lines, &agenda->room, agenda->count, sizeof *agenda->lines);
	agenda->lines[agenda->count++] = line;
	return 0;
}

void agenda_add_dag(struct agenda *agenda, const struct dag *dag, struct zones *zones, int64_t after_wall_ms)
{
	const struct zone *zone;

	for (size_t i = 0; i < dag->schedules_count; i++)
		if (zones_find(zones, dag->schedules[i].timezone, &zone, NULL) == 0)
			agenda_add(agenda, dag->name, &dag->schedules[i], zone, after_wall_ms, NULL);
}

void agenda_fini(struct agenda *agenda)
{
	for (size_t i = 0; i < agenda->count; i++)
		free(agenda->lines[i].cron);
	free(agenda->lines);
}

struct agenda_line *agenda_earliest(const struct agenda *agenda)
{
	struct agenda_line *best = NULL;

	for (size_t i = 0; i < agenda->count; i++) {
		struct agenda_line *line = &agenda->lines[i];

		if (!line->over && (best == NULL || line->due.at_ms < best->due.at_ms))
			best = line;
	}
	return best;
}

void agenda_step(struct agenda_line *line)
{
	line->over = !due_next(&line->schedule, line->due.at_ms, &line->due);
}
