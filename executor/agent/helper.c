#include "executor/agent/helper.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <unistd.h>

#include "executor/agent/files.h"

enum { ANSWER_FD = 3, FREE_FD = 16, NICENESS = 10, PIECE_BYTES = 64 * 1024 };

static void become_helper(int out, int dir, pid_t supervisor)
{
	sigset_t none;

	prctl(PR_SET_PDEATHSIG, SIGKILL);
	if (getppid() != supervisor)
		_exit(1); /* It died before that was set. */
	/* The end of the step's output, above all, must not stay open here when the supervisor is gone. */
	out = fcntl(out, F_DUPFD, FREE_FD);
	dir = fcntl(dir, F_DUPFD, FREE_FD);
	dup2(out, ANSWER_FD);
	dup2(dir, HELPER_DIR);
	files_close_from(HELPER_DIR + 1);
	signal(SIGPIPE, SIG_DFL);
	sigemptyset(&none);
	sigprocmask(SIG_SETMASK, &none, NULL);
	setpriority(PRIO_PROCESS, 0, NICENESS);
}

void helper_init(struct helper *helper)
{
	*helper = (struct helper){ .pipe = -1 };
	buf_init(&helper->answer, HELPER_ANSWER_MAX);
}

int helper_start(struct helper *helper, void (*work)(void *context, int out), void *context, int dir,
		 struct err *err)
{
	pid_t self = getpid(), pid;
	int ends[2];

	buf_clear(&helper->answer);
	if (pipe2(ends, O_CLOEXEC) < 0)
		return err_errno(err, "pipe to a helper");
	pid = fork();
	if (pid < 0) {
		err_errno(err, "fork a helper");
		close(ends[0]);
		close(ends[1]);
		return err->code;
	}
	if (pid == 0) {
		become_helper(ends[1], dir, self);
		work(context, ANSWER_FD);
		_exit(0);
	}
	close(ends[1]);
	fcntl(ends[0], F_SETFL, O_NONBLOCK);
	helper->past = helper->pid;
	helper->pid = pid;
	helper->pipe = ends[0];
	return 0;
}

static void end_work(struct helper *helper)
{
	close(helper->pipe);
	helper->pipe = -1;
}

int helper_read(struct helper *helper)
{
	uint8_t piece[PIECE_BYTES];

	for (;;) {
		ssize_t n = read(helper->pipe, piece, sizeof piece);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0 && errno == EAGAIN)
			return 0;
		if (n <= 0)
			break;
		buf_append(&helper->answer, piece, (size_t)n);
	}
	end_work(helper);
	return 1;
}

void helper_kill(struct helper *helper)
{
	if (helper->pipe < 0)
		return;
	if (helper->pid > 0)
		kill(helper->pid, SIGKILL); /* our child, and not yet waited for */
	end_work(helper);
	buf_clear(&helper->answer);
}

bool helper_reaped(struct helper *helper, pid_t pid)
{
	if (pid == helper->pid)
		helper->pid = 0;
	else if (pid == helper->past)
		helper->past = 0;
	else
		return false;
	return true;
}
