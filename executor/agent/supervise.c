#include "executor/agent/supervise.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <poll.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/signalfd.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include "common/clock.h"
#include "common/machine.h"
#include "common/mem.h"
#include "common/scope.h"
#include "executor/agent/artifacts.h"
#include "executor/agent/awake.h"
#include "executor/agent/claim.h"
#include "executor/agent/family.h"
#include "executor/agent/files.h"
#include "executor/agent/guard.h"
#include "executor/agent/lease.h"
#include "executor/agent/metrics.h"
#include "executor/agent/oom.h"
#include "executor/agent/outputs.h"
#include "executor/agent/place.h"
#include "executor/agent/spool.h"
#include "executor/agent/step.h"
#include "executor/agent/title.h"
#include "executor/agent/watch.h"

enum {
	REPORT_FD = 3,
	JOURNAL_DELAY_MS = 3, /* records of one moment make one write and wake the agent once */
	COLLECTED_LOOK_MS = 5,
	COLLECTED_LOOKS = 10,
	PATIENCE_MS = 200,    /* for what is about to end by itself anyway */
	CLEARING_MAX_MS = 5000,
	KILL_ROUND_MIN_MS = 5,
	KILL_ROUND_MAX_MS = 100,
	UNKILLABLE_MS = 10000,
	METRICS_EVERY_MS = 1000,
	SAMPLE_FIRST_MS = 1000,
	SAMPLE_EVERY_MS = 5000,
	SAMPLE_SLOW_MS = 15000,
	SAMPLE_SLOW_AFTER_MS = 10 * 60 * 1000,
	OVERSLEPT_MS = 5000, /* a wait that took so much longer: this process was frozen with its machine */
	SEALING_MAX_MS = 60 * 60 * 1000,
	MAKING_BYTES = PLACE_NAME_BYTES + 64, /* of the path of an attempt that is being made */
	FULL_RETRY_MS = 1000,
	BIG_PIPE_BYTES = 1024 * 1024,
	BUSY_PIPE_BYTES = 32 * 1024,
	EXIT_CHECKPOINTED = 85,
	EXIT_SHELL_KILLED = 128 + SIGKILL,
};

enum supervise_state {
	STATE_VERIFYING, /* the checkpoint to resume from is being looked for */
	STATE_RUNNING,
	STATE_STOPPING, /* asked; it has its grace */
	STATE_CLEARING, /* the step ended by itself; what it left has a moment */
	STATE_KILLING,	/* until nothing is left */
	STATE_SEALING,	/* nothing lives; its last checkpoints and what it leaves are being read */
	STATE_ENDED,
	STATES,
};

static const struct machine_state states[STATES] = {
	[STATE_VERIFYING] = { "verifying", TO(STATE_RUNNING) | TO(STATE_SEALING) },
	[STATE_RUNNING] = { "running", TO(STATE_STOPPING) | TO(STATE_CLEARING) | TO(STATE_SEALING) },
	[STATE_STOPPING] = { "stopping", TO(STATE_KILLING) | TO(STATE_SEALING) },
	[STATE_CLEARING] = { "clearing", TO(STATE_KILLING) | TO(STATE_SEALING) },
	[STATE_KILLING] = { "killing", TO(STATE_SEALING) },
	[STATE_SEALING] = { "sealing", TO(STATE_ENDED) },
	[STATE_ENDED] = { "ended", 0 },
};

struct supervisor {
	const struct supervise_plan *plan;
	const struct spec *spec;
	char name[PLACE_NAME_BYTES];
	char *folder; /* absolute; also the current one */
	enum supervise_state state;
	struct spool_journal journal;
	struct spool_log log;
	struct metrics metrics;
	struct watch *watch;
	struct lease lease;
	struct artifacts artifacts;
	int signals;
	bool is_subreaper;

	struct step step; /* pid 0: not started */
	bool step_ended;
	int step_status;
	bool executed;	    /* the program runs, or ran */
	struct err failure; /* why it could not */
	bool children;	    /* somebody is left to be waited for */
	bool big_pipe;
	bool full_told;

	struct frame_stop stop;
	bool stop_asked;
	bool killed;	     /* SIGKILL was sent */
	bool orphans_failed; /* after a stop, something left by the shell died of a signal */
	bool termed;	     /* what was left has been sent SIGTERM */
	size_t cleared;	     /* processes left by the step that were signalled */

	int64_t started_wall_ms;
	int64_t started_ms;
	int64_t active_ms;   /* last sign of life, for `stall` */
	int64_t deadline_ms; /* of the grace, or of clearing */
	int64_t patience_ms; /* until then what was left may end by itself */
	int64_t kill_round_ms;
	int64_t kill_pause_ms;
	int64_t killing_since_ms;
	bool unkillable_told;
	int64_t sample_ms;
	int64_t metrics_ms;
	int64_t sealing_ms;
	int64_t journal_ms; /* when pending records are written; AWAKE_NEVER: none pend */
	uint64_t completed; /* checkpoints, as of the last look */

