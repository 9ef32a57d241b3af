#include "executor/courier.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/digest.h"
#include "common/list.h"
#include "common/log.h"
#include "common/mem.h"
#include "common/parcel.h"
#include "common/scope.h"

enum {
	PIECE_BYTES = 128 * 1024,
	OUTGOING_MAX = 256, /* of one link: more is asked for by nobody in his right mind */
};

/* A parcel on its way to one agent. */
struct outgoing {
	struct list link;
	struct link *to;
	char digest[DIGEST_HEX_BYTES];
	int fd;
	uint64_t sent;
	uint64_t stored; /* there, as it said last */
	uint64_t total;
};

/* An agent whose parcel is being fetched. */
struct waiter {
	struct list link;
	struct link *to;
	char digest[DIGEST_HEX_BYTES];
	char *path; /* where it is going to be */
	uint64_t stored;
};

struct courier {
	courier_locate *locate;
	void *context;
	struct intake *intake;
	struct list outgoing; /* whose turn is next stands first */
	struct list waiters;
	uint8_t piece[PIECE_BYTES];
};

static void free_outgoing(struct outgoing *outgoing)
{
	list_remove(&outgoing->link);
	close(outgoing->fd);
	free(outgoing);
}

static void free_waiter(struct waiter *waiter)
{
	list_remove(&waiter->link);
	free(waiter->path);
	free(waiter);
}

/* --- out ------------------------------------------------------------------------------------------------ */

static struct outgoing *find_outgoing(const struct courier *courier, const struct link *to,
				      const char *digest, size_t *others_out)
{
	struct outgoing *found = NULL;

	*others_out = 0;
	list_each (at, &courier->outgoing) {
		struct outgoing *outgoing = list_entry(at, struct outgoing, link);

		if (outgoing->to != to)
			continue;
		*others_out += 1;
		if (strcmp(outgoing->digest, digest) == 0)
			found = outgoing;
	}
	return found;
}

static void refuse(struct link *to, const char *digest, bool transient, const char *text)
{
	log_error("parcel.refused", TEXT("worker", link_name(to)), TEXT("digest", digest), TEXT("err", text));
	link_send_parcel(to,
			 &(struct frame_parcel){ .digest = digest, .transient = transient, .text = text });
}

static struct outgoing *open_outgoing(struct courier *courier, struct link *to, const char *digest,
				      const char *path)
{
	struct outgoing *outgoing;
	struct err err = { 0 };
	struct stat st;
	int fd = open(path, O_RDONLY | O_CLOEXEC);

	if (fd < 0 || fstat(fd, &st) < 0) {
		err_errno(&err, "open %s", path);
		refuse(to, digest, err.code != ERR_NOT_FOUND, err.text);
		if (fd >= 0)
			close(fd);
		return NULL;
	}
	posix_fadvise(fd, 0, 0, POSIX_FADV_SEQUENTIAL);
	outgoing = mem_zalloc(sizeof *outgoing);
	memcpy(outgoing->digest, digest, sizeof outgoing->digest);
	outgoing->to = to;
	outgoing->fd = fd;
	outgoing->total = (uint64_t)st.st_size;
	list_append(&courier->outgoing, &outgoing->link);
	return outgoing;
}

static uint64_t allowance(const struct outgoing *outgoing)
{
	uint64_t end = outgoing->stored + PROTOCOL_WINDOW_BYTES;

	end = end < outgoing->total ? end : outgoing->total;
	return end > outgoing->sent ? end - outgoing->sent : 0;
}

static void widen(struct outgoing *outgoing, uint64_t stored, bool begin)
{
	outgoing->stored = stored;
	if (begin || outgoing->sent < stored)
		outgoing->sent = stored;
	if (allowance(outgoing) > 0)
		link_ask_room(outgoing->to, true);
}

/* --- fetched first -------------------------------------------------------------------------------------- */

static struct waiter *find_waiter(const struct courier *courier, const struct link *to, const char *digest)
{
	list_each (at, &courier->waiters) {
		struct waiter *waiter = list_entry(at, struct waiter, link);

		if (waiter->to == to && strcmp(waiter->digest, digest) == 0)
			return waiter;
	}
	return NULL;
}

static void wait_for(struct courier *courier, struct link *to, const struct frame_want *want,
		     const struct courier_place *place)
{
	struct waiter *waiter = find_waiter(courier, to, want->digest);

	if (waiter == NULL) {
		waiter = mem_zalloc(sizeof *waiter);
		waiter->to = to;
		waiter->path = mem_strdup(place->path);
		memcpy(waiter->digest, want->digest, sizeof waiter->digest);
		list_append(&courier->waiters, &waiter->link);
	}
	waiter->stored = want->offset;
	intake_begin(courier->intake, &(struct intake_order){ .path = place->path,
							      .from = place->from,
							      .get = place->get,
							      .is_parcel = true,
							      .bytes = place->bytes });
}

static void on_fetched(void *context, const struct intake_end *end)
{
	struct courier *courier = context;

	list_each (at, &courier->waiters) {
		struct waiter *waiter = list_entry(at, struct waiter, link);
		struct outgoing *outgoing;

		if (strcmp(waiter->path, end->path) != 0)
			continue;
		if (end->failure != NULL) {
			refuse(waiter->to, waiter->digest, end->transient, end->failure);
		} else {
			outgoing = open_outgoing(courier, waiter->to, waiter->digest, end->path);
			if (outgoing != NULL)
				widen(outgoing, waiter->stored, true);
		}
		free_waiter(waiter);
	}
}

