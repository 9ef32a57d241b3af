#include "executor/agent/provision.h"

#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/file.h"
#include "common/mem.h"
#include "common/parcel.h"
#include "common/scope.h"
#include "executor/agent/awake.h"
#include "executor/agent/files.h"
#include "executor/agent/helper.h"
#include "executor/agent/install.h"
#include "executor/agent/step.h"

enum {
	EVENTS = 16,
	HELPERS_MAX = 4,
	LOCK_RETRY_MS = 250,
	PATH_BYTES = 128,
	TELL_BYTES = PROTOCOL_WINDOW_BYTES / 8, /* of news before they are told */
};

/* Bytes on their way; one for each digest, however many pieces are made of it. */
struct fetch {
	struct list link;
	char digest[DIGEST_HEX_BYTES];
	char *name;
	struct frame_want want; /* as it is said again and again */
	int fd;			/* -1: another agent is at it */
	uint64_t total;
	uint64_t told; /* offset in the last FRAME_WANT */
	int64_t retry_ms;
};

enum piece_state { PIECE_FETCHING, PIECE_READY, PIECE_INSTALLING, PIECE_DONE, PIECE_FAILED };

/* One thing that is to be in place. */
struct piece {
	struct list link;
	struct arena arena;
	struct install install;
	struct attempt_id id; /* of the start that asked for it first */
	enum piece_state state;
	bool again; /* it was damaged once */
	size_t waiting;
	struct helper helper;
	bool transient;
	char text[512];
};

struct wait {
	struct list link;
	struct arena arena;
	struct buf frame;
	struct spec spec; /* in `arena` */
	size_t next;	  /* provision that is looked at */
	struct piece *piece;
	bool failed;
	bool transient;
	char text[512];
};

int provision_set_init(struct provision_set *set, struct outbox *out)
{
	*set = (struct provision_set){ .out = out, .home = "", .root = -1 };
	list_init(&set->waits);
	list_init(&set->pieces);
	list_init(&set->fetches);
	list_init(&set->done);
	set->epoll = epoll_create1(EPOLL_CLOEXEC);
	return set->epoll < 0 ? -1 : 0;
}

static void free_wait(struct wait *wait)
{
	list_remove(&wait->link);
	buf_fini(&wait->frame);
	arena_fini(&wait->arena);
	free(wait);
}

static void free_piece(struct piece *piece)
{
	list_remove(&piece->link);
	helper_kill(&piece->helper);
	buf_fini(&piece->helper.answer);
	arena_fini(&piece->arena);
	free(piece);
}

static void free_fetch(struct fetch *fetch)
{
	list_remove(&fetch->link);
	if (fetch->fd >= 0)
		close(fetch->fd);
	free(fetch->name);
	free(fetch);
}

void provision_set_fini(struct provision_set *set)
{
	list_each (at, &set->waits)
		free_wait(list_entry(at, struct wait, link));
	list_each (at, &set->done)
		free_wait(list_entry(at, struct wait, link));
	list_each (at, &set->pieces)
		free_piece(list_entry(at, struct piece, link));
	list_each (at, &set->fetches)
		free_fetch(list_entry(at, struct fetch, link));
	if (set->epoll >= 0)
		close(set->epoll);
	if (set->root >= 0)
		close(set->root);
}

/* --- fetching ------------------------------------------------------------------------------------------- */

static void name_parcel(char path[PATH_BYTES], const char *digest, const char *ending)
{
	snprintf(path, PATH_BYTES, "parcels/%s%s", digest, ending);
}

static bool is_stored(const char *digest)
{
	char path[PATH_BYTES];

	name_parcel(path, digest, "");
	return access(path, F_OK) == 0;
}

static struct fetch *find_fetch(const struct provision_set *set, const char *digest)
{
	list_each (at, &set->fetches) {
		struct fetch *fetch = list_entry(at, struct fetch, link);

		if (strcmp(fetch->digest, digest) == 0)
			return fetch;
	}
	return NULL;
}

static bool is_of(const struct piece *piece, const char *digest)
{
	return strcmp(piece->install.what.digest, digest) == 0;
}

/* It is here: what is made of it can go on. */
static void end_fetch(struct provision_set *set, struct fetch *fetch)
{
	list_each (at, &set->pieces) {
		struct piece *piece = list_entry(at, struct piece, link);

		if (piece->state == PIECE_FETCHING && is_of(piece, fetch->digest))
			piece->state = PIECE_READY;
	}
	free_fetch(fetch);
}

