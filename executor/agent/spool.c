#include "executor/agent/spool.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "common/clock.h"
#include "common/mem.h"
#include "common/scope.h"
#include "executor/agent/files.h"
#include "executor/agent/spare.h"

enum {
	SPEC_BYTES_MAX = PROTOCOL_FRAME_BYTES_MAX + 4096,
	EXIT_BYTES_MAX = 64 * 1024,
	REQUEST_BYTES_MAX = 1024,
	JOURNAL_PENDING_MAX = 1024 * 1024,
	PIECE_BYTES = 1024 * 1024, /* of the log, in one go */
	DROP_BYTES = 64 * 1024,
	RING_OFFSET = 4096,
	RESERVE_FROM = 256 * 1024, /* a log this long may be what fills the disk */
	RESERVE_BYTES = 64 * 1024,
	LOG_MAX_DEFAULT = 1024 * 1024 * 1024,
	EARLY_BYTES = 8 * 1024 * 1024,
	EARLY_PATIENCE_MS = 100,
};

static const char reserve_name[] = "reserve";

/* --- spec ----------------------------------------------------------------------------------------------- */

int spool_spec_write(int dir, const uint8_t *start_frame, size_t n, const struct record_identity *identity,
		     struct err *err)
{
	autobuf struct buf bytes = { 0 };
	autoclose int fd = openat(dir, "spec", O_WRONLY | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);

	if (fd < 0)
		return err_errno(err, "create spec");
	buf_reserve(&bytes, n + 128);
	buf_append(&bytes, start_frame, n);
	protocol_put_identity(&bytes, identity);
	/*
	 * In a spare folder an older one is written over: cutting it off costs less than making a new file.
	 */
	if (files_write(fd, bytes.data, bytes.bytes) < 0 || ftruncate(fd, (off_t)bytes.bytes) < 0)
		return err_errno(err, "write spec");
	return 0;
}

/* The frames of a spec one after the other. */
struct spec_reader {
	struct buf bytes;
	size_t at;
};

static int open_reader(struct spec_reader *reader, int dir, struct err *err)
{
	reader->at = 0;
	buf_init(&reader->bytes, 0);
	if (files_read(dir, "spec", SPEC_BYTES_MAX, &reader->bytes) == 0)
		return 0;
	err_errno(err, "read spec");
	return err_set(err, ERR_CORRUPT, "the attempt's spec cannot be read");
}

static void close_reader(struct spec_reader *reader)
{
	buf_fini(&reader->bytes);
}

static bool next_frame(struct spec_reader *reader, enum frame_type type, struct frame *out)
{
	struct err unused;

	if (protocol_next(reader->bytes.data + reader->at, reader->bytes.bytes - reader->at, out, &unused) != 1 ||
	    out->type != type)
		return false;
	reader->at += out->whole_bytes;
	return true;
}

int spool_spec_read(int dir, struct arena *arena, struct spec *spec_out, struct record_identity *identity_out,
		    struct err *err)
{
	__attribute__((cleanup(close_reader))) struct spec_reader reader;
	struct frame start, identity;

	if (open_reader(&reader, dir, err) < 0)
		return err->code;
	if (!next_frame(&reader, FRAME_START, &start) || !next_frame(&reader, RECORD_IDENTITY, &identity))
		return err_set(err, ERR_CORRUPT, "the attempt's spec is cut");
	if ((spec_out != NULL && protocol_get_spec(&start, arena, spec_out) < 0) ||
	    (identity_out != NULL && protocol_get_identity(&identity, arena, identity_out) < 0))
		return err_set(err, ERR_CORRUPT, "the attempt's spec is damaged");
	return 0;
}

int spool_notes_open(int dir)
{
	return openat(dir, "spec", O_WRONLY | O_APPEND | O_CLOEXEC | O_NOFOLLOW);
}

int spool_session_write(int notes, const struct record_identity *maker)
{
	autobuf struct buf frame = { 0 };

	protocol_put_identity(&frame, maker);
	return files_write(notes, frame.data, frame.bytes);
}

int spool_step_write(int notes, const struct record_started *step)
{
	autobuf struct buf frame = { 0 };

	protocol_put_started(&frame, step);
	return files_write(notes, frame.data, frame.bytes);
}

int spool_session_read(int dir, struct arena *arena, struct record_identity *maker_out, struct record_started *step_out,
		       struct err *err)
{
	__attribute__((cleanup(close_reader))) struct spec_reader reader;
	struct frame start, leader, maker, step;

