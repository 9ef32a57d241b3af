#include "scheduler/paths.h"

#include <inttypes.h>

const char *paths_run_dir(struct arena *arena, const char *home, const char *dag, uint64_t number)
{
	return arena_printf(arena, "%s/runs/%s/%" PRIu64, home, dag, number);
}

const char *paths_owner(struct arena *arena, const char *home, const char *dag, uint64_t number)
{
	return arena_printf(arena, "%s/runs/%s/%" PRIu64 "/owner", home, dag, number);
}

const char *paths_parcels(struct arena *arena, const char *home)
{
	return arena_printf(arena, "%s/parcels", home);
}

const char *paths_fetched(struct arena *arena, const char *home, const char *digest)
{
	return arena_printf(arena, "%s/parcels/fetched/%s", home, digest);
}

const char *paths_copies(struct arena *arena, const char *home, const char *dag, uint64_t number)
{
	return arena_printf(arena, "%s/checkpoints/%s/%" PRIu64, home, dag, number);
}

const char *paths_copy(struct arena *arena, const char *home, const char *dag, uint64_t number,
		       const char *task, uint32_t seq)
{
	return arena_printf(arena, "%s/checkpoints/%s/%" PRIu64 "/%s.%" PRIu32, home, dag, number, task, seq);
}

const char *paths_log(struct arena *arena, const char *home, const char *dag, uint64_t number,
		      const char *task, uint32_t attempt)
{
	return arena_printf(arena, "%s/runs/%s/%" PRIu64 "/%s.%" PRIu32 ".log", home, dag, number, task,
			    attempt);
}

const char *paths_daemon_lock(struct arena *arena, const char *home)
{
	return arena_printf(arena, "%s/daemon.lock", home);
}

const char *paths_control(struct arena *arena, const char *home)
{
	return arena_printf(arena, "%s/control.sock", home);
}
