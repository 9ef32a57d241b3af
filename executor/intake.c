#include "executor/intake.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <libgen.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/arena.h"
#include "common/clock.h"
#include "common/file.h"
#include "common/list.h"
#include "common/log.h"
#include "common/mem.h"
#include "common/scope.h"
#include "common/unpack.h"
#include "executor/trail.h"

enum {
	AT_ONCE_MAX = 4, /* of one worker */
	LOCK_RETRY_MS = 250,
	TELL_BYTES = PROTOCOL_WINDOW_BYTES / 8, /* of news before they are told */
};

enum incoming_state {
	INCOMING_WAITING, /* for its worker, for its turn, or for another process that is at it */
	INCOMING_RECEIVING,
	INCOMING_VERIFYING, /* a thread has it */
};

struct incoming {
	struct list link;
	struct arena arena;
	struct intake *intake;
	struct intake_order order;
	enum incoming_state state;
	bool canceled; /* while a thread has it */
	bool orphaned; /* its link is gone: `order.from` points nowhere */
	bool again;    /* it was not what it should be once */
	char *part;
	int64_t look_ms; /* not before: another process has the lock */
	int fd;
	struct trail *trail; /* verifies what comes; NULL: nothing came yet */
	uint64_t have;
	uint64_t told;
	uint64_t total; /* 0: not known yet */
	uv_work_t work;
	struct err err; /* what the thread found */
	struct intake_end end;
};

struct intake {
	uv_loop_t *loop;
	intake_on_end *on_end;
	void *context;
	struct list incoming;
	uv_timer_t due;	    /* something may go on */
	uv_timer_cb on_due; /* its callback, which sets it again */
	bool stopping;
};

static void look_in(struct intake *intake, uint64_t ms)
{
	if (!uv_is_active((uv_handle_t *)&intake->due) || uv_timer_get_due_in(&intake->due) > ms)
		uv_timer_start(&intake->due, intake->on_due, ms, 0);
}

/* --- one of them ---------------------------------------------------------------------------------------- */

static void close_part(struct incoming *incoming)
{
	if (incoming->fd >= 0)
		close(incoming->fd); /* and lets go of the lock */
	incoming->fd = -1;
	trail_free(incoming->trail);
	incoming->trail = NULL;
}

static void free_incoming(struct incoming *incoming)
{
	list_remove(&incoming->link);
	close_part(incoming);
	arena_fini(&incoming->arena);
	free(incoming);
}

static struct incoming *find_by_path(const struct intake *intake, const char *path)
{
	list_each (at, &intake->incoming) {
		struct incoming *incoming = list_entry(at, struct incoming, link);

		if (!incoming->canceled && strcmp(incoming->order.path, path) == 0)
			return incoming;
	}
	return NULL;
}

static void end_incoming(struct incoming *incoming, const char *failure, bool transient)
{
	struct intake *intake = incoming->intake;
	struct intake_end end = incoming->end;

	end.path = incoming->order.path;
	end.failure = failure;
	end.transient = transient;
	if (failure != NULL)
		log_warn("parcel.not_fetched",
			 TEXT("worker", incoming->orphaned ? "" : link_name(incoming->order.from)),
			 TEXT("digest", incoming->order.get.digest), TEXT("err", failure));
	list_remove(&incoming->link); /* the one who hears of it may order it anew */
	if (!incoming->canceled)
		intake->on_end(intake->context, &end);
	free_incoming(incoming);
}

/* What is half here is of no use to a disk that is full. */
static void break_incoming(struct incoming *incoming, const char *doing)
{
	struct err err;

	err_errno(&err, "%s %s", doing, incoming->part);
	if (incoming->fd >= 0)
		unlink(incoming->part);
	end_incoming(incoming, err.text, true);
}

static void ask(struct incoming *incoming, bool begin)
{
	struct frame_get get = incoming->order.get;

	get.offset = incoming->told = incoming->have;
	get.begin = begin;
	link_send_get(incoming->order.from, &get);
}