	uint64_t started_bytes; /* of a journal that says no more than that it started */
	int64_t helpers_cpu_ms;
	int64_t cpu_ms; /* of what was waited for, without helpers */
	int64_t rss_peak_bytes;
	uint64_t oom_before; /* kills by the kernel when the sample before the last one was taken */
	uint64_t oom_last;
};

static void move_to(struct supervisor *s, enum supervise_state to)
{
	machine_check("supervisor", states, s->state, to);
	s->state = to;
}

__attribute__((format(printf, 3, 4))) static void note(struct supervisor *s, bool warning, const char *format,
						       ...)
{
	char text[512];
	va_list args;

	va_start(args, format);
	vsnprintf(text, sizeof text, format, args);
	va_end(args);
	protocol_put_note(&s->journal.pending, RECORD_NOTE,
			  &(struct frame_note){ .warning = warning, .text = text });
}

/* --- coming into being ---------------------------------------------------------------------------------- */

static void set_up_process(const struct supervise_plan *plan, const char *name)
{
	setpgid(0, 0);
	for (int fd = 0; fd < 3; fd++)
		dup2(plan->null_fd, fd);
	if (plan->report_fd != REPORT_FD)
		dup2(plan->report_fd, REPORT_FD);
	files_close_from(REPORT_FD + 1);
	signal(SIGHUP, SIG_IGN);
	signal(SIGINT, SIG_IGN);
	signal(SIGPIPE, SIG_IGN);
	title_set("stoker-agent: supervise %s", name);
}

