#include "executor/agent/devices.h"

#include <fcntl.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/mem.h"
#include "common/scope.h"
#include "executor/agent/ask.h"
#include "executor/agent/files.h"

enum { ASK_MS = 15000, GPUS_MAX = 256, LINE_BYTES = 512, MIB = 1024 * 1024 };

/* --- processors and memory ------------------------------------------------------------------------------ */

int64_t devices_parse_quota(const char *text)
{
	long long quota = 0, period = 0;

	if (sscanf(text, "%lld %lld", &quota, &period) != 2 || quota <= 0 || period <= 0)
		return 0; /* "max 100000" */
	return quota * 1000 / period;
}

static int64_t count_cpus(void)
{
	cpu_set_t set;
	long online = sysconf(_SC_NPROCESSORS_ONLN);

	if (sched_getaffinity(0, sizeof set, &set) == 0)
		return CPU_COUNT(&set);
	return online > 0 ? online : 1;
}

/* Version 2 of control groups, each level of the agent's own: the tightest limit counts. */
static void apply_group(const char *path, struct devices *out)
{
	autofree char *folder = mem_printf("/sys/fs/cgroup%s", path);

	for (;;) {
		autofree char *cpu = mem_printf("%s/cpu.max", folder),
			      *memory = mem_printf("%s/memory.max", folder);
		autobuf struct buf cpu_text = { 0 };
		autobuf struct buf memory_text = { 0 };
		int64_t quota = 0, bytes = 0;
		char *slash = strrchr(folder, '/');

		if (files_read(AT_FDCWD, cpu, 256, &cpu_text) == 0)
			quota = devices_parse_quota(buf_text(&cpu_text));
		if (files_read(AT_FDCWD, memory, 256, &memory_text) == 0)
			bytes = strtoll(buf_text(&memory_text), NULL, 10);
		if (quota > 0 && quota < out->cpus_milli)
			out->cpus_milli = quota;
		if (bytes > 0 && bytes < out->memory_bytes)
			out->memory_bytes = bytes;
		if (slash == NULL || strcmp(folder, "/sys/fs/cgroup") == 0 || slash == folder)
			break;
		*slash = '\0';
	}
}

static void find_processors(struct devices *out)
{
	autobuf struct buf groups = { 0 };
	const char *line;

	out->cpus_milli = count_cpus() * 1000;
	out->memory_bytes = (int64_t)sysconf(_SC_PHYS_PAGES) * sysconf(_SC_PAGESIZE);
	if (files_read(AT_FDCWD, "/proc/self/cgroup", ASK_ANSWER_BYTES_MAX, &groups) < 0)
		return;
	line = strstr(buf_text(&groups), "0::/");
	if (line != NULL) {
		autofree char *path = mem_strndup(line + 3, strcspn(line + 3, "\n"));

		if (strcmp(path, "/") == 0)
			path[0] = '\0';
		apply_group(path, out);
	}
}

/* --- GPUs ----------------------------------------------------------------------------------------------- */

static struct device *add_gpu(struct arena *arena, struct devices *out)
{
	if (out->gpus == NULL)
		out->gpus = arena_alloc(arena, GPUS_MAX * sizeof *out->gpus);
	return out->gpus_count < GPUS_MAX ? &out->gpus[out->gpus_count++] : NULL;
}

/* Copies one line and steps over it; false at the end. */
static bool next_line(const char **at, char line[LINE_BYTES])
{
	size_t n = strcspn(*at, "\n");

	if (**at == '\0')
		return false;
	snprintf(line, LINE_BYTES, "%.*s", (int)(n < LINE_BYTES - 1 ? n : LINE_BYTES - 1), *at);
	*at += n + ((*at)[n] == '\n');
	return true;
}