__attribute__((format(printf, 3, 4))) static void fail_piece(struct piece *piece, bool transient,
							     const char *format, ...)
{
	va_list args;

	va_start(args, format);
	vsnprintf(piece->text, sizeof piece->text, format, args);
	va_end(args);
	piece->transient = transient;
	piece->state = PIECE_FAILED;
}

static void fail_fetch(struct provision_set *set, struct fetch *fetch, bool transient, const char *text)
{
	char title[INSTALL_TITLE_BYTES];

	list_each (at, &set->pieces) {
		struct piece *piece = list_entry(at, struct piece, link);

		if (piece->state == PIECE_FETCHING && is_of(piece, fetch->digest))
			fail_piece(piece, transient, "%s: %s", install_title(&piece->install, title), text);
	}
	free_fetch(fetch);
}

/* What is half here is of no use to the disk that is full, nor to the next try. */
static void break_fetch(struct provision_set *set, struct fetch *fetch, const char *doing)
{
	int saved = errno;
	char path[PATH_BYTES], text[200];

	name_parcel(path, fetch->digest, ".part");
	snprintf(text, sizeof text, "%s %s: %s", doing, path, strerror(saved));
	if (fetch->fd >= 0)
		unlink(path);
	fail_fetch(set, fetch, step_error_is_transient(saved), text);
}

static void ask(struct provision_set *set, struct fetch *fetch, uint64_t offset, bool begin)
{
	fetch->told = fetch->want.offset = offset;
	fetch->want.begin = begin;
	protocol_put_want(outbox_control(set->out), &fetch->want);
}

/* Opened and locked, and still the file of that name; -1 with EWOULDBLOCK when another agent has it. */
static int open_part(const char *path)
{
	for (;;) {
		autoclose int fd = openat(AT_FDCWD, path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);

		if (fd < 0 || flock(fd, LOCK_EX | LOCK_NB) < 0)
			return -1;
		if (files_is(fd, path))
			return take_fd(fd);
	}
}

static void finish_fetch(struct provision_set *set, struct fetch *fetch)
{
	char part[PATH_BYTES], whole[PATH_BYTES];

	name_parcel(part, fetch->digest, ".part");
	name_parcel(whole, fetch->digest, "");
	if (rename(part, whole) < 0)
		break_fetch(set, fetch, "rename");
	else
		end_fetch(set, fetch);
}

static void open_fetch(struct provision_set *set, struct fetch *fetch, int64_t now_ms)
{
	char path[PATH_BYTES];
	struct stat st;

	if (is_stored(fetch->digest)) { /* the other agent was faster */
		end_fetch(set, fetch);
		return;
	}
	name_parcel(path, fetch->digest, ".part");
	fetch->fd = open_part(path);
	fetch->retry_ms = now_ms + LOCK_RETRY_MS;
	if (fetch->fd < 0 && errno == EWOULDBLOCK)
		return;
	if (fetch->fd < 0 || fstat(fetch->fd, &st) < 0) {
		break_fetch(set, fetch, "open");
		return;
	}
	if ((uint64_t)st.st_size > fetch->total && ftruncate(fetch->fd, st.st_size = 0) < 0)
		break_fetch(set, fetch, "truncate");
	else if ((uint64_t)st.st_size == fetch->total)
		finish_fetch(set, fetch);
	else
		ask(set, fetch, (uint64_t)st.st_size, true);
}

static void begin_fetch(struct provision_set *set, const struct piece *piece)
{
	const struct spec_provision *what = &piece->install.what;
	struct fetch *fetch;

	if (find_fetch(set, what->digest) != NULL)
		return;
	fetch = mem_zalloc(sizeof *fetch);
	memcpy(fetch->digest, what->digest, sizeof fetch->digest);
	fetch->name = mem_strdup(what->name);
	fetch->want = (struct frame_want){ .digest = fetch->digest,
					   .id = piece->id,
					   .kind = what->kind,
					   .task = what->task,
					   .name = fetch->name };
	fetch->total = what->bytes;
	fetch->fd = -1;
	list_append(&set->fetches, &fetch->link);
	open_fetch(set, fetch, awake_ms());
}

static void drop_idle_fetches(struct provision_set *set)
{
	list_each (at, &set->fetches) {
		struct fetch *fetch = list_entry(at, struct fetch, link);
		bool needed = false;

		list_each (each, &set->pieces) {
			const struct piece *piece = list_entry(each, struct piece, link);

			needed |= piece->state == PIECE_FETCHING && is_of(piece, fetch->digest);
		}
		if (!needed)
			free_fetch(fetch);
	}
}

