#include "executor/agent/claim.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>

#include "common/scope.h"
#include "executor/agent/files.h"
#include "executor/agent/place.h"
#include "executor/agent/root.h"

enum { EPOCH_TEXT_BYTES = 21, PATH_BYTES = 128, LOCK_WAIT_MS = 5000 };

/*
 * Opens and locks; a file system without locks is refused, for there two drivers could start the same task.
 * Locks are held for a moment only. A holder that was frozen in it makes ERR_BUSY: whoever asked tries again,
 * but is not stuck.
 */
static int open_locked(const char *path, int flags, int lock, struct err *err)
{
	int fd = openat(AT_FDCWD, path, flags | O_CLOEXEC | O_NOFOLLOW, 0600);

	if (fd < 0)
		return err_errno(err, "open %s", path);
	for (int waited_ms = 0; flock(fd, lock | LOCK_NB) < 0;) {
		if (errno == EINTR ||
		    (errno == EWOULDBLOCK && waited_ms++ < LOCK_WAIT_MS && usleep(1000) == 0))
			continue;
		err_errno(err, "lock %s", path);
		close(fd);
		return err == NULL ? ERR_IO : err->code;
	}
	return fd;
}

/* 0: none. */
static uint64_t read_epoch(int fd)
{
	char text[EPOCH_TEXT_BYTES + 1];
	ssize_t n = pread(fd, text, EPOCH_TEXT_BYTES, 0);

	if (n <= 0)
		return 0;
	text[n] = '\0';
	return strtoull(text, NULL, 10);
}

static int write_epoch(int fd, uint64_t epoch, const char *path, struct err *err)
{
	char text[EPOCH_TEXT_BYTES + 1];

	snprintf(text, sizeof text, "%020" PRIu64 "\n", epoch);
	if (pwrite(fd, text, EPOCH_TEXT_BYTES, 0) != EPOCH_TEXT_BYTES || fdatasync(fd) < 0)
		return err_errno(err, "write %s", path);
	return 0;
}

static void name_files(const char *home, uint64_t run, char all[PATH_BYTES], char one[PATH_BYTES])
{
	snprintf(all, PATH_BYTES, "epochs/%s", home);
	snprintf(one, PATH_BYTES, "epochs/%s.%" PRIu64, home, run);
}

int claim_take(const char *home, uint64_t run, uint64_t epoch, struct err *err)
{
	char all_path[PATH_BYTES], one_path[PATH_BYTES];
	autoclose int all = -1;
	autoclose int one = -1;
	uint64_t greatest, current;

	name_files(home, run, all_path, one_path);
	all = open_locked(all_path, O_RDWR | O_CREAT, LOCK_EX, err);
	if (all < 0)
		return all;
	one = open_locked(one_path, O_RDWR | O_CREAT, LOCK_EX, err);
	if (one < 0)
		return one;
	greatest = read_epoch(all);
	current = read_epoch(one);
	if (epoch < current)
		return err_set(err, ERR_DENIED,
			       "run %" PRIu64 " was claimed with epoch %" PRIu64 ", later than %" PRIu64, run,
			       current, epoch);
	if (current == 0 && epoch < greatest) {
		unlink(one_path);
		return err_set(err, ERR_DENIED,
			       "epoch %" PRIu64 " is older than %" PRIu64
			       ", the last one of this scheduler, and run %" PRIu64 " is not known here",
			       epoch, greatest, run);
	}
	if (epoch > current && write_epoch(one, epoch, one_path, err) < 0)
		return err->code;
	return epoch > greatest ? write_epoch(all, epoch, all_path, err) : 0;
}

int claim_release(const char *home, uint64_t run, uint64_t epoch, struct err *err)
{
	char all_path[PATH_BYTES], one_path[PATH_BYTES];
	autoclose int all = -1;
	autoclose int one = -1;

	name_files(home, run, all_path, one_path);
	all = open_locked(all_path, O_RDWR | O_CREAT, LOCK_EX, err);
	if (all < 0)
		return all;
	one = open_locked(one_path, O_RDWR, LOCK_EX, err);
	if (one == ERR_NOT_FOUND)
		return 0;
	if (one < 0)
		return one;
	if (read_epoch(one) > epoch)
		return err_set(err, ERR_DENIED, "run %" PRIu64 " was claimed by a later driver", run);
	if (ftruncate(one, 0) < 0 || unlink(one_path) < 0)
		return err_errno(err, "remove %s", one_path);
	return 0;
}

size_t claim_list(const char *home, struct arena *arena, struct claim_left **left_out)
{
	const char *prefix = arena_printf(arena, "%s.", home);
	char **names;
	size_t found = root_list(arena, "epochs", prefix, &names), count = 0;

	*left_out = arena_alloc(arena, (found + 1) * sizeof **left_out);
	for (size_t i = 0; i < found && count < CLAIM_LIST_MAX; i++) {
		autoclose int fd = openat(AT_FDCWD, arena_printf(arena, "epochs/%s", names[i]),
					  O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
		char *end;
		uint64_t run = strtoull(names[i] + strlen(prefix), &end, 10);

		if (fd >= 0 && *end == '\0' && end > names[i] + strlen(prefix))
			(*left_out)[count++] = (struct claim_left){ run, read_epoch(fd) };
	}
	return count;
}

int claim_hold(const char *home, uint64_t run, uint64_t epoch, int *held_out, struct err *err)
{
	char all_path[PATH_BYTES], one_path[PATH_BYTES];
	autoclose int one = -1;
	uint64_t current;

	name_files(home, run, all_path, one_path);
	one = open_locked(one_path, O_RDONLY, LOCK_SH, err);
	if (one == ERR_NOT_FOUND)
		return err_set(err, ERR_DENIED, "run %" PRIu64 " is not claimed here", run);
	if (one < 0)
		return one;
	current = read_epoch(one);
	if (current == 0 || current != epoch)
		return err_set(err, ERR_DENIED, "run %" PRIu64 " belongs to epoch %" PRIu64 ", not %" PRIu64,
			       run, current, epoch);
	*held_out = take_fd(one);
	return 0;
}
