#include "executor/agent/follow.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/inotify.h>
#include <unistd.h>

#include "common/clock.h"
#include "common/mem.h"
#include "common/scope.h"
#include "executor/agent/awake.h"
#include "executor/agent/lease.h"
#include "executor/agent/process.h"
#include "executor/agent/supervise.h"
#include "executor/agent/sweep.h"

enum { KEPT_OPEN_MAX = 512, POLL_MS = 200, SWEEP_AGAIN_MS = 1000, EVENTS_BYTES = 64 * 1024 };
enum { LOOK_JOURNAL = 1, LOOK_LOG = 2, LOOK_EXIT = 4, LOOK_ALL = 7 };

void follow_note(struct follow_set *set, const struct attempt_id *id, bool warning, const char *format, ...)
{
	struct frame_note note = { .warning = warning };
	char text[1024];
	va_list args;

	if (id != NULL)
		note.id = *id;
	va_start(args, format);
	vsnprintf(text, sizeof text, format, args);
	va_end(args);
	note.text = text;
	protocol_put_note(outbox_control(set->out), FRAME_NOTE, &note);
}

/* --- the table ------------------------------------------------------------------------------------------ */

void follow_set_init(struct follow_set *set, const char *root, int epoll, int null_fd, struct outbox *out)
{
	*set = (struct follow_set){
		.root = root, .home = "", .epoll = epoll, .null_fd = null_fd, .out = out
	};
	list_init(&set->all);
	list_init(&set->live);
	list_init(&set->journals);
	list_init(&set->logs);
	set->inotify = getenv("STOKER_AGENT_NO_INOTIFY") != NULL ? -1
								 : inotify_init1(IN_NONBLOCK | IN_CLOEXEC);
}

static size_t bucket_of(const struct attempt_id *id)
{
	uint64_t hash = id->run * 0x9e3779b97f4a7c15ULL ^ id->task * 0xc2b2ae3d27d4eb4fULL ^ id->number;

	return (size_t)(hash >> 32 ^ hash) % FOLLOW_BUCKETS;
}

static bool same_id(const struct attempt_id *a, const struct attempt_id *b)
{
	return a->run == b->run && a->task == b->task && a->number == b->number;
}

struct follow *follow_find(const struct follow_set *set, const struct attempt_id *id)
{
	struct follow *at = set->by_id[bucket_of(id)];

	while (at != NULL && !same_id(&at->id, id))
		at = at->next_by_id;
	return at;
}

struct follow *follow_add(struct follow_set *set, const struct attempt_id *id)
{
	struct follow *follow = mem_zalloc(sizeof *follow);
	struct follow **bucket = &set->by_id[bucket_of(id)];

	follow->id = *id;
	place_attempt(follow->name, set->home, id);
	follow->pidfd = follow->watch = follow->dir = -1;
	list_append(&set->all, &follow->all);
	list_append(&set->live, &follow->live);
	list_init(&follow->journals);
	list_init(&follow->logs);
	follow->next_by_id = *bucket;
	*bucket = follow;
	return follow;
}

static struct follow *find_by_watch(const struct follow_set *set, int watch)
{
	struct follow *at = set->by_watch[watch % FOLLOW_BUCKETS];

	while (at != NULL && at->watch != watch)
		at = at->next_by_watch;
	return at;
}

static void stop_noticing(struct follow_set *set, struct follow *follow)
{
	if (follow->watch >= 0) {
		struct follow **slot = &set->by_watch[follow->watch % FOLLOW_BUCKETS];

		while (*slot != follow)
			slot = &(*slot)->next_by_watch;
		*slot = follow->next_by_watch;
		inotify_rm_watch(set->inotify, follow->watch);
		follow->watch = -1;
	}
	if (follow->pidfd >= 0)
		close(follow->pidfd); /* leaves the epoll set with it */
	follow->pidfd = -1;
}

