#include "executor/agent/session.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/signalfd.h>
#include <sys/utsname.h>
#include <sys/wait.h>
#include <unistd.h>

#include "common/clock.h"
#include "common/mem.h"
#include "common/parcel.h"
#include "common/scope.h"
#include "executor/agent/awake.h"
#include "executor/agent/check.h"
#include "executor/agent/claim.h"
#include "executor/agent/devices.h"
#include "executor/agent/follow.h"
#include "executor/agent/held.h"
#include "executor/agent/helper.h"
#include "executor/agent/install.h"
#include "executor/agent/load.h"
#include "executor/agent/offer.h"
#include "executor/agent/oom.h"
#include "executor/agent/process.h"
#include "executor/agent/provision.h"
#include "executor/agent/root.h"
#include "executor/agent/rundir.h"
#include "executor/agent/step.h"
#include "executor/agent/supervise.h"
#include "executor/agent/survive.h"

enum {
	READ_BYTES = 64 * 1024,
	EVENTS = 64,
	OOM_FRESH_MS = 1000,
	LOAD_MS = 1000, /* it is not measured again before */
	FAREWELL_MS = 1000, /* for the last words of an agent that gives up */
	LEASE_ASKS = 6,     /* within one lease: some may be lost with their connection */
	LEASE_ASK_MIN_MS = 250,
	LEASE_ASK_MAX_MS = 10000,
};

/* What epoll reports: one of these, or an attempt whose supervisor ended. */
enum source {
	SOURCE_INPUT,
	SOURCE_OUTPUT,
	SOURCE_SIGNALS,
	SOURCE_INOTIFY,
	SOURCE_REPORTS,
	SOURCE_PROVISION,
	SOURCE_CHECK,
	SOURCE_OFFER,
	SOURCES
};
static char sources[SOURCES];

struct session {
	char *root;
	char home[PLACE_HOME_CHARS + 1]; /* empty: no hello yet */
	int null_fd;
	int reports[2];
	int epoll;
	int signals;
	uint32_t input_events; /* asked of epoll */
	uint32_t output_events;
	bool done;
	int status;
	struct buf in;
	struct outbox out;
	bool logs_first; /* in its bulk lane */
	struct load load;
	int64_t load_ms; /* when it was measured; 0: not yet */
	struct arena arena; /* of the frame at hand */
	struct follow_set set;
	struct spares spares;
	struct provision_set provision;
	int64_t lease_every_ms; /* 0: no run with leases was claimed */
	int64_t lease_ask_ms;   /* when to ask next */
	struct offer_set offers;
	uint64_t oom_seen;
	int64_t oom_seen_ms;
	struct check check;
	struct helper checker;
	int64_t check_late_ms; /* AWAKE_NEVER: none is at it */
};

__attribute__((format(printf, 2, 3))) static void give_up(struct session *s, const char *format, ...)
{
	char text[1024];
	va_list args;

	va_start(args, format);
	vsnprintf(text, sizeof text, format, args);
	va_end(args);
	fprintf(stderr, "stoker-agent: %s\n", text);
	follow_note(&s->set, NULL, true, "%s", text);
	s->done = true;
	s->status = 1;
}

/* --- frames --------------------------------------------------------------------------------------------- */

/* What runs that ended without us left here; and those that go on, which the scheduler knows. */
static void tell_left(struct session *s)
{
	struct claim_left *left;
	size_t count = claim_list(s->home, &s->arena, &left);

	for (size_t i = 0; i < count; i++)
		protocol_put_claim(outbox_control(&s->out), FRAME_LEFT,
				   &(struct frame_claim){ .run = left[i].run, .epoch = left[i].epoch });
}

