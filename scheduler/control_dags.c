/*
 * control_dags.c - what the daemon knows of DAGs beside the database: their files
 */
#include <string.h>

#include "scheduler/control_parts.h"

/* By the file's name, as long as no version of it is good. */
static const char *name_of(const struct registry_file *file, struct arena *arena)
{
	const char *slash = strrchr(file->path, '/'), *name = slash == NULL ? file->path : slash + 1;
	const char *dot = strrchr(name, '.');

	if (file->good != NULL)
		return file->good->dag->name;
	return dot == NULL ? name : arena_strndup(arena, name, (size_t)(dot - name));
}

static void take_facts(const struct registry_file *file, const char *name, struct view_dag_facts *out)
{
	*out = (struct view_dag_facts){ .name = name, .path = file->path, .problem = file->error };
	if (file->good != NULL)
		out->dag = file->good->dag;
}

size_t control_facts(const struct control *control, struct arena *arena, struct view_dag_facts **out)
{
	size_t count = 0;
	const struct registry_file *files =
		control->registry == NULL ? NULL : registry_files(control->registry, &count);

	*out = arena_alloc(arena, (count + 1) * sizeof **out);
	for (size_t i = 0; i < count; i++)
		take_facts(&files[i], name_of(&files[i], arena), &(*out)[i]);
	return view_dag_facts_sort(*out, count);
}
