#include "scheduler/core_parts.h"

#include "scheduler/notice.h"
#include "scheduler/why.h"

static unsigned event_of(enum run_state state)
{
	switch (state) {
	case RUN_SUCCEEDED:
		return DAG_ON_SUCCEEDED;
	case RUN_FAILED:
		return DAG_ON_FAILED;
	default:
		return DAG_ON_CANCELED;
	}
}

/* Its texts must outlive the batch: what is not the run's own is the actions'. */
static const struct notice *describe(const struct core *core, const struct run *run, struct arena *arena)
{
	struct notice *notice = arena_alloc(arena, sizeof *notice);
	struct why why = { .run = run, .wall_ms = core->wall_ms };
	const struct task *failed = why_log_task(run, NULL);

	*notice = (struct notice){
		.event = event_of(run->row.state),
		.dag = run->row.dag,
		.run = run->row.id,
		.number = run->row.number,
		.state = run_states[run->row.state].name,
		.trigger = run->row.trigger,
		.actor = run->row.actor,
		.why = why_run(&why, arena),
		.page = core->notices == NULL || core->notices->page == NULL
				? NULL
				: arena_strdup(arena, core->notices->page),
		.at_wall_ms = core->wall_ms,
		.due_wall_ms = run->row.scheduled_for_wall_ms,
		.started_wall_ms = run->row.started_wall_ms,
		.ended_wall_ms = run->row.ended_wall_ms,
	};
	if (failed != NULL && run->row.state == RUN_FAILED) {
		notice->task = failed->step->name;
		notice->attempt = failed->row.attempts;
	}
	return notice;
}

void core_notify(const struct core *core, const struct run *run, struct actions *out)
{
	unsigned events = event_of(run->row.state);
	const struct notice *notice;
	struct notice_list list;

	/* Whether a success is a recovery is known to the store alone. */
	if (events == DAG_ON_SUCCEEDED)
		events |= DAG_ON_RECOVERED;
	notice_list(core->notices, run->dag, events, &out->arena, &list);
	if (list.count == 0)
		return;
	notice = describe(core, run, &out->arena);
	for (size_t i = 0; i < list.count; i++) {
		struct action *action = actions_add(out, SAVE_NOTICE);

		action->id = core_whole_run(run);
		action->notice.notice = notice;
		action->notice.receiver = list.receivers[i];
		action->notice.on = list.on[i];
	}
}
