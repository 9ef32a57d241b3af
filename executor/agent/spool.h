/*
 * spool.h - the files of one attempt: written by its supervisor, read back by whichever agent is connected
 *
 *   spec      FRAME_START as received, then RECORD_IDENTITY; complete before the attempt is visible. Then, for whoever
 *             sweeps up after its supervisor: RECORD_IDENTITY of who made the step's session, before there is a step,
 *             and RECORD_STARTED once there is
 *   journal   records, appended whole; only whole ones are ever shipped
 *   log       what the step printed, up to half of the limit
 *   log.tail  the last bytes beyond that, as a ring behind a page with two numbers
 *
 *             page 0: bytes ever put into the ring (u64), size of the ring (u64)
 *             page 1: ring; byte k of the overflow stands at k modulo the size
 *
 *   exit      RECORD_EXIT and its CRC-32; linked without replacing, so whoever is first decides
 *
 * Readers see the log as one stream: log, and once the attempt ended, a line that says how much was left out
 * (if any was) and the ring in order. A full disk costs output, never the step: what finds no room is
 * counted, and where writing goes on again a line says how much is missing.
 *
 * `dir` is the attempt's folder. Nothing here is synced but the exit record and, before it, the log and
 * journal it speaks of.
 */
#ifndef EXECUTOR_AGENT_SPOOL_H
#define EXECUTOR_AGENT_SPOOL_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "executor/protocol.h"

/* --- spec ----------------------------------------------------------------------------------------------- */

int spool_spec_write(int dir, const uint8_t *start_frame, size_t n, const struct record_identity *identity,
		     struct err *err);

/* ERR_CORRUPT when it is cut (after a power failure) or not there. Either pointer may be NULL. */
int spool_spec_read(int dir, struct arena *arena, struct spec *spec_out, struct record_identity *identity_out,
		    struct err *err);

/* For notes behind the spec: of who made the session of the step, and then of the step. -1: errno tells. */
int spool_notes_open(int dir);
int spool_session_write(int notes, const struct record_identity *maker);
int spool_step_write(int notes, const struct record_started *step);

/* ERR_NOT_FOUND: nobody made one yet. step_out->pid is 0 when that is not noted. Both point into the arena. */
int spool_session_read(int dir, struct arena *arena, struct record_identity *maker_out, struct record_started *step_out,
		       struct err *err);

/* --- journal -------------------------------------------------------------------------------------------- */

struct spool_journal {
	int dir;
	int fd; /* -1 until the first record is written */
	uint64_t bytes;
	struct buf pending; /* records to be written */
	uint64_t lost;	    /* records that found no room for long */
	bool full;	    /* the last write found no room */
};

void spool_journal_open(struct spool_journal *journal, int dir);

/* For whoever takes a journal over: cuts off a record that its dead writer left half written, and appends. */
int spool_journal_reopen(struct spool_journal *journal, int dir);

/* Writes what is pending; on a full disk it stays pending, within a limit. */
void spool_journal_flush(struct spool_journal *journal);
void spool_journal_close(struct spool_journal *journal);

/* How many of `n` bytes are whole records. */
size_t spool_whole_records(const uint8_t *bytes, size_t n);

/* Appends whole records from `offset` on to `out`, at most about `max` bytes: the count, or -1 with errno. */
ssize_t spool_journal_read(int dir, uint64_t offset, size_t max, struct buf *out);

/* --- log, writing --------------------------------------------------------------------------------------- */

struct spool_log {
	int dir;
	int head; /* -1 until the first byte */
	int tail;
	uint64_t head_max;
	uint64_t tail_max;
	uint64_t head_bytes;
	uint64_t tail_total;
	uint64_t full_dropped; /* found no room */
	uint64_t unmarked;     /* of these, not yet told in the log */
	uint64_t early_bytes;  /* of the head, on their way to the disk; UINT64_MAX: it is too slow for that */
	bool no_splice;
	bool reserved;
};

void spool_log_open(struct spool_log *log, int dir, int64_t max_bytes);

/*
 * Moves what a pipe holds into the log: bytes moved, 0 at its end, -1 with EAGAIN when it holds nothing now.
 */
ssize_t spool_log_take(struct spool_log *log, int pipe);
void spool_log_close(struct spool_log *log, bool sync);

/* Gives back the space that was set aside for the last records; true when there was some. */
bool spool_reserve_release(int dir);

/* --- log, reading --------------------------------------------------------------------------------------- */

struct spool_shape {
	uint64_t head_bytes;
	uint64_t tail_bytes; /* of the ring, kept */
	uint64_t tail_start; /* where in the ring they begin */
	uint64_t tail_size;
	uint64_t left_out;
	char mark[64];
	size_t mark_bytes;
};

/* Pure: completes head_bytes, `total` bytes put into a ring of `size`. */
void spool_shape_set(struct spool_shape *shape, uint64_t head_bytes, uint64_t total, uint64_t size);
uint64_t spool_shape_bytes(const struct spool_shape *shape);

/* Where byte `offset` of the stream is and how many follow it there. */
enum spool_part { SPOOL_HEAD, SPOOL_MARK, SPOOL_TAIL, SPOOL_END };
enum spool_part spool_shape_find(const struct spool_shape *shape, uint64_t offset, uint64_t *at_out,
				 uint64_t *n_out);

/* Of an attempt that ended; while it runs, only `log` is there to be read (ended = false). */
int spool_shape_read(int dir, bool ended, struct spool_shape *shape_out);

/* Up to `max` bytes of the stream: the count (0: no more), or -1 with errno. */
ssize_t spool_log_read(int dir, const struct spool_shape *shape, uint64_t offset, uint8_t *bytes, size_t max);

/*
 * The file in which `n` bytes from `offset` on stand at that same place, opened, and they stay as they are; or -1:
 * they are to be read.
 */
int spool_log_file(int dir, const struct spool_shape *shape, uint64_t offset, uint64_t n);

/* --- exit ----------------------------------------------------------------------------------------------- */

/*
 * Linked when it is whole: 0, ERR_EXISTS when one was there already (and stands), or another error. What was
 * not synced yet when the power goes is damaged or gone, and the attempt is then told as lost.
 */
int spool_exit_write(int dir, const struct record_exit *record, struct err *err);
void spool_exit_sync(int dir);

/* 1: there, 0: not yet, ERR_CORRUPT: damaged. */
int spool_exit_read(int dir, struct arena *arena, struct record_exit *out);

/* --- a request to stop, from an agent to the supervisor ------------------------------------------------- */

int spool_request_write(int dir, const struct frame_stop *stop);
bool spool_request_read(int dir, struct frame_stop *out);

#endif