static void on_hello(struct session *s, const struct frame *frame)
{
	struct frame_hello hello;
	struct utsname system;
	struct devices devices;
	struct frame_welcome welcome;

	if (protocol_get_hello(frame, &s->arena, &hello) < 0 || !place_home_valid(hello.home)) {
		give_up(s, "the scheduler's greeting is malformed");
		return;
	}
	if (hello.version != PROTOCOL_VERSION) {
		give_up(s, "the scheduler speaks version %" PRIu32 " of the protocol, this agent version %d",
			hello.version, PROTOCOL_VERSION);
		return;
	}
	memcpy(s->home, hello.home, sizeof s->home);
	s->set.home = s->provision.home = s->offers.home = s->home;
	uname(&system);
	devices_find(&s->arena, &devices);
	welcome = (struct frame_welcome){
		.version = PROTOCOL_VERSION,
		.host = system.nodename,
		.machine = system.machine,
		.boot_id = process_boot_id(),
		.pid = getpid(),
		.wall_ms = clock_wall_ms(),
		.cpus_milli = devices.cpus_milli,
		.memory_bytes = devices.memory_bytes,
		.root = s->root,
		.devices = devices.gpus,
		.devices_count = devices.gpus_count,
	};
	protocol_put_welcome(outbox_control(&s->out), &welcome);
	if (devices.text[0] != '\0')
		follow_note(&s->set, NULL, true, "%s", devices.text);
	root_remove_leftovers(&s->arena);
	tell_left(s);
}

static void send_present(struct session *s, const struct follow *follow)
{
	struct frame_present present = { .id = follow->id };

	present.state = follow->state == FOLLOW_ENDED ? PRESENT_ENDED : PRESENT_RUNNING;
	protocol_put_present(outbox_control(&s->out), &present);
}

static void find_present(struct session *s, uint64_t run)
{
	char *prefix = arena_printf(&s->arena, "%s-%" PRIu64 "-", s->home, run);
	char **names;
	size_t count = root_list(&s->arena, "attempts", prefix, &names);

	for (size_t i = 0; i < count; i++) {
		struct attempt_id id;
		struct follow *follow;

		if (!place_parse(names[i], s->home, &id))
			continue;
		follow = follow_find(&s->set, &id);
		if (follow == NULL) {
			follow = follow_add(&s->set, &id);
			follow_begin(&s->set, follow);
		}
		send_present(s, follow);
	}
}

static void ask_for_leases(struct session *s, int64_t now)
{
	/* Who does not listen does not answer either: what he finds later must not be a heap of old asks. */
	if (outbox_control_has_room(&s->out))
		protocol_put_ping(outbox_control(&s->out), FRAME_LEASE_ASK,
				  &(struct frame_ping){ .number = (uint64_t)clock_mono_ms() });
	s->lease_ask_ms = awake_after(now, s->lease_every_ms);
}

/* Before anything of the run is started the scheduler knows this machine's clock. */
static void keep_asking(struct session *s, int64_t lease_ms)
{
	int64_t every_ms = lease_ms / LEASE_ASKS;

	every_ms = every_ms < LEASE_ASK_MIN_MS ? LEASE_ASK_MIN_MS : every_ms;
	every_ms = every_ms > LEASE_ASK_MAX_MS ? LEASE_ASK_MAX_MS : every_ms;
	if (s->lease_every_ms == 0 || every_ms < s->lease_every_ms)
		s->lease_every_ms = every_ms;
	ask_for_leases(s, awake_ms());
}

static void on_claim(struct session *s, const struct frame *frame)
{
	struct frame_claim claim;
	struct err err = { 0 };
	int rc;

	if (protocol_get_claim(frame, &s->arena, &claim) < 0) {
		give_up(s, "a claim is malformed");
		return;
	}
	rc = claim_take(s->home, claim.run, claim.epoch, &err);
	if (rc == ERR_DENIED && err.sys_errno == 0) {
		claim.refused = true;
		claim.text = err.text;
	} else if (rc < 0) {
		give_up(s, "run %" PRIu64 " cannot be claimed: %s", claim.run, err.text);
		return;
	} else {
		rundir_claim(s->home, claim.run);
		if (claim.lease_ms > 0)
			keep_asking(s, claim.lease_ms);
		find_present(s, claim.run);
	}
	protocol_put_claim(outbox_control(&s->out), FRAME_INVENTORY, &claim);
}

static const char *check_spec(const struct spec *spec)
{
	if (spec->id.number < 1)
		return "attempts are counted from 1";
	if (spec->argc < 1)
		return "there is no command";
	if (spec->grace_ms < 0 || spec->timeout_ms < 0 || spec->stall_ms < 0 || spec->settle_ms < 0 ||
	    spec->keep < 0 || spec->lease_ms < 0 || spec->lease_from_ms < 0)
		return "a limit is negative";
	for (size_t i = 0; i < spec->provisions_count; i++) {
		const char *wrong = install_check(&spec->provisions[i]);

		if (wrong != NULL)
			return wrong;
		if (spec->workdir[0] != '/' && strcmp(spec->workdir, ".") != 0 &&
		    !parcel_path_valid(spec->workdir))
			return "its workdir leads out of the folder of the run";
	}
	return NULL;
}