void follow_remove(struct follow_set *set, struct follow *follow)
{
	struct follow **slot = &set->by_id[bucket_of(&follow->id)];

	while (*slot != follow)
		slot = &(*slot)->next_by_id;
	*slot = follow->next_by_id;
	stop_noticing(set, follow);
	list_remove(&follow->all);
	list_remove(&follow->live);
	list_remove(&follow->journals);
	list_remove(&follow->logs);
	buf_fini(&follow->exited);
	if (follow->dir >= 0)
		close(follow->dir);
	free(follow);
}

void follow_set_fini(struct follow_set *set)
{
	list_each (at, &set->all)
		follow_remove(set, list_entry(at, struct follow, all));
	buf_fini(&set->records);
}

/* The attempt's folder, or -1. It stays open while descriptors are plenty. */
static int open_folder(struct follow *follow)
{
	char path[PLACE_NAME_BYTES + 16];
	int dir = follow->dir;

	if (dir >= 0)
		return dir;
	snprintf(path, sizeof path, "attempts/%s", follow->name);
	dir = openat(AT_FDCWD, path, O_PATH | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);
	if (dir >= 0 && dir < KEPT_OPEN_MAX)
		follow->dir = dir;
	return dir;
}

static void close_folder(const struct follow *follow, int dir)
{
	if (dir >= 0 && dir != follow->dir)
		close(dir);
}

/* --- its end -------------------------------------------------------------------------------------------- */

static void want(struct list *list, struct list *element)
{
	if (list_empty(element))
		list_append(list, element);
}

static void has_ended(struct follow_set *set, struct follow *follow, const struct record_exit *exit)
{
	follow->state = FOLLOW_ENDED;
	follow->closed = exit->kind != EXIT_LOST;
	follow->journal_end = exit->journal_bytes;
	follow->log_end = exit->log_bytes;
	protocol_put_exited(&follow->exited, &(struct frame_exited){ .id = follow->id, .exit = *exit });
	list_remove(&follow->live);
	stop_noticing(set, follow);
	if (!follow->attached)
		return;
	want(&set->journals, &follow->journals);
	if (follow->log_end > follow->log_sent)
		want(&set->logs, &follow->logs);
}

void follow_fail(struct follow_set *set, struct follow *follow, const struct record_exit *exit)
{
	has_ended(set, follow, exit);
}

static uint64_t count_journal(int dir)
{
	autobuf struct buf records = { 0 };
	uint64_t bytes = 0;
	ssize_t n;

	while ((n = spool_journal_read(dir, bytes, PROTOCOL_DATA_BYTES_MAX, &records)) > 0) {
		bytes += (uint64_t)n;
		buf_clear(&records);
	}
	return bytes;
}

/* What the folder holds is taken as it is: a damaged record is an end that nobody knows. */
static void fill_damaged(int dir, struct record_exit *exit)
{
	struct spool_shape shape;

	spool_shape_read(dir, true, &shape);
	*exit = (struct record_exit){
		.kind = EXIT_LOST,
		.reason = REASON_SUPERVISOR_LOST,
		.ended_wall_ms = clock_wall_ms(),
		.log_bytes = spool_shape_bytes(&shape),
		.journal_bytes = count_journal(dir),
		.text = "its exit record is damaged",
	};
}

static void look_for_exit(struct follow_set *set, struct follow *follow)
{
	int dir = open_folder(follow);
	struct record_exit exit;
	struct arena arena;
	int rc;

	if (dir < 0)
		return;
	arena_init(&arena);
	rc = spool_exit_read(dir, &arena, &exit);
	if (rc < 0)
		fill_damaged(dir, &exit);
	if (rc != 0) {
		if (exit.log_bytes > 0)
			spool_shape_read(dir, true, &follow->shape);
		has_ended(set, follow, &exit);
	}
	arena_fini(&arena);
	close_folder(follow, dir);
}

static void look(struct follow_set *set, struct follow *follow, int what)
{
	if (follow->state != FOLLOW_RUNNING)
		return;
	if (what & LOOK_EXIT)
		look_for_exit(set, follow);
	if (!follow->attached)
		return;
	if (what & LOOK_JOURNAL)
		want(&set->journals, &follow->journals);
	if (what & LOOK_LOG)
		want(&set->logs, &follow->logs);
}

