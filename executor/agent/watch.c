#include "executor/agent/watch.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/inotify.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/clock.h"
#include "common/mem.h"
#include "common/scope.h"
#include "executor/agent/awake.h"
#include "executor/agent/baseline.h"
#include "executor/agent/entry.h"
#include "executor/agent/files.h"
#include "executor/agent/helper.h"
#include "executor/agent/process.h"
#include "executor/agent/seal.h"

enum {
	EVENTS_BYTES = 16 * 1024,
	LOOK_MIN_MS = 100, /* between two looks at what cannot be noticed */
	LOOK_MAX_MS = 5000,
	TRIES_MAX = 3, /* of reading one entry whose reader dies */
	FORK_AGAIN_MS = 1000,
	ENTRIES_MAX = 20000, /* in one folder */
};

static const uint32_t wanted_events = IN_CREATE | IN_CLOSE_WRITE | IN_MOVED_TO | IN_DELETE | IN_MOVED_FROM |
				      IN_ONLYDIR;

/*  OLD: it lay there before         PENDING -> READING -> RECORDED
 *                                      ^          |
 *                                      +------- JUDGED (not good as it was; it may become so)   */
enum item_state { ITEM_OLD, ITEM_PENDING, ITEM_READING, ITEM_RECORDED, ITEM_JUDGED };

struct item {
	char *entry;
	enum item_state state;
	bool moved;  /* renamed into place: complete at once */
	bool closed; /* by its writer, the last time that was noticed */
	bool told;   /* that it does not count, and why */
	bool again;  /* something happened to it while it was read */
	int tries;
	struct entry_signature seen;
	int64_t changed_ms;
	char *why; /* of JUDGED */
	char *format;
};

/* A recorded one, for `keep`. */
struct kept {
	char *entry;
	bool quarantined;
};

struct watch {
	const struct spec *spec;
	char *folder;
	int dir;
	int inotify; /* -1: by looking */
	bool overflow;
	int64_t look_ms; /* next look at what cannot be noticed */
	int64_t settle_ms;
	int64_t fork_ms; /* no helper before this */

	struct item *items;
	size_t items_count, items_room;
	struct kept *kept; /* oldest first */
	size_t kept_count, kept_room;
	struct baseline baseline;
	struct arena arena; /* of the baseline */

	struct helper helper;
	enum { JOB_NONE, JOB_RESUME, JOB_SEAL, JOB_REMOVE } job;
	char **going; /* to be removed */
	size_t going_count, going_room;

	enum watch_resume resume;
	char *resume_name, *resume_digest, *resume_text;

	uint64_t completed;
	bool ending;
	bool clean;
	char *how;
};

/* --- what is in the folder ------------------------------------------------------------------------------ */

static struct item *find_item(struct watch *watch, const char *entry)
{
	for (size_t i = 0; i < watch->items_count; i++)
		if (strcmp(watch->items[i].entry, entry) == 0)
			return &watch->items[i];
	return NULL;
}

/* NULL when there are too many. */
static struct item *add_item(struct watch *watch, const char *entry, enum item_state state)
{
	struct item *item;

	if (watch->items_count >= ENTRIES_MAX)
		return NULL;
	mem_grow(&watch->items, &watch->items_room, watch->items_count, sizeof *watch->items);
	item = &watch->items[watch->items_count++];
	*item = (struct item){ .entry = mem_strdup(entry), .state = state };
	return item;
}

static void remove_item(struct watch *watch, struct item *item)
{
	free(item->entry);
	free(item->why);
	free(item->format);
	*item = watch->items[--watch->items_count];
}

static void forget_kept(struct watch *watch, const char *entry)
{
	for (size_t i = 0; i < watch->kept_count; i++) {
		if (strcmp(watch->kept[i].entry, entry) != 0)
			continue;
		free(watch->kept[i].entry);
		watch->kept_count--;
		memmove(&watch->kept[i], &watch->kept[i + 1], (watch->kept_count - i) * sizeof *watch->kept);
		return;
	}
}