static void fail_start(struct session *s, struct follow *follow, bool transient, const char *text)
{
	struct record_exit exit = {
		.kind = EXIT_NOT_STARTED,
		.reason = REASON_NOT_STARTED,
		.transient = transient,
		.ended_wall_ms = clock_wall_ms(),
		.text = text,
	};

	follow_fail(&s->set, follow, &exit);
}

static void not_started(struct session *s, struct follow *follow, int sys_errno, const char *text)
{
	fail_start(s, follow, step_error_is_transient(sys_errno), text);
}

/* A kill by the kernel counts as the step's if it came after this; a moment's imprecision does no harm. */
static uint64_t oom_before(struct session *s)
{
	int64_t now = awake_ms();

	if (now - s->oom_seen_ms > OOM_FRESH_MS) {
		s->oom_seen = oom_begin();
		s->oom_seen_ms = now;
	}
	return s->oom_seen;
}

/* All that it needs is in place. */
static void start_supervisor(struct session *s, struct follow *follow, const struct frame *frame,
			     struct spec *spec)
{
	struct supervise_plan plan = { .root = s->root, .home = s->home, .null_fd = s->null_fd };
	pid_t pid;

	rundir_resolve(spec, s->root, s->home, &s->arena);
	/* What was granted while it waited for its files is its too. */
	if (follow->granted > spec->lease_from_ms)
		spec->lease_from_ms = follow->granted;
	if (spec->artifacts_count > 0) /* it may make them anew */
		held_unmark((struct held){ s->home, spec->id.run }, PROVISION_ARTIFACTS, spec->id.task);
	plan.frame = frame->body - (frame->whole_bytes - frame->body_bytes);
	plan.frame_bytes = frame->whole_bytes;
	plan.spec = spec;
	plan.report_fd = s->reports[1];
	plan.oom_before = oom_before(s);
	spare_take_attempt(&s->spares, plan.spare_attempt);
	if (spec->fresh && spec->checkpoint_dir[0] == '\0')
		spare_take_task(&s->spares, plan.spare_task);
	pid = fork();
	if (pid == 0)
		supervise_run(&plan);
	if (pid < 0) {
		not_started(s, follow, errno, "fork the supervisor: no process could be made");
		return;
	}
	follow->supervisor = pid;
	follow->is_child = true;
}

static void on_start(struct session *s, const struct frame *frame)
{
	struct follow *follow;
	const char *wrong;
	struct spec spec;

	if (protocol_get_spec(frame, &s->arena, &spec) < 0) {
		give_up(s, "a start is malformed");
		return;
	}
	if (follow_find(&s->set, &spec.id) != NULL)
		return; /* Said twice. */
	follow = follow_add(&s->set, &spec.id);
	follow->renewable = spec.lease_ms > 0;
	follow_attach(&s->set, follow, 0, 0);
	wrong = check_spec(&spec);
	if (wrong != NULL)
		not_started(s, follow, 0, wrong);
	else if (provision_is_ready(&s->provision, &spec))
		start_supervisor(s, follow, frame, &spec);
	else
		provision_wait(&s->provision, frame);
}

/* Starts that waited for what they need. */
static void start_provided(struct session *s)
{
	struct provision_end end;

	while (provision_next(&s->provision, &end)) {
		struct follow *follow = follow_find(&s->set, &end.id);
		struct frame frame;
		struct spec spec;

		if (follow != NULL && end.failed)
			fail_start(s, follow, end.transient, end.text);
		else if (follow != NULL && protocol_next(end.frame.data, end.frame.bytes, &frame, NULL) == 1 &&
			 protocol_get_spec(&frame, &s->arena, &spec) == 0)
			start_supervisor(s, follow, &frame, &spec);
		buf_fini(&end.frame);
		arena_reset(&s->arena);
	}
}

