#include "executor/agent/process.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "common/mem.h"
#include "common/scope.h"
#include "executor/agent/files.h"

enum { STAT_BYTES = 1024, ENVIRONMENT_BYTES_MAX = 8 * 1024 * 1024, CHILDREN_BYTES_MAX = 1024 * 1024 };

void process_list_fini(struct process_list *list)
{
	free(list->items);
	*list = (struct process_list){ 0 };
}

bool process_parse(const char *stat, struct process *out)
{
	static long ticks_per_second, page_bytes;
	const char *name_end = strrchr(stat, ')'); /* a program may have brackets in its own name */
	unsigned long long user, system, start;
	long long child_user, child_system, rss;
	struct process process = { 0 };

	if (ticks_per_second == 0) {
		ticks_per_second = sysconf(_SC_CLK_TCK);
		page_bytes = sysconf(_SC_PAGESIZE);
	}
	if (name_end == NULL || sscanf(stat, "%d", &process.pid) != 1)
		return false;
	if (sscanf(name_end + 1,
		   " %c %d %d %d %*d %*d %*u %*u %*u %*u %*u %llu %llu %lld %lld %*d %*d %*d %*d %llu %*u "
		   "%lld",
		   &process.state, &process.parent, &process.group, &process.session, &user, &system,
		   &child_user, &child_system, &start, &rss) != 10)
		return false;
	process.start_ticks = start;
	process.cpu_ms =
		(int64_t)(user + system + (unsigned long long)child_user + (unsigned long long)child_system) *
		1000 / ticks_per_second;
	process.rss_bytes = rss * page_bytes;
	*out = process;
	return true;
}

bool process_read(pid_t pid, struct process *out)
{
	char path[64], stat[STAT_BYTES];
	autoclose int fd = -1;
	ssize_t n;

	snprintf(path, sizeof path, "/proc/%d/stat", (int)pid);
	fd = openat(AT_FDCWD, path, O_RDONLY | O_CLOEXEC);
	n = fd < 0 ? -1 : read(fd, stat, sizeof stat - 1);
	if (n <= 0)
		return false;
	stat[n] = '\0';
	return process_parse(stat, out);
}

uint64_t process_start_ticks(pid_t pid)
{
	struct process process;

	return process_read(pid, &process) ? process.start_ticks : 0;
}

static bool is_dead(const struct process *process)
{
	return process->state == 'Z' || process->state == 'X' || process->state == 'x';
}

bool process_lives(pid_t pid, uint64_t start_ticks)
{
	struct process process;

	return pid > 1 && process_read(pid, &process) && process.start_ticks == start_ticks &&
	       !is_dead(&process);
}

static void add(struct process_list *list, const struct process *process)
{
	mem_grow(&list->items, &list->room, list->count, sizeof *list->items);
	list->items[list->count++] = *process;
}

void process_scan(struct process_list *list)
{
	DIR *folder = opendir("/proc");
	struct process process;

	list->count = 0;
	if (folder == NULL)
		return;
	for (struct dirent *entry; (entry = readdir(folder)) != NULL;) {
		long pid = entry->d_name[0] >= '1' && entry->d_name[0] <= '9'
				   ? strtol(entry->d_name, NULL, 10)
				   : 0;

		if (pid > 1 && process_read((pid_t)pid, &process) && !is_dead(&process))
			add(list, &process);
	}
	closedir(folder);
}

static bool is_among(pid_t pid, const pid_t *pids, size_t count)
{
	for (size_t i = 0; i < count; i++)
		if (pids[i] == pid)
			return true;
	return false;
}

static bool has_marked_parent(const struct process_list *list, const struct process *process)
{
	for (size_t i = 0; i < list->count; i++)
		if (list->items[i].marked && list->items[i].pid == process->parent)
			return true;
	return false;
}

void process_mark_offspring(struct process_list *list, pid_t root, const pid_t *except, size_t except_count)
{
	bool again = true;

	/* A turn marks one generation; families are a few generations deep. */
	while (again) {
		again = false;
		for (size_t i = 0; i < list->count; i++) {
			struct process *process = &list->items[i];

			if (process->marked || is_among(process->pid, except, except_count))
				continue;
			if (process->parent == root || has_marked_parent(list, process))
				process->marked = again = true;
		}
	}
}

void process_keep_marked(struct process_list *list)
{
	size_t kept = 0;

	for (size_t i = 0; i < list->count; i++)
		if (list->items[i].marked)
			list->items[kept++] = list->items[i];
	list->count = kept;
}

