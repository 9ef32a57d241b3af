#include "executor/agent/offer.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <unistd.h>

#include "common/mem.h"
#include "common/pack.h"
#include "common/scope.h"
#include "executor/agent/entry.h"
#include "executor/agent/files.h"
#include "executor/agent/held.h"
#include "executor/agent/helper.h"

enum {
	EVENTS = 16,
	OFFERS_MAX = 64,
	PIECE_BYTES = 256 * 1024,
};

/* One that is asked for. */
struct offer {
	struct list link;
	struct arena arena;
	struct held held;
	struct frame_get get; /* as it was asked for first; its texts are in `arena` */
	struct helper helper; /* makes the manifest */
	bool open;	      /* it can be read */
	char name[HELD_NAME_BYTES]; /* of a checkpoint's manifest and links */
	struct parcel parcel;
	struct pack_reader reader;
	int dir;
	uint64_t sent;
	uint64_t stored; /* there, as it said last */
};

/* What the helper answers: nothing when it is done, else why not. */
struct making {
	struct held held;
	const struct frame_get *get;
	const char *folder;
	const char *name; /* of manifest and links */
};

int offer_set_init(struct offer_set *set, struct outbox *out)
{
	*set = (struct offer_set){ .out = out, .home = "", .root = -1 };
	list_init(&set->offers);
	set->epoll = epoll_create1(EPOLL_CLOEXEC);
	return set->epoll < 0 ? -1 : 0;
}

static void free_offer(struct offer_set *set, struct offer *offer)
{
	set->count--;
	list_remove(&offer->link);
	helper_kill(&offer->helper);
	buf_fini(&offer->helper.answer);
	if (offer->open) {
		pack_reader_fini(&offer->reader);
		parcel_fini(&offer->parcel);
	}
	if (offer->dir >= 0)
		close(offer->dir);
	arena_fini(&offer->arena);
	free(offer);
}

void offer_set_fini(struct offer_set *set)
{
	list_each (at, &set->offers)
		free_offer(set, list_entry(at, struct offer, link));
	if (set->epoll >= 0)
		close(set->epoll);
	if (set->root >= 0)
		close(set->root);
}

static void refuse(struct offer_set *set, const char *digest, bool transient, const char *text)
{
	protocol_put_parcel(outbox_control(set->out), FRAME_PARCEL_BACK,
			    &(struct frame_parcel){ .digest = digest, .transient = transient, .text = text });
}

static void give_up(struct offer_set *set, struct offer *offer, bool transient, const char *text)
{
	refuse(set, offer->get.digest, transient, text);
	free_offer(set, offer);
}

static struct offer *find_offer(const struct offer_set *set, const char *digest)
{
	list_each (at, &set->offers) {
		struct offer *offer = list_entry(at, struct offer, link);

		if (strcmp(offer->get.digest, digest) == 0)
			return offer;
	}
	return NULL;
}

/* --- the manifest of a checkpoint ----------------------------------------------------------------------- */

static int link_files(int from, int to, const char *base, const struct entry_files *files, struct arena *arena)
{
	for (size_t i = 0; i < files->count; i++) {
		const char *path = files->items[i].path;
		char *parent = arena_printf(arena, "%s/%s", base, path);

		*strrchr(parent, '/') = '\0';
		if (files_make_folders(parent) < 0 || linkat(from, path, to, path, 0) < 0)
			return -1;
	}
	return 0;
}

/* Where its files are linked; -1 where that cannot be (another file system): they are read where they lie. */
static int link_aside(const struct making *making, int from, const struct entry_files *files,
		      struct arena *arena)
{
	const char *base = held_links(making->held, making->name, arena);
	autoclose int to = -1;