static void on_report(struct session *s, const struct supervise_report *report)
{
	struct follow *follow = follow_find(&s->set, &report->id);

	if (follow == NULL || follow->state != FOLLOW_STARTING)
		return;
	switch (report->outcome) {
	case SUPERVISE_PUBLISHED:
		follow->start_ticks = report->start_ticks;
		follow_begin(&s->set, follow);
		break;
	case SUPERVISE_PRESENT:
		follow->is_child = false; /* that process ends; another one holds the attempt */
		follow_begin(&s->set, follow);
		break;
	case SUPERVISE_REFUSED:
		follow_note(&s->set, &report->id, true, "not started: %s", report->text);
		follow_remove(&s->set, follow);
		break;
	default:
		follow->is_child = false;
		not_started(s, follow, report->sys_errno, report->text);
		break;
	}
}

static void on_stop(struct session *s, const struct frame *frame)
{
	struct frame_stop stop;
	struct follow *follow;

	if (protocol_get_stop(frame, &stop) < 0) {
		give_up(s, "a stop is malformed");
		return;
	}
	follow = follow_find(&s->set, &stop.id);
	if (follow == NULL) {
		follow_note(&s->set, &stop.id, true, "asked to stop an attempt that is not here");
	} else if (follow->state == FOLLOW_RUNNING) {
		follow_stop(&s->set, follow, &stop);
	} else if (follow->state == FOLLOW_STARTING && provision_cancel(&s->provision, &stop.id)) {
		follow_fail(&s->set, follow,
			    &(struct record_exit){ .kind = EXIT_NOT_STARTED,
						   .reason = stop.reason,
						   .stopped = true,
						   .ended_wall_ms = clock_wall_ms(),
						   .text = "stopped before it had started" });
	} else if (follow->state == FOLLOW_STARTING) {
		follow->stop_asked = true; /* passed on when it can be */
		follow->stop = stop;
	}
}

static void on_attach(struct session *s, const struct frame *frame)
{
	struct frame_attach attach;
	struct follow *follow;

	if (protocol_get_attach(frame, &attach) < 0) {
		give_up(s, "an attach is malformed");
		return;
	}
	follow = follow_find(&s->set, &attach.id);
	if (follow == NULL) {
		follow_note(&s->set, &attach.id, true, "asked to attach an attempt that is not here");
		return;
	}
	follow->renewable = attach.renew;
	follow_attach(&s->set, follow, attach.journal_offset, attach.log_offset);
}

static void on_stored(struct session *s, const struct frame *frame)
{
	struct frame_stored stored;
	struct follow *follow;

	if (protocol_get_stored(frame, &stored) < 0) {
		give_up(s, "a receipt is malformed");
		return;
	}
	follow = follow_find(&s->set, &stored.id);
	if (follow != NULL)
		follow_stored(&s->set, follow, stored.log_offset);
}

/* The folder of a task without checkpoints, once no attempt of it is here, serves another one. */
static void keep_task(struct session *s, const struct attempt_id *id)
{
	char name[PLACE_NAME_BYTES];

	list_each (at, &s->set.all) {
		const struct attempt_id *other = &list_entry(at, struct follow, all)->id;

		if (other->run == id->run && other->task == id->task)
			return;
	}
	spare_keep_task(&s->spares, place_task(name, s->home, id));
}

static void on_forget(struct session *s, const struct frame *frame)
{
	struct frame_attempt attempt;
	char name[PLACE_NAME_BYTES];
	struct follow *follow;
	uint64_t bytes;
	char *exit_path;
	bool closed;

	if (protocol_get_forget(frame, &attempt) < 0) {
		give_up(s, "a forget is malformed");
		return;
	}
	place_attempt(name, s->home, &attempt.id);
	follow = follow_find(&s->set, &attempt.id);
	exit_path = arena_printf(&s->arena, "attempts/%s/exit", name);
	if (follow != NULL ? follow->state != FOLLOW_ENDED : access(exit_path, F_OK) < 0) {
		if (follow != NULL)
			follow_note(&s->set, &attempt.id, true, "not removed: it has not ended");
		return;
	}
	bytes = follow == NULL ? UINT64_MAX : follow->log_end;
	closed = follow != NULL && follow->closed;
	if (follow != NULL)
		follow_remove(&s->set, follow);
	root_remove_attempt(name, bytes, closed, &s->spares);
	keep_task(s, &attempt.id);
}