/*
 * Its supervisor is dead. The record it wrote last stands; without one somebody else has to find out and
 * write it.
 */
static void sweep(struct follow_set *set, struct follow *follow, int64_t now_ms)
{
	struct sweep_plan plan = {
		.root = set->root, .home = set->home, .name = follow->name, .null_fd = set->null_fd
	};

	look(set, follow, LOOK_ALL);
	if (follow->state != FOLLOW_RUNNING || follow->sweeper != 0 || now_ms < follow->sweep_ms)
		return;
	follow->sweep_ms = now_ms + SWEEP_AGAIN_MS;
	follow->sweeper = fork();
	if (follow->sweeper == 0)
		sweep_run(&plan);
	if (follow->sweeper < 0)
		follow->sweeper = 0; /* Tried again by follow_poll. */
}

/* --- noticing ------------------------------------------------------------------------------------------- */

static void add_watch(struct follow_set *set, struct follow *follow)
{
	char path[PLACE_NAME_BYTES + 16];
	struct follow **bucket;

	if (set->inotify < 0)
		return;
	snprintf(path, sizeof path, "attempts/%s", follow->name);
	follow->watch = inotify_add_watch(set->inotify, path, IN_MODIFY | IN_MOVED_TO | IN_ONLYDIR);
	if (follow->watch < 0)
		return;
	bucket = &set->by_watch[follow->watch % FOLLOW_BUCKETS];
	follow->next_by_watch = *bucket;
	*bucket = follow;
}

static void find_leader(struct follow_set *set, struct follow *follow)
{
	int dir = open_folder(follow);
	struct record_identity identity;
	struct arena arena;
	struct err err;

	arena_init(&arena);
	if (dir >= 0 && spool_spec_read(dir, &arena, NULL, &identity, &err) == 0 &&
	    strcmp(identity.boot_id, process_boot_id()) == 0) {
		follow->supervisor = (pid_t)identity.pid;
		follow->start_ticks = (uint64_t)identity.start_ticks;
		follow->lives = process_lives(follow->supervisor, follow->start_ticks);
	}
	arena_fini(&arena);
	close_folder(follow, dir);
	if (!follow->lives)
		return;
	follow->pidfd = process_open(follow->supervisor, follow->start_ticks);
	if (follow->pidfd >= 0 &&
	    epoll_ctl(set->epoll, EPOLL_CTL_ADD, follow->pidfd,
		      &(struct epoll_event){ .events = EPOLLIN, .data.ptr = follow }) < 0) {
		close(follow->pidfd);
		follow->pidfd = -1;
	}
}

static void leave_granted(struct follow *follow)
{
	int dir = open_folder(follow);

	if (dir >= 0)
		lease_renew(dir, follow->granted);
	close_folder(follow, dir);
}

void follow_begin(struct follow_set *set, struct follow *follow)
{
	follow->state = FOLLOW_RUNNING;
	if (follow->granted > 0)
		leave_granted(follow);
	add_watch(set, follow);
	if (follow->is_child)
		follow->lives = true; /* SIGCHLD tells when not any more. */
	else
		find_leader(set, follow);
	if (follow->stop_asked)
		follow_stop(set, follow, &follow->stop);
	if (follow->lives)
		look(set, follow, LOOK_ALL); /* what happened before the watch was there */
	else
		sweep(set, follow, awake_ms());
}

void follow_on_pidfd(struct follow_set *set, struct follow *follow)
{
	if (follow->pidfd < 0)
		return;
	close(follow->pidfd);
	follow->pidfd = -1;
	follow->lives = false;
	sweep(set, follow, awake_ms());
}

bool follow_on_child(struct follow_set *set, pid_t pid)
{
	list_each (at, &set->all) {
		struct follow *follow = list_entry(at, struct follow, all);

		if (follow->is_child && follow->supervisor == pid) {
			follow->is_child = follow->lives = false;
			if (follow->state == FOLLOW_RUNNING)
				sweep(set, follow, awake_ms());
			return true;
		}
		if (follow->sweeper == pid) {
			follow->sweeper = 0;
			look(set, follow, LOOK_ALL);
			return true;
		}
	}
	return false;
}