/* --- verifying ------------------------------------------------------------------------------------------ */

static int check_manifest(struct incoming *incoming, int fd, struct err *err)
{
	const struct frame_get *get = &incoming->order.get;
	char digest[DIGEST_HEX_BYTES];
	struct parcel parcel;

	if (unpack_manifest(fd, &parcel, err) < 0)
		return err->code;
	memcpy(incoming->end.digest, parcel.digest, sizeof incoming->end.digest);
	incoming->end.bytes = parcel.bytes;
	parcel_entry_digest(&parcel, get->name, digest);
	parcel_fini(&parcel);
	if (!incoming->order.is_parcel && strcmp(digest, get->digest) != 0)
		return err_set(err, ERR_CORRUPT, "%s is not what was recorded", get->name);
	return 0;
}

static int sync_folder_of(const char *path, struct err *err)
{
	autofree char *copy = mem_strdup(path);
	autoclose int fd = open(dirname(copy), O_RDONLY | O_DIRECTORY | O_CLOEXEC);

	return fd < 0 || fsync(fd) < 0 ? err_errno(err, "sync the folder of %s", path) : 0;
}

static int verify(struct incoming *incoming, struct err *err)
{
	autoclose int fd = open(incoming->part, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);

	if (fd < 0)
		return err_errno(err, "open %s", incoming->part);
	if (check_manifest(incoming, fd, err) < 0 || trail_end(incoming->trail, err) < 0)
		return err->code;
	if (fsync(fd) < 0 || rename(incoming->part, incoming->order.path) < 0)
		return err_errno(err, "put %s in place", incoming->order.path);
	return sync_folder_of(incoming->order.path, err);
}

static void verify_in_thread(uv_work_t *work)
{
	struct incoming *incoming = work->data;

	verify(incoming, &incoming->err);
}

static void on_verified(uv_work_t *work, int status)
{
	struct incoming *incoming = work->data;
	struct intake *intake = incoming->intake;
	enum err_code code = incoming->err.code;
	char text[sizeof incoming->err.text + 64];

	if (intake->stopping || status < 0) {
		free_incoming(incoming);
		return;
	}
	snprintf(text, sizeof text, "%s%s", incoming->err.text,
		 code == ERR_CORRUPT ? ": it was changed since it was made" : "");
	if (code == ERR_OK) {
		end_incoming(incoming, NULL, false);
	} else if (code == ERR_CORRUPT || code == ERR_LIMIT) {
		unlink(incoming->part);
		close_part(incoming);
		incoming->have = 0;
		incoming->total = incoming->order.bytes;
		incoming->state = INCOMING_WAITING;
		if (incoming->again || incoming->canceled || incoming->orphaned)
			end_incoming(incoming, text, false);
		else /* Once more, all of it: a former try may be to blame. */
			incoming->again = true;
	} else {
		end_incoming(incoming, text, true);
	}
	look_in(intake, 0);
}

static struct trail *trail_of(struct incoming *incoming)
{
	const struct intake_order *order = &incoming->order;

	if (incoming->trail == NULL)
		incoming->trail = trail_new(incoming->intake->loop, incoming->part,
					    order->is_parcel ? order->get.digest : NULL);
	return incoming->trail;
}

static void start_verifying(struct incoming *incoming)
{
	trail_of(incoming);
	incoming->state = INCOMING_VERIFYING;
	incoming->err = (struct err){ .code = ERR_OK };
	incoming->work.data = incoming;
	uv_queue_work(incoming->intake->loop, &incoming->work, verify_in_thread, on_verified);
}

/* --- receiving ------------------------------------------------------------------------------------------ */

/* Locked, and still the file of that name; -1 with EWOULDBLOCK when another process has it. */
static int open_part(const char *path)
{
	for (;;) {
		autoclose int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
		struct stat named, opened;

		if (fd < 0 || flock(fd, LOCK_EX | LOCK_NB) < 0 || fstat(fd, &opened) < 0)
			return -1;
		if (stat(path, &named) == 0 && named.st_ino == opened.st_ino)
			return take_fd(fd);
	}
}