static void add_kept(struct watch *watch, const char *entry, bool quarantined)
{
	forget_kept(watch, entry);
	mem_grow(&watch->kept, &watch->kept_room, watch->kept_count, sizeof *watch->kept);
	watch->kept[watch->kept_count++] = (struct kept){ mem_strdup(entry), quarantined };
}

/* --- keeping only so many ------------------------------------------------------------------------------- */

static void let_go(struct watch *watch, size_t index)
{
	mem_grow(&watch->going, &watch->going_room, watch->going_count, sizeof *watch->going);
	watch->going[watch->going_count++] = mem_strdup(watch->kept[index].entry);
	forget_kept(watch, watch->kept[index].entry);
}

/* A newer one has just been recorded, so all others may go: first those in quarantine, which do not count. */
static void apply_keep(struct watch *watch)
{
	size_t good = 0;

	if (watch->spec->keep <= 0)
		return;
	for (size_t i = watch->kept_count; i-- > 0;) {
		if (!watch->kept[i].quarantined && good < (size_t)watch->spec->keep)
			good++;
		else
			let_go(watch, i);
	}
}

static void start_removal(struct watch *watch)
{
	struct seal_removal removal = { .dir = HELPER_DIR,
					.entries = (const char *const *)watch->going,
					.count = watch->going_count };

	if (helper_start(&watch->helper, seal_removal_work, &removal, watch->dir, NULL) < 0) {
		watch->fork_ms = awake_ms() + FORK_AGAIN_MS;
		return;
	}
	watch->job = JOB_REMOVE;
	for (size_t i = 0; i < watch->going_count; i++) {
		struct item *item = find_item(watch, watch->going[i]);

		if (item != NULL)
			remove_item(watch, item);
		free(watch->going[i]);
	}
	watch->going_count = 0;
}

/* --- judging -------------------------------------------------------------------------------------------- */

static void tell_ignored(struct item *item, struct spool_journal *journal)
{
	item->told = true;
	protocol_put_checkpoint(&journal->pending,
				&(struct record_checkpoint){ .event = CHECKPOINT_IGNORED,
							     .name = item->entry,
							     .step = entry_step(item->entry),
							     .wall_ms = clock_wall_ms(),
							     .format = item->format,
							     .text = item->why });
}

static void record(struct watch *watch, struct item *item, const struct record_checkpoint *checkpoint,
		   struct spool_journal *journal)
{
	item->state = ITEM_RECORDED;
	item->told = false;
	protocol_put_checkpoint(&journal->pending, checkpoint);
	watch->completed++;
	add_kept(watch, item->entry, false);
	spool_journal_flush(journal); /* before an older one goes */
	if (!journal->full)
		apply_keep(watch);
}

static void judge(struct watch *watch, struct item *item, const struct record_checkpoint *checkpoint,
		  int64_t now_ms, struct spool_journal *journal)
{
	free(item->why);
	free(item->format);
	item->why = mem_strdup(checkpoint->text);
	item->format = mem_strdup(checkpoint->format);
	item->state = ITEM_JUDGED;
	item->changed_ms = now_ms;
	/* One that is built in place may still become good, as long as somebody is there to build it. */
	if ((item->moved || watch->ending) && !item->told)
		tell_ignored(item, journal);
}

static void on_sealed(struct watch *watch, const struct record_checkpoint *checkpoint, int64_t now_ms,
		      struct spool_journal *journal)
{
	struct item *item = find_item(watch, checkpoint->name);

	if (item == NULL || item->state != ITEM_READING)
		return;
	if (item->again) {
		struct entry_signature now = entry_sign(watch->dir, item->entry);

		item->again = false;
		if (now.hash != item->seen.hash) {
			item->state = ITEM_PENDING;
			item->seen = now;
			item->changed_ms = now_ms;
			return;
		}
	}
	if (checkpoint->event == CHECKPOINT_COMPLETE)
		record(watch, item, checkpoint, journal);
	else
		judge(watch, item, checkpoint, now_ms, journal);
}

/* Whether a process of the step still writes into it. */
static bool has_writer(const struct watch *watch, const char *entry)
{
	autofree char *path = mem_printf("%s/%s", watch->folder, entry);
	struct process_list list = { 0 };
	bool found = false;

	process_offspring(getpid(), &list);
	for (size_t i = 0; i < list.count && !found; i++)
		found = process_writes_below(list.items[i].pid, path);
	process_list_fini(&list);
	return found;
}

