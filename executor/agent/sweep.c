#include "executor/agent/sweep.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <unistd.h>

#include "common/clock.h"
#include "common/mem.h"
#include "common/scope.h"
#include "executor/agent/awake.h"
#include "executor/agent/family.h"
#include "executor/agent/files.h"
#include "executor/agent/place.h"
#include "executor/agent/rundir.h"
#include "executor/agent/spool.h"
#include "executor/agent/title.h"
#include "executor/agent/watch.h"

enum {
	LOOK_MS = 50, /* between two looks at what is left */
	KILL_LOOK_MS = 10,
	MAKER_LOOK_MS = 1,
	MAKER_MAX_MS = 5000, /* it writes twice and forks once */
	FULL_RETRY_MS = 1000,
	SEALING_MAX_MS = 60 * 60 * 1000,
	JOURNAL_PIECE_BYTES = 256 * 1024,
};

struct sweeper {
	const struct sweep_plan *plan;
	int dir;
	struct arena arena;
	struct spec spec;
	bool has_spec;
	bool same_boot;
	struct record_identity identity;
	pid_t session; /* of the step */
	uint64_t session_ticks; /* when who made it started */
	struct frame_stop request; /* what it was asked before its supervisor died */
	bool stop_asked;
	pid_t step; /* 0: not known */
	int64_t started_wall_ms;
	struct spool_journal journal;
	size_t ended; /* processes that were still there */
};

/*
 * One at a time; the others wait here and find the record when it is their turn. A lock dies with its holder.
 */
static void take_turn(const struct sweeper *s)
{
	int fd = openat(s->dir, "spec", O_RDONLY | O_CLOEXEC | O_NOFOLLOW);

	while (fd >= 0 && flock(fd, LOCK_EX) < 0 && errno == EINTR)
		;
}

/* The journal tells which step was started; its processes are known by that group. */
static void read_journal(struct sweeper *s)
{
	autobuf struct buf bytes = { 0 };
	uint64_t offset = 0;
	ssize_t n;

	while (s->started_wall_ms == 0 &&
	       (n = spool_journal_read(s->dir, offset, JOURNAL_PIECE_BYTES, &bytes)) > 0) {
		struct frame frame;

		for (size_t at = 0; protocol_next(bytes.data + at, bytes.bytes - at, &frame, NULL) == 1;
		     at += frame.whole_bytes) {
			struct record_started started;

			if (frame.type != RECORD_STARTED ||
			    protocol_get_started(&frame, &s->arena, &started) < 0)
				continue;
			s->step = (pid_t)started.pid;
			s->started_wall_ms = started.wall_ms;
		}
		offset += (uint64_t)n;
		buf_clear(&bytes);
	}
}

static void read_session(struct sweeper *s)
{
	__attribute__((cleanup(arena_fini))) struct arena arena = { 0 };
	struct record_started step = { .pid = 0 };
	struct record_identity maker;
	struct err unused;

	if (spool_session_read(s->dir, &arena, &maker, &step, &unused) < 0)
		maker = s->identity; /* of a version whose supervisors led it themselves, or there is none */
	s->session = (pid_t)maker.pid;
	s->session_ticks = (uint64_t)maker.start_ticks;
	if (s->step == 0)
		s->step = (pid_t)step.pid;
}

/* Who made the session has ended this moment, so its number was not used again: who is in it now is the step. */
static void find_unnoted(struct sweeper *s)
{
	struct process_list all = { 0 };

	process_scan(&all);
	for (size_t i = 0; i < all.count && s->step == 0; i++)
		if (all.items[i].session == s->session)
			s->step = all.items[i].group;
	process_list_fini(&all);
}

/*
 * From the death of the supervisor on nobody makes a step who has not noted its session (step.c). Who has is let do it:
 * a step that is being made while one looks is not seen, and one that is noted is known whatever it has become. Nor
 * has one that was stopped or starved noted it when its time is over.
 */
static void await_maker(struct sweeper *s)
{
	int64_t until = awake_after(awake_ms(), MAKER_MAX_MS);
	bool seen = false;

	read_session(s);
	while (s->session > 0 && process_lives(s->session, s->session_ticks)) {
		seen = true;
		if (awake_ms() >= until)
			process_signal(s->session, s->session_ticks, SIGKILL);
		poll(NULL, 0, MAKER_LOOK_MS);
	}
	read_session(s);
	if (seen && s->step == 0)
		find_unnoted(s);
}

static void find(const struct sweeper *s, struct process_list *found)
{
	struct family family = {
		.cookie = s->plan->name,
		.session = s->session,
		.session_ticks = s->session_ticks,
		.group = s->step,
	};

	family_find(&family, found);
}

static void create_stop_file(const struct sweeper *s)
{
	autoclose int fd = openat(s->dir, "stop", O_WRONLY | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);

	if (fd < 0)
		return; /* SIGTERM says it too. */
}

static void end_all(struct sweeper *s)
{
	struct process_list left = { 0 };
	int64_t deadline;

	await_maker(s);
	find(s, &left);
	s->ended = left.count;
	if (left.count > 0) {
		int64_t grace_ms = s->has_spec ? s->spec.grace_ms : 0;

		if (s->stop_asked && s->request.grace_ms < grace_ms)
			grace_ms = s->request.grace_ms;
		create_stop_file(s);
		protocol_put_stopping(&s->journal.pending,
				      &(struct record_stopping){ .wall_ms = clock_wall_ms(),
								 .reason = REASON_SUPERVISOR_LOST,
								 .grace_ms = grace_ms });
		spool_journal_flush(&s->journal);
		family_signal(&left, SIGTERM);
		family_signal(&left, SIGCONT);
		deadline = awake_after(awake_ms(), grace_ms);
		while (left.count > 0 && awake_ms() < deadline) {
			poll(NULL, 0, LOOK_MS);
			find(s, &left);
		}
	}
	while (left.count > 0) {
		family_signal(&left, SIGKILL);
		poll(NULL, 0, KILL_LOOK_MS);
		find(s, &left);
	}
	process_list_fini(&left);
}