	if (open_reader(&reader, dir, err) < 0)
		return err->code;
	if (!next_frame(&reader, FRAME_START, &start) || !next_frame(&reader, RECORD_IDENTITY, &leader) ||
	    !next_frame(&reader, RECORD_IDENTITY, &maker) || protocol_get_identity(&maker, arena, maker_out) < 0)
		return err_set(err, ERR_NOT_FOUND, "no session is noted in the attempt's spec");
	if (!next_frame(&reader, RECORD_STARTED, &step) || protocol_get_started(&step, arena, step_out) < 0)
		*step_out = (struct record_started){ .resumed_from = "", .resumed_digest = "" };
	return 0;
}

/* --- journal -------------------------------------------------------------------------------------------- */

void spool_journal_open(struct spool_journal *journal, int dir)
{
	*journal = (struct spool_journal){ .dir = dir, .fd = -1 };
	buf_init(&journal->pending, 0);
}

size_t spool_whole_records(const uint8_t *bytes, size_t n)
{
	size_t whole = 0;
	struct frame frame;

	while (protocol_next(bytes + whole, n - whole, &frame, NULL) == 1)
		whole += frame.whole_bytes;
	return whole;
}

int spool_journal_reopen(struct spool_journal *journal, int dir)
{
	autobuf struct buf bytes = { 0 };

	spool_journal_open(journal, dir);
	journal->fd = openat(dir, "journal", O_RDWR | O_CREAT | O_APPEND | O_CLOEXEC | O_NOFOLLOW, 0600);
	if (journal->fd < 0)
		return -1;
	for (;;) {
		ssize_t n = spool_journal_read(dir, journal->bytes, PROTOCOL_DATA_BYTES_MAX, &bytes);

		if (n < 0)
			return -1;
		if (n == 0)
			break;
		journal->bytes += (uint64_t)n;
		buf_clear(&bytes);
	}
	return ftruncate(journal->fd, (off_t)journal->bytes);
}

void spool_journal_flush(struct spool_journal *journal)
{
	struct buf *pending = &journal->pending;

	if (pending->bytes == 0)
		return;
	if (journal->fd < 0)
		journal->fd = openat(journal->dir, "journal",
				     O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC | O_NOFOLLOW, 0600);
	if (journal->fd >= 0 && files_write(journal->fd, pending->data, pending->bytes) == 0) {
		journal->bytes += pending->bytes;
		journal->full = false;
		buf_clear(pending);
		return;
	}
	/* Half a record must not stay behind: what follows it later would be read as its rest. */
	if (journal->fd >= 0 && ftruncate(journal->fd, (off_t)journal->bytes) < 0)
		journal->lost++;
	journal->full = true;
	spool_reserve_release(journal->dir);
	if (pending->bytes > JOURNAL_PENDING_MAX) {
		struct frame frame;

		while (pending->bytes > JOURNAL_PENDING_MAX / 2 &&
		       protocol_next(pending->data, pending->bytes, &frame, NULL) == 1) {
			buf_consume(pending, frame.whole_bytes);
			journal->lost++;
		}
	}
}

void spool_journal_close(struct spool_journal *journal)
{
	if (journal->fd >= 0)
		close(journal->fd);
	journal->fd = -1;
	buf_fini(&journal->pending);
}

