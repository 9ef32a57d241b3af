#include "executor/agent/guard.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include "executor/agent/files.h"
#include "executor/agent/process.h"
#include "executor/agent/title.h"

enum { DYING_LOOK_MS = 5, KEPT_FD = 3 };

_Noreturn static void guard_run(const struct sweep_plan *plan, int life, pid_t supervisor,
				uint64_t start_ticks)
{
	sigset_t all;
	char byte;

	setsid();
	sigfillset(&all);
	sigprocmask(SIG_SETMASK, &all, NULL); /* Only SIGKILL ends the one who waits for a SIGKILL. */
	for (int fd = 0; fd < KEPT_FD; fd++)
		dup2(plan->null_fd, fd);
	title_set("stoker-agent: guard %s", plan->name);
	if (chdir(plan->root) < 0)
		_exit(1);
	if (life != KEPT_FD)
		dup2(life, KEPT_FD);
	files_close_from(KEPT_FD + 1);
	while (read(KEPT_FD, &byte, 1) > 0)
		;
	/* Its files are closed a moment before it is dead. */
	while (process_lives(supervisor, start_ticks))
		poll(NULL, 0, DYING_LOOK_MS);
	sweep_run(&(struct sweep_plan){
		.root = plan->root, .home = plan->home, .name = plan->name, .null_fd = STDIN_FILENO });
}

int guard_start(const struct sweep_plan *plan, uint64_t start_ticks, struct err *err)
{
	pid_t supervisor = getpid(), between;
	int life[2];

	if (pipe2(life, O_CLOEXEC) < 0)
		return err_errno(err, "a pipe for its guard");
	between = fork();
	if (between == 0) {
		pid_t guard = fork();

		if (guard == 0) {
			close(life[1]);
			guard_run(plan, life[0], supervisor, start_ticks);
		}
		_exit(guard < 0);
	}
	close(life[0]);
	if (between > 0) {
		int status = 1;

		while (waitpid(between, &status, 0) < 0)
			if (errno != EINTR)
				break;
		if (status == 0)
			return 0; /* life[1] stays open as long as this process lives */
	}
	close(life[1]);
	errno = EAGAIN;
	return err_errno(err, "fork its guard: no process could be made");
}
