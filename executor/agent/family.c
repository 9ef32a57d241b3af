#include "executor/agent/family.h"

#include <stdio.h>
#include <unistd.h>

#include "executor/agent/place.h"

static void mark_strays(struct process_list *list, const char *cookie)
{
	char assignment[PLACE_NAME_BYTES + 32];

	snprintf(assignment, sizeof assignment, "STOKER_ATTEMPT_ID=%s", cookie);
	for (size_t i = 0; i < list->count; i++)
		if (!list->items[i].marked && process_has_variable(list->items[i].pid, assignment))
			list->items[i].marked = true;
}

/*
 * A session keeps its number from being used again for as long as it has members. So if the number's owner is
 * now another process, the session is gone; and if nobody has it, its members are the attempt's, provided
 * that one of them has its cookie or is in its step's group. Without such a witness nobody is touched. Who made
 * it mostly ended at once, and is one while it lives.
 */
static void mark_session(struct process_list *list, const struct family *family)
{
	bool witness = false;

	for (size_t i = 0; i < list->count; i++) {
		const struct process *process = &list->items[i];

		if (process->pid == family->session) {
			if (process->start_ticks != family->session_ticks)
				return;
			witness = true;
		}
		if (process->session == family->session &&
		    (process->marked || (family->group > 0 && process->group == family->group)))
			witness = true;
	}
	for (size_t i = 0; witness && i < list->count; i++)
		if (list->items[i].session == family->session)
			list->items[i].marked = true;
}

void family_find(const struct family *family, struct process_list *found)
{
	pid_t self = getpid();

	process_scan(found);
	if (family->cookie != NULL)
		mark_strays(found, family->cookie);
	if (family->session > 0)
		mark_session(found, family);
	process_mark_offspring(found, family->root > 0 ? family->root : -1, family->except,
			       family->except_count);
	for (size_t i = 0; i < found->count; i++)
		if (found->items[i].pid == self)
			found->items[i].marked = false;
	process_keep_marked(found);
}

size_t family_signal(const struct process_list *found, int sig)
{
	size_t reached = 0;

	for (size_t i = 0; i < found->count; i++)
		reached += process_signal(found->items[i].pid, found->items[i].start_ticks, sig);
	return reached;
}
