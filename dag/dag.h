/*
 * dag.h - the definition of a DAG, immutable once loaded
 *
 * A struct dag and everything it points to lives in one arena, freed by dag_free. Steps keep the order of the
 * file; `needs` and `dependents` hold step indexes, so the graph is walked without look-ups.
 *
 * Units:  milliseconds, bytes, thousandths of a CPU.
 * Errors: dag_load and dag_parse report every mistake of a file as diagnostics (diagnostic.h), never just the
 *         first.
 *         On failure no DAG is made and *dag_out is untouched.
 */
#ifndef DAG_DAG_H
#define DAG_DAG_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/arena.h"

struct diagnostics;
struct names;

/* Limits of a file; past them it is refused with that reason. */
enum {
	DAG_FILE_BYTES_MAX = 1024 * 1024,
	DAG_STEPS_MAX = 20000,
	DAG_DEPTH_MAX = 64,
	DAG_NAME_BYTES_MAX = 64,
	DAG_SCRIPT_BYTES_MAX = 100 * 1024, /* also a word, a value of env: Linux passes on at most 128 KiB */
};

struct dag_position {
	uint32_t line;   /* from 1; 0: no position */
	uint32_t column; /* from 1, in characters */
};

enum dag_param_type { DAG_PARAM_STRING, DAG_PARAM_INT, DAG_PARAM_FLOAT, DAG_PARAM_BOOL };
extern const char *const dag_param_type_words[]; /* as they are written; so are those below. NULL ends each */

struct dag_param {
	const char *name;
	enum dag_param_type type;
	const char *fallback; /* canonical text of the default; NULL: a value must be given */
	bool has_min, has_max;
	double min, max;
	const char **choices; /* enum: the only values allowed; NULL: any */
	size_t choices_count;
	const char *description; /* NULL: none */
	struct dag_position at;
};

struct dag_env {
	const char *name;
	const char *value; /* may hold ${{ ... }} */
	struct dag_position at;
};

struct dag_retry {
	int max;
	int64_t backoff_ms;
	int64_t max_backoff_ms;
};

enum dag_resume { DAG_RESUME_PREFERRED, DAG_RESUME_REQUIRED, DAG_RESUME_NEVER };

struct dag_checkpoint {
	bool declared;   /* the step has a `checkpoint` key */
	const char *dir; /* the program's own folder; NULL: $STOKER_CHECKPOINT_DIR */
	int keep;
	int64_t settle_ms;
	enum dag_resume resume;
	bool copy;
};

struct dag_resources {
	int64_t cpus_milli; /* 0: none asked for */
	int64_t memory_bytes;
	int gpus;
};

struct dag_step {
	const char *name;
	size_t index;
	const char *description;
	bool shell;        /* argv[0] is a script for /bin/sh -e; else argv is executed as it is */
	const char **argv; /* NULL-terminated; may hold ${{ ... }} */
	size_t argc;
	size_t *needs;
	size_t needs_count;
	size_t *dependents;
	size_t dependents_count;
	struct dag_env *env;
	size_t env_count;
	struct dag_retry retry;
	int64_t timeout_ms; /* 0: none */
	int64_t stall_ms;   /* 0: none */
	int64_t grace_ms;
	int64_t move_after_ms; /* 0: wait for the worker for ever */
	int64_t log_max_bytes;
	struct dag_checkpoint checkpoint;
	struct dag_resources resources;
	const char *workdir; /* NULL: the DAG's */
	const char *worker;  /* name or label; NULL: any */
	const char *pool;    /* NULL: none */
	const char **artifacts;
	size_t artifacts_count;
	struct dag_position at;     /* of its name */
	struct dag_position run_at; /* of the value of `run` */
};

enum dag_catchup { DAG_CATCHUP_NONE, DAG_CATCHUP_LATEST, DAG_CATCHUP_ALL };
enum dag_overlap { DAG_OVERLAP_SKIP, DAG_OVERLAP_QUEUE, DAG_OVERLAP_REPLACE };
extern const char *const dag_catchup_words[], *const dag_overlap_words[];