/* Another process has fetched it meanwhile. */
static bool is_there(struct incoming *incoming)
{
	autoclose int fd = open(incoming->order.path, O_RDONLY | O_CLOEXEC);

	return fd >= 0 && check_manifest(incoming, fd, NULL) == 0;
}

static void receive(struct incoming *incoming, int64_t now_ms)
{
	struct stat st;

	if (is_there(incoming)) {
		end_incoming(incoming, NULL, false);
		return;
	}
	incoming->fd = open_part(incoming->part);
	if (incoming->fd < 0 && errno == EWOULDBLOCK) {
		incoming->look_ms = now_ms + LOCK_RETRY_MS;
		return;
	}
	if (incoming->fd < 0 || fstat(incoming->fd, &st) < 0) {
		break_incoming(incoming, "open");
		return;
	}
	incoming->have = (uint64_t)st.st_size;
	if (incoming->total > 0 && incoming->have > incoming->total)
		incoming->have = 0;
	if (incoming->have != (uint64_t)st.st_size && ftruncate(incoming->fd, 0) < 0) {
		break_incoming(incoming, "truncate");
	} else if (incoming->total > 0 && incoming->have == incoming->total) {
		start_verifying(incoming);
	} else {
		incoming->state = INCOMING_RECEIVING;
		ask(incoming, true);
	}
}

static size_t count_active(const struct intake *intake, const struct link *from)
{
	size_t count = 0;

	list_each (at, &intake->incoming) {
		const struct incoming *incoming = list_entry(at, struct incoming, link);

		count += incoming->order.from == from && incoming->state != INCOMING_WAITING;
	}
	return count;
}

/*
 * Two that are the same to their worker (two tasks wrote the same bytes) come one after the other: what comes
 * could not be told apart.
 */
static bool has_twin(const struct intake *intake, const struct incoming *incoming)
{
	list_each (at, &intake->incoming) {
		const struct incoming *other = list_entry(at, struct incoming, link);

		if (other != incoming && other->state == INCOMING_RECEIVING &&
		    other->order.from == incoming->order.from &&
		    strcmp(other->order.get.digest, incoming->order.get.digest) == 0)
			return true;
	}
	return false;
}

static void on_due(uv_timer_t *timer)
{
	struct intake *intake = timer->data;
	int64_t now_ms = clock_mono_ms();

	list_each (at, &intake->incoming) {
		struct incoming *incoming = list_entry(at, struct incoming, link);
		struct link *from = incoming->order.from;

		if (incoming->state != INCOMING_WAITING || incoming->look_ms > now_ms ||
		    link_state(from) != LINK_READY || count_active(intake, from) >= AT_ONCE_MAX ||
		    has_twin(intake, incoming))
			continue;
		/* One at a time: whoever hears of its end may change the list. */
		receive(incoming, now_ms);
		look_in(intake, 0);
		return;
	}
	list_each (at, &intake->incoming)
		if (list_entry(at, struct incoming, link)->look_ms > now_ms)
			look_in(intake, LOCK_RETRY_MS);
}

static void take_bytes(struct incoming *incoming, const struct frame_parcel *parcel)
{
	if (parcel->offset != incoming->have) {
		if (parcel->offset > incoming->have)
			ask(incoming, true); /* something was left out */
		return;
	}
	if (incoming->total == 0)
		incoming->total = parcel->total;
	if (parcel->total != incoming->total || parcel->n > incoming->total - incoming->have) {
		unlink(incoming->part);
		end_incoming(incoming, "its size is not what was announced", false);
		return;
	}
	if (file_write_at(incoming->fd, incoming->have, parcel->bytes, parcel->n) < 0) {
		break_incoming(incoming, "write");
		return;
	}
	incoming->have += parcel->n;
	trail_follow(trail_of(incoming), incoming->have);
	if (incoming->have == incoming->total)
		start_verifying(incoming);
	else if (incoming->have - incoming->told >= TELL_BYTES)
		ask(incoming, false);
}