/* --- asked for ------------------------------------------------------------------------------------------ */

static void begin(struct courier *courier, struct link *link, const struct frame_want *want)
{
	__attribute__((cleanup(arena_fini))) struct arena arena = { 0 };
	struct courier_place place = { 0 };
	struct outgoing *outgoing;

	if (!parcel_digest_valid(want->digest)) {
		refuse(link, want->digest, false, "that is no name of a parcel");
	} else if (!courier->locate(courier->context, want, &arena, &place)) {
		refuse(link, want->digest, false, "nobody has it any more");
	} else if (place.from != NULL) {
		wait_for(courier, link, want, &place);
	} else {
		outgoing = open_outgoing(courier, link, want->digest, place.path);
		if (outgoing != NULL)
			widen(outgoing, want->offset, true);
	}
}

void courier_on_want(struct courier *courier, struct link *link, const struct frame_want *want)
{
	size_t others;
	struct outgoing *outgoing = find_outgoing(courier, link, want->digest, &others);

	if (outgoing != NULL)
		widen(outgoing, want->offset, want->begin);
	else if (want->begin && others >= OUTGOING_MAX)
		refuse(link, want->digest, true, "too many at once");
	else if (want->begin)
		begin(courier, link, want);
	/* else it is about one that it was told cannot be had, or that is all sent */
}

void courier_on_parcel(struct courier *courier, struct link *link, const struct frame_parcel *parcel)
{
	intake_on_parcel(courier->intake, link, parcel);
}

/* --- sending -------------------------------------------------------------------------------------------- */

static struct outgoing *next_in_turn(struct courier *courier, const struct link *to)
{
	list_each (at, &courier->outgoing) {
		struct outgoing *outgoing = list_entry(at, struct outgoing, link);

		if (outgoing->to != to || allowance(outgoing) == 0)
			continue;
		list_remove(&outgoing->link);
		list_append(&courier->outgoing, &outgoing->link);
		return outgoing;
	}
	return NULL;
}

static void send_piece(struct courier *courier, struct outgoing *outgoing)
{
	uint64_t max = allowance(outgoing);
	ssize_t n;

	do {
		n = pread(outgoing->fd, courier->piece, max < PIECE_BYTES ? (size_t)max : PIECE_BYTES,
			  (off_t)outgoing->sent);
	} while (n < 0 && errno == EINTR);
	if (n <= 0) {
		refuse(outgoing->to, outgoing->digest, true, n < 0 ? strerror(errno) : "it was cut here");
		free_outgoing(outgoing);
		return;
	}
	link_send_parcel(outgoing->to, &(struct frame_parcel){ .digest = outgoing->digest,
							       .offset = outgoing->sent,
							       .total = outgoing->total,
							       .bytes = courier->piece,
							       .n = (size_t)n });
	outgoing->sent += (uint64_t)n;
	/* Should some of it get lost on the other side, it says so with a new beginning. */
	if (outgoing->sent == outgoing->total)
		free_outgoing(outgoing);
}

void courier_on_room(struct courier *courier, struct link *link)
{
	while (link_has_room(link)) {
		struct outgoing *outgoing = next_in_turn(courier, link);

		if (outgoing == NULL) {
			link_ask_room(link, false);
			return;
		}
		send_piece(courier, outgoing);
	}
}

void courier_on_up(struct courier *courier, const struct link *link)
{
	intake_on_up(courier->intake, link);
}

void courier_on_down(struct courier *courier, const struct link *link)
{
	list_each (at, &courier->outgoing) {
		struct outgoing *outgoing = list_entry(at, struct outgoing, link);

		if (outgoing->to == link)
			free_outgoing(outgoing);
	}
	list_each (at, &courier->waiters) {
		struct waiter *waiter = list_entry(at, struct waiter, link);

		if (waiter->to == link)
			free_waiter(waiter);
	}
	intake_on_down(courier->intake, link);
}

void courier_on_gone(struct courier *courier, const struct link *link)
{
	courier_on_down(courier, link);
	intake_on_gone(courier->intake, link);
}

/* --- life ----------------------------------------------------------------------------------------------- */

struct courier *courier_new(uv_loop_t *loop, courier_locate *locate, void *context)
{
	struct courier *courier = mem_zalloc(sizeof *courier);

	courier->locate = locate;
	courier->context = context;
	courier->intake = intake_new(loop, on_fetched, courier);
	list_init(&courier->outgoing);
	list_init(&courier->waiters);
	return courier;
}

void courier_stop(struct courier *courier)
{
	if (courier != NULL)
		intake_stop(courier->intake);
}

void courier_free(struct courier *courier)
{
	if (courier == NULL)
		return;
	list_each (at, &courier->outgoing)
		free_outgoing(list_entry(at, struct outgoing, link));
	list_each (at, &courier->waiters)
		free_waiter(list_entry(at, struct waiter, link));
	intake_free(courier->intake);
	free(courier);
}