/* What was not proven whole when nobody watched does not count. */
static void judge_checkpoints(struct sweeper *s)
{
	struct watch_end end = { .clean = false, .how = "lost with its supervisor" };
	autofree char *task_folder = NULL;
	char task[PLACE_NAME_BYTES];
	struct watch *watch;
	int64_t until;

	if (!s->has_spec || s->started_wall_ms == 0)
		return;
	task_folder = mem_printf("%s/tasks/%s", s->plan->root, place_task(task, s->plan->home, &s->spec.id));
	if (watch_open_after(&s->spec, task_folder, s->dir, s->started_wall_ms, &watch, NULL) < 0)
		return;
	watch_finish(watch, &end, awake_ms(), &s->journal);
	until = awake_after(awake_ms(), SEALING_MAX_MS);
	while (watch_busy(watch)) {
		struct pollfd ready = { .fd = watch_helper_fd(watch), .events = POLLIN };

		if (awake_ms() >= until) {
			watch_abandon(watch, &s->journal);
			break;
		}
		if (poll(&ready, 1, FULL_RETRY_MS) > 0)
			watch_helper(watch, awake_ms(), &s->journal);
		watch_turn(watch, awake_ms());
	}
	watch_free(watch);
}

static void write_exit(struct sweeper *s)
{
	struct record_exit exit = {
		.kind = EXIT_LOST,
		.reason = s->same_boot ? REASON_SUPERVISOR_LOST : REASON_WORKER_REBOOTED,
		.stopped = s->stop_asked,
		.started_wall_ms = s->started_wall_ms,
	};
	struct spool_shape shape;
	struct err err;
	char text[160];

	if (!s->same_boot)
		snprintf(text, sizeof text, "the machine was restarted while it ran");
	else
		snprintf(text, sizeof text, "its supervisor was killed; %zu process%s of the step %s ended",
			 s->ended, s->ended == 1 ? "" : "es", s->ended == 1 ? "was" : "were");
	exit.text = text;
	for (;;) {
		int rc;

		spool_journal_flush(&s->journal);
		exit.ended_wall_ms = clock_wall_ms();
		exit.journal_bytes = s->journal.bytes;
		spool_shape_read(s->dir, true, &shape);
		exit.log_bytes = spool_shape_bytes(&shape);
		exit.log_dropped_bytes = shape.left_out;
		rc = s->journal.full ? ERR_FULL : spool_exit_write(s->dir, &exit, &err);
		if (rc == 0)
			spool_exit_sync(s->dir);
		if (rc == 0 || rc == ERR_EXISTS || rc == ERR_NOT_FOUND)
			return;
		if (!spool_reserve_release(s->dir))
			poll(NULL, 0, FULL_RETRY_MS);
	}
}

static void set_up_process(const struct sweep_plan *plan, const char *name)
{
	sigset_t wanted;

	setsid();
	for (int fd = 0; fd < 3; fd++)
		dup2(plan->null_fd, fd);
	files_close_from(3);
	signal(SIGHUP, SIG_IGN);
	signal(SIGINT, SIG_IGN);
	signal(SIGPIPE, SIG_IGN);
	sigemptyset(&wanted);
	sigprocmask(SIG_SETMASK, &wanted, NULL);
	title_set("stoker-agent: sweep %s", name);
}

_Noreturn void sweep_run(const struct sweep_plan *plan)
{
	struct sweeper s = { .plan = plan, .identity = { .boot_id = "" } };
	autofree char *path = mem_printf("%s/attempts/%s", plan->root, plan->name);
	struct record_exit unused;
	struct err err;

	set_up_process(plan, plan->name);
	arena_init(&s.arena);
	s.dir = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);
	if (s.dir < 0)
		_exit(1);
	take_turn(&s);
	/*
	 * A spec that is cut stands for a reboot: within one boot it is whole before the attempt is visible.
	 */
	s.has_spec = spool_spec_read(s.dir, &s.arena, &s.spec, &s.identity, &err) == 0;
	if (s.has_spec)
		rundir_resolve(&s.spec, plan->root, plan->home, &s.arena);
	s.same_boot = s.has_spec && strcmp(s.identity.boot_id, process_boot_id()) == 0;
	if (s.same_boot && process_lives((pid_t)s.identity.pid, (uint64_t)s.identity.start_ticks))
		_exit(0); /* It is not for us to judge. */
	/*
	 * The folder of an attempt that was forgotten may be another's by now (spare.h). One without an exit record is not
	 * forgotten, and nobody but who holds the lock writes one now.
	 */
	if (spool_exit_read(s.dir, &s.arena, &unused) != 0 || !files_is(s.dir, path))
		_exit(0);
	if (spool_journal_reopen(&s.journal, s.dir) < 0)
		_exit(1);
	read_journal(&s);
	s.stop_asked = spool_request_read(s.dir, &s.request);
	if (s.same_boot)
		end_all(&s);
	judge_checkpoints(&s);
	write_exit(&s);
	_exit(0);
}
