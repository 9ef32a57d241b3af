#include "executor/agent/step.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "common/clock.h"
#include "common/scope.h"
#include "executor/agent/files.h"
#include "executor/agent/oom.h"
#include "executor/agent/process.h"
#include "executor/agent/spool.h"

enum { SCRIPT_ARGUMENT_MAX = 100 * 1024, PROGRAM_PATH_BYTES = 4096 };

static const char default_path[] = "/usr/local/bin:/usr/bin:/bin:/usr/local/sbin:/usr/sbin:/sbin";

/* What of the agent's own environment is a fact of the account or the machine, rather than of one login. */
static const char *const inherited[] = {
	"PATH",
	"HOME",
	"USER",
	"LOGNAME",
	"SHELL",
	"LANG",
	"LANGUAGE",
	"LC_ALL",
	"LC_CTYPE",
	"LC_COLLATE",
	"LC_NUMERIC",
	"LC_TIME",
	"LC_MESSAGES",
	"LC_MONETARY",
	"LC_PAPER",
	"LC_MEASUREMENT",
	"LC_NAME",
	"LC_ADDRESS",
	"LC_TELEPHONE",
	"LC_IDENTIFICATION",
	"TZ",
	"TMPDIR",
	"XDG_RUNTIME_DIR",
	"LD_LIBRARY_PATH",
	"CUDA_HOME",
};

struct environment {
	char **items;
	size_t count;
	struct arena *arena;
};

static bool is_set(const struct environment *environment, const char *assignment, size_t among)
{
	size_t n = strcspn(assignment, "=");

	for (size_t i = 0; i < among; i++)
		if (strncmp(environment->items[i], assignment, n) == 0 && environment->items[i][n] == '=')
			return true;
	return false;
}

static void set(struct environment *environment, const char *name, const char *value)
{
	environment->items[environment->count++] = arena_printf(environment->arena, "%s=%s", name, value);
}

static const char *join_devices(const struct spec *spec, struct arena *arena)
{
	autobuf struct buf list = { 0 };

	for (size_t i = 0; i < spec->devices_count; i++)
		buf_printf(&list, "%s%s", i > 0 ? "," : "", spec->devices[i]);
	return arena_strdup(arena, buf_text(&list));
}

/* What only the worker knows; stands first, and nothing may replace it. */
static void set_own(struct environment *environment, const struct step_plan *plan)
{
	static const char *const files[][2] = {
		{ "STOKER_STOP_FILE", "stop" },
		{ "STOKER_OUTPUT", "output" },
		{ "STOKER_METRICS", "metrics" },
	};
	char fence[24];

	snprintf(fence, sizeof fence, "%" PRIu64, plan->spec->fence);
	set(environment, "STOKER_ATTEMPT_ID", plan->cookie);
	set(environment, "STOKER_CHECKPOINT_DIR", plan->checkpoint_dir);
	set(environment, "STOKER_RESUME_FROM", plan->resume_from);
	for (size_t i = 0; i < COUNT_OF(files); i++)
		set(environment, files[i][0],
		    arena_printf(environment->arena, "%s/%s", plan->folder, files[i][1]));
	set(environment, "STOKER_FENCE", fence);
	set(environment, "PWD", plan->spec->workdir);
	set(environment, "CUDA_VISIBLE_DEVICES", join_devices(plan->spec, environment->arena));
}

char **step_environment(const struct step_plan *plan, struct arena *arena)
{
	const struct spec *spec = plan->spec;
	struct environment environment = { .arena = arena };
	size_t own;

	environment.items = arena_alloc(arena, (16 + spec->env_count + COUNT_OF(inherited)) * sizeof(char *));
	set_own(&environment, plan);
	own = environment.count;
	for (size_t i = 0; i < spec->env_count; i++)
		if (strchr(spec->env[i], '=') != NULL && !is_set(&environment, spec->env[i], own))
			environment.items[environment.count++] = arena_strdup(arena, spec->env[i]);
	for (size_t i = 0; i < COUNT_OF(inherited); i++) {
		const char *value = getenv(inherited[i]);

		if (value != NULL && !is_set(&environment, inherited[i], environment.count))
			set(&environment, inherited[i], value);
	}
	if (!is_set(&environment, "PATH", environment.count))
		set(&environment, "PATH", default_path);
	return environment.items;
}

static const char *value_of(char *const *environment, const char *name)
{
	size_t n = strlen(name);

	for (; *environment != NULL; environment++)
		if (strncmp(*environment, name, n) == 0 && (*environment)[n] == '=')
			return *environment + n + 1;
	return "";
}

