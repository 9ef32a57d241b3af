/*
 * main.c - stoker-agent: the program on a worker that runs a scheduler's attempts
 *
 * It serves one connection on its standard input and output and holds nothing: attempts are held by the
 * supervisors it forks, and everything else is on disk.
 */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "executor/agent/files.h"
#include "executor/agent/session.h"
#include "executor/agent/title.h"
#include "executor/protocol.h"

#ifndef STOKER_VERSION
#define STOKER_VERSION "unknown"
#endif

static const char usage[] =
	"usage: stoker-agent --root DIR   serve a scheduler on standard input and output\n"
	"       stoker-agent --version\n"
	"       stoker-agent --help\n"
	"\n"
	"It is started by stoker, on this machine or over ssh. DIR is created when it is not there; it holds "
	"the\n"
	"attempts (attempts/), checkpoints (tasks/), and who may start what (epochs/).\n";

/* Whoever started it may have left signals ignored or descriptors open; steps must not inherit either. */
static void start_clean(void)
{
	for (int fd = 0; fd < 3; fd++)
		if (fcntl(fd, F_GETFD) < 0 && errno == EBADF && open("/dev/null", O_RDWR) < 0)
			_exit(1);
	files_close_from(3);
	for (int sig = 1; sig < 32; sig++)
		if (sig != SIGKILL && sig != SIGSTOP)
			signal(sig, SIG_DFL);
}

int main(int argc, char **argv)
{
	start_clean();
	title_init(argc, argv);
	if (argc == 2 && strcmp(argv[1], "--version") == 0) {
		printf("stoker-agent %s (protocol %d)\n", STOKER_VERSION, PROTOCOL_VERSION);
		return 0;
	}
	if (argc == 2 && strcmp(argv[1], "--help") == 0) {
		fputs(usage, stdout);
		return 0;
	}
	if (argc == 3 && strcmp(argv[1], "--root") == 0 && argv[2][0] != '\0')
		return session_serve(argv[2]);
	fputs(usage, stderr);
	return 2;
}
