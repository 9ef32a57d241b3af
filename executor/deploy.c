#include "executor/deploy.h"

#include <elf.h>
#include <endian.h>
#include <errno.h>
#include <fcntl.h>
#include <libgen.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/digest.h"
#include "common/mem.h"
#include "common/scope.h"

/* The types of machine that stoker has agents for, as uname, ELF and Debian name them. */
static const struct machine_type {
	const char *name;
	uint16_t elf;
	const char *compiler;
} machine_types[] = {
	{ "x86_64", EM_X86_64, "gcc-x86-64-linux-gnu and libc6-dev-amd64-cross" },
	{ "aarch64", EM_AARCH64, "gcc-aarch64-linux-gnu and libc6-dev-arm64-cross" },
};

/* What the file says of itself: it may have been cross-compiled under the plain name. */
static const char *machine_of(const uint8_t *data, size_t bytes)
{
	uint16_t machine;

	if (bytes < sizeof(Elf64_Ehdr) || memcmp(data, ELFMAG, SELFMAG) != 0 ||
	    data[EI_CLASS] != ELFCLASS64 || data[EI_DATA] != ELFDATA2LSB)
		return NULL;
	memcpy(&machine, data + offsetof(Elf64_Ehdr, e_machine), sizeof machine);
	for (size_t i = 0; i < COUNT_OF(machine_types); i++)
		if (machine_types[i].elf == le16toh(machine))
			return machine_types[i].name;
	return NULL;
}

static int read_agent(const char *path, struct buf *out, struct err *err)
{
	autoclose int fd = open(path, O_RDONLY | O_CLOEXEC);
	struct stat st;

	if (fd < 0 || fstat(fd, &st) < 0)
		return err_errno(err, "read the agent %s", path);
	if (!S_ISREG(st.st_mode) || st.st_size > DEPLOY_AGENT_BYTES_MAX)
		return err_set(err, ERR_INVALID, "read the agent %s: not a program", path);
	buf_reserve(out, (size_t)st.st_size);
	while (out->bytes < (size_t)st.st_size) {
		ssize_t n = read(fd, out->data + out->bytes, (size_t)st.st_size - out->bytes);

		if (n < 0)
			return err_errno(err, "read the agent %s", path);
		if (n == 0)
			return err_set(err, ERR_CORRUPT, "read the agent %s: it shrank", path);
		out->bytes += (size_t)n;
	}
	return 0;
}

/* One for a type that is there already is passed over. */
static int add_agent(struct deploy *deploy, const char *path, struct err *err)
{
	struct deploy_agent *agent = &deploy->agents[deploy->count];
	autobuf struct buf data = { 0 };
	uint8_t bytes[DIGEST_BYTES];
	char hex[DIGEST_HEX_BYTES];
	struct digest digest;
	const char *machine;
	int rc = read_agent(path, &data, err);

	if (rc < 0)
		return rc;
	machine = machine_of(data.data, data.bytes);
	if (machine == NULL)
		return err_set(err, ERR_INVALID, "%s is no agent for a machine that stoker knows", path);
	if (deploy->count == DEPLOY_AGENTS_MAX || deploy_for(deploy, machine) != NULL)
		return 0;
	digest_init(&digest);
	digest_add(&digest, data.data, data.bytes);
	digest_end(&digest, bytes);
	digest_hex(bytes, hex);
	memcpy(agent->digest, hex, DEPLOY_DIGEST_CHARS);
	agent->digest[DEPLOY_DIGEST_CHARS] = '\0';
	agent->machine = machine;
	agent->path = mem_strdup(path);
	agent->bytes = data.bytes;
	agent->data = (uint8_t *)buf_take(&data);
	deploy->count++;
	return 0;
}

int deploy_find(struct deploy *deploy_out, const char *native_agent, struct err *err)
{
	autofree char *copy = mem_strdup(native_agent);
	const char *folder = dirname(copy);
	struct deploy deploy = { .count = 0 };
	int rc = add_agent(&deploy, native_agent, err);

	if (rc < 0)
		return rc;
	for (size_t i = 0; i < COUNT_OF(machine_types); i++) {
		autofree char *path = mem_printf("%s/stoker-agent-%s", folder, machine_types[i].name);

		if (access(path, R_OK) == 0 && add_agent(&deploy, path, err) < 0) {
			deploy_fini(&deploy);
			return err_wrap(err, "find the agents for other machines");
		}
	}
	*deploy_out = deploy;
	return 0;
}

void deploy_fini(struct deploy *deploy)
{
	for (size_t i = 0; i < deploy->count; i++) {
		free(deploy->agents[i].path);
		free(deploy->agents[i].data);
	}
	*deploy = (struct deploy){ .count = 0 };
}

const struct deploy_agent *deploy_for(const struct deploy *deploy, const char *machine)
{
	for (size_t i = 0; i < deploy->count; i++)
		if (strcmp(deploy->agents[i].machine, machine) == 0)
			return &deploy->agents[i];
	return NULL;
}

const char *deploy_compiler(const char *machine)
{
	for (size_t i = 0; i < COUNT_OF(machine_types); i++)
		if (strcmp(machine_types[i].name, machine) == 0)
			return machine_types[i].compiler;
	return NULL;
}
