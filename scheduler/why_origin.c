#include "scheduler/why_origin.h"

#include <string.h>

static bool is_said(const char *text)
{
	return text != NULL && text[0] != '\0';
}

static const struct why_worker *find_worker(const struct why *why, const char *name)
{
	for (size_t i = 0; i < why->workers_count; i++)
		if (strcmp(why->workers[i].name, name) == 0)
			return &why->workers[i];
	return NULL;
}

/* The newest copy older than that one. */
static const struct checkpoint_row *find_older_copy(const struct ledger *ledger, uint32_t seq)
{
	for (size_t i = ledger->count; i > 0; i--)
		if (ledger->rows[i - 1].seq < seq && checkpoint_has_copy(&ledger->rows[i - 1]))
			return &ledger->rows[i - 1];
	return NULL;
}

bool why_origin_ready(const struct why *why, const struct task *task, struct buf *out)
{
	const struct checkpoint_row *row = ledger_newest(&task->ledger), *older;
	const struct why_worker *holder = row == NULL ? NULL : find_worker(why, row->worker);

	if (holder == NULL || checkpoint_has_copy(row) || task->step->checkpoint.resume == DAG_RESUME_NEVER)
		return false;
	if (is_said(holder->trouble)) {
		buf_printf(out,
			   "; it waits for worker %s, which has its newest checkpoint, %s, and cannot be used: %s",
			   holder->name, row->name, holder->trouble);
		older = find_older_copy(&task->ledger, row->seq);
		if (older != NULL)
			buf_printf(out, "; if that lasts it goes on elsewhere, from the copy of %s",
				   older->name);
		return true;
	}
	if (is_said(holder->drained_by))
		buf_printf(out, "; it waits for its newest checkpoint, %s, which is fetched from worker %s, which is"
				" being emptied (by %s)",
			   row->name, holder->name, holder->drained_by);
	else if (holder->aside_wall_ms > why->wall_ms)
		buf_printf(out, "; it waits for its newest checkpoint, %s, which is fetched from worker %s, which is"
				" set aside: %s",
			   row->name, holder->name, holder->aside);
	else
		return false;
	return true;
}

bool why_origin_starting(const struct task *task, struct buf *out)
{
	const struct checkpoint_row *brought =
		task->step->checkpoint.resume == DAG_RESUME_NEVER
			? NULL
			: ledger_brought(&task->ledger, task->live->row.worker);

	if (brought == NULL)
		return false;
	buf_printf(out, "; it waits for its checkpoint %s, copied from worker %s, which is brought there",
		   brought->name, brought->worker);
	return true;
}