/* Changed since it was looked at last? Then it has to settle anew. */
static bool has_settled(struct watch *watch, struct item *item, int64_t now_ms)
{
	struct entry_signature now = entry_sign(watch->dir, item->entry);

	if (now.hash != item->seen.hash) {
		item->seen = now;
		item->changed_ms = now_ms;
		return false;
	}
	return now_ms - item->changed_ms >= watch->settle_ms;
}

static bool is_noticed(const struct watch *watch, const struct item *item)
{
	return watch->inotify >= 0 && !item->seen.is_folder;
}

static bool is_ready(struct watch *watch, struct item *item, int64_t now_ms)
{
	if (item->state != ITEM_PENDING)
		return false;
	if (watch->ending || item->moved)
		return true;
	if (is_noticed(watch, item))
		return item->closed && now_ms - item->changed_ms >= watch->settle_ms &&
		       has_settled(watch, item, now_ms);
	return now_ms >= watch->look_ms && has_settled(watch, item, now_ms) &&
	       !has_writer(watch, item->entry);
}

/* The last one that is recorded is the newest, also when several wait. */
static int oldest_first(const void *a, const void *b)
{
	const struct seal_request *left = a, *right = b;

	if (left->mtime_ns != right->mtime_ns)
		return left->mtime_ns < right->mtime_ns ? -1 : 1;
	return strverscmp(left->entry, right->entry); /* written within one tick of the file system's clock */
}

static void start_sealing(struct watch *watch, int64_t now_ms)
{
	autofree struct seal_request *requests = mem_array(watch->items_count + 1, sizeof *requests);
	struct seal_job job = { .dir = HELPER_DIR, .requests = requests };

	for (size_t i = 0; i < watch->items_count; i++) {
		struct item *item = &watch->items[i];

		if (!is_ready(watch, item, now_ms))
			continue;
		if (item->moved || watch->ending)
			item->seen = entry_sign(watch->dir, item->entry);
		requests[job.count++] = (struct seal_request){
			.entry = item->entry,
			.mtime_ns = item->seen.mtime_ns,
			.must_prove = watch->ending && !watch->clean && !item->moved,
			.how = watch->how == NULL ? "" : watch->how,
		};
	}
	if (job.count == 0)
		return;
	qsort(requests, job.count, sizeof *requests, oldest_first);
	if (helper_start(&watch->helper, seal_work, &job, watch->dir, NULL) < 0) {
		watch->fork_ms = now_ms + FORK_AGAIN_MS;
		return;
	}
	watch->job = JOB_SEAL;
	for (size_t i = 0; i < watch->items_count; i++)
		for (size_t j = 0; j < job.count; j++)
			if (requests[j].entry == watch->items[i].entry)
				watch->items[i].state = ITEM_READING;
}

/* Of a reader that died: what it was given has had no answer. */
static void give_back(struct watch *watch, int64_t now_ms, struct spool_journal *journal)
{
	for (size_t i = 0; i < watch->items_count; i++) {
		struct item *item = &watch->items[i];

		if (item->state != ITEM_READING)
			continue;
		if (++item->tries < TRIES_MAX) {
			item->state = ITEM_PENDING;
			item->changed_ms = now_ms;
			continue;
		}
		judge(watch, item,
		      &(struct record_checkpoint){ .text = "it could not be read: its reader died",
						   .format = "" },
		      now_ms, journal);
	}
}

/* --- events --------------------------------------------------------------------------------------------- */

static void has_gone(struct watch *watch, struct item *item, struct spool_journal *journal)
{
	bool known = item->state == ITEM_RECORDED ||
		     (item->state == ITEM_OLD && seal_is_candidate(watch->spec, item->entry));

	if (known) {
		forget_kept(watch, item->entry);
		protocol_put_checkpoint(&journal->pending,
					&(struct record_checkpoint){ .event = CHECKPOINT_REMOVED,
								     .name = item->entry,
								     .step = entry_step(item->entry),
								     .wall_ms = clock_wall_ms(),
								     .text = "the program removed it" });
	}
	remove_item(watch, item);
}

