#include "scheduler/explain.h"

#include <string.h>

#include "common/clock.h"

static const char *with_text(const char *what, const struct record_exit *exit, struct arena *arena)
{
	if (exit->text == NULL || exit->text[0] == '\0')
		return what;
	return arena_printf(arena, "%s: %s", what, exit->text);
}

static const char *explain_signal(const struct record_exit *exit, struct arena *arena)
{
	const char *name = sigabbrev_np(exit->signal);

	return arena_printf(arena, "killed by signal %d (SIG%s)", exit->signal, name == NULL ? "?" : name);
}

static const char *explain_stop(const struct record_exit *exit, const struct dag_step *step,
				struct arena *arena)
{
	char span[CLOCK_SPAN_BYTES];

	switch (exit->reason) {
	case REASON_TIMEOUT:
		return arena_printf(arena, "stopped after its timeout of %s",
				    clock_span(step->timeout_ms, span));
	case REASON_STALLED:
		return arena_printf(arena, "stopped after %s without output, checkpoint or metric",
				    clock_span(step->stall_ms, span));
	case REASON_CANCELED:
		return "canceled";
	case REASON_LEASE_EXPIRED:
		return arena_printf(arena, "stopped by its worker, which had not heard from here for %s",
				    clock_span(step->move_after_ms, span));
	case REASON_PREEMPTED:
		return "stopped because its worker asked for it";
	default:
		return arena_printf(arena, "stopped (%s)", reason_names[exit->reason]);
	}
}

static const char *explain_loss(const struct record_exit *exit)
{
	switch (exit->reason) {
	case REASON_WORKER_REBOOTED:
		return "lost: the worker was rebooted";
	case REASON_SUPERVISOR_LOST:
		return "lost: its supervisor was killed";
	default:
		return "lost: nobody saw its end";
	}
}

const char *explain_exit(const struct record_exit *exit, const struct dag_step *step, struct arena *arena)
{
	if (exit->kind == EXIT_NOT_STARTED)
		return with_text("not started", exit, arena);
	if (exit->kind == EXIT_LOST)
		return with_text(explain_loss(exit), exit, arena);
	if (exit->stopped)
		return explain_stop(exit, step, arena);
	if (exit->reason == REASON_OOM)
		return with_text("killed by the kernel: out of memory", exit, arena);
	if (exit->reason == REASON_ARTIFACTS)
		return with_text("it ended well, but did not leave what it was to leave", exit, arena);
	if (exit->kind == EXIT_SIGNAL)
		return explain_signal(exit, arena);
	if (exit->reason == REASON_CHECKPOINTED)
		return "checkpointed and asked to be started again (exit code 85)";
	if (exit->code == 126)
		return "exit code 126 (a command could not be executed)";
	if (exit->code == 127)
		return "exit code 127 (a command was not found)";
	return arena_printf(arena, "exit code %d", exit->code);
}