ssize_t spool_journal_read(int dir, uint64_t offset, size_t max, struct buf *out)
{
	autoclose int fd = openat(dir, "journal", O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
	size_t before = out->bytes, whole;
	ssize_t n;

	if (fd < 0)
		return errno == ENOENT ? 0 : -1;
	buf_reserve(out, max);
	n = pread(fd, out->data + before, max, (off_t)offset);
	if (n < 0)
		return -1;
	whole = spool_whole_records(out->data + before, (size_t)n);
	out->bytes = before + whole;
	out->data[out->bytes] = '\0';
	return (ssize_t)whole;
}

/* --- log, writing --------------------------------------------------------------------------------------- */

void spool_log_open(struct spool_log *log, int dir, int64_t max_bytes)
{
	uint64_t max = max_bytes > 1 ? (uint64_t)max_bytes : max_bytes == 1 ? 2 : LOG_MAX_DEFAULT;

	*log = (struct spool_log){ .dir = dir, .head = -1, .tail = -1 };
	log->head_max = (max + 1) / 2;
	log->tail_max = max / 2;
}

bool spool_reserve_release(int dir)
{
	return unlinkat(dir, reserve_name, 0) == 0;
}

/* The log itself may fill the disk: the exit record must then still find room. */
static void set_aside(struct spool_log *log)
{
	autoclose int fd = openat(log->dir, reserve_name, O_WRONLY | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);

	log->reserved = true;
	if (fd >= 0 && posix_fallocate(fd, 0, RESERVE_BYTES) != 0)
		unlinkat(log->dir, reserve_name, 0);
}

static int open_part(struct spool_log *log, int *fd, const char *name)
{
	if (*fd < 0)
		*fd = openat(log->dir, name, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
	return *fd;
}

/* Where the next byte goes: the file, its offset, and how many fit there. */
static int find_room(struct spool_log *log, off_t *offset_out, size_t *n_out)
{
	uint64_t at, room;

	if (log->head_bytes < log->head_max) {
		*offset_out = (off_t)log->head_bytes;
		room = log->head_max - log->head_bytes;
		*n_out = room < PIECE_BYTES ? (size_t)room : PIECE_BYTES;
		return open_part(log, &log->head, "log");
	}
	at = log->tail_total % log->tail_max;
	room = log->tail_max - at;
	*offset_out = (off_t)(RING_OFFSET + at);
	*n_out = room < PIECE_BYTES ? (size_t)room : PIECE_BYTES;
	return open_part(log, &log->tail, "log.tail");
}

static void put_numbers(const struct spool_log *log)
{
	uint64_t numbers[2] = { log->tail_total, log->tail_max };

	if (pwrite(log->tail, numbers, sizeof numbers, 0) < 0)
		return; /* A full disk: the ring is written over in place, so only its first page can miss. */
}

/*
 * A long log sets out for the disk while it grows, or its end would wait until all of it is there. The step must
 * not wait for that: a disk that does not take it at once is left to the system's own pace.
 */
static void set_going(struct spool_log *log)
{
	int64_t began_ms;

	if (log->early_bytes == UINT64_MAX || log->head_bytes - log->early_bytes < EARLY_BYTES)
		return;
	began_ms = clock_mono_ms();
	sync_file_range(log->head, (off_t)log->early_bytes, (off_t)(log->head_bytes - log->early_bytes),
			SYNC_FILE_RANGE_WRITE);
	log->early_bytes = clock_mono_ms() - began_ms > EARLY_PATIENCE_MS ? UINT64_MAX : log->head_bytes;
}

static void advance(struct spool_log *log, size_t n)
{
	if (log->head_bytes < log->head_max) {
		log->head_bytes += n;
		if (!log->reserved && log->head_bytes >= RESERVE_FROM)
			set_aside(log);
		set_going(log);
	} else {
		log->tail_total += n;
		put_numbers(log);
	}
}

static bool is_full(int error)
{
	return error == ENOSPC || error == EDQUOT || error == EFBIG || error == EIO || error == EROFS;
}

/* Own words in the log; what does not fit is left out. */
static int put_text(struct spool_log *log, const char *text, size_t n)
{
	while (n > 0) {
		off_t offset;
		size_t room;
		int fd = find_room(log, &offset, &room);
		ssize_t done = fd < 0 ? -1 : pwrite(fd, text, n < room ? n : room, offset);

		if (done <= 0)
			return -1;
		advance(log, (size_t)done);
		text += done;
		n -= (size_t)done;
	}
	return 0;
}

static ssize_t drop(struct spool_log *log, int pipe)
{
	static uint8_t scratch[DROP_BYTES];
	ssize_t n = read(pipe, scratch, sizeof scratch);

	if (n > 0) {
		log->full_dropped += (uint64_t)n;
		log->unmarked += (uint64_t)n;
	}
	return n;
}

/* Reads and writes, where the file system knows no splice. What finds no room then is lost. */
static ssize_t copy(struct spool_log *log, int pipe, int fd, off_t offset, size_t n)
{
	static uint8_t piece[DROP_BYTES];
	ssize_t taken = read(pipe, piece, n < sizeof piece ? n : sizeof piece);
	ssize_t done = 0;

	while (done < taken) {
		ssize_t part = pwrite(fd, piece + done, (size_t)(taken - done), offset + done);

		if (part < 0 && errno == EINTR)
			continue;
		if (part < 0) {
			log->full_dropped += (uint64_t)(taken - done);
			log->unmarked += (uint64_t)(taken - done);
			break;
		}
		done += part;
	}
	if (done == 0 && taken > 0) {
		errno = EAGAIN; /* not the pipe's end */
		return -1;
	}
	return taken < 0 ? taken : done;
}

static ssize_t move(struct spool_log *log, int pipe, int fd, off_t offset, size_t n)
{
	off_t at = offset;
	ssize_t done;

	if (!log->no_splice) {
		done = splice(pipe, NULL, fd, &at, n, SPLICE_F_MOVE | SPLICE_F_NONBLOCK);
		if (done >= 0 || errno != EINVAL)
			return done;
		log->no_splice = true;
	}
	return copy(log, pipe, fd, offset, n);
}

/* Tells in the log what a full disk cost, now that it may have room. */
static int mark_gap(struct spool_log *log)
{
	char text[96];
	int n = snprintf(text, sizeof text,
			 "\n[stoker: %" PRIu64 " bytes left out here: the disk was full]\n", log->unmarked);

	if (put_text(log, text, (size_t)n) < 0)
		return -1;
	log->unmarked = 0;
	return 0;
}

ssize_t spool_log_take(struct spool_log *log, int pipe)
{
	off_t offset;
	size_t room;
	ssize_t n;
	int fd;

	if (log->unmarked > 0 && mark_gap(log) < 0)
		return drop(log, pipe);
	fd = find_room(log, &offset, &room);
	if (fd < 0)
		return drop(log, pipe);
	do
		n = move(log, pipe, fd, offset, room);
	while (n < 0 && errno == EINTR);
	if (n > 0)
		advance(log, (size_t)n);
	else if (n < 0 && is_full(errno))
		return drop(log, pipe);
	return n;
}

void spool_log_close(struct spool_log *log, bool sync)
{
	if (log->unmarked > 0)
		mark_gap(log);
	for (int i = 0; i < 2; i++) {
		int *fd = i == 0 ? &log->head : &log->tail;

		if (*fd < 0)
			continue;
		if (sync)
			fdatasync(*fd);
		close(*fd);
		*fd = -1;
	}
}

/* --- log, reading --------------------------------------------------------------------------------------- */

void spool_shape_set(struct spool_shape *shape, uint64_t head_bytes, uint64_t total, uint64_t size)
{
	*shape = (struct spool_shape){ .head_bytes = head_bytes, .tail_size = size };
	shape->tail_bytes = total < size ? total : size;
	shape->left_out = total - shape->tail_bytes;
	shape->tail_start = shape->left_out > 0 ? total % size : 0;
	if (shape->left_out > 0)
		shape->mark_bytes = (size_t)snprintf(shape->mark, sizeof shape->mark,
						     "\n[stoker: %" PRIu64 " bytes left out here]\n",
						     shape->left_out);
}

uint64_t spool_shape_bytes(const struct spool_shape *shape)
{
	return shape->head_bytes + shape->mark_bytes + shape->tail_bytes;
}

enum spool_part spool_shape_find(const struct spool_shape *shape, uint64_t offset, uint64_t *at_out,
				 uint64_t *n_out)
{
	uint64_t ring;

	if (offset < shape->head_bytes) {
		*at_out = offset;
		*n_out = shape->head_bytes - offset;
		return SPOOL_HEAD;
	}
	offset -= shape->head_bytes;
	if (offset < shape->mark_bytes) {
		*at_out = offset;
		*n_out = shape->mark_bytes - offset;
		return SPOOL_MARK;
	}
	offset -= shape->mark_bytes;
	if (offset >= shape->tail_bytes) {
		*at_out = *n_out = 0;
		return SPOOL_END;
	}
	ring = (shape->tail_start + offset) % shape->tail_size;
	*at_out = ring;
	*n_out = shape->tail_bytes - offset;
	if (*n_out > shape->tail_size - ring)
		*n_out = shape->tail_size - ring;
	return SPOOL_TAIL;
}

static uint64_t size_of(int dir, const char *name)
{
	struct stat st;

	if (fstatat(dir, name, &st, AT_SYMLINK_NOFOLLOW) < 0 || !S_ISREG(st.st_mode))
		return 0;
	return (uint64_t)st.st_size;
}

int spool_shape_read(int dir, bool ended, struct spool_shape *shape_out)
{
	autoclose int fd = -1;
	uint64_t numbers[2] = { 0 };

	if (ended)
		fd = openat(dir, "log.tail", O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
	if (fd >= 0 && pread(fd, numbers, sizeof numbers, 0) != (ssize_t)sizeof numbers)
		numbers[0] = numbers[1] = 0;
	if (numbers[1] == 0)
		numbers[0] = 0;
	spool_shape_set(shape_out, size_of(dir, "log"), numbers[0], numbers[1]);
	return 0;
}

static int open_to_read(int dir, enum spool_part part)
{
	return openat(dir, part == SPOOL_HEAD ? "log" : "log.tail", O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
}

ssize_t spool_log_read(int dir, const struct spool_shape *shape, uint64_t offset, uint8_t *bytes, size_t max)
{
	size_t done = 0;

	while (done < max) {
		uint64_t at, n;
		enum spool_part part = spool_shape_find(shape, offset + done, &at, &n);
		autoclose int fd = -1;
		ssize_t got;

		if (part == SPOOL_END)
			break;
		if (n > max - done)
			n = max - done;
		if (part == SPOOL_MARK) {
			memcpy(bytes + done, shape->mark + at, (size_t)n);
			done += (size_t)n;
			continue;
		}
		fd = open_to_read(dir, part);
		got = fd < 0 ? -1
			     : pread(fd, bytes + done, (size_t)n,
				     (off_t)(part == SPOOL_TAIL ? RING_OFFSET + at : at));
		if (got <= 0)
			return done > 0 ? (ssize_t)done : got;
		done += (size_t)got;
	}
	return (ssize_t)done;
}

int spool_log_file(int dir, const struct spool_shape *shape, uint64_t offset, uint64_t n)
{
	return offset + n <= shape->head_bytes ? open_to_read(dir, SPOOL_HEAD) : -1;
}

/* --- exit ----------------------------------------------------------------------------------------------- */

int spool_exit_write(int dir, const struct record_exit *record, struct err *err)
{
	autobuf struct buf bytes = { 0 };
	char temporary[48];
	autoclose int fd = -1;
	uint8_t crc[4];
	uint32_t sum;

	snprintf(temporary, sizeof temporary, "exit.%ld.tmp", (long)getpid());
	spare_reuse_exit(dir, temporary);
	fd = openat(dir, temporary, O_WRONLY | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
	if (fd < 0)
		return err_errno(err, "create %s", temporary);
	protocol_put_exit(&bytes, record);
	sum = files_crc32(0, bytes.data, bytes.bytes);
	for (int i = 0; i < 4; i++)
		crc[i] = (uint8_t)(sum >> (8 * i));
	buf_append(&bytes, crc, sizeof crc);
	if (files_write(fd, bytes.data, bytes.bytes) < 0 || ftruncate(fd, (off_t)bytes.bytes) < 0)
		err_errno(err, "write the exit record");
	else if (files_rename_new(dir, temporary, "exit") < 0)
		err_errno(err, "link the exit record");
	else
		return 0;
	unlinkat(dir, temporary, 0);
	return err->code;
}

void spool_exit_sync(int dir)
{
	autoclose int fd = openat(dir, "exit", O_RDONLY | O_CLOEXEC | O_NOFOLLOW);

	if (fd >= 0)
		fsync(fd);
}

int spool_exit_read(int dir, struct arena *arena, struct record_exit *out)
{
	autobuf struct buf bytes = { 0 };
	struct frame frame;
	uint32_t sum;

	if (files_read(dir, "exit", EXIT_BYTES_MAX, &bytes) < 0)
		return errno == ENOENT ? 0 : ERR_CORRUPT;
	if (protocol_next(bytes.data, bytes.bytes, &frame, NULL) != 1 || frame.type != RECORD_EXIT ||
	    bytes.bytes != frame.whole_bytes + 4)
		return ERR_CORRUPT;
	sum = files_crc32(0, bytes.data, frame.whole_bytes);
	for (int i = 0; i < 4; i++)
		if (bytes.data[frame.whole_bytes + (size_t)i] != (uint8_t)(sum >> (8 * i)))
			return ERR_CORRUPT;
	return protocol_get_exit(&frame, arena, out) < 0 ? ERR_CORRUPT : 1;
}

/* --- request -------------------------------------------------------------------------------------------- */

int spool_request_write(int dir, const struct frame_stop *stop)
{
	autobuf struct buf bytes = { 0 };

	protocol_put_stop(&bytes, stop);
	return files_replace(dir, "request", bytes.data, bytes.bytes, 0);
}

bool spool_request_read(int dir, struct frame_stop *out)
{
	autobuf struct buf bytes = { 0 };
	struct frame frame;

	return files_read(dir, "request", REQUEST_BYTES_MAX, &bytes) == 0 &&
	       protocol_next(bytes.data, bytes.bytes, &frame, NULL) == 1 && frame.type == FRAME_STOP &&
	       protocol_get_stop(&frame, out) == 0;
}
