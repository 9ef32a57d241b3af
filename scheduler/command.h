/*
 * command.h - a subcommand of stoker, and what the subcommands share
 *
 * Each lives in command_<name>.c and is a row of the table in main.c, which also serves --help for it.
 * Results go to stdout, messages to stderr as `stoker: <text>`.
 *
 *   int main(int argc, char **argv)      argv[0] is the subcommand's name; what is returned is the exit status
 */
#ifndef SCHEDULER_COMMAND_H
#define SCHEDULER_COMMAND_H

#include <getopt.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

#include "common/arena.h"
#include "common/err.h"
#include "scheduler/run.h"
#include "scheduler/settings.h"
#include "scheduler/store.h"

/* Exit statuses, for scripts. */
enum command_status {
	COMMAND_DONE = 0,
	COMMAND_FAILED =
		1, /* the run failed; also: stoker itself could not do it (disk full, damaged state) */
	COMMAND_USAGE = 2,	 /* usage or invalid input */
	COMMAND_NOT_FOUND = 3,	 /* no such run, task, DAG */
	COMMAND_UNREACHABLE = 4, /* the daemon does not answer */
	COMMAND_CANCELED = 130,
};

struct command {
	const char *name;
	const char *synopsis; /* its arguments: "RUN TASK [--attempt N] [-f]" */
	const char *summary;  /* a line of `stoker --help` */
	const char *help; /* the rest of `stoker help NAME`: paragraphs and options, ending with a newline */
	int (*main)(int argc, char **argv);
};

/* --- arguments ------------------------------------------------------------------------------------------ */

/*
 * The next option as getopt_long gives it: its letter (or val), -1 when only operands are left (from optind),
 * '?' after a mistake was told on stderr: return COMMAND_USAGE then. --help is not seen here, main.c answers
 * it.
 */
int command_option(const struct command *command, int argc, char **argv, const char *letters,
		   const struct option *options);

/* Tells a mistake and the synopsis on stderr; returns COMMAND_USAGE. */
int command_usage(const struct command *command, const char *format, ...)
	__attribute__((format(printf, 2, 3)));

/* A whole decimal number within limits; false when `text` is anything else. */
bool command_number(const char *text, int64_t min, int64_t max, int64_t *number_out);

/* --- errors --------------------------------------------------------------------------------------------- */

int command_status_of(enum err_code code);
int command_run_status(enum run_state state); /* of a command that stayed with a run until its end */

/* Prints `stoker: <text>` to stderr and returns the exit status that stands for the error. */
int command_fail(const struct err *err);

/* --- the state ------------------------------------------------------------------------------------------ */

static inline void scope_store_close(struct store **store)
{
	store_close(*store);
}

#define autostore __attribute__((cleanup(scope_store_close)))

/* The store by store_home and store_open_reader. */
int command_open_reader(struct store **store_out, struct err *err);

/* As store_find_run; when there is no such run, the text offers what was probably meant. */
int command_find_run(struct store *store, const char *name, uint64_t *run_out, struct err *err);

/* --- the settings --------------------------------------------------------------------------------------- */

/* As settings_load, with its diagnostics on stderr: 0, or COMMAND_USAGE. */
int command_load_settings(const char *named, struct settings **settings_out);

/* --- who asks ------------------------------------------------------------------------------------------- */

/* The name of the user, by uid (not by what the environment claims). */
const char *command_actor(struct arena *arena);

/* "cli <hostname>" */
const char *command_origin(struct arena *arena);

/* --- output --------------------------------------------------------------------------------------------- */

/*
 * True when `out` is to be coloured: a terminal, TERM is not dumb, and NO_COLOR is not set. See also
 * terminal.h.
 */
bool command_color(FILE *out);

/*
 * Flushes stdout: COMMAND_DONE, or COMMAND_FAILED after telling that not all could be written. A reader that
 * went away (`stoker runs | head`) is no failure.
 */
int command_end_output(void);

/* --- the subcommands ------------------------------------------------------------------------------------ */

extern const struct command command_backfill;
extern const struct command command_backup;
extern const struct command command_cancel;
extern const struct command command_checkpoints;
extern const struct command command_doctor;
extern const struct command command_events;
extern const struct command command_gc;
extern const struct command command_list;
extern const struct command command_logs;
extern const struct command command_next;
extern const struct command command_pause;
extern const struct command command_pools;
extern const struct command command_retry;
extern const struct command command_run;
extern const struct command command_runs;
extern const struct command command_serve;
extern const struct command command_status;
extern const struct command command_token;
extern const struct command command_trigger;
extern const struct command command_unpause;
extern const struct command command_validate;
extern const struct command command_why;
extern const struct command command_workers;

#endif