/* --- putting in place ----------------------------------------------------------------------------------- */

static void start_helper(struct provision_set *set, struct piece *piece)
{
	struct epoll_event event = { .events = EPOLLIN, .data.ptr = piece };
	struct err err = { 0 };

	if (helper_start(&piece->helper, install_work, &piece->install, set->root, &err) < 0) {
		fail_piece(piece, true, "%s", err.text);
		return;
	}
	epoll_ctl(set->epoll, EPOLL_CTL_ADD, piece->helper.pipe, &event);
	piece->state = PIECE_INSTALLING;
	set->helpers++;
}

static void on_installed(struct provision_set *set, struct piece *piece)
{
	const struct install_answer *answer = (const void *)piece->helper.answer.data;
	char path[PATH_BYTES], title[INSTALL_TITLE_BYTES];

	set->helpers--;
	if (piece->helper.answer.bytes != sizeof *answer) {
		fail_piece(piece, true, "%s: its helper died", install_title(&piece->install, title));
	} else if (answer->code == ERR_OK) {
		piece->state = PIECE_DONE;
	} else if (answer->damaged && !piece->again) {
		/* Once more, from the first byte on: a disk or a former agent may be to blame. */
		piece->again = true;
		name_parcel(path, piece->install.what.digest, "");
		unlink(path);
		piece->state = PIECE_FETCHING;
		begin_fetch(set, piece);
	} else {
		fail_piece(piece, step_error_is_transient(answer->sys_errno), "%s: %.400s",
			   install_title(&piece->install, title), answer->text);
	}
}

void provision_on_events(struct provision_set *set)
{
	struct epoll_event events[EVENTS];
	int n = epoll_wait(set->epoll, events, EVENTS, 0);

	for (int i = 0; i < n; i++) {
		struct piece *piece = events[i].data.ptr;

		if (helper_read(&piece->helper) == 1)
			on_installed(set, piece);
	}
}

/* --- those that wait ------------------------------------------------------------------------------------ */

static struct piece *find_piece(const struct provision_set *set, const struct install *install)
{
	list_each (at, &set->pieces) {
		struct piece *piece = list_entry(at, struct piece, link);

		if (install_is_same(&piece->install, install))
			return piece;
	}
	return NULL;
}

static struct piece *add_piece(struct provision_set *set, const struct install *install,
			       const struct attempt_id *id)
{
	struct piece *piece = mem_zalloc(sizeof *piece);

	arena_init(&piece->arena);
	install_copy(install, &piece->arena, &piece->install);
	piece->id = *id;
	helper_init(&piece->helper);
	list_append(&set->pieces, &piece->link);
	piece->state = PIECE_READY;
	if (!is_stored(install->what.digest)) {
		piece->state = PIECE_FETCHING;
		begin_fetch(set, piece);
	}
	return piece;
}

static void leave_piece(struct wait *wait)
{
	wait->piece->waiting--;
	wait->piece = NULL;
}

static void end_wait(struct provision_set *set, struct wait *wait)
{
	list_remove(&wait->link);
	list_append(&set->done, &wait->link);
}

/* Goes on as far as it can. */
static void step_wait(struct provision_set *set, struct wait *wait)
{
	for (; wait->next < wait->spec.provisions_count; wait->next++) {
		struct install install = install_of(set->home, &wait->spec, wait->next);

		if (wait->piece == NULL && install_is_there(&install))
			continue;
		if (wait->piece == NULL) {
			wait->piece = find_piece(set, &install);
			if (wait->piece == NULL)
				wait->piece = add_piece(set, &install, &wait->spec.id);
			wait->piece->waiting++;
		}
		if (wait->piece->state == PIECE_FAILED) {
			wait->failed = true;
			wait->transient = wait->piece->transient;
			memcpy(wait->text, wait->piece->text, sizeof wait->text);
		} else if (wait->piece->state != PIECE_DONE) {
			return;
		}
		leave_piece(wait);
		if (wait->failed)
			break;
	}
	end_wait(set, wait);
}