static void on_event(struct watch *watch, uint32_t mask, const char *name, int64_t now_ms,
		     struct spool_journal *journal)
{
	char entry[ENTRY_NAME_BYTES];
	enum entry_kind kind = entry_of(name, entry);
	struct item *item = kind == ENTRY_NONE ? NULL : find_item(watch, entry);
	struct entry_signature now;
	struct stat st;

	if (kind == ENTRY_NONE)
		return;
	if (fstatat(watch->dir, name, &st, AT_SYMLINK_NOFOLLOW) == 0 && !S_ISREG(st.st_mode) &&
	    !S_ISDIR(st.st_mode))
		return; /* last.ckpt as a link is no checkpoint of its own */
	now = entry_sign(watch->dir, entry);
	if (now.hash == 0) {
		if (item != NULL)
			has_gone(watch, item, journal);
		return;
	}
	if (item != NULL && item->state != ITEM_PENDING && item->state != ITEM_READING &&
	    item->seen.hash == now.hash)
		return; /* opened and closed, and still as it was */
	if (item == NULL)
		item = add_item(watch, entry, ITEM_PENDING);
	if (item == NULL)
		return;
	item->again = item->state == ITEM_READING;
	if (item->state != ITEM_READING)
		item->state = ITEM_PENDING;
	/* Of a group each file may come by a rename; it is complete when nothing of it is missing. */
	item->moved = (mask & IN_MOVED_TO) != 0 && kind == ENTRY_SINGLE;
	item->closed = (mask & (IN_CLOSE_WRITE | IN_MOVED_TO)) != 0;
	item->told = false;
	if (!item->again)
		item->seen = now;
	item->changed_ms = now_ms;
}

void watch_events(struct watch *watch, int64_t now_ms, struct spool_journal *journal)
{
	_Alignas(struct inotify_event) char events[EVENTS_BYTES];
	ssize_t n;

	if (watch->inotify < 0)
		return;
	while ((n = read(watch->inotify, events, sizeof events)) > 0)
		for (char *at = events; at < events + n;) {
			const struct inotify_event *event = (const struct inotify_event *)(const void *)at;

			at += sizeof *event + event->len;
			watch->overflow |= (event->mask & IN_Q_OVERFLOW) != 0;
			if (event->len > 0)
				on_event(watch, event->mask, event->name, now_ms, journal);
		}
}

static int compare_items(const void *a, const void *b)
{
	return strcmp(((const struct item *)a)->entry, ((const struct item *)b)->entry);
}

/* Compares the folder with what is known of it: for what cannot be, or was not, noticed. */
static void look_through(struct watch *watch, int64_t now_ms)
{
	size_t count, known = watch->items_count;
	const char **entries;
	struct arena arena;

	arena_init(&arena);
	count = seal_list(watch->dir, &arena, &entries);
	if (known > 0)
		qsort(watch->items, known, sizeof *watch->items, compare_items);
	for (size_t i = 0; i < count; i++) {
		struct item wanted = { .entry = mem_strdup(entries[i]) };
		struct item *item = known == 0 ? NULL
					       : bsearch(&wanted, watch->items, known, sizeof *watch->items,
							 compare_items);
		struct entry_signature now = entry_sign(watch->dir, entries[i]);

		free(wanted.entry);
		if (item != NULL && (item->state == ITEM_PENDING || item->state == ITEM_READING ||
				     item->seen.hash == now.hash))
			continue;
		if (item == NULL)
			item = add_item(watch, entries[i], ITEM_PENDING);
		if (item == NULL)
			break;
		item->state = ITEM_PENDING;
		item->moved = false;
		item->closed = true;
		item->told = false;
		item->seen = now;
		item->changed_ms = now_ms;
	}
	arena_fini(&arena);
}

/* --- life ----------------------------------------------------------------------------------------------- */