static void on_release(struct session *s, const struct frame *frame)
{
	struct frame_claim claim;
	struct err err = { 0 };

	if (protocol_get_claim(frame, &s->arena, &claim) < 0) {
		give_up(s, "a release is malformed");
		return;
	}
	if (claim_release(s->home, claim.run, claim.epoch, &err) < 0) {
		follow_note(&s->set, NULL, true, "run %" PRIu64 " was not released: %s", claim.run, err.text);
		return;
	}
	spare_drop_all(&s->spares); /* a run that is over leaves nothing */
	rundir_release(s->home, claim.run, claim.keep, &s->arena);
	root_remove_empty_tasks(&s->arena, arena_printf(&s->arena, "%s-%" PRIu64 "-", s->home, claim.run));
}

static void on_parcel(struct session *s, const struct frame *frame)
{
	struct frame_parcel parcel;

	if (protocol_get_parcel(frame, &s->arena, &parcel) < 0)
		give_up(s, "a piece of a parcel is malformed");
	else
		provision_on_parcel(&s->provision, &parcel);
}

static void on_lease_grant(struct session *s, const struct frame *frame)
{
	struct frame_ping grant;

	if (protocol_get_ping(frame, &grant) < 0 || grant.number > INT64_MAX)
		give_up(s, "a lease is malformed");
	else
		follow_renew(&s->set, (int64_t)grant.number);
}

/* --- looking at this machine ---------------------------------------------------------------------------- */

static void end_check(struct session *s, const char *trouble)
{
	struct frame_finding finding = { .last = true };

	if (trouble != NULL)
		finding = (struct frame_finding){
			.name = "check",
			.verdict = FINDING_PROBLEM,
			.text = trouble,
			.remedy = "see whether a disk or a driver hangs there (processes in state D)",
			.last = true,
		};
	s->check_late_ms = AWAKE_NEVER;
	protocol_put_finding(outbox_control(&s->out), &finding);
}

static void on_check(struct session *s)
{
	struct epoll_event event = { .events = EPOLLIN, .data.ptr = &sources[SOURCE_CHECK] };
	struct err err;

	if (s->check_late_ms != AWAKE_NEVER)
		return; /* Said twice. */
	s->check = (struct check){ .root = s->root, .home = s->home };
	if (helper_start(&s->checker, check_work, &s->check, s->null_fd, &err) < 0) {
		end_check(s, err.text);
		return;
	}
	epoll_ctl(s->epoll, EPOLL_CTL_ADD, s->checker.pipe, &event);
	s->check_late_ms = awake_after(awake_ms(), CHECK_LIMIT_MS);
}

/* What is found is passed on as it comes. */
static void read_findings(struct session *s)
{
	bool ended = helper_read(&s->checker) == 1;
	struct buf *answer = &s->checker.answer;
	struct frame frame;
	size_t used = 0;

	while (protocol_next(answer->data + used, answer->bytes - used, &frame, NULL) == 1)
		used += frame.whole_bytes;
	buf_append(outbox_control(&s->out), answer->data, used);
	buf_consume(answer, used);
	if (ended)
		end_check(s, NULL);
}

static void give_up_check(struct session *s)
{
	helper_kill(&s->checker);
	end_check(s, "what comes next did not answer in time");
}

static void on_get(struct session *s, const struct frame *frame)
{
	struct frame_get get;

	if (protocol_get_get(frame, &s->arena, &get) < 0)
		give_up(s, "a wish for a parcel is malformed");
	else
		offer_on_get(&s->offers, &get);
}

static void on_ping(struct session *s, const struct frame *frame)
{
	struct frame_ping ping;
	struct frame_pong pong;

	if (protocol_get_ping(frame, &ping) < 0) {
		give_up(s, "a ping is malformed");
		return;
	}
	if (s->load_ms == 0 || awake_ms() - s->load_ms >= LOAD_MS) {
		load_measure(s->root, &s->load);
		s->load_ms = awake_ms();
	}
	pong = (struct frame_pong){ .number = ping.number, .load = s->load };
	protocol_put_pong(outbox_control(&s->out), &pong);
}

