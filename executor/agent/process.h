/*
 * process.h - what /proc tells about processes
 *
 * A process is named by its pid and its start time (field 22 of /proc/PID/stat): pids come back, the pair
 * does not within one boot. A zombie is dead: it runs nothing, and whoever has to reap it may never do so.
 *
 * Ownership: a list owns its items; process_list_fini frees them.
 * Errors:    a process that is gone is an answer, not an error.
 */
#ifndef EXECUTOR_AGENT_PROCESS_H
#define EXECUTOR_AGENT_PROCESS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

struct process {
	pid_t pid;
	pid_t parent;
	pid_t group;
	pid_t session;
	char state; /* R S D T Z X ... */
	bool marked;
	uint64_t start_ticks;
	int64_t cpu_ms; /* its own and that of the children it has waited for */
	int64_t rss_bytes;
};

struct process_list {
	struct process *items;
	size_t count;
	size_t room;
};

void process_list_fini(struct process_list *list);

/* Pure: one line of /proc/PID/stat; false when it is none. */
bool process_parse(const char *stat, struct process *out);

bool process_read(pid_t pid, struct process *out);
uint64_t process_start_ticks(pid_t pid);	     /* 0: no such process */
bool process_lives(pid_t pid, uint64_t start_ticks); /* this very process, and not as a zombie */
void process_scan(struct process_list *list);	     /* all that live now */

/*
 * Marks the offspring of `root`, and of all that are marked, but not what descends from `except` (0: nobody).
 */
void process_mark_offspring(struct process_list *list, pid_t root, const pid_t *except, size_t except_count);

/* Keeps only the marked ones. */
void process_keep_marked(struct process_list *list);

/*
 * The offspring of `root` without looking at every process, where the kernel lists children; may miss one
 * that is being born, so for figures only.
 */
void process_offspring(pid_t root, struct process_list *list);

/* Whether its environment, as of its start, has exactly this NAME=VALUE. */
bool process_has_variable(pid_t pid, const char *assignment);

/* Whether it has a file open for writing that is `path` or lies below it (absolute). */
bool process_writes_below(pid_t pid, const char *path);

/* Sends a signal to this very process and to no other that has its pid: false when it is gone. */
bool process_signal(pid_t pid, uint64_t start_ticks, int sig);

/* A descriptor that gets readable when it ends, or -1 (gone, or not to be had: see errno). */
int process_open(pid_t pid, uint64_t start_ticks);

/* This boot's name; "" when the system has none. */
const char *process_boot_id(void);

#endif