void watch_free(struct watch *watch)
{
	if (watch == NULL)
		return;
	helper_kill(&watch->helper);
	buf_fini(&watch->helper.answer);
	while (watch->items_count > 0)
		remove_item(watch, &watch->items[0]);
	while (watch->kept_count > 0)
		forget_kept(watch, watch->kept[0].entry);
	while (watch->going_count > 0)
		free(watch->going[--watch->going_count]);
	free(watch->items);
	free(watch->kept);
	free(watch->going);
	free(watch->baseline.known);
	arena_fini(&watch->arena);
	if (watch->dir >= 0)
		close(watch->dir);
	if (watch->inotify >= 0)
		close(watch->inotify);
	free(watch->resume_name);
	free(watch->resume_digest);
	free(watch->resume_text);
	free(watch->how);
	free(watch->folder);
	free(watch);
}

static char *name_folder(const struct spec *spec, const char *task_folder)
{
	const char *own = spec->checkpoint_dir;

	if (own[0] == '\0')
		return mem_printf("%s/checkpoints", task_folder);
	return own[0] == '/' ? mem_strdup(own) : mem_printf("%s/%s", spec->workdir, own);
}

static struct watch *new_watch(const struct spec *spec, const char *task_folder)
{
	struct watch *watch = mem_zalloc(sizeof *watch);

	watch->spec = spec;
	watch->folder = name_folder(spec, task_folder);
	watch->dir = watch->inotify = -1;
	watch->look_ms = AWAKE_NEVER;
	watch->settle_ms = spec->settle_ms;
	watch->resume = WATCH_RESUME_READY;
	helper_init(&watch->helper);
	arena_init(&watch->arena);
	for (size_t i = spec->candidates_count; i-- > 0;) {
		char entry[ENTRY_NAME_BYTES];

		if (entry_of(spec->candidates[i].name, entry) != ENTRY_NONE)
			add_kept(watch, entry, spec->candidates[i].quarantined);
	}
	return watch;
}

/* What is there before the step starts. */
static void take_stock(struct watch *watch)
{
	const char **entries;
	struct arena arena;
	size_t count;

	arena_init(&arena);
	count = seal_list(watch->dir, &arena, &entries);
	for (size_t i = 0; i < count; i++) {
		struct item *item = add_item(watch, entries[i], ITEM_OLD);

		if (item != NULL)
			item->seen = entry_sign(watch->dir, entries[i]);
	}
	arena_fini(&arena);
}

static int open_folder(struct watch *watch, const char *task_folder, const char *spare, bool *made_out,
		       struct err *err)
{
	int made = -1;

	/* The usual cases first: an empty folder used again, or a new one below a folder that is there. */
	if (spare[0] != '\0' && rename(spare, task_folder) == 0)
		made = 1;
	else if (spare[0] != '\0')
		files_remove(AT_FDCWD, spare); /* the task has a folder */
	if (made < 0 && watch->spec->checkpoint_dir[0] == '\0' && mkdir(task_folder, 0700) == 0)
		made = mkdir(watch->folder, 0700) == 0 ? 1 : -1;
	if (made < 0)
		made = files_make_folders(watch->folder);
	if (made < 0)
		return err_errno(err, "mkdir %s", watch->folder);
	*made_out = made > 0;
	watch->dir = openat(AT_FDCWD, watch->folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (watch->dir < 0)
		return err_errno(err, "open %s", watch->folder);
	return 0;
}

int watch_open(const struct spec *spec, const char *task_folder, const char *spare, struct watch **watch_out,
	       struct err *err)
{
	struct watch *watch = new_watch(spec, task_folder);
	bool made = false;
	int rc = open_folder(watch, task_folder, spare, &made, err);

