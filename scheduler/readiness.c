#include "scheduler/readiness.h"

#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "common/scope.h"

void readiness_tell(const char *state)
{
	const char *path = getenv("NOTIFY_SOCKET");
	struct sockaddr_un address = { .sun_family = AF_UNIX };
	size_t bytes = path == NULL ? 0 : strlen(path);
	autoclose int fd = -1;

	if (bytes == 0 || bytes >= sizeof address.sun_path || (path[0] != '/' && path[0] != '@'))
		return;
	memcpy(address.sun_path, path, bytes);
	if (path[0] == '@')
		address.sun_path[0] = '\0'; /* the abstract namespace */
	fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	if (fd < 0)
		return;
	/* A manager that does not listen is its own trouble. */
	(void)!sendto(fd, state, strlen(state), MSG_NOSIGNAL, (struct sockaddr *)&address,
		      (socklen_t)(offsetof(struct sockaddr_un, sun_path) + bytes));
}

int64_t readiness_watchdog_ms(void)
{
	const char *usec = getenv("WATCHDOG_USEC"), *pid = getenv("WATCHDOG_PID");
	long long interval_us = usec == NULL ? 0 : strtoll(usec, NULL, 10);

	if (interval_us <= 0 || (pid != NULL && strtoll(pid, NULL, 10) != getpid()))
		return 0;
	return interval_us / 2000 > 0 ? interval_us / 2000 : 1; /* twice as often as asked, as sd_watchdog_enabled(3) says */
}