static void on_frame(struct session *s, const struct frame *frame)
{
	if (s->home[0] == '\0' && frame->type != FRAME_HELLO) {
		give_up(s, "the first frame is of type %d and not a greeting", (int)frame->type);
		return;
	}
	switch (frame->type) {
	case FRAME_HELLO:
		on_hello(s, frame);
		break;
	case FRAME_CLAIM:
		on_claim(s, frame);
		break;
	case FRAME_START:
		on_start(s, frame);
		break;
	case FRAME_STOP:
		on_stop(s, frame);
		break;
	case FRAME_ATTACH:
		on_attach(s, frame);
		break;
	case FRAME_STORED:
		on_stored(s, frame);
		break;
	case FRAME_FORGET:
		on_forget(s, frame);
		break;
	case FRAME_RELEASE:
		on_release(s, frame);
		break;
	case FRAME_PING:
		on_ping(s, frame);
		break;
	case FRAME_CHECK:
		on_check(s);
		break;
	case FRAME_PARCEL:
		on_parcel(s, frame);
		break;
	case FRAME_LEASE_GRANT:
		on_lease_grant(s, frame);
		break;
	case FRAME_GET:
		on_get(s, frame);
		break;
	default:
		break; /* of a later version */
	}
	arena_reset(&s->arena);
}

/* --- the loop ------------------------------------------------------------------------------------------- */

static void take_frames(struct session *s)
{
	struct frame frame;
	struct err err = { 0 };
	size_t done = 0;
	int rc = 0;

	while (!s->done && outbox_control_has_room(&s->out) &&
	       (rc = protocol_next(s->in.data + done, s->in.bytes - done, &frame, &err)) == 1) {
		on_frame(s, &frame);
		done += frame.whole_bytes;
	}
	buf_consume(&s->in, done);
	if (rc < 0)
		give_up(s, "what came from the scheduler is not the protocol: %s", err.text);
}

static void read_input(struct session *s)
{
	ssize_t n;

	buf_reserve(&s->in, READ_BYTES);
	n = read(STDIN_FILENO, s->in.data + s->in.bytes, READ_BYTES);
	if (n > 0) {
		s->in.bytes += (size_t)n;
		take_frames(s);
	} else if (n == 0 || (errno != EAGAIN && errno != EINTR)) {
		s->done = true; /* The connection is gone; nothing here is worth a farewell. */
	}
}

static void read_reports(struct session *s)
{
	struct supervise_report reports[8];
	ssize_t n;

	do {
		n = read(s->reports[0], reports, sizeof reports);
		for (ssize_t i = 0; i < n / (ssize_t)sizeof reports[0]; i++)
			on_report(s, &reports[i]);
	} while (n == (ssize_t)sizeof reports);
}

/* A supervisor that was killed before it could say a word: did it make the attempt or not? */
static void look_for_stillborn(struct session *s, pid_t pid)
{
	list_each (at, &s->set.live) {
		struct follow *follow = list_entry(at, struct follow, live);

		if (follow->state != FOLLOW_STARTING || follow->supervisor != pid)
			continue;
		follow->is_child = false;
		if (access(arena_printf(&s->arena, "attempts/%s/spec", follow->name), F_OK) == 0)
			follow_begin(&s->set, follow);
		else
			not_started(s, follow, EAGAIN, "its supervisor died before it had begun");
		return;
	}
}

static void read_signals(struct session *s)
{
	struct signalfd_siginfo infos[8];
	ssize_t n = read(s->signals, infos, sizeof infos); /* three kinds, each pending once at most */
	pid_t pid;

	for (ssize_t i = 0; i < n / (ssize_t)sizeof infos[0]; i++)
		s->done |= infos[i].ssi_signo == SIGTERM;
	read_reports(s); /* written before their writers died */
	while ((pid = waitpid(-1, NULL, WNOHANG)) > 0) {
		look_for_stillborn(s, pid);
		helper_reaped(&s->checker, pid);
		follow_on_child(&s->set, pid);
	}
	arena_reset(&s->arena);
}

static void ask_epoll(struct session *s, int fd, enum source source, uint32_t *current, uint32_t wanted)
{
	struct epoll_event event = { .events = wanted, .data.ptr = &sources[source] };

	if (*current != wanted && epoll_ctl(s->epoll, EPOLL_CTL_MOD, fd, &event) == 0)
		*current = wanted;
}

