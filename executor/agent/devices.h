/*
 * devices.h - what this machine offers: processors, memory, GPUs
 *
 * Processors and memory are what the agent may use: its affinity and the limits of its control group count.
 * GPUs are asked of nvidia-smi where there is one; a card that is cut into MIG instances counts as those. A
 * driver that hangs is waited for a while, then passed over with a word in `text`.
 */
#ifndef EXECUTOR_AGENT_DEVICES_H
#define EXECUTOR_AGENT_DEVICES_H

#include "executor/protocol.h"

struct devices {
	int64_t cpus_milli;
	int64_t memory_bytes;
	struct device *gpus;
	size_t gpus_count;
	const char *text; /* what went wrong; empty: nothing */
};

void devices_find(struct arena *arena, struct devices *out);

/* Pure: the lines of "nvidia-smi --query-gpu=uuid,name,memory.total --format=csv,noheader,nounits". */
void devices_parse_gpus(const char *text, struct arena *arena, struct devices *out);

/* Pure: the lines of "nvidia-smi -L"; replaces cards by their MIG instances. */
void devices_parse_instances(const char *text, struct arena *arena, struct devices *out);

/* Pure: thousandths of a processor in the text of cpu.max; 0: no limit. */
int64_t devices_parse_quota(const char *text);

#endif
