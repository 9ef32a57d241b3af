/*
 * control_dags.c - what the daemon knows of DAGs beside the database: their files, and when they are due
 */
#include <stdlib.h>
#include <string.h>

#include "common/mem.h"
#include "common/scope.h"
#include "scheduler/control_parts.h"
#include "scheduler/due.h"
#include "scheduler/instant.h"
#include "scheduler/view.h"
#include "scheduler/view_rows.h"

enum { COMING_MAX = 100, SCHEDULES_MAX = 100 };

/* A schedule of a DAG in force, and its next due time. */
struct line {
	const struct dag_schedule *definition;
	const struct zone *zone;
	struct due_schedule schedule;
	struct due due;
	bool over;
};

/* A zone that cannot be read now has no due times; the daemon says so elsewhere. */
static void start_line(const struct control *control, struct line *line, const struct dag *dag,
		       int64_t now_wall_ms)
{
	int rc = zones_find(control->zones, line->definition->timezone, &line->zone, NULL);

	line->over = rc < 0 ||
		     due_schedule_init(&line->schedule, dag->name, line->definition, line->zone, NULL) < 0 ||
		     !due_next(&line->schedule, now_wall_ms, &line->due);
}

static struct line *open_lines(const struct control *control, const struct dag *dag, int64_t now_wall_ms,
			       size_t *count_out)
{
	size_t count = dag->schedules_count < SCHEDULES_MAX ? dag->schedules_count : SCHEDULES_MAX;
	struct line *lines = mem_array(count + 1, sizeof *lines);

	for (size_t i = 0; i < count; i++) {
		lines[i].definition = &dag->schedules[i];
		start_line(control, &lines[i], dag, now_wall_ms);
	}
	*count_out = count;
	return lines;
}

static struct line *earliest(struct line *lines, size_t count)
{
	struct line *best = NULL;

	for (size_t i = 0; i < count; i++)
		if (!lines[i].over && (best == NULL || lines[i].due.at_ms < best->due.at_ms))
			best = &lines[i];
	return best;
}

static int64_t next_due(const struct control *control, const struct dag *dag, int64_t now_wall_ms)
{
	size_t count;
	struct line *lines, *line;
	int64_t at_ms;

	if (dag == NULL || dag->schedules_count == 0)
		return 0;
	lines = open_lines(control, dag, now_wall_ms, &count);
	line = earliest(lines, count);
	at_ms = line == NULL ? 0 : line->due.at_ms;
	free(lines);
	return at_ms;
}

/* --- facts ------------------------------------------------------------------------------------------------ */

/* By the file's name, as long as no version of it is good. */
static const char *name_of(const struct registry_file *file, struct arena *arena)
{
	const char *slash = strrchr(file->path, '/'), *name = slash == NULL ? file->path : slash + 1;
	const char *dot = strrchr(name, '.');

	if (file->good != NULL)
		return file->good->dag->name;
	return dot == NULL ? name : arena_strndup(arena, name, (size_t)(dot - name));
}

static void take_facts(const struct control *control, const struct registry_file *file, const char *name,
		       int64_t now_wall_ms, struct view_dag_facts *out)
{
	*out = (struct view_dag_facts){ .name = name, .path = file->path, .problem = file->error };
	if (file->good != NULL)
		out->dag = file->good->dag;
	out->next_due_wall_ms = next_due(control, out->dag, now_wall_ms);
}

static int by_name(const void *a, const void *b)
{
	return strcmp(((const struct view_dag_facts *)a)->name, ((const struct view_dag_facts *)b)->name);
}

/* Of two files by one name the one whose DAG is in force stands for it. */
static size_t drop_doubles(struct view_dag_facts *facts, size_t count)
{
	size_t kept = 0;

	for (size_t i = 0; i < count; i++) {
		if (kept == 0 || strcmp(facts[kept - 1].name, facts[i].name) != 0)
			facts[kept++] = facts[i];
		else if (facts[kept - 1].dag == NULL)
			facts[kept - 1] = facts[i];
	}
	return kept;
}

size_t control_facts(const struct control *control, int64_t now_wall_ms, struct arena *arena,
		     struct view_dag_facts **out)
{
	size_t count = 0;
	const struct registry_file *files =
		control->registry == NULL ? NULL : registry_files(control->registry, &count);

	*out = arena_alloc(arena, (count + 1) * sizeof **out);
	for (size_t i = 0; i < count; i++)
		take_facts(control, &files[i], name_of(&files[i], arena), now_wall_ms, &(*out)[i]);
	qsort(*out, count, sizeof **out, by_name);
	return drop_doubles(*out, count);
}

bool control_facts_of(const struct control *control, const char *dag, int64_t now_wall_ms, struct view_dag_facts *out)
{
	__attribute__((cleanup(arena_fini))) struct arena arena = { 0 };
	size_t count = 0;
	const struct registry_file *files =
		control->registry == NULL ? NULL : registry_files(control->registry, &count);
	bool found = false;

	for (size_t i = 0; i < count && (!found || out->dag == NULL); i++)
		if (strcmp(name_of(&files[i], &arena), dag) == 0) {
			take_facts(control, &files[i], dag, now_wall_ms, out);
			found = true;
		}
	return found;
}

/* --- what comes ------------------------------------------------------------------------------------------- */

static json_t *coming_object(const struct line *line)
{
	char label[INSTANT_LABEL_BYTES];
	json_t *object = json_object();
	const char *mark = due_mark_name(line->due.mark);

	view_set_text(object, "cron", line->definition->cron);
	view_set_text(object, "timezone", zone_name(line->zone));
	view_set_time(object, "due", line->due.at_ms);
	view_set_text(object, "nominal", instant_label(line->due.nominal_local_s, label));
	view_set_word(object, "mark", mark == NULL ? "" : mark);
	return object;
}

json_t *control_coming(const struct control *control, const char *dag, int64_t now_wall_ms, int limit)
{
	struct registry_dag *held = control->registry == NULL ? NULL : registry_find(control->registry, dag);
	json_t *list = json_array();
	struct line *lines, *line;
	size_t count;

	if (held == NULL)
		return list;
	lines = open_lines(control, held->dag, now_wall_ms, &count);
	for (int n = 0; n < limit && n < COMING_MAX && (line = earliest(lines, count)) != NULL; n++) {
		json_array_append_new(list, coming_object(line));
		line->over = !due_next(&line->schedule, line->due.at_ms, &line->due);
	}
	free(lines);
	return list;
}
