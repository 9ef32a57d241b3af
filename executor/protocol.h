/*
 * protocol.h - frames between scheduler and agent, and the records a supervisor leaves on disk
 *
 * One codec for both ends and for both uses: what the supervisor appends to its journal is what the agent
 * ships. Pure: bytes in, structs out; no I/O, no clock. The agent links this file.
 *
 *   frame   = length (u32, little-endian, of all that follows) type (u8) field*
 *   field   = tag (u8) length (varint) bytes         integers are varints inside the bytes (LEB128)
 *
 * A field whose tag is not known is passed over and a field that is missing is zero or empty, so that agents
 * and schedulers of different versions understand each other; PROTOCOL_VERSION grows only when that is not
 * enough.
 *
 * What is on a worker, below <root>:
 *
 *   bin/                          agents, by digest
 *   epochs/<home>                 highest epoch any driver of this scheduler claimed with
 *   epochs/<home>.<run>           epoch of the driver that owns the run; only it may start attempts
 *   attempts/<home>-<run>-<task>-<number>/
 *       spec                      one FRAME_START (as received), then one RECORD_IDENTITY
 *       log                       what the step printed, up to half of log_max; log.tail is a ring with its end
 *       journal                   records, appended
 *       exit                      one RECORD_EXIT and the CRC-32 of it; linked into place, so written once
 *       lease                     of one that has a lease: the newest number granted
 *       stop output metrics       $STOKER_STOP_FILE $STOKER_OUTPUT $STOKER_METRICS
 *   tasks/<home>-<run>-<task>/checkpoints   $STOKER_CHECKPOINT_DIR, shared by the attempts of a task
 *   parcels/<digest>              files that came from elsewhere (common/parcel.h); .part: not all of it yet
 *   runs/<home>-<run>/            work/: the copy of `source`, where all steps of the run here work
 *
 * An attempt directory is made under another name, filled, and renamed into place while the epoch of its run
 * is locked and checked: renaming onto a directory that is there fails, so an attempt starts once; and the
 * agent of a connection that was given up can start nothing, however late it wakes.
 *
 * Leases (Gray and Cheriton, "Leases", SOSP 1989): while a run with leases is claimed on it, an agent asks
 * several times in each lease (FRAME_LEASE_ASK) and passes what is granted on to the supervisors of attempts
 * that this scheduler holds for alive (started, or attached with `renew`, on this connection). The holder
 * counts from its asking, the scheduler from its answering, so the holder is always the first to give up, and
 * it does not matter how late or how often either message arrives. A number is never granted to an attempt
 * that was given up: whoever holds an older one is dead by then.
 *
 * Ownership: a decoded struct points into the frame it was decoded from (strings are NUL-terminated copies in
 * the
 *            arena given).
 * Errors:    a frame that is cut, too long, or malformed is ERR_CORRUPT, never a crash.
 */
#ifndef EXECUTOR_PROTOCOL_H
#define EXECUTOR_PROTOCOL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/arena.h"
#include "common/buf.h"
#include "common/err.h"

enum {
	PROTOCOL_VERSION = 1,
	PROTOCOL_FRAME_BYTES_MAX = 4 * 1024 * 1024, /* of one frame, header included */
	PROTOCOL_DATA_BYTES_MAX = 256 * 1024,       /* payload of one FRAME_DATA */
	PROTOCOL_WINDOW_BYTES = 4 * 1024 * 1024,    /* unacknowledged bytes of one attempt's log */
};

enum frame_type {
	/* scheduler to agent */
	FRAME_HELLO = 1,   /* struct frame_hello; the first one */
	FRAME_CLAIM = 2,   /* struct frame_claim: this driver owns the run now */
	FRAME_START = 3,   /* struct spec */
	FRAME_STOP = 4,    /* struct frame_stop */
	FRAME_ATTACH = 5,  /* struct frame_attach: ship journal and log from these offsets */
	FRAME_STORED = 6,  /* struct frame_stored: the log is on disk here up to that offset; widens the window */
	FRAME_FORGET = 7,  /* struct frame_attempt: everything is stored, remove it */
	FRAME_RELEASE = 8, /* struct frame_claim: the run is over: remove its epoch and empty task folders */
	FRAME_PING = 9,    /* struct frame_ping */
	FRAME_PARCEL = 10, /* struct frame_parcel: bytes of one that the agent wanted */
	FRAME_GET = 11,    /* struct frame_get: wants bytes of one that lies there */
	FRAME_LEASE_GRANT = 12, /* struct frame_ping: the leases asked for with that number are renewed */
	FRAME_CHECK = 13,       /* no fields: look at this machine and tell what is found */