/* False: there are no more pieces to be had of what is offered. One piece may fill the lane, so who is first changes. */
static bool fill_output(struct session *s)
{
	bool more;

	s->logs_first = !s->logs_first;
	if (s->logs_first)
		follow_pump(&s->set);
	more = !outbox_bulk_has_room(&s->out) || offer_pump(&s->offers);
	if (!s->logs_first)
		follow_pump(&s->set);
	return more;
}

/* A damaged disk, or somebody who cuts files off: of an artifact, its digest tells, too. */
static void tell_made_up(struct session *s)
{
	if (s->out.made_up == 0)
		return;
	follow_note(&s->set, NULL, true, "%" PRIu64 " bytes of a log or of a file could not be read; zeros stand for them",
		    s->out.made_up);
	s->out.made_up = 0;
}

static void write_output(struct session *s)
{
	bool more;

	do {
		more = fill_output(s);
		if (outbox_write(&s->out, STDOUT_FILENO, awake_ms()) < 0) {
			s->done = true;
			return;
		}
		tell_made_up(s);
	} while (outbox_empty(&s->out) &&
		 (more || !list_empty(&s->set.journals) || !list_empty(&s->set.logs)));
	ask_epoll(s, STDOUT_FILENO, SOURCE_OUTPUT, &s->output_events,
		  outbox_empty(&s->out) || outbox_rests_until_ms(&s->out) != AWAKE_NEVER ? 0 : EPOLLOUT);
	/* One who asks but does not read the answers is not listened to until he does. */
	ask_epoll(s, STDIN_FILENO, SOURCE_INPUT, &s->input_events,
		  outbox_control_has_room(&s->out) ? EPOLLIN : 0);
}

static void on_event(struct session *s, void *source, bool *input_out)
{
	if (source == &sources[SOURCE_INPUT])
		*input_out = true;
	else if (source == &sources[SOURCE_SIGNALS])
		read_signals(s);
	else if (source == &sources[SOURCE_INOTIFY])
		follow_on_inotify(&s->set);
	else if (source == &sources[SOURCE_REPORTS])
		read_reports(s);
	else if (source == &sources[SOURCE_PROVISION])
		provision_on_events(&s->provision);
	else if (source == &sources[SOURCE_CHECK])
		read_findings(s);
	else if (source == &sources[SOURCE_OFFER])
		offer_on_events(&s->offers);
	else if (source != &sources[SOURCE_OUTPUT])
		follow_on_pidfd(&s->set, source);
}

static void loop(struct session *s)
{
	struct epoll_event events[EVENTS];
	int64_t poll_ms = AWAKE_NEVER, provision_ms = AWAKE_NEVER;

	while (!s->done) {
		int64_t due = awake_sooner(awake_sooner(awake_sooner(poll_ms, provision_ms),
							awake_sooner(s->lease_ask_ms, s->check_late_ms)),
					   outbox_rests_until_ms(&s->out));
		int64_t now = awake_ms();
		bool input = false;
		int n = epoll_wait(s->epoll, events, EVENTS,
				   due == AWAKE_NEVER ? -1
				   : due <= now	      ? 0
						      : (int)(due - now));

		for (int i = 0; i < n; i++)
			on_event(s, events[i].data.ptr, &input);
		/* Last, for a frame may remove an attempt that another event of this turn is about. */
		if (input)
			read_input(s);
		now = awake_ms();
		if (poll_ms == AWAKE_NEVER || now >= poll_ms || n > 0)
			poll_ms = follow_poll(&s->set, now);
		provision_ms = provision_turn(&s->provision, now);
		start_provided(s);
		if (now >= s->lease_ask_ms)
			ask_for_leases(s, now);
		if (now >= s->check_late_ms)
			give_up_check(s);
		write_output(s);
		if (!s->done && s->in.bytes > 0 && outbox_control_has_room(&s->out))
			take_frames(s);
	}
}

static int add_source(struct session *s, int fd, uint32_t events, enum source source)
{
	struct epoll_event event = { .events = events, .data.ptr = &sources[source] };

	return fd < 0 ? 0 : epoll_ctl(s->epoll, EPOLL_CTL_ADD, fd, &event);
}