/* Appends the children of each thread of `pid`; false when the kernel keeps no such list. */
static bool add_children(pid_t pid, struct process_list *list)
{
	char path[64];
	DIR *folder;
	bool known = false;

	snprintf(path, sizeof path, "/proc/%d/task", (int)pid);
	folder = opendir(path);
	if (folder == NULL)
		return true;
	for (struct dirent *entry; (entry = readdir(folder)) != NULL;) {
		autobuf struct buf text = { 0 };
		struct process process;
		const char *at;
		char *stop;

		if (entry->d_name[0] == '.')
			continue;
		snprintf(path, sizeof path, "/proc/%d/task/%ld/children", (int)pid,
			 strtol(entry->d_name, NULL, 10));
		if (files_read(AT_FDCWD, path, CHILDREN_BYTES_MAX, &text) < 0 && errno == ENOENT)
			continue;
		known = true;
		for (at = buf_text(&text);; at = stop) {
			long child = strtol(at, &stop, 10);

			if (stop == at)
				break;
			if (process_read((pid_t)child, &process) && !is_dead(&process))
				add(list, &process);
		}
	}
	closedir(folder);
	return known;
}

void process_offspring(pid_t root, struct process_list *list)
{
	list->count = 0;
	if (add_children(root, list)) {
		for (size_t i = 0; i < list->count; i++)
			add_children(list->items[i].pid, list);
		return;
	}
	process_scan(list);
	process_mark_offspring(list, root, NULL, 0);
	process_keep_marked(list);
}

bool process_has_variable(pid_t pid, const char *assignment)
{
	autobuf struct buf environment = { 0 };
	size_t n = strlen(assignment);
	char path[64];

	snprintf(path, sizeof path, "/proc/%d/environ", (int)pid);
	if (files_read(AT_FDCWD, path, ENVIRONMENT_BYTES_MAX, &environment) < 0)
		return false;
	for (const char *at = buf_text(&environment), *end = at + environment.bytes; at < end;
	     at += strlen(at) + 1)
		if (strlen(at) == n && memcmp(at, assignment, n) == 0)
			return true;
	return false;
}

static bool is_open_for_writing(pid_t pid, const char *number)
{
	autobuf struct buf text = { 0 };
	const char *flags;
	char path[64];

	snprintf(path, sizeof path, "/proc/%d/fdinfo/%.16s", (int)pid, number);
	if (files_read(AT_FDCWD, path, STAT_BYTES * 64, &text) < 0)
		return false;
	flags = strstr(buf_text(&text), "flags:");
	return flags != NULL && (strtol(flags + strlen("flags:"), NULL, 8) & O_ACCMODE) != O_RDONLY;
}

bool process_writes_below(pid_t pid, const char *path)
{
	char folder_path[64], target[4096];
	size_t n = strlen(path);
	bool found = false;
	DIR *folder;

	snprintf(folder_path, sizeof folder_path, "/proc/%d/fd", (int)pid);
	folder = opendir(folder_path);
	if (folder == NULL)
		return false;
	for (struct dirent *entry; !found && (entry = readdir(folder)) != NULL;) {
		ssize_t length = readlinkat(dirfd(folder), entry->d_name, target, sizeof target - 1);

		if (length < (ssize_t)n)
			continue;
		target[length] = '\0';
		found = strncmp(target, path, n) == 0 && (target[n] == '\0' || target[n] == '/') &&
			is_open_for_writing(pid, entry->d_name);
	}
	closedir(folder);
	return found;
}

int process_open(pid_t pid, uint64_t start_ticks)
{
	int fd;

	if (pid <= 1) {
		errno = ESRCH;
		return -1;
	}
	fd = (int)syscall(SYS_pidfd_open, pid, 0);
	if (fd < 0)
		return -1;
	/*
	 * The descriptor is of whoever has the pid now; the start time tells whether that is the one meant.
	 */
	if (process_lives(pid, start_ticks))
		return fd;
	close(fd);
	errno = ESRCH;
	return -1;
}

bool process_signal(pid_t pid, uint64_t start_ticks, int sig)
{
	autoclose int fd = process_open(pid, start_ticks);

	if (fd >= 0)
		return syscall(SYS_pidfd_send_signal, fd, sig, NULL, 0) == 0;
	if (errno == ESRCH || !process_lives(pid, start_ticks))
		return false;
	return kill(pid, sig) == 0; /* kernels before 5.3, or no descriptors left */
}

const char *process_boot_id(void)
{
	static char boot_id[64];

	if (boot_id[0] == '\0') {
		autobuf struct buf text = { 0 };

		if (files_read(AT_FDCWD, "/proc/sys/kernel/random/boot_id", sizeof boot_id - 1, &text) == 0)
			snprintf(boot_id, sizeof boot_id, "%.*s", (int)strcspn(buf_text(&text), "\n"),
				 buf_text(&text));
	}
	return boot_id;
}