	held_drop_others(making->held, making->get->task, making->name, arena);
	files_remove(AT_FDCWD, base);
	if (files_make_folders(base) < 0)
		return -1;
	to = open(base, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (to >= 0 && link_files(from, to, base, files, arena) == 0)
		return take_fd(to);
	files_remove(AT_FDCWD, base);
	return -1;
}

static int check_recorded(const struct making *making, const struct parcel *parcel, struct err *err)
{
	char digest[DIGEST_HEX_BYTES];

	parcel_entry_digest(parcel, making->get->name, digest);
	if (strcmp(digest, making->get->digest) == 0)
		return 0;
	return err_set(err, ERR_CORRUPT, "%s: is not what was recorded any more", making->get->name);
}

/* In the helper. */
static int make_manifest(const struct making *making, struct err *err)
{
	__attribute__((cleanup(arena_fini))) struct arena arena = { 0 };
	autoclose int dir = open(making->folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	autoclose int links = -1;
	struct entry_files files;
	struct parcel parcel;
	struct pack pack;
	int rc;

	if (dir < 0)
		return err_errno(err, "open %s", making->folder);
	if (entry_list(dir, making->get->name, &arena, &files, err) < 0)
		return err_wrap(err, "%s", making->get->name);
	links = link_aside(making, dir, &files, &arena);
	pack_init(&pack, links < 0 ? dir : links);
	rc = files.is_folder ? pack_add(&pack, making->get->name, false, err) : 0;
	for (size_t i = 0; rc == 0 && !files.is_folder && i < files.count; i++)
		rc = pack_add(&pack, files.items[i].path, false, err);
	if (rc == 0)
		rc = pack_seal(&pack, &parcel, err);
	pack_fini(&pack);
	if (rc < 0)
		return rc;
	rc = check_recorded(making, &parcel, err);
	if (rc == 0)
		rc = held_put_manifest(making->held, making->name, &parcel, err);
	else
		files_remove(AT_FDCWD, held_links(making->held, making->name, &arena));
	parcel_fini(&parcel);
	return rc;
}

static void make_work(void *context, int out)
{
	struct err err = { 0 };
	int null_fd = open("/dev/null", O_RDWR | O_CLOEXEC);

	for (int end = 0; end < 3; end++)
		dup2(null_fd, end); /* the connection must be seen to end when the agent does */
	if (make_manifest(context, &err) < 0)
		files_write(out, err.text, strlen(err.text));
}

static int start_making(struct offer_set *set, struct offer *offer, struct err *err)
{
	struct making making = { .held = offer->held, .get = &offer->get, .name = offer->name };
	struct epoll_event event = { .events = EPOLLIN, .data.ptr = offer };

	making.folder = held_checkpoints(offer->held, offer->get.task, offer->get.path, &offer->arena);
	if (set->root < 0)
		set->root = openat(AT_FDCWD, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (helper_start(&offer->helper, make_work, &making, set->root, err) < 0)
		return err->code;
	epoll_ctl(set->epoll, EPOLL_CTL_ADD, offer->helper.pipe, &event);
	return 0;
}

/* --- asked for ------------------------------------------------------------------------------------------ */

static int open_parcel(struct offer *offer, struct err *err)
{
	bool is_checkpoint = offer->get.kind == PROVISION_CHECKPOINT;
	const char *folder = is_checkpoint ? held_checkpoints(offer->held, offer->get.task, offer->get.path,
							      &offer->arena)
					   : held_folder(offer->held, offer->get.path, &offer->arena);
	const char *links = held_links(offer->held, offer->name, &offer->arena);

	if (held_get_manifest(offer->held, is_checkpoint ? offer->name : offer->get.digest, &offer->parcel,
			      err) < 0)
		return err->code;
	offer->dir = open(is_checkpoint && access(links, F_OK) == 0 ? links : folder,
			  O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (offer->dir < 0) {
		parcel_fini(&offer->parcel);
		return err_errno(err, "open %s", folder);
	}
	pack_reader_init(&offer->reader, &offer->parcel, offer->dir);
	offer->open = true;
	return offer->sent < offer->parcel.bytes ? 0 : err_set(err, ERR_CORRUPT, "it is shorter than that");
}

static void begin(struct offer_set *set, struct offer *offer)
{
	struct err err = { 0 };
	int rc = open_parcel(offer, &err);

	if (rc == ERR_NOT_FOUND && offer->get.kind == PROVISION_CHECKPOINT)
		rc = start_making(set, offer, &err);
	if (rc < 0)
		give_up(set, offer, false, err.text);
}

static struct offer *add_offer(struct offer_set *set, const struct frame_get *get)
{
	struct offer *offer = mem_zalloc(sizeof *offer);

	arena_init(&offer->arena);
	offer->get = *get;
	offer->get.digest = arena_strdup(&offer->arena, get->digest);
	offer->get.path = arena_strdup(&offer->arena, get->path);
	offer->get.name = arena_strdup(&offer->arena, get->name);
	offer->held = (struct held){ set->home, get->run };
	held_name_checkpoint(get->task, get->name, get->digest, offer->name);
	offer->dir = -1;
	helper_init(&offer->helper);
	list_append(&set->offers, &offer->link);
	set->count++;
	return offer;
}

static const char *check(const struct offer_set *set, const struct frame_get *get)
{
	char entry[ENTRY_NAME_BYTES];

	if (!parcel_digest_valid(get->digest))
		return "that is no name of a parcel";
	if (get->path[0] != '/' && strcmp(get->path, ".") != 0 && !parcel_path_valid(get->path) &&
	    !(get->kind == PROVISION_CHECKPOINT && get->path[0] == '\0'))
		return "its folder leads out of the run's";
	if (get->kind == PROVISION_SOURCE)
		return "a source is not kept by its worker";
	if (get->kind == PROVISION_CHECKPOINT && entry_of(get->name, entry) == ENTRY_NONE)
		return "that is no name of a checkpoint";
	return set->count >= OFFERS_MAX ? "too many at once" : NULL;
}

void offer_on_get(struct offer_set *set, const struct frame_get *get)
{
	struct offer *offer = find_offer(set, get->digest);
	const char *wrong = offer == NULL ? check(set, get) : NULL;

	if (offer == NULL && !get->begin)
		return; /* about one that was told as not to be had, or that is all sent */
	if (wrong != NULL) {
		refuse(set, get->digest, set->count >= OFFERS_MAX, wrong);
		return;
	}
	if (offer == NULL) {
		offer = add_offer(set, get);
		offer->sent = offer->stored = get->offset;
		begin(set, offer);
		return;
	}
	offer->stored = get->offset;
	if (get->begin || offer->sent < get->offset)
		offer->sent = get->offset;
}

static void on_made(struct offer_set *set, struct offer *offer)
{
	struct err err = { 0 };

	if (offer->helper.answer.bytes > 0)
		give_up(set, offer, false, buf_text(&offer->helper.answer));
	else if (open_parcel(offer, &err) < 0)
		give_up(set, offer, false, err.text);
}

void offer_on_events(struct offer_set *set)
{
	struct epoll_event events[EVENTS];
	int n = epoll_wait(set->epoll, events, EVENTS, 0);

	for (int i = 0; i < n; i++) {
		struct offer *offer = events[i].data.ptr;

		if (helper_read(&offer->helper) == 1)
			on_made(set, offer);
	}
}

/* --- sending -------------------------------------------------------------------------------------------- */

static uint64_t allowance(const struct offer *offer)
{
	uint64_t end = offer->stored + PROTOCOL_WINDOW_BYTES;

	if (!offer->open)
		return 0;
	end = end < offer->parcel.bytes ? end : offer->parcel.bytes;
	return end > offer->sent ? end - offer->sent : 0;
}

static struct offer *next_in_turn(struct offer_set *set)
{
	list_each (at, &set->offers) {
		struct offer *offer = list_entry(at, struct offer, link);

		if (allowance(offer) == 0)
			continue;
		list_remove(&offer->link);
		list_append(&set->offers, &offer->link);
		return offer;
	}
	return NULL;
}

/* Reads it to where it is sent from. */
static int put_piece(struct offer_set *set, struct offer *offer, size_t n, struct err *err)
{
	struct buf *lane = outbox_bulk(set->out);
	size_t before = lane->bytes;
	uint8_t *room = protocol_put_parcel_room(lane, FRAME_PARCEL_BACK,
						 &(struct frame_parcel){ .digest = offer->get.digest,
									 .offset = offer->sent,
									 .total = offer->parcel.bytes,
									 .n = n });
	off_t at;
	int file = n < OUTBOX_FILE_BYTES_MIN ? -1 : pack_file(&offer->reader, offer->sent, n, &at);
	ssize_t got;

	if (file >= 0) {
		outbox_bulk_from_file(set->out, file, at, n);
		return 0;
	}
	got = pack_read(&offer->reader, offer->sent, room, n, err);
	if (got == (ssize_t)n)
		return 0;
	lane->bytes = before;
	return got < 0 ? err->code : err_set(err, ERR_CORRUPT, "it ends too early");
}

bool offer_pump(struct offer_set *set)
{
	struct offer *offer = outbox_bulk_has_room(set->out) ? next_in_turn(set) : NULL;
	uint64_t max = offer == NULL ? 0 : allowance(offer);
	struct err err = { 0 };

	if (offer == NULL)
		return false;
	max = max < PIECE_BYTES ? max : PIECE_BYTES;
	if (put_piece(set, offer, (size_t)max, &err) < 0) {
		give_up(set, offer, false, err.text);
		return true;
	}
	offer->sent += max;
	if (offer->sent == offer->parcel.bytes)
		free_offer(set, offer); /* should some of it get lost, it is asked for anew */
	return true;
}
