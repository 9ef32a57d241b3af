#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <string.h>
#include <time.h>

#include "common/mem.h"
#include "common/scope.h"
#include "scheduler/command.h"
#include "scheduler/listing.h"
#include "scheduler/paths.h"
#include "scheduler/view.h"

enum { CHUNK_BYTES = 256 * 1024, LOOK_MS = 100 };

/* One log that is being copied to stdout. */
struct log {
	struct store *store;
	const char *run_name;
	const char *task;
	uint64_t run;
	uint32_t step;
	uint32_t number; /* of the attempt; 0: the latest, as soon as there is one */
	int fd;		 /* -1: not there yet */
	uint64_t copied;
	bool told; /* that nobody collects it */
	bool gone; /* nobody reads stdout any more */
	char *chunk;
};

static const char *log_path(const struct log *log, struct arena *arena)
{
	const char *slash = strrchr(log->run_name, '/');
	char *dag = arena_strndup(arena, log->run_name, (size_t)(slash - log->run_name));

	return paths_log(arena, log->store->home, dag, strtoull(slash + 1, NULL, 10), log->task, log->number);
}

static int open_log(struct log *log, struct err *err)
{
	__attribute__((cleanup(arena_fini))) struct arena arena = { 0 };
	const char *path;

	if (log->fd >= 0 || log->number == 0)
		return 0;
	path = log_path(log, &arena);
	log->fd = open(path, O_RDONLY | O_CLOEXEC);
	return log->fd < 0 && errno != ENOENT ? err_errno(err, "open %s", path) : 0;
}

static int write_all(struct log *log, size_t n, struct err *err)
{
	for (size_t done = 0; done < n;) {
		ssize_t wrote = write(STDOUT_FILENO, log->chunk + done, n - done);

		if (wrote < 0 && errno == EINTR)
			continue;
		if (wrote < 0 && errno == EPIPE) {
			log->gone = true;
			return 0;
		}
		if (wrote < 0)
			return err_errno(err, "write the log to stdout");
		done += (size_t)wrote;
	}
	log->copied += n;
	return 0;
}

/* All that is there now, byte for byte. */
static int copy(struct log *log, struct err *err)
{
	int rc = open_log(log, err);

	while (rc == 0 && log->fd >= 0 && !log->gone) {
		ssize_t n = read(log->fd, log->chunk, CHUNK_BYTES);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return err_errno(err, "read the log of %s", log->task);
		if (n == 0)
			break;
		rc = write_all(log, (size_t)n, err);
	}
	return rc;
}

static bool is_orphaned(const struct log *log)
{
	autojson json_t *run = NULL;

	return view_run_alone(log->store, log->run, &run, NULL) == 0 &&
	       json_is_true(json_object_get(run, "orphaned"));
}

static void tell_if_orphaned(struct log *log)
{
	if (log->told || !is_orphaned(log))
		return;
	log->told = true;
	fprintf(stderr,
		"stoker: %s is orphaned: nobody collects its logs; go on with: stoker run --resume %s\n",
		log->run_name, log->run_name);
}

/* After the end of what was followed: why there is more to see elsewhere. */
static void tell_sequel(const struct log *log, const struct view_attempt *attempt)
{
	if (attempt->task_state != TASK_RETRYING && attempt->task_state != TASK_READY)
		return;
	fprintf(stderr,
		"stoker: attempt %" PRIu32 " of %s ended (%s) and is tried again: stoker logs -f %s %s\n",
		log->number, log->task, attempt_states[attempt->state].name, log->run_name, log->task);
}

static int look(struct log *log, struct view_attempt *attempt, struct err *err)
{
	int rc = view_attempt(log->store, log->run, log->step, log->number, attempt, err);

	if (rc == 0)
		log->number = attempt->number;
	return rc;
}

/* What retention took away is not waited for. */
static int refuse_removed(const struct log *log, const struct view_attempt *attempt, struct err *err)
{
	if (!attempt->log_removed || log->fd >= 0 || attempt->log_bytes == 0)
		return 0;
	return err_set(err, ERR_NOT_FOUND,
		       "the log of %s %s is not kept any more: it had %" PRIu64 " bytes (`retention` in stoker.yaml)",
		       log->run_name, log->task, attempt->log_bytes);
}