static int set_up_loop(struct session *s)
{
	sigset_t wanted;

	sigemptyset(&wanted);
	sigaddset(&wanted, SIGCHLD);
	sigaddset(&wanted, SIGTERM);
	sigaddset(&wanted, SUPERVISE_NUDGE);
	sigprocmask(SIG_BLOCK, &wanted, NULL);
	signal(SIGPIPE, SIG_IGN);
	s->null_fd = open("/dev/null", O_RDWR | O_CLOEXEC);
	s->epoll = epoll_create1(EPOLL_CLOEXEC);
	s->signals = signalfd(-1, &wanted, SFD_CLOEXEC | SFD_NONBLOCK);
	if (s->null_fd < 0 || s->epoll < 0 || s->signals < 0 || pipe2(s->reports, O_CLOEXEC) < 0 ||
	    provision_set_init(&s->provision, &s->out) < 0 || offer_set_init(&s->offers, &s->out) < 0)
		return -1;
	fcntl(s->reports[0], F_SETFL, O_NONBLOCK);
	fcntl(STDIN_FILENO, F_SETFL, fcntl(STDIN_FILENO, F_GETFL) | O_NONBLOCK);
	fcntl(STDOUT_FILENO, F_SETFL, fcntl(STDOUT_FILENO, F_GETFL) | O_NONBLOCK);
	follow_set_init(&s->set, s->root, s->epoll, s->null_fd, &s->out);
	helper_init(&s->checker);
	s->check_late_ms = AWAKE_NEVER;
	s->input_events = EPOLLIN;
	return add_source(s, STDIN_FILENO, EPOLLIN, SOURCE_INPUT) < 0 ||
			       add_source(s, STDOUT_FILENO, 0, SOURCE_OUTPUT) < 0 ||
			       add_source(s, s->signals, EPOLLIN, SOURCE_SIGNALS) < 0 ||
			       add_source(s, s->set.inotify, EPOLLIN, SOURCE_INOTIFY) < 0 ||
			       add_source(s, s->reports[0], EPOLLIN, SOURCE_REPORTS) < 0 ||
			       add_source(s, s->provision.epoll, EPOLLIN, SOURCE_PROVISION) < 0 ||
			       add_source(s, s->offers.epoll, EPOLLIN, SOURCE_OFFER) < 0
		       ? -1
		       : 0;
}

static void say_farewell(struct session *s)
{
	int64_t until = awake_ms() + FAREWELL_MS;

	while (outbox_write(&s->out, STDOUT_FILENO, awake_ms()) == 0 && !outbox_empty(&s->out) && awake_ms() < until)
		usleep(1000);
}

static void session_fini(struct session *s)
{
	helper_kill(&s->checker);
	buf_fini(&s->checker.answer);
	provision_set_fini(&s->provision);
	offer_set_fini(&s->offers);
	follow_set_fini(&s->set);
	outbox_fini(&s->out);
	buf_fini(&s->in);
	arena_fini(&s->arena);
	free(s->root);
}

/* Before anything is started: it is born where this process is then. */
static void settle(struct session *s)
{
	struct survive survive;

	survive_settle(&s->arena, &survive);
	if (survive.lingers_now)
		follow_note(&s->set, NULL, false, "this user's service manager now goes on after logout (loginctl"
						  " enable-linger), so that steps do");
	if (survive.verdict == SURVIVE_NOT || survive.verdict == SURVIVE_UNKNOWN)
		follow_note(&s->set, NULL, true, "%s; %s", survive.text, survive.remedy);
	arena_reset(&s->arena);
}

int session_serve(const char *root)
{
	struct session session = { .reports = { -1, -1 }, .lease_ask_ms = AWAKE_NEVER };
	const char *warning = NULL;
	struct err err = { 0 };

	arena_init(&session.arena);
	setsid(); /* Its supervisors are in it, and what a login does with its own is none of their business. */
	if (set_up_loop(&session) < 0) {
		fprintf(stderr, "stoker-agent: set up the loop: %s\n", strerror(errno));
		return 1;
	}
	oom_open();
	if (root_open(root, &session.arena, &session.root, &warning, &err) < 0)
		give_up(&session, "its folder is of no use: %s", err.text);
	else if (warning != NULL)
		follow_note(&session.set, NULL, true, "%s", warning);
	session.set.root = session.root;
	if (!session.done)
		settle(&session);
	write_output(&session);
	loop(&session);
	spare_drop_all(&session.spares);
	if (session.status != 0)
		say_farewell(&session);
	session_fini(&session);
	return session.status;
}
