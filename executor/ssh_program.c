#include "executor/ssh_program.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "common/clock.h"
#include "common/scope.h"

extern char **environ;

bool ssh_program_is_installed(void)
{
	const char *path = getenv("PATH");
	char file[1024];

	if (path == NULL)
		path = "/usr/bin:/bin";
	for (const char *end; path != NULL; path = end == NULL ? NULL : end + 1) {
		end = strchr(path, ':');
		snprintf(file, sizeof file, "%.*s/ssh",
			 (int)(end == NULL ? strlen(path) : (size_t)(end - path)), path);
		if (access(file, X_OK) == 0)
			return true;
	}
	return false;
}

/* A child in a session of its own, with its output in two pipes. Answers an errno. */
static int spawn_child(const char *const *argv, int out_fd, int complaint_fd, pid_t *pid_out)
{
	posix_spawn_file_actions_t actions;
	posix_spawnattr_t attributes;
	sigset_t signals;
	int rc;

	posix_spawn_file_actions_init(&actions);
	posix_spawn_file_actions_addopen(&actions, 0, "/dev/null", O_RDONLY, 0);
	posix_spawn_file_actions_adddup2(&actions, out_fd, 1);
	posix_spawn_file_actions_adddup2(&actions, complaint_fd, 2);
	posix_spawnattr_init(&attributes);
	posix_spawnattr_setflags(&attributes,
				 POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF | POSIX_SPAWN_SETSID);
	sigemptyset(&signals);
	posix_spawnattr_setsigmask(&attributes, &signals);
	sigaddset(&signals, SIGPIPE);
	posix_spawnattr_setsigdefault(&attributes, &signals);
	rc = posix_spawnp(pid_out, argv[0], &actions, &attributes, (char **)(uintptr_t)argv, environ);
	posix_spawnattr_destroy(&attributes);
	posix_spawn_file_actions_destroy(&actions);
	return rc;
}

/* Appends what is there; false at the end of the pipe. */
static bool read_some(int fd, struct buf *out)
{
	char bytes[4096];
	ssize_t n = read(fd, bytes, sizeof bytes);

	if (n > 0)
		buf_append(out, bytes, (size_t)n);
	return n > 0 || (n < 0 && errno == EINTR);
}

/* Until both pipes end. */
static int gather(const int fds_in[2], int cancel_fd, int64_t until_ms, struct buf *const bufs[2],
		  struct ssh_program_end *end, struct err *err)
{
	struct pollfd fds[3] = { { .fd = fds_in[0], .events = POLLIN },
				 { .fd = fds_in[1], .events = POLLIN },
				 { .fd = cancel_fd, .events = POLLIN } };

	while (fds[0].fd >= 0 || fds[1].fd >= 0) {
		int64_t left_ms = until_ms - clock_mono_ms();
		int ready = left_ms <= 0 ? 0 : poll(fds, 3, (int)left_ms);

		if (ready < 0 && errno != EINTR)
			return err_errno(err, "wait for ssh");
		end->too_late = ready == 0;
		end->cancelled = ready > 0 && fds[2].revents != 0;
		if (end->too_late || end->cancelled)
			return 0;
		for (int i = 0; i < 2 && ready > 0; i++)
			if (fds[i].fd >= 0 && fds[i].revents != 0 && !read_some(fds[i].fd, bufs[i]))
				fds[i].fd = -1;
	}
	return 0;
}

int ssh_program_run(const char *const *argv, int64_t limit_ms, int cancel_fd, struct buf *out,
		    struct buf *complaint, struct ssh_program_end *end_out, struct err *err)
{
	int64_t until_ms = clock_mono_ms() + limit_ms;
	struct ssh_program_end end = { .status = 0 };
	struct buf *const bufs[2] = { out, complaint };
	int out_pipe[2], complaint_pipe[2];
	pid_t pid = -1;
	int rc;

	if (pipe2(out_pipe, O_CLOEXEC) < 0)
		return err_errno(err, "make a pipe for ssh");
	if (pipe2(complaint_pipe, O_CLOEXEC) < 0) {
		rc = err_errno(err, "make a pipe for ssh");
		close(out_pipe[0]);
		close(out_pipe[1]);
		return rc;
	}
	errno = spawn_child(argv, out_pipe[1], complaint_pipe[1], &pid);
	rc = errno != 0 ? err_errno(err, "run %s", argv[0]) : 0;
	close(out_pipe[1]);
	close(complaint_pipe[1]);
	if (rc == 0) {
		rc = gather((const int[2]){ out_pipe[0], complaint_pipe[0] }, cancel_fd, until_ms, bufs, &end,
			    err);
		/* Not reaped yet, so that number is still its own. */
		if (rc < 0 || end.too_late || end.cancelled)
			kill(-pid, SIGKILL);
		while (waitpid(pid, &end.status, 0) < 0 && errno == EINTR)
			;
	}
	close(out_pipe[0]);
	close(complaint_pipe[0]);
	if (rc == 0)
		*end_out = end;
	return rc;
}
