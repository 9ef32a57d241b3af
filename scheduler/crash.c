#include "scheduler/crash.h"

#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

static const char *const names[CRASH_POINTS_COUNT] = {
#define POINT(name) [CRASH_##name] = #name,
	CRASH_POINTS(POINT)
#undef POINT
};

static pthread_once_t once = PTHREAD_ONCE_INIT;
static int chosen = -1;
static atomic_int left;

/* One that there is not kills nobody: the test that named it notices. */
static void choose(void)
{
	const char *wanted = getenv("STOKER_CRASH_AT");
	size_t n = wanted == NULL ? 0 : strcspn(wanted, ":");

	for (int i = 0; i < CRASH_POINTS_COUNT && wanted != NULL; i++)
		if (strlen(names[i]) == n && strncmp(names[i], wanted, n) == 0) {
			left = wanted[n] == ':' ? atoi(wanted + n + 1) : 1;
			chosen = i;
		}
}

void crash_at(enum crash_point point)
{
	pthread_once(&once, choose);
	if ((int)point == chosen && atomic_fetch_sub(&left, 1) == 1)
		raise(SIGKILL);
}