	if (rc < 0) {
		watch_free(watch);
		return rc;
	}
	watch->inotify = getenv("STOKER_AGENT_NO_INOTIFY") != NULL ? -1
								   : inotify_init1(IN_NONBLOCK | IN_CLOEXEC);
	if (watch->inotify >= 0 && inotify_add_watch(watch->inotify, watch->folder, wanted_events) < 0) {
		close(watch->inotify);
		watch->inotify = -1;
	}
	if (watch->inotify < 0)
		watch->look_ms = 0;
	if (spec->checkpoint_dir[0] != '\0' &&
	    (rc = baseline_take(task_folder, watch->dir, spec, &watch->arena, &watch->baseline, err)) < 0) {
		watch_free(watch);
		return rc;
	}
	if (!made)
		take_stock(watch);
	*watch_out = watch;
	return 0;
}

/* Those that the journal has are recorded; what has not changed since the start is old. */
static void read_recorded(struct watch *watch, int attempt_dir)
{
	autobuf struct buf bytes = { 0 };
	uint64_t offset = 0;
	struct arena arena;
	ssize_t n;

	arena_init(&arena);
	while ((n = spool_journal_read(attempt_dir, offset, PROTOCOL_DATA_BYTES_MAX, &bytes)) > 0) {
		struct frame frame;

		for (size_t at = 0; protocol_next(bytes.data + at, bytes.bytes - at, &frame, NULL) == 1;
		     at += frame.whole_bytes) {
			struct record_checkpoint checkpoint;
			struct item *item;

			if (frame.type != RECORD_CHECKPOINT ||
			    protocol_get_checkpoint(&frame, &arena, &checkpoint) < 0 ||
			    checkpoint.event != CHECKPOINT_COMPLETE)
				continue;
			item = find_item(watch, checkpoint.name);
			if (item != NULL && item->seen.mtime_ns / 1000000 <= checkpoint.wall_ms)
				item->state = ITEM_RECORDED;
		}
		arena_reset(&arena);
		offset += (uint64_t)n;
		buf_clear(&bytes);
	}
	arena_fini(&arena);
}

int watch_open_after(const struct spec *spec, const char *task_folder, int attempt_dir,
		     int64_t started_wall_ms, struct watch **watch_out, struct err *err)
{
	struct watch *watch = new_watch(spec, task_folder);

	watch->dir = openat(AT_FDCWD, watch->folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (watch->dir < 0) {
		int rc = err_errno(err, "open %s", watch->folder);

		watch_free(watch);
		return rc;
	}
	baseline_read(task_folder, &watch->arena, &watch->baseline);
	take_stock(watch);
	for (size_t i = 0; i < watch->items_count; i++) {
		struct item *item = &watch->items[i];

		if (item->seen.mtime_ns / 1000000 >= started_wall_ms &&
		    !seal_is_known(watch->baseline.known, watch->baseline.count, item->entry,
				   item->seen.hash))
			item->state = ITEM_PENDING;
	}
	read_recorded(watch, attempt_dir);
	*watch_out = watch;
	return 0;
}

const char *watch_folder(const struct watch *watch)
{
	return watch->folder;
}

/* --- resuming ------------------------------------------------------------------------------------------- */

/* The answer is in: NONE only where that forbids the start. */
static void decide(struct watch *watch, const char *tried)
{
	bool required = watch->spec->resume_required && !watch->spec->fresh;

	if (watch->resume_name != NULL || !required) {
		watch->resume = WATCH_RESUME_READY;
		return;
	}
	watch->resume = WATCH_RESUME_NONE;
	free(watch->resume_text);
	watch->resume_text = mem_printf("there is no good checkpoint to resume from: %s", tried);
}

enum watch_resume watch_verify(struct watch *watch)
{
	struct seal_resume resume = { .dir = HELPER_DIR,
				      .spec = watch->spec,
				      .baseline = watch->baseline.known,
				      .baseline_count = watch->baseline.count };
	struct err err = { 0 };

	if (watch->spec->resume_never)
		return watch->resume;
	if (watch->spec->candidates_count == 0 && (watch->spec->fresh || watch->items_count == 0)) {
		decide(watch, "none was ever recorded");
		return watch->resume;
	}
	if (helper_start(&watch->helper, seal_resume_work, &resume, watch->dir, &err) < 0) {
		watch->resume = WATCH_RESUME_FAILED;
		watch->resume_text = mem_strdup(err.text);
	} else {
		watch->job = JOB_RESUME;
		watch->resume = WATCH_RESUME_BUSY;
	}
	return watch->resume;
}

enum watch_resume watch_resume(const struct watch *watch, const char **name_out, const char **digest_out,
			       const char **text_out)
{
	*name_out = watch->resume_name == NULL ? "" : watch->resume_name;
	*digest_out = watch->resume_digest == NULL ? "" : watch->resume_digest;
	*text_out = watch->resume_text == NULL ? "" : watch->resume_text;
	return watch->resume;
}

static void on_verified(struct watch *watch, const struct frame *frame, struct arena *arena,
			struct spool_journal *journal)
{
	struct record_checkpoint checkpoint;
	struct record_started choice;
	struct frame_note note;

	if (frame->type == RECORD_CHECKPOINT && protocol_get_checkpoint(frame, arena, &checkpoint) == 0) {
		struct item *item = find_item(watch, checkpoint.name);

		if (checkpoint.event == CHECKPOINT_COMPLETE) {
			add_kept(watch, checkpoint.name, false);
			if (item != NULL)
				item->state = ITEM_RECORDED;
		} else if (checkpoint.event == CHECKPOINT_BROKEN) {
			forget_kept(watch, checkpoint.name); /* it is nobody's to count or to remove */
		}
		protocol_put_checkpoint(&journal->pending, &checkpoint);
	} else if (frame->type == RECORD_STARTED && protocol_get_started(frame, arena, &choice) == 0) {
		watch->resume_name = mem_strdup(choice.resumed_from);
		watch->resume_digest = mem_strdup(choice.resumed_digest);
		decide(watch, "");
	} else if (frame->type == RECORD_NOTE && protocol_get_note(frame, arena, &note) == 0) {
		decide(watch, note.text);
	}
}

/* --- the helper ----------------------------------------------------------------------------------------- */

int watch_events_fd(const struct watch *watch)
{
	return watch->inotify;
}

int watch_helper_fd(const struct watch *watch)
{
	return watch->helper.pipe;
}

static void on_answer(struct watch *watch, const struct frame *frame, struct arena *arena, int64_t now_ms,
		      struct spool_journal *journal)
{
	struct record_checkpoint checkpoint;

	if (watch->job == JOB_RESUME) {
		on_verified(watch, frame, arena, journal);
		return;
	}
	if (frame->type != RECORD_CHECKPOINT || protocol_get_checkpoint(frame, arena, &checkpoint) < 0)
		return;
	if (watch->job == JOB_SEAL)
		on_sealed(watch, &checkpoint, now_ms, journal);
	else
		protocol_put_checkpoint(&journal->pending, &checkpoint);
}

void watch_helper(struct watch *watch, int64_t now_ms, struct spool_journal *journal)
{
	struct helper *helper = &watch->helper;
	int ended = helper_read(helper);
	size_t done = 0;
	struct frame frame;
	struct arena arena;

	arena_init(&arena);
	while (done < helper->answer.bytes &&
	       protocol_next(helper->answer.data + done, helper->answer.bytes - done, &frame, NULL) == 1) {
		on_answer(watch, &frame, &arena, now_ms, journal);
		done += frame.whole_bytes;
		arena_reset(&arena);
	}
	buf_consume(&helper->answer, done);
	arena_fini(&arena);
	if (!ended)
		return;
	if (watch->job == JOB_RESUME && watch->resume == WATCH_RESUME_BUSY) {
		watch->resume = WATCH_RESUME_FAILED;
		watch->resume_text =
			mem_strdup("the checkpoint to resume from could not be verified: its reader died");
	}
	if (watch->job == JOB_SEAL)
		give_back(watch, now_ms, journal);
	watch->job = JOB_NONE;
}

static int64_t look_pause_ms(const struct watch *watch)
{
	int64_t pause = watch->settle_ms / 4;

	return pause < LOOK_MIN_MS ? LOOK_MIN_MS : pause > LOOK_MAX_MS ? LOOK_MAX_MS : pause;
}

/* In-place folders, and everything where there is no inotify, must be looked at. */
static bool needs_looks(const struct watch *watch)
{
	if (watch->inotify < 0)
		return true;
	for (size_t i = 0; i < watch->items_count; i++) {
		const struct item *item = &watch->items[i];

		if (item->seen.is_folder && !item->moved &&
		    (item->state == ITEM_PENDING || item->state == ITEM_JUDGED))
			return true;
	}
	return false;
}

/* Judged in place, and changed since: another chance. */
static void look_again(struct watch *watch, int64_t now_ms)
{
	for (size_t i = 0; i < watch->items_count; i++) {
		struct item *item = &watch->items[i];

		if (item->state != ITEM_JUDGED || is_noticed(watch, item) ||
		    has_settled(watch, item, now_ms) || item->changed_ms != now_ms)
			continue;
		item->state = ITEM_PENDING;
		item->told = false;
	}
}

void watch_turn(struct watch *watch, int64_t now_ms)
{
	bool look = now_ms >= watch->look_ms;

	if (look && !watch->ending) {
		if (watch->inotify < 0 || watch->overflow)
			look_through(watch, now_ms);
		watch->overflow = false;
		look_again(watch, now_ms);
	}
	if (watch->job == JOB_NONE && watch->items_count > 0 && now_ms >= watch->fork_ms)
		start_sealing(watch, now_ms);
	if (watch->job == JOB_NONE && watch->going_count > 0 && now_ms >= watch->fork_ms)
		start_removal(watch);
	if (look || watch->look_ms == AWAKE_NEVER)
		watch->look_ms = needs_looks(watch) || watch->overflow ? now_ms + look_pause_ms(watch)
								       : AWAKE_NEVER;
}

int64_t watch_due(const struct watch *watch)
{
	int64_t due = watch->look_ms;

	if (watch->job != JOB_NONE)
		return due; /* What else is due waits for the helper. */
	for (size_t i = 0; i < watch->items_count; i++) {
		const struct item *item = &watch->items[i];

		if (item->state == ITEM_PENDING && (item->moved || watch->ending))
			return watch->fork_ms;
		if (item->state == ITEM_PENDING && is_noticed(watch, item) && item->closed)
			due = awake_sooner(due, item->changed_ms + watch->settle_ms);
	}
	return watch->going_count > 0 ? watch->fork_ms : due;
}

uint64_t watch_completed(const struct watch *watch)
{
	return watch->completed;
}

size_t watch_helpers(const struct watch *watch, pid_t pids[2])
{
	size_t count = 0;

	if (watch->helper.pid > 0)
		pids[count++] = watch->helper.pid;
	if (watch->helper.past > 0)
		pids[count++] = watch->helper.past;
	return count;
}

bool watch_reaped(struct watch *watch, pid_t pid)
{
	return helper_reaped(&watch->helper, pid);
}

/* --- the end -------------------------------------------------------------------------------------------- */

void watch_finish(struct watch *watch, const struct watch_end *end, int64_t now_ms,
		  struct spool_journal *journal)
{
	watch_events(watch, now_ms, journal);
	watch->clean = end->clean;
	watch->how = mem_strdup(end->how);
	if (watch->inotify < 0 || watch->overflow || watch->items_count > 0)
		look_through(watch, now_ms);
	watch->ending = true;
	for (size_t i = 0; i < watch->items_count; i++) {
		struct item *item = &watch->items[i];

		if (item->state != ITEM_JUDGED)
			continue;
		if (entry_sign(watch->dir, item->entry).hash != item->seen.hash)
			item->state = ITEM_PENDING;
		else if (!item->told)
			tell_ignored(item, journal);
	}
	watch_turn(watch, now_ms);
}

bool watch_busy(const struct watch *watch)
{
	if (watch->job != JOB_NONE || watch->going_count > 0)
		return true;
	for (size_t i = 0; i < watch->items_count; i++)
		if (watch->items[i].state == ITEM_PENDING)
			return true;
	return false;
}

void watch_abandon(struct watch *watch, struct spool_journal *journal)
{
	helper_kill(&watch->helper);
	watch->job = JOB_NONE;
	watch->ending = true;
	while (watch->going_count > 0)
		free(watch->going[--watch->going_count]);
	for (size_t i = 0; i < watch->items_count; i++) {
		struct item *item = &watch->items[i];

		if (item->state != ITEM_PENDING && item->state != ITEM_READING)
			continue;
		item->state = ITEM_JUDGED;
		free(item->why);
		item->why = mem_strdup("it was not read to its end in time");
		if (journal != NULL)
			tell_ignored(item, journal);
	}
}