/* A folder to fill: a spare one, or a new one. */
static int open_making(const struct supervise_plan *plan, const char *name, char making[MAKING_BYTES])
{
	int dir;

	snprintf(making, MAKING_BYTES, "%s", plan->spare_attempt);
	dir = making[0] == '\0' ? -1
				: openat(AT_FDCWD, making, O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);
	if (dir >= 0 && spare_is_fit(dir))
		return dir;
	if (dir >= 0) {
		close(dir);
		files_remove(AT_FDCWD, making);
	}
	snprintf(making, MAKING_BYTES, "attempts/.new-%s-%d", name, (int)getpid());
	if (mkdir(making, 0700) < 0)
		return -1;
	return openat(AT_FDCWD, making, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
}

/* The folder is filled under another name; the rename makes the attempt. */
static int publish(const struct supervise_plan *plan, const char *name, uint64_t start_ticks, struct err *err)
{
	struct record_identity identity = {
		.boot_id = process_boot_id(),
		.pid = getpid(),
		.start_ticks = (int64_t)start_ticks,
	};
	char making[MAKING_BYTES], made[PLACE_NAME_BYTES + 16];
	autoclose int held = -1;
	autoclose int dir = -1;
	int rc;

	snprintf(made, sizeof made, "attempts/%s", name);
	dir = open_making(plan, name, making);
	if (dir < 0)
		return err_errno(err, "mkdir %s/%s", plan->root, making);
	rc = spool_spec_write(dir, plan->frame, plan->frame_bytes, &identity, err);
	if (rc == 0 && plan->spec->lease_ms > 0 && lease_make(dir, plan->spec->lease_from_ms) < 0)
		rc = err_errno(err, "write %s/%s/lease", plan->root, making);
	if (rc == 0)
		rc = claim_hold(plan->home, plan->spec->id.run, plan->spec->epoch, &held, err);
	if (rc == 0 && rename(making, made) < 0)
		rc = errno == ENOTEMPTY || errno == EEXIST
			     ? err_set(err, ERR_EXISTS, "it was started before")
			     : err_errno(err, "rename to %s/%s", plan->root, made);
	if (rc < 0) {
		files_remove(AT_FDCWD, making);
		return rc;
	}
	if (fchdir(dir) < 0)
		return err_errno(err, "chdir %s/%s", plan->root, made);
	return 0;
}

static void report(const struct supervise_plan *plan, uint64_t start_ticks, int rc, const struct err *err)
{
	struct supervise_report report = { .id = plan->spec->id,
					   .pid = getpid(),
					   .start_ticks = start_ticks };

	report.outcome = rc == 0				   ? SUPERVISE_PUBLISHED
			 : rc == ERR_EXISTS			   ? SUPERVISE_PRESENT
			 : rc == ERR_DENIED && err->sys_errno == 0 ? SUPERVISE_REFUSED
								   : SUPERVISE_FAILED;
	if (rc < 0) {
		report.sys_errno = err->sys_errno;
		snprintf(report.text, sizeof report.text, "%.*s", (int)sizeof report.text - 1, err->text);
	}
	files_write(REPORT_FD, &report, sizeof report);
	close(REPORT_FD);
}

/* --- the end -------------------------------------------------------------------------------------------- */

static const char *describe_reason(const struct supervisor *s, enum reason reason, char text[160])
{
	char span[CLOCK_SPAN_BYTES];

	switch (reason) {
	case REASON_TIMEOUT:
		snprintf(text, 160, "its time limit of %s was used up",
			 clock_span(s->spec->timeout_ms, span));
		break;
	case REASON_STALLED:
		snprintf(text, 160, "no output, checkpoint or metric for %s",
			 clock_span(s->spec->stall_ms, span));
		break;
	case REASON_LEASE_EXPIRED:
		snprintf(text, 160, "its lease ran out: the scheduler was not heard from for %s",
			 clock_span(s->spec->lease_ms, span));
		break;
	default:
		snprintf(text, 160, "stopped: %s", reason_names[reason]);
		break;
	}
	return text;
}

/* A victim of the kernel's hunt for memory: killed by no signal of ours while a counter grew. */
static bool was_oom(const struct supervisor *s)
{
	bool by_kill = (WIFSIGNALED(s->step_status) && WTERMSIG(s->step_status) == SIGKILL) ||
		       (s->spec->shell && WIFEXITED(s->step_status) &&
			WEXITSTATUS(s->step_status) == EXIT_SHELL_KILLED);

	return by_kill && !s->killed && oom_count() > s->oom_before;
}

static void describe_status(const struct supervisor *s, struct record_exit *exit, char text[200])
{
	if (WIFSIGNALED(s->step_status)) {
		exit->kind = EXIT_SIGNAL;
		exit->signal = WTERMSIG(s->step_status);
		exit->reason = REASON_SIGNAL;
		snprintf(text, 200, "killed by signal %d (%s)", exit->signal, strsignal(exit->signal));
	} else {
		exit->kind = EXIT_CODE;
		exit->code = WEXITSTATUS(s->step_status);
		exit->reason = exit->code == EXIT_CHECKPOINTED ? REASON_CHECKPOINTED : REASON_EXIT;
		snprintf(text, 200, "exit %d", exit->code);
	}
	if (was_oom(s)) {
		exit->reason = REASON_OOM;
		snprintf(text, 200, "out of memory: the kernel killed it");
	}
}

static void fill_exit(const struct supervisor *s, struct record_exit *exit, char text[1200])
{
	char status[200] = "", why[160];

	*exit = (struct record_exit){
		.started_wall_ms = s->started_wall_ms,
		.ended_wall_ms = clock_wall_ms(),
		.cpu_ms = s->cpu_ms,
		.rss_peak_bytes = s->rss_peak_bytes,
		.stopped = s->stop_asked,
		.journal_bytes = s->journal.bytes,
		.text = text,
	};
	if (s->executed) {
		describe_status(s, exit, status);
	} else {
		exit->kind = EXIT_NOT_STARTED;
		exit->reason = REASON_NOT_STARTED;
		exit->started_wall_ms = 0;
		exit->transient = step_error_is_transient(s->failure.sys_errno);
		snprintf(status, sizeof status, "%s", s->stop_asked ? "before it had started" : "");
	}
	if (s->stop_asked) {
		exit->reason = s->stop.reason;
		exit->transient |= s->stop.reason == REASON_LEASE_EXPIRED;
		snprintf(text, 1200, "%s (%s)", describe_reason(s, s->stop.reason, why), status);
	} else if (s->artifacts.state == ARTIFACTS_FAILED) {
		exit->reason = REASON_ARTIFACTS;
		snprintf(text, 1200, "%s", s->artifacts.text);
	} else {
		snprintf(text, 1200, "%s", s->executed ? status : s->failure.text);
	}
}

static void drain_output(struct supervisor *s)
{
	if (s->step.output < 0)
		return;
	/* All writers are gone; should a stranger hold the other end, what is there now is the log. */
	while (spool_log_take(&s->log, s->step.output) > 0)
		;
	close(s->step.output);
	s->step.output = -1;
}

static void write_exit(struct supervisor *s)
{
	struct spool_shape shape;
	struct record_exit exit;
	struct err err = { 0 };
	char text[1200];

	for (;;) {
		spool_journal_flush(&s->journal);
		if (!s->journal.full) {
			/* That it started is in the exit record too, and not worth a sync of its own. */
			if (s->journal.fd >= 0 && s->journal.bytes > s->started_bytes)
				fdatasync(s->journal.fd);
			fill_exit(s, &exit, text);
			spool_shape_set(&shape, s->log.head_bytes, s->log.tail_total, s->log.tail_max);
			exit.log_bytes = spool_shape_bytes(&shape);
			exit.log_dropped_bytes = shape.left_out + s->log.full_dropped;
			switch (spool_exit_write(AT_FDCWD, &exit, &err)) {
			case 0:
			case ERR_EXISTS:
			case ERR_NOT_FOUND: /* The folder was removed: nobody is left who would read it. */
				return;
			default:
				break;
			}
		}
		/* A full disk: its record is all that is left to do, so wait for room. */
		if (!spool_reserve_release(AT_FDCWD))
			poll(NULL, 0, FULL_RETRY_MS);
	}
}

static void finish(struct supervisor *s)
{
	metrics_finish(&s->metrics, awake_ms(), &s->journal.pending);
	if (s->executed)
		outputs_read(AT_FDCWD, &s->journal.pending);
	if (s->cleared > 0)
		note(s, false, "%zu process%s left by the step %s ended", s->cleared,
		     s->cleared == 1 ? "" : "es", s->cleared == 1 ? "was" : "were");
	if (s->log.full_dropped > 0)
		note(s, true, "%" PRIu64 " bytes of output were lost: the disk was full",
		     s->log.full_dropped);
	if (s->journal.lost > 0)
		note(s, true, "%" PRIu64 " records were lost: the disk was full", s->journal.lost);
	spool_log_close(&s->log, true);
	if (s->log.reserved)
		spool_reserve_release(AT_FDCWD);
	write_exit(s);
	move_to(s, STATE_ENDED);
}

static bool obeyed_stop(const struct supervisor *s)
{
	if (!s->stop_asked || s->killed)
		return false;
	if (WIFEXITED(s->step_status))
		return true;
	/* A shell dies of the SIGTERM that its training program catches: that one's end is what counts. */
	return s->spec->shell && WTERMSIG(s->step_status) == SIGTERM && !s->orphans_failed;
}

static void seal(struct supervisor *s)
{
	char how[64] = "";
	struct watch_end end = { .how = how };
	int64_t now = awake_ms();

	move_to(s, STATE_SEALING);
	drain_output(s);
	s->sealing_ms = awake_after(now, SEALING_MAX_MS);
	if (s->watch == NULL || !s->executed)
		return;
	if (WIFSIGNALED(s->step_status))
		snprintf(how, sizeof how, "killed by signal %d", WTERMSIG(s->step_status));
	else
		snprintf(how, sizeof how, "ended with exit %d", WEXITSTATUS(s->step_status));
	end.clean = obeyed_stop(s) ||
		    (!s->killed && WIFEXITED(s->step_status) &&
		     (WEXITSTATUS(s->step_status) == 0 || WEXITSTATUS(s->step_status) == EXIT_CHECKPOINTED));
	watch_finish(s->watch, &end, now, &s->journal);
	if (s->spec->artifacts_count > 0 && !s->stop_asked && WIFEXITED(s->step_status) &&
	    WEXITSTATUS(s->step_status) == 0)
		artifacts_take(&s->artifacts, s->spec, s->plan->root, s->plan->home);
}

/* --- its processes -------------------------------------------------------------------------------------- */

static void find_left(struct supervisor *s, struct process_list *found)
{
	pid_t helpers[2];
	struct family family = {
		.root = getpid(),
		.except = helpers,
		.except_count = s->watch == NULL ? 0 : watch_helpers(s->watch, helpers),
		/*
		 * Strays are ended on request only: a step that ends well may have handed work to a daemon.
		 */
		.cookie = s->stop_asked ? s->name : NULL,
	};

	family_find(&family, found);
}

static void kill_round(struct supervisor *s, int64_t now)
{
	struct process_list left = { 0 };

	if (!s->step_ended)
		kill(-s->step.pid, SIGKILL);
	find_left(s, &left);
	s->killed = true;
	family_signal(&left, SIGKILL);
	if (left.count == 0 && s->step_ended) {
		seal(s);
	} else if (now - s->killing_since_ms > UNKILLABLE_MS && !s->unkillable_told && left.count > 0) {
		s->unkillable_told = true;
		note(s, true, "%zu processes do not end by SIGKILL (pid %d is in state %c); waiting for them",
		     left.count, (int)left.items[0].pid, left.items[0].state);
	}
	process_list_fini(&left);
	s->kill_pause_ms = s->kill_pause_ms * 2 > KILL_ROUND_MAX_MS ? KILL_ROUND_MAX_MS
								    : s->kill_pause_ms * 2;
	s->kill_round_ms = awake_after(now, s->kill_pause_ms);
}

static void begin_killing(struct supervisor *s, int64_t now)
{
	move_to(s, STATE_KILLING);
	s->killing_since_ms = now;
	s->kill_pause_ms = KILL_ROUND_MIN_MS;
	kill_round(s, now);
}

/*
 * SIGTERM to what is left. In a stop its group has had it already, and may take a second one for an order to
 * hurry.
 */
static void ask_to_end(struct supervisor *s, const struct process_list *left)
{
	for (size_t i = 0; i < left->count; i++) {
		const struct process *process = &left->items[i];

		if (s->stop_asked && process->group == s->step.pid)
			continue;
		s->cleared += process_signal(process->pid, process->start_ticks, SIGTERM) && !s->stop_asked;
		process_signal(process->pid, process->start_ticks, SIGCONT);
	}
}

/* The step itself has ended, in one way or the other: is anything left of it? */
static void look_at_rest(struct supervisor *s, int64_t now)
{
	struct process_list left = { 0 };

	/*
	 * Without children there is no offspring; only strays can be left then, and only a stop looks for
	 * those.
	 */
	if (s->children || s->stop_asked)
		find_left(s, &left);
	if (left.count == 0) {
		seal(s);
	} else if (s->state == STATE_RUNNING) {
		move_to(s, STATE_CLEARING);
		s->patience_ms = awake_after(now, PATIENCE_MS);
		s->deadline_ms = awake_after(s->patience_ms, s->spec->grace_ms < CLEARING_MAX_MS
								     ? s->spec->grace_ms
								     : CLEARING_MAX_MS);
	} else if (!s->termed && now >= s->patience_ms) {
		s->termed = true;
		ask_to_end(s, &left);
	}
	process_list_fini(&left);
	s->kill_round_ms = awake_after(now, KILL_ROUND_MAX_MS); /* looked at again, child or not */
}

/* The pipe closed: the program runs. Or it brought the reason why not; then its end follows. */
static void read_verdict(struct supervisor *s)
{
	struct record_started record = { .pid = s->step.pid, .wall_ms = s->started_wall_ms };
	const char *text;
	struct err failure;
	bool is_first;
	ssize_t n = s->step.exec_pipe < 0 ? -1 : read(s->step.exec_pipe, &failure, sizeof failure);

	if (n < 0)
		return;
	close(s->step.exec_pipe);
	s->step.exec_pipe = -1;
	if (n == (ssize_t)sizeof failure) {
		s->failure = failure;
		return;
	}
	s->executed = true;
	watch_resume(s->watch, &record.resumed_from, &record.resumed_digest, &text);
	is_first = s->journal.bytes + s->journal.pending.bytes == 0;
	protocol_put_started(&s->journal.pending, &record);
	if (is_first)
		s->started_bytes = s->journal.pending.bytes;
}

static void step_has_ended(struct supervisor *s, int status)
{
	s->step_ended = true;
	s->step_status = status;
	read_verdict(s); /* It may still wait in the pipe. */
}

static int64_t ms_of(struct timeval time)
{
	return (int64_t)time.tv_sec * 1000 + time.tv_usec / 1000;
}

static void account(struct supervisor *s, pid_t pid, int status, const struct rusage *usage)
{
	if ((s->watch != NULL && watch_reaped(s->watch, pid)) || helper_reaped(&s->artifacts.helper, pid)) {
		s->helpers_cpu_ms += ms_of(usage->ru_utime) + ms_of(usage->ru_stime);
		return;
	}
	if ((int64_t)usage->ru_maxrss * 1024 > s->rss_peak_bytes)
		s->rss_peak_bytes = (int64_t)usage->ru_maxrss * 1024;
	if (pid == s->step.pid)
		step_has_ended(s, status);
	else if (s->stop_asked && WIFSIGNALED(status))
		s->orphans_failed = true;
}

static void reap(struct supervisor *s)
{
	struct rusage usage;
	int status;
	pid_t pid;

	while ((pid = wait4(-1, &status, WNOHANG, &usage)) > 0)
		account(s, pid, status, &usage);
	s->children = pid == 0;
	if (getrusage(RUSAGE_CHILDREN, &usage) == 0)
		s->cpu_ms = ms_of(usage.ru_utime) + ms_of(usage.ru_stime) - s->helpers_cpu_ms;
}

/* --- stopping ------------------------------------------------------------------------------------------- */

static void create_stop_file(void)
{
	int fd = openat(AT_FDCWD, "stop", O_WRONLY | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);

	if (fd >= 0)
		close(fd);
}

static void stop(struct supervisor *s, enum reason reason, int64_t grace_ms, int64_t now)
{
	int64_t deadline = awake_after(now, grace_ms > 0 ? grace_ms : 0);

	if (s->state == STATE_STOPPING) {
		/* The first reason stands; a later request can only shorten what is left. */
		s->deadline_ms = awake_sooner(s->deadline_ms, deadline);
		return;
	}
	if (s->state == STATE_CLEARING)
		s->deadline_ms = awake_sooner(s->deadline_ms, deadline);
	if (s->state > STATE_RUNNING || s->step_ended)
		return; /* The step ended before it was asked. */
	s->stop_asked = true;
	s->stop = (struct frame_stop){ .id = s->spec->id, .reason = reason, .grace_ms = grace_ms };
	protocol_put_stopping(&s->journal.pending, &(struct record_stopping){ .wall_ms = clock_wall_ms(),
									      .reason = reason,
									      .grace_ms = grace_ms });
	if (s->state == STATE_VERIFYING) {
		watch_abandon(s->watch, NULL);
		seal(s);
		return;
	}
	move_to(s, STATE_STOPPING);
	s->deadline_ms = deadline;
	create_stop_file();
	kill(-s->step.pid, SIGTERM);
	kill(-s->step.pid, SIGCONT); /* one that is suspended could not obey */
}

static void read_request(struct supervisor *s, int64_t now)
{
	struct frame_stop request;

	if (spool_request_read(AT_FDCWD, &request))
		stop(s, request.reason == REASON_NONE ? REASON_CANCELED : request.reason, request.grace_ms,
		     now);
}

static void read_signals(struct supervisor *s, int64_t now)
{
	struct signalfd_siginfo infos[8];
	bool nudged = false, terminated = false;
	ssize_t n = read(s->signals, infos, sizeof infos);

	for (ssize_t i = 0; i < n / (ssize_t)sizeof infos[0]; i++) {
		nudged |= infos[i].ssi_signo == SUPERVISE_NUDGE;
		terminated |= infos[i].ssi_signo == SIGTERM;
	}
	reap(s); /* first: a stop that comes after the end is none */
	if (nudged)
		read_request(s, now);
	if (terminated)
		stop(s, REASON_PREEMPTED, s->spec->grace_ms, now);
}

/* --- running -------------------------------------------------------------------------------------------- */

static void start_step(struct supervisor *s)
{
	const char *name = "", *digest = "", *text = "";
	autofree char *resume_from = NULL;
	struct step_plan plan = { .spec = s->spec, .cookie = s->name, .folder = s->folder };

	enum watch_resume resume = watch_resume(s->watch, &name, &digest, &text);

	if (resume != WATCH_RESUME_READY) {
		err_set(&s->failure, ERR_NOT_FOUND, "%s", text);
		s->failure.sys_errno = resume == WATCH_RESUME_FAILED ? EAGAIN : 0;
		seal(s);
		return;
	}
	if (name[0] != '\0')
		resume_from = mem_printf("%s/%s", watch_folder(s->watch), name);
	plan.adopted = s->is_subreaper;
	plan.checkpoint_dir = watch_folder(s->watch);
	plan.resume_from = resume_from == NULL ? "" : resume_from;
	if (step_start(&plan, &s->step, &s->failure) < 0) {
		seal(s);
		return;
	}
	move_to(s, STATE_RUNNING);
	s->started_wall_ms = clock_wall_ms();
	s->started_ms = s->active_ms = awake_ms();
	s->sample_ms = s->started_ms + SAMPLE_FIRST_MS;
	s->metrics_ms = s->started_ms + METRICS_EVERY_MS;
}

static void read_output(struct supervisor *s, int64_t now, short events)
{
	ssize_t n = events & POLLIN ? spool_log_take(&s->log, s->step.output) : 0;

	if (n > 0)
		s->active_ms = now;
	if (s->log.full_dropped > 0 && !s->full_told) {
		s->full_told = true;
		note(s, true, "the disk is full: output is being lost");
	}
	if (n >= BUSY_PIPE_BYTES && !s->big_pipe) {
		s->big_pipe = true; /* This one writes much. */
		fcntl(s->step.output, F_SETPIPE_SZ, BIG_PIPE_BYTES);
	}
	if (n == 0) {
		close(s->step.output);
		s->step.output = -1;
	}
}

static void sample(struct supervisor *s, int64_t now)
{
	struct process_list list = { 0 };
	struct record_sample record = { .wall_ms = clock_wall_ms(), .cpu_ms = s->cpu_ms };
	pid_t helpers[2];
	size_t helpers_count = watch_helpers(s->watch, helpers);

	process_offspring(getpid(), &list);
	for (size_t i = 0; i < list.count; i++) {
		const struct process *process = &list.items[i];

		if ((helpers_count > 0 && process->pid == helpers[0]) ||
		    (helpers_count > 1 && process->pid == helpers[1]))
			continue;
		record.cpu_ms += process->cpu_ms;
		record.rss_bytes += process->rss_bytes;
		record.processes++;
	}
	process_list_fini(&list);
	if (record.rss_bytes > s->rss_peak_bytes)
		s->rss_peak_bytes = record.rss_bytes;
	protocol_put_sample(&s->journal.pending, &record);
	/* Only what the kernel did lately can be why the step dies now. */
	s->oom_before = s->oom_last;
	s->oom_last = oom_count();
	s->sample_ms = awake_after(now, now - s->started_ms < SAMPLE_SLOW_AFTER_MS ? SAMPLE_EVERY_MS
										   : SAMPLE_SLOW_MS);
}

static int64_t limit_at(int64_t from_ms, int64_t limit_ms)
{
	return limit_ms > 0 ? awake_after(from_ms, limit_ms) : AWAKE_NEVER;
}

static void check_limits(struct supervisor *s, int64_t now)
{
	if (watch_completed(s->watch) > s->completed) {
		s->completed = watch_completed(s->watch);
		s->active_ms = now;
	}
	if (now >= limit_at(s->started_ms, s->spec->timeout_ms))
		stop(s, REASON_TIMEOUT, s->spec->grace_ms, now);
	else if (now >= limit_at(s->active_ms, s->spec->stall_ms))
		stop(s, REASON_STALLED, s->spec->grace_ms, now);
}

static void look_at_step(struct supervisor *s, int64_t now)
{
	if (now >= s->metrics_ms) {
		if (metrics_read(&s->metrics, now, &s->journal.pending) > 0)
			s->active_ms = now;
		s->metrics_ms = awake_after(now, METRICS_EVERY_MS);
	}
	if (now >= s->sample_ms)
		sample(s, now);
	watch_turn(s->watch, now);
}

/*
 * Without a lease it must be dead when its grace is over too, counted by the clock that goes on while the
 * machine sleeps: whoever granted it counts the same.
 */
static void check_lease(struct supervisor *s, int64_t now)
{
	if (s->lease.timer >= 0 && !lease_holds(&s->lease, AT_FDCWD))
		stop(s, REASON_LEASE_EXPIRED, lease_left_ms(&s->lease, s->spec->grace_ms), now);
}

/* What the time and the things seen so far ask for. */
static void turn(struct supervisor *s, int64_t now)
{
	const char *unused;

	check_lease(s, now);
	switch (s->state) {
	case STATE_VERIFYING:
		if (watch_resume(s->watch, &unused, &unused, &unused) != WATCH_RESUME_BUSY)
			start_step(s);
		break;
	case STATE_RUNNING:
		look_at_step(s, now);
		if (s->step_ended)
			look_at_rest(s, now);
		else
			check_limits(s, now);
		break;
	case STATE_STOPPING:
	case STATE_CLEARING:
		look_at_step(s, now);
		if (now >= s->deadline_ms)
			begin_killing(s, now);
		else if (s->step_ended && (!s->children || now >= s->kill_round_ms))
			look_at_rest(s, now);
		break;
	case STATE_KILLING:
		if (now >= s->kill_round_ms || !s->children)
			kill_round(s, now);
		break;
	case STATE_SEALING:
		if (s->watch != NULL)
			watch_turn(s->watch, now);
		if (s->watch != NULL && now >= s->sealing_ms)
			watch_abandon(s->watch, &s->journal);
		if (now >= s->sealing_ms)
			artifacts_abandon(&s->artifacts, "artifacts: not read to their end in time");
		if ((s->watch == NULL || !watch_busy(s->watch)) && s->artifacts.state != ARTIFACTS_BUSY)
			finish(s);
		break;
	default:
		break;
	}
}

static int64_t next_due(const struct supervisor *s)
{
	int64_t due = s->journal_ms;

	if (s->state == STATE_RUNNING) {
		due = awake_sooner(due, limit_at(s->started_ms, s->spec->timeout_ms));
		due = awake_sooner(due, limit_at(s->active_ms, s->spec->stall_ms));
	}
	if (s->state == STATE_RUNNING || s->state == STATE_STOPPING || s->state == STATE_CLEARING)
		due = awake_sooner(due, awake_sooner(s->sample_ms, s->metrics_ms));
	if (s->state == STATE_STOPPING || s->state == STATE_CLEARING) {
		due = awake_sooner(due, s->deadline_ms);
		if (s->step_ended)
			due = awake_sooner(due, s->kill_round_ms);
	}
	if (s->state == STATE_KILLING)
		due = awake_sooner(due, s->kill_round_ms);
	if (s->state == STATE_SEALING)
		due = awake_sooner(due, s->sealing_ms);
	return awake_sooner(due, watch_due(s->watch));
}

static void wait_for_events(struct supervisor *s)
{
	enum { SIGNALS, OUTPUT, VERDICT, EVENTS, HELPER, ARTIFACTS, LEASE, FDS };
	struct pollfd fds[FDS] = {
		[SIGNALS] = { .fd = s->signals, .events = POLLIN },
		[OUTPUT] = { .fd = s->step.output, .events = POLLIN },
		[VERDICT] = { .fd = s->step.exec_pipe, .events = POLLIN },
		[EVENTS] = { .fd = watch_events_fd(s->watch), .events = POLLIN },
		[HELPER] = { .fd = watch_helper_fd(s->watch), .events = POLLIN },
		[LEASE] = { .fd = s->lease.timer, .events = POLLIN }, /* the next turn looks at it */
		[ARTIFACTS] = { .fd = artifacts_fd(&s->artifacts), .events = POLLIN },
	};
	int64_t due = next_due(s), now = awake_ms();
	int64_t wait = due == AWAKE_NEVER ? -1 : due <= now ? 0 : due - now;

	if (poll(fds, FDS, wait > INT32_MAX ? INT32_MAX : (int)wait) < 0)
		return;
	now = awake_ms();
	if (wait >= 0 && now - due > OVERSLEPT_MS)
		s->active_ms += now - due; /* Nobody could have seen a sign of life. */
	if (fds[OUTPUT].revents != 0)
		read_output(s, now, fds[OUTPUT].revents);
	if (fds[VERDICT].revents != 0)
		read_verdict(s);
	if (fds[EVENTS].revents != 0)
		watch_events(s->watch, now, &s->journal);
	if (fds[HELPER].revents != 0)
		watch_helper(s->watch, now, &s->journal);
	if (fds[ARTIFACTS].revents != 0)
		artifacts_on_helper(&s->artifacts, &s->journal.pending);
	if (fds[SIGNALS].revents != 0)
		read_signals(s, now);
}

static void keep_journal(struct supervisor *s, int64_t now)
{
	if (s->journal.pending.bytes == 0) {
		s->journal_ms = AWAKE_NEVER;
	} else if (s->journal_ms == AWAKE_NEVER) {
		s->journal_ms = now + JOURNAL_DELAY_MS;
	} else if (now >= s->journal_ms) {
		spool_journal_flush(&s->journal);
		s->journal_ms = s->journal.full ? now + FULL_RETRY_MS : AWAKE_NEVER;
	}
}

static void run(struct supervisor *s)
{
	while (s->state != STATE_ENDED) {
		enum supervise_state before = s->state;
		int64_t now = awake_ms();

		turn(s, now);
		if (s->state != before)
			continue; /* the new state may have something to do at once */
		keep_journal(s, now);
		wait_for_events(s);
	}
}

static void set_up_attempt(struct supervisor *s)
{
	char task[PLACE_NAME_BYTES];
	autofree char *task_folder = mem_printf("%s/tasks/%s", s->plan->root,
						place_task(task, s->plan->home, &s->spec->id));
	autofree char *spare_task = s->plan->spare_task[0] == '\0'
					    ? mem_strdup("")
					    : mem_printf("%s/%s", s->plan->root, s->plan->spare_task);
	sigset_t wanted;

	s->folder = mem_printf("%s/attempts/%s", s->plan->root, s->name);
	s->step = (struct step){ .exec_pipe = -1, .output = -1 };
	s->journal_ms = AWAKE_NEVER;
	artifacts_init(&s->artifacts);
	spool_journal_open(&s->journal, AT_FDCWD);
	spool_log_open(&s->log, AT_FDCWD, s->spec->log_max_bytes);
	metrics_open(&s->metrics, AT_FDCWD, awake_ms());
	sigemptyset(&wanted);
	sigaddset(&wanted, SIGCHLD);
	sigaddset(&wanted, SIGTERM);
	sigaddset(&wanted, SUPERVISE_NUDGE);
	s->signals = signalfd(-1, &wanted, SFD_CLOEXEC | SFD_NONBLOCK);
	if (s->signals < 0)
		err_errno(&s->failure, "signalfd");
	else if (s->failure.code == ERR_OK && lease_open(&s->lease, s->spec, &s->failure) < 0)
		s->lease.timer = -1;
	if (s->failure.code != ERR_OK) {
		seal(s);
		return;
	}
	if (watch_open(s->spec, task_folder, spare_task, &s->watch, &s->failure) == 0 &&
	    watch_verify(s->watch) != WATCH_RESUME_BUSY)
		return;
	if (s->failure.code != ERR_OK)
		seal(s);
}

/*
 * What the scheduler has collected needs no sync here any more, and it mostly has in a moment: the folder is gone
 * from its place then. While it is away, or slow, the record is brought onto the disk.
 */
static void keep_exit(const struct supervisor *s)
{
	autofree char *path = mem_printf("%s/exit", s->folder);

	for (int i = 0; i < COLLECTED_LOOKS && access(path, F_OK) == 0; i++)
		poll(NULL, 0, COLLECTED_LOOK_MS);
	if (access(path, F_OK) == 0)
		spool_exit_sync(AT_FDCWD);
}

_Noreturn void supervise_run(const struct supervise_plan *plan)
{
	struct supervisor *s = mem_zalloc(sizeof *s);
	uint64_t start_ticks = process_start_ticks(getpid());
	struct err err = { 0 };
	int rc;

	s->plan = plan;
	s->spec = plan->spec;
	s->lease.timer = -1;
	s->oom_before = s->oom_last = plan->oom_before;
	place_attempt(s->name, plan->home, &plan->spec->id);
	set_up_process(plan, s->name);
	rc = publish(plan, s->name, start_ticks, &err);
	report(plan, start_ticks, rc, &err);
	if (rc < 0)
		_exit(1);
	if (plan->spec->lease_ms > 0)
		guard_start(&(struct sweep_plan){ .root = plan->root,
						  .home = plan->home,
						  .name = s->name,
						  .null_fd = STDIN_FILENO },
			    start_ticks, &s->failure);
	s->is_subreaper = prctl(PR_SET_CHILD_SUBREAPER, 1) == 0;
	set_up_attempt(s);
	run(s);
	keep_exit(s);
	_exit(0);
}
