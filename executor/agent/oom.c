#include "executor/agent/oom.h"

#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/scope.h"
#include "executor/agent/files.h"

enum { TEXT_BYTES_MAX = 256 * 1024, PATH_BYTES = 4096, PROTECTED_SCORE = -500 };

static char group_path[PATH_BYTES]; /* the file with the group's counter; empty: none */
static char own_score[24];	    /* a step's; empty: not known */

static const char score_path[] = "/proc/self/oom_score_adj";

/* The number behind `key` at the start of a line. */
static uint64_t number_after(const char *text, const char *key)
{
	size_t n = strlen(key);

	for (const char *at = text; at != NULL && *at != '\0'; at = strchr(at, '\n')) {
		at += *at == '\n';
		if (strncmp(at, key, n) == 0 && at[n] == ' ')
			return strtoull(at + n + 1, NULL, 10);
	}
	return 0;
}

static uint64_t read_counter(const char *path)
{
	autobuf struct buf text = { 0 };

	if (path[0] == '\0' || files_read(AT_FDCWD, path, TEXT_BYTES_MAX, &text) < 0)
		return 0;
	return number_after(buf_text(&text), "oom_kill");
}

/* A group's file that counts kills; older kernels have the file without the count. */
static bool try_group(const char *format, const char *path)
{
	autobuf struct buf text = { 0 };

	snprintf(group_path, sizeof group_path, format, (int)strcspn(path, "\n"), path);
	if (files_read(AT_FDCWD, group_path, TEXT_BYTES_MAX, &text) == 0 &&
	    strstr(buf_text(&text), "oom_kill ") != NULL)
		return true;
	group_path[0] = '\0';
	return false;
}

/* Lines of /proc/self/cgroup: "0::/path" in version 2, "4:memory:/path" in version 1. */
static void find_group(void)
{
	autobuf struct buf text = { 0 };
	const char *line;

	group_path[0] = '\0';
	if (files_read(AT_FDCWD, "/proc/self/cgroup", TEXT_BYTES_MAX, &text) < 0)
		return;
	line = strstr(buf_text(&text), ":memory:");
	if (line != NULL &&
	    try_group("/sys/fs/cgroup/memory%.*s/memory.oom_control", line + strlen(":memory:")))
		return;
	line = strstr(buf_text(&text), "0::");
	if (line != NULL && !try_group("/sys/fs/cgroup%.*s/memory.events.local", line + strlen("0::")))
		try_group("/sys/fs/cgroup%.*s/memory.events", line + strlen("0::"));
}

static bool write_score(const char *score)
{
	autoclose int fd = open(score_path, O_WRONLY | O_CLOEXEC);

	return fd >= 0 && files_write(fd, score, strlen(score)) == 0;
}

void oom_open(void)
{
	autobuf struct buf text = { 0 };
	char lowered[24];
	long score;

	if (files_read(AT_FDCWD, score_path, sizeof own_score - 1, &text) < 0)
		return;
	score = strtol(buf_text(&text), NULL, 10);
	snprintf(own_score, sizeof own_score, "%ld", score < 0 ? 0 : score);
	snprintf(lowered, sizeof lowered, "%d", PROTECTED_SCORE);
	if (score > PROTECTED_SCORE)
		write_score(lowered);
}

void oom_unprotect(void)
{
	if (own_score[0] != '\0')
		write_score(own_score);
}

uint64_t oom_begin(void)
{
	find_group();
	return oom_count();
}

uint64_t oom_count(void)
{
	return read_counter(group_path[0] != '\0' ? group_path : "/proc/vmstat");
}