/* --- for the others ------------------------------------------------------------------------------------- */

struct intake *intake_new(uv_loop_t *loop, intake_on_end *on_end, void *context)
{
	struct intake *intake = mem_zalloc(sizeof *intake);

	intake->loop = loop;
	intake->on_end = on_end;
	intake->context = context;
	list_init(&intake->incoming);
	uv_timer_init(loop, &intake->due);
	intake->due.data = intake;
	intake->on_due = on_due;
	return intake;
}

static void cancel(struct incoming *incoming)
{
	if (incoming->state == INCOMING_VERIFYING)
		incoming->canceled = true; /* it is freed when the thread lets go of it */
	else
		free_incoming(incoming);
}

void intake_stop(struct intake *intake)
{
	if (intake == NULL || intake->stopping)
		return;
	intake->stopping = true;
	uv_close((uv_handle_t *)&intake->due, NULL);
	list_each (at, &intake->incoming)
		cancel(list_entry(at, struct incoming, link));
}

void intake_free(struct intake *intake)
{
	free(intake);
}

void intake_begin(struct intake *intake, const struct intake_order *order)
{
	struct incoming *incoming;

	if (intake->stopping || find_by_path(intake, order->path) != NULL)
		return;
	incoming = mem_zalloc(sizeof *incoming);
	arena_init(&incoming->arena);
	incoming->intake = intake;
	incoming->order = *order;
	incoming->order.path = arena_strdup(&incoming->arena, order->path);
	incoming->order.get.digest = arena_strdup(&incoming->arena, order->get.digest);
	incoming->order.get.path = arena_strdup(&incoming->arena, order->get.path);
	incoming->order.get.name = arena_strdup(&incoming->arena, order->get.name);
	incoming->part = arena_printf(&incoming->arena, "%s.part", order->path);
	incoming->total = order->bytes;
	incoming->fd = -1;
	list_append(&intake->incoming, &incoming->link);
	look_in(intake, 0);
}

void intake_cancel(struct intake *intake, const char *path)
{
	struct incoming *incoming = find_by_path(intake, path);

	if (incoming != NULL)
		cancel(incoming);
	look_in(intake, 0);
}

bool intake_on_parcel(struct intake *intake, const struct link *link, const struct frame_parcel *parcel)
{
	list_each (at, &intake->incoming) {
		struct incoming *incoming = list_entry(at, struct incoming, link);

		if (incoming->state != INCOMING_RECEIVING || incoming->order.from != link ||
		    strcmp(incoming->order.get.digest, parcel->digest) != 0)
			continue;
		if (parcel->text[0] != '\0')
			end_incoming(incoming, parcel->text, parcel->transient);
		else
			take_bytes(incoming, parcel);
		look_in(intake, 0);
		return true;
	}
	return false;
}

void intake_on_up(struct intake *intake, const struct link *link)
{
	(void)link;
	look_in(intake, 0);
}

void intake_on_down(struct intake *intake, const struct link *link)
{
	list_each (at, &intake->incoming) {
		struct incoming *incoming = list_entry(at, struct incoming, link);

		if (incoming->order.from != link || incoming->state != INCOMING_RECEIVING)
			continue;
		incoming->state = INCOMING_WAITING;
		close_part(incoming);
	}
}

/* One that a thread has is orphaned, and ends when the thread lets go of it. */
static struct incoming *find_from(const struct intake *intake, const struct link *link)
{
	list_each (at, &intake->incoming) {
		struct incoming *incoming = list_entry(at, struct incoming, link);

		if (incoming->order.from != link || incoming->orphaned)
			continue;
		if (incoming->state != INCOMING_VERIFYING)
			return incoming;
		incoming->orphaned = true;
	}
	return NULL;
}

void intake_on_gone(struct intake *intake, const struct link *link)
{
	struct incoming *incoming;

	/* One at a time: whoever hears of its end may change the list. */
	while ((incoming = find_from(intake, link)) != NULL)
		end_incoming(incoming, "its worker is gone", true);
}