	/* agent to scheduler */
	FRAME_WELCOME = 32,   /* struct frame_welcome; the first one */
	FRAME_PRESENT = 33,   /* struct frame_present: one for each attempt of a claimed run */
	FRAME_INVENTORY = 34, /* struct frame_claim: the list of that run is complete (refused: see text) */
	FRAME_DATA = 35,      /* struct frame_data */
	FRAME_EXITED = 36,    /* struct frame_exited; may be repeated */
	FRAME_PONG = 37,      /* struct frame_pong */
	FRAME_NOTE = 38,      /* struct frame_note: something a person should know; logged */
	FRAME_WANT = 39,      /* struct frame_want: wants bytes of a parcel */
	FRAME_PARCEL_BACK = 40, /* struct frame_parcel: bytes of one that the scheduler wanted */
	FRAME_LEASE_ASK = 41, /* struct frame_ping: its number is the worker's clock (CLOCK_BOOTTIME, ms) */
	FRAME_FINDING = 42,   /* struct frame_finding: answers FRAME_CHECK, several times, until `last` */
	FRAME_LEFT = 43,      /* struct frame_claim: a run that was claimed with that epoch and not released */

	/* records of the journal and the exit file */
	RECORD_IDENTITY = 64,   /* struct record_identity */
	RECORD_STARTED = 65,    /* struct record_started */
	RECORD_CHECKPOINT = 66, /* struct record_checkpoint */
	RECORD_METRIC = 67,     /* struct record_metric */
	RECORD_SAMPLE = 68,     /* struct record_sample */
	RECORD_OUTPUT = 69,     /* struct record_output */
	RECORD_NOTE = 70,       /* struct frame_note without attempt */
	RECORD_STOPPING = 71,   /* struct record_stopping */
	RECORD_EXIT = 72,       /* struct record_exit */
	RECORD_ARTIFACTS = 73,  /* struct record_artifacts */
};

/* Names an attempt within one scheduler (one `home`). */
struct attempt_id {
	uint64_t run;
	uint64_t task;
	uint32_t number; /* from 1 */
};

/* Why an attempt ended, or is to be stopped. The same words everywhere: DESIGN, database, command line. */
enum reason {
	REASON_NONE,
	REASON_EXIT,
	REASON_SIGNAL,
	REASON_TIMEOUT,
	REASON_STALLED,
	REASON_OOM,
	REASON_CHECKPOINTED,
	REASON_PREEMPTED,
	REASON_WORKER_REBOOTED,
	REASON_WORKER_LOST,
	REASON_SUPERVISOR_LOST, /* the supervisor was killed: its step was ended, its exit is not known */
	REASON_NOT_STARTED,
	REASON_CANCELED,
	REASON_UPSTREAM, /* of a task: one that it needs did not succeed */
	REASON_LEASE_EXPIRED, /* the supervisor stopped it: the scheduler was not heard from for so long */
	REASON_ARTIFACTS, /* it ended well, but did not leave what it was to leave */
	REASONS,
};
extern const char *const reason_names[REASONS];

struct frame_hello {
	uint32_t version;
	const char *home;    /* 12 hexadecimal digits: which scheduler's state folder */
	const char *scheduler; /* "stoker 0.1.0 on host (pid 123)", for people */
};

struct frame_claim {
	uint64_t run;
	uint64_t epoch;
	bool keep;        /* RELEASE: its folder may be wanted once more */
	bool refused;     /* INVENTORY: a later driver claimed the run, or this epoch is too old */
	const char *text; /* why */
	int64_t lease_ms; /* CLAIM: the shortest lease in the run; 0: no step of it has one */
};

struct frame_attempt {
	struct attempt_id id;
};

struct frame_stop {
	struct attempt_id id;
	enum reason reason; /* canceled, preempted, ...: becomes the exit's */
	int64_t grace_ms;   /* a later, shorter one shortens what is left of it */
};

struct frame_attach {
	struct attempt_id id;
	uint64_t journal_offset;
	uint64_t log_offset;
	bool renew; /* it has a lease, and not been given up: what is granted from now on is for it too */
};

struct frame_stored {
	struct attempt_id id;
	uint64_t log_offset;
};

struct frame_ping {
	uint64_t number;
};

/* How busy a machine is; -1: not known. */
struct load {
	int64_t load1_milli; /* thousandths of its load average, over the last minute */
	int64_t memory_bytes;
	int64_t memory_available_bytes; /* without swapping */
	int64_t disk_bytes;		/* of the file system with the root folder */
	int64_t disk_free_bytes;	/* for who is not root */
};