void devices_parse_gpus(const char *text, struct arena *arena, struct devices *out)
{
	char line[LINE_BYTES];

	while (next_line(&text, line)) {
		char *name = strstr(line, ", "), *memory = strrchr(line, ',');
		struct device *gpu;

		if (strncmp(line, "GPU-", 4) != 0 || name == NULL || memory <= name)
			continue; /* a warning among the answers */
		gpu = add_gpu(arena, out);
		if (gpu == NULL)
			return;
		*name = *memory = '\0';
		gpu->uuid = arena_strdup(arena, line);
		gpu->name = arena_strdup(arena, name + 2);
		gpu->memory_bytes = strtoll(memory + 1, NULL, 10) * MIB;
	}
}

/* The memory in a profile's name, "1g.10gb": what nvidia-smi tells of an instance without more rights. */
static int64_t instance_bytes(const char *name)
{
	const char *dot = strchr(name, '.');

	return dot == NULL ? 0 : strtoll(dot + 1, NULL, 10) * 1024 * MIB;
}

static struct device *find_gpu(struct devices *out, const char *uuid)
{
	for (size_t i = 0; i < out->gpus_count; i++)
		if (strcmp(out->gpus[i].uuid, uuid) == 0)
			return &out->gpus[i];
	return NULL;
}

void devices_parse_instances(const char *text, struct arena *arena, struct devices *out)
{
	char line[LINE_BYTES], card[LINE_BYTES] = "";

	/*  GPU 0: NVIDIA A100 (UUID: GPU-5d5b...)
	 *    MIG 1g.10gb     Device  0: (UUID: MIG-c6d4...)  */
	while (next_line(&text, line)) {
		char *uuid = strstr(line, "(UUID: ");
		char *mig = strstr(line, "MIG ");
		struct device *gpu;

		if (uuid == NULL)
			continue;
		uuid += strlen("(UUID: ");
		uuid[strcspn(uuid, ")")] = '\0';
		if (strncmp(uuid, "GPU-", 4) == 0) {
			snprintf(card, sizeof card, "%s", uuid);
			continue;
		}
		if (mig == NULL || strncmp(uuid, "MIG-", 4) != 0)
			continue;
		/*
		 * The first instance takes its card's place, for the card as a whole can't be given any more.
		 */
		gpu = find_gpu(out, card);
		card[0] = '\0';
		if (gpu == NULL)
			gpu = add_gpu(arena, out);
		if (gpu == NULL)
			return;
		mig[strcspn(mig + 4, " ") + 4] = '\0';
		*gpu = (struct device){ .uuid = arena_strdup(arena, uuid),
					.name = arena_strdup(arena, mig),
					.memory_bytes = instance_bytes(mig + 4) };
	}
}

static const char *ask(const char *program, const char *const options[], struct buf *answer)
{
	const char *words[4] = { program };

	for (int i = 0; options[i] != NULL; i++)
		words[i + 1] = options[i];
	switch (ask_program(words, ASK_MS, answer)) {
	case ASK_DONE:
		return "";
	case ASK_FAILED:
		return "nvidia-smi failed: GPUs are not known";
	case ASK_LATE:
		return "nvidia-smi gave no answer in time: GPUs are not known";
	default:
		return "nvidia-smi could not be started";
	}
}

void devices_find(struct arena *arena, struct devices *out)
{
	static const char *const query[] = { "--query-gpu=uuid,name,memory.total",
					     "--format=csv,noheader,nounits", NULL };
	static const char *const list[] = { "-L", NULL };
	const char *program = ask_find(arena, "nvidia-smi");
	autobuf struct buf cards = { .limit_bytes = ASK_ANSWER_BYTES_MAX };
	autobuf struct buf instances = { .limit_bytes = ASK_ANSWER_BYTES_MAX };

	*out = (struct devices){ .text = "" };
	find_processors(out);
	if (program == NULL)
		return;
	out->text = ask(program, query, &cards);
	if (out->text[0] != '\0')
		return;
	devices_parse_gpus(buf_text(&cards), arena, out);
	if (out->gpus_count > 0 && ask(program, list, &instances)[0] == '\0')
		devices_parse_instances(buf_text(&instances), arena, out);
}
