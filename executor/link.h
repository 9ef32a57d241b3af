/*
 * link.h - the one connection to a worker: everything between its scheduler and its agent goes through it
 *
 *   IDLE --> CONNECTING --> GREETING --> READY      any state but CLOSING --> BACKOFF when the connection breaks
 *              ^                                    any state --> CLOSING when the link is given up
 *              +------------ BACKOFF
 *
 * Reconnects with backoff and jitter for ever. A peer that says nothing for LINK_SILENCE_MS although it is
 * asked (ping) counts as gone: a pipe or a TCP connection to a frozen process looks healthy.
 *
 * Collecting: for each attempt attached the link takes its journal apart into records, writes its log to a
 * file at the offset where it stopped, acknowledges what is written, and reports the attempt as collected
 * when its exit was seen and its whole log is on disk. A full disk here holds the log back; the step does not
 * notice.
 *
 * Bulk (the bytes of parcels) must not keep control waiting: it is given to the transport only while less
 * than LINK_BULK_BYTES wait there, and whoever has some asks to be told when there is room (on_room).
 *
 * Ownership: texts and records given to a handler are valid during the call. The link owns its transport.
 * Units:     milliseconds, monotonic.
 */
#ifndef EXECUTOR_LINK_H
#define EXECUTOR_LINK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <uv.h>

#include "executor/protocol.h"
#include "executor/transport.h"

enum {
	LINK_PING_MS = 5000,
	LINK_SILENCE_MS = 30000,
	LINK_GREETING_MS = 20000,
	LINK_BACKOFF_MS = 50,
	LINK_BACKOFF_MAX_MS = 30000,
	LINK_BACKOFF_PERSON_MS = 60000, /* for faults that only a person can mend */
	LINK_LOG_RETRY_MS = 1000,
	LINK_BULK_BYTES = 256 * 1024,
	LINK_ROOM_MS = 5, /* between two looks for room, should the transport not tell */
};

enum link_state {
	LINK_IDLE,
	LINK_CONNECTING,
	LINK_GREETING,
	LINK_READY,
	LINK_BACKOFF,
	LINK_CLOSING,
	LINK_STATES
};

struct link;

struct link_handler {
	/* A connection is wanted: answer with link_connect, now or later. */
	void (*on_wanted)(void *context, struct link *link);
	void (*on_up)(void *context, struct link *link, const struct frame_welcome *welcome);
	void (*on_down)(void *context, struct link *link, const char *why);
	/* A connection could not be made (again); the next is tried in `retry_ms`. */
	void (*on_failed)(void *context, struct link *link, enum fault fault, const char *why,
			  int64_t retry_ms);
	void (*on_present)(void *context, struct link *link, const struct frame_present *present);
	void (*on_inventory)(void *context, struct link *link, const struct frame_claim *claim);
	/* A run of ours that was claimed there before and not released; NULL: of no interest. */
	void (*on_left)(void *context, struct link *link, const struct frame_claim *left);
	void (*on_record)(void *context, struct link *link, const struct attempt_id *id,
			  const struct frame *record, uint64_t journal_end);
	void (*on_exited)(void *context, struct link *link, const struct frame_exited *exited);
	void (*on_collected)(void *context, struct link *link, const struct attempt_id *id);
	/* The worker asks for its leases, at this moment of its clock; it is answered when this returns. */
	void (*on_lease)(void *context, struct link *link, uint64_t number);
	void (*on_note)(void *context, struct link *link, const struct frame_note *note);
	/* How busy the worker is: with each answer to a ping, of which the first is sent at once. NULL: of no interest. */
	void (*on_load)(void *context, struct link *link, const struct load *load);
	/* One of the answers to link_check. NULL: of no interest. */
	void (*on_finding)(void *context, struct link *link, const struct frame_finding *finding);
	/* The agent wants bytes of a parcel. */
	void (*on_want)(void *context, struct link *link, const struct frame_want *want);
	/* Bytes of a parcel that was asked for (link_send_get), or why it cannot be had. */
	void (*on_parcel)(void *context, struct link *link, const struct frame_parcel *parcel);
	/* There is room for bulk, as link_ask_room asked. */
	void (*on_room)(void *context, struct link *link);
	/* Log bytes could not be written here (a full disk, say); tried again until it works. */
	void (*on_log_trouble)(void *context, struct link *link, const struct attempt_id *id,
			       const char *why);
	/* Where the log of an attempt is kept; false when it is of no interest. */
	bool (*log_path)(void *context, const struct attempt_id *id, char *path, size_t path_bytes);
};

/* `home` is the 12 digits of the store, `scheduler` a line for people; both must outlive the link. */
struct link *link_new(uv_loop_t *loop, const char *name, struct transport *transport, const char *home,
		      const char *scheduler, const struct link_handler *handler, void *context);

const char *link_name(const struct link *link);
enum link_state link_state(const struct link *link);
uint64_t link_epoch(const struct link *link); /* of the connection at hand */

/* Asks for the first connection (on_wanted follows). */
void link_start(struct link *link);

/* Connects under a number greater than that of any connection before. */
void link_connect(struct link *link, uint64_t epoch);

/* Drops the connection and makes a new one (on_wanted). */
void link_renew(struct link *link, const char *why);

/* Gives the link up; `on_closed` is called when all is freed. */
void link_close(struct link *link, void (*on_closed)(void *context), void *context);

/* Orders. In any state but READY they are dropped: the next claim brings them about again. */
void link_claim(struct link *link, uint64_t run, uint64_t epoch, int64_t lease_ms);
void link_release(struct link *link, uint64_t run, uint64_t epoch, bool keep);
void link_start_attempt(struct link *link, const struct attempt_id *id, const uint8_t *frame, size_t bytes);
void link_stop_attempt(struct link *link, const struct attempt_id *id, enum reason reason, int64_t grace_ms);
void link_attach(struct link *link, const struct attempt_id *id, uint64_t journal_offset, bool renew);
void link_forget(struct link *link, const struct attempt_id *id);

void link_send_get(struct link *link, const struct frame_get *get);

/* Asks what the agent finds on its machine: on_finding, several times. */
void link_check(struct link *link);

/* Bulk: sent at once. To be given only while there is room. */
bool link_has_room(const struct link *link);
void link_send_parcel(struct link *link, const struct frame_parcel *parcel);

/* Calls on_room as soon as there is room, again and again, until `wanted` is false. Never from within. */
void link_ask_room(struct link *link, bool wanted);

/* Orders are gathered; this sends them. */
void link_flush(struct link *link);

/* For transports: see transport.h. */
void link_opened(struct link *link);
void link_received(struct link *link, const uint8_t *bytes, size_t n);
void link_drained(struct link *link);
void link_broken(struct link *link, enum fault fault, const char *why);

#endif
