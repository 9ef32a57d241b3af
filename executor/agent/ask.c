#include "executor/agent/ask.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "common/scope.h"
#include "executor/agent/awake.h"

enum { REAP_LOOK_MS = 5 };

const char *ask_find(struct arena *arena, const char *name)
{
	static const char usual[] = "/usr/local/bin:/usr/bin:/bin:/usr/sbin:/sbin";
	const char *paths[] = { getenv("PATH"), usual };

	for (size_t i = 0; i < COUNT_OF(paths); i++) {
		for (const char *at = paths[i] == NULL ? "" : paths[i]; *at != '\0';) {
			int n = (int)strcspn(at, ":");
			char *file = arena_printf(arena, "%.*s/%s", n, at, name);

			if (n > 0 && access(file, X_OK) == 0)
				return file;
			at += n + (at[n] == ':');
		}
	}
	return NULL;
}

static _Noreturn void become_program(const char *const words[], int out)
{
	char *argv[ASK_WORDS_MAX + 1] = { NULL };
	int null_fd = open("/dev/null", O_RDWR | O_CLOEXEC);
	sigset_t none;

	for (int i = 0; words[i] != NULL && i < ASK_WORDS_MAX; i++)
		argv[i] = strdup(words[i]);
	dup2(null_fd, STDIN_FILENO);
	dup2(out, STDOUT_FILENO);
	dup2(null_fd, STDERR_FILENO);
	sigemptyset(&none);
	sigprocmask(SIG_SETMASK, &none, NULL);
	signal(SIGPIPE, SIG_DFL);
	execv(argv[0], argv);
	_exit(127);
}

/* Reads until the end, the limit or the deadline; true when it came to the end. */
static bool read_answer(int fd, int64_t until_ms, struct buf *answer)
{
	uint8_t piece[4096];
	ssize_t n;

	for (;;) {
		struct pollfd ready = { .fd = fd, .events = POLLIN };
		int64_t left = until_ms - awake_ms();

		if (left <= 0 || poll(&ready, 1, (int)left) == 0)
			return false;
		n = read(fd, piece, sizeof piece);
		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return n == 0 && !answer->overflow;
		buf_append(answer, piece, (size_t)n);
	}
}

/* One that has said all may still hang. */
static bool wait_until(pid_t pid, int64_t until_ms, int *status_out)
{
	for (;;) {
		pid_t ended = waitpid(pid, status_out, WNOHANG);

		if (ended == pid)
			return true;
		if ((ended < 0 && errno != EINTR) || awake_ms() >= until_ms)
			return false;
		poll(NULL, 0, REAP_LOOK_MS);
	}
}

enum ask_outcome ask_program(const char *const words[], int64_t limit_ms, struct buf *answer)
{
	int64_t until_ms = awake_ms() + limit_ms;
	int ends[2], status = 0;
	bool ended;
	pid_t pid;

	assert(words[0] != NULL);
	if (pipe2(ends, O_CLOEXEC) < 0)
		return ASK_BROKEN;
	pid = fork();
	if (pid == 0)
		become_program(words, ends[1]);
	close(ends[1]);
	ended = pid > 0 && read_answer(ends[0], until_ms, answer) && wait_until(pid, until_ms, &status);
	close(ends[0]);
	if (pid < 0)
		return ASK_BROKEN;
	if (!ended) {
		kill(pid, SIGKILL); /* One that hangs in its driver is reaped whenever it ends. */
		return ASK_LATE;
	}
	return status == 0 ? ASK_DONE : ASK_FAILED;
}