static int explain_exec(const char *program, const char *file, struct err *err)
{
	int saved = errno;

	err_errno(err, "run: %s", program);
	if (saved == ENOENT && access(file, F_OK) == 0)
		err_set(err, ERR_NOT_FOUND, "run: %s: the interpreter or loader it names is not there",
			program);
	else if (saved == ENOEXEC)
		err_set(err, ERR_INVALID,
			"run: %s: not a program for this machine, nor a script with a #! line", program);
	err->sys_errno = saved;
	return err->code;
}

/* As execvp does it, but with the step's own PATH and a word for each way it can fail. */
static int search_and_exec(char **argv, char **environment, struct err *err)
{
	const char *path = value_of(environment, "PATH");
	char file[PROGRAM_PATH_BYTES];
	int denied = 0;

	for (const char *at = path;; at++) {
		int n = (int)strcspn(at, ":");

		if ((size_t)snprintf(file, sizeof file, "%.*s%s%s", n, at, n > 0 ? "/" : "./", argv[0]) <
		    sizeof file) {
			execve(file, argv, environment);
			if (errno == EACCES)
				denied = 1;
			else if (errno != ENOENT && errno != ENOTDIR)
				return explain_exec(argv[0], file, err);
			else if (access(file, F_OK) == 0)
				return explain_exec(argv[0], file, err);
		}
		at += n;
		if (*at == '\0')
			break;
	}
	errno = denied ? EACCES : ENOENT;
	if (denied)
		return err_errno(err, "run: %s: in PATH (%s)", argv[0], path);
	err_set(err, ERR_NOT_FOUND, "run: %s: not found in PATH (%s)", argv[0], path);
	err->sys_errno = ENOENT;
	return err->code;
}

/* A script too long for one argument becomes a file. */
static int exec_script(const struct step_plan *plan, char **environment, struct err *err)
{
	const char *script = plan->spec->argv[0];
	size_t n = strlen(script);
	char shell[] = "/bin/sh", stop_on_error[] = "-e", command[] = "-c";
	autofree char *text = strdup(script);
	autofree char *file = NULL;
	char *argv[] = { shell, stop_on_error, command, text, NULL };

	if (n > SCRIPT_ARGUMENT_MAX) {
		autoclose int fd = -1;

		if (asprintf(&file, "%s/script", plan->folder) < 0)
			return err_errno(err, "run: name the script");
		fd = open(file, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0600);
		if (fd < 0 || files_write(fd, script, n) < 0)
			return err_errno(err, "run: write %s", file);
		argv[2] = file;
		argv[3] = NULL;
	}
	execve(shell, argv, environment);
	return explain_exec(shell, shell, err);
}

static int exec_words(const struct step_plan *plan, char **environment, struct arena *arena, struct err *err)
{
	const struct spec *spec = plan->spec;
	char **argv = arena_alloc(arena, (spec->argc + 1) * sizeof *argv);

	for (size_t i = 0; i < spec->argc; i++)
		argv[i] = arena_strdup(arena, spec->argv[i]);
	if (strchr(argv[0], '/') == NULL)
		return search_and_exec(argv, environment, err);
	execve(argv[0], argv, environment);
	return explain_exec(argv[0], argv[0], err);
}

/* In the child. Returns only when the program could not be run. */
static int become(const struct step_plan *plan, int output, struct err *err)
{
	static const int ignored[] = { SIGHUP, SIGINT, SIGPIPE };
	struct arena arena;
	char **environment;
	sigset_t none;

	setpgid(0, 0);
	if (dup2(output, STDOUT_FILENO) < 0 || dup2(output, STDERR_FILENO) < 0)
		return err_errno(err, "redirect the output");
	oom_unprotect();
	for (size_t i = 0; i < COUNT_OF(ignored); i++)
		signal(ignored[i], SIG_DFL);
	sigemptyset(&none);
	sigprocmask(SIG_SETMASK, &none, NULL);
	if (plan->spec->workdir[0] != '/')
		return err_set(err, ERR_INVALID, "workdir '%s' is not an absolute path", plan->spec->workdir);
	if (chdir(plan->spec->workdir) < 0)
		return err_errno(err, "chdir %s", plan->spec->workdir);
	if (plan->spec->argc == 0 || plan->spec->argv[0][0] == '\0')
		return err_set(err, ERR_INVALID, "run: there is no command");
	arena_init(&arena);
	environment = step_environment(plan, &arena);
	return plan->spec->shell ? exec_script(plan, environment, err)
				 : exec_words(plan, environment, &arena, err);
}

bool step_error_is_transient(int sys_errno)
{
	switch (sys_errno) {
	case EAGAIN:
	case ENOMEM:
	case ENOSPC:
	case EDQUOT:
	case EMFILE:
	case ENFILE:
	case ETXTBSY:
		return true;
	default:
		return false;
	}
}