struct frame_pong {
	uint64_t number; /* of the ping */
	struct load load;
};

struct device {
	const char *uuid;
	const char *name;
	int64_t memory_bytes;
};

struct frame_welcome {
	uint32_t version;
	const char *host;
	const char *machine; /* x86_64, aarch64 */
	const char *boot_id;
	int64_t pid;
	int64_t wall_ms;
	int64_t cpus_milli;
	int64_t memory_bytes;
	const char *root; /* absolute */
	struct device *devices;
	size_t devices_count;
};

enum present_state { PRESENT_RUNNING, PRESENT_ENDED };

struct frame_present {
	struct attempt_id id;
	enum present_state state; /* PRESENT_ENDED: FRAME_EXITED follows once it is attached */
};

enum data_stream { STREAM_JOURNAL, STREAM_LOG };

struct frame_data {
	struct attempt_id id;
	enum data_stream stream;
	uint64_t offset;
	const uint8_t *bytes;
	size_t n;
};

enum exit_kind {
	EXIT_CODE,        /* `code` */
	EXIT_SIGNAL,      /* `signal` */
	EXIT_NOT_STARTED, /* the command never ran; `text` says why */
	EXIT_LOST,        /* nobody saw its end; `reason` says why */
};

struct record_exit {
	enum exit_kind kind;
	enum reason reason; /* exit, signal, oom, timeout, stalled, checkpointed, canceled, ... */
	int code;
	int signal;
	bool stopped;   /* it was asked to stop before it ended: exit 0 is then no success */
	bool transient; /* not started for a cause that time can mend (disk full, no processes left) */
	int64_t started_wall_ms; /* 0: never */
	int64_t ended_wall_ms;
	int64_t cpu_ms;         /* user and system, of all its processes that were waited for */
	int64_t rss_peak_bytes; /* largest sum over its processes that was sampled, at least the largest single one */
	uint64_t log_bytes;     /* to be shipped: what is kept, the mark of what was left out included */
	uint64_t log_dropped_bytes;
	uint64_t journal_bytes;
	const char *text; /* for people: "chdir /data: No such file or directory" */
};

struct frame_exited {
	struct attempt_id id;
	struct record_exit exit;
};

struct frame_note {
	struct attempt_id id; /* all zero: of the agent itself */
	bool warning;
	const char *text;
};

enum finding_verdict { FINDING_OK, FINDING_WARNING, FINDING_PROBLEM, FINDING_VERDICTS };
extern const char *const finding_names[FINDING_VERDICTS]; /* "ok", "warning", "problem" */

/* One thing that a run needs, or may need, and how it stands with it. */
struct frame_finding {
	const char *name; /* "root folder", "python3" */
	enum finding_verdict verdict;
	const char *text;
	const char *remedy; /* what to do about it; empty: nothing */
	bool last;	    /* nothing more follows; such a one without a name says nothing else */
};

/* A checkpoint to resume from, newest first in struct spec. */
struct spec_checkpoint {
	const char *name; /* path below the checkpoint folder */
	const char *digest;
	uint64_t bytes;
	bool quarantined; /* known, kept in mind for `keep`, never resumed from */
};

/* What must be in place before the command runs. */
enum provision_kind { PROVISION_SOURCE, PROVISION_ARTIFACTS, PROVISION_CHECKPOINT, PROVISIONS };

struct spec_provision {
	enum provision_kind kind;
	const char *digest; /* of the parcel */
	uint64_t bytes;	    /* of its stream */
	uint64_t task;	    /* ARTIFACTS: the one that made them */
	const char *path;   /* the folder they lie in: absolute, or below the run's; not of SOURCE */
	const char *name;   /* CHECKPOINT: its name */
};

struct spec {
	struct attempt_id id;
	uint64_t epoch;
	uint64_t fence;
	bool shell;
	const char **argv; /* expanded; NULL-terminated */
	size_t argc;
	const char *workdir; /* absolute, or with PROVISION_SOURCE below the run's copy of it (".": that) */
	const char **env;    /* NAME=VALUE, NULL-terminated: what the DAG and the scheduler set */
	size_t env_count;
	int64_t timeout_ms; /* 0: none */
	int64_t stall_ms;
	int64_t grace_ms;
	int64_t log_max_bytes;
	const char *checkpoint_dir; /* the program's own, absolute or below workdir; empty: the task's folder */
	bool checkpoint_declared;
	int64_t settle_ms;
	int keep; /* 0: all */
	bool resume_required; /* with no good candidate, do not start (unless `fresh`) */
	bool resume_never;
	bool fresh; /* the task's first attempt: starting from zero is no loss */
	struct spec_checkpoint *candidates;
	size_t candidates_count;
	const char **devices; /* UUIDs given to it */
	size_t devices_count;
	struct spec_provision *provisions; /* in the order in which they are put in place */
	size_t provisions_count;
	int64_t lease_ms;      /* stop when nothing asked since so long was granted; 0: no lease */
	int64_t lease_from_ms; /* the newest ask that was heard when this was sent, by the worker's clock */
	const char **artifacts; /* what it is to leave for others: paths below workdir, or "." */
	size_t artifacts_count;
};