static int what_changed(const char *name)
{
	if (strcmp(name, "log") == 0)
		return LOOK_LOG;
	if (strcmp(name, "journal") == 0)
		return LOOK_JOURNAL;
	return strcmp(name, "exit") == 0 ? LOOK_ALL : 0;
}

void follow_on_inotify(struct follow_set *set)
{
	_Alignas(struct inotify_event) static char events[EVENTS_BYTES];
	ssize_t n = read(set->inotify, events, sizeof events);

	for (char *at = events; n > 0 && at < events + n;) {
		const struct inotify_event *event = (const struct inotify_event *)(const void *)at;
		struct follow *follow;

		at += sizeof *event + event->len;
		if (event->mask & IN_Q_OVERFLOW) {
			list_each (live, &set->live)
				look(set, list_entry(live, struct follow, live), LOOK_ALL);
			continue;
		}
		follow = event->len > 0 ? find_by_watch(set, event->wd) : NULL;
		if (follow != NULL)
			look(set, follow, what_changed(event->name));
	}
}

int64_t follow_poll(struct follow_set *set, int64_t now_ms)
{
	bool needed = false;

	list_each (at, &set->live) {
		struct follow *follow = list_entry(at, struct follow, live);

		if (follow->state != FOLLOW_RUNNING)
			continue;
		if (follow->lives && !follow->is_child && follow->pidfd < 0)
			follow->lives = process_lives(follow->supervisor, follow->start_ticks);
		if (!follow->lives)
			sweep(set, follow, now_ms);
		else if (follow->watch < 0)
			look(set, follow, LOOK_ALL);
		needed |= !follow->lives || follow->watch < 0 || (!follow->is_child && follow->pidfd < 0);
	}
	return needed ? now_ms + POLL_MS : AWAKE_NEVER;
}

/* --- shipping ------------------------------------------------------------------------------------------- */

void follow_attach(struct follow_set *set, struct follow *follow, uint64_t journal_offset,
		   uint64_t log_offset)
{
	follow->attached = true;
	follow->exited_sent = false;
	follow->journal_sent = journal_offset;
	follow->log_sent = follow->log_stored = log_offset;
	if (follow->state == FOLLOW_STARTING)
		return;
	want(&set->journals, &follow->journals);
	want(&set->logs, &follow->logs);
}

void follow_stored(struct follow_set *set, struct follow *follow, uint64_t log_offset)
{
	if (log_offset <= follow->log_stored || !follow->attached)
		return;
	follow->log_stored = log_offset < follow->log_sent ? log_offset : follow->log_sent;
	want(&set->logs, &follow->logs);
}

void follow_renew(struct follow_set *set, int64_t number)
{
	list_each (at, &set->live) {
		struct follow *follow = list_entry(at, struct follow, live);

		if (!follow->renewable || number <= follow->granted)
			continue;
		follow->granted = number;
		if (follow->state == FOLLOW_RUNNING)
			leave_granted(follow);
	}
}

int follow_stop(struct follow_set *set, struct follow *follow, const struct frame_stop *stop)
{
	int dir = open_folder(follow);
	int rc = dir < 0 ? -1 : spool_request_write(dir, stop);

	if (rc < 0)
		follow_note(set, &follow->id, true, "the request to stop could not be written: %s",
			    strerror(errno));
	close_folder(follow, dir);
	if (rc < 0)
		return -1;
	/* One that is dead needs no nudge: what is left of it is ended anyway. */
	process_signal(follow->supervisor, follow->start_ticks, SUPERVISE_NUDGE);
	return 0;
}

static void send_data(struct buf *lane, const struct follow *follow, enum data_stream stream, uint64_t offset,
		      const uint8_t *bytes, size_t n)
{
	protocol_put_data(
		lane, &(struct frame_data){
			      .id = follow->id, .stream = stream, .offset = offset, .bytes = bytes, .n = n });
}

