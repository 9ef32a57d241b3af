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
static const struct notice *describe(const struct notice_terms *terms, const struct run *run, int64_t wall_ms,
				     struct arena *arena)
{
	struct notice *notice = arena_alloc(arena, sizeof *notice);
	struct why why = { .run = run, .wall_ms = wall_ms };
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
		.page = terms == NULL ? NULL : arena_strdup_if(arena, terms->page),
		.at_wall_ms = wall_ms,
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

void core_notify_end(const struct notice_terms *terms, const struct run *run, int64_t wall_ms, struct actions *out)
{
	unsigned events = event_of(run->row.state);
	const struct notice *notice;
	struct notice_list list;

	/* Whether a success is a recovery is known to the store alone. */
	if (events == DAG_ON_SUCCEEDED)
		events |= DAG_ON_RECOVERED;
	notice_list(terms, run->dag, events, &out->arena, &list);
	if (list.count == 0)
		return;
	notice = describe(terms, run, wall_ms, &out->arena);
	for (size_t i = 0; i < list.count; i++) {
		struct action *action = actions_add(out, SAVE_NOTICE);

		action->id = core_whole_run(run);
		action->notice.notice = notice;
		action->notice.receiver = list.receivers[i];
		action->notice.on = list.on[i];
	}
}

void core_notify(const struct core *core, const struct run *run, struct actions *out)
{
	core_notify_end(core->notices, run, core->wall_ms, out);
}