/* The state is asked for before the copy, so that what was written before the end is never missed. */
static int follow(struct log *log, struct err *err)
{
	for (;;) {
		struct view_attempt attempt;
		uint64_t before = log->copied;
		int rc = look(log, &attempt, err);

		if (rc == 0)
			rc = copy(log, err);
		if (rc == 0)
			rc = refuse_removed(log, &attempt, err);
		if (rc < 0 || log->gone)
			return rc;
		if (log->number == 0 ? machine_ended(task_states, attempt.task_state)
				     : machine_ended(attempt_states, attempt.state) &&
					       log->copied >= attempt.log_bytes) {
			tell_sequel(log, &attempt);
			return 0;
		}
		if (log->copied > before)
			continue;
		tell_if_orphaned(log);
		nanosleep(&(struct timespec){ .tv_nsec = LOOK_MS * 1000000L }, NULL);
	}
}

static int show(struct log *log, struct err *err)
{
	struct view_attempt attempt;
	int rc = look(log, &attempt, err);

	if (rc == 0 && log->number == 0)
		return err_set(err, ERR_NOT_FOUND,
			       "%s has not been started (it is %s), so it has no log; `stoker why %s %s`"
			       " tells more",
			       log->task, task_states[attempt.task_state].name, log->run_name, log->task);
	if (rc == 0)
		rc = copy(log, err);
	if (rc == 0)
		rc = refuse_removed(log, &attempt, err);
	if (rc < 0)
		return rc;
	tell_if_orphaned(log);
	if (machine_ended(attempt_states, attempt.state) && log->copied < attempt.log_bytes && !log->gone &&
	    !log->told)
		fprintf(stderr, "stoker: %" PRIu64 " of %" PRIu64 " bytes of this log are here so far\n",
			log->copied, attempt.log_bytes);
	return 0;
}

static int open_task(struct log *log, struct err *err)
{
	int rc = command_open_reader(&log->store, err);

	if (rc == 0)
		rc = command_find_run(log->store, log->run_name, &log->run, err);
	return rc < 0 ? rc : view_find_task(log->store, log->run, log->task, &log->step, err);
}

static int logs(int argc, char **argv)
{
	static const struct option options[] = {
		{ "attempt", required_argument, NULL, 'a' },
		{ "follow", no_argument, NULL, 'f' },
		{ NULL, 0, NULL, 0 },
	};
	struct log log = { .fd = -1 };
	bool following = false;
	int64_t number = 0;
	struct err err;
	int option, rc;

	while ((option = command_option(&command_logs, argc, argv, "a:f", options)) != -1) {
		if (option == 'a' && !command_number(optarg, 1, UINT32_MAX, &number))
			return command_usage(&command_logs, "--attempt is a number from 1 on, not '%s'",
					     optarg);
		else if (option == 'f')
			following = true;
		else if (option == '?')
			return COMMAND_USAGE;
	}
	if (argc - optind != 2)
		return command_usage(&command_logs, "which run and task? As in: digits/3 train");
	log.run_name = argv[optind];
	log.task = argv[optind + 1];
	log.number = (uint32_t)number;
	log.chunk = mem_alloc(CHUNK_BYTES);
	rc = open_task(&log, &err);
	if (rc == 0)
		rc = following ? follow(&log, &err) : show(&log, &err);
	store_close(log.store);
	free(log.chunk);
	scope_close(&log.fd);
	return rc < 0 ? command_fail(&err) : COMMAND_DONE;
}

const struct command command_logs = {
	.name = "logs",
	.synopsis = "RUN TASK [-a N] [-f]",
	.summary = "what a task printed, byte for byte",
	.help = "Writes the log of the task's latest attempt to stdout as it is: stdout and stderr of the "
		"step,\n"
		"in the order in which they came.\n"
		"\n"
		"  -a, --attempt N   of attempt N\n"
		"  -f, --follow      go on with what comes, until the attempt has ended and all is written\n",
	.main = logs,
};
