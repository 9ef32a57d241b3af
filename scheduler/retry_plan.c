#include "scheduler/retry_plan.h"

#include "common/mem.h"
#include "common/scope.h"

static json_t *task_plan(const struct task *task, bool selected)
{
	bool anew = task->row.state == TASK_SUCCEEDED;
	const struct checkpoint_row *from = anew || task->step->checkpoint.resume == DAG_RESUME_NEVER
						    ? NULL
						    : ledger_newest(&task->ledger);

	if (!selected)
		return json_pack("{s:s, s:s, s:s, s:n}", "task", task->step->name, "state",
				 task_states[task->row.state].name, "does", "keep", "from_checkpoint");
	return json_pack("{s:s, s:s, s:s, s:s?}", "task", task->step->name, "state",
			 task_states[task->row.state].name, "does", from == NULL ? "run" : "resume",
			 "from_checkpoint", from == NULL ? NULL : from->name);
}

json_t *retry_plan(const struct run *run, int from_step)
{
	autofree bool *selected = mem_array(run->dag->steps_count, sizeof *selected);
	json_t *tasks = json_array();

	core_select_retry(run, from_step, selected);
	for (size_t i = 0; i < run->dag->steps_count; i++)
		json_array_append_new(tasks, task_plan(&run->tasks[i], selected[i]));
	return tasks;
}