struct dag_schedule {
	const char *cron;     /* as written, checked */
	const char *timezone; /* NULL: the scheduler's */
	enum dag_catchup catchup;
	enum dag_overlap overlap;
	int64_t start_deadline_ms; /* 0: none */
	int64_t jitter_ms;
	const char *from;  /* RFC 3339 or a date; NULL: none */
	const char *until;
	struct dag_position at;
};

enum dag_after_state { DAG_AFTER_SUCCEEDED, DAG_AFTER_FAILED, DAG_AFTER_ENDED };
extern const char *const dag_after_words[];

/* A run waits until another DAG's run of the same night ended in a given way. */
struct dag_after {
	const char *dag;
	enum dag_after_state state;
	int64_t within_ms; /* 0: waits for ever */
	struct dag_position at;
};

/* Bits of dag_notify.on. */
enum {
	DAG_ON_SUCCEEDED = 1,
	DAG_ON_FAILED = 2,
	DAG_ON_CANCELED = 4,
	DAG_ON_LATE = 8,
	DAG_ON_RECOVERED = 16, /* the first success after a failure */
	DAG_ON_MISSED = 32,    /* a due time was passed over */
};

/* A text that does not stand in the file, or does: exactly one is not NULL. All NULL: there is none. */
struct dag_secret {
	const char *text;
	const char *env;  /* name of a variable in the scheduler's environment */
	const char *file; /* path on the scheduler's machine */
};

struct dag_header {
	const char *name;
	struct dag_secret value;
};

enum dag_notify_format { DAG_NOTIFY_JSON, DAG_NOTIFY_SLACK };

/* One receiver: exactly one of webhook, run and mail is given. */
struct dag_notify {
	unsigned on;
	const char *webhook; /* URL to post to */
	enum dag_notify_format format;
	struct dag_secret secret; /* signs what is posted */
	struct dag_header *headers;
	size_t headers_count;
	const char *run;   /* script for /bin/sh -e on the scheduler's machine */
	const char **mail; /* addresses */
	size_t mail_count;
	struct dag_position at;
};

struct dag {
	struct arena arena;
	const char *name;
	const char *description; /* NULL: none */
	const char *path;        /* dag_load: the absolute path of the file, links resolved; dag_parse: as given */
	const char *dir;         /* its folder */
	const char *text;        /* the YAML as it was read */
	size_t text_bytes;
	char digest[65]; /* SHA-256 of the text, in hexadecimal */
	struct dag_param *params;
	size_t params_count;
	struct dag_env *env;
	size_t env_count;
	struct dag_step *steps;
	size_t steps_count;
	struct dag_schedule *schedules;
	size_t schedules_count;
	const char *workdir; /* NULL: the file's folder */
	const char *source;  /* NULL: none */
	const char *pool;    /* NULL: none; the steps that named none have it already */
	int concurrency;     /* tasks of one run at a time */
	int max_active_runs;
	int priority;
	int expect_by_minute; /* of the day, local: a run that has not succeeded by then is late; -1: none */
	struct dag_after *after;
	size_t after_count;
	bool notify_given; /* also when it names nobody: then the settings' own does not count */
	struct dag_notify *notify;
	size_t notify_count;
	size_t *order; /* step indexes; each step comes after all that it needs */
	struct names *steps_by_name;  /* for dag_find_step */
	struct names *params_by_name; /* for dag_find_param */
};

/*
 * Reads and checks a file. 0, or a negative enum err_code after reporting at least one error in
 * `diagnostics`.
 */
int dag_load(const char *path, struct dag **dag_out, struct diagnostics *diagnostics);

/*
 * The same for text in memory. `path` stands in the diagnostics, names the DAG when the text does not, and
 * becomes dag->path and dag->dir as it is given (a stored version of a file: its absolute path then); it need
 * not exist.
 */
int dag_parse(const char *path, const char *text, size_t bytes, struct dag **dag_out,
	      struct diagnostics *diagnostics);

void dag_free(struct dag *dag); /* NULL is harmless */

static inline void scope_dag_free(struct dag **dag)
{
	dag_free(*dag);
}

#define autodag __attribute__((cleanup(scope_dag_free)))

/* The step called `name`, or NULL. O(1). */
const struct dag_step *dag_find_step(const struct dag *dag, const char *name);

const struct dag_param *dag_find_param(const struct dag *dag, const char *name);

#endif