/* Until nothing moves any more: what ended lets others go on, which may end too. */
static void step_all(struct provision_set *set)
{
	bool moved;

	do {
		moved = false;
		list_each (at, &set->pieces) {
			struct piece *piece = list_entry(at, struct piece, link);

			if (piece->state == PIECE_READY && set->helpers < HELPERS_MAX)
				start_helper(set, piece);
			moved |= piece->state >= PIECE_DONE;
		}
		if (moved)
			list_each (at, &set->waits)
				step_wait(set, list_entry(at, struct wait, link));
		list_each (at, &set->pieces) {
			struct piece *piece = list_entry(at, struct piece, link);

			if (piece->waiting == 0 && piece->state != PIECE_INSTALLING)
				free_piece(piece);
		}
	} while (moved);
	drop_idle_fetches(set);
}

bool provision_is_ready(const struct provision_set *set, const struct spec *spec)
{
	for (size_t i = 0; i < spec->provisions_count; i++) {
		struct install install = install_of(set->home, spec, i);

		if (!install_is_there(&install))
			return false;
	}
	return true;
}

void provision_wait(struct provision_set *set, const struct frame *start)
{
	struct wait *wait = mem_zalloc(sizeof *wait);
	struct frame frame;

	if (set->root < 0)
		set->root = openat(AT_FDCWD, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	arena_init(&wait->arena);
	buf_append(&wait->frame, start->body - (start->whole_bytes - start->body_bytes), start->whole_bytes);
	protocol_next(wait->frame.data, wait->frame.bytes, &frame, NULL);
	protocol_get_spec(&frame, &wait->arena, &wait->spec); /* the session has decoded it before */
	list_append(&set->waits, &wait->link);
	step_wait(set, wait);
	step_all(set);
}

bool provision_cancel(struct provision_set *set, const struct attempt_id *id)
{
	list_each (at, &set->waits) {
		struct wait *wait = list_entry(at, struct wait, link);

		if (wait->spec.id.run != id->run || wait->spec.id.task != id->task ||
		    wait->spec.id.number != id->number)
			continue;
		if (wait->piece != NULL)
			leave_piece(wait);
		free_wait(wait);
		step_all(set);
		return true;
	}
	return false;
}

bool provision_next(struct provision_set *set, struct provision_end *out)
{
	struct wait *wait;

	if (list_empty(&set->done))
		return false;
	wait = list_entry(set->done.next, struct wait, link);
	*out = (struct provision_end){ .id = wait->spec.id,
				       .frame = wait->frame,
				       .failed = wait->failed,
				       .transient = wait->transient };
	memcpy(out->text, wait->text, sizeof out->text);
	wait->frame = (struct buf){ 0 };
	free_wait(wait);
	return true;
}

/* --- bytes ---------------------------------------------------------------------------------------------- */

static void take_bytes(struct provision_set *set, struct fetch *fetch, const struct frame_parcel *parcel)
{
	struct stat st;
	uint64_t have;

	if (fetch->fd < 0 || fstat(fetch->fd, &st) < 0)
		return;
	have = (uint64_t)st.st_size;
	if (parcel->offset != have) {
		if (parcel->offset > have)
			ask(set, fetch, have, true); /* something was left out */
		return;
	}
	if (parcel->total != fetch->total || parcel->n > fetch->total - have) {
		fail_fetch(set, fetch, false, "its size is not what was announced");
	} else if (file_write_at(fetch->fd, have, parcel->bytes, parcel->n) < 0) {
		break_fetch(set, fetch, "write");
	} else if (have + parcel->n == fetch->total) {
		finish_fetch(set, fetch);
	} else if (have + parcel->n - fetch->told >= TELL_BYTES) {
		ask(set, fetch, have + parcel->n, false);
	}
}

void provision_on_parcel(struct provision_set *set, const struct frame_parcel *parcel)
{
	struct fetch *fetch = find_fetch(set, parcel->digest);

	if (fetch == NULL)
		return; /* nobody waits for it any more */
	if (parcel->text[0] != '\0')
		fail_fetch(set, fetch, parcel->transient, parcel->text);
	else
		take_bytes(set, fetch, parcel);
}

int64_t provision_turn(struct provision_set *set, int64_t now_ms)
{
	int64_t due = AWAKE_NEVER;

	if (list_empty(&set->pieces))
		return due;
	list_each (at, &set->fetches) {
		struct fetch *fetch = list_entry(at, struct fetch, link);

		if (fetch->fd < 0 && now_ms >= fetch->retry_ms)
			open_fetch(set, fetch, now_ms);
	}
	step_all(set);
	list_each (at, &set->fetches) {
		const struct fetch *fetch = list_entry(at, struct fetch, link);

		if (fetch->fd < 0)
			due = awake_sooner(due, fetch->retry_ms);
	}
	return due;
}