/* Sends what is there; true when more may be there but the outbox is full. */
static bool ship_journal(struct follow_set *set, struct follow *follow, int dir)
{
	while (outbox_control_has_room(set->out)) {
		ssize_t n;

		if (follow->state == FOLLOW_ENDED && follow->journal_sent >= follow->journal_end)
			return false;
		buf_clear(&set->records);
		n = spool_journal_read(dir, follow->journal_sent, PROTOCOL_DATA_BYTES_MAX, &set->records);
		if (n <= 0)
			return false;
		send_data(outbox_control(set->out), follow, STREAM_JOURNAL, follow->journal_sent,
			  set->records.data, (size_t)n);
		follow->journal_sent += (uint64_t)n;
		if (n < PROTOCOL_DATA_BYTES_MAX / 2)
			return false; /* That was all of it. */
	}
	return true;
}

static void pump_journals(struct follow_set *set)
{
	list_each (at, &set->journals) {
		struct follow *follow = list_entry(at, struct follow, journals);
		int dir = open_folder(follow);
		bool more = dir >= 0 && ship_journal(set, follow, dir);

		close_folder(follow, dir);
		if (more)
			return;
		list_remove(&follow->journals);
		if (follow->state == FOLLOW_ENDED && !follow->exited_sent) {
			buf_append(outbox_control(set->out), follow->exited.data, follow->exited.bytes);
			follow->exited_sent = true;
		}
	}
}

/* How much of its log may be sent now. */
static uint64_t log_allowance(const struct follow *follow)
{
	uint64_t window_end = follow->log_stored + PROTOCOL_WINDOW_BYTES;
	uint64_t max = window_end > follow->log_sent ? window_end - follow->log_sent : 0;

	if (follow->state == FOLLOW_ENDED) {
		uint64_t left = follow->log_end > follow->log_sent ? follow->log_end - follow->log_sent : 0;

		max = max < left ? max : left;
	}
	return max < PROTOCOL_DATA_BYTES_MAX ? max : PROTOCOL_DATA_BYTES_MAX;
}

/* One piece of its log; false when there is none to be sent now. */
static bool ship_piece(struct follow_set *set, struct follow *follow, int dir)
{
	struct buf *lane = outbox_bulk(set->out);
	struct frame_data data = { .id = follow->id, .stream = STREAM_LOG, .offset = follow->log_sent };
	uint64_t n = log_allowance(follow), there;
	size_t before = lane->bytes;
	uint8_t *room;
	int file;

	if (n == 0 || dir < 0)
		return false;
	if (follow->state != FOLLOW_ENDED)
		spool_shape_read(dir, false, &follow->shape);
	there = spool_shape_bytes(&follow->shape);
	there = there > follow->log_sent ? there - follow->log_sent : 0;
	data.n = (size_t)(n < there ? n : there);
	if (data.n == 0)
		return false;
	room = protocol_put_data_room(lane, &data); /* It is read to where it is sent from. */
	file = data.n < OUTBOX_FILE_BYTES_MIN ? -1
					      : spool_log_file(dir, &follow->shape, follow->log_sent, data.n);
	if (file >= 0) {
		outbox_bulk_from_file(set->out, file, (off_t)follow->log_sent, data.n);
	} else if (spool_log_read(dir, &follow->shape, follow->log_sent, room, data.n) != (ssize_t)data.n) {
		lane->bytes = before;
		return false;
	}
	follow->log_sent += data.n;
	return true;
}

static void pump_logs(struct follow_set *set)
{
	/* In turns: an attempt that prints much does not keep the others' words back. */
	while (!list_empty(&set->logs) && outbox_bulk_has_room(set->out)) {
		struct follow *follow = list_entry(set->logs.next, struct follow, logs);

		int dir = open_folder(follow);

		list_remove(&follow->logs);
		if (ship_piece(set, follow, dir))
			list_append(&set->logs, &follow->logs);
		close_folder(follow, dir);
	}
}

void follow_pump(struct follow_set *set)
{
	pump_journals(set);
	pump_logs(set);
}