/*
 * A window, as for logs: the offset is what is stored so far, and at most PROTOCOL_WINDOW_BYTES beyond it are
 * sent. The first one, and one that begins anew, says so.
 */
struct frame_want {
	const char *digest;
	uint64_t offset;
	bool begin;
	struct attempt_id id; /* one that waits for it */
	enum provision_kind kind;
	uint64_t task; /* as in struct spec_provision */
	const char *name;
};

struct frame_get {
	const char *digest;
	uint64_t offset;
	bool begin;
	uint64_t run;
	uint64_t task;
	enum provision_kind kind; /* ARTIFACTS or CHECKPOINT */
	const char *path;
	const char *name;
};

struct frame_parcel {
	const char *digest;
	uint64_t offset;
	uint64_t total;
	const uint8_t *bytes;
	size_t n;
	const char *text; /* not empty: it cannot be had, and this is why */
	bool transient;	  /* but it may be later */
};

/* Who leads the attempt, or the session of its step: enough to tell it from any other process, ever. */
struct record_identity {
	const char *boot_id;
	int64_t pid;
	int64_t start_ticks; /* field 22 of /proc/PID/stat */
};

struct record_started {
	int64_t pid; /* of the step */
	int64_t wall_ms;
	const char *resumed_from;   /* name of the checkpoint; empty: from zero */
	const char *resumed_digest;
};

enum checkpoint_event {
	CHECKPOINT_COMPLETE, /* a new entry is complete; digest and bytes are its own */
	CHECKPOINT_REMOVED,  /* by `keep` */
	CHECKPOINT_BROKEN,   /* a recorded one whose digest does not hold any more, or is gone */
	CHECKPOINT_IGNORED,  /* an entry that was never complete, passed over on resuming */
};

struct record_checkpoint {
	enum checkpoint_event event;
	const char *name;
	const char *digest; /* SHA-256 in hexadecimal; of a folder: of its files' names and digests in order */
	uint64_t bytes;
	int64_t step; /* -1: its name does not tell */
	int64_t wall_ms;
	const char *format; /* "file", "directory", "lightning", "huggingface", "keras", "tensorflow", "torch-dcp" */
	const char *text;   /* why it is broken or was passed over */
};

struct record_metric {
	int64_t wall_ms;
	const char *json; /* one line, an object, as the program wrote it */
};

struct record_sample {
	int64_t wall_ms;
	int64_t cpu_ms; /* since the start */
	int64_t rss_bytes;
	int32_t processes;
};

struct record_output {
	const char *key;
	const char *value;
};

/* What the step left for others, as a parcel that can be read on its worker. */
struct record_artifacts {
	const char *digest;
	uint64_t bytes; /* of the parcel */
	uint64_t files;
};

struct record_stopping {
	int64_t wall_ms;
	enum reason reason;
	int64_t grace_ms;
};

/* Each appends one whole frame (or record) to `out`. */
void protocol_put_hello(struct buf *out, const struct frame_hello *frame);
void protocol_put_claim(struct buf *out, enum frame_type type, const struct frame_claim *frame);
void protocol_put_spec(struct buf *out, const struct spec *spec);
void protocol_put_stop(struct buf *out, const struct frame_stop *frame);
void protocol_put_attach(struct buf *out, const struct frame_attach *frame);
void protocol_put_stored(struct buf *out, const struct frame_stored *frame);
void protocol_put_forget(struct buf *out, const struct frame_attempt *frame);
void protocol_put_ping(struct buf *out, enum frame_type type, const struct frame_ping *frame);
void protocol_put_pong(struct buf *out, const struct frame_pong *frame);
void protocol_put_welcome(struct buf *out, const struct frame_welcome *frame);
void protocol_put_present(struct buf *out, const struct frame_present *frame);
void protocol_put_data(struct buf *out, const struct frame_data *frame);

