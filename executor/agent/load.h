/*
 * load.h - how busy this machine is: load average, memory, and the disk with the root folder
 *
 * It is for people, and decides nothing; what cannot be learned (no /proc, a kernel that says it in other words) is told
 * as not known. Of the whole machine, whatever limits the agent's control group has.
 *
 * Where the file system of the root folder hangs (a server of NFS that is gone), so does the measuring, and the agent
 * falls silent: it could neither start nor ship anything then.
 */
#ifndef EXECUTOR_AGENT_LOAD_H
#define EXECUTOR_AGENT_LOAD_H

#include "executor/protocol.h"

void load_measure(const char *root, struct load *out);

/* Pure: thousandths of the first number in the text of /proc/loadavg; -1: there is none. */
int64_t load_parse_average(const char *text);

/* Pure: a line in the text of /proc/meminfo ("MemTotal"), in bytes; -1: there is none, or it is cut off. */
int64_t load_parse_memory(const char *text, const char *name);

#endif