/* What is told by the one in between. */
struct birth {
	pid_t pid; /* of the step */
	struct err err;
};

_Noreturn static void run_step(const struct step_plan *plan, int output, int outcome)
{
	struct err failure = { 0 };

	become(plan, output, &failure);
	files_write(outcome, &failure, sizeof failure);
	_exit(127);
}

static int begin_session(pid_t supervisor, int notes, struct err *err)
{
	struct record_identity self = { .boot_id = process_boot_id(), .pid = getpid() };

	setsid();
	self.start_ticks = (int64_t)process_start_ticks(getpid());
	if (notes < 0 || spool_session_write(notes, &self) < 0)
		return err_errno(err, "write spec");
	/* Whoever swept up after the supervisor before that was noted has not seen this process. */
	return getppid() == supervisor ? 0 : err_set(err, ERR_NOT_FOUND, "its supervisor is gone");
}

static void note_step(int notes, pid_t pid)
{
	struct record_started step = { .pid = pid, .wall_ms = clock_wall_ms() };

	step.resumed_from = step.resumed_digest = "";
	spool_step_write(notes, &step); /* should there be no room, the journal tells it a little later */
}

/*
 * The one between the supervisor and the step makes the session, notes both, and ends at once; so the step leads none,
 * which would make a terminal that it opens its own, and its parent is the supervisor (a subreaper).
 */
_Noreturn static void give_birth(const struct step_plan *plan, pid_t supervisor, int output, int outcome,
				 int told)
{
	struct birth birth = { .pid = -1 };
	int notes = spool_notes_open(AT_FDCWD);

	if (begin_session(supervisor, notes, &birth.err) == 0 && (birth.pid = fork()) < 0)
		err_errno(&birth.err, "fork the step");
	if (birth.pid == 0)
		run_step(plan, output, outcome);
	if (birth.pid > 0) {
		setpgid(birth.pid, birth.pid); /* in both, so that whoever is first may signal the group */
		note_step(notes, birth.pid);
	}
	files_write(told, &birth, sizeof birth);
	_exit(0);
}

/*
 * The one in between runs while this process waits for its end, and borrows its memory (vfork on Linux): nothing is
 * copied for it.
 */
static pid_t fork_apart(const struct step_plan *plan, int output, int outcome, struct err *err)
{
	struct birth birth = { .pid = -1 };
	pid_t supervisor = getpid(), between;
	int told[2];
	ssize_t n;

	if (pipe2(told, O_CLOEXEC) < 0) {
		err_errno(err, "a pipe for the step");
		return -1;
	}
	between = vfork();
	if (between == 0)
		give_birth(plan, supervisor, output, outcome, told[1]);
	close(told[1]);
	if (between < 0) {
		err_errno(err, "fork the step");
	} else {
		n = read(told[0], &birth, sizeof birth);
		waitpid(between, NULL, 0);
		/* Killed: whether there is a step is for who sweeps up to find out. */
		if (n != (ssize_t)sizeof birth)
			raise(SIGKILL);
		if (birth.pid < 0)
			*err = birth.err;
	}
	close(told[0]);
	return birth.pid;
}

/* Emulators know no subreapers: its end would be told to somebody else. */
static pid_t fork_step(const struct step_plan *plan, int output, int outcome, struct err *err)
{
	pid_t pid;

	if (plan->adopted)
		return fork_apart(plan, output, outcome, err);
	pid = fork();
	if (pid == 0)
		run_step(plan, output, outcome);
	if (pid < 0)
		err_errno(err, "fork the step");
	else
		setpgid(pid, pid);
	return pid;
}

int step_start(const struct step_plan *plan, struct step *out, struct err *err)
{
	int outcome[2] = { -1, -1 }, output[2] = { -1, -1 };
	pid_t pid = -1;

	if (pipe2(outcome, O_CLOEXEC) < 0 || pipe2(output, O_CLOEXEC) < 0)
		err_errno(err, "pipes for the step");
	else
		pid = fork_step(plan, output[1], outcome[1], err);
	if (outcome[1] >= 0)
		close(outcome[1]);
	if (output[1] >= 0)
		close(output[1]);
	if (pid < 0) {
		if (outcome[0] >= 0)
			close(outcome[0]);
		if (output[0] >= 0)
			close(output[0]);
		return err->code;
	}
	fcntl(outcome[0], F_SETFL, O_NONBLOCK);
	fcntl(output[0], F_SETFL, O_NONBLOCK);
	*out = (struct step){ .pid = pid, .exec_pipe = outcome[0], .output = output[0] };
	return 0;
}