/* The same, into a buffer without limit: where its `n` bytes are to be put, before anything else is done with it. */
uint8_t *protocol_put_data_room(struct buf *out, const struct frame_data *frame);

void protocol_put_exited(struct buf *out, const struct frame_exited *frame);
void protocol_put_note(struct buf *out, enum frame_type type, const struct frame_note *frame);
void protocol_put_check(struct buf *out);
void protocol_put_finding(struct buf *out, const struct frame_finding *frame);
void protocol_put_want(struct buf *out, const struct frame_want *frame);
void protocol_put_get(struct buf *out, const struct frame_get *frame);
void protocol_put_parcel(struct buf *out, enum frame_type type, const struct frame_parcel *frame);
uint8_t *protocol_put_parcel_room(struct buf *out, enum frame_type type, const struct frame_parcel *frame);
void protocol_put_identity(struct buf *out, const struct record_identity *record);
void protocol_put_started(struct buf *out, const struct record_started *record);
void protocol_put_checkpoint(struct buf *out, const struct record_checkpoint *record);
void protocol_put_metric(struct buf *out, const struct record_metric *record);
void protocol_put_sample(struct buf *out, const struct record_sample *record);
void protocol_put_output(struct buf *out, const struct record_output *record);
void protocol_put_artifacts(struct buf *out, const struct record_artifacts *record);
void protocol_put_stopping(struct buf *out, const struct record_stopping *record);
void protocol_put_exit(struct buf *out, const struct record_exit *record);

/* A frame found at the front of some bytes. */
struct frame {
	enum frame_type type;
	const uint8_t *body; /* its fields */
	size_t body_bytes;
	size_t whole_bytes; /* length word and type included */
};

/* 1: a frame is there, 0: more bytes are needed, negative: ERR_CORRUPT. */
int protocol_next(const uint8_t *bytes, size_t n, struct frame *frame_out, struct err *err);

/* Of a frame that protocol_next wants more of: how many bytes at most still belong to it; 1 at least. */
size_t protocol_missing_bytes(const uint8_t *bytes, size_t n);

/* Each decodes the body of a frame of its type; texts and arrays go to `arena`. 0 or ERR_CORRUPT. */
int protocol_get_hello(const struct frame *frame, struct arena *arena, struct frame_hello *out);
int protocol_get_claim(const struct frame *frame, struct arena *arena, struct frame_claim *out);
int protocol_get_spec(const struct frame *frame, struct arena *arena, struct spec *out);
int protocol_get_stop(const struct frame *frame, struct frame_stop *out);
int protocol_get_attach(const struct frame *frame, struct frame_attach *out);
int protocol_get_stored(const struct frame *frame, struct frame_stored *out);
int protocol_get_forget(const struct frame *frame, struct frame_attempt *out);
int protocol_get_ping(const struct frame *frame, struct frame_ping *out);
int protocol_get_pong(const struct frame *frame, struct frame_pong *out);
int protocol_get_welcome(const struct frame *frame, struct arena *arena, struct frame_welcome *out);
int protocol_get_present(const struct frame *frame, struct frame_present *out);
int protocol_get_data(const struct frame *frame, struct frame_data *out);
int protocol_get_exited(const struct frame *frame, struct arena *arena, struct frame_exited *out);
int protocol_get_note(const struct frame *frame, struct arena *arena, struct frame_note *out);
int protocol_get_finding(const struct frame *frame, struct arena *arena, struct frame_finding *out);
int protocol_get_want(const struct frame *frame, struct arena *arena, struct frame_want *out);
int protocol_get_get(const struct frame *frame, struct arena *arena, struct frame_get *out);
int protocol_get_parcel(const struct frame *frame, struct arena *arena, struct frame_parcel *out);
int protocol_get_identity(const struct frame *frame, struct arena *arena, struct record_identity *out);
int protocol_get_started(const struct frame *frame, struct arena *arena, struct record_started *out);
int protocol_get_checkpoint(const struct frame *frame, struct arena *arena, struct record_checkpoint *out);
int protocol_get_metric(const struct frame *frame, struct arena *arena, struct record_metric *out);
int protocol_get_sample(const struct frame *frame, struct record_sample *out);
int protocol_get_output(const struct frame *frame, struct arena *arena, struct record_output *out);
int protocol_get_artifacts(const struct frame *frame, struct arena *arena, struct record_artifacts *out);
int protocol_get_stopping(const struct frame *frame, struct record_stopping *out);
int protocol_get_exit(const struct frame *frame, struct arena *arena, struct record_exit *out);

#endif
